"""Files of orders as records: what fits, what does not, and that nothing but InputError comes out of any bytes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.batch_file import COLUMNS, FORMATS, Parsed, parse
from orderd.ctl.errors import InputError
from orderd.runtime.instruments import Instrument
from orderd.wire.records import RECORD, Attribute, Kind, Side, TimeInForce, mass_flags, new_flags

INSTRUMENTS = {"AAPL": Instrument("AAPL", 1, "0.01", "1"), "ES": Instrument("ES", 3, "0.25", "0.1")}


def parsed(text: str, format_: str = "csv") -> Parsed:
    return parse("f", text.encode(), format_, INSTRUMENTS)


def refusal(text: str, format_: str = "csv") -> str:
    with pytest.raises(InputError) as caught:
        parsed(text, format_)
    assert caught.value.exit_code == 2
    return str(caught.value)


def limit(side: Side, time_in_force: TimeInForce = TimeInForce.DAY) -> int:
    return new_flags(side, market=False, time_in_force=time_in_force)


def test_csv_becomes_records() -> None:
    found = parsed(
        "number, symbol, side, type, quantity, price, tif, account, kind\n"
        "7,AAPL,buy,LIMIT,100,187.25,gtc,9,NEW\n"
        "8,ES,SELL,,2.5,4000.25,,,\n"
        "\n"
        "9,ES,SELL,MARKET,1,,IOC,,\n"
        "7,AAPL,,,,,,,CANCEL\n"
        "8,ES,,,3,4000.5,,,REPLACE\n"
        "8,ES,,,3,4000.5,,,replace_open\n"
    )
    market = new_flags(Side.SELL, market=True, time_in_force=TimeInForce.IOC)
    assert list(RECORD.iter_unpack(found.records)) == [
        (7, 18725, 100, 1, 9, Kind.NEW, limit(Side.BUY, TimeInForce.GTC)),
        (8, 16001, 25, 3, 0, Kind.NEW, limit(Side.SELL)),
        (9, 0, 10, 3, 0, Kind.NEW, market),
        (7, 0, 0, 1, 0, Kind.CANCEL, 0),
        (8, 16002, 30, 3, 0, Kind.REPLACE, 0),
        (8, 16002, 30, 3, 0, Kind.REPLACE_OPEN, 0),
    ]
    assert found.lines == [2, 3, 5, 6, 7, 8]
    assert found.unnumbered == []


EVERYTHING = (
    "number,symbol,side,quantity,price,post_only,stp,gtd,stop,display,min_qty\n"
    "7,AAPL,BUY,100,1.00,yes,cancel_both,,,10,\n"
    ",ES,SELL,100,1.00,,,2031-11-23T17:00:00.5Z,,2.5,\n"
    "9,AAPL,SELL,100,,no,,1795453200000,0.98,,\n"
    ",AAPL,SELL,100,,,,,,,60\n"
)


def test_what_an_order_says_beyond_its_record_stands_before_it() -> None:
    found = parsed(EVERYTHING)
    day, gtd = TimeInForce.DAY, TimeInForce.GTD
    assert list(RECORD.iter_unpack(found.numbered(50))) == [
        (7, 0, 10, 1, 0, Kind.EXTENSION, Attribute.DISPLAY),
        (7, 100, 100, 1, 0, Kind.NEW, limit(Side.BUY) | 0b1110_0000),
        (50, 0, 25, 3, 0, Kind.EXTENSION, Attribute.DISPLAY),
        (50, 0, 1_953_219_600_500_000_000, 3, 0, Kind.EXTENSION, Attribute.EXPIRY),
        (50, 4, 1000, 3, 0, Kind.NEW, limit(Side.SELL, gtd)),
        (9, 98, 0, 1, 0, Kind.EXTENSION, Attribute.TRIGGER),
        (9, 0, 1_795_453_200_000_000_000, 1, 0, Kind.EXTENSION, Attribute.EXPIRY),
        (9, 0, 100, 1, 0, Kind.NEW, new_flags(Side.SELL, market=True, time_in_force=gtd)),
        (51, 0, 60, 1, 0, Kind.EXTENSION, Attribute.MINIMUM),
        (51, 0, 100, 1, 0, Kind.NEW, new_flags(Side.SELL, market=True, time_in_force=day)),
    ]
    assert (found.lines, found.unnumbered, found.orders) == ([2, 2, 3, 3, 3, 4, 4, 4, 5, 5], [4, 9], 4)
    found.check(found.numbered(50), INSTRUMENTS)


@pytest.mark.parametrize(
    ("size", "cuts"), [(1, [0, 2, 5, 8, 10]), (4, [0, 2, 5, 8, 10]), (5, [0, 5, 10]), (9, [0, 8, 10])]
)
def test_an_order_is_never_cut_off_its_extensions(size: int, cuts: list[int]) -> None:
    assert parsed(EVERYTHING).cuts(size) == cuts


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("post_only", "maybe", "post_only 'maybe' must be YES, NO"),
        ("stp", "ME", "stp 'ME' must be NONE, CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH"),
        ("gtd", "tomorrow", "gtd 'tomorrow' must be a time such as"),
        ("stop", "0.001", 'price "0.001" is not a multiple of 0.01'),
        ("display", "11", "display '11' is above the order's quantity"),
        ("min_qty", "0", 'quantity "0" is not above zero'),
        ("tif", "GTD", "TIF GTD needs the time when the order expires"),
    ],
)
def test_an_option_that_does_not_fit_is_named(column: str, value: str, why: str) -> None:
    assert refusal(f"symbol,side,quantity,price,{column}\nAAPL,BUY,10,1,{value}\n").startswith(f"f: line 2: {why}")


def test_options_that_contradict_each_other_are_named() -> None:
    text = refusal("symbol,side,quantity,price,post_only,tif\nAAPL,BUY,10,1,YES,IOC\n")
    assert text.startswith("f: line 2: POSTONLY does not go with TIF IOC")
    assert refusal("symbol,side,quantity,number,kind,stop\nAAPL,,,1,CANCEL,1\n") == "f: line 2: a CANCEL has no stop"
    found = parsed('{"symbol": "AAPL", "side": "BUY", "quantity": 1, "price": 1, "post_only": true}', "jsonl")
    assert RECORD.unpack(found.records)[6] == 0b0010_0000


def test_a_mass_cancel_is_for_what_it_names() -> None:
    found = parsed("kind,symbol,side,account\nMASS_CANCEL,,,\nMASS_CANCEL,ES,SELL,9\nMASS_CANCEL,,BUY,0\n")
    assert list(RECORD.iter_unpack(found.records)) == [
        (0, 0, 0, 0, 0, Kind.MASS_CANCEL, 0),
        (0, 0, 0, 3, 9, Kind.MASS_CANCEL, mass_flags(Side.SELL, instrument=True, account=True)),
        (0, 0, 0, 0, 0, Kind.MASS_CANCEL, mass_flags(Side.BUY, instrument=False, account=True)),
    ]
    assert found.unnumbered == []
    found.check(found.records, INSTRUMENTS)


def test_numbers_in_json_are_taken_as_they_are_written() -> None:
    found = parsed(
        '{"number": 7, "symbol": "AAPL", "side": "BUY", "quantity": 100, "price": 0.1}\n'
        '{"number": "8", "symbol": "AAPL", "side": "BUY", "quantity": "1", "price": "92233720368547758.07"}\n',
        "jsonl",
    )
    assert [record[:3] for record in RECORD.iter_unpack(found.records)] == [(7, 10, 100), (8, 2**63 - 1, 1)]


def test_new_orders_without_a_number_get_the_ones_that_were_reserved() -> None:
    found = parsed("symbol,side,quantity,number\nAAPL,BUY,1,\nAAPL,BUY,1,5\nAAPL,SELL,1,\n")
    assert found.unnumbered == [0, 2]
    assert [record[0] for record in RECORD.iter_unpack(found.numbered(1000))] == [1000, 5, 1001]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("1,,BUY,1,1,,,", "line 3: a symbol is missing"),
        ("1,XYZ,BUY,1,1,,,", "line 3: symbol 'XYZ' is not an instrument of the daemon"),
        ("1,AAPL,,1,1,,,", "line 3: a side is missing"),
        ("1,AAPL,HOLD,1,1,,,", "line 3: side 'HOLD' must be BUY, SELL"),
        ("1,AAPL,BUY,,1,,,", "line 3: a quantity is missing"),
        ("1,AAPL,BUY,1,1.005,,,", 'line 3: price "1.005" is not a multiple of 0.01'),
        ("1,AAPL,BUY,1,1e3,,,", 'line 3: price "1e3" is not a plain decimal such as 0.01'),
        ("1,AAPL,BUY,0,1,,,", "line 3: quantity "),
        ("1,AAPL,BUY,1,1,SOON,,", "line 3: tif 'SOON' must be DAY, GTC, IOC, FOK"),
        ("1,AAPL,BUY,1,1,,65536,", "line 3: account '65536' must be a whole number from 0 to 65535"),
        ("-1,AAPL,BUY,1,1,,,", "line 3: number '-1' must be a whole number"),
        ("9223372036854775808,AAPL,BUY,1,1,,,", "line 3: number "),
        ("1,AAPL,BUY,1,1,,,DELETE", "line 3: kind 'DELETE' must be NEW, CANCEL, REPLACE, REPLACE_OPEN, MASS_CANCEL"),
        (",AAPL,,,,,,CANCEL", "line 3: a CANCEL needs the number of an order"),
        ("1,AAPL,BUY,,,,,CANCEL", "line 3: a CANCEL has no side"),
        ("1,AAPL,,1,,,,REPLACE", "line 3: a price is missing"),
        ("1,AAPL,BUY,1,1,,", "line 3: 7 values for 8 columns"),
    ],
)
def test_a_row_that_does_not_fit_is_named_by_its_line(row: str, why: str) -> None:
    text = f"number,symbol,side,quantity,price,tif,account,kind\n1,AAPL,BUY,1,1,,,\n{row}\n"
    assert refusal(text).startswith(f"f: {why}")


def test_types_and_prices_must_agree() -> None:
    header = "symbol,side,quantity,type,price\n"
    assert refusal(f"{header}AAPL,BUY,1,LIMIT,\n") == "f: line 2: a LIMIT order needs a price"
    assert refusal(f"{header}AAPL,BUY,1,MARKET,1\n") == "f: line 2: a MARKET order has no price"
    assert "must be LIMIT or MARKET" in refusal(f"{header}AAPL,BUY,1,STOP,1\n")


def test_unknown_columns_and_files_without_orders_are_refused() -> None:
    assert refusal("symbol,colour\n").startswith("f: line 1: there is no column 'colour'; there are kind, number")
    assert refusal("symbol,symbol\n") == "f: line 1: a column comes twice"
    assert refusal('{"symbol": "AAPL", "id": 4}', "jsonl").startswith("f: line 1: there is no column 'id'")
    for text in ("", "symbol,side\n", "\n\n"):
        assert refusal(text) == "f: no orders are in it"
    assert refusal("", "jsonl") == "f: no orders are in it"


@pytest.mark.parametrize("text", ["[1]", "{", '{"symbol": 1}x', '{"symbol": ["AAPL"]}', '{"symbol": true}', "\udcff"])
def test_what_is_no_object_of_strings_and_numbers_is_refused(text: str) -> None:
    good = '{"number": 1, "symbol": "AAPL", "side": "BUY", "quantity": 1}\n'
    with pytest.raises(InputError, match="^f: line 2: "):
        parse("f", (good + text).encode("utf-8", "surrogateescape"), "jsonl", INSTRUMENTS)


def test_raw_records_are_taken_as_they_are() -> None:
    data = RECORD.pack(5, 100, 1, 1, 0, Kind.NEW, 0) * 2
    found = parse("f", data, "records", INSTRUMENTS)
    assert (found.records, found.count, found.place(1)) == (data, 2, "f: record 2")
    with pytest.raises(InputError, match="not a whole number of records"):
        parse("f", data[:-1], "records", INSTRUMENTS)
    with pytest.raises(InputError, match="not a whole number of records"):
        parse("f", b"", "records", INSTRUMENTS)


def test_what_the_daemon_would_refuse_is_found_before_anything_is_sent() -> None:
    found = parsed("symbol,side,quantity,price,number\nAAPL,BUY,1,1,4\n\nAAPL,BUY,1,1,4\n")
    with pytest.raises(InputError) as caught:
        found.check(found.records, INSTRUMENTS)
    assert str(caught.value).startswith("f: line 4: its number is repeated")
    data = RECORD.pack(5, 0, 1, 1, 0, Kind.NEW, 0)
    with pytest.raises(InputError, match="^f: record 1: its price must be above 0"):
        parse("f", data, "records", INSTRUMENTS).check(data, INSTRUMENTS)


def test_an_error_of_a_later_batch_names_the_line_in_the_file() -> None:
    found = parsed("symbol,side,quantity\n" + "AAPL,BUY,1\n" * 9)
    assert found.explain("DUPLICATE record 2: number 900 is known", 4) == "DUPLICATE f: line 8: number 900 is known"
    assert found.explain("FULL too much") == "FULL too much"
    assert found.explain("BADORDER record 99: its kind", 4) == "BADORDER record 99: its kind"


CELLS = st.one_of(
    st.sampled_from(
        ["AAPL", "ES", "BUY", "SELL", "NEW", "CANCEL", "1", "0.25", "GTC", "GTD", "YES", "1795453200000", ""]
    ),
    st.text(),
)


@given(data=st.binary(max_size=200), format_=st.sampled_from(FORMATS))
def test_any_bytes_are_records_or_an_error_of_one_kind(data: bytes, format_: str) -> None:
    try:
        found = parse("f", data, format_, INSTRUMENTS)
    except InputError:
        return
    assert len(found.records) == 32 * found.count


@given(rows=st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS), min_size=1, max_size=5))
def test_any_row_is_a_record_or_an_error_of_one_kind(rows: list[dict[str, str]]) -> None:
    try:
        found = parsed("\n".join(json.dumps(row) for row in rows), "jsonl")
        found.check(found.numbered(10**12), INSTRUMENTS)
    except InputError:
        return
    assert found.orders <= len(rows)
