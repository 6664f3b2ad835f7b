"""Cancel and replace: what they tell, who keeps priority, what a new total means."""

import pytest

from orderd.wire.records import VALUE_MAX, TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import BUY, INSTRUMENT, SELL, cancel, limit, new_matcher, replace, trades

GTC = TimeInForce.GTC


def test_cancel_tells_what_was_filled_before() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(9, BUY, 10, 100, GTC))
    other.send(limit(1, SELL, 4, 100))
    trader.read()
    (report,) = trader.send(cancel(9))
    assert (report.exec_type, report.order, report.input, report.number) == (ExecType.CANCELED, 1, 2, 9)
    assert (report.status, report.reason) == (OrderStatus.CANCELED, Reason.NONE)
    assert (report.cum_qty, report.leaves_qty, report.final) == (4, 0, True)
    matcher.check_invariants()


def test_cancel_of_another_sessions_order_or_with_another_instrument_is_rejected() -> None:
    matcher, trader, other = new_matcher()
    matcher.add_instrument(2)
    trader.send(limit(1, BUY, 5, 100))
    assert other.send(cancel(1))[0].exec_type is ExecType.CANCEL_REJECTED
    assert trader.send(cancel(1, instrument=2))[0].exec_type is ExecType.CANCEL_REJECTED
    assert matcher.book(INSTRUMENT).depth(5) == ([(100, 5, 1)], [])


@pytest.mark.parametrize("record", [replace(1, 10, 100), replace(1, 10, 100, open_quantity=True)])
def test_the_same_quantity_at_the_same_price_keeps_priority(record: bytes) -> None:
    _, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100), limit(2, BUY, 10, 100), record)
    trader.read()
    other.send(limit(1, SELL, 12, 100))
    assert trades(trader.read()) == [(1, 10, 100), (2, 2, 100)]


def test_less_quantity_at_the_same_price_keeps_priority() -> None:
    _, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100), limit(2, BUY, 10, 100))
    (report,) = trader.send(replace(1, 6, 100))
    assert (report.exec_type, report.status, report.leaves_qty) == (ExecType.REPLACED, OrderStatus.REPLACED, 6)
    other.send(limit(1, SELL, 8, 100))
    assert trades(trader.read()) == [(1, 6, 100), (2, 2, 100)]


@pytest.mark.parametrize("record", [replace(1, 11, 100), replace(1, 11, 100, open_quantity=True)])
def test_more_quantity_goes_to_the_back(record: bytes) -> None:
    _, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100), limit(2, BUY, 10, 100), record)
    trader.read()
    other.send(limit(1, SELL, 12, 100))
    assert trades(trader.read()) == [(2, 10, 100), (1, 2, 100)]


def test_another_price_goes_to_the_back_of_its_level_even_if_it_returns() -> None:
    _, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100), limit(2, BUY, 10, 100), replace(1, 10, 99), replace(1, 10, 100))
    trader.read()
    other.send(limit(1, SELL, 12, 100))
    assert trades(trader.read()) == [(2, 10, 100), (1, 2, 100)]


def test_the_new_total_counts_what_was_filled_and_open_does_not() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100), limit(2, BUY, 10, 90))
    other.send(limit(1, SELL, 4, 100))
    trader.read()
    (report,) = trader.send(replace(1, 9, 100))
    assert (report.status, report.cum_qty, report.leaves_qty) == (OrderStatus.PARTIALLY_FILLED, 4, 5)
    (report,) = trader.send(replace(1, 9, 100, open_quantity=True))
    assert (report.status, report.cum_qty, report.leaves_qty) == (OrderStatus.PARTIALLY_FILLED, 4, 9)
    assert matcher.book(INSTRUMENT).depth(1) == ([(100, 9, 1)], [])


@pytest.mark.parametrize("total", [3, 4])
def test_a_total_at_or_below_what_was_filled_cancels_the_rest(total: int) -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100))
    other.send(limit(1, SELL, 4, 100))
    trader.read()
    (report,) = trader.send(replace(1, total, 100))
    assert (report.exec_type, report.reason) == (ExecType.CANCELED, Reason.REPLACED_BELOW_FILLED)
    assert (report.cum_qty, report.leaves_qty, report.final) == (4, 0, True)
    assert matcher.book(INSTRUMENT).depth(1) == ([], [])
    assert not trader.session.live


@pytest.mark.parametrize(
    "record",
    [
        replace(1, 10, 0),
        replace(1, 10, -5),
        replace(1, 0, 100),
        replace(1, VALUE_MAX + 1, 100),
        replace(1, 0, 100, open_quantity=True),
        replace(1, VALUE_MAX - 3, 100, open_quantity=True),
    ],
)
def test_an_impossible_replace_is_rejected_and_the_order_untouched(record: bytes) -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, 10, 100))
    other.send(limit(1, SELL, 4, 100))
    trader.read()
    before = matcher.book(INSTRUMENT).state_hash()
    (report,) = trader.send(record)
    assert (report.exec_type, report.reason) == (ExecType.REPLACE_REJECTED, Reason.BAD_RECORD)
    assert (report.order, report.input, report.final) == (1, 2, True)
    assert (report.status, report.cum_qty, report.leaves_qty) == (OrderStatus.PARTIALLY_FILLED, 4, 6)
    assert matcher.book(INSTRUMENT).state_hash() == before


def test_the_largest_values_trade_and_replace_without_overflow() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, VALUE_MAX, VALUE_MAX), limit(2, BUY, VALUE_MAX, VALUE_MAX))
    reports = other.send(limit(1, SELL, VALUE_MAX, VALUE_MAX))
    assert reports[-1].cum_qty == VALUE_MAX
    trader.read()
    other.send(limit(2, SELL, 3, 1))
    trader.read()
    (report,) = trader.send(replace(2, VALUE_MAX - 3, VALUE_MAX, open_quantity=True))
    assert (report.exec_type, report.cum_qty, report.leaves_qty) == (ExecType.REPLACED, 3, VALUE_MAX - 3)
    matcher.check_invariants()
