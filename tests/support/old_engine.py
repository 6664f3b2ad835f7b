"""An engine of another protocol version, on both roads: whatever asks it anything is refused."""

import asyncio
import threading
from types import TracebackType
from typing import Any, Final, Self

from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from orderd.runtime.addresses import Address
from orderd.runtime.grpc_library import CONFIGURATION, abort
from orderd.runtime.stream_sockets import address_of, bound_stream
from orderd.wire import bodies, frames, tags
from orderd.wire.frames import Frame, FrameType
from orderd.wire.proto.engine_grpc import EngineBase
from orderd.wire.proto.engine_pb2 import ExchangeReply
from orderd.wire.tags import Direction

OTHER_VERSION: Final = frames.VERSION - 1
START_S: Final = 10.0


def refuse(datagram: bytes) -> bytes:
    """What it says to a HELLO."""
    hello = frames.parse(datagram)
    nonce = bodies.Hello.parse(hello.body).nonce
    body = bodies.Refuse(nonce, bodies.Refusal.VERSION, OTHER_VERSION).encode()
    frame = Frame(
        FrameType.REFUSE, hello.session, hello.epoch, ack=hello.counter, body=body, version=OTHER_VERSION
    )  # fmt: skip
    return tags.handshake_sealer(b"", hello.session, Direction.TO_ORDERD).seal(frame.encode())


class OldEngine:
    """A thread with both fronts. :attr:`asked` counts HELLOs, :attr:`others` all that an engine must not be sent."""

    def __init__(self) -> None:
        self.udp = self.grpc = ""
        """Its addresses."""
        self.asked = self.others = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="old engine")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_S)
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._loop is not None and self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def answers(self, datagram: bytes) -> list[bytes]:
        """To one frame, over either road."""
        if frames.parse(datagram).type is not FrameType.HELLO:
            self.others += 1
            return []
        self.asked += 1
        return [refuse(datagram)]

    async def _run(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), ("127.0.0.1", 0))
        listening = bound_stream(Address("127.0.0.1", 0))
        self.udp = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
        self.grpc = str(address_of(listening))
        server = _Server([_Service(self)], config=CONFIGURATION)
        await server.start(sock=listening)
        self._started.set()
        await self._stop.wait()
        transport.close()
        server.close()
        for connection in server.made:
            abort(connection)
        # From Python 3.12 on this waits for the connections too, so they go first.
        await server.wait_closed()
        await asyncio.sleep(0)  # The loop takes an aborted connection down in its next turn.


class _Server(Server):
    """Knows its connections."""

    def __init__(self, handlers: Any, **more: Any) -> None:
        super().__init__(handlers, **more)
        self.made: list[H2Protocol] = []

    def _protocol_factory(self) -> H2Protocol:
        self.made.append(super()._protocol_factory())
        return self.made[-1]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, engine: OldEngine) -> None:
        self._engine = engine
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        assert self._transport is not None
        for answer in self._engine.answers(data):
            self._transport.sendto(answer, address)


class _Service(EngineBase):
    def __init__(self, engine: OldEngine) -> None:
        self._engine = engine

    async def Exchange(self, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        assert request is not None
        answers = [answer for frame in request.frames for answer in self._engine.answers(frame)]
        await stream.send_message(ExchangeReply(frames=answers))

    async def Book(self, stream: Stream[Any, Any]) -> None:
        """Never asked."""

    Instruments = Status = Book
