"""Stop orders: what triggers them, in which order, and what they do then."""

import pytest

from engine.execution import TRIGGER_STEP
from engine.markets import MarketRules
from engine.matcher import Matcher
from engine.taking import PAUSE_STEP
from orderd.wire.records import SelfTradePrevention, Side, TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    Trader,
    cancel,
    limit,
    market,
    mass_cancel,
    new_matcher,
    order,
    replace,
    told,
)


def trade_at(trader: Trader, price: int) -> None:
    """Have a trade print, and leave nothing."""
    trader.send(limit(900, SELL, 1, price), limit(901, BUY, 1, price, TimeInForce.IOC))


def test_a_stop_order_waits_outside_the_book_and_is_accepted_finally() -> None:
    matcher, trader, _ = new_matcher()
    assert told(trader.send(order(1, BUY, 5, 105, trigger=104))) == ["NEW 2*"]
    assert matcher.book(INSTRUMENT).depth(9) == ([], [])
    assert [o.number for o in matcher.book(INSTRUMENT).stops] == [1]
    assert (trader.session.stops, trader.session.reserved) == (1, 2)
    matcher.check_invariants()


@pytest.mark.parametrize(("side", "price", "far"), [(BUY, 104, 103), (SELL, 96, 97)])
def test_it_is_triggered_by_a_trade_at_its_price_and_not_by_one_before(side: int, price: int, far: int) -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, BUY if side == BUY else SELL, 5, None, trigger=price))
    trade_at(other, far)
    assert trader.read() == []
    trade_at(other, price)
    assert told(trader.read()) == ["TRIGGERED 2 0", "CANCELED 2 NO_LIQUIDITY 0"]
    assert trader.session in matcher.touched
    assert not trader.session.live
    assert trader.session.stops == 0
    matcher.check_invariants()


def test_a_quote_triggers_nothing() -> None:
    _, trader, other = new_matcher()
    trader.send(order(1, BUY, 5, None, trigger=104))
    other.send(limit(1, BUY, 5, 105), limit(2, SELL, 5, 106))
    assert trader.read() == []


def test_one_that_the_last_trade_triggers_acts_right_after_its_new() -> None:
    matcher, trader, other = new_matcher()
    trade_at(other, 104)
    other.send(limit(1, SELL, 3, 110))
    reports = trader.send(order(1, BUY, 5, 112, trigger=104))
    assert told(reports) == ["NEW 2*", "TRIGGERED 2 0", "TRADE 2 3@110 left 2 0"]
    assert matcher.book(INSTRUMENT).depth(1) == ([(112, 2, 1)], [])
    assert reports[2].status is OrderStatus.NEW
    matcher.check_invariants()


def test_it_acts_when_the_input_that_traded_is_through_and_before_the_next() -> None:
    _, trader, other = new_matcher()
    trader.send(order(1, BUY, 2, None, trigger=101))
    other.send(limit(1, SELL, 1, 101), limit(2, SELL, 5, 102), limit(3, SELL, 5, 103))
    other.read()
    reports = other.send(limit(4, BUY, 3, 102), limit(5, BUY, 1, 102))
    assert told(reports) == [
        "NEW 4", "TRADE 1 1@101 left 0", "TRADE 4 1@101 left 2", "TRADE 2 2@102 left 3", "TRADE 4 2@102 left 0*",
        "TRADE 2 2@102 left 1 0", "NEW 5", "TRADE 2 1@102 left 0", "TRADE 5 1@102 left 0*",
    ]  # fmt: skip
    assert told(trader.read()) == ["TRIGGERED 2 0", "TRADE 2 2@102 left 0 0"]


