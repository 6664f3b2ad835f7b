"""An engine within the test's own loop: a real core and real rounds, behind gRPC on a port that the system picked.

Its commits can be held up, so that a test sees what is told before they end.
"""

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final, TypeVar

import trio
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest

from engine.core import EngineCore
from engine.grpc_server import GrpcServer
from engine.grpc_service import Site
from engine.rounds import Rounds
from orderd.journal.errors import JournalFailed
from orderd.journal.memory import MemoryJournal
from orderd.journal.record import Payload
from orderd.journal.writer import JournalWriter
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge
from orderd.runtime.clock import SystemClock
from orderd.runtime.grpc_library import BoundedChannel, abort_channel
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.runtime.stream_sockets import address_of, bound_stream
from orderd.wire.proto.engine_grpc import EngineStub
from tests.support.frame_client import FrameClient

T = TypeVar("T")

TABLE = InstrumentTable([Instrument("AAPL", 1, "0.01", "1"), Instrument("MSFT", 2, "0.01", "1")])
LONG_S: Final = 20.0
DIGESTS = {instrument.id: instrument.digest for instrument in TABLE}


class WatchedJournal(MemoryJournal):
    """Knows how many entries it was given, and fails when told to."""

    def __init__(self) -> None:
        super().__init__(7)
        self.entries = 0
        self.fails = False

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        if self.fails:
            raise JournalFailed("the disk is gone")
        self.entries += len(entries)
        super().commit(entries)


class GrpcEngine:
    """A core with rounds, without any front yet."""

    def __init__(self, secret: bytes = b"") -> None:
        self.secret = secret
        self.core = EngineCore(engine_id=7, secret=secret, instruments=TABLE)
        self.core.start()
        self.journal = WatchedJournal()
        self.may_commit = trio.Event()
        self.may_commit.set()
        self.committing = trio.Event()
        # By this clock each commit takes a second, which keeps all of them away from the loop.
        seconds = count()
        self.writer = JournalWriter(
            self.journal, JournalSettings(), clock=lambda: next(seconds), run_blocking=self._run_blocking
        )
        self.rounds = Rounds(self.core, self.writer, SystemClock())
        self.site = Site(self.core, self.rounds, TABLE, has_key=bool(secret))

    def hold_commits(self) -> None:
        """Until :attr:`may_commit` is set; :attr:`committing` tells that one waits."""
        self.may_commit, self.committing = trio.Event(), trio.Event()

    async def _run_blocking(self, function: Callable[..., T], /, *args: object, **options: object) -> T:
        self.committing.set()
        await self.may_commit.wait()
        return function(*args)

    def client(self, session: int = 9) -> FrameClient:
        """An orderd that it may know."""
        return FrameClient(DIGESTS, self.secret, session)

    @asynccontextmanager
    async def serving(
        self, bridge: AsyncioBridge, host: str = "127.0.0.1", *, sock: socket.socket | None = None
    ) -> AsyncIterator["Served"]:
        """Behind gRPC, until the context ends; on ``sock`` if it is bound already."""
        listening = sock or bound_stream(Address(host, 0))
        server = GrpcServer(bridge, self.site)
        address = address_of(listening)
        async with server.serving(listening), trio.open_nursery() as nursery:
            nursery.start_soon(self.rounds.run)
            yield Served(server, address)
            self.may_commit.set()
            with trio.move_on_after(1):
                await server.stop()
            nursery.cancel_scope.cancel()


class Served:
    """What a client needs."""

    def __init__(self, server: GrpcServer, address: Address) -> None:
        self.server = server
        self.address = address


async def ask(bridge: AsyncioBridge, address: Address, method: str, request: Any) -> Any:
    """One call on a connection of its own; ``method`` as the stub names it."""

    async def call() -> Any:
        channel = BoundedChannel(address.host, address.port)
        try:
            return await getattr(EngineStub(channel), method)(request, timeout=LONG_S)
        finally:
            abort_channel(channel)

    return await bridge.run(call)


async def health(bridge: AsyncioBridge, address: Address) -> Any:
    """What the engine says of its service."""

    async def call() -> Any:
        channel = BoundedChannel(address.host, address.port)
        try:
            return await HealthStub(channel).Check(HealthCheckRequest(service="orderd.v1.Engine"), timeout=LONG_S)
        finally:
            abort_channel(channel)

    return (await bridge.run(call)).status
