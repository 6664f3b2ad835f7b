"""What is remembered is bounded, and what is kept up lazily is what a sum from scratch gives."""

import random
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.errors import Limit
from orderd.orders.risk import positions as positions_module
from orderd.orders.risk import rates
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.limits import AccountLimits, RiskLimits, value_unit
from orderd.orders.risk.positions import Positions
from orderd.orders.risk.values import NoPrice, Values
from orderd.orders.table import OrderTable
from orderd.orders.trading import Trading
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import ExecType, OrderStatus
from tests.support.scale import examples

INSTRUMENTS = InstrumentTable(Instrument(f"S{number}", number, "0.01", "0.1") for number in range(1, 8))


class Book:
    """Orders straight into table and positions."""

    def __init__(self) -> None:
        self.table = OrderTable(10**6, lambda *_: None)
        self.positions = Positions(self.table)

    def new(self, account: int, instrument: int, side: int, quantity: int) -> int:
        row = self.table.append(RECORD.pack(self.table.end, 5, quantity, instrument, account, Kind.NEW, side))
        self.positions.settle()
        return row

    def report(self, row: int, exec_type: ExecType, status: OrderStatus, quantity: int = 0, price: int = 0) -> None:
        place = self.table.locate(row)
        assert place is not None
        self.positions.report(row, *place, exec_type, status, quantity, price, 0, 0)
        if quantity:
            place[0].add_fill(place[1], quantity, price)
        self.table.set_status(row, status, Path.UDP)


@pytest.fixture
def book() -> Book:
    return Book()


def test_positions_that_are_empty_again_are_forgotten_once_there_are_many(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "FLAT_KEPT", 10)
    held = book.new(1, 1, 0, 5)
    book.report(held, ExecType.TRADE, OrderStatus.FILLED, 5, 100)
    for account in range(2, 200):
        book.report(book.new(account, 2, 1, 5), ExecType.CANCELED, OrderStatus.CANCELED)
    assert len(book.positions.by_key) <= 11
    assert book.positions.position(1, 1).net == 5
    assert sum(len(account.held) + len(account.changed) for account in book.positions.accounts.values()) <= 22


def test_an_order_that_is_refused_leaves_no_position_behind(book: Book) -> None:
    checks = RiskChecks(INSTRUMENTS, book.positions, Trading())
    checks.apply(RiskLimits(AccountLimits(open_orders_max=1, order_quantity_max=Fraction(1))))
    for account in range(100):
        with pytest.raises(Limit):
            checks.check_new(account, 1, 0, 5, 10**6, 0, 1.0)
    assert book.positions.by_key == {}


def test_repeats_forget_the_oldest_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "REPEATS_KEPT_MAX", 100)
    repeats = rates.Repeats(AccountLimits(repeats_max=1, repeats_window_ms=60_000))
    for key in range(1000):
        repeats.add(key, key)
        repeats.add_all([key, key + 1, key + 2], key)
    assert repeats._kept <= 100
    assert sum(repeats._counts.values()) == repeats._kept
    assert (repeats.seen(5, 1000), repeats.seen(999, 1000)) == (0, 4)
    assert repeats.seen(999, 60_000 * 10**6 + 2000) == 0
    assert not repeats._counts


@settings(max_examples=examples(100))
@given(
    st.lists(st.tuples(st.integers(0, 9), st.lists(st.integers(1, 6), max_size=8), st.integers(0, 2)), max_size=30),
    st.integers(1, 3),
)
def test_what_left_the_window_is_forgotten_piece_by_piece_and_never_counts(
    history: list[tuple[int, list[int], int]], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rates, "EXPIRED_AT_ONCE", 1)
        repeats = rates.Repeats(AccountLimits(repeats_max=most, repeats_window_ms=10))
        now, taken = 0, list[tuple[int, int]]()
        for passed, keys, others in history:
            now += passed * 1_000_000
            within = Counter(key for at, key in taken if at > now - 10_000_000)
            for key in range(1, 7):
                assert (repeats.seen(key, now, others) + others >= most) == (within[key] + others >= most)
            fits = all(count + within[key] <= most for key, count in Counter(keys).items())
            assert repeats.fit(keys, {}, now) == fits
            if fits and len(keys) == 1:
                repeats.add(keys[0], now)
            elif fits and keys:
                repeats.add_all(list(keys), now)
            taken += [(now, key) for key in keys if fits]
            assert sum(repeats._counts.values()) == repeats._kept


def test_with_limits_in_money_too_positions_that_are_empty_again_are_forgotten(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(positions_module, "FLAT_KEPT", 10)
    checks = RiskChecks(INSTRUMENTS, book.positions, Trading())
    checks.apply(RiskLimits(AccountLimits(gross_notional_max=Fraction(1000)), references={2: 100}))
    for account in range(1, 100):
        checks.check_new(account, 2, 0, 5, 5, 0, 1.0)
        row = book.new(account, 2, 0, 5)
        checks.check_new(account, 2, 0, 5, 5, 0, 1.0)
        assert book.positions.accounts[account].value
        book.report(row, ExecType.CANCELED, OrderStatus.CANCELED)
    assert len(book.positions.by_key) <= 11
    assert book.positions.accounts[99].value == 0


def test_the_value_of_an_account_is_what_a_sum_from_scratch_gives(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions_module, "_CHANGES_KEPT", 4)
    values = Values(book.positions, INSTRUMENTS)
    rng, references = random.Random(7), {number: 50 * number for number in range(1, 7)}
    values.take_references(references)
    for step in range(3000):
        row = book.new(rng.randrange(3), rng.randint(1, 6), rng.randrange(2), rng.randint(1, 9))
        if rng.random() < 0.6:
            book.report(row, ExecType.TRADE, OrderStatus.FILLED, rng.randint(1, 9), rng.randint(40, 60))
        elif rng.random() < 0.8:
            book.report(row, ExecType.CANCELED, OrderStatus.CANCELED)
        if step % 500 == 499:
            references = {number: rng.randint(1, 99) for number in range(1, 7)}
            values.take_references(references)
        if rng.random() < 0.2:
            account = book.positions.accounts[rng.choice(list(book.positions.accounts))]
            assert values.total(account) == sum(
                p.worst * book.positions.last_px.get(i, references[i]) * value_unit(INSTRUMENTS.by_id[i])
                for i, p in account.held.items()
            )
    assert len(book.positions.price_changes) < 8


def test_what_has_no_price_is_told_as_long_as_it_is_there(book: Book) -> None:
    values = Values(book.positions, INSTRUMENTS)
    row = book.new(1, 7, 0, 5)
    account = book.positions.accounts[1]
    for _ in range(2):
        with pytest.raises(NoPrice):
            values.total(account)
    book.report(row, ExecType.CANCELED, OrderStatus.CANCELED)
    assert values.total(account) == 0
