"""Random lives of a whole site: several clients who say all that there is, limits, guards, and kills of both ends.

Whatever happens: what was acknowledged is there once, a restart finds every number as it was, positions are the sum of
the trades, and what is open is what rests at the engine.
"""

from collections import Counter
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.desk import Desk
from orderd.orders.risk.settings import RiskAccount, RiskReference, RiskSettings
from orderd.orders.table import is_order, unpack
from orderd.wire.extensions import numbered, pack
from orderd.wire.records import FLAG_SELL, RECORD, STP_SHIFT, TIF_SHIFT, Attribute, Kind, TimeInForce, mass_flags
from orderd.wire.reports import ExecType
from tests.support.desk_state import numbers
from tests.support.histories import view
from tests.support.scale import examples
from tests.support.site import EPOCH_NS, SESSION, Client, Site, pairs_of, site_settings

CLIENTS = 3
ACCOUNTS = (0, 7, 65_535)
OPEN = ("QUEUED", "NEW", "PARTIALLY_FILLED", "REPLACED")
NO_LIMITS = RiskSettings(reference=(RiskReference("AAPL", "0.03"),))
LIMITS = RiskSettings(
    order_quantity_max="8",
    price_band="67%",
    open_orders_max=30,
    position_max="40",
    gross_notional_max="3",
    repeats_max=5,
    account=(RiskAccount(7, orders_per_second=5, orders_burst=40, open_orders_max=0),),
    reference=(RiskReference("AAPL", "0.03"),),
)
OPTIONS = (
    (), (), ("POSTONLY",), ("STP", "CANCEL_NEWEST"), ("STP", "CANCEL_BOTH"), ("TIF", "IOC"), ("TIF", "FOK"),
    ("STOP", "0.03"), ("STOP", "0.02", "STP", "CANCEL_OLDEST"), ("DISPLAY", 1), ("MINQTY", 2, "TIF", "IOC"),
    ("GTD", "soon"), ("GTD", "soon", "DISPLAY", 2, "STOP", "0.04"), ("MAXAGE", 100), ("MAXAGE", 100, "DISPLAY", 1),
)  # fmt: skip
SAID = (
    [(Attribute.TRIGGER, 3)], [(Attribute.DISPLAY, 1)], [(Attribute.MINIMUM, 2)],
    [(Attribute.TRIGGER, 2), (Attribute.EXPIRY, 1)], [(Attribute.DISPLAY, 2), (Attribute.EXPIRY, 1)],
)  # fmt: skip

number = st.integers(0, 200)
steps = st.lists(
    st.tuples(
        st.sampled_from((
            "new", "new", "new", "new", "batch", "batch", "cancel", "replace", "replace", "mass", "multi", "again",
            "guard", "deadman", "gone", "trading", "limits", "hold", "slow", "durable", "engine", "kill", "kill",
            "kill engine", "time", "time", "check",
        )),
        number, number, number,
    ),
    min_size=10,
    max_size=45,
)  # fmt: skip


@attrs.define
class Person:
    """One client, and what of its orders is in its guard."""

    client: Client
    cancels: bool = False
    deadman: bool = False
    in_guard: set[str] = attrs.field(factory=set)


