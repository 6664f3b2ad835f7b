"""The engine's UDP front: waits for datagrams and begins a round, which drains the socket. Decides nothing."""

import trio

from engine.rounds import Rounds
from orderd.runtime.datagrams import DatagramSocket


class UdpServer:
    """Rounds begin in its task as datagrams come."""

    def __init__(self, rounds: Rounds, socket: DatagramSocket) -> None:
        self._rounds = rounds
        self._socket = socket
        self._stopping = False
        self._idle = trio.CancelScope()
        rounds.datagrams = socket

    async def run(self) -> None:
        """Until :meth:`stop` or cancelled. Raises :class:`~orderd.journal.errors.JournalError`."""
        with trio.CancelScope() as self._idle:
            while not self._stopping:
                await self._socket.wait_readable()
                await self._rounds.turn()

    def stop(self) -> None:
        """End after the round that is under way."""
        self._stopping = True
        self._idle.cancel()
