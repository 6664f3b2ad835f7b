"""A client program under which daemons may be killed: it goes on, reconnects, and sends again what was not answered.

Orders, cancels, replaces and batches in all modes, drawn from a seed. Cancels and replaces are of orders that rest far
from the market, so that none comes too late; orders at one other price trade with each other.
"""

import random
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from tests.support.accounts import Account, account_of
from tests.support.processes import Site
from tests.support.resp_client import RespClient, RespError, Word, pack

RECORD: Final = struct.Struct("<QqQIHBB")
FAR_PRICES: Final = ("1.00", "1.01", "1.02", "1.03", "1.04")
TRADING_PRICE: Final = "10.00"
OPTIONS: Final[tuple[tuple[str, ...], ...]] = (
    (),
    (),
    ("TIF", "GTC"),
    ("GTD", "2199-11-23T17:00:00Z"),
    ("GTD", "7252000000000", "STP", "NONE"),
)
"""Such as change nothing about what an order does here; some travel as records of their own."""
RECONNECT_S: Final = 60.0
BATCH_RECORDS: Final = 20
NUMBERS_OF_A_CLIENT: Final = 10**9


def records(first: int, count: int, *, ticks: int = 100, quantity: int = 1, instrument: int = 1) -> bytes:
    """New buy orders with numbers from ``first`` on, for ORDER.BATCH."""
    return b"".join(RECORD.pack(first + i, ticks, quantity, instrument, 0, 1, 0) for i in range(count))


@attrs.frozen
class _Sent:
    """A command, the ids of the orders it places, and the order that it cancels, if it does."""

    words: tuple[Word, ...]
    places: tuple[str, ...] = ()
    cancels: str = ""


class Load(threading.Thread):
    """One client. Look at its accounts after :meth:`finish` only, but for :attr:`answered`."""

    def __init__(self, path: Path, number: int, *, window: int = 64) -> None:
        super().__init__(name=f"load {number}", daemon=True)
        self.answered = 0
        """Commands that were answered without an error."""
        self.placed: list[str] = []
        """Ids of all orders sent, in that order."""
        self.acknowledged: set[str] = set()
        self.cancelled: set[str] = set()
        """Ids whose cancel was acknowledged."""
        self.price_of: dict[str, str] = {}
        self.problems: list[str] = []
        self.statuses: set[str] = set()
        self._path = path
        self._number = number
        self._window = window
        self._random = random.Random(number)
        self._resting: list[str] = []
        self._ids = 0
        self._batch_next = (number + 1) * NUMBERS_OF_A_CLIENT
        self._client: RespClient | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._deliver([self._next() for _ in range(self._window)])
        except Exception as error:  # noqa: BLE001 - told by finish()
            self.problems.append(repr(error))
        finally:
            if self._client is not None:
                self._client.socket.close()

    def finish(self) -> None:
        """Stop sending; what was sent is answered first. Fails if anything was answered as it should not be."""
        self._stopping.set()
        self.join(RECONNECT_S)
        assert not self.is_alive(), "it does not come to an end"
        assert not self.problems, self.problems[:5]

    def _next(self) -> _Sent:
        choice = self._random.random()
        mode = ("MODE", self._random.choices(("sync", "batch", "fire-and-forget"), (1, 2, 7))[0])
        if choice < 0.1 and self._resting:
            name = self._resting.pop(self._random.randrange(len(self._resting)))
            return _Sent(("ORDER.CANCEL", name, "ID", self._id(), *mode), (), name)
        if choice < 0.2 and self._resting:
            name = self._random.choice(self._resting)
            words = ("ORDER.REPLACE", name, self._random.randint(1, 9), self.price_of[name], "ID", self._id(), *mode)
            return _Sent(words)
        if choice < 0.25:
            first = self._batch_next
            self._batch_next += BATCH_RECORDS
            places = tuple(self._place(str(first + i), FAR_PRICES[0]) for i in range(BATCH_RECORDS))
            return _Sent(("ORDER.BATCH", self._id(), records(first, BATCH_RECORDS), *mode), places)
        name = self._id()
        if choice < 0.45:
            self._place(name, TRADING_PRICE)
            side, price = self._random.choice(("BUY", "SELL")), TRADING_PRICE
        else:
            side, price = "BUY", self._random.choice(FAR_PRICES)
            self._resting.append(self._place(name, price))
        order = ("ORDER.NEW", name, "AAPL", side, self._random.randint(1, 9), "LIMIT", price)
        return _Sent((*order, *self._random.choice(OPTIONS), *mode), (name,))

    def _id(self) -> str:
        self._ids += 1
        return f"c{self._number}-{self._ids}"

    def _place(self, name: str, price: str) -> str:
        self.placed.append(name)
        self.price_of[name] = price
        return name

    def _deliver(self, commands: list[_Sent]) -> None:
        while commands:
            replies: list[Any] = []
            try:
                if self._client is None:
                    self._client = self._connect()
                data = b"".join(pack(*command.words) for command in commands)
                self._client.exchange_into(replies, data, len(commands))
            except (EOFError, OSError):
                if self._client is not None:
                    self._client.socket.close()
                self._client = None
            for command, reply in zip(commands, replies, strict=False):
                self._note(command, reply)
            commands = commands[len(replies) :]

    def _note(self, command: _Sent, reply: Any) -> None:
        if isinstance(reply, RespError):
            self.problems.append(f"{command.words}: {reply.text}")
            return
        self.answered += 1
        self.statuses.add(reply["status"])
        if reply["status"] == "UNKNOWN":
            return
        self.acknowledged.update(command.places)
        if command.cancels:
            self.cancelled.add(command.cancels)

    def _connect(self) -> RespClient:
        deadline = time.monotonic() + RECONNECT_S
        while True:
            try:
                return RespClient(self._path)
            except (OSError, EOFError) as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"orderd does not come back: {error}") from error
                time.sleep(0.01)


