"""Percentiles of any number of times in bounded memory. Pure.

A log-linear histogram, as HdrHistogram's (Gil Tene): values below 128 have a bucket each; above, each power of two is
cut into 128 buckets of equal width. A bucket is thus at most 1/128 of its lowest value wide. A percentile (nearest
rank) is told as the highest value of the bucket that it falls into, so it is never told too small, and too large by
less than 0.8 %. The greatest value is kept exactly.
"""

from typing import Final

SUB_BITS: Final = 7
SUB_BUCKETS: Final = 1 << SUB_BITS
RELATIVE_ERROR: Final = 1 / SUB_BUCKETS
VALUE_MAX: Final = (1 << 44) - 1
"""4.9 hours in nanoseconds; what is greater counts as this in the buckets."""
BUCKETS: Final = (44 - SUB_BITS + 1) * SUB_BUCKETS

PERCENTILES: Final = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("p99.99", 99.99), ("max", 100.0))


def bucket_of(value: int) -> int:
    """The place of a value from 0 to VALUE_MAX among the buckets."""
    shift = max(0, value.bit_length() - SUB_BITS - 1)
    return (shift << SUB_BITS) + (value >> shift)


def highest_in(bucket: int) -> int:
    """The greatest value that counts there."""
    shift = max(0, (bucket >> SUB_BITS) - 1)
    return ((bucket - (shift << SUB_BITS) + 1) << shift) - 1


class Histogram:
    """Counts of values in nanoseconds, or in any other unit."""

    __slots__ = ("_buckets", "count", "greatest")

    def __init__(self) -> None:
        self._buckets = [0] * BUCKETS
        self.count = 0
        self.greatest = 0

    def add(self, value: int, count: int = 1) -> None:
        """``count`` times ``value``; one below 0 counts as 0."""
        self.greatest = max(self.greatest, value)
        if SUB_BUCKETS <= value <= VALUE_MAX:
            # As bucket_of, which would be one more call for each order.
            shift = value.bit_length() - SUB_BITS - 1
            self._buckets[(shift << SUB_BITS) + (value >> shift)] += count
        else:
            self._buckets[bucket_of(min(max(value, 0), VALUE_MAX))] += count
        self.count += count

    def merge(self, other: "Histogram") -> None:
        """Takes in all of another one's values."""
        self._buckets = [mine + theirs for mine, theirs in zip(self._buckets, other._buckets, strict=True)]
        self.count += other.count
        self.greatest = max(self.greatest, other.greatest)

    def percentile(self, share: float) -> int:
        """The value that ``share`` per cent (0 to 100) of all are at or below. 0 if there is none."""
        # The rank from 1; in whole thousandths of a per cent, so that 99.9 % of 1000 is 999 and not the next.
        rank = max(1, -(-self.count * round(share * 1000) // 100_000))
        if rank >= self.count:
            return self.greatest
        seen = 0
        for bucket, count in enumerate(self._buckets):
            seen += count
            if seen >= rank:
                return min(highest_in(bucket), self.greatest)
        raise AssertionError("the buckets hold less than was counted")

    def percentiles_us(self) -> dict[str, float]:
        """The usual percentiles of nanoseconds, by name, in microseconds; empty if there are no values."""
        if not self.count:
            return {}
        return {name: self.percentile(share) / 1000 for name, share in PERCENTILES}
