"""Moments as text: exact both ways, and nothing that could mean two moments."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.runtime.timestamps import TIME_NS_MAX, TimestampError, format_time_ns, parse_time_ns
from tests.support.scale import examples

SOME_NS = 1_795_453_200_000_000_000


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2026-11-23T17:00:00Z", SOME_NS),
        ("2026-11-23t17:00:00z", SOME_NS),
        ("2026-11-23T12:00:00-05:00", SOME_NS),
        ("2026-11-23T22:30:00+05:30", SOME_NS),
        ("2026-11-23T17:00:00.5Z", SOME_NS + 500_000_000),
        ("2026-11-23T17:00:00.000000001Z", SOME_NS + 1),
        ("1795453200000", SOME_NS),
        ("1", 1_000_000),
        ("2262-04-11T23:47:16.854775807Z", TIME_NS_MAX),
    ],
)
def test_a_moment_is_read_exactly(text: str, time_ns: int) -> None:
    assert parse_time_ns(text) == time_ns


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "2026-11-23", "2026-11-23T17:00:00", "2026-11-23T17:00Z", "2026-11-23 17:00:00Z", "-1", "1.5",
        "1e3", "2026-11-23T17:00:00.Z", "2026-11-23T17:00:00.1234567890Z", "2026-13-23T17:00:00Z",
        "2026-11-23T25:00:00Z",
        "2026-11-23T17:00:60Z", "2026-11-23T17:00:00+25:00", "1970-01-01T00:00:00Z", "0", "1969-12-31T23:59:59Z",
        "2262-04-11T23:47:16.854775808Z", "9223372036855", "9" * 19, "0001-01-01T00:00:00+23:59",
        "٢026-11-23T17:00:00Z",
        "2026-11-23T17:00:00Z\n",
    ],
)  # fmt: skip
def test_what_is_no_moment_or_does_not_say_which_is_refused(text: str) -> None:
    with pytest.raises(TimestampError):
        parse_time_ns(text)


@settings(max_examples=examples(100))
@given(st.integers(1, TIME_NS_MAX))
def test_what_is_shown_is_read_as_the_same_moment(time_ns: int) -> None:
    text = format_time_ns(time_ns)
    assert parse_time_ns(text) == time_ns
    whole = datetime.datetime.fromisoformat(text)
    assert whole.timestamp() // 1 == time_ns // 10**9


def test_a_fraction_has_no_more_digits_than_it_takes() -> None:
    assert format_time_ns(SOME_NS) == "2026-11-23T17:00:00Z"
    assert format_time_ns(SOME_NS + 120_000_000) == "2026-11-23T17:00:00.12Z"
    assert format_time_ns(SOME_NS + 1) == "2026-11-23T17:00:00.000000001Z"


@settings(max_examples=examples(100))
@given(st.text())
def test_any_text_is_a_moment_or_an_error_of_one_kind(text: str) -> None:
    try:
        time_ns = parse_time_ns(text)
    except TimestampError:
        return
    assert 0 < time_ns <= TIME_NS_MAX
