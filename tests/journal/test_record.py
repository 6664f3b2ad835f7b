"""The record codec."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.journal.record import (
    HEADER,
    HEADER_BYTES,
    LAST,
    MORE,
    RECORD_BYTES_MIN,
    Entry,
    encode_records,
    header_is_valid,
    record_bytes,
    zero_sectors,
)

payloads = st.one_of(
    st.binary(max_size=100),
    st.builds(lambda a, n, b: a + bytes(n) + b, st.binary(max_size=600), st.integers(0, 2000), st.binary(max_size=600)),
)
entries = st.lists(st.tuples(st.integers(0, 255), payloads), max_size=5)
offsets = st.integers(64, 1000).map(lambda n: n * 8)


@given(entries, offsets, st.integers(1, 2**64 - 1), st.integers(0, 2**32 - 1), st.sampled_from([LAST, MORE]))
def test_records_lie_end_to_end_and_say_what_went_in(
    given_entries: list[Entry], offset: int, commit: int, seed: int, last: int
) -> None:
    data = b"".join(encode_records(given_entries, commit, offset, seed, last))
    at = 0
    for i, (kind, payload) in enumerate(given_entries):
        assert header_is_valid(data, at, seed)
        _, length, got_commit, _, _, got_kind, position = HEADER.unpack_from(data, at)
        assert (got_kind, got_commit, length) == (kind, commit, len(payload))
        assert position == (last if i == len(given_entries) - 1 else MORE)
        assert data[at + HEADER_BYTES : at + HEADER_BYTES + length] == payload
        at += record_bytes(length)
        assert data[at - 1] != 0
    assert at == len(data)


@given(st.integers(0, 10_000))
def test_a_record_is_aligned_and_as_short_as_it_can_be(length: int) -> None:
    size = record_bytes(length)
    assert size % 8 == 0
    assert HEADER_BYTES + length < size <= HEADER_BYTES + length + 8
    assert size >= RECORD_BYTES_MIN


@given(payloads, offsets)
def test_zero_sectors_counts_whole_sectors_of_the_file_inside_the_payload(payload: bytes, offset: int) -> None:
    start = offset + HEADER_BYTES
    image = b"\xff" * start + payload + b"\xff" * 1024
    naive = sum(image[i : i + 512] == bytes(512) for i in range(0, len(image) - 511, 512))
    assert zero_sectors(payload, offset) == naive


def test_a_record_of_another_segment_does_not_count() -> None:
    data = b"".join(encode_records([(1, b"stray")], 1, 512, 1234, LAST))
    assert header_is_valid(data, 0, 1234)
    assert not header_is_valid(data, 0, 1235)


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC32C (RFC 3720, appendix B.4), bit by bit."""
    crc ^= 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F6_3B78 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


def test_the_layout_is_the_documented_one() -> None:
    assert crc32c(b"123456789") == 0xE306_9283
    data = b"".join(encode_records([(7, b"order")], 0x0102030405060708, 512, 0x11223344, LAST))
    assert data[:4] == crc32c(data[4:24], 0x11223344).to_bytes(4, "little")
    assert data[16:20] == crc32c(b"order").to_bytes(4, "little")
    assert data[4:16].hex(" ", 4) == "05000000 08070605 04030201"
    assert data[20:].hex(" ", 4) == "000007c3 6f726465 720000a5"
