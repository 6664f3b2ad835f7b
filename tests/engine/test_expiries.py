"""Orders expire at their time or with the day: once, in a fixed order, in steps."""

import gc
from collections.abc import Callable, Generator, Iterator

import pytest

from engine import expiries
from engine.expiries import Expiries
from engine.matcher import Matcher
from engine.orders import Order, Session
from orderd.link.report_log import ReportLog
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.matching import (
    BUY,
    INSTRUMENT,
    SELL,
    Trader,
    cancel,
    limit,
    mass_cancel,
    new_matcher,
    order,
    replace,
    told,
)

GTD, GTC = TimeInForce.GTD, TimeInForce.GTC


def run(steps: Generator[None, None, int]) -> tuple[int, int]:
    """What a generator returns, and how often it yielded."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return int(end.value), count
        count += 1


def test_orders_expire_when_their_time_has_come_and_not_before() -> None:
    matcher, trader, other = new_matcher()
    trader.send(order(1, BUY, 5, 100, tif=GTD, expiry_ns=50), order(2, BUY, 5, 100, tif=GTD, expiry_ns=40))
    other.send(order(1, SELL, 5, 110, tif=GTD, expiry_ns=50), limit(2, SELL, 5, 110))
    assert matcher.next_expiry_ns == 40
    assert run(matcher.expire(39)) == (0, 0)
    matcher.touched.clear()
    assert run(matcher.expire(45)) == (1, 0)
    (report,) = trader.read()
    assert (report.exec_type, report.order, report.input) == (ExecType.EXPIRED, 4, 0)
    assert (report.status, report.reason, report.final) == (OrderStatus.EXPIRED, Reason.EXPIRED, False)
    assert (report.transact_time_ns, report.leaves_qty, report.cum_qty) == (45, 0, 0)
    assert list(matcher.touched) == [trader.session]
    assert matcher.next_expiry_ns == 50
    assert run(matcher.expire(50)) == (2, 0)
    assert matcher.next_expiry_ns is None
    assert list(other.session.live) == [2]
    matcher.check_invariants()


def test_they_go_by_expiry_then_session_then_sequence() -> None:
    matcher = Matcher([INSTRUMENT])
    late, early = Trader(matcher, 22), Trader(matcher, 11)
    late.send(order(1, BUY, 1, 100, tif=GTD, expiry_ns=60), order(2, BUY, 1, 100, tif=GTD, expiry_ns=50))
    early.send(*(cancel(9) for _ in range(5)))  # So that its sequences are the later ones.
    early.send(order(1, BUY, 1, 100, tif=GTD, expiry_ns=60), order(2, BUY, 1, 100, tif=GTD, expiry_ns=60))
    seen: list[tuple[int, int]] = []
    book = matcher.book(INSTRUMENT)
    before = {(o.session.id, o.number) for o in book.orders()}
    for time_ns in (50, 60):
        matcher.touched.clear()
        run(matcher.expire(time_ns))
        left = {(o.session.id, o.number) for o in book.orders()}
        seen += sorted(before - left)
        before = left
        assert [session.id for session in matcher.touched] == ([22] if time_ns == 50 else [11, 22])
    assert seen == [(22, 2), (11, 1), (11, 2), (22, 1)]


def test_stop_orders_and_icebergs_expire_and_replaced_ones_at_the_same_time() -> None:
    matcher, trader, other = new_matcher()
    trader.send(
        order(1, BUY, 5, None, tif=GTD, trigger=110, expiry_ns=50),
        order(2, BUY, 9, 100, tif=GTD, display=2, expiry_ns=50),
        order(3, BUY, 9, 99, tif=GTD, expiry_ns=50),
    )
    trader.send(replace(3, 12, 98))
    other.send(limit(1, SELL, 3, 100))
    trader.read()
    assert run(matcher.expire(50)) == (3, 0)
    reports = trader.read()
    assert [(r.number, r.cum_qty, r.leaves_qty) for r in reports] == [(1, 0, 0), (2, 3, 0), (3, 0, 0)]
    assert trader.session.reserved == 0
    matcher.check_invariants()


def test_the_day_ends_for_day_orders_alone_by_session_and_sequence() -> None:
    matcher, trader, other = new_matcher()
    other.send(limit(1, SELL, 5, 110), limit(2, SELL, 5, 110, GTC))
    trader.send(
        limit(1, BUY, 5, 100), order(2, BUY, 5, None, trigger=105), order(3, BUY, 5, None, trigger=105, tif=GTC),
        order(4, BUY, 5, 100, tif=GTD, expiry_ns=99), order(5, BUY, 5, 99, display=2),
    )  # fmt: skip
    trader.read(), other.read()
    matcher.touched.clear()
    assert run(matcher.end_day(70)) == (4, 0)
    assert told(trader.read()) == ["EXPIRED 1 DAY_END 0", "EXPIRED 3 DAY_END 0", "EXPIRED 9 DAY_END 0"]
    assert told(other.read()) == ["EXPIRED 1 DAY_END 0"]
    assert [session.id for session in matcher.touched] == [11, 22]
    assert list(trader.session.live) == [3, 4]
    matcher.check_invariants()


def test_many_expire_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiries, "SCAN_STEP", 16)
    matcher, trader, _ = new_matcher()
    trader.send(*(order(number, BUY, 1, 100, tif=GTD, expiry_ns=50) for number in range(1, 1201)))
    count, yields = run(matcher.expire(50))
    assert (count, yields) == (1200, 1200 // expiries.EXPIRE_STEP)
    trader.send(*(limit(number, BUY, 1, 100) for number in range(1, 1201)))
    count, yields = run(matcher.end_day(50))
    assert count == 1200
    assert yields >= 1200 // 16
    matcher.check_invariants()


@pytest.mark.parametrize("how", ["end_day", "cancel_session", "mass_cancel"])
def test_orders_that_go_together_are_freed_one_by_one(how: str) -> None:
    """To free a million of them in one step would hold the engine for a tenth of a second."""
    matcher, trader, _ = new_matcher()
    gc.collect()
    before = sum(type(one) is Order for one in gc.get_objects())
    trader.send(*(limit(number, BUY, 1, 100) for number in range(1, 3001)))
    ways: dict[str, Callable[[], Iterator[None]]] = {
        "end_day": lambda: matcher.end_day(50),
        "cancel_session": lambda: matcher.cancel_session(trader.session, Reason.REPORTS_FULL, 50),
        "mass_cancel": lambda: matcher.apply_in_steps(trader.session, 3001, mass_cancel(), 50),
    }
    steps = ways[how]()
    while len(trader.session.live) > 1000:
        next(steps)
    assert sum(type(one) is Order for one in gc.get_objects()) - before <= len(trader.session.live) + 1
    for _ in steps:
        pass
    matcher.check_invariants()


def test_orders_that_are_done_are_forgotten_and_waking_for_them_is_rare() -> None:
    matcher, trader, _ = new_matcher()
    for number in range(1, 2001):
        trader.send(order(number, BUY, 1, 100, tif=GTD, expiry_ns=1000 + number))
        if number % 10:
            trader.send(cancel(number))
    live = len(trader.session.live)
    assert live == 200
    # What was done before it was looked at goes when it is.
    wakes = 0
    while (next_ns := matcher.next_expiry_ns) is not None:
        wakes += 1
        run(matcher.expire(next_ns))
    assert live <= wakes <= live + 2000 // 64
    assert not trader.session.live


def test_a_live_order_behind_many_that_are_done_is_not_passed_over() -> None:
    """One heap may hold nothing but orders that are done, as many as are skipped at a time."""
    session = Session(5, ReportLog())
    for done in range(1, 200):
        heap = Expiries()
        orders = [Order(session, sequence, sequence, 100, 1, 1, 0, 0) for sequence in range(1, done + 2)]
        session.live.update((one.number, one) for one in orders)
        for gone in orders[:-1]:
            heap.add(gone, gone.sequence)
        heap.add(orders[-1], 10_000)
        session.live = {orders[-1].number: orders[-1]}
        told: list[int | None] = []
        while not told or told[-1] != 10_000:
            told.append(heap.next_ns)
            assert told[-1] is not None
        assert len(told) <= 1 + done // 64


def test_the_heap_is_never_much_larger_than_what_is_live() -> None:
    session = Session(5, ReportLog())
    heap = Expiries()
    live: list[Order] = []
    for sequence in range(1, 5001):
        live.append(Order(session, sequence, sequence, 100, 1, 1, 0, 0))
        session.live[sequence] = live[-1]
        heap.add(live[-1], 10_000 - sequence)
        if len(live) > 50:
            del session.live[live.pop(0).number]
        assert len(heap) <= 4 * 50
    assert heap.orders() == set(live)
    assert heap.next_ns == 5000
