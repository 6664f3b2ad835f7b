"""Decimals become ticks and lots exactly or not at all, and instruments are what both ends think they are."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orderd.runtime.decimals import BadValue, DecimalError, Scale, ValueOutOfRange
from orderd.runtime.fields import FieldError
from orderd.runtime.instruments import INSTRUMENTS_MAX, Instrument, InstrumentTable
from orderd.wire.records import VALUE_MAX

AAPL = Instrument("AAPL", 1, "0.01", "1")
STEPS = ["0.01", "1", "100", "0.25", "0.000000001", "2.50", "5", "0.5", "1.0", "0.003"]
EXACT = Context(prec=100)


def scales() -> st.SearchStrategy[Scale]:
    return st.sampled_from(STEPS).map(lambda step: Scale("price", step))


@pytest.mark.parametrize(
    ("text", "ticks"),
    [
        (b"187.25", 18725),
        (b"187.2", 18720),
        (b"187", 18700),
        (b"0187.2500", 18725),
        (b"0.01", 1),
        (b"00.010", 1),
        (b"92233720368547758.07", VALUE_MAX),
    ],
)
def test_a_price_becomes_whole_ticks(text: bytes, ticks: int) -> None:
    assert AAPL.parse_price(text) == ticks
    assert AAPL.parse_price(text) == ticks, "and again, when it is remembered"


@pytest.mark.parametrize(
    "text",
    [
        *[b"187.253", b"0.001", b"1e3", b"1E3", b"nan", b"inf", b"+1", b"-1", b"", b" ", b" 1", b"1 ", b"1\n", b"1\0"],
        *[b".", b".5", b"5.", b"1.2.3", b"1,000", b"1_000", b"0x10", b"\xd9\xa1", b"\xff", "\u0661".encode(), b"1/2"],
        *[b"0" * 64 + b"1", b"1" * 100_000],
    ],
)
def test_what_is_no_price_is_refused_and_not_rounded(text: bytes) -> None:
    for _ in range(2):
        with pytest.raises(BadValue):
            AAPL.parse_price(text)


@pytest.mark.parametrize("text", [b"0", b"0.00", b"000", b"92233720368547758.08", b"9" * 40])
def test_zero_and_what_needs_more_than_63_bits_is_out_of_range(text: bytes) -> None:
    with pytest.raises(ValueOutOfRange):
        AAPL.parse_price(text)


def test_a_refusal_names_what_is_wrong_and_how() -> None:
    with pytest.raises(DecimalError, match=r'^price "187\.253" is not a multiple of 0\.01$'):
        AAPL.parse_price(b"187.253")
    with pytest.raises(DecimalError, match=r'^quantity "1\.5" is not a multiple of 1$'):
        AAPL.parse_quantity(b"1.5")
    with pytest.raises(DecimalError, match=r'^quantity "0" is not above zero$'):
        AAPL.parse_quantity(b"0")
    with pytest.raises(DecimalError, match=r'^price "1\?-ERR" is not a plain decimal'):
        AAPL.parse_price(b"1\n-ERR")


def test_a_quantity_must_be_whole_lots() -> None:
    board = Instrument("BOARD", 2, "0.25", "100")
    assert board.parse_quantity(b"2500") == 25
    assert board.parse_quantity(b"100.0") == 1
    assert board.parse_price(b"100.75") == 403
    for text in (b"50", b"250", b"100.5"):
        with pytest.raises(BadValue):
            board.parse_quantity(text)
    with pytest.raises(BadValue):
        board.parse_price(b"100.80")


def test_values_are_shown_with_as_many_decimals_as_the_step() -> None:
    assert AAPL.format_price(18725) == b"187.25"
    assert AAPL.format_price(18700) == b"187.00"
    assert AAPL.format_price(5) == b"0.05"
    assert AAPL.format_price(0) == b"0.00"
    assert AAPL.format_quantity(100) == b"100"
    assert Instrument("X", 1, "2.50", "0.5").format_price(3) == b"7.50"
    assert Instrument("X", 1, "2.50", "0.5").format_quantity(3) == b"1.5"


def test_an_average_is_rounded_half_even_to_four_decimals_more_than_the_tick() -> None:
    assert AAPL.format_average(0, 0) == b"0"
    assert AAPL.format_average(18725 * 100, 100) == b"187.250000"
    assert AAPL.format_average(18725 + 18726 + 18726, 3) == b"187.256667"
    whole = Instrument("X", 1, "1", "1")
    assert whole.format_average(1, 20_000) == b"0.0000", "0.00005 is half: to the even 0.0000"
    assert whole.format_average(3, 20_000) == b"0.0002", "0.00015 is half: to the even 0.0002"
    assert whole.format_average(30_001, 200_000_000) == b"0.0002", "more than half"


@given(scales(), st.integers(1, VALUE_MAX), st.integers(0, 5), st.integers(0, 5))
def test_what_was_formatted_parses_back(scale: Scale, steps: int, zeros_before: int, zeros_behind: int) -> None:
    text = scale.format(steps)
    assert Decimal(text.decode()) == EXACT.multiply(Decimal(scale.step), steps)
    assert scale.format(steps) == text
    behind = b"0" * zeros_behind if b"." in text else b""
    assert scale.parse(b"0" * zeros_before + text + behind) == steps


@given(scales(), st.from_regex(rb"[0-9]{1,22}(\.[0-9]{1,12})?", fullmatch=True))
@example(Scale("price", "0.25"), b"9223372036854775807.1")
def test_a_decimal_is_accepted_when_and_only_when_it_is_whole_steps(scale: Scale, text: bytes) -> None:
    steps = EXACT.divide(Decimal(text.decode()), Decimal(scale.step))
    if steps == steps.to_integral_value() and 1 <= steps <= VALUE_MAX:
        assert scale.parse(text) == steps
    else:
        with pytest.raises(DecimalError):
            scale.parse(text)


@given(scales(), st.binary(max_size=70))
def test_any_bytes_give_a_value_or_the_one_kind_of_error(scale: Scale, text: bytes) -> None:
    try:
        steps = scale.parse(text)
    except DecimalError as error:
        text_shown = str(error)
    else:
        text_shown = ""
        assert 1 <= steps <= VALUE_MAX
    assert text_shown.isprintable()


@given(scales(), st.lists(st.tuples(st.integers(1, 2**40), st.integers(1, 2**40)), min_size=1, max_size=9))
def test_an_average_is_what_exact_arithmetic_says(scale: Scale, fills: list[tuple[int, int]]) -> None:
    total, count = sum(price * lots for price, lots in fills), sum(lots for _, lots in fills)
    exact = EXACT.divide(EXACT.multiply(Decimal(scale.step), total), count)
    unit = Decimal(1).scaleb(-scale.decimals - 4)
    assert scale.format_average(total, count) == f"{exact.quantize(unit, ROUND_HALF_EVEN, EXACT):f}".encode()


def test_memory_of_a_scale_is_bounded() -> None:
    scale = Scale("price", "0.01")
    for steps in range(1, 20_001):
        assert scale.parse(scale.format(steps)) == steps
    assert len(scale._parsed) <= 8192
    assert len(scale._formatted) <= 8192


@pytest.mark.parametrize(
    "step", ["0", "0.00", "-1", "+1", "1e-2", "", " 1", "1 ", ".5", "5.", "0.0000000001", "nan", "1,0", "\u0661", "1\n"]
)
def test_a_step_that_is_no_positive_plain_decimal_is_refused(step: str) -> None:
    with pytest.raises(FieldError, match="^tick = .*: must be a positive decimal with at most 9 decimals"):
        Instrument("X", 1, step, "1")
    with pytest.raises(FieldError, match="^lot = "):
        Instrument("X", 1, "1", step)


@pytest.mark.parametrize("symbol", ["", "A B", "A,B", "x" * 33, "\u00c4", "A\n", "\x7f", "A\t"])
def test_a_symbol_must_be_printable_ascii_without_space_and_comma(symbol: str) -> None:
    with pytest.raises(FieldError, match="^symbol = "):
        Instrument(symbol, 1, "1", "1")


def test_symbols_of_every_allowed_character_are_accepted() -> None:
    allowed = "".join(chr(c) for c in range(33, 127) if chr(c) != ",")
    for start in range(0, len(allowed), 32):
        Instrument(allowed[start : start + 32], 1, "1", "1")


@pytest.mark.parametrize("number", [0, -1, 2**32])
def test_an_id_must_fit_the_record(number: int) -> None:
    with pytest.raises(FieldError, match="^id = "):
        Instrument("A", number, "1", "1")


def test_a_table_finds_instruments_by_id_and_by_symbol_in_its_case() -> None:
    lower = Instrument("aapl", 2**32 - 1, "1", "1")
    table = InstrumentTable([AAPL, lower])
    assert table.by_id[1] is table.by_symbol[b"AAPL"] is AAPL
    assert table.by_id[2**32 - 1] is table.by_symbol[b"aapl"] is lower
    assert b"Aapl" not in table.by_symbol
    assert list(table) == [AAPL, lower]
    assert len(table) == 2


def test_a_table_refuses_the_same_id_or_symbol_twice_and_says_where() -> None:
    with pytest.raises(FieldError, match=r"^instrument\[1\]\.id = 1: "):
        InstrumentTable([AAPL, Instrument("B", 1, "1", "1")])
    with pytest.raises(FieldError, match=r'^instrument\[1\]\.symbol = "AAPL": '):
        InstrumentTable([AAPL, Instrument("AAPL", 2, "1", "1")])


def test_a_table_has_a_limit() -> None:
    instruments = [Instrument(f"S{i}", i, "0.01", "1") for i in range(1, INSTRUMENTS_MAX + 2)]
    assert len(InstrumentTable(instruments[:-1])) == INSTRUMENTS_MAX
    with pytest.raises(FieldError, match="^instrument = 5001: "):
        InstrumentTable(instruments)


def test_digests_differ_where_the_instruments_do_and_never_change() -> None:
    table = InstrumentTable([AAPL])
    assert table.digest(1) == AAPL.digest == Instrument("AAPL", 1, "0.01", "1").digest
    assert table.digest(1).hex() == "2a23f0189af2be9c"
    others = [
        Instrument("AAPL", 2, "0.01", "1"),
        Instrument("AAPM", 1, "0.01", "1"),
        Instrument("AAPL", 1, "0.1", "1"),
        Instrument("AAPL", 1, "0.01", "10"),
    ]
    assert len({AAPL.digest, *(other.digest for other in others)}) == 5
    with pytest.raises(KeyError):
        table.digest(2)
