"""The desk with a real link and a real engine: random histories, and what a restart finds at any point of them."""

from typing import Any

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.intake import render
from orderd.orders.desk import RESERVED_FIRST, Desk, DeskLimits, InstrumentsChanged, Mode
from orderd.orders.entries import BatchMark, EntryError, EntryKind, Orders, Reserve
from orderd.orders.errors import Full
from orderd.orders.table import is_order
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.records import RECORD, Kind
from tests.support.accounts import account_of
from tests.support.site import INSTRUMENTS, Client, Site, pairs_of, site_settings

IDS = [b"a", b"b", b"c", b"7", b"8", b"100"]
NUMBERS = [b"%d" % number for number in range(100, 200)]
SHAPES = st.lists(st.sampled_from("NNNCR"), min_size=1, max_size=25)


def batch_of(first: int, shape: list[str]) -> bytes:
    """Records: each ``N`` is a NEW with the next number, ``C`` a cancel and ``R`` a replace of the one before."""
    out, number = b"", first
    for i, kind in enumerate(shape):
        if kind == "N":
            out += RECORD.pack(number, 1 + i % 4, 1 + i % 3, 1, 0, Kind.NEW, i % 2)
            number += 1
        elif kind == "C":
            out += RECORD.pack(max(first, number - 1), 0, 0, 1, 0, Kind.CANCEL, 0)
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
        elif name == "engine":
            site.engine.up = bool(values[0])
        elif name == "time":
            site.advance(0.3)
        elif name == "kill":
            site.start()
            self.client = site.connect()
        elif name == "kill engine":
            site.engine.start()
        elif name == "settle":
            self.settle()
        else:
            self.send(name, *values)  # type: ignore[arg-type]
        self.take_replies()

    def settle(self) -> None:
        site = self.site
        site.holds_commits, site.engine.up = False, True
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
        participant = site.engine.core._participants[0x5E55]
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
    st.tuples(st.just("EXEC.READ"), st.just(0)),
)  # fmt: skip
happenings = st.one_of(
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("engine"), st.booleans()),
    *(st.tuples(st.just(name)) for name in ("time", "kill", "kill engine", "settle")),
)
histories = st.lists(st.one_of(words, words, words, happenings), max_size=30)


@settings(max_examples=120)
@given(histories)
def test_a_restart_at_any_point_finds_what_was_seen_there(history: list[tuple[object, ...]]) -> None:
    life = History()
    for step in history:
        life.do(*step)  # type: ignore[arg-type]
    life.check()
    for commits, seen in life.settled:
        desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
        for commit in life.site.journal[:commits]:
            for kind, payload in commit:
                desk.restore(kind, payload)
        assert view(desk) == seen


@settings(max_examples=80)
@given(histories, st.integers(1, 4), st.integers(1, 9))
def test_with_tight_bounds_nothing_open_or_acknowledged_is_lost(
    history: list[tuple[object, ...]], remembered: int, unconfirmed: int
) -> None:
    life = History(orders_remembered_max=remembered, orders_unconfirmed_max=unconfirmed)
    for step in history:
        life.do(*step)  # type: ignore[arg-type]
    life.check()
    life.site.desk.trim()
    assert life.site.desk.table.done <= remembered
    executions = []
    client, after = life.site.connect(), 0
    while found := client.call("EXEC.READ", after, "COUNT", 250):
        executions += [(int(exec_id), pairs_of(pairs)) for exec_id, pairs in found]
        after = executions[-1][0]
    del life.client
    account_of(executions)
    assert len([e for _, e in executions if e["exec_type"] == "NEW"]) == len(
        {e["order_id"] for _, e in executions if e["exec_type"] == "NEW"}
    )


