"""Percentiles by nearest rank."""

from orderd.ctl.latency import percentiles_us, shown_us


def test_percentiles_are_times_that_were_measured() -> None:
    times = [i * 1000 for i in range(1000, 0, -1)]
    assert percentiles_us(times) == {"p50": 501, "p90": 901, "p99": 991, "p99.9": 1000, "max": 1000}
    assert set(percentiles_us([7000]).values()) == {7}
    assert percentiles_us([]) == {}


def test_times_are_shown_in_a_fitting_unit() -> None:
    assert [shown_us(t) for t in (3.4, 999, 1234, 12_345_678)] == ["3 us", "999 us", "1.2 ms", "12.3 s"]
