"""CommandReader: what is a request, how streams are cut, and what a hostile client can do (nothing)."""

import time
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orderd.intake.resp import CommandReader

QUERY_BYTES_MAX = 4096

HOSTILE = [
    b"\r\n*999999999\r\n",
    b"*2147483647\r\n",
    b"\r\n$999999999\r\n",
    b"%1000000\r\n",
    b"~5\r\n",
    b">1\r\n",
    b"|1\r\n",
    b"+abc\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"(1\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"",
]
PIECES = [
    *(b"*1\r\n", b"*2\r\n", b"*0\r\n", b"*-1\r\n", b"*00\r\n", b"*99\r\n", b"*100\r\n", b"*1\r\n*0\r\n"),
    *(b"$-1\r\n", b"$0\r\n\r\n", b"$1\r\nA\r\n", b"$3\r\nabcXY", b"$01\r\nA\r\n"),
    *(b":1\r\n", b":0\r\n", b"_\r\n", b"#t\r\n", b"#f\r\n", b",1.5\r\n", b"!3\r\nERR\r\n", b"-ERR x\r\n"),
    *(b"*1\r\n$4\r\nPING\r\n", b"PING\r\n", b"*", b"$", b"1", b"0"),
]


def encode(words: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def read(pieces: list[bytes], **limits: int) -> tuple[list[list[bytes]], str | None]:
    reader = CommandReader(**{"query_bytes_max": QUERY_BYTES_MAX, **limits})
    requests = [request for piece in pieces for request in reader.feed(piece)]
    return requests, reader.error


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[a:b] for a, b in pairwise(edges)]


payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from([*HOSTILE, b"x", b"*1\r\n$1\r\na\r\n"]), max_size=6).map(b"".join),
    st.binary(min_size=90, max_size=300),
)
requests_strategy = st.lists(st.lists(payloads, min_size=1, max_size=12), max_size=8)
cuts = st.lists(st.integers(0, 10_000), max_size=12)
fragments = st.lists(
    st.one_of(
        st.sampled_from([*HOSTILE, *PIECES]),
        st.binary(max_size=6),
    ),
    max_size=12,
).map(b"".join)


@given(requests_strategy, cuts)
@example([[b"ORDER.BATCH", b"1", b"\r\n*999999999\r\n"]], [25, 30])
def test_requests_come_back_as_sent_however_the_stream_is_cut(requests: list[list[bytes]], places: list[int]) -> None:
    data = b"".join(map(encode, requests))
    assert read(cut(data, places), query_bytes_max=1 << 20) == (requests, None)


@given(st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=5), st.integers(1, 7))
def test_payloads_that_look_like_headers_are_payloads(words: list[bytes], step: int) -> None:
    data = encode([b"ORDER.BATCH", *words]) * 3
    pieces = [data[i : i + step] for i in range(0, len(data), step)]
    assert read(pieces) == ([[b"ORDER.BATCH", *words]] * 3, None)


@given(st.lists(st.one_of(st.binary(max_size=64), fragments), max_size=10))
def test_no_bytes_raise_or_buffer_beyond_the_limit(chunks: list[bytes]) -> None:
    reader = CommandReader(query_bytes_max=64)
    for chunk in chunks:
        for request in reader.feed(chunk):
            assert request
            assert all(type(word) is bytes for word in request)
        assert reader.buffered <= 64 + len(chunk)


@given(st.one_of(fragments, st.binary(max_size=100)), cuts)
@example(b"*2\r\n$1\r\naXX*2147483647\r\n", [])
@example(b"*2\r\n+ab\r\n=7\r\ntxt:abc\r\n*1\r\n$1\r\na\r\n", [])
@example(b"*1\r\n*0\r\n", [])
@example(b"*1\r\n\r\n*999999999\r\n", [])
@example(b"$0\r\n\r\n", [])
@example(b"*1\r\n$1\r\nAXX*1\r\n$1\r\nB\r\n", [])
def test_how_a_stream_is_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    whole = read([data])
    assert read(cut(data, places)) == whole
    # Byte by byte it all goes the exact way, so that this also holds the two ways through against each other.
    assert read([data[i : i + 1] for i in range(len(data))]) == whole


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"PING\r\n", "inline commands are not supported, send an array of bulk strings"),
        (b"\r\n", "inline commands are not supported, send an array of bulk strings"),
        (b"$4\r\nPING\r\n", "inline commands are not supported, send an array of bulk strings"),
        (b"*1025\r\n", "too many words in one command: 1025, at most 1024"),
        (b"*2147483647\r\n", "too many words in one command: 2147483647, at most 1024"),
        (b"*99999999999\r\n", "invalid multibulk length"),
        (b"*-2\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*" + b"1" * 40, "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$" + b"1" * 40, "invalid bulk length"),
        (b"*1\r\n$4097\r\n", "command too big: at most 4096 bytes (query_bytes_max)"),
        (b"*2\r\n$2040\r\n" + bytes(2040) + b"\r\n$2040\r\n", "command too big: at most 4096 bytes (query_bytes_max)"),
        (b"*1\r\n:5\r\n", "expected '$', got ':'"),
        (b"*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        (b"*1\r\n%1\r\n*1\r\n$1\r\na\r\n:1\r\n", "expected '$', got '%'"),
        (b"*1\r\n\x00", "expected '$', got '\\x00'"),
        (b"%1\r\n$1\r\na\r\n$1\r\nb\r\n", "inline commands are not supported, send an array of bulk strings"),
    ],
)
def test_a_fault_is_named_after_the_requests_before_it_and_ends_the_stream(data: bytes, text: str) -> None:
    ping = encode([b"PING"])
    reader = CommandReader(query_bytes_max=QUERY_BYTES_MAX)
    assert reader.feed(ping + ping + data + ping) == [[b"PING"], [b"PING"]]
    assert reader.error == text
    assert reader.feed(ping) == []
    assert reader.buffered == 0


