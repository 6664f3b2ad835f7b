"""When orders of an open loop are due."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.bench.schedule import SECOND_NS, TICK_NS, Schedule

schedules = st.builds(
    Schedule, st.integers(1, 1_000_000), st.integers(1, 1000), st.integers(1, 100).map(lambda s: s * SECOND_NS // 10)
)


@given(schedules, st.integers(0, 1_000_000))
def test_a_command_counts_as_due_from_its_time_on_and_no_earlier(schedule: Schedule, number: int) -> None:
    due = schedule.due_ns(number)
    assert schedule.due_by(due - 1) <= number
    assert (schedule.due_by(due) > number) == (number < schedule.total)
    assert schedule.due_ns(number + 1) >= due


@given(schedules)
def test_all_that_the_rate_asks_for_is_due_within_the_duration(schedule: Schedule) -> None:
    assert schedule.total == schedule.due_by(schedule.duration_ns - 1)
    assert schedule.total == schedule.rate * schedule.duration_ns // SECOND_NS // schedule.orders or (
        # The last one may be due just before the end although its share of the time is not over.
        schedule.total - 1 == schedule.rate * schedule.duration_ns // SECOND_NS // schedule.orders
    )


def test_slow_orders_are_due_each_at_its_own_time() -> None:
    schedule = Schedule(300, 1, SECOND_NS)
    assert [schedule.due_ns(i) for i in range(3)] == [0, 3_333_333, 6_666_666]
    assert schedule.total == 300


def test_quick_orders_are_due_in_chunks_of_a_tick() -> None:
    schedule = Schedule(20_000, 1, 2 * SECOND_NS)
    assert [schedule.due_by(at) for at in (-1, 0, TICK_NS - 1, TICK_NS, 10 * TICK_NS)] == [0, 20, 20, 40, 220]
    assert (schedule.due_ns(19), schedule.due_ns(20)) == (0, TICK_NS)
    assert schedule.total == 40_000


def test_a_batch_is_due_with_its_last_order() -> None:
    schedule = Schedule(1000, 50, SECOND_NS)
    assert [schedule.due_ns(i) for i in range(2)] == [49 * TICK_NS, 99 * TICK_NS]
    assert schedule.total == 20
