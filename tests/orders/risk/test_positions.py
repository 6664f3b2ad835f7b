"""Positions and open orders are what the orders and their reports say, in every history and after every restart."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.table import IS_DONE, unpack
from orderd.wire.records import FLAG_SELL, RECORD, Kind, TimeInForce
from orderd.wire.reports import ExecType
from tests.support.scale import examples
from tests.support.site import Site

ACCOUNTS = (0, 7, 65_535)
Sums = dict[tuple[int, int], tuple[int, int, int, int]]


def told(site: Site) -> Sums:
    """What orderd says: net, open to buy, open to sell and number of open orders, where there is anything."""
    site.desk.positions.settle()
    return {
        (p.account.number, p.instrument): (p.net, p.open[0], p.open[1], p.orders)
        for p in site.desk.positions.by_key.values()
        if not p.is_empty
    }


def truth(site: Site) -> Sums:
    """The same, added up from all orders and executions. Only right while no replace is unanswered."""
    net: Counter[tuple[int, int]] = Counter()
    for execution in site.desk.executions.read(0, 10**6):
        report = execution.report
        if report.exec_type is ExecType.TRADE:
            net[report.account, report.instrument] += -report.last_qty if report.sell else report.last_qty
    table = site.desk.table
    open_: dict[tuple[int, int], list[int]] = {}
    for order_id in range(1, table.end):
        place = table.locate(order_id)
        assert place is not None
        page, row = place
        _, _, quantity, instrument, account, kind, flags = unpack(page, row)
        if kind == Kind.NEW and not IS_DONE[page.status[row]]:
            sums = open_.setdefault((account, instrument), [0, 0, 0])
            filled = page.cum_qty[row] if page.cum_qty is not None else 0
            sums[flags & FLAG_SELL] += page.quantity.get(row, quantity) - filled
            sums[2] += 1
    keys = open_.keys() | {key for key, value in net.items() if value}
    return {key: (net[key], *open_.get(key, [0, 0, 0])) for key in keys}  # type: ignore[misc]


class History:
    """Random commands of one client."""

    def __init__(self) -> None:
        self.site = Site()
        self.client = self.site.connect()
        self.next = 1
        self.batches = 0

    def do(self, what: str, a: int, b: int, c: int) -> None:
        side, quantity, price, account = ("BUY", "SELL")[a % 2], 1 + b % 9, 1 + c % 4, ACCOUNTS[(a // 2) % 3]
        number = self.next - 1 - b % self.next
        if a % 7 == 0:
            # At any moment, or late.
            self.site.desk.positions.settle()
        if what == "new":
            kind = ("LIMIT", price) if c % 5 else ("MARKET",)
            tif = () if c % 5 == 0 else ("TIF", ("GTC", "IOC", "FOK")[b % 3])
            self.send("ORDER.NEW", self.next, "AAPL", side, quantity, *kind, *tif, "ACCOUNT", account, "MAXAGE", 1 + c)
            self.next += 1
        elif what == "cancel":
            self.send("ORDER.CANCEL", number)
        elif what == "replace":
            self.send("ORDER.REPLACE", number, quantity, price, *(("OPEN",) if a % 3 == 0 else ()))
        elif what == "mass":
            self.send("ORDER.MASSCANCEL", "ACCOUNT", account)
        elif what == "batch":
            self.batches += 1
            self.send("ORDER.BATCH", f"B{self.batches}", self.records(a, b, c))
        elif what == "time":
            self.site.now += c / 1000
        elif what == "pump":
            self.site.pump()
        elif what == "engine":
            self.site.engine.up = not self.site.engine.up
        elif what == "restart":
            self.restart()

    def send(self, *words: str | int | bytes) -> None:
        self.client.send(*words, *(("MODE", "fire-and-forget") if words[0] != "ORDER.MASSCANCEL" else ()))

    def records(self, a: int, b: int, c: int) -> bytes:
        records = []
        for i in range(1 + (a + b + c) % 40):
            side, account = (a + i) % 2, ACCOUNTS[(b + i) % 3]
            if (c + i) % 4:
                flags = side | TimeInForce.GTC << 2
                records.append(RECORD.pack(self.next, 1 + (b + i) % 4, 1 + i % 5, 1, account, Kind.NEW, flags))
                self.next += 1
            else:
                kind = (Kind.REPLACE, Kind.REPLACE_OPEN)[i % 2]
                records.append(RECORD.pack(max(0, self.next - 1 - i % 3), 2, 1 + (a + i) % 7, 1, 0, kind, 0))
        return b"".join(records)

    def restart(self) -> None:
        """What is durable is counted the same after a restart: so commit all of it first, and lose nothing."""
        self.site.engine.up, was_up = False, self.site.engine.up
        self.site.pump()
        before, prices = told(self.site), dict(self.site.desk.positions.last_px)
        self.site.start()
        assert told(self.site) == before
        assert self.site.desk.positions.last_px == prices
        self.site.engine.up = was_up
        self.client = self.site.connect()

    def settle(self) -> None:
        self.site.engine.up = True
        for _ in range(40):
            self.site.advance(0.5)
            if not self.site.desk.unconfirmed:
                break
        assert self.site.desk.is_idle


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("new", "new", "new", "cancel", "replace", "replace", "batch", "mass", "time", "pump", "engine", "restart")
        ),
        *[st.integers(0, 60)] * 3,
    ),
    max_size=30,
)


@settings(max_examples=examples(60), deadline=None)
@given(steps)
def test_positions_are_what_orders_and_executions_add_up_to_also_after_a_restart(history: list[Any]) -> None:
    world = History()
    for step in history:
        world.do(*step)
    world.settle()
    assert told(world.site) == truth(world.site)
    positions = world.site.desk.positions
    assert not positions._replaces and not positions._targets, "all were answered"
    assert {number: a.orders for number, a in positions.accounts.items() if a.orders} == {
        number: sum(p.orders for p in a.held.values()) for number, a in positions.accounts.items() if a.orders
    }
    world.restart()
