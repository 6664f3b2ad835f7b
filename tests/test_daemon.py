"""The daemon in this process: real sockets, its journal on a disk that can fail, and an engine behind a real port."""

import errno
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing

from engine.core import EngineCore
from engine.rounds import Rounds
from engine.udp_server import UdpServer
from orderd.config import EngineSettings, ListenSettings, Settings, UdpSettings
from orderd.daemon import APPLICATION, Daemon
from orderd.dispatch.dispatcher import Roads
from orderd.intake.binding import bind
from orderd.intake.client_sockets import UnixListeningSocket
from orderd.journal import JournalFailed, open_journal
from orderd.journal.disk import Disk, RealDisk
from orderd.journal.memory import MemoryJournal
from orderd.journal.writer import JournalWriter
from orderd.runtime.addresses import Address
from orderd.runtime.clock import SystemClock
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.fields import FieldError
from orderd.runtime.host import Host
from orderd.runtime.instruments import InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.runtime.notify import NOBODY, Notifier
from tests.support.channels import no_channel
from tests.support.live_site import Peer, close_clients, connect
from tests.support.simulated_disk import SimulatedDisk
from tests.support.site import INSTRUMENTS, pairs_of

ORDER = ("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")


class Numbers:
    """Entropy of a test."""

    def __init__(self) -> None:
        self.next = 1000

    def u64(self) -> int:
        self.next += 1
        return self.next


