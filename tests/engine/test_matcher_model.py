"""The matcher against the naive model: any flow of all there is, any grouping; every report and level equal."""

from collections import defaultdict
from collections.abc import Generator

import attrs
import pytest
from hypothesis import given, settings

from engine.matcher import Matcher
from orderd.wire.records import RECORD, RECORD_BYTES
from orderd.wire.reports import ExecType, Reason, Report
from tests.support.matching import Trader
from tests.support.naive_book import NaiveEngine
from tests.support.order_flows import (
    INSTRUMENTS,
    Aimed,
    EndDay,
    Expire,
    New,
    Raw,
    Send,
    SetMarket,
    Step,
    flows,
    long_flow,
)
from tests.support.scale import examples

SESSIONS = (11, 22, 33)
ENDS = (ExecType.CANCELED, ExecType.EXPIRED)


class Twin:
    """A matcher that is fed what another one was."""

    def __init__(self) -> None:
        self.matcher = Matcher(INSTRUMENTS)
        self.traders = [Trader(self.matcher, session) for session in SESSIONS]

    def feed(self, who: int, data: bytes, now_ns: int) -> None:
        """Execute whole records in one call."""
        trader = self.traders[who]
        told = [len(other.log) for other in self.traders]
        self.matcher.touched.clear()
        self.matcher.apply(trader.session, trader.next_sequence, memoryview(data), now_ns)
        trader.next_sequence += len(data) // RECORD_BYTES
        heard = {other.session for other, count in zip(self.traders, told, strict=True) if len(other.log) > count}
        assert heard - {trader.session} <= set(self.matcher.touched) <= heard

    def happen(self, step: Step, now_ns: int) -> int:
        """Anything but records."""
        if isinstance(step, Expire):
            return run(self.matcher.expire(now_ns))
        if isinstance(step, EndDay):
            return run(self.matcher.end_day(now_ns))
        assert isinstance(step, SetMarket)
        self.matcher.set_market(step.instrument, step.rules)
        return 0


