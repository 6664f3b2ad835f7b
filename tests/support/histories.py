"""Random lives of a site: what clients send, and what happens to the disk, the engine and orderd meanwhile."""

from typing import Any

from hypothesis import strategies as st

from orderd.intake import render
from orderd.orders.desk import Desk
from orderd.orders.table import is_order
from orderd.wire.extensions import numbered, pack
from orderd.wire.records import RECORD, STP_SHIFT, TIF_SHIFT, Attribute, Kind, TimeInForce
from tests.support.site import SESSION, Client, Site, pairs_of, site_settings

IDS = [b"a", b"b", b"c", b"7", b"8", b"100"]
NUMBERS = [b"%d" % number for number in range(100, 200)]
SHAPES = st.lists(st.sampled_from("NNNNNNXXCCRRM"), min_size=1, max_size=25)
SAID = (
    (Attribute.TRIGGER, 2),
    (Attribute.DISPLAY, 1),
    (Attribute.MINIMUM, 2),
    (Attribute.EXPIRY, 2_000_000_000_000_000_000),
)


def batch_of(first: int, shape: list[str]) -> bytes:
    """Records: each ``N`` is a NEW with the next number, ``C`` a cancel and ``R`` a replace of the one before.

    ``X`` is a NEW too, with extensions before it; ``M`` is a mass cancel of a side or of all.
    """
    out, number = b"", first
    for i, kind in enumerate(shape):
        if kind == "X":
            said = SAID[i % 4]
            extensions = pack(1, [said, (Attribute.DISPLAY, 1)] if i % 4 == 3 else [said])
            flags = i % 2 | (TimeInForce.GTD << TIF_SHIFT if i % 4 == 3 else i % 3 << STP_SHIFT)
            out += numbered(extensions, number) + RECORD.pack(number, 1 + i % 3, 3, 1, 0, Kind.NEW, flags)
            number += 1
        elif kind == "N":
            out += RECORD.pack(number, 1 + i % 4, 1 + i % 3, 1, 0, Kind.NEW, i % 2)
            number += 1
        elif kind == "C":
            out += RECORD.pack(max(first, number - 1), 0, 0, 1, 0, Kind.CANCEL, 0)
        elif kind == "M":
            out += RECORD.pack(0, 0, 0, 0, 0, Kind.MASS_CANCEL, (0, 0, 2, 3)[i % 4])
        else:
            out += RECORD.pack(max(first, number - 1), 2, 2, 1, 0, Kind.REPLACE, 0)
    return out


def view(desk: Desk) -> dict[str, object]:
    """All that anybody can ever see of it."""
    places = [(i, desk.table.locate(i)) for i in range(1, desk.table.end) if desk.table.remembers(i)]
    rows = [i for i, place in places if place is not None and is_order(*place)]
    batches = [desk.batches.find(b"B%d" % i) for i in range(9)]
    return {
        "orders": [render.order_pairs(desk, 2, i) for i in rows],
        "executions": [render.execution(desk, 2, e) for e in desk.executions.read(desk.executions.first - 1, 10**6)],
        "found": {i: desk.find(i) for i in [*IDS, *NUMBERS, *(b"r%d" % r for r in range(5))]},
        "batches": [batch and render.batch_pairs(2, batch, b"DONE") for batch in batches],
        "marks": (desk.committed_end, desk.outcomes.confirmed_end, desk.reports_next, desk.table.open, desk.table.done),
        "reserved": desk._reserved_next,
        "trading": desk.trading.state,
        "engine": (desk.engine, desk.engine_is_journaled, desk.epoch),
    }  # fmt: skip


class History:
    """One random life of a site. Checks what must hold whenever it can be seen."""

    def __init__(self, **limits: Any) -> None:
        self.site = Site(site_settings(**limits))
        self.client: Client = self.site.connect()
        self.acknowledged: dict[int, str] = {}
        self.settled: list[tuple[int, dict[str, object]]] = []

    def send(self, *words: bytes | str | int) -> None:
        before = self.site.engine.core.counters.orders
        self.client.send(*words)
        if self.site.holds_commits:
            self.site.pump()
            assert self.site.engine.core.counters.orders <= max(before, self.site.desk.committed_end - 1)
        self.site.pump()
        self.take_replies()

    def take_replies(self) -> None:
        for reply in self.client.replies():
            if isinstance(reply, list) and reply and reply[0] == b"cl_ord_id":
                pairs = pairs_of(reply)
                if pairs["status"] != "UNKNOWN":
                    order_id = int(pairs["order_id"])
                    assert order_id < self.site.desk.committed_end, "told before it was durable"
                    known = self.acknowledged.setdefault(order_id, pairs["cl_ord_id"])
                    assert known == pairs["cl_ord_id"]

    def do(self, name: str, *values: object) -> None:
        site = self.site
        if name == "hold":
            site.holds_commits = bool(values[0])
        elif name == "slow":
            site.is_slow = bool(values[0])
        elif name == "durable":
            site.end_commit()
            site.pump()
        elif name == "engine":
            site.engine.up = bool(values[0])
        elif name == "time":
            site.advance(0.3)
        elif name == "kill":
            site.start(commit_survived=bool(values[0]))
            self.client = site.connect()
        elif name == "kill engine":
            site.engine.start()
        elif name == "hang up":
            site.intake.disconnect(self.client.connection)
            site.pump()
            self.client = site.connect()
        elif name == "settle":
            self.settle()
        else:
            self.send(name, *values)  # type: ignore[arg-type]
        self.take_replies()

    def settle(self) -> None:
        site = self.site
        site.holds_commits, site.is_slow, site.engine.up = False, False, True
        for _ in range(40):
            site.advance(0.25)
            if not site.desk.unconfirmed and site.desk.is_settled:
                break
        assert not site.desk.unconfirmed
        self.take_replies()
        self.settled.append((len(site.journal), view(site.desk)))

    def check(self) -> None:
        self.settle()
        site, desk = self.site, self.site.desk
        for order_id, cl_ord_id in self.acknowledged.items():
            if desk.table.remembers(order_id):
                assert b"%d" % order_id in render.order_pairs(desk, 2, order_id)
                assert cl_ord_id.encode() in render.order_pairs(desk, 2, order_id)
        participant = site.engine.core._participants[SESSION]
        assert participant.receiver.next_sequence == desk.table.end, "each order reached the engine once"
        assert desk.table.open == len(participant.orders.live)
        site.engine.core.matcher.check_invariants()


