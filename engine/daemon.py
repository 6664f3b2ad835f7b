"""The engine as a process: journal, rounds of the core, both fronts and the clock, supervised, from start to clean end.

Start: lock and read the journal, commit the boot, bind, tell readiness. End on SIGTERM or SIGINT, or, as an embedded
engine, when the parent closes our standard input, which happens however the parent dies. Then gRPC calls under way are
answered, new ones refused, and UDP ends last. SIGHUP has the settings read again (:mod:`engine.reloading`).
"""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final, Protocol, TypeVar

import attrs
import trio

from engine.config import EngineSettings, EngineSource
from engine.core import EngineCore, EngineLimits
from engine.grpc_server import GrpcServer
from engine.grpc_service import Site
from engine.reloading import Reloader
from engine.restoring import APPLICATION, Start, start_engine
from engine.rounds import Rounds
from engine.snapshot_child import make_in_child
from engine.snapshot_keeper import SnapshotKeeper
from engine.snapshot_maker import Made
from engine.timekeeper import Timekeeper
from engine.udp_server import UdpServer
from orderd.journal.disk import Disk, RealDisk
from orderd.journal.interface import Journal
from orderd.journal.opening import open_journal
from orderd.journal.segment import Position
from orderd.journal.writer import JournalWriter
from orderd.runtime.addresses import Address, parse_address
from orderd.runtime.asyncio_bridge import open_bridge
from orderd.runtime.datagrams import DatagramSocket, UdpSocket
from orderd.runtime.host import Host
from orderd.runtime.keys import read_key
from orderd.runtime.log import get_logger
from orderd.runtime.notify import NOBODY, Notifier
from orderd.runtime.stream_sockets import bound_stream
from orderd.runtime.watchdog import feed
from orderd.wire.tags import SECRET_BYTES

EMBEDDED_LOCK_WAIT_S: Final = 10.0

log = get_logger("engine")

Bound = TypeVar("Bound")
Task = Callable[[], Awaitable[None]]
StopTask = Callable[[trio.Event], Awaitable[None]]
MakeSnapshot = Callable[[str, Position], Awaitable[Made]]


class BoundSocket(DatagramSocket, Protocol):
    """Where datagrams come."""

    @property
    def address(self) -> object:
        """For people."""
        ...


class CallServer(Protocol):
    """A front for calls, open."""

    @property
    def address(self) -> str:
        """For people."""
        ...

    async def stop(self) -> None:
        """Take no more calls, and end those that are under way."""
        ...


ServeCalls = Callable[[Site], AbstractAsyncContextManager[CallServer]]


@attrs.frozen
class Sockets:
    """Both fronts' sockets, bound."""

    udp: UdpSocket
    grpc: socket.socket

    def close(self) -> None:
        self.udp.close()
        self.grpc.close()


def open_core(settings: EngineSettings, journal: Journal, disk: Disk, secret: bytes) -> Start:
    """As its snapshots and its journal say. Raises what :func:`engine.restoring.start_engine` does."""

    def make_core() -> EngineCore:
        return EngineCore(
            engine_id=journal.journal_id,
            secret=secret,
            instruments=settings.instruments,
            limits=EngineLimits(settings.limits.sessions_max, settings.limits.reports_max),
            day_end=settings.end_of_day,
            markets=settings.markets,
        )

    on_disk = settings.journal.backend == "file"
    return start_engine(journal, disk, settings.journal.directory if on_disk else None, make_core)


def open_sockets(settings: EngineSettings, udp_fd: int | None, grpc_fd: int | None) -> Sockets:
    """Those that a parent has bound for us, else our own. Raises OSError, which names setting and address."""
    listen = settings.listen
    udp = _bind("udp", listen.udp, UdpSocket.bound) if udp_fd is None else UdpSocket(socket.socket(fileno=udp_fd))
    try:
        grpc = _bind("grpc", listen.grpc, bound_stream) if grpc_fd is None else socket.socket(fileno=grpc_fd)
    except OSError:
        udp.close()
        raise
    return Sockets(udp, grpc)


def _bind(key: str, address: str, bind: Callable[[Address], Bound]) -> Bound:
    try:
        return bind(parse_address(address))
    except OSError as error:
        raise OSError(f"listen.{key} = {address}: {error.strerror or error}") from None


