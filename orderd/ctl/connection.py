"""A blocking connection to orderd: RESP3 over its Unix socket.

Replies come in the order of the requests. Strings arrive as ``str``, pairs as ``dict``, arrays as ``list``.
"""

import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic, perf_counter_ns
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

import hiredis

from orderd.ctl.errors import ReplyError, Unreachable
from orderd.runtime.places import runtime_directory

SYSTEM_SOCKET: Final = Path("/run/orderd/orderd.sock")
CHUNK_BYTES: Final = 65_536
WINDOW: Final = 2000
"""Commands that may be unanswered at once; bounds what either side must buffer."""

Word = str | bytes | int
Tag = TypeVar("Tag")


def default_socket(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a daemon without settings listens; the system's daemon if only that one is there."""
    own = runtime_directory(environ, "orderd") / "orderd.sock"
    return SYSTEM_SOCKET if SYSTEM_SOCKET.exists() and not own.exists() else own


class Connection:
    """One client connection. Raises :class:`Unreachable` when the daemon is not there or does not answer in time."""

    def __init__(self, path: Path, timeout_s: float = 30.0) -> None:
        self.path = path
        self.timeout_s = timeout_s
        self._reader = hiredis.Reader(encoding="utf-8", errors="backslashreplace", replyError=ReplyError)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(os.fspath(path))
            self._socket.setblocking(False)
            self.call("HELLO", "3")
        except BaseException as error:
            self._socket.close()
            if isinstance(error, OSError):
                raise Unreachable(f"cannot connect to {path}: {error.strerror or error}") from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up; what was sent stays sent."""
        self._socket.close()

    def call(self, *words: Word, wait_s: float = 0.0) -> Any:
        """Sends one command and returns its reply. ``wait_s`` is how long the command itself may block.

        Raises :class:`ReplyError` if the reply is an error.
        """
        (value,) = self.pipeline([words], wait_s=wait_s)
        if isinstance(value, ReplyError):
            raise value
        return value

    def pipeline(self, commands: Iterable[Sequence[Word]], *, wait_s: float = 0.0) -> list[Any]:
        """Sends commands without waiting in between; the replies, errors among them as :class:`ReplyError`."""
        replies: list[Any] = []
        stream = Stream[None](self, lambda _, reply, __: replies.append(reply))
        for words in commands:
            stream.send(None, words)
        stream.drain(wait_s=wait_s)
        return replies

    def fileno(self) -> int:
        """The socket's descriptor, for who waits for it in a loop of his own."""
        return self._socket.fileno()

    def exchange(self, out: bytearray, wait_s: float) -> list[Any]:
        """Sends of ``out`` (and takes off it) what the socket takes, and returns replies that arrived.

        Waits up to ``wait_s`` for the socket to become readable, or writable if there is something to send. Reading
        goes on while a send is stuck, so that two full buffers never wait for each other.
        """
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if out else 0))
        ready = poll.poll(max(0, int(wait_s * 1000 + 0.999)))
        events = ready[0][1] if ready else 0
        try:
            if events & select.POLLOUT:
                sent = self._socket.send(memoryview(out)[:CHUNK_BYTES])
                del out[:sent]
            if events & ~select.POLLOUT:
                chunk = self._socket.recv(CHUNK_BYTES)
                if not chunk:
                    raise Unreachable(f"{self.path}: the daemon closed the connection")
                self._reader.feed(chunk)
        except BlockingIOError:
            pass
        except OSError as error:
            raise Unreachable(f"{self.path}: {error.strerror or error}") from None
        try:
            return list(iter(self._reader.gets, _Nothing()))
        except hiredis.ProtocolError as error:
            raise Unreachable(f"{self.path}: not a reply in RESP: {error}") from None


class _Nothing:
    """Equal to False alone, which is how hiredis says that nothing is there; 0 is a reply."""

    def __eq__(self, other: object) -> bool:
        return other is False

    __hash__ = None  # type: ignore[assignment]


class Stream(Generic[Tag]):
    """Commands sent back to back with a bounded number of them unanswered.

    ``on_reply`` gets each command's tag, its reply and the time from :meth:`send` to the reply in nanoseconds.
    """

    def __init__(
        self, connection: Connection, on_reply: Callable[[Tag, Any, int], object], *, window: int = WINDOW
    ) -> None:
        self._connection = connection
        self._on_reply = on_reply
        self._window = window
        self._out = bytearray()
        self._waiting: deque[tuple[Tag, int]] = deque()

    def __len__(self) -> int:
        """Commands that are not answered."""
        return len(self._waiting)

    def send(self, tag: Tag, words: Sequence[Word]) -> None:
        """Queues a command, and waits for earlier replies if too many are missing."""
        self._out += hiredis.pack_command(cast("Any", tuple(words)))
        self._waiting.append((tag, perf_counter_ns()))
        if len(self._out) >= CHUNK_BYTES // 4:
            self.poll(0.0)
        if len(self._waiting) >= self._window:
            self._wait_below(self._window, 0.0)

    def poll(self, wait_s: float) -> None:
        """Sends what is queued as far as possible and takes replies in, waiting up to ``wait_s`` for some."""
        replies = self._connection.exchange(self._out, wait_s)
        if replies:
            now = perf_counter_ns()
            for reply in replies:
                tag, sent = self._waiting.popleft()
                self._on_reply(tag, reply, now - sent)

    def drain(self, *, wait_s: float = 0.0) -> None:
        """Waits for all replies; ``wait_s`` is how long commands among them may block."""
        self._wait_below(1, wait_s)

    def _wait_below(self, count: int, wait_s: float) -> None:
        limit_s = self._connection.timeout_s + wait_s
        deadline = monotonic() + limit_s
        while len(self._waiting) >= count:
            before = len(self._waiting), len(self._out)
            self.poll(max(0.0, deadline - monotonic()))
            if (len(self._waiting), len(self._out)) != before:
                deadline = monotonic() + limit_s
            elif monotonic() >= deadline:
                raise Unreachable(f"{self._connection.path}: no answer within {limit_s:g} s")
