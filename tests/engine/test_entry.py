"""Orders and replaces that are refused for what holds at the moment, and post-only orders."""

import pytest

from engine.markets import OPEN_MARKET, MarketRules
from engine.matcher import UnknownInstrument
from orderd.wire.records import TimeInForce
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    cancel,
    limit,
    market,
    mass_cancel,
    new_matcher,
    order,
    replace,
    told,
)

GTD = TimeInForce.GTD


def test_a_post_only_order_that_would_trade_is_rejected_and_else_rests() -> None:
    matcher, trader, other = new_matcher()
    other.send(limit(1, SELL, 5, 101))
    assert told(trader.send(order(1, BUY, 5, 101, post_only=True))) == ["REJECTED 1 POST_ONLY*"]
    assert told(trader.send(order(1, BUY, 5, 100, post_only=True))) == ["NEW 2*"]
    assert matcher.book(INSTRUMENT).depth(1) == ([(100, 5, 1)], [(101, 5, 1)])


def test_a_post_only_order_does_not_trade_by_replace_and_stays_as_it_was() -> None:
    matcher, trader, other = new_matcher()
    other.send(limit(1, SELL, 5, 101))
    trader.send(order(1, BUY, 5, 100, post_only=True), limit(2, BUY, 5, 100))
    before = matcher.book(INSTRUMENT).state_hash()
    (report,) = trader.send(replace(1, 9, 101))
    assert told([report]) == ["REPLACE_REJECTED 1 POST_ONLY*"]
    assert (report.leaves_qty, report.status.name) == (5, "NEW")
    assert matcher.book(INSTRUMENT).state_hash() == before
    assert told(trader.send(replace(1, 9, 99))) == ["REPLACED 1*"]


def test_its_own_orders_stop_a_post_only_order_too() -> None:
    _, trader, _ = new_matcher()
    trader.send(limit(1, SELL, 5, 101))
    assert told(trader.send(order(2, BUY, 5, 101, post_only=True))) == ["REJECTED 2 POST_ONLY*"]


def test_a_halted_market_takes_cancels_alone() -> None:
    matcher, trader, _ = new_matcher()
    matcher.add_instrument(2)
    trader.send(limit(1, BUY, 5, 100), limit(2, BUY, 5, 100), order(3, BUY, 5, None, trigger=110))
    matcher.set_market(INSTRUMENT, MarketRules(halted=True))
    matcher.check_invariants()
    assert told(trader.send(limit(4, BUY, 5, 100), market(5, BUY, 5), order(6, BUY, 5, 100, trigger=105))) == [
        "REJECTED 5 HALTED*", "REJECTED 6 HALTED*", "REJECTED 8 HALTED*",
    ]  # fmt: skip
    assert told(trader.send(replace(1, 4, 100), replace(1, 9, 101))) == ["REPLACE_REJECTED 1 HALTED*"] * 2
    assert told(trader.send(limit(4, BUY, 5, 100, instrument=2))) == ["NEW 11*"]
    assert told(trader.send(cancel(1), mass_cancel())) == [
        "CANCELED 1*", "CANCELED 2", "CANCELED 4", "CANCELED 11", "MASS_CANCELED 0*",
    ]  # fmt: skip
    matcher.set_market(INSTRUMENT, MarketRules())
    assert told(trader.send(limit(4, BUY, 5, 100))) == ["NEW 14*"]


@pytest.mark.parametrize(
    ("record", "allowed"),
    [
        (limit(1, BUY, 5, 95), True),
        (limit(1, SELL, 5, 105), True),
        (limit(1, BUY, 5, 94), False),
        (limit(1, SELL, 5, 106), False),
        (order(1, BUY, 5, 100, trigger=106), False),
        (order(1, BUY, 5, None, trigger=106), False),
        (order(1, SELL, 5, None, trigger=95), True),
        (market(1, BUY, 5), True),
    ],
)
def test_prices_and_triggers_beyond_the_limits_are_rejected(record: bytes, allowed: bool) -> None:
    matcher, trader, _ = new_matcher()
    matcher.set_market(INSTRUMENT, MarketRules(low=95, high=105))
    accepted = [report for report in trader.send(record) if report.exec_type.name == "NEW"]
    assert bool(accepted) == allowed
    assert told(trader.send(limit(9, BUY, 1, 94))) == [f"REJECTED {trader.next_sequence - 1} PRICE_LIMIT*"]


def test_a_replace_beyond_the_limits_leaves_the_order_as_it_was() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, BUY, 5, 100), order(2, BUY, 5, 100, trigger=101))
    matcher.set_market(INSTRUMENT, MarketRules(low=98, high=105))
    assert told(trader.send(replace(1, 5, 97), replace(2, 5, 106), replace(1, 0, 100))) == [
        "REPLACE_REJECTED 1 PRICE_LIMIT*", "REPLACE_REJECTED 3 PRICE_LIMIT*", "REPLACE_REJECTED 1 BAD_RECORD*",
    ]  # fmt: skip
    assert told(trader.send(replace(1, 5, 98), replace(2, 5, 105))) == ["REPLACED 1*", "REPLACED 3*"]
    matcher.check_invariants()


def test_orders_that_rest_beyond_new_limits_stay_and_the_hash_tells_rules_apart() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, SELL, 5, 110))
    before = matcher.state_hash()
    matcher.set_market(INSTRUMENT, MarketRules(high=105))
    assert matcher.state_hash() != before
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(110, 5, 1)]
    matcher.set_market(INSTRUMENT, MarketRules())
    assert (matcher.state_hash(), matcher.book(INSTRUMENT).rules) == (before, OPEN_MARKET)
    with pytest.raises(UnknownInstrument):
        matcher.set_market(99, OPEN_MARKET)
    assert told(other.send(limit(1, BUY, 5, 110)))[-1] == "TRADE 1 5@110 left 0*"


def test_an_order_whose_time_is_over_is_rejected() -> None:
    matcher, trader, _ = new_matcher()
    assert told(trader.send(order(1, BUY, 5, 100, tif=GTD, expiry_ns=77), now_ns=77)) == ["REJECTED 2 EXPIRED*"]
    assert told(trader.send(order(1, BUY, 5, 100, tif=GTD, expiry_ns=78), now_ns=77)) == ["NEW 4*"]
    matcher.set_market(INSTRUMENT, MarketRules(halted=True))
    assert told(trader.send(order(2, BUY, 5, 100, tif=GTD, expiry_ns=77), now_ns=77)) == ["REJECTED 6 EXPIRED*"]
