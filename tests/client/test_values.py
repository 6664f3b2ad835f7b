"""What orders say becomes exactly the words that orderd reads."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.client import values
from orderd.client.values import NewOrder, number_text, order_words, time_text
from orderd.wire import records, reports


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("187.250"), "187.250"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-7"), "0.0000001"),
        (100, "100"),
        (np.int64(7), "7"),
        ("187.25", "187.25"),
    ],
)
def test_a_number_travels_as_plain_decimal_text(value: Any, text: str) -> None:
    assert number_text(value, "price") == text


@pytest.mark.parametrize("value", [187.25, np.float64(1), 1.0, True, None, [1], 1j])
def test_a_float_is_never_a_price(value: Any) -> None:
    with pytest.raises(TypeError, match="price"):
        number_text(value, "price")
    wrong: Any = 1.5 if value is None else value
    with pytest.raises(TypeError, match="stop"):
        list(order_words(NewOrder("AAPL", "BUY", 1, 1, stop=wrong), "a"))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_decimal_is_lost(value: Decimal) -> None:
    text = number_text(value, "price")
    assert Decimal(text) == value
    assert "E" not in text.upper()


def test_times_are_exact_and_have_a_zone() -> None:
    at = datetime(2026, 11, 23, 18, 0, 0, 250_000, timezone(timedelta(hours=1)))
    assert time_text(at) == "2026-11-23T17:00:00.250000Z"
    assert time_text(datetime(2026, 11, 23, 17, tzinfo=UTC)) == "2026-11-23T17:00:00Z"
    assert time_text(1_795_377_191_745) == "1795377191745"
    with pytest.raises(ValueError, match="zone"):
        time_text(datetime(2026, 11, 23, 17))  # noqa: DTZ001
    with pytest.raises(TypeError):
        time_text(1.5)


def test_an_order_says_all_that_it_was_given_and_nothing_else() -> None:
    assert list(order_words(NewOrder("AAPL", "SELL", 100), "a")) == ["ORDER.NEW", "a", "AAPL", "SELL", "100", "MARKET"]
    order = NewOrder(
        "ES",
        values.Side.BUY,
        Decimal(7),
        "4500.25",
        account=9,
        post_only=True,
        stp="CANCEL_OLDEST",
        gtd=5000,
        display=2,
        max_age_ms=250,
        mode="batch",
    )
    said = "ORDER.NEW b ES BUY 7 LIMIT 4500.25 ACCOUNT 9 POSTONLY STP CANCEL_OLDEST GTD 5000 DISPLAY 2 MAXAGE 250 MODE "
    assert " ".join(order_words(order, "b")) == said + "batch"
    stop = NewOrder("ES", "BUY", 7, "10", tif="GTC", stop="9.75", min_qty=3)
    assert " ".join(order_words(stop, "c")) == "ORDER.NEW c ES BUY 7 LIMIT 10 TIF GTC STOP 9.75 MINQTY 3"


def test_the_words_are_those_of_the_wire() -> None:
    assert list(values.Side) == [side.name for side in records.Side]
    assert list(values.TimeInForce) == [tif.name for tif in records.TimeInForce]
    assert list(values.SelfTradePrevention) == [stp.name for stp in records.SelfTradePrevention]
    assert set(values.Status) == {status.name for status in reports.OrderStatus}
    hidden = {"VOIDED", "MASS_CANCELED", "EXTENDED"}
    assert set(values.ExecType) == {exec_type.name for exec_type in reports.ExecType} - hidden
    assert all(status == str(status) for status in values.Status)
