"""The gRPC road to the engine: frames out, frames back, one call each time. A shell; decides nothing.

Whatever goes wrong is :class:`GrpcFailed` with one line for people. After a failure the next call makes a new
connection, so that a broken one never sticks; calls that are still under way on the old one may end there.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import attrs
import trio
from grpclib.exceptions import GRPCError, StreamTerminatedError

from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import AsyncioBridge, BridgeFailed
from orderd.runtime.fields import one_line
from orderd.runtime.grpc_library import (
    CONFIGURATION,
    BadMessage,
    BoundedChannel,
    abort_channel,
    bound_messages,
    is_connected,
)
from orderd.wire.proto.engine_grpc import EngineStub
from orderd.wire.proto.engine_pb2 import ExchangeRequest

REPLY_FRAMES_MAX: Final = 1024
REPLY_BYTES_MAX: Final = 8 * 2**20
CLOSE_TIMEOUT_S: Final = 5.0


class GrpcFailed(Exception):
    """A call that brought no reply. Its frames may have been executed or not. One line says why."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@attrs.define(eq=False)
class _Connection:
    """A channel, made in the asyncio loop and used there only."""

    channel: BoundedChannel
    calls: int = 0
    is_retired: bool = False


class GrpcChannel:
    """Connects with the first call, and keeps the connection. Calls may overlap."""

    def __init__(self, bridge: AsyncioBridge, address: Address) -> None:
        self._bridge = bridge
        self._address = address
        self._connection: _Connection | None = None
        self._closed = False

    async def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]:
        """What the engine answers to ``frames``, at most 1,024 and 4 MiB of them; perhaps nothing.

        Raises :class:`GrpcFailed`, after ``timeout_s`` seconds at the latest. Cancelled, it tells the engine so, and
        holds nothing any more when it returns.
        """
        started_at = trio.current_time()
        host = await self._resolve(timeout_s)
        left_s = max(0.0, started_at + timeout_s - trio.current_time())
        return await self._bridge.run(self._exchange, host, list(frames), left_s, timeout_s)

    async def aclose(self) -> None:
        """End the connection and what is under way on it; nothing can be asked afterwards."""
        # If the loop is gone, so is the connection; its owner tells why.
        with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True), suppress(BridgeFailed):
            await self._bridge.run(self._close)

    async def _resolve(self, timeout_s: float) -> str:
        # Here and not in asyncio, whose worker threads cannot be left behind when no name server answers.
        try:
            with trio.fail_after(timeout_s):
                found = await trio.socket.getaddrinfo(self._address.host, self._address.port, type=socket.SOCK_STREAM)
        except (trio.TooSlowError, OSError) as error:
            raise GrpcFailed(f"{self._address.host}: {_text(error, timeout_s)}") from None
        return str(found[0][4][0])

    # --- in the asyncio loop ------------------------------------------------------------------------------------------

    async def _exchange(self, host: str, frames: list[bytes], left_s: float, timeout_s: float) -> list[bytes]:
        """``left_s`` is what is left of ``timeout_s``."""
        if self._closed:
            raise GrpcFailed("the channel is closed")
        connection = self._connection
        if connection is None:
            connection = self._connection = _Connection(BoundedChannel(host, self._address.port, config=CONFIGURATION))
        connection.calls += 1
        try:
            async with asyncio.timeout(left_s):
                return await _call(connection.channel, frames)
        # Whatever a foreign or dying server sends comes out of grpclib and h2 as errors of many families: OSError and
        # GRPCError, but KeyError, AssertionError and AttributeError too. All of them mean that there is no reply.
        except Exception as error:  # noqa: BLE001
            was_lost = not is_connected(connection.channel)
            self._retire(connection)
            raise GrpcFailed(_text(error, timeout_s, was_lost=was_lost)) from None
        finally:
            connection.calls -= 1
            if connection.is_retired and not connection.calls:
                abort_channel(connection.channel)

    def _retire(self, connection: _Connection) -> None:
        connection.is_retired = True
        if self._connection is connection:
            self._connection = None
        if not connection.calls:
            abort_channel(connection.channel)

    async def _close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.is_retired = True
            abort_channel(self._connection.channel)
            self._connection = None
        await asyncio.sleep(0)  # The loop takes an aborted connection down in its next turn.


async def _call(channel: BoundedChannel, frames: list[bytes]) -> list[bytes]:
    async with EngineStub(channel).Exchange.open() as stream:
        await stream.send_message(ExchangeRequest(frames=frames), end=True)
        await stream.recv_initial_metadata()
        bound_messages(stream, REPLY_BYTES_MAX)
        reply = await stream.recv_message()
        if reply is None:
            await stream.recv_trailing_metadata()
            raise BadMessage("no message in the reply")
        if len(reply.frames) > REPLY_FRAMES_MAX:
            raise BadMessage(f"{len(reply.frames)} frames, at most {REPLY_FRAMES_MAX} are taken")
        return list(reply.frames)


def _text(error: Exception, timeout_s: float, *, was_lost: bool = False) -> str:
    if isinstance(error, GRPCError):
        return f"{error.status.name}: {error.message}" if error.message else error.status.name
    if isinstance(error, StreamTerminatedError):
        return str(error) or "the connection was lost"
    if isinstance(error, trio.TooSlowError) or (isinstance(error, TimeoutError) and not error.errno):
        return f"timed out after {timeout_s * 1000:.0f} ms"
    if isinstance(error, OSError):
        # asyncio's own text would repeat the address.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
    if was_lost and not isinstance(error, BadMessage):
        # What grpclib finds missing when it goes on with a connection that just ended.
        return "Connection lost"
    return f"garbage: {error!r}"
