"""Commands as requests: the bytes that go out, and how to read what comes back. Pure.

A request is made once and may travel several times: the ids within make the daemon answer a repeat with what it
answered, or would have answered, the first time. So everything here may be sent again after a lost connection, but for
:func:`command`, which sends whatever words it is given. A repeat of ORDER.MASSCANCEL does no harm either, but counts
only what the first one left; one of ORDER.RESERVE leaves a gap in the numbers.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar, cast

import attrs
import hiredis

from orderd.client import replies
from orderd.client.errors import ProtocolViolation
from orderd.client.replies import (
    BatchOutcome,
    Book,
    Execution,
    Instrument,
    MassCancelOutcome,
    Order,
    Position,
)
from orderd.client.values import Mode, NewOrder, Number, Side, integer_text, number_text, order_words

T = TypeVar("T")

BLOCK_MS: Final = 5000
"""How long one EXEC.READ waits for the next execution before it is asked again: so a dead daemon is noticed."""
READ_COUNT: Final = 250
"""Executions in one reply; the daemon's bound."""
PAGE_COUNT: Final = 1000
"""Orders in one ORDER.LIST, positions in one POSITIONS; the daemon's bound."""


@attrs.frozen(eq=False)
class Request(Generic[T]):
    """One command. ``read`` makes its result of the reply, or raises :class:`ProtocolViolation`."""

    name: str
    data: bytes = attrs.field(repr=False)
    read: Callable[[Any], T] = attrs.field(repr=False)
    id: str = ""
    """The ``cl_ord_id``, request id or batch id that it is known by, if any."""
    block_s: float = 0.0
    """How long the daemon may wait before it answers, besides ``reply_timeout_ms``."""
    is_repeatable: bool = True


def request(
    words: Iterable[object],
    read: Callable[[Any], T],
    *,
    named: str = "",
    block_s: float = 0.0,
    is_repeatable: bool = True,
) -> Request[T]:
    """A request of ``words``, which are text, bytes or whole numbers. Raises ValueError for text that is not ASCII."""
    packed = list(words)
    for index, word in enumerate(packed):
        if isinstance(word, str):
            if not word.isascii():
                raise ValueError(f"{word!r} is not ASCII")
        elif not isinstance(word, bytes):
            packed[index] = integer_text(word, "word")
    data: bytes = hiredis.pack_command(cast("Any", tuple(packed)))
    return Request(str(packed[0]), data, read, named, block_s, is_repeatable)


# --- orders -----------------------------------------------------------------------------------------------------------


def place(order: NewOrder, cl_ord_id: str) -> Request[Order]:
    """ORDER.NEW."""
    return request(order_words(order, cl_ord_id), Order.from_pairs, named=cl_ord_id)


def cancel(cl_ord_id: str, request_id: str, mode: Mode | str | None = None) -> Request[Order]:
    """ORDER.CANCEL."""
    return request(("ORDER.CANCEL", cl_ord_id, "ID", request_id, *_mode(mode)), Order.from_pairs, named=request_id)


def replace(
    cl_ord_id: str,
    quantity: Number,
    price: Number,
    request_id: str,
    *,
    is_open: bool = False,
    mode: Mode | str | None = None,
) -> Request[Order]:
    """ORDER.REPLACE; with ``is_open`` the quantity is the new open one, else the new total."""
    words = ["ORDER.REPLACE", cl_ord_id, number_text(quantity, "quantity"), number_text(price, "price")]
    words += ["OPEN"] * is_open
    return request((*words, "ID", request_id, *_mode(mode)), Order.from_pairs, named=request_id)


def mass_cancel(symbol: str | None, side: Side | str | None, account: int | None) -> Request[MassCancelOutcome]:
    """ORDER.MASSCANCEL."""
    words: list[object] = ["ORDER.MASSCANCEL", *_symbol(symbol), *(() if side is None else ("SIDE", side))]
    return request((*words, *_account(account)), MassCancelOutcome.from_pairs)


def status(cl_ord_id: str) -> Request[Order]:
    """ORDER.STATUS."""
    return request(("ORDER.STATUS", cl_ord_id), Order.from_pairs, named=cl_ord_id)


def wait(cl_ord_id: str, wait_ms: int) -> Request[Order]:
    """ORDER.WAIT."""
    return request(("ORDER.WAIT", cl_ord_id, wait_ms), Order.from_pairs, named=cl_ord_id, block_s=wait_ms / 1000)


def order_page(
    after: int, *, is_open: bool, symbol: str | None, account: int | None, count: int = PAGE_COUNT
) -> Request[list[Order]]:
    """ORDER.LIST from behind the order id ``after``."""
    words = ("ORDER.LIST", "OPEN" if is_open else "ALL", *_symbol(symbol), *_account(account))
    return request((*words, "AFTER", after, "COUNT", count), _orders)


def open_orders_at(after: int, account: int | None) -> Request[tuple[int, list[Order]]]:
    """ORDER.LIST OPEN ... POSITION: the page, and the id of the last execution that it is sure to contain."""
    words = ("ORDER.LIST", "OPEN", *_account(account), "AFTER", after, "COUNT", PAGE_COUNT, "POSITION")
    return request(words, _orders_at)