def check_exactly_once(site: Site, loads: list[Load]) -> Account:
    """All is confirmed, and executions and book say that each order of ``loads`` was placed once, in order."""
    site.wait_confirmed()
    with site.client() as client:
        account = account_of(client.executions())
        book = client.call("BOOK", "AAPL", "DEPTH", 1000)
    assert not account.refused, "no order was rejected"
    # A cancel that overtook its order would not have found it.
    assert not account.types["CANCEL_REJECTED"] and not account.types["REPLACE_REJECTED"], account.types
    orders = account.by_cl_ord_id()
    price_of: dict[str, str] = {}
    for load in loads:
        price_of |= load.price_of
        missing = [name for name in load.acknowledged if name not in orders]
        assert not missing, f"{len(missing)} acknowledged orders are lost: {missing[:5]}"
        placed = {name: index for index, name in enumerate(load.placed)}
        indexes = [placed[name] for name in orders if name in placed]
        assert indexes == sorted(indexes), "orders of a client in the order in which it sent them"
        open_ones = [name for name in load.cancelled if not orders[name].done]
        assert not open_ones, f"cancelled and still open: {open_ones[:5]}"
    strangers = orders.keys() - price_of.keys()
    assert not strangers, f"nobody sent these: {list(strangers)[:5]}"
    levels = account.levels("AAPL", price_of)
    for key, side in (("bids", "BUY"), ("asks", "SELL")):
        found = {price: (int(quantity), int(count)) for price, quantity, count in book[key]}
        assert found == levels[side], f"the book's {key}"
    return account


def wait_for_progress(loads: list[Load], wait: Callable[[Callable[[], Any], str], Any], commands: int = 300) -> None:
    """Until each of ``loads`` has got so many more answers."""
    for load, target in [(load, load.answered + commands) for load in loads]:
        wait(lambda load=load, target=target: load.answered >= target or load.problems, "orders flow")  # type: ignore[misc]
