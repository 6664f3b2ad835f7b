"""The engine as a process: journal, core and UDP front, supervised, from the start to a clean end.

Start: lock and read the journal, commit the boot, bind, tell readiness. End on SIGTERM or SIGINT, or, as an embedded
engine, when the parent closes our standard input, which happens however the parent dies.
"""

import signal
import socket
import sys
from typing import Final

import trio

from engine.config import EngineSettings
from engine.core import EngineCore, EngineLimits
from engine.udp_server import UdpServer
from orderd.journal.disk import RealDisk
from orderd.journal.journal import Journal
from orderd.journal.opening import open_journal
from orderd.journal.writer import JournalWriter
from orderd.runtime.addresses import parse_address
from orderd.runtime.clock import SystemClock, SystemEntropy
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.keys import read_key
from orderd.runtime.log import get_logger
from orderd.runtime.notify import notify
from orderd.wire.tags import SECRET_BYTES

APPLICATION: Final = b"engine"
EMBEDDED_LOCK_WAIT_S: Final = 10.0

log = get_logger("engine")


def restore(core: EngineCore, journal: Journal) -> None:
    """Do again all that the journal holds, and commit the boot."""
    entries = 0
    for kind, payload in journal.replay():
        core.replay(kind, payload)
        entries += 1
    start = core.start()
    journal.commit(start)
    log.info("journal read", entries=entries, boot=core.boot, engine=f"{core.engine_id:016x}")


def open_socket(settings: EngineSettings, udp_fd: int | None) -> UdpSocket:
    """The socket that a parent has bound for us, else one of our own."""
    if udp_fd is not None:
        return UdpSocket(socket.socket(fileno=udp_fd))
    return UdpSocket.bound(parse_address(settings.listen.udp))


async def run(settings: EngineSettings, *, udp_fd: int | None = None, embedded: bool = False) -> None:
    """Until told to stop.

    Raises :class:`~orderd.journal.errors.JournalError`, :class:`~engine.core.InstrumentsChanged`,
    :class:`~orderd.runtime.keys.KeyFileError`, OSError.
    """
    secret = read_key(settings.key_file)
    assert len(secret) in (0, SECRET_BYTES)
    lock_wait_s = EMBEDDED_LOCK_WAIT_S if embedded else 0.0
    journal = open_journal(
        settings.journal, APPLICATION, RealDisk(), entropy_u64=SystemEntropy().u64(), lock_wait_s=lock_wait_s
    )
    try:
        limits = EngineLimits(settings.limits.sessions_max, settings.limits.reports_max)
        core = EngineCore(engine_id=journal.journal_id, secret=secret, instruments=settings.instruments, limits=limits)
        restore(core, journal)
        sock = open_socket(settings, udp_fd)
    except BaseException:
        journal.close()
        raise
    writer = JournalWriter(journal, settings.journal)
    server = UdpServer(core, sock, writer, SystemClock())
    try:
        await _serve(settings, server, sock, writer, embedded=embedded)
    finally:
        sock.close()
        await writer.aclose()
    log.info("stopped", orders=core.counters.orders, datagrams_rejected=server.counters.rejected)


async def _serve(
    settings: EngineSettings, server: UdpServer, sock: UdpSocket, writer: JournalWriter, *, embedded: bool
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        nursery.start_soon(_stop_on_signal, server)
        if embedded:
            nursery.start_soon(_stop_without_parent, server)
        log.info("ready", udp=str(sock.address), instruments=len(settings.instruments))
        notify("READY=1")
        await server.run()
        notify("STOPPING=1")
        nursery.cancel_scope.cancel()


async def _stop_on_signal(server: UdpServer) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for signal_number in signals:
            log.info("stopping", signal=signal.Signals(signal_number).name)
            server.stop()


async def _stop_without_parent(server: UdpServer) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as parent:
        while await parent.receive_some(1):
            pass
    log.info("stopping", reason="the parent is gone")
    server.stop()
