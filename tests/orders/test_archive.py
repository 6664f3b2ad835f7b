"""Executions read back from the journal are those that memory held, from each position, orders forgotten or not."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.journal import open_journal
from orderd.journal.segment import SEGMENT_HEADER_BYTES, segment_name
from orderd.orders.archive import ArchiveReader, Page
from orderd.orders.archive_cursor import ArchiveError, Block
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.executions import Execution
from orderd.orders.journal_index import JournalIndex
from orderd.orders.table import OrderTable
from orderd.runtime.instruments import InstrumentTable
from tests.support.archive import drive
from tests.support.histories import History, histories
from tests.support.journals import small_settings
from tests.support.scale import examples
from tests.support.simulated_disk import SimulatedDisk
from tests.support.site import INSTRUMENTS, SESSION, Site, encode

DIRECTORY = "journal"
SMALL_MARKS = 256


class Archived:
    """A site's journal in files with small segments, read back by a process that may have forgotten all orders."""

    def __init__(self, site: Site, *, forgetful: bool, mark_bytes: int = SMALL_MARKS) -> None:
        self.disk = SimulatedDisk()
        where = small_settings(directory=DIRECTORY, segment_bytes=16_384)
        journal = open_journal(where, b"orderd", self.disk, entropy_u64=SESSION)
        assert list(journal.replay()) == []
        self.desk = Desk(InstrumentTable(INSTRUMENTS), DeskLimits(), lambda: 2**30)
        self.index = JournalIndex(mark_bytes)
        for commit in site.journal:
            journal.commit(commit)
        journal.close()
        journal = open_journal(where, b"orderd", self.disk, entropy_u64=0)
        for kind, payload in journal.replay():
            assert journal.location is not None
            self.index.note(self.desk.executions.next, self.desk.committed_end, journal.location)
            self.desk.restore(kind, payload)
        journal.close()
        self.files = {name.rpartition("/")[2]: data for name, data in self.disk.snapshot().items()}
        table = OrderTable(1, lambda *_: None) if forgetful else self.desk.table
        self.reader = ArchiveReader(SESSION, self.index, table)
        self.fetched = 0

    def bytes_of(self, block: Block) -> bytes | None:
        data = self.files.get(segment_name(block.segment))
        self.fetched += block.length
        return data if data is None else data[block.offset : block.offset + block.length]

    def look(self, after: int, count: int, account: int) -> tuple[list[Execution], int]:
        page = self.read(after, count, account)
        return page.found, page.looked

    def read(self, after: int, count: int, account: int | None = None) -> Page:
        return drive(self.reader.read(after, count, account, self.desk.executions.next), self.bytes_of)


def about(executions: list[Execution]) -> list[tuple[Any, ...]]:
    """All that is ever shown of them; the number of a report is not."""
    return [(e.exec_id, e.cl_ord_id, *vars_of(e)) for e in executions]


def vars_of(execution: Execution) -> Iterator[Any]:
    report = execution.report
    names = ("exec_type", "order", "transact_time_ns", "sell", "taker", "status", "reason", "account", "instrument")
    yield from (getattr(report, name) for name in names)
    yield from (report.last_qty, report.last_px, report.cum_qty, report.leaves_qty, report.trade_id)


@settings(max_examples=examples(100))
@given(histories, st.booleans(), st.integers(1, 7), st.data())
def test_what_is_read_back_is_what_memory_holds(
    history: list[tuple[object, ...]], forgetful: bool, count: int, data: st.DataObject
) -> None:
    life = History()
    for step in history:
        life.do(*step)  # type: ignore[arg-type]
    life.check()
    log = life.site.desk.executions
    truth = about(log.read(0, 10**6))
    archived = Archived(life.site, forgetful=forgetful)
    found, after = [], 0
    while after < log.last:
        page = archived.read(after, count)
        assert not page.trimmed
        assert page.found
        found += page.found
        assert page.looked == page.found[-1].exec_id
        after = page.looked
    assert about(found) == truth
    if log.last:
        start = data.draw(st.integers(0, log.last - 1))
        assert about(archived.read(start, count).found) == truth[start : start + count]


