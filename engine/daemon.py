"""The engine as a process: journal, rounds of the core, both fronts and the clock, supervised, from start to clean end.

Start: lock and read the journal, commit the boot, bind, tell readiness. End on SIGTERM or SIGINT, or, as an embedded
engine, when the parent closes our standard input, which happens however the parent dies. Then gRPC calls under way are
answered, new ones refused, and UDP ends last. SIGHUP has the settings read again (:mod:`engine.reloading`).
"""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, TypeVar

import attrs
import trio

from engine.config import EngineSettings, EngineSource
from engine.core import EngineCore, EngineLimits
from engine.grpc_server import GrpcServer
from engine.grpc_service import Site
from engine.reloading import Reloader
from engine.restoring import APPLICATION, Start, start_engine
from engine.rounds import Rounds
from engine.snapshot_keeper import SnapshotKeeper
from engine.timekeeper import Timekeeper
from engine.udp_server import UdpServer
from orderd.journal.disk import RealDisk
from orderd.journal.interface import Journal
from orderd.journal.opening import open_journal
from orderd.journal.writer import JournalWriter
from orderd.runtime.addresses import Address, parse_address
from orderd.runtime.asyncio_bridge import open_bridge
from orderd.runtime.clock import SystemClock, SystemEntropy
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.keys import read_key
from orderd.runtime.log import get_logger
from orderd.runtime.notify import Notifier
from orderd.runtime.stream_sockets import address_of, bound_stream
from orderd.runtime.watchdog import feed
from orderd.wire.tags import SECRET_BYTES

EMBEDDED_LOCK_WAIT_S: Final = 10.0

log = get_logger("engine")

Bound = TypeVar("Bound")
Task = Callable[[], Awaitable[None]]


@attrs.frozen
class Sockets:
    """Both fronts' sockets, bound."""

    udp: UdpSocket
    grpc: socket.socket

    def close(self) -> None:
        self.udp.close()
        self.grpc.close()


def open_core(settings: EngineSettings, journal: Journal, secret: bytes) -> Start:
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
    return start_engine(journal, RealDisk(), settings.journal.directory if on_disk else None, make_core)


def snapshots_of(settings: EngineSettings, start: Start, writer: JournalWriter) -> list[Task]:
    """What makes them, if any are wanted."""
    every, counters = settings.snapshot.orders, start.core.counters
    if not every or settings.journal.backend != "file":
        return []
    keeper = SnapshotKeeper(
        every=every,
        behind=start.orders_behind,
        orders=lambda: counters.orders,
        writer=writer,
        disk=RealDisk(),
        directory=settings.journal.directory,
    )
    return [keeper.run]


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
    notifier = Notifier.take()
    # From the first moment: a SIGHUP that nobody waits for ends a process. One that comes early is served when we are
    # ready, since the file may have changed after it was read.
    with trio.open_signal_receiver(signal.SIGHUP) as hangups:
        secret = read_key(settings.key_file)
        assert len(secret) in (0, SECRET_BYTES)
        lock_wait_s = EMBEDDED_LOCK_WAIT_S if embedded else 0.0
        journal = open_journal(
            settings.journal, APPLICATION, RealDisk(), entropy_u64=SystemEntropy().u64(), lock_wait_s=lock_wait_s
        )
        try:
            start = open_core(settings, journal, secret)
            core = start.core
            sockets = open_sockets(settings, udp_fd, grpc_fd)
        except BaseException:
            journal.close()
            raise
        writer, clock = JournalWriter(journal, settings.journal), SystemClock()
        rounds = Rounds(core, writer, clock)
        site = Site(core, rounds, settings.instruments, has_key=bool(secret))
        keeper = Timekeeper(core, rounds, clock, settings.instruments)
        snapshots = snapshots_of(settings, start, writer)
        reloads = partial(_reload_on_signal, hangups, Reloader(settings, source, core, rounds), notifier)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(writer.run)
                nursery.start_soon(feed, notifier, writer.prove_alive)
                await _serve(settings, site, sockets, notifier, keeper.run, reloads, *snapshots, embedded=embedded)
                nursery.cancel_scope.cancel()
        finally:
            sockets.close()
            await writer.aclose()
    log.info("stopped", orders=core.counters.orders, frames_rejected=rounds.counters.rejected)


async def _serve(
    settings: EngineSettings, site: Site, sockets: Sockets, notifier: Notifier, *beside: Task, embedded: bool
) -> None:
    """Until told to stop. ``beside``: what runs beside both fronts, from when they are ready."""
    stopping = trio.Event()
    udp, grpc_address = UdpServer(site.rounds, sockets.udp), address_of(sockets.grpc)
    async with AsyncExitStack() as stack:
        grpc = GrpcServer(await stack.enter_async_context(open_bridge()), site)
        await stack.enter_async_context(grpc.serving(sockets.grpc))
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(udp.run)
        nursery.start_soon(site.rounds.run)
        nursery.start_soon(_stop_on_signal, stopping)
        if embedded:
            nursery.start_soon(_stop_without_parent, stopping)
        log.info("ready", udp=str(sockets.udp.address), grpc=str(grpc_address), instruments=len(settings.instruments))
        for task in beside:
            nursery.start_soon(task)
        await stopping.wait()
        notifier.stopping()
        with trio.move_on_after(settings.shutdown_timeout_ms / 1000):
            await grpc.stop()
        # Calls that are under way still may have begun a round; it ends, since it is not cancelled.
        nursery.cancel_scope.cancel()


async def _stop_on_signal(stopping: trio.Event) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for signal_number in signals:
            log.info("stopping", signal=signal.Signals(signal_number).name)
            stopping.set()


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