def run(steps: Generator[None, None, int]) -> int:
    """Do all steps; what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return int(end.value)


class Pair(Twin):
    """Matcher and model, fed the same."""

    def __init__(self) -> None:
        super().__init__()
        self.model = NaiveEngine(list(INSTRUMENTS))
        self.now_ns = 1000
        self.last_number = 0
        self.fed: list[tuple[int, bytes, Step, int]] = []
        self.reports: dict[int, list[Report]] = {session: [] for session in SESSIONS}

    def step(self, step: Step) -> None:
        """One step of a flow, and then all is compared."""
        self.now_ns += step.after_ns if isinstance(step, Expire) else 1
        if isinstance(step, Send):
            groups = [(one,) for one in step.told] if step.one_by_one else [step.told]
            for told in groups:
                self.send(step, told)
        else:
            self.fed.append((0, b"", step, self.now_ns))
            expired = self.happen(step, self.now_ns)
            if isinstance(step, SetMarket):
                self.model.rules[step.instrument] = (step.rules.halted, step.rules.low, step.rules.high)
            else:
                model = self.model
                assert expired == (model.expire if isinstance(step, Expire) else model.end_day)(self.now_ns)
        self.compare()

    def send(self, step: Send, told: tuple[New | Aimed | Raw, ...]) -> None:
        trader = self.traders[step.who]
        data = b""
        for one in told:
            for record in self.records(trader.session.id, one):
                sequence = trader.next_sequence + len(data) // RECORD_BYTES
                self.model.execute(trader.session.id, sequence, record, self.now_ns)
                data += record
        self.fed.append((step.who, data, step, self.now_ns))
        if step.one_by_one:
            for at in range(0, len(data), RECORD_BYTES):
                self.feed(step.who, data[at : at + RECORD_BYTES], self.now_ns)
        else:
            self.feed(step.who, data, self.now_ns)

    def records(self, session: int, one: New | Aimed | Raw) -> list[bytes]:
        """What is told, as the model stands now."""
        if isinstance(one, New):
            self.last_number += 1
            return one.records(self.last_number, self.now_ns)
        if isinstance(one, Raw):
            return [RECORD.pack(*one.fields)]
        live = [order for order in self.model.live if order.session == session]
        return [one.record(sorted(live, key=lambda order: order.sequence))]

    def compare(self) -> None:
        self.matcher.check_invariants()
        for trader in self.traders:
            session = trader.session.id
            first = trader.next_report - 1
            fresh = trader.read()
            assert fresh == self.model.reports.get(session, [])[first:]
            self.reports[session] += fresh
            live = {o.number: o.open for o in self.model.live if o.session == session}
            assert {number: order.leaves for number, order in trader.session.live.items()} == live
            assert trader.session.stops == sum(order.session == session for order in self.model.waiting)
        for instrument in INSTRUMENTS:
            book = self.matcher.book(instrument)
            assert book.depth(1000) == self.model.depth(instrument)
            assert book.last_price == self.model.last_prices.get(instrument, 0)


def check_finals(pair: Pair) -> None:
    """Each input has exactly one final report, and they come in order."""
    for trader in pair.traders:
        finals = [report.input for report in pair.reports[trader.session.id] if report.final]
        assert finals == list(range(1, trader.next_sequence))


def check_lots(pair: Pair) -> None:
    """What an order was filled and what is left of it add up, each trade has two sides, and ids have no gaps."""
    by_trade: dict[int, list[tuple[int, int, bool, bool]]] = defaultdict(list)
    for trader in pair.traders:
        filled: dict[int, int] = defaultdict(int)
        left: dict[int, int] = {}
        ended: set[int] = set()
        for report in pair.reports[trader.session.id]:
            assert not (report.order in ended and report.exec_type is not ExecType.CANCEL_REJECTED and report.order)
            if report.exec_type is ExecType.TRADE:
                by_trade[report.trade_id].append((report.last_qty, report.last_px, report.taker, report.sell))
                filled[report.order] += report.last_qty
                if report.order in left:
                    assert report.leaves_qty == left[report.order] - report.last_qty
            if report.order and report.exec_type is not ExecType.NEW:
                assert report.cum_qty == filled[report.order]
                left[report.order] = report.leaves_qty
                if report.exec_type in ENDS:
                    ended.add(report.order)
        for order in trader.session.live.values():
            assert order.sequence not in ended
            assert order.filled == filled[order.sequence]
            assert order.leaves == left.get(order.sequence, order.leaves)
    assert sorted(by_trade) == list(range(1, pair.matcher.next_trade_id))
    for one, other in by_trade.values():
        assert other == (one[0], one[1], not one[2], not one[3])


@settings(max_examples=examples(500))
@given(flows)
def test_every_report_and_every_level_is_the_models(steps: list[Step]) -> None:
    pair, twin = Pair(), Twin()
    for step in steps:
        pair.step(step)
    check_finals(pair)
    check_lots(pair)
    for who, data, step, now_ns in pair.fed:
        if data:
            twin.feed(who, data, now_ns)
        else:
            twin.happen(step, now_ns)
    assert twin.matcher.state_hash() == pair.matcher.state_hash()
    for trader in pair.traders:
        assert list(pair.matcher.cancel_session(trader.session, Reason.REPORTS_FULL, pair.now_ns)) == []
        pair.model.cancel_session(trader.session.id, Reason.REPORTS_FULL, pair.now_ns)
        pair.compare()
    assert pair.matcher.book(1).depth(1) == ([], [])


@pytest.mark.parametrize("seed", range(1, 1 + examples(10)))
def test_every_report_and_every_level_is_the_models_when_much_rests(seed: int) -> None:
    pair = Pair()
    for step in long_flow(seed, 400):
        pair.step(step)
    check_finals(pair)
    check_lots(pair)


@settings(max_examples=examples(100))
@given(flows)
def test_the_same_inputs_give_the_same_bytes_whatever_their_grouping_across_calls(steps: list[Step]) -> None:
    pair, again, single = Pair(), Twin(), Twin()
    for step in steps:
        pair.step(attrs.evolve(step, one_by_one=False) if isinstance(step, Send) else step)
    for who, data, step, now_ns in pair.fed:
        if not data:
            again.happen(step, now_ns)
            single.happen(step, now_ns)
            continue
        again.feed(who, data, now_ns)
        for at in range(0, len(data), RECORD_BYTES):
            single.feed(who, data[at : at + RECORD_BYTES], now_ns)
    assert pair.matcher.state_hash() == again.matcher.state_hash() == single.matcher.state_hash()
    for i, trader in enumerate(pair.traders):
        assert trader.log.read(1, 2**60) == again.traders[i].log.read(1, 2**60)
        assert pair.reports[trader.session.id] == single.traders[i].read()
