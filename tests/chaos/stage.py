"""Where a scenario is played: its row of the scorecard, its seed, its time, and as many sites as it opens."""

import random
import time
from pathlib import Path
from typing import Any, Final

from tests.chaos.scorecard import Row
from tests.chaos.site import Arena

RESERVE_S: Final = 3.0
"""Of its time a scenario leaves so much for a start, for coming to rest and for being checked."""
PLAY_S_MIN: Final = 2.0
STRETCH_S_MIN: Final = 0.3


class Stage:
    """``seconds``: how long it is to take, with everything."""

    def __init__(self, name: str, seed: int, seconds: float, directory: Path) -> None:
        self.row = Row(name, seed)
        self.random = random.Random(f"{name} {seed}")
        self.directory = directory
        self._play_s = max(seconds - RESERVE_S, PLAY_S_MIN)
        self._until: float | None = None
        self._sites = 0
        self.last: Arena | None = None
        """The newest site."""

    def goes_on(self) -> bool:
        """Whether there is time left; until something went wrong there always is."""
        return self.left_s > 0 or self.row.faults == 0

    @property
    def left_s(self) -> float:
        """Time that is left, in seconds; it runs from when the first site is ready."""
        return self._play_s if self._until is None else max(0.0, self._until - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Let things run, but not far beyond the end."""
        time.sleep(min(seconds, max(self.left_s, STRETCH_S_MIN)))

    def site_is_ready(self) -> None:
        """From now on time counts."""
        if self._until is None:
            self._until = time.monotonic() + self._play_s

    def arena(self, **settings: Any) -> Arena:
        """A site that is not started yet."""
        self._sites += 1
        self.last = Arena(self.directory / str(self._sites), self.row, self.site_is_ready, **settings)
        return self.last
