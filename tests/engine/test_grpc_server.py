"""The engine over gRPC: other implementations can talk to it, limits hold, and a stop cuts nobody off."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from grpclib.const import Status
from grpclib.encoding.proto import ProtoCodec
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import grpc_server, grpc_service
from engine.grpc_server import GrpcServer
from engine.grpc_service import REQUEST_BYTES_MAX, REQUEST_FRAMES_MAX, _is_on_this_machine
from orderd.dispatch.grpc_channel import GrpcChannel, GrpcFailed
from orderd.journal.errors import JournalFailed
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge, open_bridge
from orderd.runtime.grpc_library import BoundedChannel, abort_channel
from orderd.runtime.stream_sockets import address_of, bound_stream
from orderd.wire.proto import engine_pb2
from orderd.wire.proto.engine_grpc import EngineStub
from tests.support.grpc_engine import GrpcEngine, Served
from tests.support.matching import BUY, SELL, limit
from tests.support.processes import ROOT, Process, wait_until

LONG_S = 20.0
WORDS = ["engine", "run", "--set", "journal.backend=memory"]
PORTS = ["--set", "listen.udp=127.0.0.1:0", "--set", "listen.grpc=127.0.0.1:0"]


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    async with open_bridge() as bridge:
        yield bridge


async def ask(bridge: AsyncioBridge, address: Address, method: str, request: Any) -> Any:
    """One call on a connection of its own; ``method`` as the stub names it."""

    async def call() -> Any:
        channel = BoundedChannel(address.host, address.port)
        try:
            return await getattr(EngineStub(channel), method)(request, timeout=LONG_S)
        finally:
            abort_channel(channel)

    return await bridge.run(call)


async def refusal(bridge: AsyncioBridge, address: Address, method: str, request: Any) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as caught:
        await ask(bridge, address, method, request)
    return caught.value.status, caught.value.message or ""


async def health(bridge: AsyncioBridge, address: Address) -> Any:
    async def call() -> Any:
        channel = BoundedChannel(address.host, address.port)
        try:
            return await HealthStub(channel).Check(HealthCheckRequest(service="orderd.v1.Engine"), timeout=LONG_S)
        finally:
            abort_channel(channel)

    return (await bridge.run(call)).status


# --- as a process -----------------------------------------------------------------------------------------------------


def test_another_implementation_finds_health_reflection_and_the_service(tmp_path: Path) -> None:
    engine = Process("engine", tmp_path, [*WORDS, *PORTS])
    engine.launch()
    try:
        engine.wait_for_log("ready")
        address = engine.log.split("grpc=")[1].split()[0]
        script = Path(__file__).parents[1] / "support" / "grpcio_client.py"
        found = subprocess.run(
            [sys.executable, str(script), address], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False
        )
        assert found.returncode == 0, found.stderr
        seen = json.loads(found.stdout)
    finally:
        code = engine.terminate() if engine.running else None
        engine.clean_up()
    assert seen["health"] == {"": "SERVING", "orderd.v1.Engine": "SERVING", "other": "NOT_FOUND"}
    assert {"orderd.v1.Engine", "grpc.health.v1.Health"} <= set(seen["services"])
    assert seen["methods"] == ["Book", "Exchange", "Instruments", "Status"]
    assert seen["welcome"] == {"next_sequence": 1, "boot": 1}
    assert seen["book"] == {"tick": "0.01", "lot": "1", "bids": [[100, 5, 1]], "asks": []}
    assert seen["instruments"] == [[1, "AAPL", "0.01", "1"]]
    assert seen["status"]["orders_executed"] == 1
    assert len(seen["status"]["engine_id"]) == 16
    assert seen["watched"] == ["SERVING"]
    assert code == 0
    assert "Traceback" not in engine.log


def test_a_port_that_is_taken_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    engine = Process("engine", tmp_path, [*WORDS, *PORTS])
    engine.launch()
    try:
        engine.wait_for_log("ready")
        journal = ["engine", "run", "--set", f"journal.directory={tmp_path / 'journal'}", *PORTS]
        for road in ("udp", "grpc"):
            address = engine.log.split(f"{road}=")[1].split()[0]
            second = Process(f"second-{road}", tmp_path, [*journal, "--set", f"listen.{road}={address}"])
            second.launch()
            assert second.wait() == 1
            line = second.log.splitlines()[-1]
            assert line == f"orderd-engine: listen.{road} = {address}: Address already in use"
        free = Process("free", tmp_path, journal)
        free.launch()
        free.wait_for_log("ready")
        assert free.terminate() == 0
    finally:
        engine.clean_up()


def test_a_stop_with_a_peer_that_reads_nothing_ends_in_time(tmp_path: Path) -> None:
    engine = Process("engine", tmp_path, [*WORDS, *PORTS])
    engine.launch()
    try:
        engine.wait_for_log("ready")
        host, _, port = engine.log.split("grpc=")[1].split()[0].rpartition(":")
        with socket.create_connection((host, int(port))) as idle:
            idle.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            engine.popen.send_signal(signal.SIGTERM)
            wait_until(lambda: not engine.running, "the engine ends", 10)
        assert engine.popen.returncode == 0
    finally:
        engine.clean_up()


# --- promises of a call -----------------------------------------------------------------------------------------------


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
        assert (status.engine_id, status.boot, status.protocol_version) == ("0000000000000007", 1, 1)
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


# --- limits -----------------------------------------------------------------------------------------------------------


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


async def refused_within(channel: GrpcChannel, timeout_s: float) -> str:
    """Why a call was refused; empty if it was not."""
    with trio.move_on_after(timeout_s):
        try:
            await channel.exchange([], LONG_S)
        except GrpcFailed as error:
            return str(error)
    return ""


async def test_so_many_calls_are_under_way_at_a_time(bridge: AsyncioBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_server, "CALLS_MAX", 2)
    engine = GrpcEngine()
    clients = [engine.client(session) for session in (1, 2, 3)]
    async with engine.serving(bridge) as served:
        channel = GrpcChannel(bridge, served.address)
        engine.hold_commits()
        async with trio.open_nursery() as nursery:
            for client in clients[:2]:
                nursery.start_soon(channel.exchange, [client.hello()], LONG_S)
            await engine.committing.wait()
            # Both are there once a third one is refused; one that is cancelled counts until its frames have run.
            refused = ""
            while not refused:
                refused = await refused_within(channel, 0.02)
            assert refused == "RESOURCE_EXHAUSTED: 2 calls are under way"
            assert await health(bridge, served.address) == HealthCheckResponse.SERVING
            engine.may_commit.set()
        assert len(await channel.exchange([clients[2].hello()], LONG_S)) == 1
        await channel.aclose()


async def hung_up(stream: trio.SocketStream) -> None:
    """Until the other end closes or resets the connection."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def test_an_idle_connection_gives_way_to_a_new_one(
    bridge: AsyncioBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "CONNECTIONS_MAX", 2)
    engine = GrpcEngine()
    async with engine.serving(bridge) as served:
        host, port = served.address.host, served.address.port
        idle = [await trio.open_tcp_stream(host, port) for _ in range(4)]
        for stream in idle[:2]:
            with trio.fail_after(LONG_S):
                await hung_up(stream)
        client = engine.client()
        channel = GrpcChannel(bridge, served.address)
        assert len(await channel.exchange([client.hello()], LONG_S)) == 1
        await channel.aclose()
        for stream in idle:
            await stream.aclose()


