"""Each word of a command: what it may be, and what is said when it may not."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.intake import words
from orderd.orders.errors import BadOrder
from orderd.orders.modes import Mode
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.records import Side, TimeInForce
from tests.support.site import INSTRUMENTS

AAPL, BTC = INSTRUMENTS


def test_words_in_any_case() -> None:
    assert [words.side(w) for w in (b"BUY", b"buy", b"Sell")] == [Side.BUY, Side.BUY, Side.SELL]
    assert [words.mode(w) for w in (b"SYNC", b"Batch", b"fire-and-forget")] == list(Mode)
    assert [words.time_in_force(w) for w in (b"day", b"gTc", b"IOC", b"fok")] == list(TimeInForce)[:4]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"187.253", 'price "187.253" is not a multiple of 0.01'),
        (b"1e3", 'price "1e3" is not a plain decimal such as 0.01'),
        (b"nan", 'price "nan" is not a plain decimal such as 0.01'),
        (b"-1", 'price "-1" is not a plain decimal such as 0.01'),
        (b"", 'price "" is not a plain decimal such as 0.01'),
        (b"0.00", 'price "0.00" is not above zero'),
        (b"92233720368547758.08", 'price "92233720368547758.08" is beyond 9223372036854775807 steps of 0.01'),
    ],
)
def test_a_price_that_does_not_fit_is_named(text: bytes, problem: str) -> None:
    with pytest.raises(BadOrder) as caught:
        words.price(text, AAPL)
    assert str(caught.value) == problem


def test_prices_and_quantities_are_steps() -> None:
    assert words.price(b"187.25", AAPL) == 18725
    assert words.price(b"92233720368547758.07", AAPL) == 2**63 - 1
    assert words.quantity(b"0.010", BTC) == 10
    with pytest.raises(BadOrder, match="quantity"):
        words.quantity(b"0.0001", BTC)


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        (b"", "ms '' must be a whole number from 5 to 10"),
        (b"4", "ms '4' must be"),
        (b"11", "ms '11' must be"),
        (b"+7", "ms '+7' must be"),
        (b"7.0", "ms '7.0' must be"),
        (b"9" * 50, "ms '" + "9" * 40 + "...' must be"),
        ("\u0667".encode(), r"ms '\xd9\xa7' must be"),
    ],
)
def test_an_integer_out_of_bounds_is_named(word: bytes, problem: str) -> None:
    with pytest.raises(BadOrder) as caught:
        words.integer(word, "ms", 5, 10)
    assert str(caught.value).startswith(problem)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_value_or_bad(word: bytes) -> None:
    table = InstrumentTable(INSTRUMENTS)
    readers: list[Callable[[bytes], object]] = [
        words.cl_ord_id, words.side, words.mode, words.time_in_force, lambda w: words.price(w, AAPL),
        lambda w: words.quantity(w, BTC), lambda w: words.instrument(w, table), lambda w: words.integer(w, "n", 0, 9),
    ]  # fmt: skip
    for read in readers:
        with contextlib.suppress(BadOrder):
            read(word)


ARGUMENTS = {b"TIF": 1, b"OPEN": 0}
LATER = frozenset({b"POSTONLY"})


def test_options_in_any_order_and_case() -> None:
    assert list(words.options([b"open", b"Tif", b"day"], ARGUMENTS, LATER)) == [(b"OPEN", b""), (b"TIF", b"day")]
    assert list(words.options([], ARGUMENTS, LATER)) == []


@pytest.mark.parametrize(
    ("given_words", "problem"),
    [
        ([b"postonly", b"5"], "POSTONLY is not supported"),
        ([b"SPEED", b"5"], "option 'SPEED' does not exist here"),
        ([b"OPEN", b"open"], "option OPEN is there twice"),
        ([b"OPEN", b"TIF"], "option TIF needs a value"),
        ([b"TIF", b"DAY", b"5"], "option '5' does not exist here"),
    ],
)
def test_options_that_do_not_fit_are_named(given_words: list[bytes], problem: str) -> None:
    with pytest.raises(BadOrder) as caught:
        list(words.options(given_words, ARGUMENTS, LATER))
    assert str(caught.value) == problem
