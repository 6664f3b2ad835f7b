"""A bad line between a client and orderd's socket: it cuts connections after so many bytes, wherever that is."""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

TICK_S: Final = 0.02
CHUNK_BYTES: Final = 4096


class UnixProxy:
    """A thread that listens at ``path`` and forwards to ``target``.

    Each new connection takes the next of ``budgets``: after so many bytes, both directions together, it is cut.
    """

    def __init__(self, path: Path, target: Path, budgets: Iterator[int] | None = None) -> None:
        self.path = path
        self.connections = 0
        self.silent = False
        """Nothing is forwarded while this is true; what comes waits."""
        self._target = target
        self._budgets = repeat(1 << 60) if budgets is None else budgets
        self._left: dict[socket.socket, int] = {}
        """Of each accepted connection."""
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(os.fspath(path))
        self._listening.listen()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="unix proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._ending = True
        self._thread.join()
        for sock in (*self._pairs, self._listening):
            sock.close()

    def _run(self) -> None:
        while not self._ending:
            watched = [] if self.silent else list(self._pairs)
            readable, _, _ = select.select([self._listening, *watched], [], [], TICK_S)
            for sock in readable:
                if sock is self._listening:
                    self._accept()
                elif sock in self._pairs:
                    self._forward(sock)

    def _accept(self) -> None:
        sock, _ = self._listening.accept()
        self.connections += 1
        other = socket.socket(socket.AF_UNIX)
        try:
            other.connect(os.fspath(self._target))
        except OSError:
            sock.close()
            other.close()
            return
        self._left[sock] = next(self._budgets)
        self._pairs[sock], self._pairs[other] = other, sock

    def _forward(self, sock: socket.socket) -> None:
        other = self._pairs[sock]
        accepted = sock if sock in self._left else other
        try:
            data = sock.recv(min(CHUNK_BYTES, self._left[accepted]) or 1)
            other.sendall(data[: self._left[accepted]])
        except OSError:
            data = b""
        self._left[accepted] -= len(data)
        if not data or self._left[accepted] <= 0:
            self._left.pop(accepted)
            for one in (sock, other):
                del self._pairs[one]
                with contextlib.suppress(OSError):
                    one.close()
