"""Frames on their way: which packet counters carried them, which are acknowledged, which count as lost.

A frame is lost when the engine has seen what went out after it, but not the frame, and

- a counter far enough beyond its own was acknowledged (RFC 9002, section 6.1.1): three, until frames that counted as
  lost arrive after all. They were overtaken, and from then on it takes more than that (as in RFC 4653, the threshold
  follows how far apart this road brings things);
- or it has waited for longer than a round trip takes (section 6.1.2), whatever the distance.

Nothing that a later acknowledgement may still name is sent again for a lost answer: each answer names 65 counters.
"""

from math import inf
from typing import Final

PACKET_THRESHOLD: Final = 3
"""How far beyond its own an acknowledged counter tells that a frame is lost, on a road that keeps the order."""


class Flight:
    """An ORDERS frame, or a POLL if it has no records. The same content travels under a new counter each time."""

    __slots__ = ("count", "counter", "counters", "first", "intake_time", "lost", "overtaken", "sent_at")

    def __init__(self, first: int, count: int, intake_time: float) -> None:
        self.first = first
        self.count = count
        self.intake_time = intake_time
        self.counter = -1
        self.counters: dict[int, float] = {}  # each counter it went under, and when
        self.sent_at = inf
        self.lost = False
        self.overtaken = -1
        """The counter under which it counted as lost since later ones were acknowledged; -1 for none."""


class FlightBoard:
    """The flights of one link."""

    def __init__(self) -> None:
        self._orders: dict[int, Flight] = {}  # by first sequence, ascending
        self._by_counter: dict[int, Flight] = {}
        self._poll: Flight | None = None
        self._largest = -1
        self._threshold = PACKET_THRESHOLD
        self._gap_since = inf  # when the first that was passed by another, and is not lost yet, was sent

    def __len__(self) -> int:
        """ORDERS frames in flight."""
        return len(self._orders)

    @property
    def polling(self) -> bool:
        """Whether a POLL is unanswered."""
        return self._poll is not None

    def sent(self, flight: Flight, counter: int, now: float) -> None:
        """``flight`` goes out, for the first time or again, under ``counter``."""
        flight.counter = counter
        flight.counters[counter] = now
        flight.sent_at = now
        flight.lost = False
        self._by_counter[counter] = flight
        if flight.count:
            self._orders[flight.first] = flight
        else:
            self._poll = flight

    def acknowledge(self, next_sequence: int, largest: int, bitmap: int, now: float) -> tuple[bool, float | None]:
        """The engine has executed all below ``next_sequence`` and has seen these counters.

        Returns whether any flight arrived by that, and a round trip if ``largest`` is that of one.
        """
        before = len(self._by_counter)
        newest: float | None = None
        flight = self._by_counter.get(largest)
        if flight is not None:
            newest = now - flight.counters[largest]
            self._arrived(flight, largest)
        counter = largest - 1
        while bitmap:
            if bitmap & 1 and (flight := self._by_counter.get(counter)) is not None:
                self._arrived(flight, counter)
            bitmap >>= 1
            counter -= 1
        self.forget(next_sequence)
        self._largest = max(self._largest, largest)
        self._find_gap()
        return len(self._by_counter) < before, newest

    def _arrived(self, flight: Flight, counter: int) -> None:
        if counter == flight.overtaken:
            # It was not lost but late: nothing that is no further behind counts as lost from now on.
            self._threshold = max(self._threshold, self._largest - counter + 1)
        self._done(flight)

    def _find_gap(self) -> None:
        """What was sent before something that is acknowledged: it is lost if that is far ahead, else it may be late."""
        self._gap_since = inf
        for flight in self._in_flight():
            if flight.counter >= self._largest or flight.lost:
                continue
            if flight.counter + self._threshold <= self._largest:
                flight.lost = True
                flight.overtaken = flight.counter
            else:
                self._gap_since = min(self._gap_since, flight.sent_at)

    def late_at(self, patience: float) -> float:
        """When the first frame that later ones were acknowledged before has waited for ``patience``; or infinite."""
        return self._gap_since + patience

    def lose_late(self, patience: float, now: float) -> None:
        """What was sent before something that is acknowledged, and has waited for ``patience``, is lost."""
        if self.late_at(patience) > now:
            return
        for flight in self._in_flight():
            if flight.counter < self._largest and flight.sent_at + patience <= now:
                flight.lost = True
        self._find_gap()

    def take_lost(self) -> list[Flight]:
        """ORDERS frames to be sent again, in order.

        A lost POLL is forgotten: a new one asks for what is missing then.
        """
        if self._poll is not None and self._poll.lost:
            self._done(self._poll)
        return [flight for flight in self._orders.values() if flight.lost]

    def lose_overdue(self, timeout: float, now: float, most: int) -> None:
        """What has waited for ``timeout`` counts as lost: a POLL, and ``most`` ORDERS frames, the first in any case.

        Otherwise a POLL that is lost would only double the time-out of the ORDERS sent after it.
        """
        # Added as in the caller's comparison and in its timer: another way round rounds another way.
        overdue = [flight for flight in self._orders.values() if flight.sent_at + timeout <= now]
        for flight in overdue[:most] or list(self._orders.values())[:1]:
            flight.lost = True
        if self._poll is not None and self._poll.sent_at + timeout <= now:
            self._poll.lost = True

    def take_all(self) -> list[Flight]:
        """All ORDERS frames, which are not in flight here any more; a POLL is forgotten."""
        flights = list(self._orders.values())
        self.clear()
        for flight in flights:
            flight.counters.clear()
        return flights

    def forget(self, next_sequence: int) -> None:
        """The engine has executed all below ``next_sequence``; it was told elsewhere."""
        for first in list(self._orders):
            flight = self._orders[first]
            if first + flight.count > next_sequence:
                break
            self._done(flight)

    def add_lost(self, flights: list[Flight]) -> None:
        """ORDERS frames that were in flight elsewhere; they are to be sent again here."""
        for flight in flights:
            flight.counters.clear()
            flight.counter, flight.sent_at, flight.lost, flight.overtaken = -1, inf, True, -1
        orders = [*self._orders.values(), *flights]
        self._orders = {flight.first: flight for flight in sorted(orders, key=lambda flight: flight.first)}

    def oldest_sent_at(self) -> float:
        """When the flight that has waited longest was sent; infinite when there is none."""
        return min((flight.sent_at for flight in self._in_flight()), default=inf)

    def waits_since(self) -> float:
        """The same of those that do not count as lost: what does goes out again without any time-out."""
        return min((flight.sent_at for flight in self._in_flight() if not flight.lost), default=inf)

    def clear(self) -> None:
        """Forget all: the link starts anew."""
        self._orders.clear()
        self._by_counter.clear()
        self._poll = None
        self._largest = -1
        self._threshold = PACKET_THRESHOLD
        self._gap_since = inf

    def _in_flight(self) -> list[Flight]:
        flights = list(self._orders.values())
        if self._poll is not None:
            flights.append(self._poll)
        return flights

    def _done(self, flight: Flight) -> None:
        for counter in flight.counters:
            self._by_counter.pop(counter, None)
        if flight is self._poll:
            self._poll = None
        elif self._orders.get(flight.first) is flight:
            del self._orders[flight.first]
