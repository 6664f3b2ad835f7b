"""Self-trade prevention, and what must trade at once or not at all."""

import pytest

from engine.markets import MarketRules
from engine.matcher import Matcher
from engine.taking import PAUSE_STEP
from orderd.wire.records import SelfTradePrevention, Side, TimeInForce
from orderd.wire.reports import Reason
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    Trader,
    limit,
    market,
    new_matcher,
    order,
    replace,
    told,
)

NEWEST, OLDEST, BOTH = (
    SelfTradePrevention.CANCEL_NEWEST,
    SelfTradePrevention.CANCEL_OLDEST,
    SelfTradePrevention.CANCEL_BOTH,
)
IOC, FOK = TimeInForce.IOC, TimeInForce.FOK


def own_between() -> tuple[Matcher, Trader, Trader]:
    """Asks of 2 at 100 and 2 at 102 of another, and one's own 5 at 101."""
    matcher, trader, other = new_matcher()
    other.send(limit(1, SELL, 2, 100), limit(2, SELL, 2, 102))
    trader.send(limit(1, SELL, 5, 101))
    return matcher, trader, other


def test_cancel_newest_ends_where_it_meets_its_own() -> None:
    matcher, trader, _ = own_between()
    assert told(trader.send(order(2, BUY, 9, 102, stp=NEWEST))) == [
        "NEW 2", "TRADE 2 2@100 left 7", "CANCELED 2 SELF_TRADE*",
    ]  # fmt: skip
    assert matcher.book(INSTRUMENT).depth(9) == ([], [(101, 5, 1), (102, 2, 1)])
    matcher.check_invariants()


def test_cancel_oldest_takes_its_own_out_and_goes_on() -> None:
    matcher, trader, _ = own_between()
    reports = trader.send(order(2, BUY, 9, 102, stp=OLDEST))
    assert told(reports) == [
        "NEW 2", "TRADE 2 2@100 left 7", "CANCELED 1 SELF_TRADE", "TRADE 2 2@102 left 5*",
    ]  # fmt: skip
    assert reports[2].input == 2
    assert matcher.book(INSTRUMENT).depth(9) == ([(102, 5, 1)], [])
    matcher.check_invariants()


def test_cancel_both_takes_both_out() -> None:
    matcher, trader, _ = own_between()
    assert told(trader.send(order(2, BUY, 9, 102, stp=BOTH))) == [
        "NEW 2", "TRADE 2 2@100 left 7", "CANCELED 1 SELF_TRADE", "CANCELED 2 SELF_TRADE*",
    ]  # fmt: skip
    assert matcher.book(INSTRUMENT).depth(9) == ([], [(102, 2, 1)])
    matcher.check_invariants()


def test_the_own_order_that_goes_last_is_told_finally() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, SELL, 5, 101))
    assert told(trader.send(order(2, BUY, 9, 102, stp=OLDEST))) == ["NEW 2", "CANCELED 1 SELF_TRADE*"]
    assert matcher.book(INSTRUMENT).depth(9) == ([(102, 9, 1)], [])
    assert told(trader.send(order(3, SELL, 9, 102, stp=OLDEST, tif=IOC))) == [
        "NEW 3", "CANCELED 2 SELF_TRADE", "CANCELED 3 IOC*",
    ]  # fmt: skip


def test_the_instruction_of_the_one_that_rests_is_ignored() -> None:
    _, trader, _ = new_matcher()
    trader.send(order(1, SELL, 5, 101, stp=BOTH))
    assert told(trader.send(limit(2, BUY, 5, 101))) == ["NEW 2", "TRADE 1 5@101 left 0", "TRADE 2 5@101 left 0*"]


def test_another_account_and_another_session_are_others() -> None:
    _, trader, other = new_matcher()
    trader.send(order(1, SELL, 2, 101, account=7))
    other.send(limit(1, SELL, 2, 101))
    assert told(trader.send(order(2, BUY, 4, 101, stp=NEWEST))) == [
        "NEW 2", "TRADE 1 2@101 left 0", "TRADE 2 2@101 left 2", "TRADE 2 2@101 left 0*",
    ]  # fmt: skip


def test_it_holds_for_an_order_that_crosses_by_replace() -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, BUY, 5, 99, stp=OLDEST), limit(2, SELL, 5, 101))
    other.send(limit(1, SELL, 2, 102))
    assert told(trader.send(replace(1, 5, 102))) == [
        "REPLACED 1", "CANCELED 2 SELF_TRADE", "TRADE 1 2@102 left 3*",
    ]  # fmt: skip
    trader.send(limit(3, SELL, 5, 103))
    assert told(trader.send(replace(1, 6, 103))) == ["REPLACED 1", "CANCELED 4 SELF_TRADE*"]
    assert matcher.book(INSTRUMENT).depth(9) == ([(103, 4, 1)], [])
    matcher.check_invariants()


def test_a_replaced_order_that_meets_its_own_can_be_cancelled_by_it() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(order(1, BUY, 5, 99, stp=NEWEST), limit(2, SELL, 5, 101))
    assert told(trader.send(replace(1, 5, 101))) == ["REPLACED 1", "CANCELED 1 SELF_TRADE*"]
    assert list(trader.session.live) == [2]
    matcher.check_invariants()


