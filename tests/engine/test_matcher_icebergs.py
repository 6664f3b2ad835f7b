"""Icebergs: what shows trades first, and a new slice goes to the back."""

import pytest

from orderd.wire.records import DISPLAY_SLICES_MAX, TimeInForce
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    limit,
    market,
    new_matcher,
    order,
    replace,
    told,
    trades,
)


def test_a_new_slice_loses_priority_and_leaves_tell_the_whole() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(order(1, SELL, 10, 100, display=3), limit(2, SELL, 2, 100))
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 5, 2)]
    assert taker.send(market(1, BUY, 9))[-1].final
    assert told(maker.read()) == [
        "TRADE 2 3@100 left 7 0", "TRADE 3 2@100 left 0 0", "TRADE 2 3@100 left 4 0", "TRADE 2 1@100 left 3 0",
    ]  # fmt: skip
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 2, 1)]
    matcher.check_invariants()


def test_a_slice_that_is_left_is_shorter_only_at_the_end() -> None:
    _, maker, taker = new_matcher()
    maker.send(order(1, SELL, 7, 100, display=3))
    taker.send(market(1, BUY, 100))
    assert trades(maker.read()) == [(1, 3, 100), (1, 3, 100), (1, 1, 100)]
    assert not maker.session.live


def test_several_icebergs_take_turns() -> None:
    _, maker, taker = new_matcher()
    maker.send(order(1, SELL, 4, 100, display=2), order(2, SELL, 6, 100, display=2))
    taker.send(market(1, BUY, 9))
    assert trades(maker.read()) == [(1, 2, 100), (2, 2, 100), (1, 2, 100), (2, 2, 100), (2, 1, 100)]


def test_as_a_taker_it_trades_its_whole_quantity_and_shows_a_slice_of_the_rest() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 6, 100))
    assert told(taker.send(order(1, BUY, 10, 100, display=3))) == ["NEW 2", "TRADE 2 6@100 left 4*"]
    assert matcher.book(INSTRUMENT).depth(1) == ([(100, 3, 1)], [])
    matcher.check_invariants()


def test_less_quantity_at_the_same_price_keeps_priority_and_hides_less_first() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(order(1, SELL, 10, 100, display=3), limit(2, SELL, 2, 100))
    assert maker.send(replace(1, 5, 100))[0].leaves_qty == 5
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 5, 2)]
    maker.send(replace(1, 2, 100))
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 4, 2)]
    matcher.check_invariants()
    taker.send(market(1, BUY, 3))
    assert trades(maker.read()) == [(1, 2, 100), (2, 1, 100)]


@pytest.mark.parametrize(
    "record", [replace(1, 11, 100), replace(1, 10, 101), replace(1, 9, 101), replace(1, 10, 100, open_quantity=True)]
)
def test_any_other_replace_makes_the_slice_anew_at_the_back(record: bytes) -> None:
    matcher, maker, taker = new_matcher()
    maker.send(order(1, SELL, 10, 100, display=3))
    taker.send(market(1, BUY, 1))
    maker.send(limit(2, SELL, 2, 100), limit(3, SELL, 2, 101), record)
    order_ = maker.session.live[1]
    assert order_.extras is not None
    assert (order_.open, order_.leaves) == (3, order_.extras.hidden + 3)
    assert order_.level.tail is order_
    matcher.check_invariants()


def test_it_cannot_have_more_slices_than_it_may() -> None:
    _, maker, _ = new_matcher()
    assert told(maker.send(order(1, SELL, DISPLAY_SLICES_MAX, 100, display=1))) == ["NEW 2*"]
    assert told(maker.send(replace(1, DISPLAY_SLICES_MAX + 1, 100))) == ["REPLACE_REJECTED 2 BAD_RECORD*"]
    assert told(maker.send(order(2, SELL, DISPLAY_SLICES_MAX + 1, 100, display=1))) == ["REJECTED 5 BAD_RECORD*"]


def test_one_that_hides_nothing_more_is_like_a_plain_order() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(order(1, SELL, 3, 100, display=3, tif=TimeInForce.GTC))
    taker.send(market(1, BUY, 1))
    assert maker.send(replace(1, 2, 100))[-1].leaves_qty == 1
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 1, 1)]
    matcher.check_invariants()
