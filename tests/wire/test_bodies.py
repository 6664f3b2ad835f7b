"""Bodies survive a round trip; arbitrary bytes raise nothing but a WireError."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.wire import bodies
from orderd.wire.bodies import BookReply, BookRequest, Hello, Refusal, Refuse, Reports, Welcome, book_replies
from orderd.wire.errors import FrameError, ReportError, WireError
from orderd.wire.frames import DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, Frame, FrameType
from orderd.wire.reports import encode_range

U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
LEVEL = st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**128 - 1), U32)
LEVELS = st.lists(LEVEL, max_size=20).map(tuple)
HELLO = st.builds(
    Hello,
    U64,
    st.dictionaries(U32, st.binary(min_size=8, max_size=8), max_size=20),
    st.integers(DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_MAX),
)
BODY = st.one_of(
    HELLO,
    st.builds(Welcome, U64, U64, U64, U32),
    st.builds(Refuse, U64, st.sampled_from(Refusal), U64),
    st.builds(BookRequest, U32, U32, U16),
    st.builds(BookReply, U32, U32, st.just(2), st.integers(3, 9), LEVELS, LEVELS),
)
PARSERS = [Hello.parse, Welcome.parse, Refuse.parse, BookRequest.parse, BookReply.parse]


@given(BODY)
def test_a_body_survives_a_round_trip(body: Hello | Welcome | Refuse | BookRequest | BookReply) -> None:
    assert type(body).parse(body.encode()) == body


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    for parser in PARSERS:
        with suppress(WireError):
            parser(data)
    with suppress(WireError):
        Reports.parse(Frame(FrameType.REPORTS, 1, first=1, count=1, body=data))


@given(BODY, st.integers(1, 40), st.binary(min_size=1, max_size=40))
def test_a_cut_or_extended_body_is_refused(body: Hello | Welcome, cut: int, more: bytes) -> None:
    encoded = body.encode()
    for spoiled in (encoded[: max(0, len(encoded) - cut)], encoded + more):
        try:
            parsed = type(body).parse(spoiled)
        except FrameError:
            continue
        raise AssertionError(parsed)


def test_hello_is_refused_with_an_instrument_twice_or_an_impossible_datagram_size() -> None:
    pair = bodies.INSTRUMENT_DIGEST.pack(1, b"x" * 8)
    with pytest.raises(FrameError, match="twice"):
        Hello.parse(bodies.HELLO.pack(1, 2, 0, 1472) + pair + pair)
    for size in (DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_MAX):
        assert Hello.parse(bodies.HELLO.pack(1, 0, 0, size)).datagram_bytes_max == size
    for size in (0, DATAGRAM_BYTES_MIN - 1, DATAGRAM_BYTES_MAX + 1):
        with pytest.raises(FrameError, match="datagram size"):
            Hello.parse(bodies.HELLO.pack(1, 0, 0, size))


@pytest.mark.parametrize("code", [0, max(Refusal) + 1, 65535])
def test_an_unknown_refusal_is_refused(code: int) -> None:
    with pytest.raises(FrameError, match="unknown code"):
        Refuse.parse(bodies.REFUSE.pack(1, code, 0, 0, 0))


@given(st.lists(st.integers(1, 9), max_size=9), st.integers(1, 2**60), U64, U64)
def test_reports_survive_a_round_trip(counts: list[int], first: int, largest: int, bitmap: int) -> None:
    items = b"".join(encode_range(1, count, 5, final=True) for count in counts)
    body = Reports(largest, bitmap, first + sum(counts), items)
    frame = Frame(FrameType.REPORTS, 1, first=first if counts else 0, count=len(counts), body=body.encode())
    assert Reports.parse(frame) == body


@pytest.mark.parametrize(("first", "count", "report_next"), [(0, 1, 9), (1, 2, 9), (1, 0, 9), (7, 1, 9)])
def test_reports_with_an_impossible_count_or_number_are_refused(first: int, count: int, report_next: int) -> None:
    body = Reports(0, 0, report_next, encode_range(1, 3, 5, final=True)).encode()
    with pytest.raises(FrameError, match="impossible count or number"):
        Reports.parse(Frame(FrameType.REPORTS, 1, first=first, count=count, body=body))


def test_malformed_items_are_a_report_error() -> None:
    with pytest.raises(ReportError):
        Reports.parse(Frame(FrameType.REPORTS, 1, first=1, count=1, body=Reports(0, 0, 9, b"\x01").encode()))


@pytest.mark.parametrize(("part", "parts"), [(1, 1), (5, 2)])
def test_a_part_beyond_the_parts_is_refused(part: int, parts: int) -> None:
    with pytest.raises(FrameError, match="impossible count"):
        BookReply.parse(bodies.BOOK_REPLY.pack(1, 1, part, parts, 0, 0))


@given(LEVELS, LEVELS, st.integers(48, 700))
def test_a_deep_book_takes_as_many_parts_as_it_needs(
    bids: tuple[bodies.Level, ...], asks: tuple[bodies.Level, ...], body_bytes_max: int
) -> None:
    replies = book_replies(BookRequest(1, 2, 99), bids, asks, body_bytes_max)
    assert [reply.part for reply in replies] == list(range(replies[0].parts))
    assert all(len(reply.encode()) <= body_bytes_max for reply in replies)
    assert sum((reply.bids for reply in replies), ()) == bids
    assert sum((reply.asks for reply in replies), ()) == asks
