"""How many mass cancels may be under way at a time. Pure.

The engine looks through all open orders of the session for each, and nobody else's orders are executed meanwhile. So
what is bounded is the product: a daemon with few open orders may send thousands, one with millions a handful. One
alone always passes.
"""

from collections import deque
from typing import Final

from orderd.orders.errors import Full

LOOKS_MAX: Final = 20_000_000
"""Orders that the mass cancels under way may look through together: a second or two of the engine's time."""


class MassCancels:
    """Those that are not confirmed yet."""

    def __init__(self) -> None:
        self.count = 0
        self._under_way: deque[tuple[int, int]] = deque()  # (end of rows, how many are in them)

    def check(self, more: int, orders: int, confirmed_end: int) -> None:
        """Whether ``more`` may be taken in. Raises :class:`Full`.

        ``orders`` are those that are open, and all records that are not confirmed yet, these mass cancels included.
        """
        while self._under_way and self._under_way[0][0] <= confirmed_end:
            self.count -= self._under_way.popleft()[1]
        looks = (self.count + more) * (orders - self.count)
        if more and self.count + more > 1 and looks > LOOKS_MAX:
            raise Full(f"mass cancels would look through {looks} orders at the engine, at most {LOOKS_MAX} at a time")

    def add(self, end: int, count: int) -> None:
        """The rows up to ``end`` have ``count`` more of them."""
        if count:
            self._under_way.append((end, count))
            self.count += count
