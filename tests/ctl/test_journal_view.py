"""What orderd's journal entries say: any bytes of a record give fields or the one error of entries."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.journal_view import APPLICATION, SHOWN_MAX, Continuity, Decoder, kind_name, text
from orderd.orders.ages import AgeMark
from orderd.orders.entries import (
    BatchMark,
    EntryError,
    EntryKind,
    InstrumentEntry,
    Orders,
    ReportsEntry,
    Reserve,
    Start,
    TradingEntry,
)
from orderd.orders.trading import TradingState
from orderd.wire.extensions import numbered, pack
from orderd.wire.records import RECORD, Attribute, Kind, SelfTradePrevention, Side, TimeInForce, new_flags
from orderd.wire.reports import FLAG_FINAL, RANGE, ExecType, OrderStatus, Report, encode_full


def orders(first: int, count: int) -> Orders:
    records = b"".join(RECORD.pack(50 + i, 12_345, 7, 1, 3, Kind.NEW, 0) for i in range(count))
    return Orders(first, 10**18 + 5, records, [(0, b"a1")], [])


def new_reports(first: int, order: int, count: int) -> ReportsEntry:
    return ReportsEntry(first, 0, RANGE.pack(ExecType.NEW, FLAG_FINAL, 0, count, order, 1))


def test_orders_have_the_decimals_of_the_instruments_before_them() -> None:
    decoder = Decoder(APPLICATION)
    before = decoder.fields(*orders(1, 1).encode())["orders"][0]
    assert (before["instrument"], before["price"], before["quantity"]) == (1, "12345", "7")
    decoder.learn(*InstrumentEntry(1, b"digest..", "AAPL 0.01 0.1").encode())
    after = decoder.fields(*orders(2, 1).encode())["orders"][0]
    assert (after["instrument"], after["price"], after["quantity"], after["account"]) == ("AAPL", "123.45", "0.7", 3)


def test_all_orders_are_in_the_fields_and_a_few_in_the_line() -> None:
    found = Decoder(APPLICATION).fields(*orders(1, 10).encode())
    assert [order["order_id"] for order in found["orders"]] == list(range(1, 11))
    line = text(found)
    assert line.startswith("first=1  intake_time=2001-09-09T01:46:40.000000005Z  orders=10 (NEW a1 1 50 BUY 7 1 12345 ")
    assert line.endswith(f"and {10 - SHOWN_MAX} more)")


def test_what_an_order_says_beyond_its_record_is_shown_before_it() -> None:
    values = [(Attribute.TRIGGER, 150), (Attribute.MINIMUM, 3), (Attribute.EXPIRY, 10**18)]
    flags = new_flags(
        Side.SELL,
        market=False,
        time_in_force=TimeInForce.GTD,
        post_only=True,
        self_trade=SelfTradePrevention.CANCEL_BOTH,
    )
    records = numbered(pack(1, values), 9) + RECORD.pack(9, 151, 5, 1, 0, Kind.NEW, flags)
    found = Decoder(APPLICATION).fields(*Orders(1, 1, records, [], []).encode())
    trigger, minimum, expiry, order = found["orders"]
    head = {"kind": "EXTENSION", "number": 9, "instrument": 1}
    assert trigger == {**head, "order_id": 1, "attribute": "TRIGGER", "price": "150"}
    assert minimum == {**head, "order_id": 2, "attribute": "MINIMUM", "quantity": "3"}
    assert expiry == {**head, "order_id": 3, "attribute": "EXPIRY", "expire_time": "2001-09-09T01:46:40Z"}
    assert (order["tif"], order["post_only"], order["stp"]) == ("GTD", True, "CANCEL_BOTH")
    assert "EXTENSION EXPIRY 3 9 1 2001-09-09T01:46:40Z, NEW 4 9 SELL" in text(found)
    assert text(found).endswith("LIMIT GTD post_only CANCEL_BOTH)")


def test_batches_and_ages_are_shown_with_their_orders() -> None:
    records = orders(5, 3).records
    entry = Orders(5, 1, records, [], [BatchMark(1, 2, bytes(16), b"b-1")], [AgeMark(0, 250, 1)])
    found = Decoder(APPLICATION).fields(*entry.encode())
    assert found["batches"] == [{"batch_id": "b-1", "first_order_id": 6, "orders": 2, "digest": "00" * 16}]
    assert [order.get("max_age_ms") for order in found["orders"]] == [250, None, None]


def test_a_run_of_accepted_orders_stays_one() -> None:
    fill = Report(8, ExecType.TRADE, 3, 4, True, 1, status=OrderStatus.FILLED, last_qty=2, last_px=100, trade_id=9)
    accepted = new_reports(5, 2, 3)
    entry = ReportsEntry(5, 1, accepted.items + encode_full(fill))
    found = Decoder(APPLICATION).fields(*entry.encode())
    assert found["path"] == "udp"
    assert found["reports"] == [
        {"report": 5, "exec_type": "NEW", "order_id": 2, "count": 3},
        {
            "report": 8,
            "exec_type": "TRADE",
            "order_id": 3,
            "input": 4,
            "last_lots": 2,
            "last_ticks": 100,
            "trade_id": 9,
        },
    ]
    assert text(found) == "first=5  path=udp  reports=2 (NEW 2 3, TRADE 3 2 100)"


def test_what_is_not_orderds_is_shown_as_bytes() -> None:
    assert Decoder(b"engine").fields(4, b"\x01\xff") == {"bytes": "01ff"}
    assert (kind_name(b"engine", 4), kind_name(APPLICATION, 4), kind_name(APPLICATION, 99)) == ("4", "ORDERS", "99")
    assert text({"bytes": "ab" * 100}) == f"{'ab' * 32}..."


def test_a_line_is_one_line_whatever_is_in_it() -> None:
    found = Decoder(APPLICATION).fields(*TradingEntry(TradingState.HALTED, 10**18, "o\n\x1bps").encode())
    assert text(found) == "state=HALTED  time=2001-09-09T01:46:40.000000000Z  by=o\\n\\x1bps"


def test_a_gap_is_told_once() -> None:
    continuity = Continuity()
    assert continuity.take(*orders(1, 2).encode()) == range(1, 3)
    with pytest.raises(EntryError, match="order 4 follows 2"):
        continuity.take(*orders(4, 1).encode())
    assert continuity.take(*orders(5, 1).encode()) == range(5, 6)
    with pytest.raises(EntryError, match="report 2 follows 0"):
        continuity.take(*new_reports(2, 1, 3).encode())
    continuity.take(*new_reports(5, 4, 1).encode())
    continuity.take(*Start(3, 1).encode())
    with pytest.raises(EntryError, match="epoch 3 follows 3"):
        continuity.take(*Start(3, 2).encode())


def test_behind_damage_anything_may_come_next() -> None:
    continuity = Continuity()
    continuity.skip()
    continuity.take(*orders(40, 1).encode())
    continuity.take(*new_reports(70, 1, 1).encode())
    continuity.take(*Reserve(5).encode())
    with pytest.raises(EntryError):
        continuity.take(*orders(42, 1).encode())


@given(kind=st.one_of(st.sampled_from(EntryKind), st.integers(0, 255)), payload=st.binary(max_size=200))
def test_any_bytes_are_fields_or_the_error_of_entries(kind: int, payload: bytes) -> None:
    try:
        found = Decoder(APPLICATION).fields(kind, payload)
    except EntryError:
        return
    json.dumps(found)
    assert "\n" not in text(found)


@given(data=st.data())
def test_changed_entries_are_fields_or_the_error_of_entries(data: st.DataObject) -> None:
    instrument = InstrumentEntry(1, bytes(8), "A 0.01 1")
    encoded = [orders(1, 3).encode(), new_reports(1, 1, 3).encode(), instrument.encode()]
    kind, payload = data.draw(st.sampled_from(encoded))
    changed = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    decoder = Decoder(APPLICATION)
    for take in (decoder.fields, decoder.learn, Continuity().take):
        with contextlib.suppress(EntryError):
            take(kind, bytes(changed))
