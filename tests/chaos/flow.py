"""What a client sends, drawn from a seed: all that happens to orders, with contents by which each is told apart. Pure.

A few orders rest at a time, so that a naive book can follow: cancels take out what would be too many. No order is
cancelled twice, and no two replaces of one order are the same.
"""

import random
import struct
from typing import Final

from tests.chaos.commands import CANCEL, EXTENSION, NEW, REPLACE, Command, Fields

RECORD: Final = struct.Struct("<QqQIHBB")
INSTRUMENTS: Final = (("AAPL", 1), ("MSFT", 2))
FAR_TICKS: Final = range(100, 108)
TRADING_TICKS: Final = 1000
PROBE_TICKS: Final = 1
RESTING_MAX: Final = 24
IN_A_BATCH: Final = 6
NUMBERS_OF_A_CLIENT: Final = 10**9
MODES: Final = ("sync", "batch", "fire-and-forget")
SELL, MARKET, POST_ONLY, STP_SHIFT, TIF_SHIFT = 1, 2, 32, 6, 2
IOC, FOK = 2, 3
DISPLAY: Final = 2


def price_text(ticks: int) -> str:
    """As a decimal, for instruments with a tick of 0.01."""
    return f"{ticks // 100}.{ticks % 100:02}"


class Flow:
    """Commands of one client. ``number`` tells clients of a site apart."""

    def __init__(self, number: int, seed: str, modes: tuple[int, int, int] = (1, 2, 7)) -> None:
        """``modes``: how often each of :data:`MODES`."""
        self._number = number
        self._random = random.Random(f"{seed} {number}")
        self._modes = modes
        self._count = 0
        self._resting: list[Command] = []
        self._batch_next = (number + 1) * NUMBERS_OF_A_CLIENT
        self._batch_resting: list[int] = []

    def next(self) -> Command:
        """The next command."""
        dice = self._random.random()
        if self._resting and (dice < 0.1 or len(self._resting) > RESTING_MAX):
            return self._cancel()
        if self._resting and dice < 0.18:
            return self._replace()
        if dice < 0.22:
            return self._batch()
        if dice < 0.45:
            return self._crossing()
        return self._far()

    def probe(self) -> Command:
        """A sync order that is over at once, and meets nobody."""
        return self._new(0, 1, PROBE_TICKS, words=("TIF", "IOC"), flags=IOC << TIF_SHIFT, mode="sync")

    # --- the kinds ----------------------------------------------------------------------------------------------------

    def _far(self) -> Command:
        quantity, ticks = self._random.randint(1, 9), self._random.choice(FAR_TICKS)
        dice = self._random.random()
        if dice < 0.1:
            # Far too late only where the engine is away.
            return self._new(0, quantity, ticks, words=("TIF", "IOC", "MAXAGE", "300"), flags=IOC << TIF_SHIFT)
        if dice < 0.2:
            shown = (0, 0, quantity, INSTRUMENTS[0][1], 0, EXTENSION, DISPLAY)
            order = self._new(0, 3 * quantity, ticks, words=("DISPLAY", str(quantity)), extension=shown)
        elif dice < 0.3:
            order = self._new(0, quantity, ticks, words=("POSTONLY",), flags=POST_ONLY)
        else:
            order = self._new(self._random.randrange(2), quantity, ticks)
        self._resting.append(order)
        return order

    def _crossing(self) -> Command:
        quantity, sell = self._random.randint(1, 9), self._random.randrange(2)
        words: tuple[str, ...] = ()
        flags = sell
        dice = self._random.random()
        if dice < 0.2:
            words, flags = ("TIF", "IOC"), flags | IOC << TIF_SHIFT
        elif dice < 0.3:
            words, flags = ("TIF", "FOK"), flags | FOK << TIF_SHIFT
        elif dice < 0.4:
            words, flags = ("STP", "CANCEL_OLDEST"), flags | 2 << STP_SHIFT
        elif dice < 0.5 and not sell:
            return self._new(0, quantity, 0, words=("TIF", "IOC"), flags=MARKET | IOC << TIF_SHIFT)
        account = self._random.randrange(3)
        return self._new(0, quantity, TRADING_TICKS, words=words, flags=flags, account=account)

    def _cancel(self) -> Command:
        target = self._resting.pop(self._random.randrange(len(self._resting)))
        fields = (0, 0, 0, target.records[-1][3], 0, CANCEL, 0)
        name = self._name()
        return Command(name, ("ORDER.CANCEL", target.name, "ID", name, *self._mode()), (fields,), target)

    def _replace(self) -> Command:
        target = self._random.choice(self._resting)
        target.replaces += 1
        quantity, ticks = 10 + target.replaces, self._random.choice(FAR_TICKS)
        fields = (0, ticks, quantity, target.records[-1][3], 0, REPLACE, 0)
        name = self._name()
        words = ("ORDER.REPLACE", target.name, quantity, price_text(ticks), "ID", name, *self._mode())
        return Command(name, words, (fields,), target)

    def _batch(self) -> Command:
        instrument = INSTRUMENTS[1][1]
        records: list[Fields] = [(number, 0, 0, instrument, 0, CANCEL, 0) for number in self._batch_resting]
        self._batch_resting = list(range(self._batch_next, self._batch_next + IN_A_BATCH))
        self._batch_next += IN_A_BATCH
        draw = self._random
        records += [
            (number, draw.choice(FAR_TICKS), draw.randint(1, 9), instrument, 0, NEW, 0)
            for number in self._batch_resting
        ]
        name = self._name()
        data = b"".join(RECORD.pack(*fields) for fields in records)
        return Command(name, ("ORDER.BATCH", name, data, *self._mode()), tuple(records), is_batch=True)

    def _new(
        self,
        market: int,
        quantity: int,
        ticks: int,
        *,
        words: tuple[str, ...] = (),
        flags: int = 0,
        account: int = 0,
        extension: Fields | None = None,
        mode: str = "",
    ) -> Command:
        symbol, instrument = INSTRUMENTS[market]
        if extension is not None:
            extension = (*extension[:3], instrument, *extension[4:])
        side = "SELL" if flags & SELL else "BUY"
        kind = ("MARKET",) if flags & MARKET else ("LIMIT", price_text(ticks))
        name = self._name()
        more = (*words, *(("ACCOUNT", str(account)) if account else ()))
        sent = ("ORDER.NEW", name, symbol, side, quantity, *kind, *more, *(("MODE", mode) if mode else self._mode()))
        fields = (0, ticks, quantity, instrument, account, NEW, flags)
        records = (fields,) if extension is None else (extension, fields)
        return Command(name, sent, records, may_expire="MAXAGE" in words)

    def _mode(self) -> tuple[str, str]:
        return "MODE", self._random.choices(MODES, self._modes)[0]

    def _name(self) -> str:
        self._count += 1
        return f"c{self._number}-{self._count}"
