"""Each rule of the oracle can be broken, and a history in which none is broken passes."""

from typing import Any

import attrs
import hiredis
import pytest

from engine.inputs import Boot, EpochInput, InstrumentInput, OrdersInput
from orderd.orders import entries
from orderd.orders.ages import AgeMark
from orderd.orders.batches import digest_of
from orderd.orders.entries import BatchMark
from orderd.orders.guards import GuardMark
from orderd.orders.trading import TradingState
from orderd.wire.records import RECORD, RECORD_BYTES, TEXT_NUMBER, Kind
from orderd.wire.reports import ExecType, Report, encode_full, encode_range
from tests.simulation.oracle import Contradiction, Limits, Oracle, SiteLimits
from tests.simulation.oracle.rows import STATUSES
from tests.support.site import INSTRUMENTS

SESSION, NONCE, TIME_NS = 7, 99, 10**18
BUY, SELL = b"BUY", b"SELL"
BOUNDED = Limits({"a": SiteLimits(unconfirmed_max=2, remembered_max=1000)})
Words = tuple[bytes, ...]


class Story:
    """A world of one orderd as the oracle hears of it; ``now`` is 1 s later with each thing that happens."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.oracle = Oracle(limits, ["a"])
        self.now = 0.0
        self.rows: list[bytes] = []
        self.executed = self.reported = self.numbers = self.commits = 0
        self.start()
        instruments = [InstrumentInput(i.id, i.digest, i.symbol).encode() for i in INSTRUMENTS]
        self.engine([*instruments, Boot(1).encode(), EpochInput(SESSION, NONCE, 1).encode()])
        self.oracle.connected("a", 1, self.now)

    # --- what happens -------------------------------------------------------------------------------------------------

    def start(self, epoch: int = 1, nonce: int = NONCE) -> None:
        """orderd starts."""
        self.oracle.daemon_started("a", self.now)
        self.gateway([entries.Start(epoch, nonce).encode()])

    def gateway(self, taken: list[tuple[int, bytes]]) -> None:
        """orderd's journal has taken these."""
        self.now += 1
        self.oracle.committed("a", taken, self.now)

    def engine(self, taken: list[tuple[int, bytes]]) -> None:
        """The engine's has."""
        self.now += 1
        self.oracle.committed("engine", taken, self.now)

    def say(self, *words: bytes, connection: int = 1) -> int:
        """A command; returns its number."""
        self.now += 1
        number = len(self.oracle.sites["a"].talk.connections[connection].said)
        self.oracle.sent("a", connection, number, words, self.now)
        self.oracle.sent_whole("a", connection, number)
        return number

    def hear(self, number: int, reply: Any, connection: int = 1) -> None:
        """Its answer."""
        self.now += 1
        self.oracle.told("a", connection, number, reply, self.now)

    def journal(self, *records: bytes, ids: tuple[bytes, ...] = (), **marks: Any) -> int:
        """A group of records; ``ids`` are those of the first ones. Returns the order id of the first."""
        first = len(self.rows) + 1
        self.rows += records
        named = list(enumerate(ids))
        group = entries.Orders(first, 1, b"".join(records), named, marks.pop("batches", []), **marks)
        self.gateway([group.encode()])
        return first

    def execute(self, count: int | None = None, *, records: bytes | None = None, first: int | None = None) -> None:
        """The engine has committed what comes next."""
        end = len(self.rows) if count is None else self.executed + count
        data = b"".join(self.rows[self.executed : end]) if records is None else records
        first = self.executed + 1 if first is None else first
        self.executed = first - 1 + len(data) // RECORD_BYTES
        self.engine([OrdersInput(TIME_NS, SESSION, first, self.reported + 1, data).encode()])

    def expected(self) -> list[Report]:
        """What the engine has told, and orderd has not journaled."""
        return self.oracle.engine.book.reports[SESSION][self.reported :]

    def report(self, *reports: Report) -> None:
        """orderd journals reports; without any, those that there are."""
        told = reports or tuple(self.expected())
        items = b"".join(
            encode_range(r.order, 1, r.transact_time_ns, final=r.final)
            if r.exec_type is ExecType.NEW
            else encode_full(r)
            for r in told
        )
        self.gateway([entries.ReportsEntry(self.reported + 1, 1, items).encode()])
        self.reported += len(told)

    # --- pieces -------------------------------------------------------------------------------------------------------

    def place(self, name: bytes, side: bytes, price: bytes, quantity: bytes = b"5", *options: bytes) -> int:
        """An order that is said and journaled; returns the command's number."""
        number = self.say(*order(name, side, price, quantity, *options))
        self.journal(new(len(self.rows) + 1, side, price, quantity), ids=(name,))
        return number

    def pairs(self, order_id: int, state: int = -1, **other: str) -> list[bytes]:
        """An order as a truthful orderd shows it in that state."""
        row = self.oracle.sites["a"].rows[order_id - 1]
        shown, market = row.states[state], row.market
        values = {
            "cl_ord_id": row.name.decode(), "order_id": str(order_id), "symbol": market.symbol,
            "side": ("BUY", "SELL")[row.fields[6] & 1], "status": STATUSES[shown.status],
            "quantity": market.quantity(shown.total), "cum_qty": market.quantity(shown.cum),
            "leaves_qty": market.quantity(0 if shown.is_done else shown.total - shown.cum),
            "avg_px": market.average(shown.notional, shown.cum), "path": "udp" if shown.status else "none",
        }  # fmt: skip
        return [word.encode() for item in (values | other).items() for word in item]


