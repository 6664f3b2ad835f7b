"""The options of ORDER.NEW: each contradiction has its error, and what fits says in records what the words say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.intake import order_options
from orderd.intake.options_documentation import section
from orderd.orders.errors import BadOrder
from orderd.orders.modes import Mode
from orderd.runtime.instruments import Instrument
from orderd.runtime.timestamps import format_time_ns
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT, bit, values_of
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    STP_SHIFT,
    TIF_SHIFT,
    Attribute,
    SelfTradePrevention,
    TimeInForce,
)
from tests.support.scale import examples

AAPL = Instrument("AAPL", 1, "0.01", "1")
SOON = b"2031-11-23T17:00:00Z"


def parsed(*words: bytes, market: bool = False, quantity: int = 100) -> order_options.OrderOptions:
    return order_options.parse(list(words), AAPL, quantity, FLAG_MARKET if market else 0, Mode.SYNC)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((b"GTD", SOON, b"TIF", b"IOC"), "GTD does not go with TIF IOC: an order has one time in force"),
        ((b"TIF", b"DAY", b"GTD", SOON), "GTD does not go with TIF DAY: an order has one time in force"),
        ((b"TIF", b"GTD"), "TIF GTD needs the time when the order expires: GTD time"),
        ((b"POSTONLY", b"TIF", b"IOC"), "POSTONLY does not go with TIF IOC: what must not trade at once could"),
        ((b"TIF", b"FOK", b"POSTONLY"), "POSTONLY does not go with TIF FOK: "),
        ((b"POSTONLY", b"STOP", b"1"), "POSTONLY does not go with STOP: a triggered order is there to trade"),
        ((b"MINQTY", b"1", b"POSTONLY"), "POSTONLY does not go with MINQTY: "),
        ((b"DISPLAY", b"1", b"TIF", b"IOC"), "DISPLAY does not go with TIF IOC: it never rests"),
        ((b"DISPLAY", b"1", b"TIF", b"FOK"), "DISPLAY does not go with TIF FOK: it never rests"),
        ((b"MINQTY", b"1", b"TIF", b"FOK"), "MINQTY does not go with TIF FOK: all of it is filled, or nothing"),
        ((b"MINQTY", b"1", b"STOP", b"1"), "MINQTY does not go with STOP: it does not trade at once"),
        ((b"STOP", b"1", b"TIF", b"IOC"), "STOP does not go with TIF IOC: a stop order waits for its trigger"),
        ((b"STOP", b"1", b"TIF", b"FOK"), "STOP does not go with TIF FOK: a stop order waits for its trigger"),
        ((b"DISPLAY", b"101"), "DISPLAY '101' is above the order's quantity"),
        ((b"MINQTY", b"101"), "MINQTY '101' is above the order's quantity"),
        ((b"DISPLAY", b"0"), 'DISPLAY quantity "0" is not above zero'),
        ((b"STOP", b"1.001"), 'STOP price "1.001" is not a multiple of 0.01'),
        ((b"STOP", b"0"), 'STOP price "0" is not above zero'),
        ((b"STOP",), "option STOP needs a value"),
        ((b"POSTONLY", b"POSTONLY"), "option POSTONLY is there twice"),
        ((b"STP", b"CANCEL"), "STP 'CANCEL' must be NONE, CANCEL_NEWEST, CANCEL_OLDEST or CANCEL_BOTH"),
        ((b"GTD", b"2031-11-23"), "GTD '2031-11-23' must be a time such as 2026-11-23T17:00:00Z, with a zone, or"),
        ((b"GTD", b"2031-13-23T17:00:00Z"), "GTD '2031-13-23T17:00:00Z' is no day and time that exist"),
        ((b"GTD", b"0"), "GTD '0' must be after 1970"),
        ((b"GTD", b"\xff"), r"GTD '\xff' must be a time such as"),
    ],
)
def test_what_does_not_go_together_or_fit_is_named(words: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(BadOrder) as caught:
        parsed(*words)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((b"POSTONLY",), "MARKET does not go with POSTONLY: a market order never rests"),
        ((b"DISPLAY", b"1"), "MARKET does not go with DISPLAY: a market order never rests"),
        ((b"TIF", b"GTC"), "MARKET takes TIF DAY, IOC or FOK, not GTC"),
        ((b"GTD", SOON), "MARKET takes TIF DAY, IOC or FOK, not GTD"),
        ((b"STOP", b"1", b"DISPLAY", b"1"), "MARKET does not go with DISPLAY: a market order never rests"),
    ],
)
def test_what_a_market_order_does_not_take_is_named(words: tuple[bytes, ...], why: str) -> None:
    with pytest.raises(BadOrder) as caught:
        parsed(*words, market=True)
    assert str(caught.value) == why


def test_an_iceberg_has_a_hundred_slices_at_most() -> None:
    assert values_of(parsed(b"DISPLAY", b"1", quantity=100)[4]) == {Attribute.DISPLAY: 1}
    with pytest.raises(BadOrder, match="DISPLAY '1' is less than the order's quantity divided by 100"):
        parsed(b"DISPLAY", b"1", quantity=101)


def test_quantities_equal_to_the_orders_and_a_stop_market_for_longer_than_a_day_fit() -> None:
    assert values_of(parsed(b"DISPLAY", b"100", b"MINQTY", b"100")[4]) == {
        Attribute.DISPLAY: 100,
        Attribute.MINIMUM: 100,
    }
    for time in ((b"TIF", b"GTC"), (b"GTD", SOON), (b"TIF", b"GTD", b"GTD", SOON)):
        assert parsed(b"STOP", b"1", *time, market=True)[2] & FLAG_MARKET


TIMES = st.one_of(st.none(), st.sampled_from(TimeInForce))
LOTS = st.one_of(st.none(), st.integers(1, 10))


@settings(max_examples=examples(300))
@given(
    time_in_force=TIMES, post_only=st.booleans(), self_trade=st.sampled_from(SelfTradePrevention), market=st.booleans(),
    account=st.integers(0, 65535), trigger=LOTS, display=LOTS, minimum=LOTS,
    expiry=st.one_of(st.none(), st.integers(1, 2**63 - 1)), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_words_become_the_flags_and_extensions_that_say_the_same(
    time_in_force: TimeInForce | None, post_only: bool, self_trade: SelfTradePrevention, market: bool, account: int,
    trigger: int | None, display: int | None, minimum: int | None, expiry: int | None, order: object,
) -> None:  # fmt: skip
    options: list[tuple[bytes, ...]] = [(b"stp", self_trade.name.lower().encode()), (b"ACCOUNT", b"%d" % account)]
    said: dict[Attribute, int] = {}
    if time_in_force is not None:
        options.append((b"TIF", time_in_force.name.encode()))
    if post_only:
        options.append((b"PostOnly",))
    if trigger is not None:
        options.append((b"STOP", b"%d.%02d" % divmod(trigger, 100)))
        said[Attribute.TRIGGER] = trigger
    for name, attribute, lots in ((b"DISPLAY", Attribute.DISPLAY, display), (b"MINQTY", Attribute.MINIMUM, minimum)):
        if lots is not None:
            options.append((name, b"%d" % lots))
            said[attribute] = lots
    if expiry is not None:
        options.append((b"GTD", format_time_ns(expiry).encode()))
        said[Attribute.EXPIRY] = expiry
    order.shuffle(options)  # type: ignore[attr-defined]
    times = TimeInForce.DAY if time_in_force is None else time_in_force
    times = TimeInForce.GTD if time_in_force is None and expiry is not None else times
    flags = (FLAG_MARKET if market else 0) | times << TIF_SHIFT | self_trade << STP_SHIFT
    flags |= FLAG_POST_ONLY if post_only else 0
    words = [word for option in options for word in option]
    why = CONTRADICTIONS[sum(map(bit, said)) << MASK_SHIFT | flags]
    if why:
        with pytest.raises(BadOrder) as caught:
            parsed(*words, market=market, quantity=10)
        assert str(caught.value) == why
        return
    mode, got_account, got_flags, maxage_ms, extensions = parsed(*words, market=market, quantity=10)
    assert (mode, got_account, got_flags, maxage_ms) == (Mode.SYNC, account, flags, 0)
    assert values_of(extensions) == said


def test_the_document_shows_what_the_table_decides() -> None:
    text = section()
    assert "| `TIF GTC` | yes | no | yes | yes |\n" in text
    assert "| `POSTONLY` | not with `TIF IOC`, `TIF FOK`, `MINQTY` | no | no | no |\n" in text
    assert "| `MINQTY` | not with `TIF FOK`, `POSTONLY` | not with `TIF FOK` | no | no |\n" in text
    for option in order_options.ARGUMENTS:
        assert f"| `{option.decode()}" in text
