"""What is reached into grpclib for is where it is looked for, and the lengths of HTTP/2 frames are followed exactly."""

from contextlib import suppress

import pytest
import trio
from grpclib.client import Channel
from hypothesis import given
from hypothesis import strategies as st

from orderd.runtime.asyncio_bridge import open_bridge
from orderd.runtime.grpc_library import (
    FRAME_BYTES_MAX,
    PREFACE,
    BoundedChannel,
    FrameLengths,
    abort_channel,
    is_connected,
    transport_of,
)


def frame(length: int, announced: int | None = None) -> bytes:
    return (length if announced is None else announced).to_bytes(3, "big") + bytes(6) + bytes(length)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(st.lists(st.integers(0, 40), max_size=20), st.lists(st.integers(0, 30), max_size=30), st.booleans())
def test_frames_within_the_bound_pass_however_they_are_cut(
    lengths: list[int], sizes: list[int], has_preface: bool
) -> None:
    data = (PREFACE if has_preface else b"") + b"".join(map(frame, [*lengths, FRAME_BYTES_MAX]))
    follower = FrameLengths(len(PREFACE) if has_preface else 0)
    assert all(follower.accept(piece) for piece in cut(data, sizes))


@given(st.lists(st.integers(0, 40), max_size=20), st.lists(st.integers(0, 30), max_size=30))
def test_a_frame_beyond_the_bound_is_found_with_its_header(lengths: list[int], sizes: list[int]) -> None:
    good = b"".join(map(frame, lengths))
    follower = FrameLengths(0)
    assert all(follower.accept(piece) for piece in cut(good, sizes))
    header = frame(0, FRAME_BYTES_MAX + 1)
    assert follower.accept(header[:-1])
    assert not follower.accept(header[-1:])


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request", b"SSH-2.0-OpenSSH", b"\x16\x03\x01\x02\x00" * 4])
def test_other_protocols_announce_impossible_lengths(greeting: bytes) -> None:
    assert not FrameLengths(0).accept(greeting)


async def test_a_channel_can_be_asked_for_its_connection_and_aborted() -> None:
    async def connect(channel: Channel) -> tuple[bool, bool]:
        protocol = await channel.__connect__()
        return is_connected(channel), transport_of(protocol) is not None

    async def make(port: int) -> BoundedChannel:
        return BoundedChannel("127.0.0.1", port)

    async def drop(channel: Channel) -> bool:
        abort_channel(channel)
        abort_channel(channel)
        return is_connected(channel)

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, open_bridge() as bridge:
        channel = await bridge.run(make, listener.socket.getsockname()[1])
        assert await bridge.run(connect, channel) == (True, True)
        peer = await listener.accept()
        assert not await bridge.run(drop, channel)
        async with peer:
            with suppress(trio.BrokenResourceError):
                while await peer.receive_some():
                    pass
