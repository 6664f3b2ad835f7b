"""Telling the service manager how the daemon is, by the protocol of sd_notify(3): datagrams of ``NAME=value`` lines.

Nothing here ever blocks the loop or raises: a manager that does not listen must not hold the daemon up. Its queue may
be full for a moment; what it waits to hear is told until it was taken.
"""

import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, MutableMapping
from typing import Final

import attrs
import trio

from orderd.runtime.fields import one_line

DIGITS_MAX: Final = 20
AGAIN_S: Final = 0.05
AGAIN_TIMES: Final = 200


@attrs.frozen
class Notifier:
    """The service manager's ear. Without an address, as in :data:`NOBODY`, nothing is sent."""

    address: str = ""
    """A path, or ``@`` and a name outside the file system (unix(7))."""
    watchdog_s: float | None = None
    """The manager wants to hear ``WATCHDOG=1`` at least this often; None if it does not."""

    @classmethod
    def take(cls, environ: MutableMapping[str, str] = os.environ) -> "Notifier":
        """What the manager asks of this process. The variables are removed: they are not meant for a child."""
        address = environ.pop("NOTIFY_SOCKET", "")
        period_us, pid = number_of(environ.pop("WATCHDOG_USEC", "")), environ.pop("WATCHDOG_PID", "")
        if not period_us or pid not in ("", str(os.getpid())):
            return cls(address)
        return cls(address, period_us / 1_000_000)

    def send(self, *lines: str) -> bool:
        """One datagram, such as ``send("READY=1", "STATUS=trading")``. Answers whether it was sent."""
        address = self.address
        if not address.startswith(("/", "@")):
            return False
        # A leading @ stands for the zero byte of Linux's abstract names. Never blocks: a full queue is one more error.
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sender:
                where = b"\0" + os.fsencode(address[1:]) if address[0] == "@" else address
                sender.sendto("\n".join(map(one_line, lines)).encode(), where)
        except (OSError, ValueError):
            return False
        return True

    def status(self, text: str) -> bool:
        """What ``systemctl status`` shows, on one line."""
        return self.send(f"STATUS={text}")

    def stopping(self) -> bool:
        """The end has begun."""
        return self.send("STOPPING=1")

    async def insist(self, *lines: str) -> None:
        """As :meth:`send`, for what the manager waits to hear: again for up to ten seconds while its queue is full."""
        for _ in range(AGAIN_TIMES if self.address else 0):
            if self.send(*lines):
                return
            await trio.sleep(AGAIN_S)

    @contextlib.asynccontextmanager
    async def reloading(self) -> AsyncIterator[None]:
        """Around taking new settings, whether they are taken or refused."""
        monotonic_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.send("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")
        try:
            yield
        finally:
            await self.insist("READY=1")


def number_of(text: str) -> int | None:
    """The number in a variable of the manager's, from 0 to 64 bits; None for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX else None


NOBODY = Notifier()
"""For a daemon that no manager started."""
