"""What travels over UDP: frames in flight, their time-out, and the probes of a road that is down.

At a time-out nobody knows whether all that is in flight was lost, or only the answers, or whether the engine is busy.
So the first few frames are sent again as a probe (RFC 9002, section 6.2.4), twice as many at each time-out after: their
acknowledgement names all that arrived, and the rest is lost by that.
"""

from math import inf
from typing import Final

import attrs

from orderd.link.flights import FlightBoard
from orderd.link.round_trip import RoundTrip

SUSPECT_RETRANSMITS: Final = 2
"""How many a frame gets while the one before it was given up, or once the road was silent for :data:`SILENCE_MAX_S`."""
SILENCE_MAX_S: Final = 0.2
OVERDUE_FRAMES_MIN: Final = 2
"""How many of the frames that are overdue go again at the first time-out: two, since a single one is easily lost."""
PROBES_REMEMBERED: Final = 16


@attrs.define(eq=False)
class UdpRoad:
    """The state of one link's UDP."""

    round_trip: RoundTrip
    flights: FlightBoard = attrs.field(factory=FlightBoard)
    hello_along: bool = False
    """A HELLO is to go with the next datagrams."""
    _timeouts: int = 0
    _timed_out_at: float = -inf
    """When a time-out ran out last: what did not go again then is not overdue at once."""
    _silent_since: float = 0.0
    """When something was answered last, or the oldest that was not was sent."""
    _probes: dict[int, float] = attrs.field(factory=dict)
    """HELLOs that are not answered: when each counter was sent."""

    def sending(self, now: float) -> None:
        """Something that wants an answer goes out."""
        if self.flights.oldest_sent_at() == inf:
            self._silent_since = now

    def timeout_at(self) -> float:
        """When a flight has waited for too long."""
        return min(self._overdue_at(), self.flights.late_at(self.round_trip.patience))

    def _overdue_at(self) -> float:
        return max(self.flights.waits_since(), self._timed_out_at) + self.round_trip.timeout

    def expire(self, now: float, retransmits_max: int, *, impatient: bool, suspect: bool) -> str | None:
        """See to what has waited for too long: mark it lost, or, if all retransmissions are used up, say so.

        ``impatient``: there is another road, so a long silence counts as much as the number of retransmissions.
        """
        self.flights.lose_late(self.round_trip.patience, now)
        if self._overdue_at() > now:
            return None
        self._timeouts += 1
        limit = retransmits_max
        if suspect or (impatient and now - self._silent_since >= SILENCE_MAX_S):
            limit = min(limit, SUSPECT_RETRANSMITS)
        if self._timeouts > limit:
            return f"no answer to {self._timeouts - 1} retransmissions"
        self.flights.lose_overdue(self.round_trip.timeout, now, OVERDUE_FRAMES_MIN << (self._timeouts - 1))
        self._timed_out_at = now
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
        self._timed_out_at = -inf
        self.settle()