def test_nothing_is_sent_or_shown_before_its_commit() -> None:
    site = Site()
    client, other = site.connect(), site.connect()
    site.holds_commits = True
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.send("ORDER.BATCH", "B", batch_of(100, ["N"] * 20))
    site.pump()
    asked = (
        ("ORDER.STATUS", "a"), ("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00"),
        ("ORDER.NEW", "a", "AAPL", "BUY", 2, "LIMIT", "1.00"), ("ORDER.BATCH", "B", batch_of(100, ["N"])),
        ("ORDER.BATCH", "C", batch_of(119, ["N"])), ("ORDER.NEW", "100", "AAPL", "BUY", 9, "LIMIT", "1.00"),
        ("ORDER.CANCEL", "a", "ID", "r"), ("ORDER.WAIT", "a", 1000), ("ORDER.RESERVE", 5),
    )  # fmt: skip
    clients = [site.connect() for _ in asked]
    for asking, words_ in zip(clients, asked, strict=True):
        asking.send(*words_)
    site.pump()
    assert [c.replies() for c in (client, *clients)] == [[]] * (1 + len(asked))
    assert other.call("ORDER.LIST", "ALL") == []
    assert site.engine.core.counters.orders == 0
    site.holds_commits = False
    site.pump()
    assert len(client.replies()) == 2
    answers = [c.replies()[0] for c in clients]
    errors = [str(a).split()[0] for a in answers if isinstance(a, hiredis.ReplyError)]
    assert errors == ["DUPLICATE"] * 4
    assert site.engine.core.counters.orders == 22


def test_what_never_reached_the_disk_was_never_there() -> None:
    site = Site()
    site.holds_commits = True
    client = site.connect()
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.send("ORDER.RESERVE", 100)
    site.pump()
    site.holds_commits = False
    site.start()
    client = site.connect()
    assert client.error("ORDER.STATUS", "a").startswith("NOTFOUND")
    assert client.pairs("ORDER.NEW", "a", "AAPL", "SELL", 1, "LIMIT", "2.00")["order_id"] == "1"
    assert client.call("ORDER.RESERVE", 1) == RESERVED_FIRST


def test_the_same_order_again_gets_the_first_ones_outcome_and_another_is_a_duplicate() -> None:
    site = Site()
    client = site.connect()
    order = ("ORDER.NEW", "a", "AAPL", "BUY", 100, "LIMIT", "187.25")
    first = client.pairs(*order)
    assert client.pairs("ORDER.NEW", "a", "AAPL", "BUY", "0100", "LIMIT", "187.2500", "TIF", "DAY") == first
    assert client.pairs(*order, "MODE", "fire-and-forget") == first
    for other in (
        ("ORDER.NEW", "a", "AAPL", "SELL", 100, "LIMIT", "187.25"),
        ("ORDER.NEW", "a", "AAPL", "BUY", 99, "LIMIT", "187.25"),
        ("ORDER.NEW", "a", "AAPL", "BUY", 100, "LIMIT", "187.26"), (*order, "TIF", "GTC"), (*order, "ACCOUNT", 1),
        ("ORDER.NEW", "a", "AAPL", "BUY", 100, "MARKET"), ("ORDER.NEW", "a", "BTC", "BUY", 100, "LIMIT", "187.5"),
    ):  # fmt: skip
        assert client.error(*other) == "DUPLICATE a is another order"
    site.start()
    client = site.connect()
    assert client.pairs(*order) == first
    assert site.engine.core.counters.orders == 1


def test_a_cancel_or_replace_with_an_id_is_done_once() -> None:
    client = Site().connect()
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 10, "LIMIT", "1.00")
    for _ in range(3):
        assert client.pairs("ORDER.REPLACE", "a", 5, "1.00", "OPEN", "ID", "r")["quantity"] == "5"
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 2, "LIMIT", "1.00")
    again = client.pairs("ORDER.REPLACE", "a", 5, "1.00", "OPEN", "ID", "r")
    assert (again["quantity"], again["leaves_qty"]) == ("5", "3")
    assert client.error("ORDER.REPLACE", "a", 6, "1.00", "OPEN", "ID", "r").startswith("DUPLICATE")
    assert client.error("ORDER.CANCEL", "a", "ID", "r").startswith("DUPLICATE")
    assert client.error("ORDER.NEW", "r", "AAPL", "BUY", 10, "LIMIT", "1.00").startswith("DUPLICATE")
    assert client.pairs("ORDER.STATUS", "r")["cl_ord_id"] == "a"
    assert client.pairs("ORDER.CANCEL", "a", "ID", "c")["status"] == "CANCELED"
    assert client.pairs("ORDER.CANCEL", "a", "ID", "c") == client.pairs("ORDER.STATUS", "a")
    late = client.pairs("ORDER.CANCEL", "a")
    assert (late["status"], late["reason"]) == ("CANCELED", "TOO_LATE")


