"""The engine's gRPC front: the service, health (grpc.health.v1) and reflection on one listening socket.

It lives in the asyncio loop of the bridge. Limits hold whoever connects: messages by their announced length, calls
under way, connections. A connection without a call gives way to a new one when there are too many.

A stop drains: health says NOT_SERVING and new calls are UNAVAILABLE, those under way are answered, then connections
are closed. grpclib's own close would cut them.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import trio
from grpclib.const import Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import OVERALL, Health
from grpclib.protocol import H2Protocol
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server, Stream

from engine.grpc_service import REQUEST_BYTES_MAX, EngineService, Site
from orderd.runtime.asyncio_bridge import AsyncioBridge, BridgeFailed
from orderd.runtime.grpc_library import (
    CONFIGURATION,
    PREFACE,
    BoundedProtocol,
    abort,
    bound_messages,
    transport_of,
)
from orderd.runtime.log import get_logger
from orderd.runtime.stream_sockets import address_of

CALLS_MAX: Final = 256
"""Calls of the service under way; and, apart from them, calls of health and reflection."""
CONNECTIONS_MAX: Final = 256
END_TIMEOUT_S: Final = 5.0
FLUSH_TIMEOUT_S: Final = 1.0
"""For the last bytes of the last replies; whoever does not read them in this time never will."""
SERVICE: Final = "/orderd.v1.Engine/"

log = get_logger("grpc")

Method = Callable[[Stream[Any, Any]], Awaitable[None]]


class _Connections:
    """Those that are open; the one that was silent longest is the first."""

    def __init__(self) -> None:
        self.open: dict[_Connection, None] = {}
        self._none_left = asyncio.Event()

    def heard_of(self, connection: "_Connection") -> None:
        self.open.pop(connection, None)
        self.open[connection] = None
        self._none_left.clear()

    def lost(self, connection: "_Connection") -> None:
        self.open.pop(connection, None)
        if not self.open:
            self._none_left.set()

    def make_room(self) -> None:
        """One goes when there are as many as there may be: one without a call, unless all have one."""
        if len(self.open) < CONNECTIONS_MAX:
            return
        idle = next((connection for connection in self.open if not connection.processor.streams), None)
        victim = idle or next(iter(self.open))
        log.warning("connection closed", reason=f"there are {CONNECTIONS_MAX}, and another one came")
        self.lost(victim)
        abort(victim)

    async def close(self) -> None:
        """Close them when what was written is read, or soon."""
        for connection in self.open:
            transport = transport_of(connection)
            if transport is not None:
                transport.close()
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                if self.open:
                    await self._none_left.wait()
        except TimeoutError:
            log.warning("connections cut", connections=len(self.open), reason="what was written is not read")

    def abort(self) -> None:
        """End all of them now."""
        for connection in self.open:
            abort(connection)


class _Connection(BoundedProtocol):
    """One connection, counted."""

    preface_bytes = len(PREFACE)

    def __init__(self, made: H2Protocol, all_: _Connections) -> None:
        super().__init__(made)
        self._all = all_

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._all.make_room()
        super().connection_made(transport)
        self._all.heard_of(self)

    def data_received(self, data: bytes) -> None:
        self._all.heard_of(self)
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.lost(self)
        super().connection_lost(exc)


class _CountingServer(Server):
    """A server whose connections can be counted and closed."""

    def __init__(self, handlers: Any) -> None:
        super().__init__(handlers, config=CONFIGURATION)
        self.connections = _Connections()

    def _protocol_factory(self) -> H2Protocol:
        return _Connection(super()._protocol_factory(), self.connections)


class GrpcServer:
    """One listening socket. Made and used from trio's side."""

    def __init__(self, bridge: AsyncioBridge, site: Site) -> None:
        self.address = ""
        """Where it is served, for people."""
        self._bridge = bridge
        self._site = site
        self._server: _CountingServer | None = None
        self._health: ServiceStatus | None = None
        self._draining = False
        self._calls = {True: 0, False: 0}  # whether of the service: how many
        self._idle: asyncio.Event | None = None

    @asynccontextmanager
    async def serving(self, listening: socket.socket) -> AsyncIterator[None]:
        """Serve on a bound socket, which belongs to the server from now on. What is under way at the end is cut.

        Raises OSError.
        """
        self.address = str(address_of(listening))
        await self._bridge.run(self._start, listening)
        try:
            yield
        finally:
            # If the loop is gone, so is all that was served; its owner tells why.
            with trio.move_on_after(END_TIMEOUT_S, shield=True), suppress(BridgeFailed):
                await self._bridge.run(self._end)

    async def stop(self) -> None:
        """Take nothing new, and answer what is under way. Cancelled, it waits for no more."""
        await self._bridge.run(self._drain)

    # --- in the asyncio loop ------------------------------------------------------------------------------------------

    async def _start(self, listening: socket.socket) -> None:
        self._idle = asyncio.Event()
        self._idle.set()
        self._health = ServiceStatus()
        self._health.set(True)
        service = EngineService(self._bridge, self._site)
        health = Health({OVERALL: [self._health], service: [self._health]})
        self._server = _CountingServer(ServerReflection.extend([service, health]))
        listen(self._server, RecvRequest, self._admit)
        await self._server.start(sock=listening)

    async def _admit(self, event: RecvRequest) -> None:
        event.method_func = partial(self._run, event.method_func, event.method_name.startswith(SERVICE))

    async def _run(self, method: Method, is_ours: bool, stream: Stream[Any, Any]) -> None:
        if is_ours and self._draining:
            raise GRPCError(Status.UNAVAILABLE, "the engine is stopping")
        if self._calls[is_ours] >= CALLS_MAX:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"{CALLS_MAX} calls are under way")
        assert self._idle is not None, "started"
        bound_messages(stream, REQUEST_BYTES_MAX)
        self._calls[is_ours] += 1
        if is_ours:
            self._idle.clear()
        try:
            await method(stream)
        finally:
            self._calls[is_ours] -= 1
            if not self._calls[True]:
                self._idle.set()

    async def _drain(self) -> None:
        assert self._server is not None and self._health is not None and self._idle is not None, "started"
        self._draining = True
        self._health.set(False)
        await self._idle.wait()
        await asyncio.sleep(0)  # The last reply is written when its call returns to grpclib.
        self._server.close()
        await self._server.connections.close()

    async def _end(self) -> None:
        assert self._server is not None, "started"
        self._server.close()
        self._server.connections.abort()
        await asyncio.sleep(0)  # The loop takes an aborted connection down in its next turn.
