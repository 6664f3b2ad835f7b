"""What the engine answers over gRPC: frames after their commit, questions in ticks and lots, strangers not at all."""

import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import trio
import trio.testing
from grpclib.const import Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import grpc_service
from engine.grpc_service import REQUEST_BYTES_MAX, REQUEST_FRAMES_MAX, _is_on_this_machine
from orderd.dispatch.grpc_channel import GrpcChannel
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge, open_bridge
from orderd.runtime.grpc_library import BoundedChannel, abort_channel
from orderd.wire import frames
from orderd.wire.proto import engine_pb2
from orderd.wire.proto.engine_grpc import EngineStub
from tests.support.grpc_engine import LONG_S, GrpcEngine, ask
from tests.support.matching import BUY, SELL, limit
from tests.support.scale import examples


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    async with open_bridge() as bridge:
        yield bridge


async def refusal(bridge: AsyncioBridge, address: Address, method: str, request: Any) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as caught:
        await ask(bridge, address, method, request)
    return caught.value.status, caught.value.message or ""


async def test_a_call_is_answered_after_the_commit_of_what_it_caused(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with engine.serving(bridge) as served:
        channel = GrpcChannel(bridge, served.address)
        client.welcome((await channel.exchange([client.hello()], LONG_S))[0])
        engine.hold_commits()
        answers: list[bytes] = []

        async def order() -> None:
            answers.extend(await channel.exchange([client.orders(limit(1, BUY, 5, 100))], LONG_S))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(order)
            await engine.committing.wait()
            # A book that would show the order waits too, and so does the status.
            with trio.move_on_after(0.05) as waiting:
                await ask(bridge, served.address, "Book", engine_pb2.BookRequest(symbol="AAPL"))
            assert waiting.cancelled_caught
            assert answers == []
            engine.may_commit.set()
        assert [report.exec_type.name for report in client.reports(answers[0])] == ["NEW"]
        await channel.aclose()


async def test_frames_of_a_cancelled_call_run_all_the_same(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with engine.serving(bridge) as served:
        channel = GrpcChannel(bridge, served.address)
        client.welcome((await channel.exchange([client.hello()], LONG_S))[0])
        engine.hold_commits()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.exchange, [client.orders(limit(1, BUY, 5, 100))], LONG_S)
            await engine.committing.wait()
            nursery.cancel_scope.cancel()
        engine.may_commit.set()
        (answer,) = await channel.exchange([client.poll(1, 1)], LONG_S)
        await channel.aclose()
    assert [report.order for report in client.reports(answer)] == [1]


async def test_questions_are_answered_with_ticks_and_lots_best_first(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    records = limit(1, BUY, 5, 100) + limit(2, BUY, 6, 101) + limit(3, SELL, 7, 103) + limit(4, SELL, 1, 103)
    async with engine.serving(bridge) as served:
        channel = GrpcChannel(bridge, served.address)
        client.welcome((await channel.exchange([client.hello()], LONG_S))[0])
        await channel.exchange([client.orders(records), b"stray", client.poll()[:-1] + b"x"], LONG_S)
        await channel.aclose()
        book = await ask(bridge, served.address, "Book", engine_pb2.BookRequest(symbol="AAPL", depth=1))
        assert [(level.price, level.quantity, level.orders) for level in book.bids] == [(101, 6, 1)]
        assert [(level.price, level.quantity, level.orders) for level in book.asks] == [(103, 8, 2)]
        status = await ask(bridge, served.address, "Status", engine_pb2.StatusRequest())
        assert (status.engine_id, status.boot, status.protocol_version) == ("0000000000000007", 1, frames.VERSION)
        assert (status.frames_received, status.orders_executed) == (4, 4)
        assert status.frames_rejected == engine_pb2.Rejected(tag=1, shape=1)
        instruments = await ask(bridge, served.address, "Instruments", engine_pb2.InstrumentsRequest())
        assert [instrument.symbol for instrument in instruments.instruments] == ["AAPL", "MSFT"]
        refused = await refusal(bridge, served.address, "Book", engine_pb2.BookRequest(symbol="Ä" * 500))
        assert refused[0] is Status.NOT_FOUND
        assert len(refused[1]) < 120


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (("127.0.0.1", 5), True), (("127.8.8.8", 5), True), (("::1", 5, 0, 0), True), (("::ffff:127.0.0.1", 5), True),
        (("10.0.0.1", 5), False), (("::ffff:10.0.0.1", 5), False), (("fe80::1%eth0", 5), False), (None, False),
    ],
)  # fmt: skip
def test_who_is_on_this_machine(peer: tuple[Any, ...] | None, expected: bool) -> None:
    assert _is_on_this_machine(peer) is expected


