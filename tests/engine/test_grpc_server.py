"""The engine over gRPC: other implementations can talk to it, limits hold, and a stop cuts nobody off."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from grpclib.health.v1.health_pb2 import HealthCheckResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import grpc_server
from engine.grpc_server import GrpcServer
from orderd.dispatch.grpc_channel import GrpcChannel, GrpcFailed
from orderd.journal.errors import JournalFailed
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge, open_bridge
from orderd.runtime.stream_sockets import address_of, bound_stream
from tests.support.grpc_engine import LONG_S, GrpcEngine, Served, health
from tests.support.processes import ROOT, Process, wait_until
from tests.support.scale import examples

WORDS = ["engine", "run", "--set", "journal.backend=memory"]
PORTS = ["--set", "listen.udp=127.0.0.1:0", "--set", "listen.grpc=127.0.0.1:0"]


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    async with open_bridge() as bridge:
        yield bridge


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


@settings(max_examples=examples(25))
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
            nursery.start_soon(hello)
            await engine.rounds.run()

    async def hello() -> None:
        with pytest.raises(GrpcFailed, match="Connection lost"):
            await channel.exchange([client.hello()], LONG_S)

    async with trio.open_nursery() as nursery:
        engine.journal.fails = True
        with pytest.raises(JournalFailed):
            await serve()
    await channel.aclose()
