"""Each calendar day of a zone has one end, at its local time, whatever daylight saving does to that time."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.day_end import NS_PER_S, DayEnd, time_of_day
from tests.support.scale import examples

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
TIMES = st.builds(time, st.integers(0, 23), st.integers(0, 59))
MOMENTS_NS = st.integers(0, 2**62) | st.integers(1_500_000_000, 1_800_000_000).map(lambda s: s * NS_PER_S)


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS_PER_S


def shown(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).isoformat()


def ends_after(after: str, at: str, zone: str, count: int) -> list[str]:
    day_end, found, moment = DayEnd(time_of_day(at), ZoneInfo(zone)), [], ns(after)
    for _ in range(count):
        moment = day_end.next_after(moment)
        found.append(shown(moment))
    return found


def test_a_day_end_is_behind_the_moment_and_never_the_moment_itself() -> None:
    day_end = DayEnd(time_of_day("17:00"), UTC)
    due = ns("2026-11-23T17:00:00Z")
    assert day_end.next_after(due - 1) == due
    assert day_end.next_after(due) == due + 86_400 * NS_PER_S


def test_it_keeps_its_local_time_when_daylight_saving_begins_and_ends() -> None:
    assert ends_after("2026-03-28T00:00Z", "17:00", "Europe/Berlin", 2) == [
        "2026-03-28T16:00:00+00:00",
        "2026-03-29T15:00:00+00:00",
    ]
    assert ends_after("2026-10-24T00:00Z", "17:00", "Europe/Berlin", 2) == [
        "2026-10-24T15:00:00+00:00",
        "2026-10-25T16:00:00+00:00",
    ]


def test_a_time_that_the_clock_skips_counts_with_the_offset_from_before() -> None:
    assert ends_after("2026-03-28T12:00Z", "02:30", "Europe/Berlin", 2) == [
        "2026-03-29T01:30:00+00:00",  # shown as 03:30 there
        "2026-03-30T00:30:00+00:00",
    ]


def test_a_time_that_is_there_twice_is_the_first_of_the_two() -> None:
    assert ends_after("2026-10-24T12:00Z", "02:30", "Europe/Berlin", 2) == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]


def test_a_day_that_a_zone_skips_ends_with_the_next() -> None:
    assert ends_after("2011-12-29T12:00Z", "17:00", "Pacific/Apia", 3) == [
        "2011-12-30T03:00:00+00:00",
        "2011-12-31T03:00:00+00:00",
        "2012-01-01T03:00:00+00:00",
    ]


@settings(max_examples=examples(300))
@given(MOMENTS_NS, TIMES, st.sampled_from(ZONES))
def test_no_day_end_is_passed_over_and_none_comes_twice(moment_ns: int, at: time, zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    day_end = DayEnd(at, zone)
    first = day_end.next_after(moment_ns)
    second = day_end.next_after(first)
    assert moment_ns < first < second
    assert day_end.next_after(first - 1) == first
    assert second - first <= 49 * 3600 * NS_PER_S
    days = [datetime.fromtimestamp(end // NS_PER_S, zone).date() for end in (first, second)]
    # What the clock skips is the one reason for an end to be on the date behind its own.
    assert timedelta(0) <= days[1] - days[0] <= timedelta(days=2)


@pytest.mark.parametrize(("text", "expected"), [("00:00", time(0)), ("23:59", time(23, 59)), ("09:05", time(9, 5))])
def test_a_time_of_day_is_read(text: str, expected: time) -> None:
    assert time_of_day(text) == expected


@pytest.mark.parametrize(
    "text", ["", "24:00", "9:00", "17:60", "17:00:00", " 17:00", "17.00", "\uff11\uff17:00", "17:00\n"]
)
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HH:MM"):
        time_of_day(text)
