"""What grpclib does not offer and both ends need: all that reaches into it stands here.

- A message's length is looked at before its bytes are gathered: grpclib would take any up to 4 GiB.
- So is that of an HTTP/2 frame (RFC 9113, section 4.2), which h2 looks at after it has gathered up to 16 MiB. Whoever
  speaks another protocol announces an impossible length at once.
- Why a connection ended is told once, the first reason.
- A connection is aborted, not closed: grpclib's close waits until the peer has read what was written, if it ever does.

``tests/runtime/test_grpc_library.py`` fails when a release of grpclib moves what is used here.
"""

import asyncio
from typing import Any, Final

from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.protocol import H2Protocol

WINDOW_BYTES: Final = 2**20
"""What a peer may send ahead of being read, on a stream and on all streams of a connection together."""
FRAME_BYTES_MAX: Final = 2**14
"""SETTINGS_MAX_FRAME_SIZE as it is when nothing else is said, and neither end here does."""
FRAME_HEADER_BYTES: Final = 9
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

CONFIGURATION: Final = Configuration(http2_connection_window_size=WINDOW_BYTES, http2_stream_window_size=WINDOW_BYTES)


class BadMessage(Exception):
    """The other end sends a message that is beyond a bound, or none where there has to be one."""


def bound_messages(stream: Any, bytes_max: int) -> None:
    """Have ``recv_message`` of ``stream``, a client's or a server's, raise :class:`BadMessage` beyond the bound.

    A client's stream must have sent its request.
    """
    inner = stream._stream
    receive = inner.recv_data

    async def receive_bounded(size: int) -> bytes:
        if size > bytes_max:
            raise BadMessage(f"a message of {size} bytes, at most {bytes_max} are taken")
        data: bytes = await receive(size)
        return data

    inner.recv_data = receive_bounded


class FrameLengths:
    """Follows the lengths of HTTP/2 frames through a connection's bytes. ``skip``: bytes before the first frame."""

    __slots__ = ("_header", "_skip")

    def __init__(self, skip: int) -> None:
        self._skip = skip
        self._header = b""

    def accept(self, data: bytes) -> bool:
        """Whether all frames that begin in ``data`` keep to the bound. Nothing may be asked after a no."""
        position, end = 0, len(data)
        while position < end:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
                position += step
                continue
            taken = data[position : position + FRAME_HEADER_BYTES - len(self._header)]
            self._header += taken
            position += len(taken)
            if len(self._header) == FRAME_HEADER_BYTES:
                self._skip = int.from_bytes(self._header[:3], "big")
                self._header = b""
                if self._skip > FRAME_BYTES_MAX:
                    return False
        return True


class BoundedProtocol(H2Protocol):
    """A connection whose frames are bounded. Made from one of grpclib's before that was used."""

    preface_bytes = 0

    def __init__(self, made: H2Protocol) -> None:
        super().__init__(made.handler, made.config, made.h2_config)
        self._lengths = FrameLengths(self.preface_bytes)
        self._refused = False

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._lengths.accept(data):
            super().data_received(data)
        else:
            self._refused = True
            self.processor.close("the other end does not speak HTTP/2")

    def connection_lost(self, exc: BaseException | None) -> None:
        # Ended by a GOAWAY or an error before, it has told why; told again it would only say that it was lost.
        if hasattr(self.processor, "processors"):
            super().connection_lost(exc)


class BoundedChannel(Channel):
    """A client whose connections are bounded so."""

    def _protocol_factory(self) -> H2Protocol:
        return BoundedProtocol(super()._protocol_factory())


def transport_of(protocol: H2Protocol) -> asyncio.Transport | None:
    """What carries the connection; None if it was closed already."""
    connection = getattr(protocol, "connection", None)
    transport: asyncio.Transport | None = getattr(connection, "_transport", None)
    return transport


def abort(protocol: H2Protocol) -> None:
    """End the connection now, whatever was not written yet."""
    transport = transport_of(protocol)
    if transport is not None:
        transport.abort()


def abort_connection_of(stream: Any) -> None:
    """As :func:`abort`, for the connection of a server's stream, with all other calls on it."""
    stream._stream._transport.abort()


def is_connected(channel: Channel) -> bool:
    """Whether the channel has a connection that was not lost."""
    return channel._connected


def abort_channel(channel: Channel) -> None:
    """As :func:`abort`, for the connection of a client, if it has one."""
    protocol = channel._protocol
    if protocol is not None:
        transport = transport_of(protocol)
        channel.close()
        if transport is not None:
            transport.abort()
