"""The matcher against the naive model: any records, any grouping, two sessions; every report and level equal."""

from hypothesis import given
from hypothesis import strategies as st

from engine.matcher import Matcher
from orderd.wire.records import RECORD, RECORD_BYTES, Kind
from orderd.wire.reports import ExecType, Reason
from tests.support.matching import Trader
from tests.support.naive_book import NaiveEngine

INSTRUMENTS = [1, 7]
LARGEST = 2**63 - 1

Fields = tuple[int, ...]
Group = tuple[int, list[Fields], bool]
"""Which session sends, its records, and whether one by one."""

FRESH = -1
"""As a number: one that was never used."""
AIMED = -2
"""As a number, followed by a pick: that of a live order of the session. Plain random numbers would hardly ever hit."""

prices = st.integers(97, 103)
quantities = st.integers(1, 6)
limit_flags = st.sampled_from([0, 1, 0, 1, 0, 1, 4, 5, 8, 9, 12, 13])
market_flags = st.sampled_from([2, 3, 10, 11, 14, 15])
instruments = st.sampled_from([1, 1, 1, 7])
picks = st.integers(0, 9)
accounts = st.integers(0, 3)
new_kind = st.just(Kind.NEW)

new_limits = st.tuples(st.just(FRESH), prices, quantities, instruments, accounts, new_kind, limit_flags)
new_markets = st.tuples(st.just(FRESH), st.just(0), quantities, instruments, accounts, new_kind, market_flags)
cancels = st.tuples(st.just(AIMED), picks, st.just(0), st.just(0), accounts, st.just(Kind.CANCEL))
replaces = st.tuples(st.just(AIMED), picks, prices, quantities, accounts, st.sampled_from([3, 4]))
same_price = st.tuples(st.just(AIMED), picks, st.just(0), quantities, accounts, st.sampled_from([3, 4]))
mass_cancels = st.builds(
    lambda flags, instrument, account: (
        0, 0, 0, instrument if flags & 4 else 0, account if flags & 8 else 0, Kind.MASS_CANCEL, flags & (15 if flags & 2
        else 14),
    ), st.integers(0, 15), st.sampled_from([1, 1, 7, 9]), accounts,
)  # fmt: skip
anything = st.tuples(
    st.integers(0, 20) | st.integers(0, 2**64 - 1),
    prices | st.sampled_from([0, -1, LARGEST, -(2**63)]),
    quantities | st.sampled_from([0, LARGEST, LARGEST + 1, 2**64 - 1]),
    st.sampled_from([1, 1, 7, 9]),
    accounts,
    st.sampled_from([0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 255]),
    limit_flags | st.integers(0, 255),
)
limits = [new_limits] * 6
one_record: st.SearchStrategy[Fields] = st.one_of(
    *limits, new_markets, cancels, replaces, replaces, same_price, same_price, mass_cancels, anything
)
groups = st.lists(
    st.tuples(st.sampled_from([0, 0, 1]), st.lists(one_record, min_size=1, max_size=8), st.booleans()),
    min_size=5,
    max_size=30,
)


