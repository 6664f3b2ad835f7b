"""Real order flow from files, as actions on orders that a file names by keys of its own.

Two formats, gzipped or plain:

``lobster``: message rows of LOBSTER, ``seconds,type,order id,size,price x 10000,direction of the resting order``.
Type 1 is a new limit order; 2 takes some of its quantity off; 3 deletes it; 4 is an execution of it, which is replayed
as an immediate-or-cancel order of the other side at that price; 5 (execution of a hidden order), 6 (cross) and 7 (halt)
say nothing about the visible book and are skipped and counted. So are rows about orders placed before the file begins.

``commands``: tab-separated rows: ``L side key px qty`` resting limit order, ``T side px qty n`` immediate-or-cancel
order that must make n trades, ``A side key px qty n`` limit order that makes n trades and then rests, ``R key qty``
reduce by qty, ``M key px qty`` replace (qty being the new open quantity), ``X key`` cancel, ``B S:pxxqty,...
B:pxxqty,...`` checkpoint of the best levels, ``#`` comment.
"""

import gzip
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, Final, cast

import attrs

from orderd.ctl.errors import InputError

LOBSTER_SCALE: Final = Decimal("0.0001")
_GZIP_MAGIC: Final = b"\x1f\x8b"

Levels = list[tuple[str, str]]


class Do(IntEnum):
    """What an action does."""

    NEW = 0
    TAKE = 1
    CANCEL = 2
    REPLACE_OPEN = 3
    REDUCE = 4
    CHECK = 5


@attrs.define(slots=True)
class Action:
    """One thing to do. ``quantity`` of REPLACE_OPEN is the new open quantity, of REDUCE the quantity to take off."""

    do: Do
    line: int
    key: str = ""
    side: str = ""
    price: str = ""
    quantity: str = ""
    time_ns: int = 0
    trades: int | None = None
    """Trades that an order must make at once, where the file says so."""
    bids: Levels = attrs.Factory(list)
    asks: Levels = attrs.Factory(list)

    @property
    def is_check(self) -> bool:
        """Whether it asks rather than does."""
        return self.do is Do.CHECK

    @property
    def is_taker(self) -> bool:
        """Whether the file's list of trades counts it: T and A rows."""
        return self.do is Do.TAKE or bool(self.trades)


@attrs.define
class Flow:
    """A file's actions, and what was left out."""

    actions: list[Action] = attrs.Factory(list)
    skipped_unseen: int = 0
    skipped_types: Counter[str] = attrs.Factory(Counter)


@attrs.define
class PriceText:
    """Prices and quantities of a file as decimal text of an instrument; exact, or :class:`InputError`."""

    tick: Decimal
    lot: Decimal
    scale: Decimal
    """What a price of 1 in the file is worth."""
    _prices: dict[str, str] = attrs.Factory(dict)

    def price(self, raw: str, line: int) -> str:
        """The price that the file writes as ``raw``, with as many decimals as the tick."""
        text = self._prices.get(raw)
        if text is None:
            text = self._prices[raw] = _steps("price", _whole(raw, line) * self.scale, self.tick, line)
        return text

    def quantity(self, raw: int | str, line: int) -> str:
        """A quantity with as many decimals as the lot."""
        return _steps("quantity", Decimal(_whole(str(raw), line)), self.lot, line)


def _whole(raw: str, line: int) -> int:
    if not (raw.isascii() and raw.isdigit()):
        raise InputError(f"line {line}: {raw!r} is not a whole number")
    return int(raw)


def _steps(name: str, value: Decimal, step: Decimal, line: int) -> str:
    try:
        if value % step == 0:
            return f"{value.quantize(step):f}"
    except InvalidOperation:
        pass
    raise InputError(f"line {line}: {name} {value.normalize():f} is not a multiple of {step}")