def order(name: bytes, side: bytes, price: bytes, quantity: bytes = b"5", *options: bytes) -> Words:
    return (b"ORDER.NEW", name, b"AAPL", side, quantity, b"LIMIT", price, *options)


def new(order_id: int, side: bytes, price: bytes, quantity: bytes = b"5") -> bytes:
    ticks = int(price.replace(b".", b""))
    return RECORD.pack(TEXT_NUMBER + order_id, ticks, int(quantity), 1, 0, Kind.NEW, int(side == SELL))


def cancel(order_id: int) -> bytes:
    return RECORD.pack(TEXT_NUMBER + order_id, 0, 0, 1, 0, Kind.CANCEL, 0)


def _item(report: Report) -> bytes:
    if report.exec_type is ExecType.NEW:
        return encode_range(report.order, 1, report.transact_time_ns, final=report.final)
    return encode_full(report)


def error(text: str) -> hiredis.ReplyError:
    return hiredis.ReplyError(text)


def broken(rule: str) -> Any:
    """What follows breaks it."""
    return _Broken(rule)


class _Broken:
    def __init__(self, rule: str) -> None:
        self._rule = rule

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, Contradiction), f"{self._rule} was not found broken: {error!r}"
        assert error.rule == self._rule, f"{error.rule}: {error}"
        assert str(error), "it says what is wrong"
        return True


@pytest.fixture
def story() -> Story:
    return Story()


def traded(story: Story) -> tuple[int, int]:
    """Two orders that traded; the numbers of their commands. Neither was answered."""
    first, second = story.place(b"t1", BUY, b"1.00"), story.place(b"t2", SELL, b"1.00", b"3")
    story.execute()
    return first, second


# --- a world without a fault ------------------------------------------------------------------------------------------


