"""Loss, order, repetition and times of a series of probes."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.probe.series import Series
from orderd.ctl.probe.talk import Arrival, Kind
from orderd.wire.probes import ProbeReply


def answer(number: int, time_ns: int = 0) -> Arrival:
    return Arrival(Kind.ANSWER, number, ProbeReply(1, number, 5, time_ns, 7, 112, 9))


def test_a_series_tells_loss_order_repetition_and_round_trips() -> None:
    series = Series(1000)
    for number in range(1, 5):
        series.sent(number, number * 1_000_000)
    for number, now_ns in ((1, 1_100_000), (3, 3_300_000), (2, 3_400_000), (2, 3_500_000)):
        assert not series.complete
        series.arrived(answer(number), now_ns, now_ns)
    series.arrived(Arrival(Kind.DAMAGED), 3_600_000, 0)
    series.arrived(answer(99), 3_700_000, 0)  # Of another series.
    summary = series.summary()
    assert (summary.sent, summary.answered, summary.lost, summary.loss) == (4, 3, 1, 0.25)
    assert (summary.reordered, summary.repeated, summary.damaged) == (1, 1, 1)
    assert summary.round_trip_us == {"min": 100.0, "p50": 300.0, "p99": 1400.0, "max": 1400.0}
    assert summary.seconds == 0.0024
    assert summary.datagrams_per_second == 1250
    assert summary.megabits_per_second == 10
    assert (series.engine, series.boot, series.answered, series.total) == (5, 7, 3, 4)


def test_the_clocks_are_compared_at_the_shortest_round_trip() -> None:
    series = Series(112)
    series.sent(1, 0)
    series.sent(2, 0)
    series.arrived(answer(1, 5_000_000), 100, 1_000_100)
    series.arrived(answer(2, 9_000_000), 900, 1_000_900)
    assert series.clock_offset_ns == 5_000_000 - 1_000_050


def test_without_answers_there_are_no_times() -> None:
    series = Series(112)
    assert series.complete
    assert series.summary().loss == 0.0
    series.sent(1, 5, error=90)
    summary = series.summary()
    assert (summary.round_trip_us, summary.seconds, summary.datagrams_per_second, summary.loss) == ({}, 0.0, 0.0, 1.0)
    assert series.errors == {90: 1}
    assert not series.complete


@given(st.permutations(range(1, 30)))
def test_what_is_reordered_is_what_comes_behind_a_later_one(order: list[int]) -> None:
    series = Series(112)
    for number in range(1, 30):
        series.sent(number, 0)
    for place, number in enumerate(order):
        series.arrived(answer(number), place + 1, 0)
    late = sum(number < max(order[: place + 1]) for place, number in enumerate(order))
    assert series.complete
    assert series.summary().reordered == late
