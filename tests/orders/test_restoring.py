"""Reading a journal in large blocks, and its reports in columns, comes to what one entry after the other comes to."""

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.matcher import Matcher
from orderd.link.report_intake import Delivery
from orderd.link.report_log import ReportLog
from orderd.orders import entries
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.entries import Entry, EntryError, EntryKind
from orderd.orders.errors import Duplicate, ReportMismatch
from orderd.orders.executions import Chunk
from orderd.orders.modes import Mode
from orderd.orders.outcomes import Outcomes
from orderd.orders.table import Page, is_order
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, TIF_SHIFT, Kind, TimeInForce
from orderd.wire.reports import FULL, FULL_BYTES, check_items, iter_items
from tests.support.desk_state import state
from tests.support.histories import History, histories, view
from tests.support.scale import examples
from tests.support.site import INSTRUMENTS

ONE_BY_ONE: Final = {"block_bytes": 1, "few_bytes": 2**60}
IN_COLUMNS: Final = {"few_bytes": 0}
ORDER, INPUT = 8, 9
"""Places in a report item."""


def restored(journal: list[Entry], limits: DeskLimits, **bounds: int) -> Desk:
    """A desk that read this; each entry is at a place of its own."""
    desk = Desk(InstrumentTable(INSTRUMENTS), limits, lambda: 2**30)
    places = iter([(1 + i // 50, i % 50 * 2**14) for i in range(len(journal) + 1)])
    desk.restore_all(journal, lambda: next(places), **bounds)
    return desk


@settings(max_examples=examples(40), deadline=None)
@given(histories, st.integers(1, 12), st.integers(1, 6000), st.sampled_from([1, 30, 2**40]))
def test_whatever_clients_said_columns_tell_the_same(
    history: list[tuple[Any, ...]], remembered: int, block_bytes: int, in_memory: int
) -> None:
    life = History()
    for step in history:
        life.do(*step)
    journal = [entry for commit in life.site.journal for entry in commit]
    for limits in (DeskLimits(), DeskLimits(orders_remembered_max=remembered, executions_in_memory=in_memory)):
        expected = state(restored(journal, limits, **ONE_BY_ONE))
        assert state(restored(journal, limits, block_bytes=block_bytes, **IN_COLUMNS)) == expected
        assert state(restored(journal, limits)) == expected
    assert view(restored(journal, DeskLimits(), **IN_COLUMNS)) == view(restored(journal, DeskLimits(), **ONE_BY_ONE))


class Flow:
    """Random orders of all kinds, text ids, numbers and batches, with their reports, some of old orders."""

    def __init__(self, seed: int, rests: float, limits: DeskLimits | None = None) -> None:
        self.chance = random.Random(seed)
        self.rests = rests
        self.journal: list[Entry] = []
        self.desk = Desk(InstrumentTable(INSTRUMENTS), limits or DeskLimits(), lambda: 2**30)
        self.log, self.names = ReportLog(), iter(range(1, 10**9))
        self.matcher = Matcher(i.id for i in INSTRUMENTS)
        self.session = self.matcher.open_session(1, self.log)
        self.journal += self.desk.start(1)

    def run(self, groups: int) -> list[Entry]:
        guard = self.desk.guards.begin()
        for group in range(groups):
            for _ in range(self.chance.randrange(1, 12)):
                self.order()
            if self.chance.random() < 0.3:
                self.batch(group)
            if self.chance.random() < 0.1:
                self.desk.guards.add(guard, self.desk.table.end - 1, self.desk.table.end)
                self.desk._staging.add_guard(self.desk.table.end - 1, guard.id)
            self.commit()
        self.commit()
        return self.journal

    def order(self) -> None:
        chance, entry = self.chance, self.desk.entry
        name, draw = next(self.names), chance.random()
        live = list(self.session.live.values())
        if draw < 0.75 or not live:
            # Those that rest stand far off, and are found by a large order later, or cancelled.
            far = chance.random() < self.rests
            flags = chance.randrange(2) | chance.choice((TimeInForce.DAY, TimeInForce.IOC)) << TIF_SHIFT
            price = (100 if flags & 1 else 50) if far else 75 + chance.randrange(3)
            text = b"%d" % name if chance.random() < 0.3 else b"t%d" % name
            fields = (price, chance.randrange(1, 9), chance.randrange(1, 3), chance.randrange(3), flags)
            entry.place(text, fields, Mode.SYNC, 0, 0, maxage_ms=chance.choice((0, 0, 0, 5)))
            return
        order = live[int(len(live) * chance.random() ** 2)]
        kind = chance.choice((Kind.CANCEL, Kind.REPLACE, Kind.REPLACE_OPEN))
        price, quantity = (0, 0) if kind is Kind.CANCEL else (75, chance.randrange(1, 9))
        name_of = b"r%d" % name if draw < 0.9 else None
        entry.request(order.sequence, kind, price, quantity, name_of, Mode.SYNC, 0, 0)

    def batch(self, group: int) -> None:
        count = self.chance.randrange(1, 40)
        first, *_ = (next(self.names) for _ in range(count))
        rows = [RECORD.pack(first + i, 75 + i % 2, 1 + i % 3, 1, 0, Kind.NEW, i & 1) for i in range(count)]
        if self.chance.random() < 0.5:
            rows.append(RECORD.pack(first, 0, 0, 1, 0, Kind.CANCEL, 0))
            rows.append(RECORD.pack(first + 5, 76, 1, 1, 0, Kind.REPLACE, 0))
        if self.chance.random() < 0.1:
            rows.append(RECORD.pack(0, 0, 0, 0, 2, Kind.MASS_CANCEL, 8))
        draft = self.desk.entry.draft_batch(b"B%d" % group, b"".join(rows))
        self.desk.entry.place_draft(draft, Mode.BATCH, 0, 0)

    def commit(self) -> None:
        desk, first = self.desk, self.desk.committed_end
        self.journal += desk.take_entries()
        desk.committed()
        self.matcher.apply(self.session, first, desk.outgoing(first, desk.committed_end - first, 0.0, 1), first)
        while desk.reports_next < self.log.next:
            _, _, data = self.log.read(desk.reports_next, self.chance.choice((200, 1300)))
            desk.apply(
                Delivery(desk.reports_next, data, check_items(data)[1]), self.chance.choice((Path.UDP, Path.GRPC))
            )
            self.applied()
            self.log.acknowledge(desk.reports_next)

    def applied(self) -> None:
        """A delivery was."""


class Forgetful(Flow):
    """Its desk forgets while it runs, and numbers and ids of batches are used again once they are forgotten."""

    def order(self) -> None:
        if self.chance.random() < 0.3:
            self.names = iter(range(self.chance.randrange(1, 300), 10**9))
        with suppress(Duplicate):  # Some are not forgotten yet.
            super().order()

    def batch(self, group: int) -> None:
        first, count = self.chance.randrange(1, 300), self.chance.randrange(1, 60)
        with suppress(Duplicate):
            self.numbers(b"B%d" % (group % 17), first, count)

    def numbers(self, batch_id: bytes, first: int, count: int) -> None:
        """A batch of orders that never rest."""
        flags = TimeInForce.IOC << TIF_SHIFT
        rows = [RECORD.pack(first + i, 60, 1, 1, 0, Kind.NEW, flags) for i in range(count)]
        draft = self.desk.entry.draft_batch(batch_id, b"".join(rows))
        self.desk.entry.place_draft(draft, Mode.BATCH, 0, 0)

    def applied(self) -> None:
        self.desk.trim()
        # Else the reports would be behind the next orders.
        self.journal += self.desk.take_entries()
        self.desk.committed()


def known(desk: Desk) -> dict[str, Any]:
    """All there is to it but where in the journal it is, and which order each id stands for that may have been used."""
    ids = [name % number for name in (b"%d", b"t%d", b"r%d") for number in range(400)]
    return {**state(desk), "index": None, "ids": {text: desk.find(text) for text in ids}}


@pytest.mark.parametrize(("seed", "remembered"), [(1, 5), (2, 60), (3, 200)])
def test_a_start_knows_what_a_running_daemon_knows_although_ids_are_used_again(seed: int, remembered: int) -> None:
    limits = DeskLimits(orders_remembered_max=remembered, executions_in_memory=2**40)
    flow = Forgetful(seed, 0.1, limits)
    journal = flow.run(100)
    expected = known(flow.desk)
    for bounds in (ONE_BY_ONE, {**IN_COLUMNS, "block_bytes": 3000}, {**IN_COLUMNS, "block_bytes": 2**40}):
        assert known(restored(journal, limits, **bounds)) == expected


AGAIN_ALONE: Final = ((b"A", 100, 40), (b"B", 1000, 6), (b"C", 2000, 14), (b"D", 130, 1), (b"E", 100, 16))
"""Of the run of A a first part is forgotten with B, and 130 with C."""
AGAIN_IN_A_RUN: Final = ((b"A", 150, 1), (b"B", 1000, 70), (b"C", 120, 40), (b"D", 2000, 26), (b"E", 105, 16))
"""150 is forgotten with B; of the run of C a first part is with D."""


@pytest.mark.parametrize(
    ("batches", "remembered", "number", "row"), [(AGAIN_ALONE, 25, b"130", 61), (AGAIN_IN_A_RUN, 60, b"150", 102)]
)
def test_a_number_that_was_used_again_is_known_although_a_run_is_broken_up_later(
    batches: tuple[tuple[bytes, int, int], ...], remembered: int, number: bytes, row: int
) -> None:
    """Else the same order sent again would be another one."""
    limits = DeskLimits(orders_remembered_max=remembered)
    flow = Forgetful(1, 0.0, limits)
    for batch_id, first, count in batches:
        flow.numbers(batch_id, first, count)
        flow.commit()
    assert flow.desk.find(number) == row
    ends = [sum(len(payload) for _, payload in flow.journal[: i + 1]) for i in range(len(flow.journal))]
    for block_bytes in ends:
        assert restored(flow.journal, limits, block_bytes=block_bytes, **IN_COLUMNS).find(number) == row


@pytest.mark.parametrize(("seed", "rests"), [(1, 0.0), (2, 0.02), (3, 0.5)])
def test_a_long_journal_of_which_little_is_remembered_is_the_same_in_columns(seed: int, rests: float) -> None:
    journal = Flow(seed, rests).run(120)
    for remembered, in_memory in ((40, 100), (300, 1000), (10**6, 10**6)):
        limits = DeskLimits(orders_remembered_max=remembered, executions_in_memory=in_memory)
        expected = state(restored(journal, limits, **ONE_BY_ONE))
        for block_bytes in (2_000, 2**40):
            assert state(restored(journal, limits, block_bytes=block_bytes, **IN_COLUMNS)) == expected


def test_what_an_engine_says_is_applied_in_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a start would be right, and take a minute."""
    journal = Flow(6, 0.02).run(100)
    expected = state(restored(journal, DeskLimits(), **ONE_BY_ONE))
    forgetful = DeskLimits(orders_remembered_max=1000)
    also_expected = state(restored(journal, forgetful, **ONE_BY_ONE))
    alone: list[Delivery] = []
    apply = Outcomes.apply

    def counted(outcomes: Outcomes, delivery: Delivery, path: Path, sent_end: int) -> Chunk:
        alone.append(delivery)
        return apply(outcomes, delivery, path, sent_end)

    monkeypatch.setattr(Outcomes, "apply", counted)
    assert state(restored(journal, DeskLimits(), **IN_COLUMNS)) == expected
    assert not alone
    assert state(restored(journal, forgetful, block_bytes=2**13, **IN_COLUMNS)) == also_expected
    assert len(alone) < len(journal) // 20


def damaged(journal: list[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Journals that no orderd wrote."""
    at = next(i for i, (kind, _) in enumerate(journal) if i > 200 and kind == EntryKind.REPORTS)
    kind, payload = journal[at]
    head, items = payload[: entries.REPORTS.size], payload[entries.REPORTS.size :]
    for what, wrong in (
        ("cut short", head + items[:-1]),
        ("another number", (7).to_bytes(8, "little") + payload[8:]),
        ("another road", payload[:8] + b"\x09" + items),
        ("no such report", head + b"\x0f" + items[1:]),
        ("told again", None),
        ("left out", None),
    ):
        if wrong is not None:
            yield what, [*journal[:at], (kind, wrong), *journal[at + 1 :]]
        elif what == "told again":
            yield what, [*journal[: at + 1], *journal[at:]]
        else:
            yield what, [*journal[:at], *journal[at + 1 :]]
    at = next(i for i, (kind, _) in enumerate(journal) if i > 200 and kind == EntryKind.ORDERS)
    yield "orders left out", [*journal[:at], *journal[at + 1 :]]
    yield "orders cut short", [*journal[:at], (EntryKind.ORDERS, journal[at][1][:-1]), *journal[at + 1 :]]
    yield "orders of nothing", [*journal[:at], (EntryKind.ORDERS, b"12"), *journal[at + 1 :]]


def test_a_journal_that_does_not_follow_is_refused_in_columns_too() -> None:
    for what, journal in damaged(Flow(4, 0.1).run(60)):
        for bounds in (ONE_BY_ONE, IN_COLUMNS):
            with pytest.raises((EntryError, ReportMismatch)):
                pytest.fail(f"{what}: {restored(journal, DeskLimits(), **bounds)}")


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_whatever_one_entry_holds_is_taken_or_refused(data: Any) -> None:
    journal = list(FUZZED)
    at = data.draw(st.integers(0, len(journal) - 1))
    kind, payload = journal[at]
    changed = bytearray(payload)
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, max(len(payload) - 1, 0)), st.integers(0, 255)))):
        changed[place] = value
    journal[at] = (kind, bytes(changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))]))
    outcomes = []
    for bounds in (ONE_BY_ONE, IN_COLUMNS):
        try:
            outcomes.append(state(restored(journal, DeskLimits(), **bounds)))
        except (EntryError, ReportMismatch):
            outcomes.append({})
    assert outcomes[0] == outcomes[1]


