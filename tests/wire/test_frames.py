"""Frames survive a round trip; whatever else is not a frame is refused, by FrameError and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.wire import frames
from orderd.wire.errors import FrameError, VersionError
from orderd.wire.frames import (
    COUNT_MAX,
    CREDIT_MAX,
    DATAGRAM_BYTES_MAX,
    HEADER_BYTES,
    OVERHEAD_BYTES,
    VERSION,
    Frame,
    FrameType,
)
from orderd.wire.records import RECORD_BYTES
from orderd.wire.tags import TAG_BYTES

TAG = bytes(TAG_BYTES)
U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)


@st.composite
def any_frame(draw: st.DrawFn) -> Frame:
    type_ = draw(st.sampled_from(FrameType))
    first, count = draw(U64), draw(U16)
    body = draw(st.binary(max_size=200))
    if type_ is FrameType.ORDERS:
        count = draw(st.integers(1, 40))
        first, body = draw(st.integers(1, 2**64 - count)), draw(st.binary(min_size=count * 32, max_size=count * 32))
    elif type_ in (FrameType.POLL, FrameType.BYE):
        body = b""
    return Frame(type_, draw(U64), draw(U32), draw(U64), first, draw(U64), draw(U16), count, draw(U32), body)


@given(any_frame())
def test_a_frame_survives_a_round_trip(frame: Frame) -> None:
    assert frames.parse(frame.encode() + TAG) == frame


@given(any_frame())
def test_a_look_at_its_head_tells_whose_a_frame_is(frame: Frame) -> None:
    assert frames.peek(frame.encode() + TAG) == (frame.type, frame.epoch, frame.session)


@given(st.binary(max_size=300))
def test_a_look_at_arbitrary_bytes_finds_no_frame(data: bytes) -> None:
    with pytest.raises(FrameError):
        frames.peek(data)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_frame_or_a_frame_error(data: bytes) -> None:
    with pytest.raises(FrameError):
        frames.parse(data)


@given(any_frame(), st.binary(max_size=100), st.integers(0, 400), st.integers(0, 400))
def test_a_spoiled_frame_is_a_frame_or_a_frame_error(frame: Frame, noise: bytes, at: int, cut: int) -> None:
    datagram = bytearray(frame.encode() + TAG)
    datagram[at : at + len(noise)] = noise
    try:
        parsed = frames.parse(bytes(datagram[: len(datagram) - cut] if cut else datagram))
    except FrameError:
        return
    assert parsed.type in FrameType


def orders(first: int, count: int, records: int) -> bytes:
    return Frame(FrameType.ORDERS, 1, first=first, count=count, body=bytes(records * RECORD_BYTES)).encode() + TAG


@pytest.mark.parametrize(("first", "count", "records"), [(1, 1, 1), (2**64 - 2, 2, 2), (1, 2045, 2045)])
def test_orders_up_to_their_limits(first: int, count: int, records: int) -> None:
    assert frames.parse(orders(first, count, records)).first == first


@pytest.mark.parametrize(("first", "count", "records"), [(0, 1, 1), (1, 0, 0), (1, 2, 1), (1, 1, 2), (2**64 - 1, 2, 2)])
def test_orders_beyond_them(first: int, count: int, records: int) -> None:
    with pytest.raises(FrameError, match="impossible count or sequence"):
        frames.parse(orders(first, count, records))


def test_lengths_up_to_the_limits_and_beyond() -> None:
    smallest = Frame(FrameType.BYE, 1).encode() + TAG
    assert len(smallest) == OVERHEAD_BYTES == 64
    assert frames.parse(smallest).type is FrameType.BYE
    with pytest.raises(FrameError, match="impossible length"):
        frames.parse(smallest[:-1])
    body = bytes(DATAGRAM_BYTES_MAX - OVERHEAD_BYTES)
    largest = Frame(FrameType.REPORTS, 1, body=body).encode() + TAG
    assert len(frames.parse(largest).body) == len(body)
    with pytest.raises(FrameError, match="impossible length"):
        frames.parse(largest + b"\0")


@pytest.mark.parametrize("type_", [FrameType.POLL, FrameType.BYE])
def test_poll_and_bye_have_no_body(type_: FrameType) -> None:
    with pytest.raises(FrameError, match="body where there is none"):
        frames.parse(Frame(type_, 1, body=b"x").encode() + TAG)


def test_another_version_may_ask_and_refuse_and_nothing_else() -> None:
    for type_ in FrameType:
        datagram = Frame(type_, 1, version=VERSION + 1).encode() + TAG
        if type_ in (FrameType.HELLO, FrameType.REFUSE, FrameType.PROBE):
            assert frames.parse(datagram).version == VERSION + 1
        else:
            with pytest.raises(VersionError, match="another version"):
                frames.parse(datagram)


@pytest.mark.parametrize("type_", [0, max(FrameType) + 1, 255])
def test_a_type_that_does_not_exist_is_refused(type_: int) -> None:
    datagram = bytearray(Frame(FrameType.BYE, 1).encode() + TAG)
    datagram[3] = type_
    with pytest.raises(FrameError, match="type does not exist"):
        frames.parse(bytes(datagram))


def test_credit_and_count_fill_their_fields() -> None:
    frame = Frame(FrameType.POLL, 1, credit=CREDIT_MAX, count=COUNT_MAX)
    assert frames.parse(frame.encode() + TAG) == frame
    assert len(frame.encode()) == HEADER_BYTES