class EngineDaemon:
    """The tasks around a core, on ``host``. ``start`` is what was made of ``journal``, which ``disk`` is below."""

    def __init__(
        self,
        settings: EngineSettings,
        source: EngineSource,
        journal: Journal,
        start: Start,
        *,
        host: Host,
        disk: Disk,
        has_key: bool,
        notifier: Notifier = NOBODY,
        make_snapshot: MakeSnapshot = make_in_child,
    ) -> None:
        self.core = core = start.core
        self.settings = settings
        self.host = host
        self.notifier = notifier
        self.writer = JournalWriter(journal, settings.journal, clock=host.stopwatch, run_blocking=host.run_sync)
        self.rounds = Rounds(core, self.writer, host.clock)
        self.site = Site(core, self.rounds, settings.instruments, has_key)
        self._reloader = Reloader(settings, source, core, self.rounds, host.run_sync)
        self._beside: list[Task] = [Timekeeper(core, self.rounds, host.clock, settings.instruments).run]
        if settings.snapshot.orders and settings.journal.backend == "file":
            keeper = SnapshotKeeper(
                every=settings.snapshot.orders,
                behind=start.orders_behind,
                orders=lambda: core.counters.orders,
                writer=self.writer,
                disk=disk,
                directory=settings.journal.directory,
                make=make_snapshot,
                run_blocking=host.run_sync,
            )
            self._beside.append(keeper.run)

    async def run(
        self, datagrams: BoundSocket, serve_calls: ServeCalls, hangups: AsyncIterator[int], *beside: StopTask
    ) -> None:
        """Until told to stop, by a signal or by one of ``beside``, which are given the event to set.

        ``serve_calls`` opens the front for calls; each of ``hangups`` has the settings read again.
        Raises :class:`~orderd.journal.errors.JournalError`.
        """
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.writer.run)
                nursery.start_soon(feed, self.notifier, self.writer.prove_alive)
                await self._serve(datagrams, serve_calls, hangups, beside)
                nursery.cancel_scope.cancel()
        finally:
            datagrams.close()
            await self.writer.aclose()
        log.info("stopped", orders=self.core.counters.orders, frames_rejected=self.rounds.counters.rejected)

    async def _serve(
        self,
        datagrams: BoundSocket,
        serve_calls: ServeCalls,
        hangups: AsyncIterator[int],
        beside: tuple[StopTask, ...],
    ) -> None:
        stopping = trio.Event()
        udp = UdpServer(self.rounds, datagrams)
        async with AsyncExitStack() as stack:
            calls = await stack.enter_async_context(serve_calls(self.site))
            nursery = await stack.enter_async_context(trio.open_nursery())
            nursery.start_soon(udp.run)
            nursery.start_soon(self.rounds.run)
            nursery.start_soon(self._stop_on_signal, stopping)
            for stop_task in beside:
                nursery.start_soon(stop_task, stopping)
            log.info(
                "ready", udp=str(datagrams.address), grpc=calls.address, instruments=len(self.settings.instruments)
            )
            for task in self._beside:
                nursery.start_soon(task)
            nursery.start_soon(_reload_on_signal, hangups, self._reloader, self.notifier)
            await stopping.wait()
            self.notifier.stopping()
            with trio.move_on_after(self.settings.shutdown_timeout_ms / 1000):
                await calls.stop()
            # Calls that are under way still may have begun a round; it ends, since it is not cancelled.
            nursery.cancel_scope.cancel()

    async def _stop_on_signal(self, stopping: trio.Event) -> None:
        with self.host.signals(signal.SIGTERM, signal.SIGINT) as signals:
            async for signal_number in signals:
                log.info("stopping", signal=signal.Signals(signal_number).name)
                stopping.set()


async def run(
    settings: EngineSettings,
    source: EngineSource,
    *,
    udp_fd: int | None = None,
    grpc_fd: int | None = None,
    embedded: bool = False,
) -> None:
    """Until told to stop. A reload reads the settings from ``source`` again.

    Raises :class:`~orderd.journal.errors.JournalError`, :class:`~engine.core.InstrumentsChanged`,
    :class:`~orderd.runtime.keys.KeyFileError`, OSError.
    """
    notifier, host, disk = Notifier.take(), Host(), RealDisk()
    # From the first moment: a SIGHUP that nobody waits for ends a process. One that comes early is served when we are
    # ready, since the file may have changed after it was read.
    with host.signals(signal.SIGHUP) as hangups:
        secret = read_key(settings.key_file)
        assert len(secret) in (0, SECRET_BYTES)
        lock_wait_s = EMBEDDED_LOCK_WAIT_S if embedded else 0.0
        journal = open_journal(
            settings.journal, APPLICATION, disk, entropy_u64=host.entropy.u64(), lock_wait_s=lock_wait_s
        )
        try:
            start = open_core(settings, journal, disk, secret)
            sockets = open_sockets(settings, udp_fd, grpc_fd)
        except BaseException:
            journal.close()
            raise
        daemon = EngineDaemon(
            settings, source, journal, start, host=host, disk=disk, has_key=bool(secret), notifier=notifier
        )
        beside = [_stop_without_parent] if embedded else []
        with sockets.grpc:
            await daemon.run(sockets.udp, partial(_serve_grpc, sockets.grpc), hangups, *beside)


@asynccontextmanager
async def _serve_grpc(listening: socket.socket, site: Site) -> AsyncIterator[GrpcServer]:
    """The front for calls that real peers reach."""
    async with open_bridge() as bridge:
        server = GrpcServer(bridge, site)
        async with server.serving(listening):
            yield server


async def _reload_on_signal(hangups: AsyncIterator[int], reloader: Reloader, notifier: Notifier) -> None:
    # The end of a reload says READY=1, which is not to be said before it is so.
    await notifier.insist("READY=1")
    async for _ in hangups:
        async with notifier.reloading():
            await reloader.reload()


async def _stop_without_parent(stopping: trio.Event) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as parent:
        while await parent.receive_some(1):
            pass
    log.info("stopping", reason="the parent is gone")
    stopping.set()
