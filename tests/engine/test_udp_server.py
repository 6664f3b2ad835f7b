"""The engine's UDP front over real sockets: answers follow the commit, strays count, a failed commit is the end."""

from collections.abc import AsyncIterator, Sequence

import pytest
import trio
import trio.testing

from engine.core import EngineCore
from engine.rounds import Rounds
from engine.udp_server import UdpServer
from orderd.journal.errors import JournalFailed
from orderd.journal.memory import MemoryJournal
from orderd.journal.record import Payload
from orderd.journal.writer import JournalWriter
from orderd.link.handshake import Identity
from orderd.link.sender import SessionSender
from orderd.link.terms import LinkState, SenderSettings
from orderd.runtime.addresses import Address
from orderd.runtime.clock import SystemClock
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.journal_settings import JournalSettings
from orderd.wire.errors import WireError
from tests.support.matching import BUY, SELL, limit
from tests.support.virtual_engine import INSTRUMENTS

SETTINGS = JournalSettings(backend="memory")
RECORDS = b"".join(limit(number, BUY if number % 2 else SELL, 1, 100) for number in range(1, 501))


class WatchedJournal(MemoryJournal):
    """Counts what was committed, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__(7)
        self.entries: list[tuple[int, Payload]] = []
        self.fails = False

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        if self.fails:
            raise JournalFailed("the disk is gone")
        self.entries += entries
        super().commit(entries)


class Bench:
    """A server on a port that the system picked, and a link to it."""

    def __init__(self) -> None:
        self.journal = WatchedJournal()
        core = EngineCore(engine_id=7, secret=b"", instruments=INSTRUMENTS)
        core.start()
        self.server_socket = UdpSocket.bound(Address("127.0.0.1", 0))
        self.client = UdpSocket.connected(self.server_socket.address)
        self.writer = JournalWriter(self.journal, SETTINGS)
        self.rounds = Rounds(core, self.writer, SystemClock())
        self.server = UdpServer(self.rounds, self.server_socket)
        digests = {instrument.id: instrument.digest for instrument in INSTRUMENTS}
        # Generous times: what is tested is not how fast a busy machine is.
        self.link = SessionSender(
            Identity(9, 1, 5, b"", digests),
            SenderSettings(timeout_initial=0.2, timeout_minimum=0.2, retransmits_max=20),
            lambda first, count: RECORDS[(first - 1) * 32 : (first - 1 + count) * 32],
            acknowledged=1,
            reports_wanted=1,
        )
        self.told = 0

    async def drive(self, upto: int) -> None:
        """Until reports below ``upto`` were told and the link is up."""
        with trio.fail_after(20):
            while self.told + 1 < upto or self.link.state is LinkState.DOWN:
                for datagram in self.link.datagrams(trio.current_time()):
                    self.client.send(datagram)
                with trio.move_on_at(self.link.wake_at()):
                    await self.client.wait_readable()
                for datagram, _ in self.client.receive():
                    try:
                        received = self.link.receive(datagram, trio.current_time())
                    except WireError:
                        continue
                    assert isinstance(received, list)
                    self.told += sum(delivery.reports for delivery in received)
                    self.link.reports_journaled = self.told + 1


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.client.close()
    bench.server_socket.close()


async def test_orders_are_executed_and_answered(bench: Bench) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.writer.run)
        nursery.start_soon(bench.server.run)
        bench.link.release(501, trio.current_time())
        # A NEW for each order, and a TRADE for each, since all pairs cross.
        await bench.drive(1001)
        bench.server.stop()
        nursery.cancel_scope.cancel()
    assert bench.link.acknowledged == 501
    assert bench.journal.commits >= 2
    assert bench.rounds.counters.rejected == 0
    assert bench.rounds.counters.received >= 12
    assert bench.rounds.counters.datagrams_sent >= 2


async def test_strays_are_counted_and_not_answered(bench: Bench) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.writer.run)
        nursery.start_soon(bench.server.run)
        for stray in (b"", b"hello", bytes(64), b"\x64\x4f\x01\x06" + bytes(60)):
            bench.client.send(stray)
        await bench.drive(1)
        assert bench.rounds.counters.rejected == 4
        assert bench.rounds.counters.datagrams_sent == bench.rounds.counters.received - 4
        nursery.cancel_scope.cancel()


async def test_stop_ends_an_idle_server_at_once(bench: Bench) -> None:
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.writer.run)
            async with trio.open_nursery() as serving:
                serving.start_soon(bench.server.run)
                await trio.testing.wait_all_tasks_blocked()
                bench.server.stop()
            nursery.cancel_scope.cancel()


async def test_after_a_failed_commit_nothing_is_answered_and_the_server_ends(bench: Bench) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(bench.writer.run)
            with trio.CancelScope() as driving:
                async with trio.open_nursery() as serving:
                    serving.start_soon(bench.server.run)
                    await bench.drive(1)
                    driving.cancel()
            bench.journal.fails = True
            bench.link.release(2, trio.current_time())
            (orders, *_) = bench.link.datagrams(trio.current_time())
            bench.client.receive()
            sent = bench.rounds.counters.datagrams_sent
            bench.client.send(orders)
            with pytest.raises(JournalFailed):
                await bench.server.run()
            assert bench.rounds.counters.datagrams_sent == sent
            assert bench.client.receive() == []
            nursery.cancel_scope.cancel()
