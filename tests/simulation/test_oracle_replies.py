"""Each rule of the oracle over what clients are told can be broken."""

import pytest

from orderd.orders import entries
from orderd.orders.batches import digest_of
from orderd.orders.entries import BatchMark
from orderd.wire.records import RECORD, Kind
from tests.simulation.oracle import Limits, SiteLimits
from tests.simulation.stories import BUY, SELL, Story, broken, cancel, error, flat, order, traded


@pytest.fixture
def story() -> Story:
    return Story()


# --- replies ----------------------------------------------------------------------------------------------------------


def test_nothing_is_told_before_it_is_durable(story: Story) -> None:
    truth = Story()
    truth.place(b"t1", BUY, b"1.00")
    for words in (order(b"t1", BUY, b"1.00", b"5", b"MODE", b"fire-and-forget"), (b"ORDER.STATUS", b"t1")):
        number = story.say(*words)
        with broken("durable"):
            story.hear(number, truth.pairs(1))
    number = story.say(b"ORDER.LIST", b"ALL")
    with broken("durable"):
        story.hear(number, [truth.pairs(1)])


def test_a_sync_reply_shows_all_that_the_order_did_at_once(story: Story) -> None:
    _, second = traded(story)
    with broken("state"):
        story.hear(second, story.pairs(2, 1))
    early = Story()
    number = early.place(b"t1", BUY, b"1.00")
    with broken("early"):
        early.hear(number, early.pairs(1, status="NEW", path="udp"))
    with broken("mode"):
        early.hear(number, early.pairs(1))


def test_an_order_shows_nothing_that_is_not_so(story: Story) -> None:
    traded(story)
    wrongs = (
        "cum_qty 4",
        "status REJECTED",
        "avg_px 1.000001",
        "leaves_qty 0",
        "reason IOC",
        "side SELL",
        "triggered 1",
    )
    for wrong in wrongs:
        key, value = wrong.split()
        number = story.say(b"ORDER.STATUS", b"t1")
        with broken("state"):
            story.hear(number, story.pairs(1, -1, **{key: value}))
    number = story.say(b"ORDER.STATUS", b"t1")
    with broken("ids"):
        story.hear(number, story.pairs(2))


def test_an_orders_life_never_goes_back(story: Story) -> None:
    traded(story)
    late = story.say(b"ORDER.STATUS", b"t1")
    number = story.say(b"ORDER.STATUS", b"t1")
    story.hear(number, story.pairs(1))
    # This one was asked before, and may have been answered before.
    story.hear(late, story.pairs(1, 1))
    number = story.say(b"ORDER.STATUS", b"t1")
    with broken("state"):
        story.hear(number, story.pairs(1, 1))


def test_a_restart_knows_what_is_journaled_and_need_not_know_more(story: Story) -> None:
    traded(story)
    story.report(*story.expected()[:1])
    story.hear(story.say(b"ORDER.STATUS", b"t1"), story.pairs(1))
    story.oracle.daemon_ended("a", "killed", None, story.now)
    story.start(2, 100)
    story.oracle.connected("a", 2, story.now)
    story.hear(story.say(b"ORDER.STATUS", b"t1", connection=2), story.pairs(1, 1), 2)
    number = story.say(b"ORDER.STATUS", b"t1", connection=2)
    with broken("state"):
        story.hear(number, story.pairs(1, 0), 2)


def test_unknown_is_said_for_a_reason_and_not_before_patience_ends(story: Story) -> None:
    number = story.place(b"t1", BUY, b"1.00")
    with broken("unknown"):
        story.hear(number, story.pairs(1, status="UNKNOWN", reason="IOC"))
    story.hear(number, story.pairs(1, status="UNKNOWN", reason="SENT"))
    with broken("unknown"):
        story.oracle.daemon_ended("a", "stopped", None, story.now)
    patient = Story()
    number = patient.place(b"t1", BUY, b"1.00")
    patient.now += 5
    patient.hear(number, patient.pairs(1, status="UNKNOWN", reason="SENT"))
    patient.oracle.daemon_ended("a", "stopped", None, patient.now)


