"""The fallback task: one call at a time, nothing opened before the first one, and nothing left behind."""

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf

import attrs
import pytest
import trio
import trio.testing

from orderd.dispatch.dispatcher import Dispatcher, Owner, Roads
from orderd.dispatch.grpc_channel import GrpcFailed
from orderd.dispatch.grpc_fallback import GrpcFallback, channel_to
from orderd.link.handshake import Identity
from orderd.link.health import Transport, TransportState
from orderd.link.report_intake import Delivery
from orderd.link.sender import SessionSender
from orderd.link.terms import SenderSettings
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import open_bridge
from orderd.runtime.clock import SystemClock
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.stream_sockets import address_of, bound_stream
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES
from tests.support.grpc_engine import DIGESTS, GrpcEngine
from tests.support.matching import BUY, limit

TIMEOUT_S = 5.0


def asyncio_threads() -> int:
    return sum(thread.name == "asyncio" for thread in threading.enumerate())


class Channel:
    """Answers each call with what :attr:`answer` makes of it."""

    def __init__(self) -> None:
        self.answer: Callable[[Sequence[bytes]], list[bytes]] = list
        self.may_end = trio.Event()
        self.may_end.set()
        self.opened = self.closed = self.under_way = 0
        self.calls: list[list[bytes]] = []
        self.cancelled = 0

    @asynccontextmanager
    async def connect(self) -> "AsyncIterator[Channel]":
        self.opened += 1
        try:
            yield self
        finally:
            assert self.under_way == 0, "closed under a call"
            self.closed += 1

    async def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]:
        assert timeout_s == TIMEOUT_S
        assert self.under_way == 0, "one call at a time"
        self.under_way += 1
        self.calls.append(list(frames))
        try:
            await self.may_end.wait()
            return self.answer(frames)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1


@attrs.define
class Heard:
    """What the owner was told, and what it does then."""

    answers: list[list[bytes]] = attrs.field(factory=list)
    failures: list[str] = attrs.field(factory=list)
    then: Callable[[], None] = lambda: None

    def answered(self, frames: list[bytes]) -> None:
        self.answers.append(frames)
        self.then()

    def failed(self, reason: str) -> None:
        self.failures.append(reason)
        self.then()


@asynccontextmanager
async def running(channel: Channel, heard: Heard) -> AsyncIterator[GrpcFallback]:
    fallback = GrpcFallback(channel.connect, TIMEOUT_S, heard.answered, heard.failed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fallback.run)
        await trio.testing.wait_all_tasks_blocked()
        yield fallback
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_nothing_is_opened_before_the_first_call() -> None:
    channel, heard = Channel(), Heard()
    async with running(channel, heard) as fallback:
        assert channel.opened == 0
        fallback.call([b"a"])
        await trio.testing.wait_all_tasks_blocked()
        assert (channel.opened, channel.closed) == (1, 0)
    assert channel.closed == 1


async def test_without_a_call_nothing_is_opened_at_all() -> None:
    channel = Channel()
    async with running(channel, Heard()):
        pass
    assert (channel.opened, channel.closed) == (0, 0)


async def test_calls_go_one_after_the_other_over_one_channel() -> None:
    channel, heard = Channel(), Heard()
    async with running(channel, heard) as fallback:
        for number in range(5):
            fallback.call([b"%d" % number, b"x"])
            await trio.testing.wait_all_tasks_blocked()
    assert heard.answers == channel.calls == [[b"%d" % number, b"x"] for number in range(5)]
    assert (channel.opened, channel.closed, heard.failures) == (1, 1, [])


async def test_the_next_call_may_be_made_while_the_end_of_the_last_is_told() -> None:
    channel, heard = Channel(), Heard()
    left = [[b"c"], [b"b"]]
    async with running(channel, heard) as fallback:
        heard.then = lambda: fallback.call(left.pop()) if left else None
        fallback.call([b"a"])
    assert heard.answers == [[b"a"], [b"b"], [b"c"]]


async def test_a_second_call_while_one_is_under_way_is_an_error_of_ours() -> None:
    channel, heard = Channel(), Heard()
    channel.may_end = trio.Event()
    async with running(channel, heard) as fallback:
        fallback.call([b"a"])
        with pytest.raises(AssertionError, match="one call at a time"):
            fallback.call([b"b"])
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(AssertionError, match="one call at a time"):
            fallback.call([b"b"])
        channel.may_end.set()
    assert channel.calls == [[b"a"]]


async def test_a_failure_is_told_in_its_words_and_the_next_call_is_made() -> None:
    channel, heard = Channel(), Heard()

    def fail(_: Sequence[bytes]) -> list[bytes]:
        raise GrpcFailed("UNAVAILABLE: the engine\nis stopping")

    async with running(channel, heard) as fallback:
        channel.answer = fail
        fallback.call([b"a"])
        await trio.testing.wait_all_tasks_blocked()
        channel.answer = list
        fallback.call([b"b"])
    assert heard.failures == [r"UNAVAILABLE: the engine\nis stopping"]
    assert heard.answers == [[b"b"]]
    assert channel.opened == 1


async def test_the_next_call_may_be_made_while_a_failure_is_told() -> None:
    channel, heard = Channel(), Heard()
    tries = iter(range(3))

    def fail_at_first(frames: Sequence[bytes]) -> list[bytes]:
        if next(tries) < 2:
            raise GrpcFailed("connection refused")
        return list(frames)

    channel.answer = fail_at_first
    async with running(channel, heard) as fallback:
        heard.then = lambda: fallback.call([b"again"]) if not heard.answers else None
        fallback.call([b"a"])
    assert (heard.failures, heard.answers) == (["connection refused"] * 2, [[b"again"]])


