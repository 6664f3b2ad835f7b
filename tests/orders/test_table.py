"""OrderTable against a model that keeps every row for ever, with pages of four rows so that edges are everywhere."""

from collections.abc import Iterator
from unittest import mock

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders import table as table_module
from orderd.orders.table import ANSWERED, IS_DONE, IS_OPEN, OrderTable, is_order, unpack
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, RECORD_BYTES, Kind
from orderd.wire.reports import OrderStatus
from tests.support.scale import examples

OPEN = (int(OrderStatus.NEW), int(OrderStatus.PARTIALLY_FILLED), int(OrderStatus.REPLACED))
DONE = (*map(int, (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)), ANSWERED)


@attrs.define
class Row:
    record: bytes
    text: bytes | None = None
    status: int = 0
    path: Path = Path.NONE
    cum: int = 0
    notional: int = 0
    quantity: int | None = None
    forgotten: bool = False
    said: bytes = b""


class Both:
    """The table and the model, changed alike."""

    def __init__(self, remembered_max: int) -> None:
        self.rows: dict[int, Row] = {}
        self.confirmed_end = 1
        self.remembered_max = remembered_max
        self.kept: set[int] = set()
        """What the base has passed, and the table said that it keeps."""
        self.table = OrderTable(remembered_max, self._forget, self._keep)

    def _forget(self, order_id: int, record: bytes, text: bytes | None) -> None:
        row = self.rows[order_id]
        assert not row.forgotten, "a row is forgotten once"
        assert row.status in DONE
        assert (record, text) == (row.record, row.text)
        row.forgotten = True
        self.kept.discard(order_id)

    def _keep(self, order_id: int) -> None:
        assert order_id > max(self.kept, default=0), "each once, in order"
        assert self.rows[order_id].status not in DONE
        self.kept.add(order_id)

    def append(self, shape: list[int]) -> None:
        """A cancel for each 0, else a NEW with one extension less before it than the number says."""
        first = len(self.rows) + 1
        kinds = [kind for n in shape for kind in [Kind.EXTENSION] * (n - 1) + [Kind.NEW if n else Kind.CANCEL]]
        records = [RECORD.pack(first + i, first + i, 10, 1, 0, kind, 0) for i, kind in enumerate(kinds)]
        assert self.table.append(b"".join(records)) == first
        said = b""
        for i, record in enumerate(records):
            self.rows[first + i] = Row(record, said=said if kinds[i] is Kind.NEW else b"")
            said = said + record if kinds[i] is Kind.EXTENSION else b""
            if (first + i) % 3 == 0:
                self.rows[first + i].text = b"t%d" % (first + i)
                self.table.set_id(first + i, b"t%d" % (first + i))

    def confirm(self, count: int, how: int) -> None:
        first, count = self.confirmed_end, min(count, len(self.rows) + 1 - self.confirmed_end)
        if how == int(OrderStatus.NEW):
            self.table.accept(first, count, Path.UDP)
        for order_id in range(first, first + count):
            self.rows[order_id].status, self.rows[order_id].path = how, Path.UDP
            if how != int(OrderStatus.NEW):
                self.table.set_status(order_id, how, Path.UDP)
        self.confirmed_end += count

    def change(self, choice: int, status: int) -> None:
        live = [i for i, row in self.rows.items() if row.status in OPEN]
        if not live:
            return
        order_id = live[choice % len(live)]
        row, place = self.rows[order_id], self.table.locate(order_id)
        assert place is not None
        if status == int(OrderStatus.REPLACED):
            row.quantity = place[0].quantity[place[1]] = choice + 1
        else:
            row.cum, row.notional = row.cum + 2, row.notional + 2 * choice
            place[0].add_fill(place[1], 2, choice)
        self.table.set_status(order_id, status, Path.GRPC)
        row.status = status

    def check(self) -> None:
        table = self.table
        kept = {i: row for i, row in self.rows.items() if not row.forgotten}
        assert table.end == len(self.rows) + 1
        assert table.open == sum(row.status in OPEN for row in self.rows.values())
        assert table.done == sum(row.status in DONE for row in kept.values())
        assert {i for i in range(len(self.rows) + 2) if table.remembers(i)} == set(kept)
        assert self.kept == {i for i in kept if i < table.base}
        for order_id, row in kept.items():
            place = table.locate(order_id)
            assert place is not None
            page, at = place
            assert page.record(at) == row.record
            assert (page.status[at], page.path[at]) == (row.status, row.path)
            assert (page.ids[at] if page.ids else None) == row.text
            assert (page.cum_qty[at] if page.cum_qty else 0) == row.cum
            assert (page.notional[at] if page.notional else 0) == row.notional
            assert page.quantity.get(at) == row.quantity
            assert unpack(page, at)[0] == order_id
            assert is_order(page, at) == (row.record[30] == Kind.NEW)
            if is_order(page, at):
                assert table.extensions(order_id) == row.said
                assert page.may_be_extended(at) or not row.said
        for after in (0, len(self.rows) // 2):
            assert scanned(table, after, table.end) == [i for i in kept if i > after]
            may_trade = [i for i, row in kept.items() if i > after and row.status not in DONE]
            assert [i for i in scanned(table, after, table.end, open_only=True) if i in may_trade] == may_trade


def scanned(table: OrderTable, after: int, end: int, *, open_only: bool = False) -> list[int]:
    found = []
    for page, rows in table.scan(after, end, open_only=open_only):
        for order_id, row in rows:
            assert RECORD.unpack_from(page.records, row * RECORD_BYTES)[0] == order_id
            found.append(order_id)
    return found


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    with mock.patch.multiple(table_module, PAGE_SHIFT=2, PAGE_ROWS=4, PAGE_MASK=3, SCAN_STRAGGLERS=3):
        yield


steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(st.integers(0, 5), min_size=1, max_size=11)),
        st.tuples(st.just("confirm"), st.integers(1, 9), st.sampled_from([int(OrderStatus.NEW), *DONE])),
        st.tuples(st.just("change"), st.integers(0, 40), st.sampled_from([*OPEN[1:], *DONE[:2]])),
        st.tuples(st.just("trim")),
    ),
    max_size=60,
)


