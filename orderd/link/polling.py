"""When orderd asks an engine that it has nothing to tell: for reports that are missing, or that may come unasked."""

from math import inf
from typing import Final

from orderd.link.flights import FlightBoard
from orderd.link.report_intake import ReportIntake

KEEPALIVE: Final = 1.0
IDLE_POLL_MAX: Final = 0.25
HOLE_PATIENCE: Final = 0.0005


class PollTimer:
    """Times in seconds. ``report_poll``: how long after a sign of life the next one is asked for, at first."""

    def __init__(self, report_poll: float, reports_journaled: int) -> None:
        self.watch = False
        """Whether reports may come unasked: an order is open or unconfirmed."""
        self._report_poll = report_poll
        self._interval = report_poll
        self._journaled_told = reports_journaled
        self._told_at = 0.0  # when the engine was last told, or when after that the first report came
        self._heard_at = 0.0
        self._progress_at = 0.0

    def poll_at(
        self, flights: FlightBoard, reports: ReportIntake, journaled: int, timeout: float, round_trip: float
    ) -> float:
        """When to poll on the road of ``flights``, whose time-out and round trip are given."""
        if flights.polling:
            return inf
        if reports.missing > 0:
            patience = max(HOLE_PATIENCE, round_trip / 2)
            return self._progress_at + (patience if reports.has_hole else timeout)
        if len(flights):
            return inf
        poll_at = self._heard_at + (self._interval if self.watch else KEEPALIVE)
        if self._journaled_told < journaled:
            # Not from when the engine was heard: its pushes may come without end, and it keeps them until it is told.
            poll_at = min(poll_at, self._told_at + self._report_poll)
        return poll_at

    def connected(self, now: float) -> None:
        """Poll at once: it tells the engine where this end is, and brings what was told while the link was down."""
        self._heard_at = self._progress_at = now - KEEPALIVE
        self._interval = self._report_poll

    def asked(self, now: float) -> None:
        """Something that will be answered goes out."""
        self._told_at = now

    def told(self, journaled: int) -> None:
        """A frame with the mark of journaled reports goes out."""
        self._journaled_told = journaled

    def polled_in_vain(self) -> None:
        """Nothing is missing: the next poll may come later."""
        self._interval = min(self._interval * 2, max(IDLE_POLL_MAX, self._report_poll))

    def heard(self, now: float) -> None:
        """The engine told where it is."""
        self._heard_at = now

    def progressed(self, now: float) -> None:
        """Reports came closer, or the first one is missing now."""
        self._progress_at = now

    def delivered(self, wanted_before: int, now: float) -> None:
        """Reports from ``wanted_before`` on were delivered."""
        self._interval = self._report_poll
        if wanted_before == self._journaled_told:
            self._told_at = now
