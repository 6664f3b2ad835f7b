"""What the engine does although no order asks for it: orders expire, days end, the rules of markets change. Pure.

Each of these is an input of the journal, made here at the start of a round and executed with the round's time stamp T
before any order of the round:

- EXPIRE once a GTD order is due at or before T, DAY END once a day end is; whichever is due first goes first.
- MARKET for each instrument whose rules the settings have changed.

What came due while the engine was down is thus done at its next start, before anything else, and once: every stamp in
the journal proves that all day ends up to it were done, so the next one is the first behind the last stamp. Several
that were missed are one, since after it no DAY order is left. A day end that the settings move concerns what comes
behind that stamp. Stamps never go back, so a clock that is put back ends no day twice.

A rerun of the journal comes here with the inputs (:meth:`Agenda.execute`) and with nothing else. There is no state here
that a snapshot would need: rules are with the books, and what is due next is computed by :meth:`Agenda.begin`.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Final

import attrs

from engine.day_end import DayEnd
from engine.inputs import DayEndInput, ExpireInput, MarketInput
from engine.markets import OPEN_MARKET, MarketRules
from engine.matcher import Matcher

TimedInput = ExpireInput | DayEndInput | MarketInput

AT_ONCE: Final = 0
"""A time that has always come."""


@attrs.frozen
class Expired:
    """GTD orders, so many, were over."""

    orders: int


@attrs.frozen
class DayEnded:
    """At ``time_ns`` so many DAY orders expired."""

    time_ns: int
    orders: int


@attrs.frozen
class MarketChanged:
    """From now on ``rules`` are in force."""

    instrument: int
    rules: MarketRules


Happening = Expired | DayEnded | MarketChanged


class Agenda:
    """What is due, and when."""

    def __init__(self, matcher: Matcher, instruments: Iterable[int], day_end: DayEnd | None = None) -> None:
        """``instruments``: those whose markets :meth:`want` is about."""
        self._matcher = matcher
        self._instruments = tuple(instruments)
        self._day_end = day_end
        self._next_day_end_ns: int | None = None
        """AT_ONCE: not known yet, since the journal has no stamp to count from."""
        self._wanted: Mapping[int, MarketRules] | None = None
        """None: as they are."""

    def begin(self, last_time_ns: int) -> None:
        """After the rerun of a journal whose last stamp is ``last_time_ns``; 0 if there is none."""
        if self._day_end is not None:
            self._next_day_end_ns = self._day_end.next_after(last_time_ns) if last_time_ns else AT_ONCE

    def want(self, markets: Mapping[int, MarketRules]) -> None:
        """Have these rules by instrument in force from the next round on, and :data:`OPEN_MARKET` for the others."""
        self._wanted = markets

    def wake_at_ns(self) -> int | None:
        """When the next round must be, in nanoseconds since 1970 UTC; None if nothing is to come."""
        if self._wanted is not None:
            return AT_ONCE
        expiry_ns, day_end_ns = self._matcher.next_expiry_ns, self._next_day_end_ns
        if expiry_ns is None or day_end_ns is None:
            return day_end_ns if expiry_ns is None else expiry_ns
        return min(expiry_ns, day_end_ns)

    def due(self, time_ns: int) -> Iterator[TimedInput]:
        """The inputs that are due at ``time_ns``, in their order; execute each before the next is asked for."""
        if self._next_day_end_ns == AT_ONCE and self._day_end is not None:
            self._next_day_end_ns = self._day_end.next_after(time_ns)
        moments = ((self._matcher.next_expiry_ns, ExpireInput), (self._next_day_end_ns, DayEndInput))
        ready = [(at_ns, make) for at_ns, make in moments if at_ns is not None and at_ns <= time_ns]
        for _, make in sorted(ready, key=itemgetter(0)):
            if make is DayEndInput and self._day_end is not None:
                self._next_day_end_ns = self._day_end.next_after(time_ns)
            yield make(time_ns)
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            yield from self._changes_to(wanted, time_ns)

    def _changes_to(self, wanted: Mapping[int, MarketRules], time_ns: int) -> Iterator[MarketInput]:
        for instrument in self._instruments:
            rules, in_force = wanted.get(instrument, OPEN_MARKET), self._matcher.book(instrument).rules
            if rules is not in_force and rules != in_force:
                yield MarketInput(time_ns, instrument, rules)

    def execute(self, entry: TimedInput) -> Generator[None, None, Happening]:
        """Do what ``entry`` says, a step at a time; returns what came of it."""
        if isinstance(entry, MarketInput):
            self._matcher.set_market(entry.instrument, entry.rules)
            yield  # There may be thousands.
            return MarketChanged(entry.instrument, entry.rules)
        if isinstance(entry, ExpireInput):
            return Expired((yield from self._matcher.expire(entry.time_ns)))
        return DayEnded(entry.time_ns, (yield from self._matcher.end_day(entry.time_ns)))
