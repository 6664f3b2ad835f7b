"""A mass cancel takes exactly the orders that it names, oldest first, and counts them; a large one goes in steps."""

import pytest

from engine import mass_cancel as module
from engine.matcher import Matcher
from orderd.wire.records import RECORD, Kind, Side
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import BUY, SELL, Trader, limit, mass_cancel, outline


def order(number: int, side: Side, price: int, *, instrument: int = 1, account: int = 0) -> bytes:
    return RECORD.pack(number, price, 5, instrument, account, Kind.NEW, side)


def desk() -> tuple[Matcher, Trader, Trader]:
    """Six orders of one session in two instruments and for two accounts, and one of another session."""
    matcher = Matcher([1, 2])
    trader, other = Trader(matcher, 11), Trader(matcher, 22)
    trader.send(
        order(1, BUY, 100),
        order(2, SELL, 110),
        order(3, BUY, 99, account=7),
        order(4, SELL, 111, account=7),
        order(5, BUY, 100, instrument=2),
        order(6, SELL, 110, instrument=2, account=7),
    )
    other.send(order(1, BUY, 100, account=7))
    other.read()
    return matcher, trader, other


@pytest.mark.parametrize(
    ("record", "cancelled"),
    [
        (mass_cancel(), [1, 2, 3, 4, 5, 6]),
        (mass_cancel(BUY), [1, 3, 5]),
        (mass_cancel(SELL), [2, 4, 6]),
        (mass_cancel(instrument=1), [1, 2, 3, 4]),
        (mass_cancel(instrument=2), [5, 6]),
        (mass_cancel(instrument=99), []),
        (mass_cancel(account=7), [3, 4, 6]),
        (mass_cancel(account=0), [1, 2, 5]),
        (mass_cancel(account=9), []),
        (mass_cancel(BUY, account=7), [3]),
        (mass_cancel(SELL, instrument=1), [2, 4]),
        (mass_cancel(SELL, instrument=2, account=7), [6]),
        (mass_cancel(BUY, instrument=2, account=7), []),
    ],
)
def test_it_takes_the_orders_that_it_names_oldest_first_and_counts_them(record: bytes, cancelled: list[int]) -> None:
    matcher, trader, other = desk()
    *each, last = trader.send(record)
    assert outline(each) == [("CANCELED", sequence, False) for sequence in cancelled]
    assert all((r.input, r.status, r.reason, r.leaves_qty) == (7, OrderStatus.CANCELED, 0, 0) for r in each)
    assert (last.exec_type, last.order, last.input, last.final) == (ExecType.MASS_CANCELED, 0, 7, True)
    assert (last.cum_qty, last.number) == (len(cancelled), 0)
    assert sorted(trader.session.live) == sorted({1, 2, 3, 4, 5, 6} - set(cancelled))
    assert list(other.session.live) == [1]
    assert not other.read()
    matcher.check_invariants()


def test_it_finds_orders_as_replaces_and_fills_left_them() -> None:
    _, trader, other = desk()
    other.send(order(2, SELL, 100))
    trader.send(RECORD.pack(3, 98, 4, 1, 0, Kind.REPLACE, 0))
    trader.read()
    reports = trader.send(mass_cancel(BUY, instrument=1))
    assert [(r.order, r.cum_qty) for r in reports] == [(3, 0), (0, 1)]


@pytest.mark.parametrize(
    "record",
    [
        RECORD.pack(0, 1, 0, 0, 0, Kind.MASS_CANCEL, 0),
        RECORD.pack(0, 0, 1, 0, 0, Kind.MASS_CANCEL, 0),
        RECORD.pack(0, 0, 0, 1, 0, Kind.MASS_CANCEL, 0b1011),
        RECORD.pack(0, 0, 0, 0, 7, Kind.MASS_CANCEL, 0b0110),
        RECORD.pack(0, 0, 0, 0, 0, Kind.MASS_CANCEL, 0b0001),
        RECORD.pack(0, 0, 0, 0, 0, Kind.MASS_CANCEL, 0b1_0000),
        RECORD.pack(0, 0, 0, 0, 0, Kind.MASS_CANCEL, 0b1000_0000),
    ],
)
def test_one_that_uses_what_its_flags_leave_out_is_rejected_and_cancels_nothing(record: bytes) -> None:
    _, trader, _ = desk()
    (report,) = trader.send(record)
    assert (report.exec_type, report.reason, report.final) == (ExecType.REJECTED, Reason.BAD_RECORD, True)
    assert len(trader.session.live) == 6


def test_a_large_one_comes_in_steps_with_the_reports_that_it_has_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_STEP", 7)
    monkeypatch.setattr(module, "CANCEL_STEP", 5)
    at_once, slowly = Matcher([1]), Matcher([1])
    orders = b"".join(limit(number, BUY, 1, 100 + number % 9) for number in range(1, 41))
    data = orders + mass_cancel() + mass_cancel(SELL) + limit(1, BUY, 1, 100) + mass_cancel()
    one, two = Trader(at_once, 11), Trader(slowly, 11)
    at_once.apply(one.session, 1, data, 5)
    steps = list(slowly.apply_in_steps(two.session, 1, memoryview(data), 5))
    assert len(steps) >= 40 // 7 + 40 // 5 + 3
    assert one.log.read(1, 2**60) == two.log.read(1, 2**60)
    assert at_once.state_hash() == slowly.state_hash()
    assert [r.cum_qty for r in one.read() if r.exec_type is ExecType.MASS_CANCELED] == [40, 0, 1]


def test_all_of_a_session_are_cancelled_in_steps_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCAN_STEP", 7)
    monkeypatch.setattr(module, "CANCEL_STEP", 5)
    matcher, trader, other = desk()
    trader.send(*(limit(number, BUY, 1, 100 - number % 9) for number in range(11, 45)))
    trader.read()
    matcher.touched.clear()
    steps = list(matcher.cancel_session(trader.session, Reason.REPORTS_FULL, 9))
    assert len(steps) == 40 // 7 + 40 // 5
    reports = trader.read()
    assert [r.number for r in reports] == [*range(1, 7), *range(11, 45)]
    assert {(r.exec_type, r.reason, r.input, r.final) for r in reports} == {
        (ExecType.CANCELED, Reason.REPORTS_FULL, 0, False)
    }
    assert (list(matcher.touched), trader.session.live) == ([trader.session], {})
    assert (list(other.session.live), other.read()) == ([1], [])
    matcher.touched.clear()
    assert list(matcher.cancel_session(trader.session, Reason.REPORTS_FULL, 9)) == []
    assert not matcher.touched
    matcher.check_invariants()
