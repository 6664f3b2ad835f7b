"""When trading days end: once a calendar day, at a local time of a time zone. Pure.

Offsets from UTC are those of the zone on that date, so a day end moves with daylight saving. What the zone's clock does
to the time itself, by PEP 495 with ``fold=0``:

- A time that is there twice, as the clock is put back, is the first of the two.
- A time that the clock skips counts with the offset from before the jump: with a jump from 02:00 to 03:00, 02:30 is the
  moment that the clock shows as 03:30.

Each calendar day has one end. A day that a zone skips whole (Samoa's 30 December 2011) ends together with the next.
"""

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

import attrs

TIME_OF_DAY: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
NS_PER_S: Final = 1_000_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_AROUND: Final = (-1, 0, 1, 2)
"""Local dates, counted from that of a moment, of which the first end behind the moment is one."""


def time_of_day(text: str) -> time:
    """``HH:MM``, 00:00 to 23:59. Raises ValueError."""
    match = TIME_OF_DAY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not HH:MM")
    return time(int(match[1]), int(match[2]))


@attrs.frozen
class DayEnd:
    """The end of every day at ``at``, by the clock of ``zone``."""

    at: time
    zone: tzinfo

    def next_after(self, time_ns: int) -> int:
        """The first day end behind ``time_ns``; both are nanoseconds since 1970 UTC, 0 to 2**64 - 1."""
        day = datetime.fromtimestamp(time_ns // NS_PER_S, self.zone).date()
        ends = (self._end_of(datetime.combine(day + timedelta(days=by), self.at, self.zone)) for by in _DAYS_AROUND)
        return min(end for end in ends if end > time_ns)

    @staticmethod
    def _end_of(moment: datetime) -> int:
        return (moment - _EPOCH) // timedelta(seconds=1) * NS_PER_S