def test_those_that_one_print_triggers_go_by_side_trigger_and_time() -> None:
    matcher, trader, other = new_matcher()
    trader.send(
        order(1, SELL, 1, None, trigger=108), order(2, BUY, 1, None, trigger=102), order(3, BUY, 1, None, trigger=101),
        order(4, SELL, 1, None, trigger=109), order(5, BUY, 1, None, trigger=101), order(6, BUY, 1, None, trigger=106),
    )  # fmt: skip
    assert [o.number for o in matcher.book(INSTRUMENT).stops] == [3, 5, 2, 6, 4, 1]
    trade_at(other, 105)
    canceled = [report.number for report in trader.read() if report.reason is Reason.NO_LIQUIDITY]
    assert canceled == [3, 5, 2, 4, 1]
    assert [o.number for o in matcher.book(INSTRUMENT).stops] == [6]


@pytest.mark.parametrize(
    ("side", "last", "triggers", "prices", "limit_price"),
    [(BUY, 110, [105, 101], [100, 103], 200), (SELL, 90, [95, 99], [100, 97], 10)],
)
def test_no_print_of_an_order_that_trades_step_by_step_is_missed(
    side: Side, last: int, triggers: list[int], prices: list[int], limit_price: int
) -> None:
    """Self-trade prevention looks at one order after the other; the first print triggers more than the last."""
    matcher, trader, other = new_matcher()
    against = SELL if side is BUY else BUY
    trade_at(other, last)
    other.send(*(order(10 + n, against, 1, limit_price, trigger=trigger) for n, trigger in enumerate(triggers)))
    other.send(*(limit(20 + n, against, 1, price) for n, price in enumerate(prices)))
    other.read()
    trader.send(order(1, side, 2, prices[-1], stp=SelfTradePrevention.CANCEL_OLDEST))
    triggered = [report.number for report in other.read() if report.exec_type is ExecType.TRIGGERED]
    assert triggered == [10, 11]
    matcher.check_invariants()


def test_many_that_find_nothing_to_trade_with_go_in_steps() -> None:
    matcher, trader, other = new_matcher()
    trader.send(*(order(number, BUY, 1, None, trigger=105) for number in range(1, 1001)))
    other.send(limit(1, SELL, 1, 105))
    steps = list(matcher.apply_in_steps(other.session, other.next_sequence, limit(2, BUY, 1, 105), 5))
    assert not trader.session.live
    assert len(steps) >= 1000 // TRIGGER_STEP + 1000 // PAUSE_STEP
    matcher.check_invariants()


def test_what_a_triggered_order_triggers_comes_behind_all_that_were_triggered_before() -> None:
    matcher, trader, other = new_matcher()
    trader.send(
        order(1, BUY, 2, None, trigger=101),
        order(2, BUY, 1, None, trigger=102),
        order(3, BUY, 1, None, trigger=105),
        order(4, BUY, 1, None, trigger=106),
    )
    other.send(limit(1, SELL, 1, 103), limit(2, SELL, 1, 106), limit(3, SELL, 9, 107))
    trade_at(other, 102)
    assert [r.number for r in trader.read() if r.exec_type.name == "TRIGGERED"] == [1, 2, 3, 4]
    assert matcher.book(INSTRUMENT).last_price == 107
    matcher.check_invariants()


def test_a_long_cascade_comes_in_steps() -> None:
    matcher = Matcher([INSTRUMENT])
    trader, other = Trader(matcher, 11), Trader(matcher, 22)
    for number in range(1, 2001):
        trader.send(order(number, BUY, 1, None, trigger=100 + number))
        other.send(limit(number, SELL, 1, 100 + number))
    data = limit(9000, BUY, 1, 101)
    steps = list(matcher.apply_in_steps(other.session, other.next_sequence, memoryview(data), 5))
    assert len(steps) > 2000 // 256
    assert matcher.next_trade_id == 2001
    assert not list(matcher.book(INSTRUMENT).stops)
    matcher.check_invariants()


