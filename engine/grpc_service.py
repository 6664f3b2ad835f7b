"""What the engine answers over gRPC: ``orderd.v1.Engine`` of ``orderd/wire/proto/engine.proto``.

Its methods run in the asyncio loop; whatever touches the core is done by :class:`~engine.rounds.Rounds` in trio's
thread, in or between rounds. Exchange needs no other authentication than its frames carry. The questions carry none, so
with a key they are answered to peers on this machine only.
"""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final, TypeVar

import attrs
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from engine.core import BOOK_DEPTH_MAX, EngineCore
from engine.rounds import Call, Rounds
from orderd.runtime.asyncio_bridge import AsyncioBridge, Promise
from orderd.runtime.grpc_library import BadMessage, abort_connection_of
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire import frames
from orderd.wire.bodies import Level
from orderd.wire.proto import engine_pb2
from orderd.wire.proto.engine_grpc import EngineBase

REQUEST_BYTES_MAX: Final = 4 * 2**20
REQUEST_FRAMES_MAX: Final = 1024
RECEIVE_TIMEOUT_S: Final = 10.0
SEND_TIMEOUT_S: Final = 5.0
"""For a reply to be taken. Who lets none come would keep others from calling: calls under way are counted."""
BOOK_DEPTH: Final = 10

T = TypeVar("T")
Request = TypeVar("Request")
Reply = TypeVar("Reply")


@attrs.frozen
class Site:
    """What the service tells of, and to whom."""

    core: EngineCore
    rounds: Rounds
    instruments: InstrumentTable
    has_key: bool


class EngineService(EngineBase):
    """The methods, each for one call."""

    def __init__(self, bridge: AsyncioBridge, site: Site) -> None:
        self._bridge = bridge
        self._site = site

    async def Exchange(  # noqa: N802 - named by the service
        self, stream: Stream[engine_pb2.ExchangeRequest, engine_pb2.ExchangeReply]
    ) -> None:
        request = await _receive(stream)
        if len(request.frames) > REQUEST_FRAMES_MAX:
            raise GRPCError(
                Status.INVALID_ARGUMENT, f"{len(request.frames)} frames, at most {REQUEST_FRAMES_MAX} are taken"
            )
        sent = list(request.frames)

        def take(promise: Promise[list[bytes]]) -> None:
            self._site.rounds.submit(Call(sent, promise.keep))

        answers = await self._settled(take)
        await _send(stream, engine_pb2.ExchangeReply(frames=answers))

    async def Book(  # noqa: N802
        self, stream: Stream[engine_pb2.BookRequest, engine_pb2.BookReply]
    ) -> None:
        self._refuse_strangers(stream)
        request = await _receive(stream)
        # Of another text than ASCII there is no symbol.
        instrument = self._site.instruments.by_symbol.get(request.symbol.encode("utf-8"))
        if instrument is None:
            raise GRPCError(Status.NOT_FOUND, f"no instrument {request.symbol!r:.80}")
        depth = min(request.depth or BOOK_DEPTH, BOOK_DEPTH_MAX)
        bids, asks = await self._ask(lambda: self._site.core.matcher.book(instrument.id).depth(depth))
        await _send(
            stream,
            engine_pb2.BookReply(
                symbol=instrument.symbol,
                tick=instrument.tick,
                lot=instrument.lot,
                bids=map(_level, bids),
                asks=map(_level, asks),
            ),
        )

    async def Instruments(  # noqa: N802
        self, stream: Stream[engine_pb2.InstrumentsRequest, engine_pb2.InstrumentsReply]
    ) -> None:
        self._refuse_strangers(stream)
        await _receive(stream)
        await _send(stream, engine_pb2.InstrumentsReply(instruments=map(_instrument, self._site.instruments)))

    async def Status(  # noqa: N802
        self, stream: Stream[engine_pb2.StatusRequest, engine_pb2.StatusReply]
    ) -> None:
        self._refuse_strangers(stream)
        await _receive(stream)
        await _send(stream, await self._ask(self._status))

    def _status(self) -> engine_pb2.StatusReply:
        core, counters = self._site.core, self._site.rounds.counters
        return engine_pb2.StatusReply(
            engine_id=f"{core.engine_id:016x}",
            boot=core.boot,
            protocol_version=frames.VERSION,
            frames_received=counters.received,
            frames_rejected=engine_pb2.Rejected(
                tag=counters.bad_tag,
                shape=counters.bad_shape,
                version=counters.bad_version,
                stray=counters.stray,
                replayed=counters.replayed,
            ),
            orders_executed=core.counters.orders,
            probes_answered=core.counters.probes,
        )

    async def _ask(self, question: Callable[[], T]) -> T:
        """What ``question`` gives in trio's thread, between two rounds."""

        def take(promise: Promise[T]) -> None:
            self._site.rounds.ask(lambda: promise.settle(question))

        return await self._settled(take)

    async def _settled(self, take: Callable[[Promise[T]], None]) -> T:
        future = self._bridge.ask(take)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # What was handed over runs all the same, and until it has, the call counts as one under way.
            await asyncio.wait([future])
            raise

    def _refuse_strangers(self, stream: Stream[Any, Any]) -> None:
        if self._site.has_key and not _is_on_this_machine(stream.peer.addr()):
            raise GRPCError(
                Status.PERMISSION_DENIED, "only peers on the engine's own machine are answered: ask through orderd"
            )


def _is_on_this_machine(peer: tuple[Any, ...] | None) -> bool:
    """``peer`` is a socket's address, or None if the connection is gone."""
    if not peer:
        return False
    address = ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


async def _receive(stream: Stream[Request, Any]) -> Request:
    """The one message of a call."""
    try:
        async with asyncio.timeout(RECEIVE_TIMEOUT_S):
            message = await stream.recv_message()
    except BadMessage as error:
        raise GRPCError(Status.RESOURCE_EXHAUSTED, str(error)) from None
    except TimeoutError:
        raise GRPCError(Status.DEADLINE_EXCEEDED, f"the message took longer than {RECEIVE_TIMEOUT_S} s") from None
    # A message that is cut short, compressed, or no message of its type.
    except (AssertionError, NotImplementedError, DecodeError) as error:
        raise GRPCError(Status.INVALID_ARGUMENT, f"not a message: {error}") from None
    if message is None:
        raise GRPCError(Status.INVALID_ARGUMENT, "no message in the call")
    return message


async def _send(stream: Stream[Any, Reply], message: Reply) -> None:
    """The reply of a call."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await stream.send_message(message)
    except TimeoutError:
        # Nor would the peer take an error; all its calls may be stuck like this.
        abort_connection_of(stream)
        raise GRPCError(Status.DEADLINE_EXCEEDED, f"the reply was not taken within {SEND_TIMEOUT_S} s") from None


def _level(level: Level) -> engine_pb2.Level:
    price, quantity, orders = level
    return engine_pb2.Level(price=price, quantity=quantity & 2**64 - 1, quantity_high=quantity >> 64, orders=orders)


def _instrument(instrument: Instrument) -> engine_pb2.Instrument:
    return engine_pb2.Instrument(id=instrument.id, symbol=instrument.symbol, tick=instrument.tick, lot=instrument.lot)