@settings(max_examples=examples(30))
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=40), st.integers(1, 9))
def test_those_of_an_account_are_all_found_in_either_place(orders: list[tuple[int, bool, bool]], count: int) -> None:
    site = Site()
    client = site.connect()
    for i, (account, sell, named) in enumerate(orders):
        name, side = f"n{i}" if named else str(1000 + i), "SELL" if sell else "BUY"
        client.send("ORDER.NEW", name, "AAPL", side, 1, "LIMIT", "1.00", "ACCOUNT", account)
    site.pump()
    log = site.desk.executions
    archived = Archived(site, forgetful=True)
    for account in range(3):
        expected = about([e for e in log.read(0, 1000) if e.report.account == account])
        for look in (log.look, archived.look):
            found: list[Execution] = []
            after = 0
            while after < log.last:
                some, looked = look(after, count, account)
                assert looked > after
                found, after = found + some, looked
            assert about(found) == expected


def site_with(orders: int) -> Site:
    site = Site()
    client = site.connect()
    for first in range(0, orders, 50):
        for i in range(first, first + 50):
            client.feed(encode(("ORDER.NEW", f"a{i}", "AAPL", "BUY" if i % 2 else "SELL", 1, "LIMIT", "1.00")))
        site.pump()
    return site


def test_a_read_begins_near_what_it_wants() -> None:
    archived = Archived(site_with(3000), forgetful=True, mark_bytes=4096)
    whole = sum(len(data) for name, data in archived.files.items() if name.endswith(".segment"))
    last = archived.desk.executions.last
    assert len(archived.read(last - 10, 10).found) == 10
    assert archived.fetched < whole // 2


def test_a_segment_that_is_gone_is_a_position_that_is_gone() -> None:
    archived = Archived(site_with(1000), forgetful=True)
    del archived.files[segment_name(1)]
    assert archived.read(0, 10) == Page([], 0, trimmed=True)
    first = archived.index.first_execution(0)
    assert first > 1
    # Orders of the first of them may have been in the segment that is gone.
    while (page := archived.read(first - 1, 10)).trimmed:
        assert archived.index.first_execution(0) > first
        first = archived.index.first_execution(0)
    assert [e.exec_id for e in page.found] == list(range(first, first + 10))


@pytest.mark.parametrize("offset", [3, 30])
def test_damage_is_told_and_never_shown(offset: int) -> None:
    archived = Archived(site_with(100), forgetful=True)
    damaged = bytearray(archived.files[segment_name(1)])
    _, location = archived.index.of_execution(1) or (0, (0, 0))
    damaged[max(location[1], SEGMENT_HEADER_BYTES) + offset] ^= 1
    archived.files[segment_name(1)] = bytes(damaged)
    with pytest.raises(ArchiveError, match=r"segment 1: "):
        archived.read(0, 1000)


@pytest.fixture(scope="module")
def whole() -> Archived:
    return Archived(site_with(800), forgetful=True)


@settings(max_examples=examples(100))
@given(st.data())
def test_wherever_a_journal_is_damaged_nothing_is_shown_that_never_was(whole: Archived, data: st.DataObject) -> None:
    """Also where it looks as if a segment ended there: zeros, or a file that is cut short."""
    intact, index, reader = dict(whole.files), whole.index, whole.reader
    truth = about(whole.desk.executions.read(0, 10**6))
    name = data.draw(st.sampled_from(sorted(name for name in intact if name.endswith(".segment"))))
    content = intact[name]
    at = data.draw(st.integers(0, len(content) - 1))
    length = data.draw(st.integers(1, 300))
    bytes_there = content[at : at + length]
    damage = data.draw(st.sampled_from([bytes(len(bytes_there)), bytes(b ^ 0x41 for b in bytes_there), b""]))
    whole.files[name] = content[:at] + (damage + content[at + length :] if damage else b"")
    after, count = data.draw(st.integers(0, len(truth) - 1)), data.draw(st.integers(1, 250))
    whole.index = copy.deepcopy(index)
    whole.reader = ArchiveReader(SESSION, whole.index, OrderTable(1, lambda *_: None))
    try:
        found = about(whole.read(after, count).found)
    except ArchiveError:
        pass
    else:
        assert found == truth[after : after + len(found)]
    finally:
        whole.files, whole.index, whole.reader = intact, index, reader


def test_marks_are_bounded_and_the_first_stays() -> None:
    index = JournalIndex(10, marks_max=8)
    for i in range(1, 10_000):
        index.note(i, 2 * i, (1 + i // 1000, i % 1000 * 10))
    assert 2 <= len(index) <= 17
    assert index.first_execution(0) == 1
    for wanted in (1, 500, 5000, 9999):
        found = index.of_execution(wanted)
        assert found is not None
        assert found[0] <= wanted
        assert index.of_order(2 * wanted) == found[1]
    index.forget_through(3)
    assert index.of_execution(2000) is None
    assert index.of_order(4000) is None
