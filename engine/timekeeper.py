"""Begins a round when time brings something, and tells the log what time and settings did. Decides nothing.

What is due is the core's business (:mod:`engine.agenda`). The wall clock may jump, so that a sleep until a moment by it
is never longer than a second.
"""

from datetime import UTC, datetime
from typing import Final

import trio

from engine.agenda import DayEnded, Expired, MarketChanged
from engine.core import EngineCore
from engine.day_end import NS_PER_S
from engine.rounds import Rounds
from orderd.runtime.clock import Clock
from orderd.runtime.instruments import InstrumentTable
from orderd.runtime.log import get_logger

SLEEP_MAX_S: Final = 1.0
EXPIRIES_LOGGED_EVERY_S: Final = 60.0

log = get_logger("engine")


def shown_time(time_ns: int) -> str:
    """For people, in UTC."""
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).isoformat()


class Timekeeper:
    """There is one; it hears of the end of every round."""

    def __init__(self, core: EngineCore, rounds: Rounds, clock: Clock, instruments: InstrumentTable) -> None:
        self._core = core
        self._rounds = rounds
        self._clock = clock
        self._instruments = instruments
        self._wake_at_ns: int | None = None
        self._moved = trio.Event()
        self._expired = 0
        """Orders that the log has not heard of."""
        self._expiries_told_at = clock.monotonic() - EXPIRIES_LOGGED_EVERY_S
        rounds.after_round = self._look

    async def run(self) -> None:
        """Until cancelled. Raises :class:`~orderd.journal.errors.JournalError`."""
        for instrument in self._instruments:
            if self._core.matcher.book(instrument.id).rules.halted:
                log.warning("market is halted since before this start", symbol=instrument.symbol)
        try:
            while True:
                self._moved = trio.Event()
                self._wake_at_ns = self._core.wake_at_ns()
                wait_s = self._wait_s()
                if wait_s <= 0:
                    await self._rounds.turn()
                    await trio.lowlevel.checkpoint()
                    continue
                with trio.move_on_after(wait_s):
                    await self._moved.wait()
                self._tell_expiries(EXPIRIES_LOGGED_EVERY_S)
        finally:
            self._tell_expiries(0)

    def _wait_s(self) -> float:
        if self._wake_at_ns is None and not self._expired:
            return float("inf")
        if self._wake_at_ns is None:
            return SLEEP_MAX_S
        return min(SLEEP_MAX_S, (self._wake_at_ns - self._clock.time_ns()) / NS_PER_S)

    def _look(self) -> None:
        if self._core.wake_at_ns() != self._wake_at_ns:
            self._moved.set()
        if self._core.happened:
            self._tell()

    def _tell(self) -> None:
        happened, self._core.happened = self._core.happened, []
        for what in happened:
            if isinstance(what, MarketChanged):
                self._tell_market(what)
            elif isinstance(what, DayEnded):
                log.info("day ended", time=shown_time(what.time_ns), orders_expired=what.orders)
            elif isinstance(what, Expired):
                self._expired += what.orders
        self._tell_expiries(EXPIRIES_LOGGED_EVERY_S)

    def _tell_market(self, change: MarketChanged) -> None:
        instrument, rules = self._instruments.by_id[change.instrument], change.rules
        low, high = (instrument.format_price(limit).decode() if limit else "none" for limit in (rules.low, rules.high))
        told = log.warning if rules.halted else log.info
        event = "market halted" if rules.halted else "market open"
        told(event, symbol=instrument.symbol, price_low=low, price_high=high)

    def _tell_expiries(self, every_s: float) -> None:
        """In summary: there may be many, one by one."""
        now = self._clock.monotonic()
        if self._expired and now - self._expiries_told_at >= every_s:
            log.info("orders expired", orders=self._expired)
            self._expired, self._expiries_told_at = 0, now
