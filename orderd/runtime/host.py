"""The machine below a daemon: clock, randomness, worker threads, signals.

A daemon reaches for none of them by itself. It is handed a :class:`Host`, so that a simulation can hand it another one
in which time is virtual, threads take as long as a seed says, and the machine dies at any call.
"""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import attrs
import trio

from orderd.runtime.clock import Clock, Entropy, SystemClock, SystemEntropy

T = TypeVar("T")


class RunSync(Protocol):
    """Calls what blocks away from the loop; :func:`trio.to_thread.run_sync` is the one there is."""

    async def __call__(
        self,
        function: Callable[..., T],
        /,
        *args: object,
        abandon_on_cancel: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> T:
        """What ``function(*args)`` returns or raises. With ``abandon_on_cancel`` nobody waits for it when cancelled."""
        ...


run_in_thread: RunSync = trio.to_thread.run_sync
stopwatch: Callable[[], float] = time.perf_counter
"""Seconds; for what runs in the loop, whose own clock stands still meanwhile."""
pause: Callable[[float], None] = time.sleep
"""For what runs in a thread or a process of its own."""

Signals = Callable[..., AbstractContextManager[AsyncIterator[int]]]
"""Given signal numbers: while it is open these come out one by one; :func:`trio.open_signal_receiver` is the one."""


@attrs.frozen
class Host:
    """The machine itself, unless something else is given."""

    clock: Clock = attrs.field(factory=SystemClock)
    entropy: Entropy = attrs.field(factory=SystemEntropy)
    run_sync: RunSync = run_in_thread
    signals: Signals = trio.open_signal_receiver
    stopwatch: Callable[[], float] = stopwatch
    process_id: int = attrs.field(factory=os.getpid)
