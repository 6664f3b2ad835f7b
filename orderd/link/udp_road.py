"""What travels over UDP: frames in flight, their time-out, and the probes of a road that is down."""

from math import inf
from typing import Final

import attrs

from orderd.link.flights import FlightBoard
from orderd.link.round_trip import RoundTrip

SUSPECT_RETRANSMITS: Final = 2
"""How many a frame gets while the one before it was given up, or once the road was silent for :data:`SILENCE_MAX_S`."""
SILENCE_MAX_S: Final = 0.2
PROBES_REMEMBERED: Final = 16


@attrs.define(eq=False)
class UdpRoad:
    """The state of one link's UDP."""

    round_trip: RoundTrip
    flights: FlightBoard = attrs.field(factory=FlightBoard)
    hello_along: bool = False
    """A HELLO is to go with the next datagrams."""
    _timeouts: int = 0
    _silent_since: float = 0.0
    """When something was answered last, or the oldest that was not was sent."""
    _probes: dict[int, float] = attrs.field(factory=dict)
    """HELLOs that are not answered: when each counter was sent."""

    def sending(self, now: float) -> None:
        """Something that wants an answer goes out."""
        if self.flights.oldest_sent_at() == inf:
            self._silent_since = now

    def timeout_at(self) -> float:
        """When the oldest flight has waited for too long."""
        return self.flights.oldest_sent_at() + self.round_trip.timeout

    def expire(self, now: float, retransmits_max: int, *, impatient: bool, suspect: bool) -> str | None:
        """See to what has waited for too long: mark it lost, or, if all retransmissions are used up, say so.

        ``impatient``: there is another road, so a long silence counts as much as the number of retransmissions.
        """
        if self.timeout_at() > now:
            return None
        self._timeouts += 1
        limit = retransmits_max
        if suspect or (impatient and now - self._silent_since >= SILENCE_MAX_S):
            limit = min(limit, SUSPECT_RETRANSMITS)
        if self._timeouts > limit:
            return f"no answer to {self._timeouts - 1} retransmissions"
        self.flights.lose_overdue(self.round_trip.timeout, now)
        self.round_trip.back_off()
        self.hello_along = True
        return None

    def acknowledge(self, next_sequence: int, largest: int, bitmap: int, now: float) -> bool:
        """As :meth:`FlightBoard.acknowledge`; whether anything arrived by that."""
        progress, round_trip = self.flights.acknowledge(next_sequence, largest, bitmap, now)
        if round_trip is not None:
            self.round_trip.sample(round_trip)
        if progress:
            self.settle()
            self._silent_since = now
        return progress

    def settle(self) -> None:
        """Nothing is overdue any more."""
        self.round_trip.end_back_off()
        self._timeouts = 0
        self.hello_along = False

    def hello_sent(self, counter: int, now: float) -> None:
        """A HELLO went out under ``counter``."""
        self._probes[counter] = now
        while len(self._probes) > PROBES_REMEMBERED:
            del self._probes[next(iter(self._probes))]

    def hello_answered(self, counter: int, now: float) -> float | None:
        """The round trip of the HELLO with ``counter``, if it went here and was not answered before."""
        sent_at = self._probes.pop(counter, None)
        return None if sent_at is None else now - sent_at

    def clear(self) -> None:
        """Forget what is in flight."""
        self.flights.clear()
        self.settle()
