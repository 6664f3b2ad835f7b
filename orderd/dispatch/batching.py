"""When durable orders are due. Pure.

``sync`` and ``fire-and-forget`` are due at once. ``batch`` orders wait for company: until ``orders_max`` of them wait
or the oldest has waited ``linger`` seconds. An order that is due takes all earlier ones along, so that nothing is ever
reordered.
"""

from collections import deque
from math import inf

import attrs

from orderd.orders.desk import CommittedGroup
from orderd.orders.modes import Mode


@attrs.frozen
class BatchingSettings:
    """The meaning of each is that of the setting with its name; ``linger`` in seconds."""

    orders_max: int = 50
    linger: float = 0.001


@attrs.define
class _Waiting:
    end: int
    intake_time: float
    due_at: float


class BatchingPolicy:
    """Order ids below :attr:`due_end` are due."""

    def __init__(self, settings: BatchingSettings, end: int) -> None:
        """``end``: order ids below it are due already."""
        self.settings = settings
        self.due_end = end
        self.intake_time = inf
        """When the newest group came in."""
        self._end = end
        self._waiting: deque[_Waiting] = deque()

    def add(self, group: CommittedGroup) -> None:
        """A group became durable."""
        self.intake_time = group.intake_time
        for end, mode in group.modes:
            if mode is Mode.BATCH:
                due_at = group.intake_time + self.settings.linger
                self._waiting.append(_Waiting(end, group.intake_time, due_at))
            else:
                self.due_end = end
            self._end = end

    def advance(self, now: float) -> int:
        """:attr:`due_end` as of ``now``."""
        waiting = self._waiting
        if waiting and self._end - self.due_end >= self.settings.orders_max:
            self.due_end = self._end
        while waiting and (waiting[0].end <= self.due_end or waiting[0].due_at <= now):
            self.due_end = max(self.due_end, waiting.popleft().end)
        return self.due_end

    def apply(self, settings: BatchingSettings) -> None:
        """Other settings. A shorter linger holds for those that wait, too; a longer one delays none of them."""
        self.settings = settings
        for waiting in self._waiting:
            waiting.due_at = min(waiting.due_at, waiting.intake_time + settings.linger)

    def wake_at(self) -> float:
        """When the next one is due; infinite if none waits."""
        return self._waiting[0].due_at if self._waiting else inf