@attrs.define
class House:
    """A daemon that runs, and what is around it."""

    path: Path
    daemon: Daemon
    core: EngineCore
    engine_socket: UdpSocket
    nursery: trio.Nursery
    ended: trio.Event = attrs.field(factory=trio.Event)
    failure: BaseException | None = None

    async def client(self) -> Peer:
        return await connect(self.path)

    async def start_engine(self) -> trio.CancelScope:
        """Its journal is memory; it goes on where it stopped."""
        scope: trio.CancelScope = await self.nursery.start(self._engine)
        return scope

    async def _engine(self, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
        writer = JournalWriter(MemoryJournal(1), JournalSettings(backend="memory"))
        with trio.CancelScope() as scope:
            task_status.started(scope)
            await UdpServer(Rounds(self.core, writer, SystemClock()), self.engine_socket).run()

    async def run(self) -> None:
        listening = bind(str(self.path), 0o600)
        try:
            with listening:
                await self.daemon.run(UnixListeningSocket(listening))
        except* JournalFailed as group:
            self.failure = group.exceptions[0]
        self.ended.set()

    async def stop(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await self.ended.wait()


@asynccontextmanager
async def house(
    directory: Path, core: EngineCore, disk: Disk | None = None, *, engine: bool = True, notifier: Notifier = NOBODY,
    **settings: Any,
) -> AsyncIterator[House]:  # fmt: skip
    """A daemon that is ready, and unless ``engine`` is false an engine; ends within ten seconds."""
    engine_socket = UdpSocket.bound(Address("127.0.0.1", 0))
    journal_settings = JournalSettings(directory=str(directory / "journal"), segment_bytes=1 << 20)
    settings.setdefault("limits", attrs.evolve(Settings(instrument=INSTRUMENTS).limits, query_bytes_max=65536))
    made = Settings(
        instrument=INSTRUMENTS, listen=ListenSettings(str(directory / "s")), journal=journal_settings,
        engine=EngineSettings(udp=str(engine_socket.address), transport="udp-only"), **settings,
    )  # fmt: skip
    entropy = Numbers()
    journal = open_journal(journal_settings, APPLICATION, disk or RealDisk(), entropy_u64=77)
    sock = UdpSocket.connected(engine_socket.address)
    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                daemon = Daemon(
                    made,
                    journal,
                    Roads(sock, no_channel),
                    b"",
                    host=Host(entropy=entropy),
                    disk=disk or RealDisk(),
                    notifier=notifier,
                )
                found = House(directory / "s", daemon, core, engine_socket, nursery)
                if engine:
                    await found.start_engine()
                with structlog.testing.capture_logs() as lines:
                    nursery.start_soon(found.run)
                    while not any(line["event"] == "ready" for line in lines):
                        await trio.testing.wait_all_tasks_blocked()
                yield found
                nursery.cancel_scope.cancel()
    finally:
        close_clients()
        journal.close()
        sock.close()
        engine_socket.close()


@pytest.fixture
def core() -> EngineCore:
    engine = EngineCore(engine_id=5, secret=b"", instruments=InstrumentTable(INSTRUMENTS))
    engine.start()
    return engine


async def test_from_the_socket_to_the_book_and_back(tmp_path: Path, core: EngineCore) -> None:
    async with house(tmp_path, core) as h:
        client = await h.client()
        assert pairs_of(await client.call(*ORDER))["status"] == "NEW"
        assert (await client.call("BOOK", "AAPL"))[3] == [[b"1.00", b"1", b"1"]]
        (execution,) = await client.call("EXEC.READ", 0)
        assert execution[0] == b"1"
        for i in range(500):
            await client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "0.50")
        order_ids = [int(pairs_of(await client.reply())["order_id"]) for _ in range(500)]
        assert order_ids == list(range(2, 502))
        assert core.counters.orders == 501
        await h.stop()
    assert h.failure is None


async def test_a_stop_answers_what_is_in_flight_and_the_next_start_goes_on(tmp_path: Path, core: EngineCore) -> None:
    async with house(tmp_path, core, engine=False, shutdown_timeout_ms=500) as h:
        client = await h.client()
        assert pairs_of(await client.call(*ORDER, "MODE", "fire-and-forget"))["status"] == "QUEUED"
        await client.send("ORDER.CANCEL", "a")
        await client.send("EXEC.READ", "$", "BLOCK", 0)
        await trio.testing.wait_all_tasks_blocked(0.02)
        started = trio.current_time()
        await h.stop()
        assert trio.current_time() - started < 0.6
        answer = pairs_of(await client.reply())
        assert (answer["status"], answer["reason"]) == ("UNKNOWN", "NOT_SENT")
        assert await client.reply() is None
        assert await client.ended()
    async with house(tmp_path, core) as h:
        client = await h.client()
        assert pairs_of(await client.call("ORDER.WAIT", "a", 5000))["order_id"] == "1"
        while pairs_of(await client.call("ORDER.STATUS", "a"))["status"] != "CANCELED":
            await trio.lowlevel.checkpoint()
        await h.stop()
    assert core.counters.orders == 2


async def test_a_stop_waits_for_confirmations_that_come(tmp_path: Path, core: EngineCore) -> None:
    async with house(tmp_path, core) as h:
        client = await h.client()
        for i in range(300):
            await client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "0.50")
        first = pairs_of(await client.reply())
        assert first["status"] == "NEW"
        await h.stop()
        for _ in range(299):
            assert pairs_of(await client.reply())["status"] == "NEW"
        assert await client.ended()


async def test_after_a_failed_sync_clients_hear_unknown_and_the_daemon_ends(tmp_path: Path, core: EngineCore) -> None:
    disk = SimulatedDisk()
    async with house(tmp_path, core, disk) as h:
        client, other = await h.client(), await h.client()
        assert pairs_of(await client.call(*ORDER))["status"] == "NEW"
        await other.send("EXEC.READ", "$", "BLOCK", 0)
        while h.daemon.gateway.intake.commands_total < 2 or not h.daemon.gateway.desk.is_settled:
            # Or the commit of the first order's report fails, and what is unread then is nobody's any more.
            await trio.testing.wait_all_tasks_blocked()
        disk.fail_names["fdatasync"] = errno.EIO
        answer = pairs_of(await client.call("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00"))
        assert (answer["status"], answer["reason"]) == ("UNKNOWN", "JOURNAL")
        assert await client.ended()
        assert await other.reply() is None
        await h.ended.wait()
        assert isinstance(h.failure, JournalFailed)
    assert core.counters.orders == 1, "what was not committed was not sent"


