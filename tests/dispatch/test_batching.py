"""BatchingPolicy: what is due never goes back, nothing overtakes, and nobody waits longer than allowed."""

from math import inf
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orderd.dispatch.batching import BatchingPolicy, BatchingSettings
from orderd.orders.desk import CommittedGroup
from orderd.orders.modes import Mode

History = list[tuple[float, list[tuple[int, Mode]], list[float]]]
groups = st.lists(
    st.tuples(
        st.floats(0, 0.01),
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from(list(Mode))), min_size=1, max_size=4),
        st.lists(st.floats(0, 0.004), max_size=3),
    ),
    max_size=20,
)


@given(groups, st.integers(1, 12), st.sampled_from([0.0, 0.001, 0.005]))
def test_orders_are_due_in_order_and_in_time(history: History, orders_max: int, linger: float) -> None:
    policy = BatchingPolicy(BatchingSettings(orders_max, linger), 5)
    now, end, due = 0.0, 5, 5
    orders: list[tuple[int, Mode, float]] = []  # id, mode, latest time at which it is due
    assert (policy.advance(0), policy.wake_at()) == (5, inf)
    for later, runs, looks in history:
        now += later
        first, modes = end, []
        for count, mode in runs:
            orders += [(i, mode, now + linger) for i in range(end, end + count)]
            end += count
            modes.append((end, mode))
        policy.add(CommittedGroup(first, end, modes, now))
        for wait in (0.0, *looks):
            now += wait
            was, due = due, policy.advance(now)
            assert was <= due <= end
            waiting = [order for order in orders if order[0] >= due]
            assert all(mode is Mode.BATCH and due_at > now for _, mode, due_at in waiting)
            assert len(waiting) < orders_max or not waiting
            assert now < policy.wake_at() == min((due_at for _, _, due_at in waiting), default=inf) or not waiting
    policy.advance(now + linger)
    assert policy.due_end == end


def test_a_sync_order_takes_all_earlier_ones_along() -> None:
    policy = BatchingPolicy(BatchingSettings(50, 1.0), 1)
    policy.add(CommittedGroup(1, 4, [(4, Mode.BATCH)], 10.0))
    assert policy.advance(10.5) == 1
    policy.add(CommittedGroup(4, 8, [(6, Mode.SYNC), (8, Mode.BATCH)], 10.5))
    assert policy.advance(10.5) == 6
    assert policy.wake_at() == 11.5
    assert policy.advance(11.5) == 8


changes = st.lists(
    st.one_of(
        st.tuples(st.just("orders"), st.lists(st.sampled_from(list(Mode)), min_size=1, max_size=4)),
        st.tuples(st.just("settings"), st.tuples(st.integers(1, 12), st.sampled_from([0.0, 0.001, 0.005, 0.02]))),
        st.tuples(st.just("wait"), st.floats(0, 0.01)),
    ),
    max_size=40,
)


@given(changes)
def test_other_settings_hold_for_those_that_wait_and_never_make_one_later_or_overtake(
    history: list[tuple[str, Any]],
) -> None:
    policy = BatchingPolicy(BatchingSettings(50, 0.01), 1)
    now, end, due, linger, orders_max = 0.0, 1, 1, 0.01, 50
    latest: dict[int, float] = {}
    for event, value in history:
        if event == "orders":
            modes = [(end + index + 1, mode) for index, mode in enumerate(value)]
            latest |= {end + index: now + (linger if mode is Mode.BATCH else 0) for index, mode in enumerate(value)}
            policy.add(CommittedGroup(end, end + len(value), modes, now))
            end += len(value)
        elif event == "settings":
            orders_max, linger = value
            policy.apply(BatchingSettings(orders_max, linger))
            intake = {id_: at for id_, at in latest.items() if id_ >= due}
            latest |= {id_: min(at, policy_intake(policy, id_) + linger) for id_, at in intake.items()}
        else:
            now += value
        was, due = due, policy.advance(now)
        assert was <= due <= end
        assert end - due < orders_max or due == end
        assert all(latest[id_] > now for id_ in range(due, end)), "none waits longer than promised"
        assert policy.wake_at() == min((latest[id_] for id_ in range(due, end)), default=inf)


def policy_intake(policy: BatchingPolicy, order_id: int) -> float:
    """When the run that an order waits in came in."""
    return next(waiting.intake_time for waiting in policy._waiting if order_id < waiting.end)