def test_a_stop_limit_order_rests_with_what_it_cannot_take() -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, SELL, 10, 99, trigger=100, display=2, tif=TimeInForce.GTC))
    other.send(limit(1, BUY, 3, 99))
    trade_at(other, 100)
    assert told(trader.read()) == ["TRIGGERED 3 0", "TRADE 3 3@99 left 7 0"]
    assert matcher.book(INSTRUMENT).depth(1) == ([], [(99, 2, 1)])
    assert told(trader.send(cancel(1))) == ["CANCELED 3*"]


def test_cancels_reach_stop_orders() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(
        order(1, BUY, 5, None, trigger=104), order(2, BUY, 5, 110, trigger=104), order(3, SELL, 5, 9, trigger=8)
    )
    assert told(trader.send(cancel(1))) == ["CANCELED 2*"]
    assert told(trader.send(mass_cancel(BUY))) == ["CANCELED 4", "MASS_CANCELED 0*"]
    assert list(matcher.cancel_session(trader.session, Reason.REPORTS_FULL, 5)) == []
    assert told(trader.read()) == ["CANCELED 6 REPORTS_FULL 0"]
    assert trader.session.stops == 0
    matcher.check_invariants()


def test_a_replaced_stop_limit_order_keeps_its_trigger_and_its_place() -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, BUY, 5, 110, trigger=104), order(2, BUY, 5, 110, trigger=104))
    assert told(trader.send(replace(1, 8, 120))) == ["REPLACED 2*"]
    assert [o.number for o in matcher.book(INSTRUMENT).stops] == [1, 2]
    matcher.check_invariants()
    trade_at(other, 104)
    assert matcher.book(INSTRUMENT).depth(2)[0] == [(120, 8, 1), (110, 5, 1)]


def test_a_stop_order_without_a_price_cannot_be_replaced() -> None:
    _, trader, _ = new_matcher()
    trader.send(order(1, BUY, 5, None, trigger=104))
    assert told(trader.send(replace(1, 8, 120))) == ["REPLACE_REJECTED 2 NOT_SUPPORTED*"]


def test_its_own_resting_orders_stop_a_triggered_order_that_prevents_self_trades() -> None:
    _, trader, other = new_matcher()
    stp = SelfTradePrevention.CANCEL_BOTH
    trader.send(order(1, BUY, 5, None, trigger=104, stp=stp), limit(2, SELL, 5, 106))
    other.send(limit(1, SELL, 1, 105))
    trader.read()
    trade_at(other, 104)
    assert told(trader.read()) == [
        "TRIGGERED 2 0", "TRADE 2 1@105 left 4 0", "CANCELED 3 SELF_TRADE 0", "CANCELED 2 SELF_TRADE 0",
    ]  # fmt: skip


def test_price_limits_hold_for_triggered_orders() -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, BUY, 5, None, trigger=101), order(2, BUY, 5, 108, trigger=101))
    other.send(limit(1, SELL, 2, 103), limit(2, SELL, 2, 107))
    matcher.set_market(INSTRUMENT, MarketRules(high=105))
    trade_at(other, 101)
    assert told(trader.read()) == [
        "TRIGGERED 2 0", "TRADE 2 2@103 left 3 0", "CANCELED 2 PRICE_LIMIT 0", "TRIGGERED 4 0",
        "CANCELED 4 PRICE_LIMIT 0",
    ]  # fmt: skip
    matcher.check_invariants()


def test_a_market_order_that_sweeps_much_does_so_in_steps_with_one_final_report() -> None:
    matcher = Matcher([INSTRUMENT])
    trader, other = Trader(matcher, 11), Trader(matcher, 22)
    other.send(*(limit(number, SELL, 1, 100) for number in range(1, 1001)))
    steps = list(matcher.apply_in_steps(trader.session, 1, memoryview(market(1, BUY, 2000)), 5))
    reports = trader.read()
    assert len(steps) >= 1000 // 256
    assert [report.final for report in reports] == [False] * 1001 + [True]
    assert reports[-1].reason is Reason.NO_LIQUIDITY
