"""The estimate of RFC 6298, section 2, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.link.round_trip import BACKED_OFF_MAX_S, BACKOFF_MAX, RoundTrip


def test_before_the_first_sample_the_initial_time_out_is_in_force() -> None:
    assert RoundTrip(0.020, 0.005).timeout == 0.020


def test_first_and_second_sample_by_hand() -> None:
    estimate = RoundTrip(1.0, 0.0)
    estimate.sample(0.100)
    assert (estimate.smoothed, estimate.variation) == (0.100, 0.050)
    assert estimate.timeout == pytest.approx(0.300)
    # RTTVAR = 3/4 * 0.050 + 1/4 * |0.100 - 0.200| = 0.0625, with the old SRTT.
    # SRTT = 7/8 * 0.100 + 1/8 * 0.200 = 0.1125.
    estimate.sample(0.200)
    assert estimate.variation == pytest.approx(0.0625)
    assert estimate.smoothed == pytest.approx(0.1125)
    assert estimate.timeout == pytest.approx(0.3625)


def test_the_floor_holds_when_round_trips_are_short_and_steady() -> None:
    estimate = RoundTrip(0.020, 0.005)
    for _ in range(100):
        estimate.sample(0.0001)
    assert estimate.timeout == 0.005


def test_each_time_out_doubles_the_next_one_until_something_arrives() -> None:
    estimate = RoundTrip(0.020, 0.005)
    for times in (2, 4, 8):
        estimate.back_off()
        assert estimate.timeout == 0.020 * times
    for _ in range(20):
        estimate.back_off()
    assert estimate.timeout == BACKED_OFF_MAX_S < 0.020 * BACKOFF_MAX
    estimate.end_back_off()
    assert estimate.timeout == 0.020


@given(st.lists(st.floats(1e-6, 10.0), min_size=1), st.floats(0.001, 1.0))
def test_the_estimate_stays_among_the_measurements_and_the_time_out_above_it(
    samples: list[float], minimum: float
) -> None:
    estimate = RoundTrip(0.020, minimum)
    for sample in samples:
        estimate.sample(sample)
    assert min(samples) * 0.999 <= estimate.smoothed <= max(samples) * 1.001
    assert estimate.variation >= 0
    assert estimate.timeout >= max(minimum, estimate.smoothed)


def test_a_measurement_does_not_end_the_back_off_but_an_arrival_does() -> None:
    estimate = RoundTrip(0.020, 0.005)
    estimate.back_off()
    estimate.sample(0.100)
    assert estimate.timeout == pytest.approx(0.600)
    estimate.end_back_off()
    assert estimate.timeout == pytest.approx(0.300)


def test_a_burst_of_delay_is_forgotten_by_and_by() -> None:
    estimate = RoundTrip(0.020, 0.005)
    for _ in range(50):
        estimate.sample(0.001)
    estimate.sample(0.200)
    assert estimate.timeout > 0.200
    for _ in range(50):
        estimate.sample(0.001)
    assert estimate.timeout == 0.005
