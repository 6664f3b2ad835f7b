"""The sockets of clients, and the seam where a simulation puts its own: one that listens, and one for each client.

They are non-blocking, and an error of the operating system passes through unchanged: whoever uses them knows what to
do about it.
"""

import socket
from typing import Protocol

import trio

from orderd.intake.access import Peer
from orderd.intake.binding import name_of
from orderd.intake.peers import peer_of


class ClientSocket(Protocol):
    """One connected client. All but the waits return at once; all raise OSError."""

    def peer(self) -> Peer:
        """Who is at the other end."""
        ...

    async def wait_readable(self) -> None:
        """Until :meth:`recv` has something, if only the end. Raises :class:`trio.ClosedResourceError`."""
        ...

    async def wait_writable(self) -> None:
        """Until :meth:`send` may take something. Raises :class:`trio.ClosedResourceError`."""
        ...

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end. BlockingIOError if there is nothing yet."""
        ...

    def has_unread(self) -> bool:
        """Whether :meth:`recv` would give bytes."""
        ...

    def send(self, data: bytes | bytearray) -> int:
        """How many of the bytes were taken. BlockingIOError if none can be now."""
        ...

    def close(self) -> None:
        """Whoever waits is woken."""
        ...


class ListeningSocket(Protocol):
    """Where clients come from."""

    @property
    def name(self) -> str:
        """For people: its path, or ``@`` and its name."""
        ...

    async def wait_readable(self) -> None:
        """Until somebody connects."""
        ...

    def accept(self) -> ClientSocket:
        """The next client. Raises OSError; BlockingIOError if there is none."""
        ...


class UnixClientSocket:
    """A real one."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self.recv = sock.recv
        self.send = sock.send

    def peer(self) -> Peer:
        return peer_of(self._socket)

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self._socket)

    def has_unread(self) -> bool:
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def close(self) -> None:
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


class UnixListeningSocket:
    """A real one, bound and listening; it is not closed here."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @property
    def name(self) -> str:
        return name_of(self._socket)

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    def accept(self) -> UnixClientSocket:
        return UnixClientSocket(self._socket.accept()[0])
