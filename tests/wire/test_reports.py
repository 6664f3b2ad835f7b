"""Report items survive a round trip, are cut where they must be, and arbitrary bytes raise nothing but ReportError."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.wire.errors import ReportError
from orderd.wire.reports import (
    FULL_BYTES,
    RANGE,
    RANGE_BYTES,
    ExecType,
    OrderStatus,
    Reason,
    Report,
    check_items,
    encode_full,
    encode_range,
    iter_items,
    iter_reports,
    skip_reports,
)

U16, U32, U64 = st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
FULL_REPORT = st.builds(
    Report,
    st.just(0),
    st.sampled_from([t for t in ExecType if t is not ExecType.NEW]),
    U64,
    U64,
    st.booleans(),
    U64,
    st.booleans(),
    st.booleans(),
    st.sampled_from(OrderStatus),
    st.sampled_from(Reason),
    U16,
    U32,
    U64,
    U64,
    st.integers(-(2**63), 2**63 - 1),
    U64,
    U64,
    U64,
)
RANGE_ITEM = st.tuples(st.integers(1, 2**63), st.integers(1, 30), U64, st.booleans())
ITEMS = st.lists(st.one_of(FULL_REPORT, RANGE_ITEM), max_size=12)


def laid_out(items: list[Report | tuple[int, int, int, bool]], first: int = 1) -> tuple[bytes, list[Report]]:
    """The bytes, and the reports that they should be read as."""
    data = b""
    expected: list[Report] = []
    for item in items:
        number = first + len(expected)
        if isinstance(item, Report):
            data += encode_full(item)
            expected.append(attrs.evolve(item, report=number))
        else:
            order, count, time_ns, final = item
            data += encode_range(order, count, time_ns, final=final)
            expected += [Report(number + i, ExecType.NEW, order + i, order + i, final, time_ns) for i in range(count)]
    return data, expected


@given(ITEMS, st.integers(1, 2**60))
def test_items_survive_a_round_trip(items: list[Report | tuple[int, int, int, bool]], first: int) -> None:
    data, expected = laid_out(items, first)
    assert check_items(data) == (len(items), len(expected))
    assert list(iter_reports(data, first)) == expected
    assert sum(reports for _, _, reports in iter_items(data)) == len(expected)


@given(ITEMS, st.integers(0, 400))
def test_reports_are_skipped_one_by_one(items: list[Report | tuple[int, int, int, bool]], count: int) -> None:
    data, expected = laid_out(items)
    count = min(count, len(expected))
    rest = skip_reports(data, count)
    check_items(rest)
    assert list(iter_reports(rest, 1 + count)) == expected[count:]


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_items_or_a_report_error(data: bytes) -> None:
    try:
        check_items(data)
    except ReportError:
        return
    list(iter_items(data))


@given(ITEMS, st.binary(min_size=1, max_size=8), st.integers(0, 1200))
def test_spoiled_items_are_items_or_a_report_error(
    items: list[Report | tuple[int, int, int, bool]], noise: bytes, at: int
) -> None:
    data = bytearray(laid_out(items)[0])
    data[at : at + len(noise)] = noise
    try:
        _, reports = check_items(bytes(data))
    except ReportError:
        return
    if reports < 10_000:
        assert len(list(iter_reports(bytes(data), 1))) == reports


@given(ITEMS.filter(bool), st.integers(1, RANGE_BYTES - 1))
def test_items_that_are_cut_short_are_refused(items: list[Report | tuple[int, int, int, bool]], cut: int) -> None:
    data, _ = laid_out(items)
    with pytest.raises(ReportError):
        check_items(data[:-cut])


@pytest.mark.parametrize(
    "item",
    [
        RANGE.pack(1, 0, 0, 0, 1, 5),
        RANGE.pack(1, 0, 0, 1, 0, 5),
        RANGE.pack(1, 0, 1, 1, 1, 5),
        RANGE.pack(1, 8, 0, 1, 1, 5),
        RANGE.pack(1, 1, 0, 1, 1, 5),
        RANGE.pack(1, 0, 0, 2, 2**64 - 1, 5),
        bytes([0]) + bytes(FULL_BYTES - 1),
        bytes([max(ExecType) + 1]) + bytes(FULL_BYTES - 1),
        bytes([2, 8]) + bytes(FULL_BYTES - 2),
        bytes([2, 0, max(OrderStatus) + 1]) + bytes(FULL_BYTES - 3),
        bytes([2, 0, 0, max(Reason) + 1]) + bytes(FULL_BYTES - 4),
    ],
)
def test_impossible_values_are_refused(item: bytes) -> None:
    with pytest.raises(ReportError):
        check_items(item)


def test_the_last_sequence_there_is_fits_in_a_range() -> None:
    assert check_items(RANGE.pack(1, 4, 0, 2, 2**64 - 2, 5)) == (1, 2)
