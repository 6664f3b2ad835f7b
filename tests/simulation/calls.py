"""gRPC in a simulated world: calls that are answered, refused, cut, lost on one way or the other, or late.

What a call is to either end is what grpclib makes of it, in a few rules:

- The client hears of a reply or of one failure, at its deadline at the latest; what becomes of the request then nobody
  tells it. A request that is on its way arrives and is executed, also after the deadline, a reset, or the end of the
  client.
- When the engine dies, calls under way end at once, as connections are reset by its kernel; on a dead road by the
  deadline alone.
- A stop refuses new calls and ends when all under way are answered.
"""

import errno
import os
import random
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final
from zlib import crc32

import attrs
import trio

from engine.grpc_service import REQUEST_FRAMES_MAX, Site
from engine.rounds import Call
from orderd.dispatch.grpc_channel import GrpcFailed
from orderd.dispatch.grpc_fallback import Connect
from tests.simulation.conditions import CallRoad
from tests.simulation.kernel import Bell, Process, Timers, Trace

RESETS: Final = ("Connection lost", "Connection reset by peer", "the connection was lost")
REFUSED: Final = os.strerror(errno.ECONNREFUSED)
STOPPING: Final = "UNAVAILABLE: the engine is stopping"
_HOST_END: Final = re.compile("[:#-]")


def host_of(name: str) -> str:
    """Of an address or a process: what comes before the port, the number or the role."""
    return _HOST_END.split(name, maxsplit=1)[0]


@attrs.define(eq=False)
class _Pending:
    """A call as its client sees it."""

    frames: list[bytes]
    road: CallRoad
    who: str
    bell: Bell = attrs.field(factory=Bell)
    replies: list[bytes] | None = None
    failure: str = ""
    over: bool = False

    def settle(self, replies: list[bytes] | None, failure: str = "") -> None:
        """It is over, unless it was."""
        if not self.over:
            self.over, self.replies, self.failure = True, replies, failure
            self.bell.ring()


class Calls:
    """All calls of a world."""

    def __init__(self, timers: Timers, rng: random.Random, trace: Trace) -> None:
        self.roads: dict[tuple[str, str], CallRoad] = {}
        self.expose: Callable[[CallRoad], None] = lambda road: None
        """Called with each new road."""
        self.begun = 0
        self.failed = 0
        self._timers = timers
        self._rng = rng
        self._trace = trace
        self._servers: dict[str, CallServer] = {}

    def road(self, source: str, target: str) -> CallRoad:
        """The way between two hosts, to be changed at will."""
        key = host_of(source), host_of(target)
        if key not in self.roads:
            self.expose(self.roads.setdefault(key, CallRoad()))
        return self.roads[key]

    def connect(self, process: Process, to: str) -> Connect:
        """What orderd opens its channel with."""

        @asynccontextmanager
        async def connect() -> AsyncIterator[Channel]:
            process.touch("open a channel")
            channel = Channel(self, process, to)
            try:
                yield channel
            finally:
                channel.closed = True

        return connect

    def serve(self, process: Process, address: str) -> Callable[[Site], AbstractAsyncContextManager["CallServer"]]:
        """What the engine opens its front with. Raises OSError if somebody else has the address."""

        @asynccontextmanager
        async def serving(site: Site) -> AsyncIterator[CallServer]:
            process.touch("serve calls")
            if address in self._servers:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            server = self._servers[address] = CallServer(self, process, address, site)
            process.on_death.append(server.end)
            try:
                yield server
            finally:
                server.end()

        return serving

    # --- the way of a call --------------------------------------------------------------------------------------------

    def begin(self, call: _Pending, to: str, timeout_s: float) -> None:
        """Send it off. It ends within ``timeout_s``."""
        rng, road = self._rng, call.road
        self.begun += 1
        self._timers.at(timeout_s, partial(self.fail, call, f"timed out after {timeout_s * 1000:.0f} ms"))
        there = road.delay_s(rng)
        fate = f"{there * 1000:.3f} ms"
        if road.cut or rng.random() < road.lost_request:
            fate = "is lost"
        elif road.refused:
            fate = "is refused"
            self._timers.at(there, partial(self.fail, call, REFUSED))
        elif rng.random() < road.reset:
            breaks = rng.uniform(0.0, 4 * there)
            fate += f", breaks after {breaks * 1000:.3f} ms"
            self._timers.at(breaks, partial(self.fail, call, rng.choice(RESETS)))
            if breaks > there or rng.random() < 0.5:
                self._timers.at(there, partial(self._arrive, call, to))
        else:
            self._timers.at(there, partial(self._arrive, call, to))
        check = 0
        for frame in call.frames:
            check = crc32(frame, check)
        self.note(call, f"calls with {len(call.frames)} frames {check:08x} {fate}")

    def _arrive(self, call: _Pending, to: str) -> None:
        server = self._servers.get(to)
        if server is None:
            self.fail_later(call, REFUSED)
        elif server.stopping:
            self.fail_later(call, STOPPING)
        else:
            server.take(call)

    def answer(self, call: _Pending, replies: list[bytes]) -> None:
        """The reply leaves the engine."""
        if call.road.cut or self._rng.random() < call.road.lost_reply:
            self.note(call, "the reply is lost")
            return
        self._timers.at(call.road.delay_s(self._rng), partial(call.settle, replies))

    def fail_later(self, call: _Pending, why: str) -> None:
        """The other end says that there will be no reply."""
        if not call.road.cut:
            self._timers.at(call.road.base_s, partial(self.fail, call, why))

    def fail(self, call: _Pending, why: str) -> None:
        """There will be no reply."""
        if not call.over:
            self.failed += 1
            self.note(call, f"call fails: {why}")
            call.settle(None, why)

    def gone(self, server: "CallServer") -> None:
        """Nobody listens at its address any more, unless somebody else does."""
        if self._servers.get(server.address) is server:
            del self._servers[server.address]

    def note(self, call: _Pending, text: str) -> None:
        """One line about a call."""
        self._trace.add(f"{trio.current_time():.6f} {call.who} {text}")


