"""The UDP sender: one connected socket that stays open, a receive with a time-out, many datagrams a wake-up.

Decides nothing.
"""

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from orderd.runtime.datagrams import DatagramSocket

DATAGRAMS_AT_ONCE: Final = 16
"""With 16 reports each they take about a millisecond; then others have their turn."""
LOOKS_MAX: Final = 4
"""So often as many are taken in one go, if nearly all are dropped: that costs little, and each wake-up more."""


@attrs.define
class UdpCounters:
    """Totals since the start of the process."""

    sent: int = 0
    received: int = 0
    rejected: int = 0


class UdpSender:
    """``received`` is called with the datagrams that are there, a few times at most in one wake-up."""

    def __init__(self, socket: DatagramSocket, received: Callable[[list[bytes]], None]) -> None:
        self.counters = UdpCounters()
        self._socket = socket
        self._received = received

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            await self._socket.wait_readable()
            self.receive()

    def receive(self) -> None:
        """Take in what is there, without waiting."""
        counters = self.counters
        for _ in range(LOOKS_MAX):
            datagrams = [datagram for datagram, _ in self._socket.receive(DATAGRAMS_AT_ONCE)]
            counters.received += len(datagrams)
            rejected_before = counters.rejected
            self._received(datagrams)
            fit = len(datagrams) - (counters.rejected - rejected_before)
            # Behind a flood of forged ones the honest ones wait.
            if len(datagrams) < DATAGRAMS_AT_ONCE or fit > DATAGRAMS_AT_ONCE // LOOKS_MAX:
                return

    def send(self, datagrams: Iterable[bytes]) -> None:
        """Now, in the caller's task; what the kernel does not take is lost as on any network."""
        for datagram in datagrams:
            self.counters.sent += self._socket.send(datagram)

    @property
    def last_error(self) -> str:
        """What the kernel said last, such as that nobody listens at the other end; empty if nothing."""
        return getattr(self._socket, "last_error", "")