words = st.one_of(
    st.tuples(
        st.just("ORDER.NEW"), st.sampled_from(IDS), st.just("AAPL"), st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 3), st.just("LIMIT"), st.sampled_from(["0.01", "0.02", "0.03"]),
        st.just("TIF"), st.sampled_from(["DAY", "GTC", "IOC", "FOK"]),
        st.just("MODE"), st.sampled_from(["sync", "batch", "fire-and-forget"]),
    ),
    st.tuples(
        st.just("ORDER.NEW"), st.sampled_from(IDS), st.just("AAPL"), st.sampled_from(["BUY", "SELL"]),
        st.integers(1, 3), st.just("MARKET"),
    ),
    st.tuples(
        st.just("ORDER.NEW"), st.sampled_from(IDS), st.just("AAPL"), st.sampled_from(["BUY", "SELL"]),
        st.just(2), st.just("LIMIT"), st.just("0.02"), st.just("MAXAGE"), st.sampled_from([1, 200, 5000]),
        st.just("MODE"), st.sampled_from(["sync", "fire-and-forget"]),
    ),
    st.builds(
        lambda head, options: (*head, *options),
        st.tuples(
            st.just("ORDER.NEW"), st.sampled_from(IDS), st.just("AAPL"), st.sampled_from(["BUY", "SELL"]),
            st.integers(2, 3), st.just("LIMIT"), st.sampled_from(["0.01", "0.02", "0.03"]),
        ),
        st.sampled_from([
            ("POSTONLY",), ("ACCOUNT", 3), ("ACCOUNT", 3, "TIF", "IOC"),
            ("STP", "CANCEL_OLDEST"), ("STOP", "0.02"), ("DISPLAY", 1), ("MINQTY", 2, "TIF", "IOC"),
            ("STOP", "0.02", "DISPLAY", 1, "STP", "CANCEL_BOTH"),
            ("GTD", "2033-05-18T03:33:20Z", "MINQTY", 1, "DISPLAY", 2),
            ("DISPLAY", 2, "MAXAGE", 200, "MODE", "fire-and-forget"), ("STOP", "0.03", "MODE", "fire-and-forget"),
        ]),
    ),
    st.tuples(st.just("ORDER.MASSCANCEL"), st.just("SIDE"), st.sampled_from(["BUY", "SELL"])),
    st.tuples(st.just("TRADING"), st.sampled_from(["ACTIVE", "ACTIVE", "HALTED"])),
    st.tuples(st.just("ORDER.CANCEL"), st.sampled_from(IDS)),
    st.tuples(st.just("ORDER.CANCEL"), st.sampled_from(IDS), st.just("ID"), st.sampled_from(["r1", "r2", "8"])),
    st.tuples(
        st.just("ORDER.REPLACE"), st.sampled_from(IDS), st.integers(1, 4), st.sampled_from(["0.01", "0.04"]),
        st.just("ID"), st.sampled_from(["r1", "r3", "r4"]),
    ),
    st.tuples(st.just("ORDER.REPLACE"), st.sampled_from(IDS), st.integers(1, 4), st.just("0.02"), st.just("OPEN")),
    st.tuples(
        st.just("ORDER.BATCH"), st.sampled_from([b"B%d" % i for i in range(5)]),
        st.builds(batch_of, st.sampled_from([100, 120, 140]), SHAPES),
    ),
    st.tuples(st.just("ORDER.RESERVE"), st.integers(1, 50)),
    st.tuples(st.just("CLIENT"), st.just("CANCELONDISCONNECT"), st.sampled_from(["ON", "ON", "OFF"])),
    st.tuples(st.just("EXEC.READ"), st.just(0)),
)  # fmt: skip
happenings = st.one_of(
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("engine"), st.booleans()),
    st.tuples(st.just("slow"), st.booleans()),
    st.tuples(st.just("kill"), st.booleans()),
    *(st.tuples(st.just(name)) for name in ("durable", "time", "kill engine", "settle", "hang up")),
)
histories = st.lists(st.one_of(words, words, words, happenings), max_size=30)
