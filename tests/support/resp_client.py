"""A client of orderd for tests.

RESP over the Unix socket, pipelined, and bytes by hand where a test needs them broken.
"""

import os
import select
import socket
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import hiredis

CHUNK_BYTES: Final = 256 * 1024
TIMEOUT_S: Final = 30.0
EXECUTIONS_AT_ONCE: Final = 250
_NOTHING: Final = object()

Word = str | bytes | int


class RespError(Exception):
    """An error reply."""

    @property
    def text(self) -> str:
        """All of it."""
        return str(self)

    @property
    def word(self) -> str:
        """What says what to do."""
        return self.text.partition(" ")[0]


class _IsNothing:
    """What a hiredis reader gives when no reply is complete: False, and not 0, which is equal to it."""

    def __eq__(self, other: object) -> bool:
        return other is False

    __hash__ = None  # type: ignore[assignment]


def pack(*words: Word) -> bytes:
    """A request as an array of bulk strings."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class RespClient:
    """One connection. Errors are returned as :class:`RespError`; :meth:`call` fails on them."""

    def __init__(
        self, path: Path, *, protocol: int = 3, timeout_s: float = TIMEOUT_S, connected: socket.socket | None = None
    ) -> None:
        """``protocol`` 0 says no HELLO; ``connected`` is a socket that leads there already."""
        self.timeout_s = timeout_s
        self._reader = hiredis.Reader(encoding="utf-8", errors="backslashreplace", replyError=RespError)
        self.socket = connected or socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        try:
            if connected is None:
                self.socket.connect(os.fspath(path))
            if protocol:
                self.call("HELLO", protocol)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def ask(self, *words: Word) -> Any:
        """The reply, whatever it is."""
        self.send(pack(*words))
        return self.reply()

    def call(self, *words: Word) -> Any:
        """The reply, which must not be an error."""
        value = self.ask(*words)
        assert not isinstance(value, RespError), f"{words}: {value.text}"
        return value

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        self.socket.sendall(data)

    def reply(self) -> Any:
        """The next reply. Raises EOFError when the daemon has hung up."""
        while (value := self._next()) is _NOTHING:
            self._reader.feed(self._receive())
        return value

    def replies_until_closed(self) -> list[Any]:
        """All that still comes before the daemon hangs up."""
        values = []
        while True:
            try:
                values.append(self.reply())
            except EOFError:
                return values

    def pipeline(self, commands: Iterable[Sequence[Word]]) -> list[Any]:
        """The replies to ``commands``, sent back to back while replies are read."""
        requests = [pack(*words) for words in commands]
        return self.exchange(b"".join(requests), len(requests))

    def exchange(self, data: bytes, count: int) -> list[Any]:
        """Send ``data`` and read ``count`` replies meanwhile. Raises EOFError when the daemon hangs up."""
        replies: list[Any] = []
        self.exchange_into(replies, data, count)
        return replies

    def exchange_into(self, replies: list[Any], data: bytes, count: int) -> None:
        """As :meth:`exchange`, into ``replies``, so that what came before a hang-up is known."""
        view, sent = memoryview(data), 0
        self.socket.setblocking(False)
        try:
            deadline = time.monotonic() + self.timeout_s
            while len(replies) < count:
                if (value := self._next()) is not _NOTHING:
                    replies.append(value)
                    continue
                waiting_to_write = [self.socket] if sent < len(view) else []
                readable, writable, _ = select.select([self.socket], waiting_to_write, [], deadline - time.monotonic())
                if not readable and not writable:
                    raise TimeoutError(f"{len(replies)} of {count} replies after {self.timeout_s} s")
                if readable:
                    self._reader.feed(self._receive())
                if writable:
                    sent += self.socket.send(view[sent : sent + CHUNK_BYTES])
                deadline = time.monotonic() + self.timeout_s
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError("the daemon hung up") from None
        finally:
            self.socket.settimeout(self.timeout_s)

    def info(self) -> dict[str, str]:
        """All of INFO."""
        lines = self.call("INFO").splitlines()
        return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))

    def last_execution(self) -> int:
        """Id of the newest execution, all that has come from the engine included."""
        self.call("EXEC.READ", "$")  # comes back when what has arrived is journaled
        return int(self.info()["executions_last_id"])

    def executions(self, after: int = 0) -> list[tuple[int, dict[str, str]]]:
        """All executions behind ``after`` that are there now."""
        found: list[tuple[int, dict[str, str]]] = []
        while page := self.call("EXEC.READ", after, "COUNT", EXECUTIONS_AT_ONCE):
            found += [(int(exec_id), pairs) for exec_id, pairs in page]
            after = found[-1][0]
        return found

    def _next(self) -> Any:
        value = self._reader.gets()
        return _NOTHING if _IsNothing() == value else value

    def _receive(self) -> bytes:
        try:
            chunk = self.socket.recv(CHUNK_BYTES)
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise EOFError("the daemon hung up")
        return chunk