@pytest.mark.parametrize("stp", [NEWEST, OLDEST, BOTH])
def test_many_own_orders_go_in_steps(stp: SelfTradePrevention) -> None:
    matcher = Matcher([INSTRUMENT])
    trader, other = Trader(matcher, 11), Trader(matcher, 22)
    trader.send(*(limit(number, SELL, 1, 100) for number in range(1, 1001)))
    other.send(limit(1, SELL, 1, 100))
    data = order(2000, BUY, 1, 100, stp=stp)
    steps = list(matcher.apply_in_steps(trader.session, 1001, memoryview(data), 5))
    assert len(trader.session.live) == {NEWEST: 1000, OLDEST: 0, BOTH: 999}[stp]
    assert len(steps) >= (1000 // PAUSE_STEP if stp is OLDEST else 0)
    assert sum(report.final for report in trader.read()) == 1
    matcher.check_invariants()


# What must be there at once.


@pytest.mark.parametrize(
    ("stp", "quantity", "fills"),
    [(NEWEST, 2, True), (NEWEST, 3, False), (BOTH, 2, True), (BOTH, 3, False), (OLDEST, 4, True), (OLDEST, 5, False)],
)
def test_fill_or_kill_counts_what_it_would_trade_and_not_its_own(
    stp: SelfTradePrevention, quantity: int, fills: bool
) -> None:
    matcher, trader, _ = own_between()
    reports = trader.send(order(2, BUY, quantity, 102, stp=stp, tif=FOK))
    assert (reports[-1].reason is Reason.NONE) == fills
    assert reports[-1].cum_qty == (quantity if fills else 0)
    assert len(trader.session.live) == (0 if fills and stp is OLDEST else 1)
    matcher.check_invariants()


def test_within_a_level_only_what_is_ahead_of_its_own_counts() -> None:
    for stp, enough in ((NEWEST, 5), (OLDEST, 13)):
        for quantity in (enough, enough + 1):
            matcher, trader, other = new_matcher()
            other.send(order(1, SELL, 10, 100, display=5))
            trader.send(limit(1, SELL, 4, 100))
            other.send(limit(2, SELL, 3, 100))
            reports = trader.send(order(2, BUY, quantity, 100, stp=stp, tif=FOK))
            assert (reports[-1].reason is Reason.FOK) == (quantity > enough)
            matcher.check_invariants()


@pytest.mark.parametrize("tif", [FOK, TimeInForce.DAY])
def test_what_hides_counts(tif: TimeInForce) -> None:
    _, trader, other = new_matcher()
    other.send(order(1, SELL, 10, 100, display=2))
    minimum = 10 if tif is TimeInForce.DAY else 0
    assert trader.send(order(1, BUY, 10, 100, tif=tif, minimum=minimum))[-1].leaves_qty == 0


def test_less_than_the_minimum_cancels_all_and_more_trades() -> None:
    matcher, trader, other = new_matcher()
    other.send(limit(1, SELL, 4, 100), limit(2, SELL, 4, 102))
    assert told(trader.send(order(1, BUY, 10, 101, minimum=5))) == ["NEW 2", "CANCELED 2 MINIMUM_QUANTITY*"]
    assert told(trader.send(order(2, BUY, 10, 101, minimum=4))) == ["NEW 4", "TRADE 4 4@100 left 6*"]
    assert matcher.book(INSTRUMENT).depth(9) == ([(101, 6, 1)], [(102, 4, 1)])
    assert told(trader.send(order(3, BUY, 9, 102, minimum=4, tif=IOC))) == [
        "NEW 6", "TRADE 6 4@102 left 5", "CANCELED 6 IOC*",
    ]  # fmt: skip
    assert told(trader.send(order(4, BUY, 9, None, minimum=1))) == ["NEW 8", "CANCELED 8 MINIMUM_QUANTITY*"]


@pytest.mark.parametrize("stp", [SelfTradePrevention.NONE, OLDEST])
def test_a_long_count_is_right_and_comes_in_steps(stp: SelfTradePrevention, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.taking.SCAN_STEP", 8)
    for quantity, fills in ((100, True), (101, False)):
        matcher = Matcher([INSTRUMENT])
        trader, other = Trader(matcher, 11), Trader(matcher, 22)
        other.send(*(limit(number, SELL, 1, 100 + number) for number in range(1, 101)))
        data = order(1, BUY, quantity, 1000, stp=stp, tif=FOK)
        steps = list(matcher.apply_in_steps(trader.session, 1, memoryview(data), 5))
        assert len(steps) >= 100 // 8
        assert (trader.read()[-1].reason is Reason.NONE) == fills
        matcher.check_invariants()


# Limits of prices.


@pytest.mark.parametrize(("side", "inside", "beyond"), [(BUY, 104, 106), (SELL, 96, 94)])
def test_a_market_order_trades_within_the_price_limits_only(side: Side, inside: int, beyond: int) -> None:
    matcher, trader, other = new_matcher()
    against = SELL if side is BUY else BUY
    other.send(limit(1, against, 2, inside), limit(2, against, 2, beyond))
    matcher.set_market(INSTRUMENT, MarketRules(low=95, high=105))
    assert told(trader.send(market(1, side, 4, FOK))) == ["NEW 1", "CANCELED 1 FOK*"]
    assert told(trader.send(market(1, side, 4))) == [
        "NEW 2", f"TRADE 2 2@{inside} left 2", "CANCELED 2 PRICE_LIMIT*",
    ]  # fmt: skip
    other.send(limit(3, against, 2, inside))
    assert told(trader.send(market(1, side, 2, FOK)))[-1] == f"TRADE 3 2@{inside} left 0*"
