"""Whatever the other end does, a call over gRPC brings its reply or one clear line, and leaves nothing behind."""

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import ProtocolError

from orderd.dispatch import grpc_channel
from orderd.dispatch.grpc_channel import REPLY_FRAMES_MAX, GrpcChannel, GrpcFailed
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge, open_bridge
from orderd.wire.proto.engine_pb2 import ExchangeReply
from tests.support.frame_client import FrameClient
from tests.support.grpc_engine import DIGESTS, GrpcEngine
from tests.support.processes import Process

LONG_S = 20.0
GRPC_HEADERS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]

Serve = Callable[[trio.SocketStream], Awaitable[None]]


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    async with open_bridge() as bridge:
        yield bridge
        assert await bridge.run(tasks_left) == []


async def tasks_left() -> list[str]:
    """Tasks in the asyncio loop, but the bridge's own and the one that asks."""
    await asyncio.sleep(0)
    own = {"AsyncioBridge._main", "tasks_left", "_Call.main"}
    names = [getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks()]
    return [name for name in names if name not in own]


@asynccontextmanager
async def stranger(serve: Serve) -> AsyncIterator[Address]:
    """A server of one's own making."""
    async with trio.open_nursery() as nursery:

        async def handle(stream: trio.SocketStream) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await serve(stream)

        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield Address("127.0.0.1", listener.socket.getsockname()[1])
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def channel_to(bridge: AsyncioBridge, address: Address) -> AsyncIterator[GrpcChannel]:
    channel = GrpcChannel(bridge, address)
    try:
        yield channel
    finally:
        await channel.aclose()


async def failure(bridge: AsyncioBridge, address: Address, timeout_s: float = LONG_S) -> str:
    """The line of a call that fails, twice the same way."""
    with trio.fail_after(LONG_S):
        async with channel_to(bridge, address) as channel:
            lines = []
            for _ in range(2):
                with pytest.raises(GrpcFailed) as caught:
                    await channel.exchange([b"frame"], timeout_s)
                lines.append(str(caught.value))
    assert all("\n" not in line for line in lines)
    return lines[-1]


def http2_server(answer: Callable[[H2Connection, int], None]) -> Serve:
    """Speaks HTTP/2, and ``answer``\\ s each request."""

    async def serve(stream: trio.SocketStream) -> None:
        connection = H2Connection(H2Configuration(client_side=False, header_encoding="ascii"))
        connection.initiate_connection()
        await stream.send_all(connection.data_to_send())
        while data := await stream.receive_some():
            # A peer may go on after it was told that this is the end.
            with suppress(ProtocolError):
                for event in connection.receive_data(data):
                    if isinstance(event, RequestReceived):
                        answer(connection, event.stream_id)
            if out := connection.data_to_send():
                await stream.send_all(out)

    return serve


def replying(body: bytes, *, trailers: list[tuple[str, str]] = OK) -> Serve:
    def answer(connection: H2Connection, stream_id: int) -> None:
        connection.send_headers(stream_id, GRPC_HEADERS)
        for start in range(0, len(body), 16384):
            connection.send_data(stream_id, body[start : start + 16384])
        connection.send_headers(stream_id, trailers, end_stream=True)

    return http2_server(answer)


def message(reply: bytes) -> bytes:
    return struct.pack(">?I", False, len(reply)) + reply


