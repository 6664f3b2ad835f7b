"""Whatever happened before: the quick checks, alone and in bulk, say what a naive reading of the limits says."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.errors import Halted, Limit
from orderd.orders.ids import IdIndex
from orderd.orders.risk.batches import check_batch
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.flow import flow_in_steps
from orderd.orders.risk.limits import AccountLimits, RiskLimits
from orderd.orders.risk.positions import Positions
from orderd.orders.table import OrderTable
from orderd.orders.trading import Trading, TradingState
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import FLAG_MARKET, RECORD, RECORD_BYTES, Attribute, Kind
from orderd.wire.reports import ExecType, OrderStatus
from tests.orders.risk.naive_limits import Naive, Open, equal_of
from tests.support.scale import examples

INSTRUMENTS = InstrumentTable((Instrument("AAPL", 1, "0.01", "1"), Instrument("BTC", 2, "0.5", "0.001")))
ACCOUNTS = (0, 1, 65_535)


def limits_of(rate: int, burst: int, **values: Any) -> AccountLimits:
    return AccountLimits(orders_per_second=rate, orders_burst=burst, **values)


def perhaps(lowest: int, highest: int, share: int) -> Any:
    """Mostly nothing, so that histories come further than to the first limit."""
    some = st.integers(lowest, highest).map(lambda n: Fraction(n, share))
    return st.one_of(st.none(), st.none(), some)


account_limits = st.builds(
    limits_of,
    # Divisors of a second: for others the bucket is a nanosecond more generous for each order.
    rate=st.sampled_from((0, 0, 1, 5, 10)),
    burst=st.integers(1, 20),
    order_quantity_max=perhaps(1, 10_000, 1000),
    order_notional_max=perhaps(1, 400, 100),
    price_band=perhaps(1, 60, 100),
    open_orders_max=st.sampled_from((0, 0, 3, 10, 30)),
    position_max=perhaps(1, 60_000, 1000),
    gross_notional_max=perhaps(1, 3000, 100),
    repeats_max=st.sampled_from((0, 0, 1, 2, 5)),
    repeats_window_ms=st.sampled_from((250, 1000)),
)
risk_limits = st.builds(
    RiskLimits,
    account_limits,
    st.dictionaries(st.sampled_from(ACCOUNTS), account_limits, max_size=2),
    st.sampled_from(({1: 30, 2: 30}, {1: 30, 2: 30}, {1: 30}, {})),
)
new_orders = st.builds(
    Open,
    st.sampled_from(ACCOUNTS),
    st.sampled_from((1, 2)),
    st.integers(0, 1),
    price=st.sampled_from((0, 28, 29, 30, 30, 30, 31, 32, 60)),
    trigger=st.sampled_from((0, 0, 0, 28, 33)),
    quantity=st.integers(1, 9),
)
replaces = st.tuples(st.integers(0, 8), st.booleans(), st.integers(28, 32), st.integers(1, 12))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("new"), new_orders),
        st.tuples(st.just("replace"), replaces),
        st.tuples(st.just("batch"), st.lists(st.one_of(new_orders, new_orders, replaces), min_size=1, max_size=50)),
        st.tuples(st.just("fill"), st.tuples(st.integers(0, 8), st.integers(1, 9), st.integers(25, 35))),
        st.tuples(st.just("done"), st.integers(0, 8)),
        st.tuples(st.just("time"), st.integers(1, 40)),
        st.tuples(st.just("limits"), risk_limits),
        st.tuples(
            st.just("trading"),
            st.tuples(st.sampled_from((None, *ACCOUNTS)), st.sampled_from(list(TradingState)), st.booleans()),
        ),
    ),
    max_size=20,
)


class World:
    """The parts that check and count, and the naive model of them."""

    def __init__(self, limits: RiskLimits) -> None:
        self.table = OrderTable(10**6, lambda *_: None)
        self.ids = IdIndex(self.table.remembers)
        self.positions = Positions(self.table, self.ids)
        self.trading = Trading()
        self.checks = RiskChecks(INSTRUMENTS, self.positions, self.trading)
        self.checks.apply(limits)
        self.now = Fraction(100)
        self.naive = Naive(INSTRUMENTS, limits, {})

    # --- orders -------------------------------------------------------------------------------------------------------

    def new(self, order: Open) -> None:
        said = self.naive.refusal_of_new(order, self.now)
        arguments = (order.account, order.instrument, order.side, order.price, order.quantity)
        assert said == word(lambda: self.checks.check_new(*arguments, order.trigger, float(self.now)))
        if said is not None:
            return
        row = self.append(order)
        self.checks.took_new(row - bool(order.trigger), *arguments, float(self.now))
        self.take(self.naive, row, order)

    def append(self, order: Open) -> int:
        row = self.table.append(record_of(order, self.table.end + bool(order.trigger))) + bool(order.trigger)
        self.ids.add(b"%d" % row, row)
        return row

    def take(self, naive: Naive, row: int, order: Open) -> None:
        naive.orders[row] = Open(
            order.account, order.instrument, order.side, order.price, order.trigger, order.quantity
        )
        naive.taken.append((self.now, order.account, equal_of(order)))

    def replace(self, which: int, of_open: bool, price: int, quantity: int) -> None:
        if not self.naive.orders:
            return
        number = sorted(self.naive.orders)[which % len(self.naive.orders)]
        said = self.naive.refusal_of_replace(number, of_open, price, quantity, self.now)
        kind = Kind.REPLACE_OPEN if of_open else Kind.REPLACE
        assert said == word(lambda: self.checks.check_request(number, kind, price, quantity, float(self.now)))
        if said is not None:
            return
        order = self.naive.orders[number]
        row = self.table.append(RECORD.pack(number, price, quantity, order.instrument, 0, kind, 0))
        self.checks.took_replace(row, number, kind, quantity, float(self.now))
        self.take_replace(self.naive, number, of_open, quantity)

    def take_replace(self, naive: Naive, number: int, of_open: bool, quantity: int) -> None:
        naive.orders[number].asked.append((of_open, quantity))
        naive.taken.append((self.now, naive.orders[number].account, None))

    # --- batches ------------------------------------------------------------------------------------------------------

    def batch(self, wanted: list[Any], *, in_steps: bool) -> None:
        """Each replace is of an order that was there, or of one before it in the batch."""
        first, parts, naive, refusal = self.table.end, [], self.naive.copy(), None
        rows = sorted(naive.orders)
        at = 0
        for one in wanted:
            row, index = first + at, at
            if isinstance(one, Open):
                row, index = row + bool(one.trigger), index + bool(one.trigger)
                parts.append(record_of(one, row))
                said = naive.refusal_of_new(one, self.now) if refusal is None else ""
                if said is None:
                    self.take(naive, row, one)
                    rows.append(row)
                at = index + 1
            else:
                which, of_open, price, quantity = one
                number = rows[which % len(rows)] if rows else 2**62
                kind = Kind.REPLACE_OPEN if of_open else Kind.REPLACE
                parts.append(RECORD.pack(number, price, quantity, 1, 0, kind, 0))
                said = None
                if number in naive.orders and refusal is None:
                    said = naive.refusal_of_replace(number, of_open, price, quantity, self.now)
                    if said is None:
                        self.take_replace(naive, number, of_open, quantity)
                at += 1
            if said and refusal is None:
                refusal = (index, said)
        records = b"".join(parts)
        flow = None
        if in_steps:
            flow = finish(flow_in_steps(records))
        before = None if self.checks.asks_nothing else told(self.positions)
        found = text_of(lambda: check_batch(self.checks, records, flow, first, float(self.now)))
        assert before is None or told(self.positions) == before
        if refusal is not None:
            place, _, rest = found.removeprefix("record ").partition(": ")
            assert (int(place), first_word(rest)) == refusal, found
            return
        assert not found
        self.table.append(records)
        for index in range(len(records) // RECORD_BYTES):
            fields = RECORD.unpack_from(records, index * RECORD_BYTES)
            if fields[5] == Kind.NEW:
                self.ids.add(b"%d" % fields[0], first + index)
        self.checks.took_batch(records, flow, first, float(self.now))
        self.naive = naive

    # --- what the engine says -----------------------------------------------------------------------------------------

    def fill(self, which: int, quantity: int, price: int) -> None:
        if not self.naive.orders:
            return
        number = sorted(self.naive.orders)[which % len(self.naive.orders)]
        order = self.naive.orders[number]
        quantity = min(quantity, order.open)
        status = OrderStatus.FILLED if quantity == order.open else OrderStatus.PARTIALLY_FILLED
        place = self.table.locate(number)
        assert place is not None
        self.positions.report(number, *place, ExecType.TRADE, status, quantity, price, 0, 0)
        place[0].add_fill(place[1], quantity, price)
        self.table.set_status(number, status, Path.UDP)
        order.filled += quantity
        self.naive.net[order.account, order.instrument] += -quantity if order.side else quantity
        self.naive.last[order.instrument] = price
        if not order.open:
            del self.naive.orders[number]

    def done(self, which: int) -> None:
        if self.naive.orders:
            number = sorted(self.naive.orders)[which % len(self.naive.orders)]
            place = self.table.locate(number)
            assert place is not None
            self.positions.report(number, *place, ExecType.CANCELED, OrderStatus.CANCELED, 0, 0, 0, 0)
            self.table.set_status(number, OrderStatus.CANCELED, Path.UDP)
            del self.naive.orders[number]

    def reload(self, limits: RiskLimits) -> None:
        """What was counted of repeats and of rates is not part of what is compared: it begins anew."""
        self.checks.apply(RiskLimits())
        self.checks._repeats.clear()
        for account in self.positions.accounts.values():
            account.spent_ns = 0
        self.checks.apply(limits)
        self.naive.limits = limits
        self.naive.taken.clear()

    def restrict(self, account: int | None, state: TradingState, active: bool) -> None:
        if active:
            state = TradingState.ACTIVE
        self.trading.restore(state, account)
        self.naive.states[account] = state


def told(positions: Positions) -> dict[tuple[int, int], tuple[int, int, int, int]]:
    positions.settle()
    return {
        (p.account.number, p.instrument): (p.net, p.open[0], p.open[1], p.orders)
        for p in positions.by_key.values()
        if not p.is_empty
    }


def record_of(order: Open, number: int) -> bytes:
    flags = order.side | (0 if order.price else FLAG_MARKET)
    new = RECORD.pack(number, order.price, order.quantity, order.instrument, order.account, Kind.NEW, flags)
    return (extension_of(order, number) if order.trigger else b"") + new


def extension_of(order: Open, number: int) -> bytes:
    return RECORD.pack(number, order.trigger, 0, order.instrument, 0, Kind.EXTENSION, Attribute.TRIGGER)


def text_of(check: Callable[[], object]) -> str:
    """What a check refuses with; empty if it does not."""
    try:
        check()
    except (Limit, Halted) as refused:
        return str(refused)
    return ""


def first_word(text: str) -> str:
    return "HALTED" if text.startswith("trading is ") else text.split(maxsplit=1)[0]


def word(check: Callable[[], object]) -> str | None:
    text = text_of(check)
    return first_word(text) if text else None


def finish(flow: Any) -> Any:
    while True:
        try:
            next(flow)
        except StopIteration as end:
            return end.value


@settings(max_examples=examples(250), deadline=None)
@given(risk_limits, steps, st.booleans(), st.booleans())
def test_alone_and_in_bulk_every_verdict_is_that_of_the_naive_model(
    limits: RiskLimits, history: list[Any], in_steps: bool, asked_often: bool
) -> None:
    world = World(limits)
    for number, (what, about) in enumerate(history, 1):
        if what == "new":
            world.new(about)
        elif what == "replace":
            world.replace(*about)
        elif what == "batch":
            world.batch(about, in_steps=in_steps)
        elif what == "fill":
            world.fill(*about)
        elif what == "done":
            world.done(about)
        elif what == "time":
            world.now += Fraction(about, 64)
        elif what == "limits":
            world.reload(about)
        else:
            world.restrict(*about)
        if not asked_often and number < len(history):
            continue
        naive = world.naive
        assert told(world.positions) == {
            (a, i): (
                naive.net[a, i],
                naive.open(a, i, 0),
                naive.open(a, i, 1),
                sum((o.account, o.instrument) == (a, i) for o in naive.orders.values()),
            )
            for a in ACCOUNTS
            for i in (1, 2)
            if naive.net[a, i] or any((o.account, o.instrument) == (a, i) for o in naive.orders.values())
        }
