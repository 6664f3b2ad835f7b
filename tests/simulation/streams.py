"""Unix stream sockets of a simulated world, between clients, which are tasks of nobody, and daemons, which die.

They behave as unix(7) and unix_stream_read_generic in Linux: order is kept, buffers are bounded, a write may take a
part, a read may give one. An end that closes, or dies, leaves what it wrote to the other; the other then reads the end,
or ECONNRESET if there was something that the closed one had not read. Who waits in the backlog of a listener that
dies is reset. Only one thing is worse here: of what a killed daemon wrote, the client may get nothing, as if it had
been too slow.
"""

import errno
import os
import random
from collections import deque
from typing import Final
from zlib import crc32

import attrs
import trio

from orderd.intake.access import Peer
from tests.simulation.kernel import Bell, Process, Trace

ROOMS: Final = (200, 1000, 4096, 16_384, 65_536)
"""Bytes that a connection's buffers hold, one size for each way."""
BACKLOGS: Final = (1, 4, 128)
PART: Final = 0.15
"""How often a call takes or gives only a part of what it could."""
SPURIOUS: Final = 0.01
"""How often a read finds nothing although it was said that there is something."""
REPLIES_LOST: Final = 0.3
"""How often the last that a killed daemon wrote is lost."""


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))  # Python makes the right subclass of it.


@attrs.define(eq=False)
class _Pipe:
    """One way of a connection."""

    room: int
    data: bytearray = attrs.field(factory=bytearray)
    ended: bool = False
    """Its writer will write no more."""
    reset: bool = False
    """Its reader is to hear, behind the data, that what it wrote was not read. Told once."""
    unread: bool = False
    """Its reader is gone: who writes gets EPIPE."""
    bell: Bell = attrs.field(factory=Bell)
    """Rings at each change."""

    @property
    def is_readable(self) -> bool:
        return bool(self.data) or self.ended or self.reset

    @property
    def is_writable(self) -> bool:
        return len(self.data) < self.room or self.unread

    def write(self, data: "bytes | bytearray | memoryview", rng: random.Random) -> int:
        """How many bytes were taken. Raises BrokenPipeError, BlockingIOError."""
        if self.unread or self.ended:
            raise _error(errno.EPIPE)
        count = min(len(data), self.room - len(self.data))
        if count <= 0 and len(data):
            raise _error(errno.EAGAIN)
        if count > 1 and rng.random() < PART:
            count = rng.randint(1, count)
        self.data += data[:count]
        self.bell.ring()
        return count

    def read(self, size: int, rng: random.Random) -> bytes:
        """Up to ``size`` bytes; none at the end. Raises ConnectionResetError, BlockingIOError."""
        if self.data:
            count = min(size, len(self.data))
            if count > 1 and rng.random() < PART:
                count = rng.randint(1, count)
            taken = bytes(self.data[:count])
            del self.data[:count]
            self.bell.ring()
            return taken
        if self.reset:
            self.reset = False
            self.ended = True
            raise _error(errno.ECONNRESET)
        if self.ended:
            return b""
        raise _error(errno.EAGAIN)


class _Connection:
    """Both ways, and who is at the ends."""

    def __init__(self, streams: "Streams", number: int, peer: Peer, rng: random.Random) -> None:
        self.number = number
        self.peer = peer
        self.up = _Pipe(rng.choice(ROOMS))
        self.down = _Pipe(rng.choice(ROOMS))
        self._streams = streams

    def close(self, written: _Pipe, read: _Pipe) -> None:
        """An end goes, which wrote to the one and read from the other."""
        if read.data:
            written.reset = True
        read.unread = written.ended = True
        read.data.clear()
        written.bell.ring()
        read.bell.ring()

    def note(self, text: str) -> None:
        """One line about it."""
        self._streams.note(f"connection {self.number} {text}")


class Streams:
    """All listeners and connections of a world. Every choice comes from ``rng``."""

    def __init__(self, rng: random.Random, trace: Trace) -> None:
        self.exhausted = 0.0
        """How often accept finds no descriptor left (EMFILE), or the client gone (ECONNABORTED)."""
        self.rng = rng
        self.connections = 0
        self._trace = trace
        self._listeners: dict[str, Listener] = {}

    def listen(self, process: Process, name: str) -> "Listener":
        """Raises OSError if somebody listens there."""
        process.touch("listen")
        if name in self._listeners:
            raise _error(errno.EADDRINUSE)
        listener = self._listeners[name] = Listener(self, process, name)
        process.on_death.append(listener.die)
        return listener

    async def connect(self, name: str, peer: Peer) -> "ClientEnd":
        """Waits where the backlog is full. Raises ConnectionRefusedError."""
        await trio.lowlevel.checkpoint()
        while True:
            listener = self._listeners.get(name)
            if listener is None:
                raise _error(errno.ECONNREFUSED)
            if listener.has_room:
                break
            await listener.bell.wait()
        self.connections += 1
        connection = _Connection(self, self.connections, peer, self.rng)
        connection.note(f"to {name}, buffers {connection.up.room} {connection.down.room}")
        listener.put(connection)
        return ClientEnd(connection, self.rng)

    def gone(self, listener: "Listener") -> None:
        """Nobody listens there any more."""
        if self._listeners.get(listener.name) is listener:
            del self._listeners[listener.name]

    def note(self, text: str) -> None:
        """One line about a connection."""
        self._trace.add(f"{trio.current_time():.6f} {text}")


