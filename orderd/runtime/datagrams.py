"""The datagram socket that both ends use, and the seam where a simulated network goes in."""

import errno
import socket
from typing import Any, Final, Protocol

import trio

from orderd.runtime.addresses import Address

BUFFER_BYTES: Final = 4 * 2**20
DATAGRAM_BYTES_MAX: Final = 65507
DRAIN_MAX: Final = 64

# What only a mistake of our own can cause. All else is about the road, the other end or a full buffer, which strangers
# have a hand in: an ICMP message becomes one of many errors, and an answer to port 0, from which a datagram can come,
# is EINVAL. The datagram is lost then, as any may be.
_OUR_FAULT: Final = frozenset({errno.EBADF, errno.ENOTSOCK, errno.EFAULT, errno.EDESTADDRREQ, errno.ENOTCONN})


class DatagramSocket(Protocol):
    """Receives without blocking once :meth:`wait_readable` returned; sends, or loses the datagram."""

    async def wait_readable(self) -> None:
        """A checkpoint, always."""
        ...

    def receive(self, limit: int = DRAIN_MAX) -> list[tuple[bytes, Any]]:
        """All datagrams that are there, at most ``limit``, each with its sender."""
        ...

    def send(self, datagram: bytes, address: Any = None) -> bool:
        """Whether the system took it. ``address`` is None on a connected socket."""
        ...

    def close(self) -> None: ...


class UdpSocket:
    """A real one. ``last_error`` is what the last datagram was lost to here, empty after one that was not."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        self.last_error = ""
        self._socket = sock

    @classmethod
    def connected(cls, address: Address) -> "UdpSocket":
        """For one peer only: the kernel drops what others send. Raises OSError."""
        family, type_, protocol, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, type_, protocol)
        try:
            sock.connect(target)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    @classmethod
    def bound(cls, address: Address) -> "UdpSocket":
        """Raises OSError."""
        family, type_, protocol, _, target = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        sock = socket.socket(family, type_, protocol)
        try:
            sock.bind(target)
        except OSError:
            sock.close()
            raise
        return cls(sock)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def address(self) -> Address:
        """Where it is bound."""
        host, port = self._socket.getsockname()[:2]
        return Address(host, port)

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    def receive(self, limit: int = DRAIN_MAX) -> list[tuple[bytes, Any]]:
        out: list[tuple[bytes, Any]] = []
        # Not until there are as many: an error takes a turn, too, and some do not go away.
        for _ in range(limit):
            try:
                out.append(self._socket.recvfrom(DATAGRAM_BYTES_MAX))
            except BlockingIOError:
                break
            except OSError as error:
                self._note(error)
        return out

    def send(self, datagram: bytes, address: Any = None) -> bool:
        try:
            if address is None:
                self._socket.send(datagram)
            else:
                self._socket.sendto(datagram, address)
        except OSError as error:
            self._note(error)
            return False
        self.last_error = ""
        return True

    def close(self) -> None:
        self._socket.close()

    def _note(self, error: OSError) -> None:
        if error.errno in _OUR_FAULT:
            raise error
        self.last_error = error.strerror or str(error)