class Channel:
    """orderd's end: see :class:`orderd.dispatch.grpc_channel.GrpcChannel`, which it behaves as."""

    def __init__(self, calls: Calls, process: Process, to: str) -> None:
        self.closed = False
        self._calls = calls
        self._process = process
        self._to = to

    async def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]:
        process = self._process
        process.touch("call")
        if self.closed:
            raise GrpcFailed("the channel is closed")
        if len(frames) > REQUEST_FRAMES_MAX:
            raise GrpcFailed(f"INVALID_ARGUMENT: {len(frames)} frames, at most {REQUEST_FRAMES_MAX} are taken")
        call = _Pending(list(frames), self._calls.road(process.name, self._to), process.name)
        self._calls.begin(call, self._to, timeout_s)
        try:
            while not call.over:
                await call.bell.wait(process)
        finally:
            # Cancelled or dead: nobody is there to be told.
            call.over = True
        process.touch("take a reply")
        if call.replies is None:
            raise GrpcFailed(call.failure)
        return call.replies


class CallServer:
    """The engine's end, open: see :class:`engine.grpc_server.GrpcServer`, which it behaves as."""

    def __init__(self, calls: Calls, process: Process, address: str, site: Site) -> None:
        self.address = address
        self.stopping = False
        self._calls = calls
        self._process = process
        self._site = site
        self._under_way: dict[_Pending, None] = {}
        self._idle = Bell()

    def take(self, call: _Pending) -> None:
        """A call has come."""
        self._under_way[call] = None
        done: Any = partial(self._done, call)
        self._site.rounds.submit(Call(list(call.frames), done))

    async def stop(self) -> None:
        self._process.touch("stop serving calls")
        self.stopping = True
        while self._under_way:
            await self._idle.wait(self._process)
        self._calls.gone(self)

    def end(self) -> None:
        """Cut what is under way, at the end of the process if not before."""
        self.stopping = True
        self._calls.gone(self)
        cut, self._under_way = self._under_way, {}
        for call in cut:
            self._calls.fail_later(call, RESETS[0])

    def _done(self, call: _Pending, answers: list[bytes]) -> None:
        # Called by the engine, at the end of a round.
        self._process.touch("reply to a call")
        if call in self._under_way:
            del self._under_way[call]
            self._calls.answer(call, answers)
        if not self._under_way:
            self._idle.ring()
