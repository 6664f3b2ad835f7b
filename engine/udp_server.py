"""The engine's UDP front: takes what has arrived, runs a round of the core, commits it, answers. Decides nothing."""

import attrs
import trio

from engine.core import EngineCore
from orderd.journal.writer import JournalWriter
from orderd.runtime.clock import Clock
from orderd.runtime.datagrams import DatagramSocket
from orderd.wire.errors import WireError


@attrs.define
class UdpCounters:
    """Totals since the start of the process."""

    received: int = 0
    rejected: int = 0
    sent: int = 0


class UdpServer:
    """Owns the core while it runs. A failed commit ends it: nothing that it would have covered was answered."""

    def __init__(self, core: EngineCore, socket: DatagramSocket, writer: JournalWriter, clock: Clock) -> None:
        self.counters = UdpCounters()
        self._core = core
        self._socket = socket
        self._writer = writer
        self._clock = clock
        self._stopping = False

    async def run(self) -> None:
        """Until :meth:`stop` or cancelled. Raises :class:`~orderd.journal.errors.JournalError`."""
        with trio.CancelScope() as self._idle:
            while not self._stopping:
                await self._socket.wait_readable()
                with trio.CancelScope(shield=True):
                    await self._round()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping = True
        self._idle.cancel()

    async def _round(self) -> None:
        # Shielded by the caller: a round ends with its commit and its answers, or the process ends.
        core = self._core
        for datagram, address in self._socket.receive():
            self.counters.received += 1
            try:
                core.receive(datagram, address)
            except WireError:
                self.counters.rejected += 1
        for _ in core.execute(self._clock.time_ns()):
            await trio.lowlevel.checkpoint()
        entries = core.take_entries()
        if entries and not self._writer.commit_at_once(entries):
            await self._writer.commit(entries)
        for address, datagram in core.answers():
            self.counters.sent += self._socket.send(datagram, address)
