"""The seams to time and randomness: a daemon is handed both, so that a simulation can hand it its own."""

import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """Where a daemon reads the time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back; for durations and deadlines."""
        ...

    def time_ns(self) -> int:
        """Nanoseconds since 1970 UTC; for time stamps that leave the process. May jump either way."""
        ...


class Entropy(Protocol):
    """Where a daemon gets numbers nobody can guess."""

    def u64(self) -> int:
        """A number from 0 to 2**64 - 1."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time_ns(self) -> int:
        return time.time_ns()


class SystemEntropy:
    """The random source of the operating system."""

    def u64(self) -> int:
        return secrets.randbits(64)