def test_at_the_bound_orders_are_refused_and_cancels_still_go() -> None:
    site = Site(site_settings(orders_unconfirmed_max=3, mode="fire-and-forget"))
    site.engine.up = False
    client = site.connect()
    for i in range(3):
        assert client.pairs("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "1.00")["status"] == "QUEUED"
    assert client.error("ORDER.NEW", "a3", "AAPL", "BUY", 1, "LIMIT", "1.00") == (
        "FULL orders_unconfirmed_max is reached: 3 of 3"
    )
    assert client.error("ORDER.BATCH", "B", batch_of(100, ["N"])).startswith("FULL")
    assert client.pairs("ORDER.NEW", "a0", "AAPL", "BUY", 1, "LIMIT", "1.00")["status"] == "QUEUED"
    for i in range(64):
        assert client.pairs("ORDER.CANCEL", "a1", "ID", f"c{i}")["status"] == "QUEUED"
    assert client.error("ORDER.CANCEL", "a1").startswith("FULL")
    site.engine.up = True
    site.advance(1)
    assert client.pairs("ORDER.STATUS", "a1")["status"] == "CANCELED"
    assert client.pairs("ORDER.NEW", "a3", "AAPL", "BUY", 1, "LIMIT", "1.00")["status"] == "QUEUED"


def test_a_full_disk_refuses_orders_before_cancels() -> None:
    site = Site()
    client = site.connect()
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.writer.room = site.settings.journal.segment_bytes // 8
    assert client.error("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00") == "FULL the journal's disk is full"
    assert client.error("ORDER.BATCH", "B", batch_of(100, ["N"])) == "FULL the journal's disk is full"
    assert client.pairs("ORDER.CANCEL", "a")["status"] == "CANCELED"
    site.writer.room = 2**30
    client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.writer.room = 40
    assert client.error("ORDER.CANCEL", "b", "ID", "x" * 60) == "FULL the journal's disk is full"
    assert client.pairs("ORDER.CANCEL", "b", "ID", "x")["status"] == "CANCELED"


def test_what_waits_for_a_commit_is_bounded() -> None:
    desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(group_bytes_max=160), lambda: 2**30)
    fields = (1, 1, 1, 0, 0)
    for i in range(4):
        desk.place(b"a%d" % i, fields, Mode.SYNC, 0, 0)
    with pytest.raises(Full, match="the journal cannot keep up"):
        desk.place(b"a5", fields, Mode.SYNC, 0, 0)
    desk.request(1, Kind.CANCEL, 0, 0, None, Mode.SYNC, 0, 0)
    for _ in range(1000):
        desk.reserve(3)
    assert len(desk.take_entries()) == 2


def test_a_forgotten_order_is_new_again() -> None:
    client = Site(site_settings(orders_remembered_max=2)).connect()
    for i in range(4):
        client.pairs("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "MARKET")
    assert client.error("ORDER.STATUS", "a0").startswith("NOTFOUND")
    assert client.pairs("ORDER.STATUS", "a3")["status"] == "CANCELED"
    assert client.pairs("ORDER.NEW", "a0", "AAPL", "BUY", 1, "MARKET")["order_id"] == "5"


def test_numbers_in_a_batch_and_text_ids_that_are_numbers_are_the_same_thing() -> None:
    client = Site().connect()
    client.call("ORDER.BATCH", "B", batch_of(100, ["N"] * 20))
    assert client.pairs("ORDER.STATUS", "105")["cl_ord_id"] == "105"
    assert client.error("ORDER.NEW", "105", "BTC", "BUY", 100, "LIMIT", "1").startswith("DUPLICATE")
    client.pairs("ORDER.NEW", "300", "AAPL", "BUY", 1, "LIMIT", "0.01")
    assert client.error("ORDER.BATCH", "C", batch_of(299, ["N", "C", "N"])) == "DUPLICATE record 2: number 300 is known"
    assert client.pairs("ORDER.NEW", "0300", "AAPL", "BUY", 1, "LIMIT", "0.01")["cl_ord_id"] == "0300"


def test_an_id_used_again_within_the_commit_that_forgot_it_is_the_newer_order_after_a_restart() -> None:
    """Reports that made the desk forget come behind the orders of the same commit in the journal."""
    desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
    records = b"".join(RECORD.pack(100 + i, 1, 1, 1, 0, Kind.NEW, 0) for i in range(20))
    desk.place(b"105", (9, 9, 1, 0, 0), Mode.SYNC, 0, 0)
    first = desk.take_entries()
    desk.committed()
    group = Orders(2, 0, records, [], [BatchMark(0, 20, bytes(16), b"B")])
    fresh = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
    for kind, payload in [*desk_start(), *first, group.encode()]:
        fresh.restore(kind, payload)
    assert fresh.find(b"105") == 7
    assert fresh.find(b"106") == 8


def desk_start() -> list[tuple[int, bytes]]:
    return Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30).start(1)


