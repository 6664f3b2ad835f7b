"""What engines in the field get wrong, each as a case that this one gets right."""

import pytest

from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import BUY, INSTRUMENT, SELL, cancel, limit, market, new_matcher, outline, replace, trades

IOC = TimeInForce.IOC


def test_cancel_of_a_middle_order_leaves_the_others_in_their_order() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, BUY, 5, 100), limit(2, BUY, 5, 100), limit(3, BUY, 5, 100), cancel(2))
    assert trades(trader.send(limit(4, SELL, 10, 100))) == [(1, 5, 100), (3, 5, 100)]
    matcher.check_invariants()


def test_a_level_emptied_by_cancel_does_not_stay_best() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, BUY, 5, 100), limit(2, BUY, 5, 99), cancel(1))
    assert trades(trader.send(limit(3, SELL, 5, 100))) == []
    assert trades(trader.send(limit(4, SELL, 5, 99))) == [(2, 5, 99)]
    assert matcher.book(INSTRUMENT).depth(5) == ([], [(100, 5, 1)])


def test_trades_are_at_the_makers_price() -> None:
    _, trader, _ = new_matcher()
    trader.send(limit(1, SELL, 5, 101), limit(2, SELL, 5, 102))
    assert trades(trader.send(limit(3, BUY, 10, 110))) == [(1, 5, 101), (2, 5, 102)]
    trader.send(limit(4, BUY, 5, 100))
    assert trades(trader.send(limit(5, SELL, 5, 90))) == [(4, 5, 100)]


@pytest.mark.parametrize("record", [limit(2, BUY, 9, 101, IOC), market(2, BUY, 9), market(2, BUY, 9, IOC)])
def test_what_an_immediate_order_leaves_is_cancelled_and_never_rests(record: bytes) -> None:
    matcher, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 4, 101))
    reports = taker.send(record)
    assert outline(reports) == [("NEW", 1, False), ("TRADE", 1, False), ("CANCELED", 1, True)]
    is_market = record == market(2, BUY, 9) or record == market(2, BUY, 9, IOC)
    last = reports[-1]
    assert last.reason is (Reason.NO_LIQUIDITY if is_market else Reason.IOC)
    assert (last.status, last.cum_qty, last.leaves_qty) == (OrderStatus.CANCELED, 4, 0)
    assert matcher.book(INSTRUMENT).depth(5) == ([], [])
    assert not taker.session.live


def test_replace_through_the_spread_trades_at_once_and_rests_with_what_is_left() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 4, 101))
    taker.send(limit(7, BUY, 10, 99))
    reports = taker.send(replace(7, 10, 105))
    assert outline(reports) == [("REPLACED", 1, False), ("TRADE", 1, True)]
    assert (reports[0].status, reports[0].leaves_qty) == (OrderStatus.REPLACED, 10)
    assert (reports[1].input, reports[1].taker, reports[1].last_px, reports[1].leaves_qty) == (2, True, 101, 6)
    assert matcher.book(INSTRUMENT).depth(5) == ([(105, 6, 1)], [])
    matcher.check_invariants()


def test_replace_through_the_spread_that_fills_whole_leaves_nothing() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, SELL, 10, 101), limit(7, BUY, 10, 99))
    reports = trader.send(replace(7, 10, 101))
    assert outline(reports) == [("REPLACED", 2, False), ("TRADE", 1, False), ("TRADE", 2, True)]
    assert [report.status for report in reports[1:]] == [OrderStatus.FILLED] * 2
    assert not trader.session.live
    assert matcher.book(INSTRUMENT).depth(5) == ([], [])


@pytest.mark.parametrize(
    ("record", "exec_type"),
    [
        (cancel(1), ExecType.CANCEL_REJECTED),
        (replace(1, 9, 100), ExecType.REPLACE_REJECTED),
        (replace(1, 9, 100, open_quantity=True), ExecType.REPLACE_REJECTED),
    ],
)
def test_cancel_and_replace_after_a_full_fill_are_rejected(record: bytes, exec_type: ExecType) -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, BUY, 5, 100), limit(2, SELL, 5, 100))
    (report,) = trader.send(record)
    assert (report.exec_type, report.reason, report.status) == (exec_type, Reason.UNKNOWN_ORDER, OrderStatus.REJECTED)
    assert (report.order, report.input, report.number, report.final) == (0, 3, 1, True)
    assert matcher.book(INSTRUMENT).depth(5) == ([], [])


def test_a_number_can_be_used_again_once_its_order_is_done_and_means_the_new_order() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, BUY, 5, 100), limit(2, SELL, 5, 100), limit(1, SELL, 3, 105))
    assert matcher.book(INSTRUMENT).depth(5) == ([], [(105, 3, 1)])
    (report,) = trader.send(cancel(1))
    assert (report.exec_type, report.order, report.sell) == (ExecType.CANCELED, 3, True)
    assert matcher.book(INSTRUMENT).depth(5) == ([], [])


def test_a_number_that_is_live_is_refused_and_the_first_order_stays() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, 5, 100))
    (report,) = trader.send(limit(1, SELL, 7, 105))
    assert (report.exec_type, report.reason) == (ExecType.REJECTED, Reason.DUPLICATE_NUMBER)
    assert (report.order, report.input, report.final, report.status) == (2, 2, True, OrderStatus.REJECTED)
    assert matcher.book(INSTRUMENT).depth(5) == ([(100, 5, 1)], [])
    assert outline(other.send(limit(1, SELL, 7, 105))) == [("NEW", 1, True)]
