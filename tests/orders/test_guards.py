"""Guards: which orders are in which, in memory that is bounded by what is live."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.guards import EPOCH_SHIFT, RUN_ROWS, Guard, Guards
from orderd.orders.table import ANSWERED, PAGE_ROWS, OrderTable
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import OrderStatus
from tests.support.scale import examples

NEW = RECORD.pack(1, 1, 1, 1, 0, Kind.NEW, 0)
CANCEL = RECORD.pack(1, 0, 0, 1, 0, Kind.CANCEL, 0)


def rows_of(guard: Guard) -> set[int]:
    return {row for first, end in (*guard.runs, guard.last) for row in range(first, end)}


steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["mine", "mine", "other"]), st.integers(1, 600)),
        st.tuples(st.just("done"), st.integers(0, 2**30)),
    ),
    max_size=40,
)


@given(steps, st.integers(0, 3000))
def test_a_guard_has_all_its_live_orders_and_no_row_of_another(history: list[tuple[str, int]], remembered: int) -> None:
    table = OrderTable(remembered, lambda *_: None)
    guards = Guards(table)
    guard = guards.begin()
    mine: set[int] = set()
    live: set[int] = set()
    for what, value in history:
        if what == "done":
            for row in sorted(live)[: value % (len(live) + 1)]:
                table.set_status(row, OrderStatus.CANCELED, Path.UDP)
                live.discard(row)
            table.trim(min(live, default=table.end))
        else:
            first = table.append(NEW * value)
            table.accept(first, value // 2, Path.UDP)
            live |= set(range(first, table.end))
            if what == "mine":
                guards.add(guard, first, table.end)
                mine |= set(range(first, table.end))
    assert live & mine <= rows_of(guard) <= mine
    found = [row for first, end in (*guard.runs, guard.last) for row in table.live_orders(first, end)]
    assert sorted(found) == sorted(live & mine)


def test_orders_that_are_done_take_no_memory_however_many_there_were() -> None:
    table = OrderTable(10, lambda *_: None)
    guards = Guards(table)
    guard = guards.begin()
    for _ in range(5000):
        first = table.append(NEW)
        guards.add(guard, first, table.end)
        table.append(NEW)  # somebody else's, so that each is a run of its own
        table.set_status(first, OrderStatus.FILLED, Path.UDP)
    assert len(guard.runs) <= 3


def test_runs_that_hold_one_live_order_each_are_not_more_than_these() -> None:
    table = OrderTable(10**6, lambda *_: None)
    guards = Guards(table)
    guard = guards.begin()
    for number in range(3000):
        first = table.append(NEW)
        guards.add(guard, first, table.end)
        table.append(NEW)
        if number % 10:
            table.set_status(first, OrderStatus.FILLED, Path.UDP)
    assert len(guard.runs) <= 1000


def test_requests_and_rows_of_pages_that_are_gone_are_no_live_orders() -> None:
    table = OrderTable(0, lambda *_: None)
    table.append(CANCEL + NEW * (2 * PAGE_ROWS))
    table.accept(2, PAGE_ROWS, Path.UDP)
    for row in range(1, PAGE_ROWS - 5):
        table.set_status(row, ANSWERED if row == 1 else OrderStatus.CANCELED, Path.UDP)
    table.set_status(PAGE_ROWS + 3, OrderStatus.CANCELED, Path.UDP)
    table.trim(PAGE_ROWS + 10)
    assert table.locate(3) is None, "its page is gone"
    assert table.live_orders(1, PAGE_ROWS + 3) == list(range(PAGE_ROWS - 5, PAGE_ROWS + 3))


def test_the_id_of_a_guard_is_never_used_again() -> None:
    guards = Guards(OrderTable(10, lambda *_: None))
    guards.start(1)
    first = [guards.begin().id for _ in range(3)]
    again = Guards(OrderTable(10, lambda *_: None))
    again.start(2)
    assert [id_ >> EPOCH_SHIFT for id_ in first] == [1, 1, 1]
    assert not set(first) & {again.begin().id for _ in range(3)}


def test_an_unused_guard_ends_without_a_word() -> None:
    guards = Guards(OrderTable(10, lambda *_: None))
    for end in (guards.release, guards.withdraw):
        assert end(guards.begin()) is False
    assert not guards.ending and not len(guards)


def test_guards_that_did_not_end_before_the_start_are_withdrawn() -> None:
    table = OrderTable(10, lambda *_: None)
    table.append(NEW * 1000)
    guards = Guards(table)
    guards.restore(7, 1, RUN_ROWS + 5)
    guards.restore(8, 400, 1)
    guards.restore(7, 500, 2)
    guards.restore_end(8)
    guards.restore_end(99)
    guards.start(3)
    (guard,) = guards.ending
    assert guard.id == 7
    assert rows_of(guard) == {*range(1, RUN_ROWS + 6), 500, 501}
    assert guards.withdraw(guard) is False, "once"


@given(st.lists(st.tuples(st.integers(1, 700), st.booleans()), max_size=examples(20)))
def test_runs_never_overlap_and_are_small(pieces: list[tuple[int, bool]]) -> None:
    table = OrderTable(10**6, lambda *_: None)
    guards = Guards(table)
    guard = guards.begin()
    expected: set[int] = set()
    for count, mine in pieces:
        first = table.append(NEW * count)
        if mine:
            guards.add(guard, first, table.end)
            expected |= set(range(first, table.end))
    runs = [*guard.runs, guard.last]
    assert all(end - first <= RUN_ROWS for first, end in runs)
    assert sum(end - first for first, end in runs) == len(expected)
    assert rows_of(guard) == expected
