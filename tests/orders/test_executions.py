"""ExecutionLog against a plain list: ids without a gap, readable from every position, bounded."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.executions import LOOKED_AT_ONCE, Chunk, ExecutionLog, accounts_of, count_shown
from orderd.orders.journal_index import JournalIndex
from orderd.wire.records import FLAG_SELL, RECORD, Kind
from orderd.wire.reports import ExecType, OrderStatus, Reason, Report, encode_full, encode_range

Shown = tuple[bytes, ExecType, int, int, bool, int]
"""Name, type, order, number, sell, report number."""


def make_chunk(first_report: int, first_order: int, shape: list[tuple[str, int, bool]]) -> tuple[Chunk, list[Shown]]:
    """A chunk of such items, and what is to be shown of it."""
    items, records, names, shown = b"", b"", [], []
    report, order = first_report, first_order
    for kind, count, named in shape:
        if kind == "range":
            items += encode_range(order, count, 5, final=True)
            for i in range(count):
                sell = (order + i) % 2 == 1
                records += RECORD.pack(900 + order + i, 1, 7, 1, 3, Kind.NEW, FLAG_SELL if sell else 0)
                name = b"n%d" % (order + i) if named else None
                names.append(name)
                digits = b"%d" % (900 + order + i)
                shown.append((name or digits, ExecType.NEW, order + i, 900 + order + i, sell, report + i))
            report, order = report + count, order + count
            continue
        exec_type = {"void": ExecType.VOIDED, "mass": ExecType.MASS_CANCELED}.get(kind, ExecType.TRADE)
        told = Report(0, exec_type, order, order, True, 5, number=900 + order, status=OrderStatus.FILLED, sell=named)
        items += encode_full(told)
        name = b"n%d" % order if named else None
        names.append(name)
        if kind != "mass":
            shown_type = ExecType.EXPIRED if kind == "void" else exec_type
            shown.append((name or b"%d" % (900 + order), shown_type, order, 900 + order, named, report))
        report, order = report + 1, order + 1
    ids = names if any(name is not None for name in names) else None
    return Chunk(first_report, items, records, ids, len(shown)), shown


shapes = st.lists(
    st.tuples(st.sampled_from(["range", "full", "void", "mass"]), st.integers(1, 6), st.booleans()),
    min_size=1,
    max_size=5,
)


@given(st.lists(shapes, max_size=12), st.integers(1, 30), st.integers(1, 9))
def test_each_position_reads_what_a_list_would_hold(
    chunks: list[list[tuple[str, int, bool]]], kept: int, n: int
) -> None:
    log, all_shown, report = ExecutionLog(kept), [], 1
    for shape in chunks:
        chunk, shown = make_chunk(report, report, shape)
        report += sum(count if kind == "range" else 1 for kind, count, _ in shape)
        log.append(chunk)
        all_shown += shown
        assert log.next == len(all_shown) + 1
        assert log.last == len(all_shown)
        assert log.first == max(1, len(all_shown) - kept + 1) or not all_shown
        for after in range(log.first - 1, log.next + 1):
            found = log.read(after, n)
            assert [e.exec_id for e in found] == list(range(after + 1, min(after + n, log.last) + 1))
            for e in found:
                seen = e.report
                about = (e.cl_ord_id, seen.exec_type, seen.order, seen.number, seen.sell, seen.report)
                assert about == all_shown[e.exec_id - 1]
                if seen.exec_type is ExecType.EXPIRED:
                    assert (seen.status, seen.reason) == (OrderStatus.EXPIRED, Reason.MAXAGE)
                assert seen.exec_type is not ExecType.NEW or (seen.leaves_qty, seen.account) == (7, 3)


def test_an_empty_log_reads_nothing() -> None:
    log = ExecutionLog(5)
    assert (log.first, log.last, log.next) == (1, 0, 1)
    assert log.read(0, 10) == []
    assert log.read(7, 10) == []


def test_what_is_trimmed_is_let_go() -> None:
    log = ExecutionLog(10)
    for report in range(1, 20_001, 2):
        log.append(make_chunk(report, report, [("range", 2, False)])[0])
    assert (log.first, log.last) == (19_991, 20_000)
    assert [e.exec_id for e in log.read(0, 100)] == list(range(19_991, 20_001))
    assert len(log._chunks) < 2000


def ranges(log: ExecutionLog, *, count: int, size: int = 2) -> None:
    for _ in range(0, count, size):
        log.append(make_chunk(log.next, log.next, [("range", size, False)])[0])


def test_with_an_index_memory_is_less_than_what_is_kept() -> None:
    index = JournalIndex()
    log = ExecutionLog(100, 10, index)
    assert (log.first, log.first_in_memory) == (1, 1)
    index.note(1, 1, (1, 512))
    ranges(log, count=60)
    assert (log.first, log.first_in_memory, log.last) == (1, 51, 60)
    ranges(log, count=60)
    assert (log.first, log.first_in_memory, log.last) == (21, 111, 120)
    index.note(90, 90, (2, 512))
    index.forget_through(1)
    assert log.first == 90
    index.forget_through(2)
    assert log.first == 111, "memory holds what the journal has not any more"


def test_without_an_index_all_that_is_kept_is_in_memory() -> None:
    log = ExecutionLog(100, 10)
    ranges(log, count=200)
    assert (log.first, log.first_in_memory) == (101, 101)


@given(shapes)
def test_what_a_chunk_is_about(shape: list[tuple[str, int, bool]]) -> None:
    chunk, shown = make_chunk(1, 1, shape)
    assert count_shown(chunk.items) == chunk.count == len(shown)
    accounts = {3 for kind, _, _ in shape if kind == "range"} | {0 for kind, _, _ in shape if kind != "range"}
    assert set(accounts_of(chunk)) == accounts
    log = ExecutionLog(1000)
    log.append(chunk)
    for account in (0, 3, 7):
        expected = [e for e in log.read(0, 1000) if e.report.account == account]
        assert log.look(0, 1000, account) == (expected, log.last)


def test_a_look_goes_through_a_bounded_number() -> None:
    log = ExecutionLog(1_000_000)
    ranges(log, count=3 * LOOKED_AT_ONCE, size=50)
    found, after, looks = [], 0, 0
    while after < log.last:
        some, after = log.look(after, 10, 7)
        found += some
        looks += 1
    assert (found, looks) == ([], 3)


class Watch:
    """Hears once."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def execution_of_account(self, before: int) -> None:
        self.heard.append(before)


def test_who_watches_an_account_hears_of_the_next_one_once() -> None:
    log = ExecutionLog(100)
    mine, other, gone = Watch(), Watch(), Watch()
    log.watch(3, mine)
    log.watch(4, other)
    log.watch(3, gone)
    log.unwatch(3, gone)
    log.unwatch(3, gone)
    ranges(log, count=4)
    assert (mine.heard, other.heard, gone.heard) == ([0], [], [])
    log.watch(3, mine)
    ranges(log, count=2)
    assert mine.heard == [0, 4]
    log.unwatch(4, other)
    assert not log.is_watched
