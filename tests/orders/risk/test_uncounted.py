"""Counting late and in bulk comes to the same as counting each order and fill at once."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.ids import IdIndex
from orderd.orders.risk import positions as positions_module
from orderd.orders.risk import uncounted
from orderd.orders.risk.positions import FILLS_BYTES, LATER_ROWS, STEP_REPLACES, Positions
from orderd.orders.risk.uncounted import FILL, fill_sums, open_sums, replaces_in
from orderd.orders.table import ANSWERED, PAGE_ROWS, OrderTable, Page
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, RECORD_BYTES, VALUE_MAX, Kind
from orderd.wire.reports import ExecType, OrderStatus
from tests.support.scale import examples

ACCOUNTS = (0, 3, 65_535)
INSTRUMENTS = (1, 2, 2**32 - 1)
Sums = dict[tuple[int, int], tuple[int, int, int, int]]


class Life:
    """Orders, replaces and reports straight into table and positions, the same ones for the same seed."""

    def __init__(self, remembered_max: int) -> None:
        self.table = OrderTable(remembered_max, lambda *_: None)
        self.ids = IdIndex(self.table.remembers)
        self.positions = Positions(self.table, self.ids)
        self.live: list[int] = []
        self.answered_end = 1

    def act(self, rng: random.Random) -> None:
        what = rng.random()
        if what < 0.6 or not self.live:
            row, side = self.table.end, rng.randrange(2)
            account, instrument = rng.choice(ACCOUNTS), rng.choice(INSTRUMENTS)
            self.table.append(RECORD.pack(row, 5, rng.randint(2, 9), instrument, account, Kind.NEW, side))
            self.ids.add(b"%d" % row, row)
            self.live.append(row)
        elif what < 0.7:
            kind = rng.choice((Kind.REPLACE, Kind.REPLACE_OPEN, Kind.CANCEL))
            self.table.append(RECORD.pack(rng.choice(self.live), 6, rng.randint(1, 12), 1, 0, kind, 0))
        elif what < 0.75:
            self.answer(rng.randint(1, 30))
        else:
            self.report(rng)

    def answer(self, rows: int) -> None:
        """The engine goes on in order; what it says of requests is that they are answered."""
        for row in range(self.answered_end, min(self.table.end, self.answered_end + rows)):
            place = self.table.locate(row)
            if place is not None and place[0].records[place[1] * RECORD_BYTES + 30] != Kind.NEW:
                self.positions.answered(row)
                self.table.set_status(row, ANSWERED, Path.UDP)
            self.answered_end = row + 1
        self.positions.bound_fills()
        self.table.trim(self.answered_end)

    def report(self, rng: random.Random) -> None:
        number = self.live.pop(rng.randrange(len(self.live)))
        place = self.table.locate(number)
        assert place is not None
        kind = rng.choice((ExecType.TRADE, ExecType.TRADE, ExecType.CANCELED, ExecType.REPLACED))
        status = {
            ExecType.TRADE: rng.choice((OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED)),
            ExecType.CANCELED: OrderStatus.CANCELED,
            ExecType.REPLACED: OrderStatus.REPLACED,
        }[kind]
        quantity, price, total = (1, rng.randint(1, 3), 0) if kind is ExecType.TRADE else (0, 0, rng.randint(3, 8))
        self.positions.report(number, *place, kind, status, quantity, price, total, 0)
        if quantity:
            place[0].add_fill(place[1], quantity, price)
        elif kind is ExecType.REPLACED:
            place[0].quantity[place[1]] = total
        self.table.set_status(number, status, Path.UDP)
        if status in (OrderStatus.PARTIALLY_FILLED, OrderStatus.REPLACED):
            self.live.append(number)

    def told(self) -> tuple[Sums, dict[int, int]]:
        self.positions.settle()
        held = self.positions.by_key.values()
        sums = {
            (p.account.number, p.instrument): (p.net, p.open[0], p.open[1], p.orders) for p in held if not p.is_empty
        }
        return sums, dict(self.positions.last_px)


@pytest.mark.parametrize(("steps", "remembered_max"), [(300, 10**6), (12_000, 40)])
@pytest.mark.parametrize("few", [0, 32])
def test_it_does_not_matter_when_and_how_orders_are_counted(
    steps: int, remembered_max: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "FEW", few)
    for seed in range(10 if steps < 1000 else 1):
        lives = [Life(remembered_max) for _ in range(3)]
        for which, life in enumerate(lives):
            rng, when = random.Random(seed), random.Random(which)
            for _ in range(steps):
                life.act(rng)
                if which == 0 or (which == 1 and when.random() < 0.01):
                    life.positions.settle()
        assert lives[0].told() == lives[1].told() == lives[2].told()
        if remembered_max < steps:
            assert lives[0].table.base > PAGE_ROWS, "a page was retired"


def test_what_waits_to_be_counted_is_bounded() -> None:
    table = OrderTable(10**7, lambda *_: None)
    positions = Positions(table)
    records = RECORD.pack(1, 5, 1, 1, 0, Kind.NEW, 0) * 1000
    for _ in range(LATER_ROWS // 1000 + 20):
        table.append(records)
        for _ in range(1000):
            positions.catch_up()
    assert table.end - positions.counted_end <= LATER_ROWS + 1000
    for row in range(1, 5000):
        place = table.locate(row)
        assert place is not None
        positions.report(row, *place, ExecType.TRADE, OrderStatus.FILLED, 1, 5, 0, 0)
        positions.bound_fills()
    assert len(positions.fills) <= FILLS_BYTES


rows = st.lists(
    st.tuples(
        st.sampled_from((Kind.NEW, Kind.NEW, Kind.NEW, Kind.REPLACE, Kind.CANCEL)),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(INSTRUMENTS),
        st.integers(0, 1),
        st.sampled_from((1, 7, VALUE_MAX)),
        st.sampled_from((OrderStatus.QUEUED, OrderStatus.NEW, OrderStatus.FILLED)),
        st.sampled_from((0, 0, 3, VALUE_MAX, 2**64)),
        st.sampled_from((None, None, 5)),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=examples(100), deadline=None)
@given(rows)
def test_sums_are_exact_whatever_the_quantities(
    rows: list[tuple[int, int, int, int, int, int, int, int | None]],
) -> None:
    page, expected = Page(), dict[tuple[int, int, int], int]()
    for row, (kind, account, instrument, side, quantity, status, filled, replaced) in enumerate(rows):
        page.records[row * 32 : row * 32 + 32] = RECORD.pack(1, 5, quantity, instrument, account, kind, side)
        page.status[row] = status
        if filled:
            page.add_fill(row, filled, 5)
        if replaced is not None:
            page.quantity[row] = replaced
        if kind == Kind.NEW and status != OrderStatus.FILLED:
            open_ = max(0, (quantity if replaced is None else replaced) - filled)
            expected[account, instrument, side] = expected.get((account, instrument, side), 0) + open_
    found = dict.fromkeys(expected, 0)
    for account, instrument, side, quantity, _ in open_sums(page, 0, len(rows)):
        found[account, instrument, side] += quantity
    assert found == expected
    assert replaces_in(page, 0, len(rows)) == [i for i, row in enumerate(rows) if row[0] == Kind.REPLACE]


fills = st.lists(
    st.tuples(
        st.sampled_from((Kind.NEW, Kind.NEW, Kind.REPLACE)),
        st.sampled_from(ACCOUNTS),
        st.one_of(st.sampled_from(INSTRUMENTS), st.integers(1, 2**32 - 1)),
        st.integers(0, 1),
        st.one_of(st.integers(0, 9), st.just(2**64 - 1)),
        st.integers(-(2**63), 2**63 - 1),
    ),
    max_size=60,
)


@pytest.mark.parametrize("scatter", [uncounted._SCATTER, np.uint64(0)])
@settings(max_examples=examples(50), deadline=None)
@given(fills=fills)
def test_of_fills_each_lot_counts_and_the_last_price(
    scatter: np.uint64, fills: list[tuple[int, int, int, int, int, int]]
) -> None:
    """With 0 all keys have the same 16 bits, so runs come in parts."""
    sums, prices = dict[tuple[int, int, int], int](), dict[int, int]()
    data = b""
    for kind, account, instrument, side, lots, px in fills:
        data += FILL.pack(9, instrument, account, kind, side, lots, px)
        if kind == Kind.NEW:
            sums[account, instrument, side] = sums.get((account, instrument, side), 0) + lots
            prices[instrument] = px
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncounted, "_SCATTER", scatter)
        found_sums, found_prices = fill_sums(data)
    found = dict.fromkeys(sums, 0)
    for account, instrument, side, lots, _ in found_sums:
        found[account, instrument, side] += lots
    assert found == sums
    assert dict(found_prices) == prices


def test_many_replaces_are_counted_in_steps_and_none_is_left_out() -> None:
    table = OrderTable(10**7, lambda *_: None)
    ids = IdIndex(table.remembers)
    positions = Positions(table, ids)
    table.append(RECORD.pack(1, 5, 1, 1, 0, Kind.NEW, 0))
    ids.add(b"1", 1)
    for number in range(3 * STEP_REPLACES):
        table.append(RECORD.pack(1, 5, 2 + number, 1, 0, Kind.REPLACE, 0))
    assert sum(1 for _ in positions.settle_in_steps()) == 3
    assert positions.position(0, 1).open == [1 + 3 * STEP_REPLACES, 0]
    for row in range(2, 2 + 3 * STEP_REPLACES):
        positions.answered(row)
    assert positions.position(0, 1).open == [1, 0]
