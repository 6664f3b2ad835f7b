"""The dispatcher and the engine's server with real sockets on the loop's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from engine.core import EngineCore
from engine.rounds import Rounds
from engine.udp_server import UdpServer
from orderd.dispatch.book_queries import Query
from orderd.dispatch.dispatcher import Dispatcher, Owner, Roads
from orderd.journal.memory import MemoryJournal
from orderd.journal.writer import JournalWriter
from orderd.link.handshake import Identity
from orderd.link.report_intake import Delivery
from orderd.link.sender import SessionSender
from orderd.link.terms import Connected, SenderSettings
from orderd.runtime.addresses import Address
from orderd.runtime.clock import SystemClock
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.instruments import InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, RECORD_BYTES, Kind
from tests.support.channels import no_channel
from tests.support.site import INSTRUMENTS


class LoopClock(SystemClock):
    """What deadlines are measured by."""

    def monotonic(self) -> float:
        return trio.current_time()


class World:
    """A sender of ``records``, and an engine that can be started at the same port again."""

    def __init__(self, records: bytes) -> None:
        self.records = records
        self.released = 1
        self.delivered: list[Delivery] = []
        self.connections: list[Connected] = []
        self.changed = trio.Event()
        self.engine_socket = UdpSocket.bound(Address("127.0.0.1", 0))
        self.address = self.engine_socket.address
        table = InstrumentTable(INSTRUMENTS)
        self.core = EngineCore(engine_id=5, secret=b"", instruments=table)
        self.core.start()
        digests = {instrument.id: instrument.digest for instrument in table}
        self.link = SessionSender(
            Identity(77, 1, 99, b"", digests), SenderSettings(), self._fetch, acknowledged=1, reports_wanted=1
        )
        self.socket = UdpSocket.connected(self.address)
        self.sender = Dispatcher(
            self.link, Roads(self.socket, no_channel), LoopClock(), Owner(self._release, self._deliver, self._connected)
        )

    def _fetch(self, first: int, count: int) -> bytes:
        return self.records[(first - 1) * RECORD_BYTES : (first - 1 + count) * RECORD_BYTES]

    def _release(self, now: float) -> float:
        self.link.release(self.released, now)
        return float("inf")

    def _deliver(self, deliveries: list[Delivery], path: Path) -> None:
        self.delivered += deliveries
        self.changed.set()
        self.changed = trio.Event()

    def _connected(self, event: Connected) -> None:
        self.connections.append(event)
        self.changed.set()
        self.changed = trio.Event()

    def send_all(self) -> None:
        self.released = len(self.records) // RECORD_BYTES + 1
        self.sender.flush(trio.current_time())

    async def until(self, reports: int) -> None:
        while sum(delivery.reports for delivery in self.delivered) < reports:
            await self.changed.wait()

    async def run_engine(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        writer = JournalWriter(MemoryJournal(1), JournalSettings(backend="memory"))
        task_status.started()
        await UdpServer(Rounds(self.core, writer, SystemClock()), self.engine_socket).run()


@asynccontextmanager
async def running(records: bytes, *, engine: bool = True) -> AsyncIterator[tuple[World, trio.Nursery]]:
    world = World(records)
    try:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                if engine:
                    nursery.start_soon(world.run_engine)
                nursery.start_soon(world.sender.run)
                yield world, nursery
                nursery.cancel_scope.cancel()
    finally:
        world.socket.close()
        world.engine_socket.close()


def orders(count: int) -> bytes:
    return b"".join(RECORD.pack(i + 1, 1 + i % 9, 1, 1, 0, Kind.NEW, 0) for i in range(count))


async def test_orders_go_out_and_their_reports_come_back_in_order() -> None:
    async with running(orders(5000)) as (world, _):
        world.send_all()
        await world.until(5000)
        assert world.sender.state.value == "UDP_ENABLED"
        firsts = [delivery.first for delivery in world.delivered]
        assert firsts == sorted(firsts)
        assert world.core.counters.orders == 5000
        assert world.sender.udp.counters.rejected == 0
        assert world.link.acknowledged <= 5001
        assert world.sender.udp.counters.sent >= 5000 // 44


async def test_an_engine_that_starts_late_gets_all() -> None:
    async with running(orders(100), engine=False) as (world, nursery):
        world.send_all()
        assert world.sender.state.value == "ENGINE_DOWN"
        nursery.start_soon(world.run_engine)
        await world.until(100)
        assert world.connections[0].resend_from == 1
        assert world.sender.state.value == "UDP_ENABLED"


async def test_an_engine_that_stops_answering_is_down_and_comes_back() -> None:
    async with running(orders(100), engine=False) as (world, nursery):
        engine = await nursery.start(_cancellable, world)
        while not world.connections:
            await world.changed.wait()
        engine.cancel()
        await trio.testing.wait_all_tasks_blocked()
        world.send_all()
        while world.sender.state.value != "ENGINE_DOWN":  # noqa: ASYNC110 - its own timers move it
            await trio.sleep(0.005)
        nursery.start_soon(world.run_engine)
        await world.until(100)
        assert world.sender.state.value == "UDP_ENABLED"
        assert world.core.counters.orders == 100


async def _cancellable(world: World, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await world.run_engine()


async def test_the_book_is_asked_for_and_answered() -> None:
    async with running(orders(9)) as (world, _):
        world.send_all()
        await world.until(9)
        done = trio.Event()
        query = Query(1, 100, trio.current_time() + 5, lambda _: done.set())
        world.sender.books.ask(query)
        world.sender.flush(trio.current_time())
        await done.wait()
        assert query.answer == ([(9 - i, 1, 1) for i in range(9)], [])


async def test_what_is_no_frame_is_counted_and_has_no_effect() -> None:
    async with running(orders(3)) as (world, _):
        while not world.connections:
            await world.changed.wait()
        port = world.socket._socket.getsockname()
        for junk in (b"", b"x", bytes(1472), b"\xff" * 100):
            world.engine_socket.send(junk, port)
        world.send_all()
        await world.until(3)
        assert world.sender.udp.counters.rejected == 4