async def test_with_a_key_strangers_get_no_answers_to_questions(
    bridge: AsyncioBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = GrpcEngine(bytes(range(32)))
    requests = {
        "Book": engine_pb2.BookRequest(symbol="AAPL"),
        "Instruments": engine_pb2.InstrumentsRequest(),
        "Status": engine_pb2.StatusRequest(),
    }
    async with engine.serving(bridge) as served:
        for method, request in requests.items():
            await ask(bridge, served.address, method, request)
        monkeypatch.setattr(grpc_service, "_is_on_this_machine", lambda _: False)
        for method, request in requests.items():
            status, text = await refusal(bridge, served.address, method, request)
            assert status is Status.PERMISSION_DENIED
            assert "ask through orderd" in text
        client = engine.client()
        reply = await ask(bridge, served.address, "Exchange", engine_pb2.ExchangeRequest(frames=[client.hello()]))
        client.welcome(reply.frames[0])


async def test_a_call_has_its_limits(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    async with engine.serving(bridge) as served:
        full = engine_pb2.ExchangeRequest(frames=[bytes(4090)] * REQUEST_FRAMES_MAX)
        assert full.ByteSize() > REQUEST_BYTES_MAX - 10_000
        assert not (await ask(bridge, served.address, "Exchange", full)).frames
        full.frames.append(b"")
        status, text = await refusal(bridge, served.address, "Exchange", full)
        assert (status, text) == (Status.INVALID_ARGUMENT, "1025 frames, at most 1024 are taken")
        large = engine_pb2.ExchangeRequest(frames=[bytes(REQUEST_BYTES_MAX)])
        assert (await refusal(bridge, served.address, "Exchange", large))[0] is Status.RESOURCE_EXHAUSTED
        assert engine.rounds.counters.bad_shape == REQUEST_FRAMES_MAX


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\x7fshort"])
async def test_what_is_no_message_is_refused(bridge: AsyncioBridge, body: bytes) -> None:
    class Raw(ProtoCodec):
        """Bytes in place of a message."""

        def encode(self, message: Any, message_type: Any) -> bytes:
            return body

    async def call(address: Address) -> None:
        channel = BoundedChannel(address.host, address.port, codec=Raw())
        try:
            await EngineStub(channel).Exchange(engine_pb2.ExchangeRequest(), timeout=LONG_S)
        finally:
            abort_channel(channel)

    engine = GrpcEngine()
    async with engine.serving(bridge) as served:
        with pytest.raises(GRPCError) as caught:
            await bridge.run(call, served.address)
    assert caught.value.status is Status.INVALID_ARGUMENT


@settings(max_examples=examples(25))
@given(st.lists(st.lists(st.binary(max_size=200), max_size=8), max_size=4), st.integers(0, 47))
async def test_whatever_frames_hold_it_goes_on(calls: list[list[bytes]], position: int) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with open_bridge() as bridge, engine.serving(bridge) as served:
        channel = GrpcChannel(bridge, served.address)
        (welcome,) = await channel.exchange([client.hello()], LONG_S)
        client.welcome(welcome)
        for frames in calls:
            bent = bytearray(client.poll())
            bent[position] ^= 0xFF
            assert await channel.exchange([*frames, bytes(bent)], LONG_S) == []
        assert len(await channel.exchange([client.poll()], LONG_S)) == 1
        await channel.aclose()
    assert engine.rounds.counters.rejected == engine.rounds.counters.received - 2


async def test_a_peer_that_takes_no_reply_does_not_hold_its_call_for_ever(
    bridge: AsyncioBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_service, "SEND_TIMEOUT_S", 0.05)
    engine = GrpcEngine()
    client = engine.client()
    request = engine_pb2.ExchangeRequest(frames=[client.hello()]).SerializeToString()
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/orderd.v1.Engine/Exchange")]
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    connection.send_headers(1, [*headers, ("content-type", "application/grpc"), ("te", "trailers")])
    connection.send_data(1, struct.pack(">?I", False, len(request)) + request, end_stream=True)
    async with engine.serving(bridge) as served:
        with trio.fail_after(LONG_S):
            async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
                await stream.send_all(connection.data_to_send())
                with suppress(trio.BrokenResourceError):
                    while await stream.receive_some():
                        pass
            # It has left: a stop waits for nobody.
            await served.server.stop()
    assert engine.rounds.counters.received == 1
