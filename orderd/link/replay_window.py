"""Which packet counters have been seen, so that no datagram counts twice (RFC 6479, with an integer as the ring)."""

from typing import Final

WINDOW: Final = 1024
_MASK: Final = (1 << WINDOW) - 1
_MASK_64: Final = (1 << 64) - 1


class ReplayWindow:
    """Counters from ``largest - WINDOW`` on are told apart; older ones count as seen."""

    __slots__ = ("_below", "largest")

    def __init__(self) -> None:
        self.largest = -1
        """Largest counter seen; -1 before the first."""
        self._below = 0  # bit i: largest - 1 - i has been seen

    def accept(self, counter: int) -> bool:
        """Whether ``counter`` is new; it counts as seen from now on. Call it only for frames whose tag fits."""
        ahead = counter - self.largest
        if ahead > 0:
            self._below = (self._below << ahead | 1 << (ahead - 1)) & _MASK if ahead <= WINDOW else 0
            if self.largest < 0:
                self._below = 0
            self.largest = counter
            return True
        if ahead == 0 or ahead < -WINDOW:
            return False
        bit = 1 << (-ahead - 1)
        if self._below & bit:
            return False
        self._below |= bit
        return True

    def bitmap(self) -> int:
        """Of the 64 counters below ``largest``: bit ``i`` for ``largest - 1 - i``."""
        return self._below & _MASK_64
