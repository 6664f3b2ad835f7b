"""When the commands of an open loop are due. Pure; times are nanoseconds from the start.

In an open loop orders come at their times whether or not earlier ones were answered, as they do from a market. Latency
counts from the time at which a command is due: if the daemon or this program falls behind, all that should have been
sent meanwhile shows it. (Measuring from the time of the send would leave the waiting out: Gil Tene's coordinated
omission.)

Commands that come faster than one in a tick are due in chunks, those of a tick together at its begin. That is part of
the schedule and does not depend on what the daemon does.
"""

from typing import Final

import attrs

TICK_NS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000


@attrs.frozen
class Schedule:
    """``rate`` orders a second (from 1), ``orders`` in a command; a command is due when its last order is."""

    rate: int
    orders: int
    duration_ns: int

    @property
    def _in_ticks(self) -> bool:
        return self.orders * SECOND_NS < TICK_NS * self.rate

    def due_ns(self, number: int) -> int:
        """When the command with this number, from 0, is due."""
        exact = ((number + 1) * self.orders - 1) * SECOND_NS // self.rate
        return exact - exact % TICK_NS if self._in_ticks else exact

    def due_by(self, now_ns: int) -> int:
        """How many commands are due at ``now_ns`` or before; none is due at the end of the duration or later."""
        if now_ns < 0:
            return 0
        at = now_ns - now_ns % TICK_NS + TICK_NS - 1 if self._in_ticks else now_ns
        at = min(at, self.duration_ns - 1)
        return (((at + 1) * self.rate - 1) // SECOND_NS + 1) // self.orders

    @property
    def total(self) -> int:
        """How many commands are due in all."""
        return self.due_by(self.duration_ns)