def test_a_fault_is_found_before_the_rest_of_the_command_arrives() -> None:
    assert read([b"*3\r\n$5\r\nhello\r\n$5000\r\n"])[1] is not None
    assert read([b"*3\r\n$5\r\nhello\r\n:"])[1] is not None
    assert read([b"P"])[1] is not None


def test_empty_arrays_are_passed_over() -> None:
    assert read([b"*0\r\n*1\r\n$4\r\nPING\r\n*-1\r\n*0\r\n*1\r\n$4\r\nPING\r\n"]) == ([[b"PING"]] * 2, None)
    assert read([b"*0\r\n" * 3 + encode([b"PING"]) + b"*0\r\n"]) == ([[b"PING"]], None)


@pytest.mark.parametrize("count", [1, 9, 10, 98, 99, 100, 101, 999, 1000, 1024])
def test_any_number_of_words_up_to_the_limit(count: int) -> None:
    words = [b"w"] * count
    assert read([encode(words) * 2], query_bytes_max=1 << 20) == ([words] * 2, None)


@pytest.mark.parametrize("length", [0, 1, 9, 10, 99, 100, 255, 256, 999, 1000, 9999, 10000, 100_000])
def test_any_length_of_word_up_to_the_limit(length: int) -> None:
    words = [b"ORDER.BATCH", b"1", b"z" * length]
    assert read([encode(words) * 2 + b"*"], query_bytes_max=1 << 20) == ([words] * 2, None)


def test_a_command_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    words = [b"ECHO", b"z" * 100]
    data = encode(words)
    for pieces in ([data], [data[:50], data[50:]]):
        assert read(pieces, query_bytes_max=len(data)) == ([words], None)
        requests, error = read(pieces, query_bytes_max=len(data) - 1)
        assert requests == []
        assert error is not None


def test_a_missing_line_end_after_a_payload_does_not_let_a_header_slip_through() -> None:
    """hiredis skips two bytes after a payload without looking: a header need not follow a line end."""
    requests, error = read([b"*2\r\n$1\r\naXX*2147483647\r\n"])
    assert requests == []
    assert error == "expected '$', got '*'"


@pytest.mark.parametrize(
    "piece",
    [
        b"*1024\r\n" + b"$0\r\n\r\n" * 1023,
        b"*99\r\n" * 5000,
        b"*1\r\n" * 5000,
        b"*2\r\n$5\r\nORDER\r\n$900000\r\n" + b"*" * 890_000,
    ],
)
def test_work_and_memory_stay_in_proportion_to_what_was_sent(piece: bytes) -> None:
    """Byte by byte or at once; and to drop the reader costs nothing."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        reader = CommandReader(query_bytes_max=1 << 20)
        reader.feed(piece)
        del reader
        reader = CommandReader(query_bytes_max=1 << 20)
        for i in range(min(len(piece), 10_000)):
            reader.feed(piece[i : i + 1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(piece) + (4 << 20)
    assert time.perf_counter() - started < 5


def test_a_large_payload_in_small_chunks_takes_linear_time() -> None:
    record = b"\r\n*999999999\r\n%3\r\n"
    words = [b"ORDER.BATCH", b"7", record * 50_000]
    data = encode(words)
    started = time.perf_counter()
    assert read([data[i : i + 512] for i in range(0, len(data), 512)], query_bytes_max=1 << 20) == ([words], None)
    assert time.perf_counter() - started < 5
