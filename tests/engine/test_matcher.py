"""What the matcher tells, what it refuses, and how sessions and books stand side by side."""

import gc

import pytest

from engine.matcher import Matcher, UnknownInstrument
from orderd.link.report_log import ReportLog
from orderd.wire.records import RECORD, RECORD_BYTES, VALUE_MAX, Kind, TimeInForce
from orderd.wire.reports import RANGE_BYTES, ExecType, OrderStatus, Reason
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    cancel,
    limit,
    market,
    mass_cancel,
    new_matcher,
    outline,
    replace,
)

IOC, FOK = TimeInForce.IOC, TimeInForce.FOK
VOID = bytes(RECORD_BYTES)


def test_consecutive_resting_orders_are_one_range_item_per_call() -> None:
    _, trader, _ = new_matcher()
    reports = trader.send(*(limit(number, BUY, 1, 100 - number) for number in range(1, 51)), now_ns=77)
    assert outline(reports) == [("NEW", sequence, True) for sequence in range(1, 51)]
    assert {report.transact_time_ns for report in reports} == {77}
    _, items, data = trader.log.read(1, 2**20)
    assert (items, len(data)) == (1, RANGE_BYTES)


def test_a_run_is_told_before_the_report_that_ends_it() -> None:
    _, trader, _ = new_matcher()
    reports = trader.send(limit(1, BUY, 1, 99), limit(2, BUY, 1, 98), cancel(1), limit(3, BUY, 1, 97), VOID)
    assert outline(reports) == [
        ("NEW", 1, True), ("NEW", 2, True), ("CANCELED", 1, True), ("NEW", 4, True), ("VOIDED", 5, True),
    ]  # fmt: skip
    assert [report.input for report in reports] == [1, 2, 3, 4, 5]


def test_both_sides_of_a_trade_are_told_with_one_trade_id_maker_first() -> None:
    matcher, trader, _ = new_matcher()
    trader.send(limit(1, SELL, 5, 101))
    reports = trader.send(limit(2, BUY, 8, 101))
    assert outline(reports) == [("NEW", 2, False), ("TRADE", 1, False), ("TRADE", 2, True)]
    maker, taker = reports[1:]
    assert (maker.taker, maker.sell, maker.input, maker.status) == (False, True, 2, OrderStatus.FILLED)
    assert (taker.taker, taker.sell, taker.input, taker.status) == (True, False, 2, OrderStatus.PARTIALLY_FILLED)
    assert (maker.trade_id, taker.trade_id, matcher.next_trade_id) == (1, 1, 2)
    assert (maker.cum_qty, maker.leaves_qty, taker.cum_qty, taker.leaves_qty) == (5, 0, 5, 3)
    assert not matcher.touched


def test_a_maker_of_another_session_is_told_in_its_own_log_with_no_input() -> None:
    matcher, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 5, 101), limit(2, SELL, 5, 101))
    taker.send(limit(1, BUY, 7, 101))
    reports = maker.read()
    assert [(r.exec_type, r.order, r.input, r.final, r.trade_id) for r in reports] == [
        (ExecType.TRADE, 1, 0, False, 1),
        (ExecType.TRADE, 2, 0, False, 2),
    ]
    assert list(matcher.touched) == [maker.session]


def test_an_immediate_order_that_fills_whole_ends_with_its_last_trade() -> None:
    _, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 5, 101), limit(2, SELL, 5, 102))
    reports = taker.send(limit(1, BUY, 10, 102, IOC))
    assert outline(reports) == [("NEW", 1, False), ("TRADE", 1, False), ("TRADE", 1, True)]
    assert reports[-1].status is OrderStatus.FILLED


@pytest.mark.parametrize("record", [limit(2, BUY, 9, 101, FOK), market(2, BUY, 19, FOK)])
def test_fill_or_kill_that_cannot_fill_whole_does_nothing(record: bytes) -> None:
    matcher, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 8, 101), limit(2, SELL, 8, 102))
    reports = taker.send(record)
    assert outline(reports) == [("NEW", 1, False), ("CANCELED", 1, True)]
    assert (reports[1].reason, reports[1].cum_qty, reports[1].leaves_qty) == (Reason.FOK, 0, 0)
    assert matcher.book(INSTRUMENT).depth(5) == ([], [(101, 8, 1), (102, 8, 1)])
    assert maker.session not in matcher.touched


@pytest.mark.parametrize("record", [limit(2, BUY, 16, 102, FOK), market(2, BUY, 16, FOK)])
def test_fill_or_kill_that_fits_exactly_fills_whole(record: bytes) -> None:
    _, maker, taker = new_matcher()
    maker.send(limit(1, SELL, 8, 101), limit(2, SELL, 8, 102))
    reports = taker.send(record)
    assert outline(reports) == [("NEW", 1, False), ("TRADE", 1, False), ("TRADE", 1, True)]


def test_immediate_orders_against_an_empty_book_are_accepted_and_cancelled() -> None:
    _, trader, _ = new_matcher()
    reasons = []
    for record in (limit(1, BUY, 1, 100, IOC), limit(1, BUY, 1, 100, FOK), market(1, SELL, 1), market(1, BUY, 1, FOK)):
        new, canceled = trader.send(record)
        assert (new.exec_type, new.final, canceled.exec_type) == (ExecType.NEW, False, ExecType.CANCELED)
        reasons.append(canceled.reason)
    assert reasons == [Reason.IOC, Reason.FOK, Reason.NO_LIQUIDITY, Reason.FOK]


# Records that are refused.


