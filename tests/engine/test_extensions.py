"""What extension records say reaches the order that follows, and nothing else."""

import pytest

from orderd.wire.records import RECORD, Attribute, Kind, TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    cancel,
    extension,
    limit,
    mass_cancel,
    new_matcher,
    order,
    outline,
    told,
)

TRIGGER, DISPLAY, MINIMUM, EXPIRY = Attribute
GTD = TimeInForce.GTD


def test_each_extension_has_one_final_report_of_its_own() -> None:
    _, trader, _ = new_matcher()
    reports = trader.send(order(5, SELL, 10, 100, trigger=90, display=4))
    assert outline(reports) == [("EXTENDED", 0, True), ("EXTENDED", 0, True), ("NEW", 3, True)]
    assert [report.input for report in reports] == [1, 2, 3]
    first = reports[0]
    assert (first.number, first.instrument, first.account, first.status) == (5, INSTRUMENT, 0, OrderStatus.NEW)
    assert (first.cum_qty, first.leaves_qty, first.sell, first.reason) == (0, 0, False, Reason.NONE)


def test_it_waits_for_its_order_across_calls() -> None:
    matcher, trader, _ = new_matcher()
    same, other = new_matcher(), new_matcher()
    trader.send(extension(5, DISPLAY, 4))
    same[1].send(extension(5, DISPLAY, 4))
    other[1].send(extension(5, DISPLAY, 3))
    assert same[0].state_hash() == matcher.state_hash() != other[0].state_hash()
    trader.send(limit(5, SELL, 10, 100))
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 4, 1)]
    assert trader.session.extension is None


@pytest.mark.parametrize(
    "between",
    [
        cancel(5),
        limit(6, SELL, 1, 200),
        mass_cancel(),
        RECORD.pack(5, 100, 10, INSTRUMENT, 0, Kind.VOID, 1),
        RECORD.pack(5, 100, 10, INSTRUMENT, 0, 9, 1),
        extension(6, DISPLAY, 1),
        extension(5, DISPLAY, 1, instrument=2),
    ],
)
def test_any_record_but_its_order_drops_it(between: bytes) -> None:
    matcher, trader, _ = new_matcher()
    matcher.add_instrument(2)
    trader.send(extension(5, DISPLAY, 4), between)
    trader.send(limit(5, SELL, 10, 100))
    assert matcher.book(INSTRUMENT).depth(1)[1] == [(100, 10, 1)]


def test_an_order_with_another_number_or_instrument_is_plain() -> None:
    matcher, trader, _ = new_matcher()
    matcher.add_instrument(2)
    trader.send(extension(5, DISPLAY, 4), limit(6, SELL, 10, 100))
    trader.send(extension(5, DISPLAY, 4), limit(5, SELL, 10, 100, instrument=2))
    assert matcher.book(INSTRUMENT).depth(1)[1] == matcher.book(2).depth(1)[1] == [(100, 10, 1)]


def test_those_of_sessions_do_not_mix() -> None:
    matcher, trader, other = new_matcher()
    trader.send(extension(5, DISPLAY, 4))
    other.send(limit(5, SELL, 10, 101))
    trader.send(limit(5, SELL, 10, 100))
    assert matcher.book(INSTRUMENT).depth(2)[1] == [(100, 4, 1), (101, 10, 1)]


@pytest.mark.parametrize(
    "records",
    [
        [extension(5, 5, 1)],
        [extension(5, 0, 1)],
        [extension(5, DISPLAY, 0)],
        [extension(5, DISPLAY, 2**63)],
        [extension(5, TRIGGER, -1)],
        [extension(5, DISPLAY, 4), extension(5, DISPLAY, 4)],
        [extension(5, DISPLAY, 4), extension(5, TRIGGER, 90)],
        [RECORD.pack(5, 1, 4, INSTRUMENT, 0, Kind.EXTENSION, DISPLAY)],
        [RECORD.pack(5, 90, 1, INSTRUMENT, 0, Kind.EXTENSION, TRIGGER)],
        [RECORD.pack(5, 0, 4, INSTRUMENT, 7, Kind.EXTENSION, DISPLAY)],
    ],
)
def test_one_that_does_not_fit_is_taken_in_and_its_order_rejected(records: list[bytes]) -> None:
    matcher, trader, _ = new_matcher()
    *extended, rejected = trader.send(*records, limit(5, SELL, 10, 100))
    assert all(report.exec_type is ExecType.EXTENDED and report.final for report in extended)
    assert (rejected.exec_type, rejected.reason, rejected.final) == (ExecType.REJECTED, Reason.BAD_RECORD, True)
    assert told(trader.send(limit(5, SELL, 10, 100))) == [f"NEW {trader.next_sequence - 1}*"]
    matcher.check_invariants()


IOC, FOK, GTC = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTC


@pytest.mark.parametrize(
    "record",
    [
        order(5, BUY, 10, None, post_only=True),
        order(5, BUY, 10, None, display=5),
        order(5, BUY, 10, None, tif=GTC),
        order(5, BUY, 10, None, tif=GTD, expiry_ns=99),
        order(5, BUY, 10, None, trigger=110, display=5),
        order(5, BUY, 10, None, trigger=110, tif=IOC),
        order(5, BUY, 10, None, trigger=110, tif=FOK),
        order(5, BUY, 10, 100, post_only=True, tif=IOC),
        order(5, BUY, 10, 100, post_only=True, tif=FOK),
        order(5, BUY, 10, 100, post_only=True, trigger=110),
        order(5, BUY, 10, 100, post_only=True, minimum=5),
        order(5, BUY, 10, 100, display=5, tif=IOC),
        order(5, BUY, 10, 100, display=5, tif=FOK),
        order(5, BUY, 10, 100, minimum=5, tif=FOK),
        order(5, BUY, 10, 100, minimum=5, trigger=110),
        order(5, BUY, 10, 100, trigger=110, tif=IOC),
        order(5, BUY, 10, 100, trigger=110, tif=FOK),
        order(5, BUY, 10, 100, display=11),
        order(5, BUY, 10, 100, minimum=11),
        order(5, BUY, 1001, 100, display=1),
        order(5, BUY, 10, 100, expiry_ns=99),
        order(5, BUY, 10, 100, tif=GTC, expiry_ns=99),
        order(5, BUY, 10, 100, tif=GTD),
    ],
)
def test_what_contradicts_itself_is_rejected(record: bytes) -> None:
    _, trader, _ = new_matcher()
    *_, rejected = trader.send(record)
    assert (rejected.exec_type, rejected.reason, rejected.final) == (ExecType.REJECTED, Reason.BAD_RECORD, True)
    assert not trader.session.live


@pytest.mark.parametrize(
    "record",
    [
        order(5, BUY, 10, None, trigger=110),
        order(5, BUY, 10, None, trigger=110, tif=GTC),
        order(5, BUY, 10, None, trigger=110, tif=GTD, expiry_ns=99),
        order(5, BUY, 10, 100, trigger=110, display=10, tif=GTD, expiry_ns=99),
        order(5, BUY, 10, 100, display=10),
        order(5, BUY, 100, 100, display=1),
        order(5, BUY, 10, 100, post_only=True, display=1, tif=GTD, expiry_ns=99),
    ],
)
def test_what_goes_together_is_accepted(record: bytes) -> None:
    _, trader, _ = new_matcher()
    *_, accepted = trader.send(record)
    assert (accepted.exec_type, accepted.final) == (ExecType.NEW, True)
    assert list(trader.session.live) == [5]
