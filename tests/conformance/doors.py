"""The two ways in for the same records: as text commands, and as batches. A real orderd and engine stand behind."""

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Protocol

from orderd.wire.records import FLAG_MARKET, FLAG_SELL, RECORD, TIF_MASK, TIF_SHIFT, Kind, TimeInForce
from tests.support.resp_client import RespClient
from tests.support.scenarios import Fill, Levels

SYMBOL: Final = "AAPL"
TICK: Final = Decimal("0.01")
BATCH_RECORDS_MAX: Final = 30_000


class Door(Protocol):
    """How records reach orderd."""

    name: str

    def send(self, client: RespClient, records: Sequence[bytes]) -> None:
        """Have ``records`` executed; returns when all are confirmed."""


class TextDoor:
    """Each record as the command that says the same."""

    name = "text"

    def send(self, client: RespClient, records: Sequence[bytes]) -> None:
        for words, reply in zip(map(as_command, records), client.pipeline(map(as_command, records)), strict=True):
            assert isinstance(reply, dict) and "status" in reply, f"{words}: {reply}"


class BatchDoor:
    """All records in one batch, or a few."""

    name = "batch"

    def __init__(self) -> None:
        self._ids = itertools.count(1)

    def send(self, client: RespClient, records: Sequence[bytes]) -> None:
        for start in range(0, len(records), BATCH_RECORDS_MAX):
            part = records[start : start + BATCH_RECORDS_MAX]
            reply = client.call("ORDER.BATCH", f"batch{next(self._ids)}", b"".join(part))
            assert (reply["status"], int(reply["orders"])) == ("DONE", len(part)), reply


def as_command(record: bytes) -> list[str]:
    """The text command of a record."""
    number, price, quantity, _, _, kind, flags = RECORD.unpack(record)
    if kind == Kind.CANCEL:
        return ["ORDER.CANCEL", str(number)]
    if kind in (Kind.REPLACE, Kind.REPLACE_OPEN):
        words = ["ORDER.REPLACE", str(number), str(quantity), str(price * TICK)]
        return [*words, "OPEN"] if kind == Kind.REPLACE_OPEN else words
    assert kind == Kind.NEW
    words = ["ORDER.NEW", str(number), SYMBOL, "SELL" if flags & FLAG_SELL else "BUY", str(quantity)]
    words += ["MARKET"] if flags & FLAG_MARKET else ["LIMIT", str(price * TICK)]
    return [*words, "TIF", TimeInForce((flags & TIF_MASK) >> TIF_SHIFT).name]


class SocketVenue:
    """A site seen through one door, as :class:`tests.support.scenarios.Venue`."""

    def __init__(self, client: RespClient, door: Door) -> None:
        self._client = client
        self._door = door
        self._read = client.last_execution()

    def execute(self, records: Sequence[bytes]) -> list[Fill]:
        self._door.send(self._client, records)
        return [
            (int(pairs["cl_ord_id"]), int(pairs["last_qty"]), _ticks(pairs["last_px"]))
            for pairs in self.new_executions()
            if pairs["exec_type"] == "TRADE"
        ]

    def new_executions(self) -> list[dict[str, str]]:
        """Those that were not read before."""
        self._client.last_execution()
        found = self._client.executions(self._read)
        if found:
            self._read = found[-1][0]
        return [pairs for _, pairs in found]

    def depth(self) -> tuple[Levels, Levels]:
        book: dict[str, Any] = self._client.call("BOOK", SYMBOL, "DEPTH", 1000)
        return _levels(book["bids"]), _levels(book["asks"])

    def first(self, *, bids: bool) -> int | None:
        """Never: a level's queue does not show outside."""
        return None

    def clear(self) -> None:
        """Leave the book empty."""
        self._client.call("ORDER.MASSCANCEL")
        self._read = self._client.last_execution()


def _levels(levels: list[list[str]]) -> Levels:
    return [(_ticks(price), int(quantity), int(orders)) for price, quantity, orders in levels]


def _ticks(price: str) -> int:
    return int(Decimal(price) / TICK)
