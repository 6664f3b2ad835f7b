"""Orders as records: exactly what ORDER.NEW would say, or a ValueError."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.client import NewOrder, arrays, records
from orderd.client.replies import Instrument
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    FLAG_SELL,
    RECORD,
    STP_SHIFT,
    TIF_SHIFT,
    Attribute,
    Kind,
    SelfTradePrevention,
    TimeInForce,
)

AAPL = Instrument("AAPL", 1, Decimal("0.01"), Decimal(1))
ES = Instrument("ES", 3, Decimal("0.25"), Decimal("0.5"))
TABLE = {"AAPL": AAPL, "ES": ES}


def unpacked(data: bytes) -> list[tuple[Any, ...]]:
    return list(RECORD.iter_unpack(data))


def test_orders_are_numbered_in_their_order_in_whole_ticks_and_lots() -> None:
    orders = [NewOrder("AAPL", "BUY", 100, "187.25"), NewOrder("ES", "sell", "1.5", Decimal("4500.5"), account=7)]
    assert unpacked(records.batch_records(orders, TABLE, 50)) == [
        (50, 18725, 100, 1, 0, Kind.NEW, 0),
        (51, 18002, 3, 3, 7, Kind.NEW, FLAG_SELL),
    ]


def test_what_an_order_says_beyond_its_record_stands_before_it_ascending() -> None:
    at = datetime(2026, 11, 23, 17, 0, 0, 1, UTC)
    order = NewOrder("AAPL", "BUY", 100, "10", gtd=at, stop="9.99", display=5, min_qty=6, stp="CANCEL_BOTH")
    *more, new = unpacked(records.new_record(order, TABLE, 8))
    gtd_ns = int(at.timestamp()) * 10**9 + 1000
    assert [(record[6], record[1] or record[2]) for record in more] == [
        (Attribute.TRIGGER, 999),
        (Attribute.DISPLAY, 5),
        (Attribute.MINIMUM, 6),
        (Attribute.EXPIRY, gtd_ns),
    ]
    assert {(record[0], record[3], record[4], record[5]) for record in more} == {(8, 1, 0, Kind.EXTENSION)}
    assert new[6] == TimeInForce.GTD << TIF_SHIFT | SelfTradePrevention.CANCEL_BOTH << STP_SHIFT


def test_times_of_all_kinds_are_the_same_time() -> None:
    found = {
        records.new_record(NewOrder("AAPL", "BUY", 1, 1, gtd=gtd), TABLE, 1)
        for gtd in (
            datetime(2026, 11, 23, 17, tzinfo=UTC),
            "2026-11-23T17:00:00Z",
            "2026-11-23T18:00:00+01:00",
            1_795_453_200_000,
            "1795453200000",
        )
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"price": "187.255"}, "price"),
        ({"quantity": 0}, "quantity"),
        ({"symbol": "NONE"}, "symbol"),
        ({"side": "UP"}, "UP"),
        ({"tif": "NEVER"}, "NEVER"),
        ({"account": 65536}, "account"),
        ({"cl_ord_id": "mine"}, "cl_ord_id"),
        ({"mode": "batch"}, "mode"),
        ({"max_age_ms": 5}, "max_age_ms"),
        ({"gtd": "tomorrow"}, "tomorrow"),
        ({"gtd": "2026-11-23T17:00:00"}, "zone"),
    ],
)
def test_what_no_record_can_hold_is_refused_with_the_order_named(change: dict[str, Any], named: str) -> None:
    order = NewOrder(**{"symbol": "AAPL", "side": "BUY", "quantity": 1, "price": 1, **change})
    with pytest.raises(ValueError, match=f"order 1: .*{named}"):
        records.batch_records([NewOrder("AAPL", "BUY", 1, 1), order], TABLE, 1)


def test_a_float_is_never_a_price() -> None:
    with pytest.raises(TypeError, match="price"):
        records.ticks(187.25, AAPL)


@given(st.integers(1, 10**12), st.sampled_from([AAPL, ES]))
def test_ticks_and_prices_are_the_same_thing(count: int, instrument: Instrument) -> None:
    assert records.ticks(records.price_of(count, instrument), instrument) == count


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=20),
    st.sampled_from(["DAY", "GTC", "IOC", "FOK"]),
    st.booleans(),
)
def test_arrays_and_orders_make_the_same_records(rows: list[tuple[bool, int, int]], tif: str, post_only: bool) -> None:
    sells, lots, ticks = (np.array(column) for column in zip(*rows, strict=True))
    numbers = np.arange(7, 7 + len(rows))
    found = arrays.new_records(ES, numbers, sells, lots, ticks, tif=tif, account=4, post_only=post_only)
    orders = [
        NewOrder(
            "ES",
            "SELL" if sell else "BUY",
            lot * ES.lot,
            tick * ES.tick,
            tif=tif,
            account=4,
            post_only=post_only,
        )
        for sell, lot, tick in rows
    ]
    assert found == records.batch_records(orders, TABLE, 7)


def test_cancels_and_replaces_name_number_and_instrument() -> None:
    numbers = np.array([5, 6])
    assert arrays.cancel_records(ES, numbers) == records.cancel_record(5, 3) + records.cancel_record(6, 3)
    replaced = records.replace_record(5, 3, 2, 100, is_open=True) + records.replace_record(6, 3, 2, 101, is_open=True)
    assert arrays.replace_records(ES, numbers, 2, np.array([100, 101]), is_open=True) == replaced


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((np.array([1]), np.array([True]), np.array([1]), np.array([1.0])), TypeError),
        ((np.array([1]), np.array([1]), np.array([1]), np.array([1])), TypeError),
        ((np.array([1]), np.array([True]), np.array([-1]), np.array([1])), ValueError),
        ((np.array([-1]), np.array([True]), np.array([1]), np.array([1])), ValueError),
        ((np.array([1, 2]), np.array([True] * 3), np.array([1]), np.array([1])), ValueError),
    ],
)
def test_arrays_of_floats_or_impossible_numbers_are_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        arrays.new_records(AAPL, *arguments)
    with pytest.raises(ValueError, match="GTD"):
        arrays.new_records(AAPL, 1, [True], 1, 1, tif="GTD")


def test_a_market_order_has_no_price() -> None:
    (record,) = unpacked(records.new_record(NewOrder("AAPL", "SELL", 3, tif="FOK"), TABLE, 1))
    assert record[1] == 0 and record[6] == FLAG_SELL | FLAG_MARKET | TimeInForce.FOK << TIF_SHIFT
    (record,) = unpacked(records.new_record(NewOrder("AAPL", "SELL", 3, 1, post_only=True), TABLE, 1))
    assert record[6] & FLAG_POST_ONLY