class Listener:
    """A daemon's socket for clients: see :class:`orderd.intake.client_sockets.ListeningSocket`."""

    def __init__(self, streams: Streams, process: Process, name: str) -> None:
        self.name = name
        self.bell = Bell()
        self.open: dict[DaemonEnd, None] = {}
        self._streams = streams
        self._process = process
        self._backlog: deque[_Connection] = deque()
        self._backlog_max = streams.rng.choice(BACKLOGS)

    @property
    def has_room(self) -> bool:
        return len(self._backlog) < self._backlog_max

    def put(self, connection: _Connection) -> None:
        """Somebody has connected."""
        self._backlog.append(connection)
        self.bell.ring()

    async def wait_readable(self) -> None:
        if self._backlog:
            self._process.touch("wait for clients")
            await trio.lowlevel.checkpoint()
        while not self._backlog:
            await self.bell.wait(self._process)

    def accept(self) -> "DaemonEnd":
        self._process.touch("accept")
        if not self._backlog:
            raise _error(errno.EAGAIN)
        rng = self._streams.rng
        if self._streams.exhausted and rng.random() < self._streams.exhausted:
            raise _error(rng.choice((errno.EMFILE, errno.ENFILE, errno.ECONNABORTED)))
        end = DaemonEnd(self._backlog.popleft(), self, self._process, rng)
        self.open[end] = None
        self.bell.ring()
        return end

    def die(self) -> None:
        """With its process, and all of its connections do."""
        self._streams.gone(self)
        for end in list(self.open):
            end.abandon()
        for connection in self._backlog:
            connection.down.reset = True
            connection.close(connection.down, connection.up)
        self._backlog.clear()
        self.bell.ring()


class DaemonEnd:
    """A client as its daemon has it: see :class:`orderd.intake.client_sockets.UnixClientSocket`."""

    def __init__(self, connection: _Connection, listener: Listener, process: Process, rng: random.Random) -> None:
        self._connection = connection
        self._up, self._down = connection.up, connection.down
        self._listener = listener
        self._process = process
        self._rng = rng
        self._closed = False

    def peer(self) -> Peer:
        self._process.touch("ask who it is")
        return self._connection.peer

    async def wait_readable(self) -> None:
        if self._up.is_readable:
            self._process.touch("wait for commands")
            await trio.lowlevel.checkpoint()
        while not (self._up.is_readable or self._closed):
            await self._up.bell.wait(self._process)
        self._check_open()

    async def wait_writable(self) -> None:
        if self._down.is_writable:
            self._process.touch("wait for room")
            await trio.lowlevel.checkpoint()
        while not (self._down.is_writable or self._closed):
            await self._down.bell.wait(self._process)
        self._check_open()

    def recv(self, size: int) -> bytes:
        self._call("read")
        if self._rng.random() < SPURIOUS:
            raise _error(errno.EAGAIN)
        data = self._up.read(size, self._rng)
        self._connection.note(f"{self._process.name} reads {len(data)} {crc32(data):08x}")
        return data

    def has_unread(self) -> bool:
        self._call("peek")
        return bool(self._up.data)

    def send(self, data: bytes | bytearray) -> int:
        self._call("write")
        count = self._down.write(data, self._rng)
        self._connection.note(f"{self._process.name} writes {count} of {len(data)} {crc32(data[:count]):08x}")
        return count

    def close(self) -> None:
        self._process.touch("hang up")
        if not self._closed:
            self._close()
            self._connection.note("is closed by the daemon")

    def abandon(self) -> None:
        """Its process has died."""
        if self._process.killed and self._rng.random() < REPLIES_LOST:
            self._down.data.clear()
            self._down.reset = True
        self._close()
        self._connection.note("is left by the daemon")

    def _close(self) -> None:
        self._closed = True
        del self._listener.open[self]
        self._connection.close(self._down, self._up)

    def _call(self, what: str) -> None:
        self._process.touch(what)
        if self._closed:
            raise _error(errno.EBADF)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this client's socket was closed")


class ClientEnd:
    """A connection as a client has it. The number is the same in all lines of the trace."""

    def __init__(self, connection: _Connection, rng: random.Random) -> None:
        self.number = connection.number
        self._connection = connection
        self._up, self._down = connection.up, connection.down
        self._rng = rng
        self._closed = False

    def send_some(self, data: bytes) -> int:
        """How many bytes were taken. Raises BlockingIOError if none can be now, BrokenPipeError."""
        self._check_open()
        return self._up.write(data, self._rng)

    async def send(self, data: bytes) -> None:
        """All of it. Raises BrokenPipeError; then some of it may have been taken."""
        await trio.lowlevel.checkpoint()
        while data:
            self._check_open()
            if self._up.is_writable:
                data = data[self._up.write(data, self._rng) :]
            else:
                await self._up.bell.wait()

    async def receive(self, size: int = 65_536) -> bytes:
        """What there is, when there is something; b"" at the end. Raises ConnectionResetError."""
        await trio.lowlevel.checkpoint()
        while True:
            self._check_open()
            if self._down.is_readable:
                return self._down.read(size, self._rng)
            await self._down.bell.wait()

    def half_close(self) -> None:
        """Nothing more will be sent; replies can still be read (shutdown(2), SHUT_WR)."""
        self._check_open()
        self._up.ended = True
        self._up.bell.ring()
        self._connection.note("half closed by the client")

    def hang_up(self) -> None:
        """Close it; what was sent may still be read, what has not been received is gone. May be called again."""
        if not self._closed:
            self._closed = True
            self._connection.close(self._up, self._down)
            self._connection.note("is closed by the client")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end was closed")
