"""Each rule of the oracle can be broken, and a history in which none is broken passes."""

import attrs
import pytest

from engine.inputs import Boot, EpochInput
from orderd.orders import entries
from orderd.orders.ages import AgeMark
from orderd.orders.batches import digest_of
from orderd.orders.entries import BatchMark
from orderd.orders.guards import GuardMark
from orderd.wire.records import RECORD, Kind
from orderd.wire.reports import ExecType, Report
from tests.simulation.oracle import guards
from tests.simulation.stories import (
    BOUNDED,
    BUY,
    NONCE,
    SESSION,
    TIME_NS,
    Story,
    broken,
    cancel,
    error,
    flat,
    items_of,
    new,
    order,
    traded,
)


@pytest.fixture
def story() -> Story:
    return Story()


# --- a world without a fault ------------------------------------------------------------------------------------------


def test_a_history_without_a_fault_passes_to_the_end(story: Story) -> None:
    first, second = traded(story)
    story.hear(first, story.pairs(1, 1))
    story.hear(second, story.pairs(2))
    story.report()
    read = story.say(b"EXEC.READ", b"0")
    executions = [
        [b"%d" % exec_id, flat(story.oracle._executions["a"]._pairs_of(exec_id, {}))] for exec_id in range(1, 5)
    ]
    story.hear(read, executions)
    story.oracle.audited("a", [(i, story.oracle._executions["a"]._pairs_of(i, {})) for i in range(1, 5)], story.now)
    book = [b"symbol", b"AAPL", b"bids", [[b"1.00", b"2", b"1"]], b"asks", []]
    empty = [b"symbol", b"BTC", b"bids", [], b"asks", []]
    positions = [flat({"account": "0", "symbol": "AAPL", "net": "0", "open_buy": "2", "open_sell": "0",
                        "last_px": "1.00"})]  # fmt: skip
    info = dict.fromkeys(("orders_queued", "orders_unconfirmed", "orders_remembered"), "0") | {
        "orders_open": "1", "orders_last_id": "2", "executions_last_id": "4", "journal_epoch": "1",
    }  # fmt: skip
    orders = [{k.decode(): v.decode() for k, v in items_of(story.pairs(i))} for i in (1, 2)]
    story.oracle.final("a", orders, positions, {"AAPL": book, "BTC": empty}, info)
    story.oracle.verdict()
    assert story.oracle.figures()["trades"] == 1
    for key in info:
        if key != "orders_remembered":
            with broken("final"):
                story.oracle.final("a", orders, positions, {}, info | {key: "9"})
    with broken("final"):
        story.oracle.final("a", orders[:1], positions, {}, info)
    with broken("final"):
        story.oracle.final("a", orders, [], {}, info)
    with broken("final"):
        story.oracle.final("a", orders, positions, {"AAPL": empty}, info)


# --- journals and the engine's inputs ---------------------------------------------------------------------------------


