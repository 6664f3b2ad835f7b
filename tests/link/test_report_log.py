"""Reports at the engine keep their numbers and their bytes until they are acknowledged; against a list as model."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.link.report_log import ReportLog
from orderd.wire.reports import (
    FULL_BYTES,
    RANGE_BYTES,
    ExecType,
    Report,
    check_items,
    encode_full,
    encode_range,
    iter_reports,
)

ADDITIONS = st.lists(st.one_of(st.none(), st.integers(1, 50)), max_size=30)


def filled(additions: list[int | None]) -> tuple[ReportLog, list[Report]]:
    """A log with a range for each number and a rejection for each None, and what it should tell."""
    log, order, all_items = ReportLog(), 1, b""
    for count in additions:
        if count is None:
            item = encode_full(Report(0, ExecType.REJECTED, order, order, True, 5))
            log.add(item)
        else:
            item = encode_range(order, count, 5, final=True)
            log.add_range(order, count, 5, final=True)
        order += count or 1
        all_items += item
    return log, list(iter_reports(all_items, 1))


@given(ADDITIONS, st.integers(1, 1600), st.integers(1, 1600), st.integers(FULL_BYTES, 1000))
def test_what_is_read_is_what_was_added(additions: list[int | None], upto: int, first: int, bytes_max: int) -> None:
    log, reports = filled(additions)
    assert log.next == len(reports) + 1
    log.acknowledge(upto)
    acknowledged = upto if upto <= log.next else 1
    assert log.acknowledged == acknowledged
    assert len(log) == log.next - acknowledged
    first = max(first, acknowledged)
    number, items, data = log.read(first, bytes_max)
    assert len(data) <= bytes_max
    assert check_items(data)[0] == items
    read = list(iter_reports(data, number))
    assert read == reports[number - 1 : number - 1 + len(read)]
    if first < log.next:
        assert number <= first < number + len(read)
        assert log.after(number, items) == number + len(read)
    else:
        assert not data


@given(ADDITIONS, st.integers(FULL_BYTES, 300))
def test_reading_on_tells_everything_once(additions: list[int | None], bytes_max: int) -> None:
    log, reports = filled(additions)
    first, told = 1, []
    while first < log.next:
        number, items, data = log.read(first, bytes_max)
        assert number == first
        told += list(iter_reports(data, number))
        first = log.after(number, items)
    assert told == reports
    assert log.bytes_below(log.next) == sum(FULL_BYTES if count is None else RANGE_BYTES for count in additions)


def test_an_acknowledgement_of_what_was_never_told_is_ignored() -> None:
    log, _ = filled([3])
    log.acknowledge(9)
    assert log.acknowledged == 1


def test_an_older_acknowledgement_changes_nothing() -> None:
    log, _ = filled([3, None])
    log.acknowledge(4)
    log.acknowledge(2)
    assert (log.acknowledged, len(log)) == (4, 1)
