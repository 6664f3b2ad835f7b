"""Whatever is at the gRPC address, a look at it ends in time and says what was there."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.server import Server, Stream

from orderd.ctl.probe import grpc as probe_grpc
from orderd.ctl.probe.diagnosis import EngineCounters, GrpcSight, GrpcState
from orderd.ctl.probe.talk import Talk
from orderd.runtime.addresses import Address
from orderd.wire.proto import engine_pb2
from orderd.wire.proto.engine_grpc import EngineBase

TIMEOUT_S = 0.3


def look(port: int, timeout_s: float = 5.0) -> GrpcSight:
    return probe_grpc.look(Address("127.0.0.1", port), Talk(b"", 1, 2), timeout_s)


class Counting(EngineBase):
    """An engine that shows its counters and takes no frames over gRPC, or the other way round."""

    def __init__(self, *, frames: bool) -> None:
        self.frames = frames

    async def Exchange(self, stream: Stream[engine_pb2.ExchangeRequest, engine_pb2.ExchangeReply]) -> None:
        if not self.frames:
            raise GRPCError(Status.UNIMPLEMENTED)
        await stream.recv_message()
        await stream.send_message(engine_pb2.ExchangeReply())

    async def Status(self, stream: Stream[engine_pb2.StatusRequest, engine_pb2.StatusReply]) -> None:
        if self.frames:
            raise GRPCError(Status.PERMISSION_DENIED, "ask through orderd")
        await stream.recv_message()
        rejected = engine_pb2.Rejected(tag=3, shape=2, version=1)
        reply = engine_pb2.StatusReply(
            engine_id="ab", boot=4, protocol_version=1, frames_rejected=rejected, probes_answered=9
        )
        await stream.send_message(reply)

    async def Book(self, stream: Stream[engine_pb2.BookRequest, engine_pb2.BookReply]) -> None:
        raise NotImplementedError

    async def Instruments(self, stream: Stream[engine_pb2.InstrumentsRequest, engine_pb2.InstrumentsReply]) -> None:
        raise NotImplementedError


@contextmanager
def serving(*services: object) -> Iterator[int]:
    """A gRPC server in a thread; its port."""
    sock = socket.create_server(("127.0.0.1", 0))
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        server = Server(services)  # type: ignore[arg-type]
        await server.start(sock=sock)
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield sock.getsockname()[1]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does ``answer`` to the first connection, and holds it; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def serve() -> None:
            connection, _ = listening.accept()
            held.append(connection)
            answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join()
            for connection in held:
                connection.close()


def test_counters_are_taken_where_they_are_shown() -> None:
    with serving(Counting(frames=False)) as port:
        sight = look(port)
    assert sight == GrpcSight(GrpcState.UP, "", "ab", 4, None, 1, 9, EngineCounters(3, 2, 1))


def test_an_engine_that_drops_the_probe_has_another_key_whether_it_shows_counters_or_not() -> None:
    with serving(Counting(frames=True)) as port:
        assert look(port) == GrpcSight(GrpcState.UP, key_fits=False)


@pytest.mark.parametrize(("healthy", "state"), [(True, GrpcState.UP), (False, GrpcState.DOWN)])
def test_without_the_service_its_health_is_asked(healthy: bool, state: GrpcState) -> None:
    status = ServiceStatus()
    status.set(healthy)
    # The server's own, by the empty name.
    with serving(Health({Counting(frames=True): [status]})) as port:
        sight = look(port)
    assert (sight.state, sight.key_fits, sight.counters) == (state, None, None)
    assert healthy or "not SERVING" in sight.reason


@pytest.mark.parametrize(
    "answer",
    [
        lambda connection: connection.close(),
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda connection: connection.sendall(b"\x00" * 100),
        lambda connection: connection.sendall(bytes(range(256)) * 40),
        lambda connection: None,
    ],
)
def test_what_is_no_engine_is_down(answer: Callable[[socket.socket], None]) -> None:
    with answering(answer) as port:
        sight = look(port, TIMEOUT_S)
    assert sight.state is GrpcState.DOWN
    assert f"127.0.0.1:{port}" in sight.reason
    assert sight.reason.isprintable()


def test_nobody_there_is_down() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    sight = look(port)
    assert (sight.state, sight.reason) == (GrpcState.DOWN, f"127.0.0.1:{port}: Connection refused")
