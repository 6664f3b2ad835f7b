"""The seams to time and randomness: a daemon is handed both, so that a simulation can hand it its own."""

import secrets
import time
from typing import Protocol

import trio


class Clock(Protocol):
    """Where a daemon reads the time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back; for durations and for deadlines of cancel scopes."""
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
    """The clock of the machine, as the running trio loop sees it."""

    def monotonic(self) -> float:
        # Trio's clock has a zero of its own, and cancel scopes count from that one.
        return trio.current_time()

    def time_ns(self) -> int:
        return time.time_ns()


class SystemEntropy:
    """The random source of the operating system."""

    def u64(self) -> int:
        return secrets.randbits(64)
