"""What the client programs of ``orderctl demo`` send: a market maker, a taker, a sender of batches.

A role decides and does nothing else: it is asked for the next command, told each reply and shown the book now and then.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any, Final

import attrs

from orderd.ctl.connection import Connection, Word
from orderd.wire.records import RECORD, Kind, Side, TimeInForce, new_flags

START_TICKS: Final = 10_000
QUOTES_A_SIDE: Final = 8
QUOTE_DISTANCE_TICKS: Final = 10
BATCH_RECORDS: Final = 50
BATCH_DISTANCE_TICKS: Final = 40
RESERVED_BLOCK: Final = 10_000
CLOSED: Final = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
OPPOSITE: Final = {"BUY": "SELL", "SELL": "BUY"}


@attrs.frozen
class Command:
    """One command, how many orders it stands for, and the id by which its outcome can be asked for."""

    words: tuple[Word, ...]
    last_id: str
    orders: int = 1
    takes: bool = False
    slot: tuple[str, int] | None = None


@attrs.frozen
class Market:
    """An instrument, and the source of order numbers."""

    control: Connection
    symbol: str
    instrument_id: int
    tick: Decimal
    _blocks: list[range] = attrs.Factory(list)

    @classmethod
    def ask(cls, control: Connection, symbol: str) -> "Market":
        """The instrument as the daemon knows it."""
        (found,) = (pairs for pairs in control.call("INSTRUMENTS") if pairs["symbol"] == symbol)
        return cls(control, symbol, int(found["id"]), Decimal(found["tick"]))

    def price(self, ticks: int) -> str:
        """Ticks as decimal text."""
        return f"{max(1, ticks) * self.tick:f}"

    def ticks(self, price: str) -> int:
        """Decimal text as ticks."""
        return int(Decimal(price) / self.tick)

    def numbers(self) -> Iterator[int]:
        """Order numbers that nobody used, taken in blocks."""
        while True:
            first = int(self.control.call("ORDER.RESERVE", RESERVED_BLOCK))
            yield from range(first, first + RESERVED_BLOCK)


class Role(ABC):
    """Decides what is sent next."""

    def __init__(self, name: str, market: Market, mode: str, random: Random) -> None:
        self.name = name
        self.market = market
        self.mode = mode
        self.random = random
        self.numbers = market.numbers()
        self.best = {"BUY": START_TICKS - 1, "SELL": START_TICKS + 1}
        """The best bid and ask seen last, in ticks."""

    def look(self, book: dict[str, Any]) -> None:
        """Takes the top of the book in."""
        for side, levels in (("BUY", book["bids"]), ("SELL", book["asks"])):
            if levels:
                self.best[side] = self.market.ticks(levels[0][0])

    def new(self, number: int, side: str, quantity: int, ticks: int, *more: Word) -> tuple[Word, ...]:
        """The words of a limit order."""
        price = self.market.price(ticks)
        return ("ORDER.NEW", number, self.market.symbol, side, quantity, "LIMIT", price, "MODE", self.mode, *more)

    @abstractmethod
    def next_command(self) -> Command:
        """What to send now."""

    def on_reply(self, command: Command, reply: dict[str, Any] | None) -> None:
        """What came back; None for an error. Most roles do not care."""
        del command, reply


class Maker(Role):
    """Quotes both sides around a mid price that drifts, and moves its quotes by replace, or by cancel and new."""

    def __init__(self, name: str, market: Market, mode: str, random: Random) -> None:
        super().__init__(name, market, mode, random)
        self._mid = START_TICKS
        self._quotes: dict[tuple[str, int], int] = {}

    def next_command(self) -> Command:
        random = self.random
        if random.random() < 0.05:
            self._mid = max(QUOTE_DISTANCE_TICKS * 10, self._mid + random.choice((-1, 1)))
        side = random.choice(("BUY", "SELL"))
        slot = (side, random.randrange(QUOTES_A_SIDE))
        distance = 1 + random.randrange(QUOTE_DISTANCE_TICKS)
        ticks = self._mid - distance if side == "BUY" else self._mid + distance
        quantity = random.randrange(10, 200)
        number = self._quotes.get(slot)
        if number is None:
            number = self._quotes[slot] = next(self.numbers)
            return Command(self.new(number, side, quantity, ticks), str(number), slot=slot)
        if random.random() < 0.7:
            words = ("ORDER.REPLACE", number, quantity, self.market.price(ticks), "OPEN")
            return Command(words, str(number), slot=slot)
        del self._quotes[slot]
        return Command(("ORDER.CANCEL", number), str(number))

    def on_reply(self, command: Command, reply: dict[str, Any] | None) -> None:
        slot = command.slot
        if slot is None or (reply is not None and reply["status"] not in CLOSED):
            return
        if str(self._quotes.get(slot)) == command.last_id:
            del self._quotes[slot]


class Taker(Role):
    """Takes what is at the other side's best price, or what little there is beyond it."""

    def next_command(self) -> Command:
        side = self.random.choice(("BUY", "SELL"))
        reach = self.random.randrange(3)
        best = self.best[OPPOSITE[side]]
        number = next(self.numbers)
        ticks = best + reach if side == "BUY" else best - reach
        return Command(
            self.new(number, side, self.random.randrange(1, 100), ticks, "TIF", "IOC"), str(number), takes=True
        )


class BatchSender(Role):
    """Sends packed records: orders a little away from the market, and cancels of those that it sent before."""

    def __init__(self, name: str, market: Market, mode: str, random: Random) -> None:
        super().__init__(name, market, mode, random)
        self._batches = 0
        self._open: deque[int] = deque()

    def next_command(self) -> Command:
        done = [self._open.popleft() for _ in range(min(len(self._open), BATCH_RECORDS // 2))]
        records = [RECORD.pack(number, 0, 0, self.market.instrument_id, 0, Kind.CANCEL, 0) for number in done]
        number = 0
        for _ in range(BATCH_RECORDS // 2):
            number = next(self.numbers)
            side = self.random.choice((Side.BUY, Side.SELL))
            distance = 1 + self.random.randrange(BATCH_DISTANCE_TICKS)
            price = max(1, self.best["BUY"] - distance if side is Side.BUY else self.best["SELL"] + distance)
            flags = new_flags(side, market=False, time_in_force=TimeInForce.DAY)
            quantity = self.random.randrange(1, 50)
            records.append(RECORD.pack(number, price, quantity, self.market.instrument_id, 0, Kind.NEW, flags))
            self._open.append(number)
        self._batches += 1
        words = ("ORDER.BATCH", f"{self.name}-{self._batches}", b"".join(records), "MODE", self.mode)
        return Command(words, str(number), orders=len(records))


ROLES: Final[dict[str, type[Role]]] = {"maker": Maker, "taker": Taker, "batch": BatchSender}