def test_a_request_is_never_taken_for_an_order() -> None:
    """Not even if the number of the order that it was about was forgotten and became the id of another request."""
    client = Site(site_settings(orders_remembered_max=3)).connect()
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.pairs("ORDER.NEW", "7", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.pairs("ORDER.CANCEL", "7", "ID", "r")
    client.pairs("ORDER.NEW", "x", "AAPL", "BUY", 1, "MARKET")
    client.pairs("ORDER.REPLACE", "a", 2, "1.00", "ID", "7x")
    assert client.error("ORDER.STATUS", "7").startswith("NOTFOUND")
    client.pairs("ORDER.REPLACE", "a", 3, "1.00", "ID", "7")
    assert client.pairs("ORDER.STATUS", "7")["cl_ord_id"] == "a"
    for name in ("r", "7x"):
        reply = client.call("ORDER.STATUS", name)
        assert isinstance(reply, hiredis.ReplyError) or pairs_of(reply)["cl_ord_id"] == "a"


def test_totals_count_from_the_start_of_the_process() -> None:
    site = Site()
    client = site.connect()
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.call("ORDER.BATCH", "B", RECORD.pack(5, 0, 0, 1, 0, Kind.CANCEL, 0))
    assert site.desk.outcomes.counters.rejected == 1
    site.start()
    assert site.desk.outcomes.counters.rejected == 0
    assert sum(site.desk.outcomes.counters.confirmed.values()) == site.desk.received == 0


def test_an_instrument_never_changes_and_may_be_added() -> None:
    desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
    entries = desk.start(1)
    assert [kind for kind, _ in entries] == [EntryKind.INSTRUMENT, EntryKind.INSTRUMENT, EntryKind.START]
    for table, changed in (
        ([INSTRUMENTS[0]], True),
        ([INSTRUMENTS[0], Instrument("BTC", 2, "0.1", "0.001")], True),
        ([*INSTRUMENTS, Instrument("MSFT", 3, "0.01", "1")], False),
    ):
        again = Desk(InstrumentTable(table), DeskLimits(), lambda: 2**30)
        for kind, payload in entries:
            again.restore(kind, payload)
        if changed:
            with pytest.raises(InstrumentsChanged, match="BTC 0.5 0.001"):
                again.start(2)
        else:
            assert [kind for kind, _ in again.start(2)] == [EntryKind.INSTRUMENT, EntryKind.START]
            assert again.epoch == 2


@pytest.mark.parametrize(
    "entry",
    [
        Orders(2, 0, bytes(32), [], []).encode(),
        Orders(1, 0, bytes(32), [], [BatchMark(0, 1, bytes(16), b"B")]).encode(),
        (EntryKind.REPORTS, (5).to_bytes(8, "little") + b"\1"),
        (99, b""),
    ],
)
def test_a_journal_that_does_not_follow_is_refused(entry: tuple[int, bytes]) -> None:
    with pytest.raises(EntryError):
        Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30).restore(*entry)


def test_all_numbers_given_out_is_full() -> None:
    desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
    desk.restore(*Reserve(2**63 - 5).encode())
    assert desk.reserve(5) == 2**63 - 5
    with pytest.raises(Full):
        desk.reserve(1)