def read_rows(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """``(line number, fields)`` of each line that is not empty. Raises :class:`InputError` if that cannot be done."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            lines = TextIOWrapper(cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw, encoding="ascii")
            for line, text in enumerate(lines, 1):
                if text.strip():
                    yield line, text.rstrip("\r\n").split(separator)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


def read_lobster(path: Path, text: PriceText) -> Flow:
    """A LOBSTER message file. Raises :class:`InputError` for a row that is none."""
    flow = Flow()
    open_quantity: dict[str, int] = {}
    for line, row in read_rows(path, ","):
        # Newer files of theirs have a seventh column that says "null" or names a participant.
        if len(row) < 6:
            raise InputError(f"{path}: line {line}: not a LOBSTER message row")
        seconds, kind, key, size_text, price, direction = row[:6]
        if kind in ("5", "6", "7"):
            flow.skipped_types[kind] += 1
            continue
        size = _whole(size_text, line)
        if kind not in ("1", "2", "3", "4") or direction not in ("1", "-1"):
            raise InputError(f"{path}: line {line}: not a LOBSTER message row")
        time_ns = _nanoseconds(seconds, line)
        side = "BUY" if direction == "1" else "SELL"
        if kind == "1":
            open_quantity[key] = size
            action = Action(Do.NEW, line, key, side, text.price(price, line), text.quantity(size, line), time_ns)
        elif key not in open_quantity:
            flow.skipped_unseen += 1
            continue
        elif kind == "4":
            opposite = "SELL" if side == "BUY" else "BUY"
            action = Action(Do.TAKE, line, "", opposite, text.price(price, line), text.quantity(size, line), time_ns)
            open_quantity[key] -= size
        elif kind == "3" or open_quantity[key] <= size:
            del open_quantity[key]
            action = Action(Do.CANCEL, line, key, time_ns=time_ns)
        else:
            open_quantity[key] -= size
            left = text.quantity(open_quantity[key], line)
            action = Action(Do.REPLACE_OPEN, line, key, side, text.price(price, line), left, time_ns)
        flow.actions.append(action)
    return flow


def _nanoseconds(seconds: str, line: int) -> int:
    whole, _, fraction = seconds.partition(".")
    return _whole(whole, line) * 1_000_000_000 + _whole((fraction + "000000000")[:9], line)


_FIELDS: Final = {"L": 5, "T": 5, "A": 6, "R": 3, "M": 4, "X": 2, "B": 3}
_SIDES: Final = {"B": "BUY", "S": "SELL"}


def read_commands(path: Path, text: PriceText) -> Flow:
    """A file of ``commands``. Raises :class:`InputError` for a row that is none."""
    flow = Flow()
    for line, row in read_rows(path, "\t"):
        kind = row[0]
        if kind.startswith("#"):
            continue
        if len(row) != _FIELDS.get(kind) or (kind in "LTA" and row[1] not in _SIDES):
            raise InputError(f"{path}: line {line}: not a command row")
        match kind, row[1:]:
            case "L", [side, key, price, size]:
                action = Action(
                    Do.NEW, line, key, _SIDES[side], text.price(price, line), text.quantity(size, line), trades=0
                )
            case "A", [side, key, price, size, trades]:
                action = Action(Do.NEW, line, key, _SIDES[side], text.price(price, line), text.quantity(size, line))
                action.trades = _whole(trades, line)
            case "T", [side, price, size, trades]:
                action = Action(Do.TAKE, line, "", _SIDES[side], text.price(price, line), text.quantity(size, line))
                action.trades = _whole(trades, line)
            case "R", [key, size]:
                action = Action(Do.REDUCE, line, key, quantity=text.quantity(size, line))
            case "M", [key, price, size]:
                action = Action(
                    Do.REPLACE_OPEN, line, key, price=text.price(price, line), quantity=text.quantity(size, line)
                )
            case "X", [key]:
                action = Action(Do.CANCEL, line, key)
            case _, [asks, bids]:
                action = Action(Do.CHECK, line, bids=_levels(bids, "B:", text, line))
                action.asks = _levels(asks, "S:", text, line)
            case _:
                raise InputError(f"{path}: line {line}: not a command row")
        flow.actions.append(action)
    return flow


def _levels(words: str, prefix: str, text: PriceText, line: int) -> Levels:
    if not words.startswith(prefix):
        raise InputError(f"line {line}: not a checkpoint")
    levels = (level.partition("x") for level in words[len(prefix) :].split(",") if level)
    return [(text.price(price, line), text.quantity(size, line)) for price, _, size in levels]


def read_expected_trades(path: Path, text: PriceText) -> list[tuple[int, str, str, str]]:
    """``(taker number, maker's key, price, quantity)`` of each trade; takers are counted as T and A come, from 1."""
    trades = []
    for line, row in read_rows(path, ","):
        if row[0] == "taker_seq":
            continue
        if len(row) != 4:
            raise InputError(f"{path}: line {line}: not a trade")
        trades.append((_whole(row[0], line), row[1], text.price(row[2], line), text.quantity(row[3], line)))
    return trades
