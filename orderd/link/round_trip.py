"""Round-trip estimate and retransmission time-out (RFC 6298, with a floor that suits a local network)."""

from math import inf
from typing import Final

ALPHA: Final = 1 / 8
BETA: Final = 1 / 4
BACKOFF_MAX: Final = 64
BACKED_OFF_MAX_S: Final = 1.0
"""Backing off ends here, so that a road that is well again does not stand still for long."""
GRANULARITY: Final = 0.001
"""Seconds beyond a round trip, however steady it is, before it is overdue: G of RFC 6298, as in RFC 9002, 6.1.2."""


class RoundTrip:
    """All times in seconds. Samples are never ambiguous: an acknowledgement names the packet counter it answers."""

    __slots__ = ("_backoff", "_initial", "_minimum", "smoothed", "variation")

    def __init__(self, initial: float, minimum: float) -> None:
        self._initial = initial
        self._minimum = minimum
        self._backoff = 1
        self.smoothed = 0.0
        """Smoothed round trip; 0 before the first sample."""
        self.variation = 0.0

    def sample(self, round_trip: float) -> None:
        """A new measurement."""
        if self.smoothed == 0.0:
            self.smoothed = round_trip
            self.variation = round_trip / 2
        else:
            self.variation += BETA * (abs(self.smoothed - round_trip) - self.variation)
            self.smoothed += ALPHA * (round_trip - self.smoothed)

    def end_back_off(self) -> None:
        """Something arrived."""
        self._backoff = 1

    def back_off(self) -> None:
        """A time-out ran out: the next one is twice as long."""
        self._backoff = min(self._backoff * 2, BACKOFF_MAX)

    @property
    def patience(self) -> float:
        """How long a round trip takes at most, as far as was measured; infinite before the first sample."""
        return self.smoothed + max(GRANULARITY, 4 * self.variation) if self.smoothed > 0.0 else inf

    @property
    def timeout(self) -> float:
        """How long to wait for an answer now."""
        timeout = self._initial if self.smoothed == 0.0 else max(self._minimum, self.patience)
        return min(timeout * self._backoff, max(timeout, BACKED_OFF_MAX_S))
