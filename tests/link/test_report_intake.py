"""Each report is delivered once and in order, however the frames come."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.link.report_intake import Delivery, ReportIntake
from orderd.wire.reports import ExecType, Report, encode_full, encode_range, iter_items, iter_reports


def items_of(counts: list[int]) -> tuple[bytes, list[Report]]:
    """Ranges of these lengths, a rejection for each 0."""
    data, order = b"", 1
    for count in counts:
        if count:
            data += encode_range(order, count, 5, final=True)
        else:
            data += encode_full(Report(0, ExecType.REJECTED, order, order, True, 5))
        order += count or 1
    return data, list(iter_reports(data, 1))


def told_by(deliveries: list[Delivery]) -> list[Report]:
    out: list[Report] = []
    for delivery in deliveries:
        fresh = list(iter_reports(delivery.items, delivery.first))
        assert len(fresh) == delivery.reports
        out += fresh
    return out


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.data())
def test_frames_in_any_order_with_overlaps_are_delivered_once_and_in_order(
    counts: list[int], data: st.DataObject
) -> None:
    all_items, expected = items_of(counts)
    places = []
    first = 1
    for offset, length, reports in iter_items(all_items):
        places.append((first, offset, offset + length))
        first += reports
    runs = st.tuples(st.integers(0, len(places) - 1), st.integers(0, len(places) - 1))
    frames = data.draw(st.lists(runs, max_size=30)) + [(i, i) for i in data.draw(st.permutations(range(len(places))))]
    intake = ReportIntake(1, 2**20)
    deliveries: list[Delivery] = []
    for a, b in frames:
        start, end = places[min(a, b)], places[max(a, b)]
        deliveries += intake.receive(start[0], all_items[start[1] : end[2]], len(expected) + 1)
        assert intake.missing >= 0
        assert intake.wanted == 1 + sum(delivery.reports for delivery in deliveries)
    assert told_by(deliveries) == expected
    assert (intake.missing, intake.has_hole) == (0, False)


def test_a_start_in_the_middle_of_a_range_takes_its_rest() -> None:
    intake = ReportIntake(4, 1000)
    (delivery,) = intake.receive(1, encode_range(10, 5, 5, final=True), 6)
    assert (delivery.first, delivery.reports) == (4, 2)
    assert [report.order for report in told_by([delivery])] == [13, 14]


def test_what_is_missing_is_named() -> None:
    intake = ReportIntake(1, 1000)
    assert intake.receive(0, b"", 8) == []
    assert (intake.missing, intake.has_hole) == (7, False)
    assert intake.receive(5, encode_range(5, 3, 5, final=True), 8) == []
    assert (intake.missing, intake.has_hole) == (4, True)


def test_what_does_not_fit_is_dropped_and_asked_for_again() -> None:
    intake = ReportIntake(1, 24)
    assert intake.receive(2, encode_range(2, 1, 5, final=True), 4) == []
    assert intake.receive(3, encode_range(3, 1, 5, final=True), 4) == []
    (first, second) = intake.receive(1, encode_range(1, 1, 5, final=True), 4)
    assert (first.first, second.first) == (1, 2)
    assert intake.missing == 1
    assert [delivery.first for delivery in intake.receive(3, encode_range(3, 1, 5, final=True), 4)] == [3]


def test_parked_bytes_are_counted_down_again() -> None:
    intake = ReportIntake(1, 48)
    for first in range(1, 100, 2):
        assert intake.receive(first + 1, encode_range(first + 1, 1, 5, final=True), 200) == []
        assert len(intake.receive(first, encode_range(first, 1, 5, final=True), 200)) == 2
