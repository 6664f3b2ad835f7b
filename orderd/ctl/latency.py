"""Percentiles of measured times."""

from collections.abc import Iterable
from typing import Final

PERCENTILES: Final = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9), ("max", 100.0))


def percentiles_us(times_ns: Iterable[int]) -> dict[str, float]:
    """The usual percentiles (nearest rank) in microseconds, by name; empty for no times."""
    ordered = sorted(times_ns)
    if not ordered:
        return {}
    last = len(ordered) - 1
    return {name: ordered[min(last, int(len(ordered) * share / 100))] / 1000 for name, share in PERCENTILES}


def shown_us(time_us: float) -> str:
    """A time for people: ``870 us``, ``12.4 ms``."""
    if time_us >= 10_000_000:
        return f"{time_us / 1_000_000:.1f} s"
    return f"{time_us / 1000:.1f} ms" if time_us >= 1000 else f"{time_us:.0f} us"