async def test_a_call_that_hangs_is_cancelled_at_the_end_and_the_channel_closed_after_it() -> None:
    channel, heard = Channel(), Heard()
    channel.may_end = trio.Event()
    async with running(channel, heard) as fallback:
        fallback.call([b"a"])
    assert (channel.cancelled, channel.closed) == (1, 1)
    assert (heard.answers, heard.failures) == ([], [])


async def test_what_is_no_failed_call_ends_the_task() -> None:
    channel, heard = Channel(), Heard()

    def break_down(_: Sequence[bytes]) -> list[bytes]:
        raise RuntimeError("the asyncio loop ended by itself")

    channel.answer = break_down
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="ended by itself")):
        async with running(channel, heard) as fallback:
            fallback.call([b"a"])
    assert (channel.closed, heard.failures) == (1, [])


# --- with a real engine -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def engine_at(engine: GrpcEngine) -> AsyncIterator[Address]:
    """A loop of its own, as the engine's process has one."""
    async with open_bridge() as bridge, engine.serving(bridge) as served:
        yield served.address


async def test_the_thread_of_the_bridge_comes_with_the_first_call_and_goes_at_the_end() -> None:
    engine, told = GrpcEngine(), trio.Event()
    client, answers = engine.client(), []

    def answered(frames: list[bytes]) -> None:
        answers.extend(frames)
        told.set()

    with trio.fail_after(20):
        async with engine_at(engine) as address:
            fallback = GrpcFallback(channel_to(address), TIMEOUT_S, answered, pytest.fail)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fallback.run)
                await trio.testing.wait_all_tasks_blocked()
                assert asyncio_threads() == 1
                fallback.call([client.hello()])
                await told.wait()
                assert asyncio_threads() == 2
                nursery.cancel_scope.cancel()
            assert asyncio_threads() == 1
    assert client.welcome(answers[0]).engine == 7


async def test_an_engine_that_is_not_there_fails_calls_until_it_comes_and_when_it_has_gone() -> None:
    send, receive = trio.open_memory_channel[str | list[bytes]](9)
    engine, sock = GrpcEngine(), bound_stream(Address("127.0.0.1", 0))
    client, address = engine.client(), address_of(sock)
    with trio.fail_after(20):
        async with open_bridge() as bridge, trio.open_nursery() as nursery:
            fallback = GrpcFallback(channel_to(address), TIMEOUT_S, send.send_nowait, send.send_nowait)
            nursery.start_soon(fallback.run)
            for _ in range(2):
                fallback.call([client.hello()])
                assert await receive.receive() == "Connection refused"
            async with engine.serving(bridge, sock=sock):
                for _ in range(2):
                    fallback.call([client.hello()])
                    answer = await receive.receive()
                    assert isinstance(answer, list)
                    assert client.welcome(answer[0]).engine == 7
            fallback.call([client.hello()])
            assert isinstance(await receive.receive(), str)
            nursery.cancel_scope.cancel()


class Orders:
    """A link with records to send, and its dispatcher. Nobody reads the UDP socket at the other end."""

    def __init__(self, transport: Transport, count: int, grpc: Address) -> None:
        self.records = b"".join(limit(number, BUY, 1, 100) for number in range(1, count + 1))
        self.link = SessionSender(
            Identity(9, 1, 5, b"", DIGESTS), SenderSettings(timeout_initial=0.002, transport=transport),
            lambda first, count: self.records[(first - 1) * RECORD_BYTES :][: count * RECORD_BYTES],
            acknowledged=1, reports_wanted=1,
        )  # fmt: skip
        self.link.release(count + 1, 0.0)
        self.delivered: list[tuple[int, int, Path]] = []
        self.all_delivered = trio.Event()
        self.deaf = UdpSocket.bound(Address("127.0.0.1", 0))
        self.socket = UdpSocket.connected(self.deaf.address)
        self.dispatcher = Dispatcher(
            self.link,
            Roads(self.socket, channel_to(grpc), grpc_timeout_s=TIMEOUT_S),
            SystemClock(),
            Owner(lambda _: inf, self._deliver, lambda _: None),
        )

    def _deliver(self, deliveries: list[Delivery], path: Path) -> None:
        self.delivered += [(delivery.first, delivery.reports, path) for delivery in deliveries]
        if self.delivered and sum(self.delivered[-1][:2]) == len(self.records) // RECORD_BYTES + 1:
            self.all_delivered.set()

    def close(self) -> None:
        self.socket.close()
        self.deaf.close()


@pytest.mark.parametrize("transport", [Transport.UDP_FIRST, Transport.GRPC_ONLY])
async def test_orders_take_grpc_when_udp_is_silent_or_not_allowed(transport: Transport) -> None:
    engine = GrpcEngine()
    with trio.fail_after(20):
        async with engine_at(engine) as address:
            orders = Orders(transport, 3000, address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(orders.dispatcher.run)
                await orders.all_delivered.wait()
                nursery.cancel_scope.cancel()
            orders.close()
    assert engine.core.counters.orders == 3000
    assert {path for _, _, path in orders.delivered} == {Path.GRPC}
    assert orders.dispatcher.state is TransportState.GRPC_FALLBACK
    assert (orders.dispatcher.udp.counters.sent > 0) == (transport is Transport.UDP_FIRST)