# --- strangers --------------------------------------------------------------------------------------------------------


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


@settings(max_examples=25)
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


@settings(max_examples=25)
@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4), st.booleans())
async def test_whatever_a_connection_brings_it_goes_on(pieces: list[bytes], is_http2: bool) -> None:
    engine = GrpcEngine()
    async with open_bridge() as bridge, engine.serving(bridge) as served:
        async with await trio.open_tcp_stream(served.address.host, served.address.port) as stream:
            if is_http2:
                await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
            for piece in pieces:
                with trio.move_on_after(LONG_S):
                    try:
                        await stream.send_all(piece)
                    except trio.BrokenResourceError:
                        break
        assert await health(bridge, served.address) == HealthCheckResponse.SERVING


# --- a stop -----------------------------------------------------------------------------------------------------------


async def stop(served: Served) -> None:
    await served.server.stop()


async def test_a_stop_answers_what_is_under_way_and_refuses_what_is_new(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with engine.serving(bridge) as served:
        channel, other = GrpcChannel(bridge, served.address), GrpcChannel(bridge, served.address)
        await other.exchange([], LONG_S)
        engine.hold_commits()
        answers: list[bytes] = []

        async def hello() -> None:
            answers.extend(await channel.exchange([client.hello()], LONG_S))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hello)
            await engine.committing.wait()
            nursery.start_soon(stop, served)
            with trio.fail_after(LONG_S):
                while await health(bridge, served.address) != HealthCheckResponse.NOT_SERVING:
                    pass
            with pytest.raises(GrpcFailed, match="UNAVAILABLE: the engine is stopping"):
                await other.exchange([client.hello()], LONG_S)
            assert answers == []
            engine.may_commit.set()
        assert len(answers) == 1
        with pytest.raises(GrpcFailed, match="Connection refused"):
            await channel.exchange([client.hello()], LONG_S)
        await channel.aclose()
        await other.aclose()


async def test_who_is_not_answered_in_time_is_cut_off_at_the_end(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    engine.hold_commits()
    listening = bound_stream(Address("127.0.0.1", 0))
    channel = GrpcChannel(bridge, address_of(listening))
    lines: list[str] = []

    async def hello() -> None:
        with pytest.raises(GrpcFailed) as caught:
            await channel.exchange([client.hello()], LONG_S)
        lines.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.rounds.run)
        server = GrpcServer(bridge, engine.site)
        async with trio.open_nursery() as calling, server.serving(listening):
            calling.start_soon(hello)
            await engine.committing.wait()
            with trio.move_on_after(0.02) as patience:
                await server.stop()
            assert patience.cancelled_caught
            assert lines == []
        engine.may_commit.set()
        nursery.cancel_scope.cancel()
    assert lines == ["Connection lost"]
    await channel.aclose()


async def test_after_a_failed_commit_callers_are_cut_off_unanswered(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    listening = bound_stream(Address("127.0.0.1", 0))
    channel = GrpcChannel(bridge, address_of(listening))

    async def serve() -> None:
        async with GrpcServer(bridge, engine.site).serving(listening):
            await engine.rounds.run()

    async with trio.open_nursery() as nursery:

        async def hello() -> None:
            with pytest.raises(GrpcFailed, match="Connection lost"):
                await channel.exchange([client.hello()], LONG_S)

        nursery.start_soon(hello)
        engine.journal.fails = True
        with pytest.raises(JournalFailed):
            await serve()
    await channel.aclose()
