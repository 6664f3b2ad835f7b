"""The histogram against sorted lists."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.bench.histogram import (
    BUCKETS,
    PERCENTILES,
    RELATIVE_ERROR,
    VALUE_MAX,
    Histogram,
    bucket_of,
    highest_in,
)

values = st.integers(0, VALUE_MAX) | st.integers(0, 300) | st.integers(0, 44).map(lambda bit: min(1 << bit, VALUE_MAX))


def nearest_rank(ordered: list[int], share: float) -> int:
    rank = -(-len(ordered) * round(share * 1000) // 100_000)
    return ordered[max(rank, 1) - 1]


@given(values)
def test_a_value_is_in_its_bucket_and_no_other(value: int) -> None:
    bucket = bucket_of(value)
    assert 0 <= bucket < BUCKETS
    assert value <= highest_in(bucket)
    assert bucket == 0 or highest_in(bucket - 1) < value
    assert bucket_of(highest_in(bucket)) == bucket


def test_every_bucket_is_used() -> None:
    assert bucket_of(VALUE_MAX) == BUCKETS - 1
    assert highest_in(BUCKETS - 1) == VALUE_MAX
    assert all(highest_in(bucket) < highest_in(bucket + 1) for bucket in range(BUCKETS - 1))


@given(st.lists(values, min_size=1, max_size=300), st.floats(0, 100) | st.sampled_from([s for _, s in PERCENTILES]))
def test_a_percentile_is_never_too_small_and_too_large_by_the_stated_error_at_most(
    times: list[int], share: float
) -> None:
    histogram = Histogram()
    for time in times:
        histogram.add(time)
    exact = nearest_rank(sorted(times), share)
    assert exact <= histogram.percentile(share) <= exact * (1 + RELATIVE_ERROR)


@given(st.lists(values, max_size=100), st.lists(values, max_size=100))
def test_merged_histograms_are_that_of_all_values(left: list[int], right: list[int]) -> None:
    parts = Histogram(), Histogram()
    for part, times in zip(parts, (left, right), strict=True):
        for time in times:
            part.add(time)
    parts[0].merge(parts[1])
    whole = Histogram()
    for time in left + right:
        whole.add(time)
    assert (parts[0].count, parts[0].greatest) == (whole.count, whole.greatest)
    assert parts[0].percentiles_us() == whole.percentiles_us()


@given(st.lists(st.tuples(values, st.integers(1, 50)), min_size=1, max_size=50))
def test_a_weight_is_that_many_values(weighted: list[tuple[int, int]]) -> None:
    one, other = Histogram(), Histogram()
    for time, count in weighted:
        one.add(time, count)
        for _ in range(count):
            other.add(time)
    assert one.percentiles_us() == other.percentiles_us()


def test_what_is_out_of_range_is_counted_and_the_greatest_is_exact() -> None:
    histogram = Histogram()
    histogram.add(-5)
    histogram.add(VALUE_MAX + 12345)
    assert (histogram.count, histogram.percentile(50), histogram.percentile(100)) == (2, 0, VALUE_MAX + 12345)


def test_no_values_have_no_percentiles() -> None:
    assert Histogram().percentiles_us() == {}
    assert Histogram().percentile(99) == 0