FUZZED: Final = Flow(5, 0.1).run(6)


def odd() -> Iterator[list[Entry]]:
    """Journals whose reports no engine of ours tells, though each of them alone could be."""
    reports = [at for at, (kind, _) in enumerate(FUZZED) if kind == EntryKind.REPORTS]
    unknown_road = list(FUZZED)
    for at in reports[::2]:
        unknown_road[at] = EntryKind.REPORTS, FUZZED[at][1][:8] + b"\0" + FUZZED[at][1][9:]
    yield unknown_road
    desk = restored(FUZZED, DeskLimits())
    requests = [row for row in range(1, desk.table.end) if not is_order(*at_row(desk, row))]
    batches = [batch.first for batch in desk.batches._remembered]
    for at in reports:
        payload = FUZZED[at][1]
        items = payload[entries.REPORTS.size :]
        for offset, length, _ in iter_items(items):
            if length != FULL_BYTES:
                continue
            fields = list(FULL.unpack_from(items, offset))
            for field, value in ((ORDER, requests[len(requests) // 2]), (INPUT, batches[0]), (INPUT, batches[-1])):
                changed = bytearray(payload)
                wrong = [*fields[:field], value, *fields[field + 1 :]]
                FULL.pack_into(changed, entries.REPORTS.size + offset, *wrong)
                yield [*FUZZED[:at], (EntryKind.REPORTS, bytes(changed)), *FUZZED[at + 1 :]]


def at_row(desk: Desk, row: int) -> tuple[Page, int]:
    place = desk.table.locate(row)
    assert place is not None
    return place


def test_odd_reports_do_in_columns_what_they_do_one_by_one() -> None:
    taken = 0
    for journal in odd():
        outcomes = []
        for bounds in (ONE_BY_ONE, IN_COLUMNS):
            try:
                outcomes.append(state(restored(journal, DeskLimits(), **bounds)))
            except (EntryError, ReportMismatch):
                outcomes.append({})
        assert outcomes[0] == outcomes[1]
        taken += bool(outcomes[0])
    assert taken > 20