class Pair:
    """Matcher and model, fed the same."""

    def __init__(self) -> None:
        self.matcher = Matcher(INSTRUMENTS)
        self.traders = [Trader(self.matcher, 11), Trader(self.matcher, 22)]
        self.model = NaiveEngine(list(INSTRUMENTS))
        self.now_ns = 1000
        self.last_number = 0

    def record(self, session: int, fields: Fields) -> bytes:
        """The record that ``fields`` mean as the model stands now."""
        if fields[0] == FRESH:
            self.last_number += 1
            return RECORD.pack(self.last_number, *fields[1:])
        if fields[0] != AIMED:
            return RECORD.pack(*fields)
        _, pick, price, quantity, account, kind = fields
        live = sorted((o for o in self.model.resting if o.session == session), key=lambda o: o.sequence)
        if not live:
            return RECORD.pack(pick, price, quantity, 1, account, kind, 0)
        order = live[pick % len(live)]
        if kind != Kind.CANCEL:
            price = price or order.price
        return RECORD.pack(order.number, price, quantity, order.instrument, account, kind, 0)

    def feed(self, who: int, fields: list[Fields]) -> bytes:
        """Execute records in one call of the matcher; their bytes."""
        trader = self.traders[who]
        data = b""
        for sequence, values in enumerate(fields, start=trader.next_sequence):
            record = self.record(trader.session.id, values)
            self.model.execute(trader.session.id, sequence, record, self.now_ns)
            data += record
        self.feed_matcher(who, data)
        self.now_ns += 1
        return data

    def feed_matcher(self, who: int, data: bytes, *, in_steps: bool = False) -> None:
        """Execute whole records in one call, with no model."""
        trader, other = self.traders[who], self.traders[1 - who]
        told = len(other.log)
        self.matcher.touched.clear()
        if in_steps:
            for _ in self.matcher.apply_in_steps(trader.session, trader.next_sequence, memoryview(data), self.now_ns):
                pass
        else:
            self.matcher.apply(trader.session, trader.next_sequence, memoryview(data), self.now_ns)
        trader.next_sequence += len(data) // RECORD_BYTES
        assert list(self.matcher.touched) == ([other.session] if len(other.log) > told else [])

    def compare(self) -> None:
        self.matcher.check_invariants()
        for trader in self.traders:
            expected = self.model.reports.get(trader.session.id, [])
            first = trader.next_report - 1
            assert trader.read() == expected[first:]
            live = {o.number: o.open for o in self.model.resting if o.session == trader.session.id}
            assert {number: order.open for number, order in trader.session.live.items()} == live
        for instrument in INSTRUMENTS:
            assert self.matcher.book(instrument).depth(1000) == self.model.depth(instrument)


@given(groups)
def test_every_report_and_every_level_is_the_models(steps: list[Group]) -> None:
    pair = Pair()
    for who, fields, one_by_one in steps:
        if one_by_one:
            for values in fields:
                pair.feed(who, [values])
                pair.compare()
        else:
            pair.feed(who, fields)
            pair.compare()
    for trader in pair.traders:
        pair.matcher.cancel_session(trader.session, Reason.REPORTS_FULL, pair.now_ns)
        pair.model.cancel_session(trader.session.id, Reason.REPORTS_FULL, pair.now_ns)
        pair.compare()
    assert pair.matcher.book(1).depth(1) == ([], [])


@given(groups)
def test_each_input_has_exactly_one_final_report_and_they_come_in_order(steps: list[Group]) -> None:
    pair = Pair()
    for who, fields, _ in steps:
        pair.feed(who, fields)
    for trader in pair.traders:
        finals = [report.input for report in trader.read() if report.final]
        assert finals == list(range(1, trader.next_sequence))


@given(groups)
def test_the_same_inputs_give_the_same_bytes_whatever_their_grouping_across_calls(steps: list[Group]) -> None:
    whole, again, single = Pair(), Pair(), Pair()
    for who, fields, _ in steps:
        data = whole.feed(who, fields)
        again.feed_matcher(who, data, in_steps=True)
        for at in range(0, len(data), RECORD_BYTES):
            single.feed_matcher(who, data[at : at + RECORD_BYTES])
        again.now_ns = single.now_ns = whole.now_ns
    assert whole.matcher.state_hash() == again.matcher.state_hash() == single.matcher.state_hash()
    for i in (0, 1):
        assert whole.traders[i].log.read(1, 2**60) == again.traders[i].log.read(1, 2**60)
        assert whole.traders[i].read() == single.traders[i].read()


@given(groups)
def test_lots_are_conserved(steps: list[Group]) -> None:
    pair = Pair()
    for who, fields, _ in steps:
        pair.feed(who, fields)
    bought = sold = 0
    by_trade: dict[int, list[tuple[int, int, bool]]] = {}
    for trader in pair.traders:
        cumulated: dict[int, int] = {}
        for report in trader.read():
            if report.exec_type is ExecType.TRADE:
                bought += 0 if report.sell else report.last_qty
                sold += report.last_qty if report.sell else 0
                by_trade.setdefault(report.trade_id, []).append((report.last_qty, report.last_px, report.taker))
                cumulated[report.order] = cumulated.get(report.order, 0) + report.last_qty
            if report.order in cumulated:
                assert report.cum_qty == cumulated[report.order]
    assert bought == sold
    assert list(range(1, pair.matcher.next_trade_id)) == sorted(by_trade)
    for sides in by_trade.values():
        (lots, price, taker), other_side = sides
        assert other_side == (lots, price, not taker)