def batch(batch_id: str, records: bytes, mode: Mode | str | None = None) -> Request[BatchOutcome]:
    """ORDER.BATCH."""
    return request(("ORDER.BATCH", batch_id, records, *_mode(mode)), BatchOutcome.from_pairs, named=batch_id)


def reserve(count: int) -> Request[int]:
    """ORDER.RESERVE."""
    return request(("ORDER.RESERVE", count), _integer)


# --- reading ----------------------------------------------------------------------------------------------------------


def executions(
    after: int, *, account: int | None = None, block_ms: int | None = None, count: int = READ_COUNT
) -> Request[list[Execution]]:
    """EXEC.READ; ``block_ms`` None: what is there now."""
    words: list[object] = ["EXEC.READ", after, "COUNT", count, *_account(account)]
    words += () if block_ms is None else ("BLOCK", block_ms)
    return request(words, _executions, block_s=(block_ms or 0) / 1000)


def settled_executions() -> Request[list[Execution]]:
    """EXEC.READ $: nothing, once all that the engine has told is in the stream and INFO names it."""
    return request(("EXEC.READ", "$"), _executions)


def book(symbol: str, depth: int) -> Request[Book]:
    """BOOK."""
    return request(("BOOK", symbol, "DEPTH", depth), Book.from_pairs)


def instruments() -> Request[dict[str, Instrument]]:
    """INSTRUMENTS, by symbol."""
    return request(("INSTRUMENTS",), _instruments)


def positions(account: int | None, symbol: str | None) -> Request[list[Position]]:
    """POSITIONS."""
    return request(("POSITIONS", *_account(account), *_symbol(symbol), "COUNT", PAGE_COUNT), _positions)


def info(section: str | None = None) -> Request[dict[str, str]]:
    """INFO, all sections in one."""
    return request(("INFO",) if section is None else ("INFO", section), _info)


def ping() -> Request[str]:
    """PING."""
    return request(("PING",), _text)


# --- administration, connection ---------------------------------------------------------------------------------------


def trading(state: str | None = None, account: int | None = None) -> Request[str]:
    """TRADING: the state, or ``OK`` when it is changed."""
    return request(("TRADING", *(() if state is None else (state,)), *_account(account)), _text)


def mode(value: Mode | str | None = None) -> Request[str]:
    """MODE: the mode in force, or ``OK`` when it is changed."""
    return request(("MODE", *(() if value is None else (value,))), _text)


def hello(name: str) -> Request[str]:
    """HELLO 3: the connection speaks RESP3 from here on."""
    return request(("HELLO", "3", *(("SETNAME", name) if name else ())), _server)


def cancel_on_disconnect(*, on: bool) -> Request[str]:
    """CLIENT CANCELONDISCONNECT."""
    return request(("CLIENT", "CANCELONDISCONNECT", "ON" if on else "OFF"), _text)


def deadman(silent_ms: int) -> Request[str]:
    """CLIENT DEADMAN; 0: off."""
    return request(("CLIENT", "DEADMAN", silent_ms), _text)


def command(*words: object, block_s: float = 0.0, is_repeatable: bool = False) -> Request[Any]:
    """Any command; the result is the reply as it came."""
    return request(words, lambda value: value, block_s=block_s, is_repeatable=is_repeatable)


# --- parts ------------------------------------------------------------------------------------------------------------


def _mode(value: Mode | str | None) -> tuple[str, ...]:
    return () if value is None else ("MODE", value)


def _symbol(value: str | None) -> tuple[str, ...]:
    return () if value is None else ("SYMBOL", value)


def _account(value: int | None) -> tuple[object, ...]:
    return () if value is None else ("ACCOUNT", value)


def _text(value: Any) -> str:
    return replies.text({"reply": value}, "reply")


def _integer(value: Any) -> int:
    return replies.integer({"reply": value}, "reply")


def _server(value: Any) -> str:
    return replies.text(replies.pairs_of(value, "the answer to HELLO"), "server")


def _orders(value: Any) -> list[Order]:
    return [Order.from_pairs(pairs) for pairs in replies.items(value, "the list of orders")]


def _orders_at(value: Any) -> tuple[int, list[Order]]:
    pairs = replies.pairs_of(value, "a list of orders with its position")
    return replies.integer(pairs, "exec_id"), _orders(pairs.get("orders"))


def _executions(value: Any) -> list[Execution]:
    # Null: nothing came while it waited.
    return [] if value is None else [Execution.from_entry(entry) for entry in replies.items(value, "executions")]


def _instruments(value: Any) -> dict[str, Instrument]:
    found = [Instrument.from_pairs(pairs) for pairs in replies.items(value, "instruments")]
    return {instrument.symbol: instrument for instrument in found}


def _positions(value: Any) -> list[Position]:
    return [Position.from_pairs(pairs) for pairs in replies.items(value, "positions")]


def _info(value: Any) -> dict[str, str]:
    lines = _text(value).splitlines()
    if any(":" not in line for line in lines if line and not line.startswith("#")):
        raise ProtocolViolation(f"not lines of name:value: {replies.shown(value)}")
    return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))