async def test_a_real_engine_answers_over_a_connection_that_is_kept(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with engine.serving(bridge) as served, channel_to(bridge, served.address) as channel:
        (welcome,) = await channel.exchange([client.hello()], LONG_S)
        assert client.welcome(welcome).engine == 7
        for _ in range(3):
            assert len(await channel.exchange([client.poll()], LONG_S)) == 1
        assert await channel.exchange([], LONG_S) == []


async def test_calls_may_overlap(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    async with engine.serving(bridge) as served, channel_to(bridge, served.address) as channel:
        welcomed = []

        async def hello(session: int) -> None:
            client = engine.client(session)
            (answer,) = await channel.exchange([client.hello()], LONG_S)
            welcomed.append(client.welcome(answer).nonce)

        async with trio.open_nursery() as nursery:
            for session in range(1, 31):
                nursery.start_soon(hello, session)
    assert len(welcomed) == 30


async def test_nobody_there(bridge: AsyncioBridge) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert await failure(bridge, Address("127.0.0.1", sock.getsockname()[1])) == "Connection refused"


async def test_a_name_that_nobody_knows(bridge: AsyncioBridge) -> None:
    assert (await failure(bridge, Address("engine.invalid", 1))).startswith("engine.invalid: ")


async def test_one_that_hangs_up_at_once(bridge: AsyncioBridge) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.aclose()

    async with stranger(serve) as address:
        assert await failure(bridge, address) == "Connection lost"


async def test_one_that_resets(bridge: AsyncioBridge) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    async with stranger(serve) as address:
        assert await failure(bridge, address) == "Connection lost"


async def test_one_that_never_answers(bridge: AsyncioBridge) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with stranger(serve) as address:
        assert await failure(bridge, address, 0.02) == "timed out after 20 ms"


async def test_one_that_takes_the_request_and_never_answers(bridge: AsyncioBridge) -> None:
    async with stranger(http2_server(lambda *_: None)) as address:
        assert await failure(bridge, address, 0.02) == "timed out after 20 ms"


@pytest.mark.parametrize(
    "greeting",
    [b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", b"\xff" * 4096, b"* OK ready\r\n", bytes(9), bytes(99)],
)
async def test_one_that_speaks_something_else(bridge: AsyncioBridge, greeting: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(greeting)
        while await stream.receive_some():
            pass

    async with stranger(serve) as address:
        assert await failure(bridge, address) in (
            "the other end does not speak HTTP/2",
            "Protocol error",
            "Connection lost",
        )


async def test_one_that_goes_away_in_the_middle_of_a_call(bridge: AsyncioBridge) -> None:
    async with stranger(http2_server(lambda connection, _: connection.close_connection())) as address:
        assert (await failure(bridge, address)).startswith("Received GOAWAY frame")


async def test_one_that_resets_the_call(bridge: AsyncioBridge) -> None:
    async with stranger(http2_server(lambda connection, stream_id: connection.reset_stream(stream_id))) as address:
        assert (await failure(bridge, address)).startswith("Stream reset by remote party")


@pytest.mark.parametrize(
    ("trailers", "line"),
    [
        (
            [("grpc-status", "14"), ("grpc-message", "the engine%0Ais stopping")],
            r"UNAVAILABLE: the engine\nis stopping",
        ),
        ([("grpc-status", "8")], "RESOURCE_EXHAUSTED"),
        ([("grpc-status", "99")], "UNKNOWN: Invalid grpc-status: '99'"),
        ([("x", "y")], "UNKNOWN: Missing grpc-status header"),
    ],
)
async def test_one_that_refuses(bridge: AsyncioBridge, trailers: list[tuple[str, str]], line: str) -> None:
    async with stranger(replying(b"", trailers=trailers)) as address:
        assert await failure(bridge, address) == line


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00\x00",
        message(b"\xff\xff\xff"),
        struct.pack(">?I", False, 100) + b"short",
        struct.pack(">?I", True, 3) + b"zip",
        struct.pack(">?I", False, 2**32 - 1) + b"x",
        message(ExchangeReply(frames=[b""] * (REPLY_FRAMES_MAX + 1)).SerializeToString()),
    ],
)
async def test_one_that_replies_garbage(bridge: AsyncioBridge, body: bytes) -> None:
    async with stranger(replying(body)) as address:
        assert (await failure(bridge, address)).startswith("garbage: ")


async def test_a_message_beyond_the_bound_is_not_gathered(
    bridge: AsyncioBridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_channel, "REPLY_BYTES_MAX", 100)
    async with stranger(replying(message(ExchangeReply(frames=[bytes(200)]).SerializeToString()))) as address:
        assert "a message of 203 bytes, at most 100 are taken" in await failure(bridge, address)


@pytest.mark.parametrize("headers", [[("content-type", "text/html")], [(":status", "404")], [(":status", "500")]])
async def test_one_that_is_a_web_site(bridge: AsyncioBridge, headers: list[tuple[str, str]]) -> None:
    def answer(connection: H2Connection, stream_id: int) -> None:
        connection.send_headers(stream_id, list(dict([(":status", "200"), *headers]).items()), end_stream=True)

    async with stranger(http2_server(answer)) as address:
        assert (await failure(bridge, address)).startswith(("UNKNOWN: ", "UNIMPLEMENTED: ", "UNAVAILABLE: "))


async def test_after_a_failure_the_next_call_makes_a_new_connection(bridge: AsyncioBridge) -> None:
    connections = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await trio.sleep_forever()
        await replying(message(ExchangeReply(frames=[b"answer"]).SerializeToString()))(stream)

    async with stranger(serve) as address, channel_to(bridge, address) as channel:
        with pytest.raises(GrpcFailed, match="timed out"):
            await channel.exchange([b"x"], 0.02)
        for _ in range(3):
            assert await channel.exchange([b"x"], LONG_S) == [b"answer"]
    assert connections == 2


async def test_a_call_that_fails_does_not_cut_others_on_its_connection(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client, other = engine.client(), engine.client(10)
    async with engine.serving(bridge) as served, channel_to(bridge, served.address) as channel:
        client.welcome((await channel.exchange([client.hello()], LONG_S))[0])
        engine.hold_commits()
        answers = []

        async def patient() -> None:
            answers.extend(await channel.exchange([other.hello()], LONG_S))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(patient)
            await engine.committing.wait()
            with pytest.raises(GrpcFailed, match="timed out"):
                await channel.exchange([client.poll()], 0.02)
            engine.may_commit.set()
        assert len(answers) == 1


async def test_a_cancelled_call_ends_at_the_server_too_and_leaves_the_connection(bridge: AsyncioBridge) -> None:
    engine = GrpcEngine()
    client, other = engine.client(), engine.client(10)
    async with engine.serving(bridge) as served, channel_to(bridge, served.address) as channel:
        engine.hold_commits()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.exchange, [client.hello()], LONG_S)
            await engine.committing.wait()
            nursery.cancel_scope.cancel()
        engine.may_commit.set()
        assert len(await channel.exchange([other.hello()], LONG_S)) == 1


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_cancelling_after_any_number_of_steps_leaves_nothing_behind(bridge: AsyncioBridge, steps: int) -> None:
    engine = GrpcEngine()
    client = engine.client()
    async with engine.serving(bridge) as served, channel_to(bridge, served.address) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.exchange, [client.hello()], LONG_S)
            for _ in range(steps):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert len(await channel.exchange([client.hello()], LONG_S)) == 1


async def test_a_closed_channel_takes_nothing(bridge: AsyncioBridge) -> None:
    channel = GrpcChannel(bridge, Address("127.0.0.1", 1))
    await channel.aclose()
    await channel.aclose()
    with pytest.raises(GrpcFailed, match="closed"):
        await channel.exchange([b"x"], LONG_S)


async def test_closing_ends_what_is_under_way(bridge: AsyncioBridge) -> None:
    requested = trio.Event()
    async with stranger(http2_server(lambda *_: requested.set())) as address:
        channel = GrpcChannel(bridge, address)
        lines = []

        async def call() -> None:
            with pytest.raises(GrpcFailed) as caught:
                await channel.exchange([b"x"], LONG_S)
            lines.append(str(caught.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await requested.wait()
            await channel.aclose()
    assert len(lines) == 1


async def test_a_killed_engine_is_lost_and_its_next_start_is_found(bridge: AsyncioBridge, tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", listening.getsockname()[1])
        words = ["--set", "journal.backend=memory", "--set", "listen.udp=127.0.0.1:0"]
        process = Process("engine", tmp_path, ["engine", "run", *words, "--grpc-fd", str(listening.fileno())])
        try:
            async with channel_to(bridge, address) as channel:
                for _ in range(2):
                    await trio.to_thread.run_sync(lambda: process.launch(pass_fds=(listening.fileno(),)))
                    await trio.to_thread.run_sync(process.wait_for_log, "ready")
                    client = FrameClient({1: DIGESTS[1]})
                    (welcome,) = await channel.exchange([client.hello()], LONG_S)
                    assert client.welcome(welcome).boot == 1
                    await trio.to_thread.run_sync(process.kill)
                # Connecting works as long as somebody holds the listening socket; an answer does not come.
                with pytest.raises(GrpcFailed):
                    await channel.exchange([client.hello()], 0.2)
        finally:
            process.clean_up()


async def test_failed_calls_leave_no_file_open(bridge: AsyncioBridge) -> None:
    async def never_answers(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            pass

    async def hangs_up(stream: trio.SocketStream) -> None:
        await stream.receive_some()

    async def talks_nonsense(stream: trio.SocketStream) -> None:
        await stream.send_all(b"220 mail.example ESMTP\r\n" * 9)
        await never_answers(stream)

    before = os.listdir("/proc/self/fd")
    with trio.fail_after(LONG_S):
        for serve, timeout_s in ((never_answers, 0.002), (hangs_up, LONG_S), (talks_nonsense, LONG_S)):
            async with stranger(serve) as address, channel_to(bridge, address) as channel:
                for _ in range(70):
                    with pytest.raises(GrpcFailed):
                        await channel.exchange([b"frame"], timeout_s)
    assert len(os.listdir("/proc/self/fd")) == len(before)
