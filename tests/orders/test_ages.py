"""MAXAGE as the link sees it: within an epoch a sequence has one content, whatever is sent, lost, or restarted."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.ages import AgeMark, Ages
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.entries import Entry
from orderd.orders.modes import Mode
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.records import RECORD, RECORD_BYTES, Kind
from tests.support.site import EPOCH_NS, INSTRUMENTS

steps = st.lists(
    st.one_of(
        st.tuples(st.just("place"), st.sampled_from([0, 0, 10, 30, 1000])),
        st.tuples(st.just("commit"), st.just(0)),
        st.tuples(st.just("time"), st.sampled_from([1, 5, 10, 40])),
        st.tuples(st.just("send"), st.integers(1, 5)),
        st.tuples(st.just("send again"), st.integers(0, 9)),
        st.tuples(st.just("execute"), st.integers(1, 4)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@attrs.define
class Life:
    """A desk, what was sent of it, and an engine that has executed so far."""

    journal: list[Entry] = attrs.field(factory=list)
    now_ms: int = 1000
    next: int = 1
    executed_end: int = 1
    placed: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    """When each order came in, and for how long it may wait."""
    sent: dict[int, bytes] = attrs.field(factory=dict)
    """What each sequence was in this epoch."""
    executed: dict[int, bytes] = attrs.field(factory=dict)
    desk: Desk = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
        for kind, payload in self.journal:
            self.desk.restore(kind, payload)
        self.journal += self.desk.start(7)
        self.sent, self.next = {}, self.executed_end
        self.placed = {row: order for row, order in self.placed.items() if row < self.desk.table.end}

    def place(self, maxage_ms: int) -> None:
        row = self.desk.table.end
        placed = self.desk.entry.place(
            b"a%d" % row, (5, 1, 1, 0, 0), Mode.SYNC, self.now_ms / 1000, self.now_ns, maxage_ms=maxage_ms
        )
        assert placed == row
        self.placed[row] = (self.now_ms, maxage_ms)

    @property
    def now_ns(self) -> int:
        return EPOCH_NS + self.now_ms * 1_000_000

    def send(self, first: int, count: int) -> None:
        """Ask for records as the link does, and hold them against what was sent, and against the ages."""
        data = self.desk.outgoing(first, count, self.now_ms / 1000, self.now_ns)
        assert len(data) == count * RECORD_BYTES
        for i, row in enumerate(range(first, first + count)):
            record = data[i * RECORD_BYTES : (i + 1) * RECORD_BYTES]
            intake_ms, maxage_ms = self.placed[row]
            if row in self.sent:
                assert record == self.sent[row]
            else:
                number, *_, kind, _ = RECORD.unpack(record)
                too_old = maxage_ms and self.now_ms - intake_ms > maxage_ms
                assert (number, kind) == (2**63 + row, Kind.VOID if too_old else Kind.NEW)
                self.sent[row] = record
        self.next = max(self.next, first + count)

    def do(self, name: str, value: int) -> None:
        if name == "place":
            self.place(value)
        elif name == "commit" and self.desk.has_anything_staged:
            self.journal += self.desk.take_entries()
            self.desk.committed()
        elif name == "time":
            self.now_ms += value
        elif name == "send":
            count = min(value, self.desk.committed_end - self.next)
            if count > 0:
                self.send(self.next, count)
        elif name == "send again" and self.next > self.executed_end:
            first = self.executed_end + value % (self.next - self.executed_end)
            self.send(first, min(1 + value // 3, self.next - first))
        elif name == "execute":
            end = min(self.executed_end + value, self.next)
            self.executed |= {row: self.sent[row] for row in range(self.executed_end, end)}
            self.executed_end = max(self.executed_end, end)
        elif name == "restart":
            self.restart()


@given(steps)
def test_within_an_epoch_a_sequence_has_one_content_and_only_what_is_too_old_is_void(
    history: list[tuple[str, int]],
) -> None:
    life = Life()
    for name, value in history:
        life.do(name, value)
    life.do("commit", 0)
    while life.executed_end < life.desk.committed_end:
        life.do("send", 5)
        life.do("execute", 5)
    assert list(life.executed) == list(range(1, life.desk.committed_end)), "each is executed once"


def test_without_ages_the_records_are_handed_on_as_they_are() -> None:
    life = Life()
    for _ in range(3):
        life.place(0)
    life.do("commit", 0)
    records = life.desk.outgoing(1, 3, 10.0**6, 2 * EPOCH_NS)
    assert records == life.desk.table.records(1, 3)
    assert life.desk._ages.is_empty


def test_what_is_confirmed_takes_no_memory() -> None:
    ages = Ages()
    for row in range(1, 100):
        ages.add(row, 10, 0.0)
    for row in range(100, 200):
        ages.restore(row, AgeMark(0, 10, EPOCH_NS))
    record = RECORD.pack(1, 1, 1, 1, 0, Kind.NEW, 0)
    voids = ages.outgoing(record * 149, 1, 1.0, EPOCH_NS + 10_000_001)
    assert {RECORD.unpack_from(voids, i * RECORD_BYTES)[5] for i in range(149)} == {Kind.VOID}
    ages.confirm(180)
    assert not ages.is_empty, "some were never asked for"
    assert ages.outgoing(record * 2, 148, 1.0, 0) == record * 2
    ages.confirm(200)
    assert ages.is_empty
