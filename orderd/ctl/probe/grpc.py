"""The engine asked over gRPC: a probe on that road, its counters, or at least whether it is up.

``orderd.v1.Engine`` has Exchange for the probe and Status for the counters, which a keyed engine shows on its own
machine only; an engine that has neither is asked for its health (``grpc.health.v1``).
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import attrs
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from orderd.ctl.probe.diagnosis import EngineCounters, GrpcSight, GrpcState
from orderd.ctl.probe.talk import Arrival, Kind, Talk
from orderd.runtime.addresses import Address
from orderd.runtime.fields import one_line
from orderd.runtime.grpc_library import CONFIGURATION, BadMessage, abort_channel, bound_messages
from orderd.wire.probes import PROBE_BYTES_MIN
from orderd.wire.proto.engine_grpc import EngineStub
from orderd.wire.proto.engine_pb2 import ExchangeRequest, StatusReply, StatusRequest

REPLY_BYTES_MAX: Final = 65_536
_NOT_HERE: Final = (Status.PERMISSION_DENIED, Status.UNAUTHENTICATED, Status.UNIMPLEMENTED, Status.UNKNOWN)
"""An engine that keeps its counters for others, or that has no such service, may be up all the same. UNKNOWN is what
grpclib makes of a server's UNIMPLEMENTED that comes without a content type."""


def look(address: Address, talk: Talk, timeout_s: float) -> GrpcSight:
    """One look, within ``timeout_s`` seconds and what the name of a host takes to be resolved.

    ``talk`` makes the probe that goes over gRPC. Raises nothing: what goes wrong is what was seen.
    """
    try:
        # Here and not in asyncio, which would wait for its worker thread even after a time-out.
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return _down(f"{address.host}: {error.strerror or error}")
    return asyncio.run(_look(str(found[0][4][0]), address, talk, timeout_s))


async def _look(host: str, address: Address, talk: Talk, timeout_s: float) -> GrpcSight:
    # A server that speaks something else makes a callback of the library fail; the call tells it too.
    asyncio.get_running_loop().set_exception_handler(lambda _, __: None)
    channel = Channel(host, address.port, config=CONFIGURATION)
    try:
        async with asyncio.timeout(timeout_s):
            return await _ask(channel, talk)
    except GRPCError as error:
        return _down(f"{address}: {_told(error)}")
    except TimeoutError as error:
        return _down(f"{address}: {os.strerror(error.errno) if error.errno else f'no answer within {timeout_s:g} s'}")
    except StreamTerminatedError as error:
        return _down(f"{address} ended the connection: {error}")
    except OSError as error:
        return _down(f"{address}: {os.strerror(error.errno) if error.errno and error.errno > 0 else error}")
    # Whatever a foreign server sends comes out of grpclib and h2 as errors of many families, KeyError and
    # AssertionError among them; all of them mean that there is no engine.
    except Exception as error:  # noqa: BLE001
        return _down(f"{address} does not speak gRPC: {error!r}")
    finally:
        abort_channel(channel)
        await asyncio.sleep(0)  # The loop takes an aborted connection down in its next turn.


def _down(reason: str) -> GrpcSight:
    return GrpcSight(GrpcState.DOWN, one_line(reason))


async def _ask(channel: Channel, talk: Talk) -> GrpcSight:
    probed = await _allowed(_call(EngineStub(channel).Exchange, ExchangeRequest(frames=[_small(talk)])))
    status = await _allowed(_call(EngineStub(channel).Status, StatusRequest()))
    if probed is None and status is None:
        health = await _call(HealthStub(channel).Check, HealthCheckRequest())
        if health.status != HealthCheckResponse.SERVING:
            return _down(f"its health is {health.status}, not SERVING")
    sight = GrpcSight(GrpcState.UP)
    if status is not None:
        sight = _counted(status)
    return sight if probed is None else _answered(sight, [talk.read(frame) for frame in probed.frames])


def _small(talk: Talk) -> bytes:
    return talk.probe(PROBE_BYTES_MIN, PROBE_BYTES_MIN)[1]


async def _allowed(call: Awaitable[Any]) -> Any:
    """The reply, or None if the engine does not give it to us."""
    try:
        return await call
    except GRPCError as error:
        if error.status in _NOT_HERE:
            return None
        raise


def _answered(sight: GrpcSight, arrivals: Sequence[Arrival]) -> GrpcSight:
    for arrival in arrivals:
        if arrival.reply is not None:
            reply = arrival.reply
            return attrs.evolve(
                sight, engine=f"{reply.engine:016x}", boot=reply.boot, key_fits=True, probes=reply.probes
            )
        if arrival.kind is Kind.VERSION:
            return attrs.evolve(sight, key_fits=True, version=arrival.version)
    return attrs.evolve(sight, key_fits=False)


async def _call(method: Any, request: Any) -> Any:
    async with method.open() as stream:
        await stream.send_message(request, end=True)
        await stream.recv_initial_metadata()
        bound_messages(stream, REPLY_BYTES_MAX)
        reply = await stream.recv_message()
        if reply is None:
            await stream.recv_trailing_metadata()
            raise BadMessage("no message in the reply")
        return reply


def _told(error: GRPCError) -> str:
    return one_line(f"{error.status.name} {error.message or ''}".strip())


def _counted(reply: StatusReply) -> GrpcSight:
    rejected = reply.frames_rejected
    return GrpcSight(
        GrpcState.UP, engine=one_line(reply.engine_id)[:32], boot=reply.boot, version=reply.protocol_version or None,
        probes=reply.probes_answered, counters=EngineCounters(rejected.tag, rejected.shape, rejected.version),
    )  # fmt: skip
