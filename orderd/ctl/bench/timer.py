"""Waking a trio task at a time, to some tens of microseconds: Linux' timerfd (timerfd_create(2)).

The loop's own time-outs are whole milliseconds, rounded up, as epoll's are; an order's latency may be less than that.
(``os.timerfd_create`` does the same, but from Python 3.13 on only.)
"""

import ctypes
import os
import time
from types import TracebackType
from typing import Final, Self

import trio

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_TFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


_libc: Final = ctypes.CDLL(None, use_errno=True)


class Timer:
    """One task's timer, by ``time.monotonic_ns``. Raises OSError if the system has no descriptor left."""

    def __init__(self) -> None:
        self._fd = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._fd)

    async def sleep_until(self, when_ns: int) -> None:
        """Returns at ``when_ns`` or soon after; at once, but with a turn for other tasks, if that is over."""
        if when_ns <= time.monotonic_ns():
            await trio.lowlevel.checkpoint()
            return
        value = _TimeSpec(*divmod(when_ns, 1_000_000_000))
        _libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, ctypes.byref(_TimerSpec(_TimeSpec(0, 0), value)), None)
        await trio.lowlevel.wait_readable(self._fd)