def test_a_request_id_is_found_once_there_is_such_a_request(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    early = story.say(b"ORDER.STATUS", b"r1")
    story.say(b"ORDER.CANCEL", b"t1", b"ID", b"r1")
    story.journal(cancel(1), ids=(b"r1",))
    story.hear(early, error("NOTFOUND r1 is not an order that is remembered"))
    late = story.say(b"ORDER.STATUS", b"r1")
    with broken("notfound"):
        story.hear(late, error("NOTFOUND r1 is not an order that is remembered"))


def without_number(pairs: list[bytes]) -> list[bytes]:
    assert pairs[2] == b"order_id"
    return [*pairs[:3], b"0", *pairs[4:]]


def test_an_unknown_has_the_number_of_what_is_durable_and_of_nothing_else(story: Story) -> None:
    truth = Story()
    truth.place(b"t1", BUY, b"1.00")
    lost = story.say(*order(b"t1", BUY, b"1.00"))
    with broken("durable"):
        story.hear(lost, truth.pairs(1, status="UNKNOWN", reason="NOT_SENT"))
    with broken("unknown"):
        story.hear(lost, truth.pairs(1, status="UNKNOWN", reason="JOURNAL"))
    with broken("unknown"):
        story.hear(lost, without_number(truth.pairs(1, status="UNKNOWN", reason="SENT")))
    without = without_number(truth.pairs(1, status="UNKNOWN", reason="NOT_SENT"))
    story.hear(lost, without)
    story.place(b"t1", BUY, b"1.00")
    # It may not have taken notice of its commit when that was asked.
    story.hear(story.say(b"ORDER.STATUS", b"t1"), without)
    story.execute()
    number = story.say(b"ORDER.STATUS", b"t1")
    with broken("unknown"):
        story.hear(number, without)


def test_an_unknown_batch_likewise(story: Story) -> None:
    records = RECORD.pack(5, 100, 1, 1, 0, Kind.NEW, 0)
    number = story.say(b"ORDER.BATCH", b"b1", records)
    reply = {"batch_id": "b1", "orders": "1", "status": "UNKNOWN", "accepted": "0", "rejected": "0", "trades": "0",
             "first_order_id": "0", "reason": "NOT_SENT"}  # fmt: skip
    for wrong in ({"reason": "SENT"}, {"reason": "JOURNAL", "first_order_id": "1"}, {"reason": "IOC"}):
        with broken("unknown"):
            story.hear(number, flat(reply | wrong))
    with broken("ids"):
        story.hear(number, flat(reply | {"first_order_id": "1"}))
    story.hear(number, flat(reply))
    story.journal(records, batches=[BatchMark(0, 1, digest_of(records), b"b1")])
    with broken("ids"):
        story.hear(number, flat(reply | {"first_order_id": "2"}))
    story.hear(number, flat(reply | {"first_order_id": "1"}))
    story.execute()
    again = story.say(b"ORDER.BATCH", b"b1", records)
    with broken("unknown"):
        story.hear(again, flat(reply))


def test_a_batch_is_known_as_long_as_one_of_its_orders_is_open() -> None:
    story = Story(Limits({"a": SiteLimits(remembered_max=1)}))
    records = RECORD.pack(5, 100, 1, 1, 0, Kind.NEW, 0), RECORD.pack(6, 100, 1, 1, 0, Kind.NEW, 0)
    words, mark = (b"ORDER.BATCH", b"b1", b"".join(records)), BatchMark(0, 2, digest_of(b"".join(records)), b"b1")
    story.say(*words)
    story.journal(*records, batches=[mark])
    duplicate = error("DUPLICATE record 0: number 5 is known")
    story.place(b"t1", SELL, b"1.00", b"1")
    story.execute()
    with broken("duplicate"):
        story.hear(story.say(*words), duplicate)
    story.place(b"t2", SELL, b"1.00", b"1")
    story.execute()
    story.hear(story.say(*words), duplicate)


def test_a_batch_of_which_an_order_is_open_is_not_taken_again() -> None:
    story = Story(Limits({"a": SiteLimits(remembered_max=1)}))
    records = RECORD.pack(5, 100, 1, 1, 0, Kind.NEW, 0)
    mark = BatchMark(0, 1, digest_of(records), b"b1")
    for _ in range(2):
        story.say(b"ORDER.BATCH", b"b1", records)
    story.journal(records, batches=[mark])
    story.place(b"t1", BUY, b"1.00")
    story.execute()
    with broken("twice"):
        story.journal(records, batches=[mark])


def test_errors_say_what_is_so(story: Story) -> None:
    number = story.place(b"t1", BUY, b"1.00")
    story.hear(number, story.pairs(1, status="UNKNOWN", reason="SENT"))
    again, about = story.say(*order(b"t1", BUY, b"1.00")), story.say(b"ORDER.STATUS", b"t1")
    with broken("duplicate"):
        story.hear(again, error("DUPLICATE t1 is another order"))
    with broken("notfound"):
        story.hear(about, error("NOTFOUND t1 is not an order that is remembered"))
    other = story.say(*order(b"t1", BUY, b"1.01"))
    story.hear(other, error("DUPLICATE t1 is another order"))
    other = story.say(*order(b"t1", BUY, b"1.01"))
    story.execute()
    with broken("duplicate"):
        story.hear(other, story.pairs(1))


def test_a_cancel_is_answered_by_what_it_did(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    number = story.say(b"ORDER.CANCEL", b"t1")
    story.execute()
    with broken("durable"):
        story.hear(number, story.pairs(1))
    with broken("too late"):
        story.hear(number, story.pairs(1, reason="TOO_LATE"))
    story.journal(cancel(1))
    story.execute()
    with broken("state"):
        story.hear(number, story.pairs(1, 1))
    story.hear(number, story.pairs(1))


def test_a_batchs_reply_counts_what_the_model_counts(story: Story) -> None:
    records = RECORD.pack(5, 100, 1, 1, 0, Kind.NEW, 0) + RECORD.pack(9, 0, 0, 1, 0, Kind.CANCEL, 0)
    number = story.say(b"ORDER.BATCH", b"b1", records)
    reply = {"batch_id": "b1", "orders": "2", "status": "DONE", "accepted": "1", "rejected": "1", "trades": "0",
             "first_order_id": "1"}  # fmt: skip
    with broken("durable"):
        story.hear(number, flat(reply))
    story.journal(records[:32], records[32:], batches=[BatchMark(0, 2, digest_of(records), b"b1")])
    story.execute(1)
    with broken("batch"):
        story.hear(number, flat(reply))
    with broken("early"):
        story.hear(number, flat(reply | {"rejected": "0"}))
    story.execute()
    story.hear(number, flat(reply))
    for wrong in ({"trades": "1"}, {"accepted": "2"}, {"orders": "3"}):
        with broken("batch"):
            story.hear(number, flat(reply | wrong))
    with broken("ids"):
        story.hear(number, flat(reply | {"first_order_id": "2"}))


def test_numbers_are_given_out_once(story: Story) -> None:
    first, second = story.say(b"ORDER.RESERVE", b"10"), story.say(b"ORDER.RESERVE", b"10")
    with broken("reserve"):
        story.hear(first, 1000)
    story.gateway([entries.Reserve(1020).encode()])
    story.hear(first, 1000)
    with broken("reserve"):
        story.hear(second, 1009)
    with broken("reserve"):
        story.gateway([entries.Reserve(1000).encode()])


def test_a_book_is_one_that_was(story: Story) -> None:
    traded(story)
    number = story.say(b"BOOK", b"AAPL")
    story.place(b"t3", BUY, b"1.00")
    story.execute()
    for lots, orders in ((b"2", b"1"), (b"7", b"2")):
        other = Story()
        traded(other)
        number = other.say(b"BOOK", b"AAPL")
        other.place(b"t3", BUY, b"1.00")
        other.execute()
        other.hear(number, [b"symbol", b"AAPL", b"bids", [[b"1.00", lots, orders]], b"asks", []])
    with broken("book"):
        story.hear(number, [b"symbol", b"AAPL", b"bids", [[b"1.00", b"5", b"1"]], b"asks", []])


# --- executions -------------------------------------------------------------------------------------------------------


def test_executions_are_gapless_unchanging_and_journaled(story: Story) -> None:
    traded(story)
    story.report(*story.expected()[:3])
    story.gateway([])
    pairs = [story.oracle._executions["a"]._pairs_of(i, {}) for i in range(1, 5)]
    read = [[b"%d" % i, flat(pairs[i - 1])] for i in range(1, 5)]
    story.hear(story.say(b"EXEC.READ", b"0"), read[:3])
    story.oracle.audited("a", list(enumerate(pairs[:3], 1)), story.now)
    for wrong in (read[1:3], [read[0], read[2]], read[:4], [], [[b"1", read[1][1]]]):
        number = story.say(b"EXEC.READ", b"0")
        with broken("executions"):
            story.hear(number, wrong)
    with broken("executions"):
        story.oracle.audited("a", [(1, pairs[0] | {"account": "1"})], story.now)
    with broken("executions"):
        story.oracle.audited("a", [(1, pairs[0]), (3, pairs[2])], story.now)
    number = story.say(b"EXEC.READ", b"1")
    with broken("trimmed"):
        story.hear(number, error("TRIMMED 3"))


def test_pushes_are_gapless_and_only_for_who_wants_them(story: Story) -> None:
    traded(story)
    story.report()
    pairs = [flat(story.oracle._executions["a"]._pairs_of(i, {})) for i in range(1, 5)]
    with broken("pushes"):
        story.oracle.pushed("a", 1, [b"exec", b"1", pairs[0]], story.now)
    story.hear(story.say(b"EXEC.SUBSCRIBE", b"1"), b"OK")
    story.oracle.pushed("a", 1, [b"exec", b"2", pairs[1]], story.now)
    for exec_id in (2, 4):
        with broken("pushes"):
            story.oracle.pushed("a", 1, [b"exec", b"%d" % exec_id, pairs[exec_id - 1]], story.now)