async def test_clients_hear_of_a_disk_that_the_watchdog_finds_failing(tmp_path: Path, core: EngineCore) -> None:
    disk = SimulatedDisk()
    async with house(tmp_path, core, disk, engine=False, notifier=Notifier(watchdog_s=0.03)) as h:
        client = await h.client()
        await client.send(*ORDER)
        while h.daemon.gateway.desk.committed_end == 1:
            await trio.testing.wait_all_tasks_blocked()
        disk.fail_names["fdatasync"] = errno.EIO
        answer = pairs_of(await client.reply())
        assert (answer["status"], answer["reason"]) == ("UNKNOWN", "NOT_SENT")
        assert await client.ended()
        await h.ended.wait()
        assert isinstance(h.failure, JournalFailed)


async def test_nothing_leaves_before_its_commit(tmp_path: Path, core: EngineCore) -> None:
    """The disk's sync is watched: at that moment no frame with the order and no reply may be out."""
    disk = SimulatedDisk()
    async with house(tmp_path, core, disk) as h:
        client = await h.client()
        await client.call(*ORDER)
        seen = []
        sync = disk.fdatasync

        def watched(handle: int) -> None:
            desk, link = h.daemon.gateway.desk, h.daemon.gateway.link
            seen.append((link.sent_end <= desk.committed_end, desk.reports_journaled >= link.reports_journaled))
            sync(handle)

        disk.fdatasync = watched  # type: ignore[method-assign]
        for i in range(20):
            await client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "0.50")
        for _ in range(20):
            assert pairs_of(await client.reply())["status"] == "NEW"
        await h.stop()
    assert seen
    assert set(seen) == {(True, True)}


async def test_a_full_disk_refuses_orders_and_loses_none(tmp_path: Path, core: EngineCore) -> None:
    disk = SimulatedDisk()
    async with house(tmp_path, core, disk) as h:
        client = await h.client()
        assert pairs_of(await client.call(*ORDER))["status"] == "NEW"
        disk.space = 0
        refused, number = None, 0
        while not refused:
            number += 1
            records = b"".join(
                (100_000 * number + i).to_bytes(8, "little") + (50).to_bytes(8, "little") + (1).to_bytes(8, "little")
                + (1).to_bytes(4, "little") + bytes((0, 0, 1, 0)) for i in range(1500)
            )  # fmt: skip
            answer = await client.call("ORDER.BATCH", f"B{number}", records)
            refused = str(answer) if isinstance(answer, Exception) else None
        assert refused.startswith("FULL the journal's disk is full")
        assert number > 5
        assert pairs_of(await client.call("ORDER.CANCEL", "a"))["status"] == "CANCELED"
        await h.stop()
    assert core.counters.orders == 2 + 1500 * (number - 1)


async def test_an_engine_that_comes_later_gets_what_waited(tmp_path: Path, core: EngineCore) -> None:
    async with house(tmp_path, core, engine=False, mode="fire-and-forget") as h:
        client = await h.client()
        for i in range(100):
            await client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "0.50")
        assert {pairs_of(await client.reply())["status"] for _ in range(100)} == {"QUEUED"}
        assert b"transport_state:ENGINE_DOWN" in await client.call("INFO", "transport")
        assert b"orders_queued:100" in await client.call("INFO", "orders")
        await h.start_engine()
        assert pairs_of(await client.call("ORDER.WAIT", "b99", 5000))["status"] == "NEW"
        assert b"transport_state:UDP_ENABLED" in await client.call("INFO", "transport")
        await h.stop()


def test_a_datagram_of_reports_always_fits_a_journal_segment() -> None:
    small = JournalSettings(segment_bytes=65536)
    limits = attrs.evolve(Settings(instrument=INSTRUMENTS).limits, query_bytes_max=4096)
    with pytest.raises(FieldError, match="udp.datagram_bytes_max = 65507: must be at most half of journal.segment"):
        Settings(instrument=INSTRUMENTS, journal=small, limits=limits, udp=UdpSettings(datagram_bytes_max=65507))