class Life:
    """The site and what must be true of it."""

    def __init__(self) -> None:
        self.site = Site(site_settings(other={"risk": LIMITS}, client_share_percent=60, orders_unconfirmed_max=400))
        self.people = [Person(self.site.connect()) for _ in range(CLIENTS)]
        self.next = 1
        self.acknowledged: dict[int, str] = {}
        self.must_go: set[str] = set()
        self.said: list[tuple[tuple[Any, ...], tuple[str, ...]]] = []

    # --- what happens -------------------------------------------------------------------------------------------------

    def do(self, what: str, a: int, b: int, c: int) -> None:
        person = self.people[a % CLIENTS]
        if hasattr(self, f"do_{what}"):
            getattr(self, f"do_{what}")(person, a, b, c)
        elif what == "hold":
            self.site.holds_commits = bool(a % 2)
        elif what == "slow":
            self.site.is_slow = bool(a % 2)
        elif what == "durable":
            self.site.end_commit()
        elif what == "engine":
            self.site.engine.up = bool(a % 3)
        elif what == "kill engine":
            self.site.engine.start()
        elif what == "time":
            self.site.advance((0.05, 0.3, 1.2)[a % 3])
        self.site.pump()
        self.look()

    def order(self, a: int, b: int, c: int) -> tuple[Any, ...]:
        name, self.next = self.next, self.next + 1
        price = ("LIMIT", f"0.0{1 + b % 5}") if c % 6 else ("MARKET",)
        options = tuple(self.soon(c) if word == "soon" else word for word in OPTIONS[(b + c) % len(OPTIONS)])
        mode = ("MODE", ("sync", "batch", "fire-and-forget")[b % 3])
        side, account = ("BUY", "SELL")[(a // 3) % 2], ACCOUNTS[(c // 6) % 3]
        # A text id, or one that is a number.
        cl_ord_id = f"t{name}" if b % 2 else str(name)
        return ("ORDER.NEW", cl_ord_id, "AAPL", side, 1 + c % 9, *price, *options, *mode, "ACCOUNT", account)

    def soon(self, c: int) -> int:
        return self.site.now_ns // 10**6 + (200, 1000, 5000)[c % 3]

    def send(self, person: Person, *commands: tuple[Any, ...], names: tuple[str, ...] = ()) -> None:
        """What of ``names`` is taken in now is in the person's guard, if there is one."""
        new = [name for name in names if self.site.desk.find(name.encode()) is None]
        for words in commands:
            person.client.send(*words)
        if person.cancels or person.deadman:
            person.in_guard.update(name for name in new if self.site.desk.find(name.encode()) is not None)
        if len(commands) == 1:
            self.said.append((commands[0], names))

    def do_new(self, person: Person, a: int, b: int, c: int) -> None:
        words = self.order(a, b, c)
        self.send(person, words, names=(words[1],))

    def do_again(self, person: Person, a: int, b: int, c: int) -> None:
        """What was said before, perhaps by another and in another life: it is known, or taken in now."""
        if self.said:
            words, names = self.said[b % len(self.said)]
            self.send(person, words, names=names)

    def do_multi(self, person: Person, a: int, b: int, c: int) -> None:
        orders = [self.order(a + i, b + i, c + i) for i in range(1 + c % 4)]
        self.send(person, ("MULTI",), *orders, ("EXEC",), names=tuple(words[1] for words in orders))

    def do_batch(self, person: Person, a: int, b: int, c: int) -> None:
        records, names, first = [], [], self.next
        for i in range(1 + c % 30):
            x, account = a + b + i * (1 + c % 3), ACCOUNTS[(b + i // 5) % 3]
            name = str(self.next)
            if x % 5 < 3:
                said = SAID[x % len(SAID)] if x % 4 == 0 else []
                said = [(k, self.soon(c) * 10**6 if k is Attribute.EXPIRY else v) for k, v in said]
                tif = TimeInForce.GTD if Attribute.EXPIRY in dict(said) else (TimeInForce.DAY, TimeInForce.GTC)[x % 2]
                flags = x % 2 | tif << TIF_SHIFT | (x // 2) % 4 << STP_SHIFT
                new = RECORD.pack(self.next, 1 + x % 5, 3 + x % 3, 1, account, Kind.NEW, flags)
                records.append(numbered(pack(1, said), self.next) + new)
                names.append(name)
                self.next += 1
            elif x % 5 == 3:
                target = max(1, self.next - 1 - x % 7)
                # The instrument is wrong now and then: the engine refuses that.
                records.append(RECORD.pack(target, 0, 0, 1 + (x % 11 == 0), 0, Kind.CANCEL, 0))
            elif x % 15:
                kind = (Kind.REPLACE, Kind.REPLACE_OPEN)[x % 2]
                records.append(RECORD.pack(max(1, self.next - 1 - x % 7), 1 + x % 4, 1 + x % 8, 1, 0, kind, 0))
            else:
                flags = mass_flags(None, instrument=False, account=True)
                records.append(RECORD.pack(0, 0, 0, 0, account, Kind.MASS_CANCEL, flags))
        mode = ("sync", "fire-and-forget")[b % 2]
        self.send(person, ("ORDER.BATCH", f"B{first}", b"".join(records), "MODE", mode), names=tuple(names))

    def named(self, b: int) -> str:
        """One of the youngest orders."""
        number = max(1, self.next - 1 - b % 8)
        return next((name for name in (f"t{number}", str(number)) if self.site.desk.find(name.encode())), "none")

    def do_cancel(self, person: Person, a: int, b: int, c: int) -> None:
        person.client.send("ORDER.CANCEL", self.named(b), *(("ID", f"c{b % 9}") if c % 2 else ()))

    def do_replace(self, person: Person, a: int, b: int, c: int) -> None:
        how = (("OPEN",) if c % 2 else ()) + (("ID", f"r{b % 9}") if c % 3 else ())
        person.client.send("ORDER.REPLACE", self.named(b), 1 + c % 9, f"0.0{1 + b % 5}", *how)

    def do_mass(self, person: Person, a: int, b: int, c: int) -> None:
        picked = (("SIDE", ("BUY", "SELL")[c % 2]), ("ACCOUNT", ACCOUNTS[c % 3]), ("SYMBOL", "AAPL", "SIDE", "BUY"))
        person.client.send("ORDER.MASSCANCEL", *picked[b % 3])

    def do_guard(self, person: Person, a: int, b: int, c: int) -> None:
        person.cancels = bool(b % 3)
        person.client.send("CLIENT", "CANCELONDISCONNECT", "ON" if person.cancels else "OFF")
        self.release(person)

    def do_deadman(self, person: Person, a: int, b: int, c: int) -> None:
        person.deadman = bool(b % 3)
        person.client.send("CLIENT", "DEADMAN", 1000 if person.deadman else 0)
        self.release(person)

    def release(self, person: Person) -> None:
        # They may be cancelled still if orderd is killed before that is durable, which nobody is promised.
        if not person.cancels and not person.deadman:
            person.in_guard = set()

    def do_gone(self, person: Person, a: int, b: int, c: int) -> None:
        self.take_replies(person)
        self.site.intake.disconnect(person.client.connection)
        self.must_go |= person.in_guard
        self.people[a % CLIENTS] = Person(self.site.connect())

    def do_trading(self, person: Person, a: int, b: int, c: int) -> None:
        state = ("ACTIVE", "ACTIVE", "ACTIVE", "ACTIVE", "REDUCING", "HALTED")[b % 6]
        person.client.send("TRADING", state, *(("ACCOUNT", ACCOUNTS[c % 3]) if c % 4 else ()))

    def do_limits(self, person: Person, a: int, b: int, c: int) -> None:
        self.site.file = attrs.evolve(self.site.settings, risk=(LIMITS, NO_LIMITS)[b % 2])
        person.client.send("CONFIG", "RELOAD")

    def do_kill(self, person: Person, a: int, b: int, c: int) -> None:
        for each in self.people:
            self.take_replies(each)
            self.must_go |= each.in_guard
        for _ in range(1 + c % 2):
            # Twice in a row, too.
            self.site.start(commit_survived=bool(b % 2))
        # What was not durable was never there, and whoever says it again says it for himself.
        self.must_go = {name for name in self.must_go if self.site.desk.find(name.encode()) is not None}
        self.people = [Person(self.site.connect()) for _ in self.people]

    def do_check(self, person: Person, a: int, b: int, c: int) -> None:
        self.check_restart()

    # --- what must be true --------------------------------------------------------------------------------------------

    def look(self) -> None:
        for person in self.people:
            self.take_replies(person)
            if person.deadman and person.client.connection.client.is_silent:
                self.must_go |= person.in_guard
                person.in_guard = set()

    def take_replies(self, person: Person) -> None:
        todo = person.client.replies()
        while todo:
            reply = todo.pop()
            if isinstance(reply, list) and reply and reply[0] == b"cl_ord_id":
                pairs = pairs_of(reply)
                if pairs["status"] != "UNKNOWN":
                    order_id = int(pairs["order_id"])
                    assert order_id < self.site.desk.committed_end, "told before it was durable"
                    assert self.acknowledged.setdefault(order_id, pairs["cl_ord_id"]) == pairs["cl_ord_id"]
            elif isinstance(reply, list):
                todo += reply

    def check_restart(self) -> None:
        """All that is durable is the same to the last number when it is read back."""
        desk = self.site.desk
        if not desk.is_settled:
            return
        again = Desk(desk.instruments, desk.limits, lambda: 2**30)
        for commit in self.site.journal:
            for kind, payload in commit:
                again.restore(kind, payload)
        assert numbers(again) == numbers(desk)
        assert view(again) == view(desk)

    def check(self) -> None:
        self.settle()
        self.check_restart()
        site, desk = self.site, self.site.desk
        for order_id, cl_ord_id in self.acknowledged.items():
            assert desk.find(cl_ord_id.encode()) == order_id, "acknowledged, and lost"
        participant = site.engine.core._participants[SESSION]
        assert participant.receiver.next_sequence == desk.table.end, "each record reached the engine once"
        site.engine.core.matcher.check_invariants()
        live = {order.sequence: order.leaves for order in participant.orders.live.values()}
        assert sorted(live) == desk.table.live_orders(1, desk.table.end) and desk.table.open == len(live)
        net, filled, told = Counter[int](), Counter[int](), Counter[int]()
        for execution in desk.executions.read(0, 10**6):
            report = execution.report
            told[report.order] += report.exec_type in (ExecType.NEW, ExecType.REJECTED)
            if report.exec_type is ExecType.TRADE:
                filled[report.order] += report.last_qty
                net[report.account] += -report.last_qty if report.sell else report.last_qty
        opened: dict[int, list[int]] = {account: [0, 0, 0] for account in ACCOUNTS}
        for row in range(1, desk.table.end):
            place = desk.table.locate(row)
            assert place is not None
            page, at = place
            if is_order(page, at):
                assert filled[row] == (page.cum_qty[at] if page.cum_qty is not None else 0)
                assert told[row] <= 1
            if row in live:
                _, _, _, _, account, _, flags = unpack(page, at)
                opened[account][flags & FLAG_SELL] += live[row]
                opened[account][2] += 1
        for account, (buy, sell, orders) in opened.items():
            position = desk.positions.position(account, 1)
            assert (position.net, position.open, position.orders) == (net[account], [buy, sell], orders)
        stays = {name for name in self.must_go if desk.find(name.encode()) in live}
        assert not stays, "guarded, and its client is gone"

    def settle(self) -> None:
        site = self.site
        site.holds_commits, site.is_slow, site.engine.up = False, False, True
        for _ in range(60):
            site.advance(0.25)
            if not site.desk.unconfirmed and site.desk.is_settled and site.desk.withdrawals.is_idle:
                break
        assert site.desk.withdrawals.is_idle and not site.desk.unconfirmed
        self.look()


@settings(max_examples=examples(30), deadline=None)
@given(steps)
def test_nothing_is_lost_or_counted_wrong_whatever_clients_say_and_whoever_is_killed(history: list[Any]) -> None:
    assert EPOCH_NS % 10**6 == 0
    life = Life()
    for step in history:
        life.do(*step)
    life.check()
