"""A bad network for gRPC: forwards connections, and on demand resets them, answers garbage, or says nothing."""

import contextlib
import select
import socket
import struct
import threading
from types import TracebackType
from typing import Final, Literal, Self

Mood = Literal["pass", "reset", "silent", "garbage"]
RESET: Final = struct.pack("ii", 1, 0)
TICK_S: Final = 0.02
GARBAGE: Final = b"\x15\x03\x01\x00\x02\x02\x46" * 20


class TcpProxy:
    """A thread between orderd and an engine's gRPC port. :attr:`mood` holds for old and new connections alike."""

    def __init__(self, host: str, port: int) -> None:
        self.connections = 0
        self._mood: Mood = "pass"
        self._target = (host, port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._pairs: dict[socket.socket, socket.socket | None] = {}
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="tcp proxy")

    @property
    def address(self) -> str:
        """Where to connect to instead."""
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def mood(self) -> Mood:
        """What becomes of connections."""
        return self._mood

    @mood.setter
    def mood(self, mood: Mood) -> None:
        self._mood = mood

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
            readable, _, _ = select.select([self._listening, *self._pairs], [], [], TICK_S)
            if self._mood == "reset":
                for sock in list(self._pairs):
                    self._drop(sock)
            for sock in readable:
                if sock is self._listening:
                    self._accept()
                elif sock in self._pairs and self._mood != "silent":
                    self._forward(sock)

    def _accept(self) -> None:
        sock, _ = self._listening.accept()
        self.connections += 1
        if self._mood == "reset":
            self._pairs[sock] = None
            self._drop(sock)
            return
        try:
            other = socket.create_connection(self._target)
        except OSError:
            sock.close()
            return
        self._pairs[sock], self._pairs[other] = other, sock

    def _forward(self, sock: socket.socket) -> None:
        other = self._pairs[sock]
        assert other is not None
        try:
            data = sock.recv(1 << 16)
            if data:
                other.sendall(GARBAGE if self._mood == "garbage" else data)
        except OSError:
            data = b""
        if not data:
            self._drop(sock)

    def _drop(self, sock: socket.socket) -> None:
        other = self._pairs.pop(sock, None)
        if other is not None:
            self._pairs.pop(other, None)
        for one in (sock, other):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.close()
