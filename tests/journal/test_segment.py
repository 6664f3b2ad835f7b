"""Segment headers and names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.journal import JournalDamaged, JournalError, JournalVersionError
from orderd.journal.segment import (
    SEGMENT_HEADER_BYTES,
    Durability,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
    index_of,
    round_segment_bytes,
    segment_name,
)

u64 = st.integers(0, 2**64 - 1)
headers = st.builds(
    SegmentHeader,
    application=st.sampled_from([b"orderd", b"engine", b"12345678"]),
    journal_id=u64,
    index=u64,
    segment_bytes=u64,
    first_commit=u64,
    previous_end=u64,
    durability=st.sampled_from(Durability),
)
EXAMPLE = SegmentHeader(b"orderd", 0x1122334455667788, 3, 8192, 77, 4000, Durability.COMMIT)


@given(headers)
def test_a_header_is_one_sector_and_comes_back_as_it_was(header: SegmentHeader) -> None:
    data = encode_segment_header(header)
    assert len(data) == SEGMENT_HEADER_BYTES
    assert decode_segment_header(data + b"records", "path") == header


def test_a_header_with_any_bit_flipped_is_refused() -> None:
    good = encode_segment_header(EXAMPLE)
    for bit in range(len(good) * 8):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(JournalError):
            decode_segment_header(bytes(data), "path")


def test_a_header_cut_short_is_refused() -> None:
    with pytest.raises(JournalDamaged, match="too short"):
        decode_segment_header(encode_segment_header(EXAMPLE)[:-1], "path")


def test_a_newer_format_is_refused_by_its_number() -> None:
    data = bytearray(encode_segment_header(EXAMPLE))
    data[8:10] = (2).to_bytes(2, "little")
    with pytest.raises(JournalVersionError, match="format version 2; this release reads up to 1"):
        decode_segment_header(bytes(data), "path")


@given(st.integers(1, 10**12 - 1))
def test_a_name_leads_back_to_its_index_and_names_sort_as_indexes(index: int) -> None:
    assert index_of(segment_name(index)) == index
    assert segment_name(index) < segment_name(index + 1) or index == 10**12 - 1


@pytest.mark.parametrize(
    "name", ["1.spare", "lock", "000000000001.segment.torn-1", "1.segment", "x00000000001.segment"]
)
def test_names_of_other_files_are_not_taken_for_segments(name: str) -> None:
    assert index_of(name) is None


@pytest.mark.parametrize(("wanted", "got"), [(1, 4096), (4096, 4096), (4097, 8192), (2**32, 2**32)])
def test_segments_are_whole_pages(wanted: int, got: int) -> None:
    assert round_segment_bytes(wanted) == got


def test_the_layout_is_the_documented_one() -> None:
    data = encode_segment_header(EXAMPLE)
    assert data[:64].hex(" ", 8) == (
        "4f52444552444a0a 0100000000000000 6f72646572640000 8877665544332211"
        " 0300000000000000 0020000000000000 4d00000000000000 a00f000000000000"
    )
    assert not any(data[64:508])