def new(
    price: int = 100, quantity: int = 1, instrument: int = INSTRUMENT, flags: int = 0, kind: int = Kind.NEW
) -> bytes:
    return RECORD.pack(5, price, quantity, instrument, 3, kind, flags)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (new(instrument=99), Reason.UNKNOWN_INSTRUMENT),
        (new(quantity=0), Reason.BAD_RECORD),
        (new(quantity=VALUE_MAX + 1), Reason.BAD_RECORD),
        (new(price=0), Reason.BAD_RECORD),
        (new(price=-1), Reason.BAD_RECORD),
        (new(price=1, flags=0b10), Reason.BAD_RECORD),
        (new(price=0, flags=0b0110), Reason.BAD_RECORD),
        (new(price=0, flags=0b10010), Reason.BAD_RECORD),
        (new(flags=5 << 2), Reason.BAD_RECORD),
        (new(flags=7 << 2), Reason.BAD_RECORD),
        (new(kind=7), Reason.BAD_RECORD),
        (new(kind=255), Reason.BAD_RECORD),
        (new(flags=TimeInForce.GTD << 2), Reason.BAD_RECORD),
        (new(kind=Kind.MASS_CANCEL), Reason.BAD_RECORD),
    ],
)
def test_a_record_that_cannot_be_executed_is_rejected_and_the_next_one_goes_on(record: bytes, reason: Reason) -> None:
    matcher, trader, _ = new_matcher()
    rejected, accepted = trader.send(record, limit(5, BUY, 1, 100))
    assert (rejected.exec_type, rejected.reason) == (ExecType.REJECTED, reason)
    assert (rejected.order, rejected.input, rejected.final) == (1, 1, True)
    assert (rejected.number, rejected.account, rejected.status) == (5, 3, OrderStatus.REJECTED)
    assert (rejected.cum_qty, rejected.leaves_qty) == (0, 0)
    assert outline([accepted]) == [("NEW", 2, True)]
    matcher.check_invariants()


def test_a_void_uses_its_sequence_up() -> None:
    _, trader, _ = new_matcher()
    (report,) = trader.send(new(kind=Kind.VOID, flags=1))
    assert (report.exec_type, report.order, report.input, report.final) == (ExecType.VOIDED, 1, 1, True)
    assert (report.number, report.instrument, report.account, report.sell) == (5, INSTRUMENT, 3, True)


# Sessions and books.


def test_cancelling_a_session_cancels_all_of_its_orders_oldest_first_and_no_other() -> None:
    matcher, trader, other = new_matcher()
    trader.send(limit(1, BUY, 5, 100), limit(2, SELL, 5, 105), limit(3, BUY, 5, 99), replace(1, 5, 98))
    other.send(limit(1, BUY, 5, 100))
    trader.read()
    assert list(matcher.cancel_session(trader.session, Reason.REPORTS_FULL, 9)) == []
    reports = trader.read()
    assert outline(reports) == [("CANCELED", 1, False), ("CANCELED", 2, False), ("CANCELED", 3, False)]
    assert {(r.input, r.reason, r.leaves_qty, r.transact_time_ns) for r in reports} == {(0, Reason.REPORTS_FULL, 0, 9)}
    assert matcher.book(INSTRUMENT).depth(5) == ([(100, 5, 1)], [])
    assert list(matcher.touched) == [trader.session]
    matcher.close_session(trader.session)
    assert not matcher.touched
    matcher.check_invariants()


def test_instruments_have_books_of_their_own() -> None:
    matcher, trader, _ = new_matcher()
    matcher.add_instrument(2)
    trader.send(limit(1, BUY, 5, 100), limit(2, SELL, 5, 100, instrument=2))
    assert matcher.book(1).depth(5) == ([(100, 5, 1)], [])
    assert matcher.book(2).depth(5) == ([], [(100, 5, 1)])
    matcher.add_instrument(1)
    assert matcher.book(1).depth(5) == ([(100, 5, 1)], [])
    with pytest.raises(UnknownInstrument):
        matcher.book(3)


def test_state_hash_tells_states_apart() -> None:
    def state(*records: bytes) -> bytes:
        matcher, trader, _ = new_matcher()
        trader.send(*records)
        return matcher.state_hash()

    rests = state(limit(1, BUY, 5, 100))
    assert rests == state(limit(1, BUY, 5, 100))
    hashes = {rests, state(), state(limit(1, BUY, 5, 101)), state(limit(1, BUY, 5, 100), cancel(1)), state(VOID)}
    assert len(hashes) == 5


def test_nothing_that_is_done_waits_for_the_cycle_collector() -> None:
    matcher, maker, taker = new_matcher()
    gc.collect()
    gc.disable()
    try:
        for round_ in range(3):
            maker.send(*(limit(number, SELL, 5, 100 + number % 3) for number in range(1, 10)))
            maker.send(cancel(4), cancel(5), replace(6, 5, 110), replace(7, 6, 100))
            maker.send(mass_cancel(SELL, instrument=2), mass_cancel(account=1))
            taker.send(limit(1, BUY, 12, 103, IOC), market(2, BUY, 100), limit(3, BUY, 1, 90 + round_), cancel(3))
        assert not maker.session.live
        assert gc.collect() == 0
    finally:
        gc.enable()
    matcher.check_invariants()


def test_an_empty_group_does_nothing() -> None:
    matcher = Matcher([1])
    log = ReportLog()
    matcher.apply(matcher.open_session(1, log), 1, b"", 1)
    assert len(log) == 0