def test_what_a_commit_returned_for_is_there_at_the_next_start(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    kept = list(story.oracle._journals["a"].entries)
    story.oracle.replayed("a", 0, kept, story.now)
    story.oracle.replayed("a", 1, kept[1:], story.now)
    for changed in (kept[:-1], [*kept[:-1], (4, b"x")]):
        other = Story()
        other.place(b"t1", BUY, b"1.00")
        with broken("journal"):
            other.oracle.replayed("a", 0, changed, other.now)


def test_one_commit_more_may_be_there_and_counts_with_the_next_start(story: Story) -> None:
    number = story.say(*order(b"t1", BUY, b"1.00"))
    group = entries.Orders(1, 1, new(1, BUY, b"1.00"), [(0, b"t1")], []).encode()
    kept = list(story.oracle._journals["a"].entries)
    story.oracle.replayed("a", 0, [*kept, group], story.now)
    assert not story.oracle.sites["a"].rows
    story.start(2, 100)
    assert len(story.oracle.sites["a"].rows) == 1
    with broken("state"):
        story.hear(number, story.pairs(1, cum_qty="1", status="UNKNOWN", reason="SENT"))
    with broken("journal"):
        Story().oracle.replayed("a", 0, [*kept, group, group], 0.0)


def test_a_record_belongs_to_a_command_that_was_said(story: Story) -> None:
    story.say(*order(b"t1", BUY, b"1.00"))
    with broken("invented"):
        story.journal(new(1, BUY, b"1.01"), ids=(b"t1",))
    with broken("invented"):
        Story().journal(new(1, BUY, b"1.00"), ids=(b"t1",))


def test_an_id_is_journaled_once(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    story.say(*order(b"t1", BUY, b"1.00"))
    with broken("twice"):
        story.journal(new(2, BUY, b"1.00"), ids=(b"t1",))


def test_a_cancel_is_journaled_as_often_as_it_was_said(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    story.say(b"ORDER.CANCEL", b"t1")
    story.journal(cancel(1))
    with broken("twice"):
        story.journal(cancel(1))


def test_a_cancel_stands_behind_its_order(story: Story) -> None:
    story.say(b"ORDER.CANCEL", b"t1")
    with broken("overtaken"):
        story.journal(cancel(2))


def test_a_connections_commands_are_journaled_in_their_order(story: Story) -> None:
    story.say(*order(b"t1", BUY, b"1.00"))
    story.say(*order(b"t2", BUY, b"1.00"))
    story.journal(new(1, BUY, b"1.00"), ids=(b"t2",))
    with broken("order"):
        story.journal(new(2, BUY, b"1.00"), ids=(b"t1",))


def test_what_was_refused_is_not_journaled(story: Story) -> None:
    number = story.say(*order(b"t1", BUY, b"1.00"))
    story.hear(number, error("FULL try later"))
    with broken("refused"):
        story.journal(new(1, BUY, b"1.00"), ids=(b"t1",))
    other = Story()
    number = other.place(b"t1", BUY, b"1.00")
    with broken("refused"):
        other.hear(number, error("FULL try later"))


def test_a_transaction_is_journaled_whole(story: Story) -> None:
    for words in ((b"MULTI",), order(b"t1", BUY, b"1.00"), order(b"t2", BUY, b"1.00"), (b"EXEC",)):
        story.say(*words)
    story.journal(new(1, BUY, b"1.00"), ids=(b"t1",))
    with broken("torn"):
        story.journal(new(2, BUY, b"1.00"), ids=(b"t2",))


def test_a_batch_is_journaled_whole_and_once(story: Story) -> None:
    records = b"".join(RECORD.pack(n, 100, 1, 1, 0, Kind.NEW, 0) for n in (5, 6))
    story.say(b"ORDER.BATCH", b"b1", records)
    mark = BatchMark(0, 2, digest_of(records), b"b1")
    story.journal(records[:32], records[32:], batches=[mark])
    with broken("twice"):
        story.journal(records[:32], records[32:], batches=[mark])
    half = Story()
    half.say(b"ORDER.BATCH", b"b1", records)
    with broken("invented"):
        half.journal(records[:32], batches=[BatchMark(0, 1, digest_of(records), b"b1")])


def test_numbers_and_epochs_only_grow(story: Story) -> None:
    with broken("numbers"):
        story.gateway([entries.Orders(2, 1, new(2, BUY, b"1.00"), [(0, b"t1")], []).encode()])
    with broken("epoch"):
        Story().start(1, 5)
    with broken("epoch"):
        Story().engine([EpochInput(SESSION, NONCE + 1, 1).encode()])


def test_each_life_journals_its_start_first(story: Story) -> None:
    story.oracle.daemon_started("a", story.now)
    with broken("epoch"):
        story.gateway([entries.Reserve(5).encode()])
    engine = Story()
    engine.oracle.daemon_started("engine", engine.now)
    with broken("boot"):
        engine.engine([EpochInput(SESSION, NONCE, 1).encode()])
    with broken("boot"):
        Story().engine([Boot(1).encode()])


def test_the_engine_executes_what_is_durable_once_and_in_order(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    story.execute()
    with broken("sequence"):
        story.execute(records=story.rows[0], first=1)
    with broken("sequence"):
        other = Story()
        other.place(b"t1", BUY, b"1.00")
        other.place(b"t2", BUY, b"1.00")
        other.execute(records=other.rows[1], first=2)
    with broken("invented"):
        Story().execute(records=new(1, BUY, b"1.00"))


def test_a_sequence_has_one_content(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    with broken("content"):
        story.execute(records=new(1, BUY, b"1.01"))
    other = Story()
    other.place(b"t1", BUY, b"1.00")
    with broken("void"):
        other.execute(records=_void(other.rows[0]))


def _void(record: bytes) -> bytes:
    return record[:30] + b"\0" + record[31:]


def test_an_order_goes_as_a_void_only_when_it_is_too_old(story: Story) -> None:
    for maxage, rule in ((b"1000", ""), (b"60000", "void")):
        one = Story()
        one.say(*order(b"t1", BUY, b"1.00", b"5", b"MAXAGE", maxage))
        one.journal(new(1, BUY, b"1.00"), ids=(b"t1",), ages=[AgeMark(0, int(maxage), 1)])
        if rule:
            with broken(rule):
                one.execute(records=_void(one.rows[0]))
        else:
            one.execute(records=_void(one.rows[0]))


def test_reports_are_acknowledged_only_when_they_are_journaled(story: Story) -> None:
    traded(story)
    story.place(b"t3", BUY, b"1.00")
    story.reported = 3
    with broken("acknowledged"):
        story.execute()


def test_reports_are_those_of_the_model(story: Story) -> None:
    traded(story)
    told = story.expected()
    story.report(told[0])
    with broken("reports"):
        story.report(attrs.evolve(told[1], order=1))
    other = Story()
    other.place(b"t1", BUY, b"1.00")
    with broken("reports"):
        other.report(Report(1, ExecType.NEW, 1, 1, final=True, transact_time_ns=TIME_NS))


# --- bounds, guards, ends ---------------------------------------------------------------------------------------------


def test_what_is_unconfirmed_is_bounded() -> None:
    story = Story(BOUNDED)
    story.place(b"t1", BUY, b"1.00")
    story.place(b"t2", BUY, b"1.00")
    with broken("bounds"):
        story.place(b"t3", BUY, b"1.00")


def test_who_stops_in_order_has_answered_all_that_it_journaled(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    story.oracle.sigterm("a", story.now)
    story.oracle.daemon_ended("a", "stopped", None, story.now + 0.1)
    with broken("shutdown"):
        story.oracle.ended("a", 1, "daemon", story.now + 0.2)


def test_guards_hold_those_orders_that_they_were_asked_to(story: Story) -> None:
    story.say(*order(b"t1", BUY, b"1.00"))
    with broken("guards"):
        story.journal(new(1, BUY, b"1.00"), ids=(b"t1",), guards=[GuardMark(0, 1, 5)])
    other = Story()
    other.hear(other.say(b"CLIENT", b"CANCELONDISCONNECT", b"ON"), b"OK")
    other.say(*order(b"t1", BUY, b"1.00"))
    with broken("guards"):
        other.journal(new(1, BUY, b"1.00"), ids=(b"t1",))


def test_guarded_orders_do_not_stay_open(story: Story) -> None:
    story.hear(story.say(b"CLIENT", b"CANCELONDISCONNECT", b"ON"), b"OK")
    story.say(*order(b"t1", BUY, b"1.00"))
    story.journal(new(1, BUY, b"1.00"), ids=(b"t1",), guards=[GuardMark(0, 1, 5)])
    story.execute()
    with broken("guards"):
        guards.check_all(story.oracle.sites["a"])
    with broken("guards"):
        guards.take_end(story.oracle.sites["a"], 5, 0.0)
    del story.oracle.sites["a"].guards_ended[5]
    story.journal(cancel(1))
    story.gateway([entries.GuardEnd(5).encode()])
    story.execute()
    guards.check_all(story.oracle.sites["a"])
    with broken("twice"):
        story.journal(cancel(1))


def test_a_journaled_order_that_never_reaches_the_engine_is_lost(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    with broken("lost"):
        story.oracle.final("a", [], [], {}, {})
