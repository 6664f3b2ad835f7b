"""A question about the book is answered over gRPC however long a call takes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing

import pytest
import trio
import trio.testing

from engine.core import EngineCore
from orderd.dispatch.book_queries import Query
from orderd.dispatch.dispatcher import Dispatcher, Owner, Roads
from orderd.link.handshake import Identity
from orderd.link.health import Transport
from orderd.link.sender import SessionSender
from orderd.link.terms import SenderSettings
from orderd.runtime.addresses import Address
from orderd.runtime.clock import SystemClock
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.paths import Path
from tests.support.site import INSTRUMENTS


class LoopClock(SystemClock):
    """What deadlines are measured by."""

    def monotonic(self) -> float:
        return trio.current_time()


class SlowEngine:
    """Answers a call after ``delay_s``."""

    def __init__(self, delay_s: float) -> None:
        self.core = EngineCore(engine_id=5, secret=b"", instruments=InstrumentTable(INSTRUMENTS))
        self.core.start()
        self._delay_s = delay_s

    async def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]:
        await trio.sleep(self._delay_s)
        for frame in frames:
            self.core.receive(frame, self, Path.GRPC)
        for _ in self.core.execute(1):
            pass
        self.core.take_entries()
        return [datagram for _, datagram in self.core.answers()]


@pytest.mark.parametrize("delay_s", [0.001, 0.3, 0.9])
async def test_a_question_is_not_asked_again_before_its_call_can_be_over(
    delay_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    engine = SlowEngine(delay_s)

    @asynccontextmanager
    async def connect() -> AsyncIterator[SlowEngine]:
        yield engine

    digests = {instrument.id: instrument.digest for instrument in InstrumentTable(INSTRUMENTS)}
    link = SessionSender(
        Identity(77, 1, 99, b"", digests),
        SenderSettings(transport=Transport.GRPC_ONLY),
        lambda first, count: b"",
        acknowledged=1,
        reports_wanted=1,
    )
    link.polls.watch = True
    owner = Owner(lambda now: float("inf"), lambda deliveries, path: None, lambda event: None)
    with closing(UdpSocket.connected(Address("127.0.0.1", 9))) as socket:
        dispatcher = Dispatcher(link, Roads(socket, connect), LoopClock(), owner)
        await ask_thrice(dispatcher, delay_s)


async def ask_thrice(dispatcher: Dispatcher, delay_s: float) -> None:
    """Fails unless each question is answered within two calls."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dispatcher.run)
        await trio.sleep(5.0)
        for after_s in (0.0, 0.1, delay_s / 2):
            await trio.sleep(after_s)
            done = trio.Event()
            dispatcher.books.ask(Query(1, 10, trio.current_time() + 5, lambda _, done=done: done.set()))  # type: ignore[misc]
            dispatcher.flush(trio.current_time())
            with trio.fail_after(2 * delay_s + 0.5):
                await done.wait()
        nursery.cancel_scope.cancel()
