"""The desk with a real link and a real engine: random histories, and what a restart finds at any point of them."""

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.desk import RESERVED_FIRST, TRIM_ROWS_AT_ONCE, Desk, DeskLimits
from orderd.orders.entries import BatchMark, EntryError, EntryKind, Orders, Reserve
from orderd.orders.errors import Full, InstrumentsChanged
from orderd.orders.modes import Mode
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.records import RECORD, Kind
from tests.support.accounts import account_of
from tests.support.histories import History, batch_of, histories, view
from tests.support.scale import examples
from tests.support.site import INSTRUMENTS, Site, pairs_of, site_settings


@settings(max_examples=examples(250))
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


@settings(max_examples=examples(200))
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
    asked: tuple[tuple[bytes | str | int, ...], ...] = (
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


def test_what_comes_while_a_commit_is_under_way_waits_for_the_next() -> None:
    site = Site()
    site.advance(2)
    one, two, three = site.connect(), site.connect(), site.connect()
    site.is_slow = True
    one.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.pump()
    two.send("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
    three.send("ORDER.RESERVE", 7)
    site.end_commit()
    site.pump()
    assert len(one.replies()) == 1
    assert (two.replies(), three.replies()) == ([], [])
    assert site.desk.committed_end == 2
    assert site.engine.core.counters.orders == 1
    site.end_commit()
    site.pump()
    assert (len(two.replies()), three.replies()) == (1, [RESERVED_FIRST])
    assert site.engine.core.counters.orders == 2


def test_reports_are_acknowledged_only_when_they_are_journaled() -> None:
    """Those that arrive while a commit is under way are not in it; a kill behind it finds them at the engine again."""
    site = Site()
    client = site.connect()
    site.engine.up = False
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
    site.is_slow = True
    client.send("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.pump()
    site.engine.up = True
    site.advance(1)
    assert (site.desk.reports_next, site.desk.reports_journaled) == (2, 1)
    site.end_commit()
    site.advance(1)
    assert (site.desk.reports_next, site.desk.reports_journaled) == (3, 1)
    assert site.gateway.link.reports_journaled == 1
    site.is_slow = False
    site.start()
    site.advance(1)
    client = site.connect()
    assert [pairs_of(e[1])["cl_ord_id"] for e in client.call("EXEC.READ", 0)] == ["a", "b"]
    assert client.pairs("ORDER.STATUS", "a")["status"] == "NEW"


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
        desk.entry.place(b"a%d" % i, fields, Mode.SYNC, 0, 0)
    with pytest.raises(Full, match="the journal cannot keep up"):
        desk.entry.place(b"a5", fields, Mode.SYNC, 0, 0)
    desk.entry.request(1, Kind.CANCEL, 0, 0, None, Mode.SYNC, 0, 0)
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


@pytest.mark.parametrize("name", ["7", "seven"])
def test_a_request_is_none_about_a_newer_order_of_the_same_id(name: str) -> None:
    client = Site(site_settings(orders_remembered_max=2)).connect()
    order = ("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00", "TIF", "GTC")
    client.pairs(*order)
    assert client.pairs("ORDER.CANCEL", name, "ID", "r")["status"] == "CANCELED"
    client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 1, "MARKET")
    assert client.pairs(*order)["order_id"] == "4", "only the cancel is remembered"
    assert client.error("ORDER.CANCEL", name, "ID", "r") == "DUPLICATE r is another order or request"
    assert client.pairs("ORDER.STATUS", name)["status"] == "NEW"


def test_many_open_orders_in_a_row_are_gone_through_in_steps() -> None:
    site = Site(site_settings(orders_remembered_max=2))
    client, count = site.connect(), 5 * TRIM_ROWS_AT_ONCE
    records = b"".join(RECORD.pack(number, 5, 1, 1, 0, Kind.NEW, 0) for number in range(1, count + 1))
    client.call("ORDER.BATCH", "B", records)
    steps, before = list[int](), site.desk.table.base
    while site.desk.table.base < count:
        client.pairs("ORDER.NEW", f"a{len(steps)}", "AAPL", "BUY", 1, "LIMIT", "0.01", "TIF", "IOC")
        steps.append(site.desk.table.base - before)
        before = site.desk.table.base
    # What is beyond the bound meanwhile only makes them longer, so that it cannot grow for ever.
    assert max(steps) <= TRIM_ROWS_AT_ONCE + 4 * len(steps)
    client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "0.01", "TIF", "IOC")
    assert site.desk.table.done == 2
    assert client.pairs("ORDER.STATUS", "1")["status"] == "NEW"


def test_a_batch_is_known_as_long_as_one_of_its_orders_is_open() -> None:
    site = Site(site_settings(orders_remembered_max=2))
    client = site.connect()
    records = b"".join(RECORD.pack(number, 5, 1, 1, 0, Kind.NEW, 0) for number in (100, 101, 102))
    client.call("ORDER.BATCH", "B", records)
    first = client.pairs("ORDER.BATCH", "B", records)
    cancels = b"".join(RECORD.pack(number, 0, 0, 1, 0, Kind.CANCEL, 0) for number in (100, 102))
    assert client.pairs("ORDER.BATCH", "cancels", cancels)["accepted"] == "2"
    for i in range(4):
        client.pairs("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "0.01", "TIF", "IOC")
    assert client.error("ORDER.STATUS", "100").startswith("NOTFOUND")
    assert first["status"] == "DONE" and client.pairs("ORDER.BATCH", "B", records) == first
    assert site.desk.batches.find(b"cancels") is None, "nothing of it is open"
    site.start()
    client = site.connect()
    assert client.pairs("ORDER.BATCH", "B", records) == first
    assert client.error("ORDER.BATCH", "B", cancels) == "DUPLICATE batch B is another batch"
    client.pairs("ORDER.CANCEL", "101")
    for i in range(4):
        client.pairs("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "0.01", "TIF", "IOC")
    assert site.desk.batches.find(b"B") is None, "nor is anything of this one, now"
    assert int(client.pairs("ORDER.BATCH", "B", records)["first_order_id"]) > 10


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
    desk.entry.place(b"105", (9, 9, 1, 0, 0), Mode.SYNC, 0, 0)
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
    assert sum(site.desk.outcomes.counters.confirmed.values()) == site.desk.entry.received == 0


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