@settings(max_examples=examples(100))
@given(st.integers(1, 12), steps)
def test_rows_are_as_they_were_put_and_only_done_ones_are_forgotten(
    remembered_max: int, history: list[tuple[object, ...]]
) -> None:
    both = Both(remembered_max)
    for name, *values in history:
        if name == "trim":
            both.table.trim(both.confirmed_end)
            assert both.table.done <= remembered_max
        else:
            getattr(both, str(name))(*values)
        both.check()


def test_the_oldest_are_forgotten_first_and_an_old_order_that_ends_late_counts_from_then() -> None:
    both = Both(3)
    both.append([1] * 12)
    both.confirm(1, int(OrderStatus.NEW))
    both.confirm(8, int(OrderStatus.CANCELED))
    both.table.trim(both.confirmed_end)
    assert [i for i, row in both.rows.items() if row.forgotten] == [2, 3, 4, 5, 6]
    both.change(0, int(OrderStatus.FILLED))
    both.table.trim(both.confirmed_end)
    assert both.table.remembers(1), "it has only just ended"
    assert [i for i, row in both.rows.items() if row.forgotten] == [2, 3, 4, 5, 6, 7]
    both.confirm(3, int(OrderStatus.CANCELED))
    both.append([1] * 8)
    both.confirm(8, int(OrderStatus.CANCELED))
    both.table.trim(both.confirmed_end)
    assert not both.table.remembers(1)
    both.check()


def test_a_row_that_leaves_while_a_scan_waits_is_left_out() -> None:
    both = Both(1)
    both.append([1] * 16)
    both.confirm(16, int(OrderStatus.NEW))
    for _ in range(10):
        both.change(3, int(OrderStatus.CANCELED))
    both.table.trim(both.confirmed_end)
    scan = both.table.scan(0, both.table.end, open_only=False)
    first = next(scan)[1]
    for _ in range(3):
        both.change(0, int(OrderStatus.CANCELED))
    both.append([1] * 9)
    both.confirm(9, int(OrderStatus.CANCELED))
    both.table.trim(both.confirmed_end)
    rest = [(i, page.record(row)) for page, rows in scan for i, row in rows]
    assert first
    assert all(record == both.rows[i].record for i, record in rest)


def test_records_and_ids_of_a_run_across_pages() -> None:
    both = Both(100)
    both.append([1] * 10)
    assert both.table.records(3, 6) == b"".join(both.rows[i].record for i in range(3, 9))
    assert both.table.text_ids(3, 6) == [both.rows[i].text for i in range(3, 9)]
    plain = OrderTable(10, lambda *_: None)
    plain.append(both.table.records(1, 10))
    assert plain.text_ids(1, 10) is None


def test_what_is_open_and_what_is_done_exclude_each_other() -> None:
    assert not any(a and b for a, b in zip(IS_OPEN, IS_DONE, strict=True))
    assert [i for i in range(256) if IS_OPEN[i]] == sorted(OPEN)
    assert [i for i in range(256) if IS_DONE[i]] == sorted(DONE)