def test_a_history_without_a_fault_passes_to_the_end(story: Story) -> None:
    first, second = traded(story)
    story.hear(first, story.pairs(1, 1))
    story.hear(second, story.pairs(2))
    story.report()
    read = story.say(b"EXEC.READ", b"0")
    executions = [
        [b"%d" % exec_id, _flat(story.oracle._executions["a"]._pairs_of(exec_id, {}))] for exec_id in range(1, 5)
    ]
    story.hear(read, executions)
    story.oracle.audited("a", [(i, story.oracle._executions["a"]._pairs_of(i, {})) for i in range(1, 5)], story.now)
    book = [b"symbol", b"AAPL", b"bids", [[b"1.00", b"2", b"1"]], b"asks", []]
    empty = [b"symbol", b"BTC", b"bids", [], b"asks", []]
    positions = [_flat({"account": "0", "symbol": "AAPL", "net": "0", "open_buy": "2", "open_sell": "0",
                        "last_px": "1.00"})]  # fmt: skip
    info = dict.fromkeys(("orders_queued", "orders_unconfirmed", "orders_remembered"), "0") | {
        "orders_open": "1", "orders_last_id": "2", "executions_last_id": "4", "journal_epoch": "1",
    }  # fmt: skip
    orders = [{k.decode(): v.decode() for k, v in _items(story.pairs(i))} for i in (1, 2)]
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


def _flat(pairs: dict[str, str]) -> list[bytes]:
    return [word.encode() for item in pairs.items() for word in item]


def _items(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))


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
        story.hear(number, _flat(reply))
    story.journal(records[:32], records[32:], batches=[BatchMark(0, 2, digest_of(records), b"b1")])
    story.execute(1)
    with broken("batch"):
        story.hear(number, _flat(reply))
    with broken("early"):
        story.hear(number, _flat(reply | {"rejected": "0"}))
    story.execute()
    story.hear(number, _flat(reply))
    for wrong in ({"trades": "1"}, {"accepted": "2"}, {"orders": "3"}):
        with broken("batch"):
            story.hear(number, _flat(reply | wrong))
    with broken("ids"):
        story.hear(number, _flat(reply | {"first_order_id": "2"}))


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
    read = [[b"%d" % i, _flat(pairs[i - 1])] for i in range(1, 5)]
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
    pairs = [_flat(story.oracle._executions["a"]._pairs_of(i, {})) for i in range(1, 5)]
    with broken("pushes"):
        story.oracle.pushed("a", 1, [b"exec", b"1", pairs[0]], story.now)
    story.hear(story.say(b"EXEC.SUBSCRIBE", b"1"), b"OK")
    story.oracle.pushed("a", 1, [b"exec", b"2", pairs[1]], story.now)
    for exec_id in (2, 4):
        with broken("pushes"):
            story.oracle.pushed("a", 1, [b"exec", b"%d" % exec_id, pairs[exec_id - 1]], story.now)


def test_while_trading_is_halted_no_order_is_taken(story: Story) -> None:
    halt, go_on = (
        entries.TradingEntry(state, 1, "me").encode() for state in (TradingState.HALTED, TradingState.ACTIVE)
    )
    story.say(*order(b"t1", BUY, b"1.00"))
    # What was taken in before may be in the same commit.
    story.gateway([halt, entries.Orders(1, 1, new(1, BUY, b"1.00"), [(0, b"t1")], []).encode()])
    story.rows.append(new(1, BUY, b"1.00"))
    story.gateway([go_on])
    story.place(b"t2", BUY, b"1.00")
    story.gateway([halt])
    with broken("halted"):
        story.place(b"t3", BUY, b"1.00")


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
    from tests.simulation.oracle.final import check_guards

    story.hear(story.say(b"CLIENT", b"CANCELONDISCONNECT", b"ON"), b"OK")
    story.say(*order(b"t1", BUY, b"1.00"))
    story.journal(new(1, BUY, b"1.00"), ids=(b"t1",), guards=[GuardMark(0, 1, 5)])
    story.execute()
    with broken("guards"):
        check_guards(story.oracle.sites["a"])
    story.journal(cancel(1))
    story.gateway([entries.GuardEnd(5).encode()])
    story.execute()
    check_guards(story.oracle.sites["a"])
    with broken("twice"):
        story.journal(cancel(1))


def test_a_journaled_order_that_never_reaches_the_engine_is_lost(story: Story) -> None:
    story.place(b"t1", BUY, b"1.00")
    with broken("lost"):
        story.oracle.final("a", [], [], {}, {})
