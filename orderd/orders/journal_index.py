"""Where in the journal executions and orders are, coarsely: a mark every 64 KiB. Pure.

A mark says: executions from this id on, and orders from this row on, are at this place or behind it. From the last mark
that is not behind what is looked for, the journal is read on. Marks are made while the journal is replayed and with
each commit. They are bounded: when there are too many, every second one goes and the distance doubles.
"""

from bisect import bisect_right
from typing import Final

MARK_BYTES: Final = 64 * 1024
MARKS_MAX: Final = 1_000_000

Location = tuple[int, int]
"""Index of a segment, and the offset of a record in its file."""


class JournalIndex:
    """Marks, ascending in all they say."""

    def __init__(self, mark_bytes: int = MARK_BYTES, marks_max: int = MARKS_MAX) -> None:
        self._mark_bytes = mark_bytes
        self._marks_max = marks_max
        self._executions: list[int] = []
        self._orders: list[int] = []
        self._locations: list[Location] = []
        self._floor = 0
        self.newest_segment = 0
        """That anything was noted of."""

    def __len__(self) -> int:
        return len(self._locations)

    def note(self, execution: int, order: int, location: Location) -> None:
        """Executions from ``execution`` on and orders from ``order`` on are at ``location`` or behind it."""
        self.newest_segment = location[0]
        if self._locations and self.is_near(location, self._locations[-1]):
            return
        self._executions.append(execution)
        self._orders.append(order)
        self._locations.append(location)
        if len(self._locations) > self._marks_max:
            self._mark_bytes *= 2
            # The first stays: it says what can be read at all.
            del self._executions[1::2], self._orders[1::2], self._locations[1::2]

    def is_near(self, location: Location, before: Location) -> bool:
        """Whether a mark at ``before`` is enough for ``location``, which is behind it."""
        return location[0] == before[0] and location[1] - before[1] < self._mark_bytes

    def first_execution(self, otherwise: int) -> int:
        """Id from which on executions can be found; ``otherwise`` if there is no mark."""
        return max(self._executions[0], self._floor) if self._executions else otherwise

    def of_execution(self, exec_id: int) -> tuple[int, Location] | None:
        """Where to read from to find an execution, and the id of the first one there; None if it is not there."""
        at = bisect_right(self._executions, exec_id) - 1
        return (self._executions[at], self._locations[at]) if at >= 0 else None

    def of_order(self, row: int) -> Location | None:
        """Where to read from to find an order's record; None if it is not there."""
        at = bisect_right(self._orders, row) - 1
        return self._locations[at] if at >= 0 else None

    def forget_through(self, segment: int) -> None:
        """This segment, and all before it, are there no more."""
        gone = bisect_right(self._locations, (segment, 1 << 63))
        del self._executions[:gone], self._orders[:gone], self._locations[:gone]

    def forget_below(self, exec_id: int) -> None:
        """Executions before this one can be found no more."""
        self._floor = max(self._floor, exec_id)
