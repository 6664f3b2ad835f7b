"""A service manager's ear: the socket that NOTIFY_SOCKET names, and what was heard on it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DATAGRAM_BYTES_MAX = 65536


class NotifySocket:
    """Keeps each datagram that came as its lines."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))

    @property
    def lines(self) -> list[str]:
        """All lines so far, in the order in which they came."""
        try:
            while True:
                self.heard.append(self._socket.recv(DATAGRAM_BYTES_MAX).decode().split("\n"))
        except BlockingIOError:
            return [line for datagram in self.heard for line in datagram]

    def count(self, line: str) -> int:
        """How often this line came."""
        return self.lines.count(line)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def notify_socket(path: Path) -> Iterator[NotifySocket]:
    """One at ``path``, closed at the end."""
    found = NotifySocket(path)
    try:
        yield found
    finally:
        found.close()
