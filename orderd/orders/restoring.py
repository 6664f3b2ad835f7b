"""What the journal holds at a start, done again: a million orders in seconds. Pure.

Entries are taken in *blocks*. Of a block, orders and all that is no report are put in place at once, then its reports
are applied in columns (:mod:`orderd.orders.bulk_reports`), or one by one where that is not the same. A report is about
nothing that comes behind it, so their turn may come later; what is forgotten, and when, is as it was.

A block of its own for each entry comes to the same, which the tests hold it against.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from struct import error as struct_error
from typing import Final

import attrs
import numpy as np

from orderd.link.report_intake import Delivery
from orderd.orders import entries
from orderd.orders.ages import Ages
from orderd.orders.batches import BatchLedger
from orderd.orders.bulk_orders import BulkOrders
from orderd.orders.bulk_reports import BulkReports, Cut, NotInBulk, Run
from orderd.orders.entries import AnyEntry, EntryError, EntryKind
from orderd.orders.errors import InstrumentsChanged
from orderd.orders.executions import Chunk, ExecutionLog
from orderd.orders.guards import Guards
from orderd.orders.ids import IdIndex
from orderd.orders.journal_index import Location
from orderd.orders.outcomes import Outcomes
from orderd.orders.report_columns import columns_of
from orderd.orders.restored_executions import chunks_of
from orderd.orders.risk.positions import Positions
from orderd.orders.table import OrderTable
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.errors import ReportError
from orderd.wire.paths import Path
from orderd.wire.reports import HIDDEN, check_items

BLOCK_BYTES: Final = 4 * 2**20
"""Of journal entries: some 25,000 orders with their reports."""
FEW_ITEMS_BYTES: Final = 2048
"""Reports up to so much are applied one by one in less time than in columns."""
TRIED_FIRST: Final = 64
"""After a cut so many entries are tried next, then twice as many."""


def new_instruments(known: Mapping[int, entries.InstrumentEntry], instruments: InstrumentTable) -> list[entries.Entry]:
    """Entries for the settings' instruments that the journal does not know.

    Raises :class:`~orderd.orders.errors.InstrumentsChanged` if one that it knows is another or gone.
    """
    for entry in known.values():
        instrument = instruments.by_id.get(entry.id)
        if instrument is None or instrument.digest != entry.digest:
            raise InstrumentsChanged(
                f"instrument {entry.id} is {entry.text} in the journal; symbol, tick and lot never change"
            )
    new = [instrument for instrument in instruments if instrument.id not in known]
    return [entries.InstrumentEntry(i.id, i.digest, f"{i.symbol} {i.tick} {i.lot}").encode() for i in new]


@attrs.frozen
class Restored:
    """The desk's parts that a restart fills, and what it does with the rest of the entries."""

    table: OrderTable
    ids: IdIndex
    batches: BatchLedger
    positions: Positions
    outcomes: Outcomes
    executions: ExecutionLog
    ages: Ages
    guards: Guards
    other: Callable[[AnyEntry], None]
    """Does what an entry says that is neither orders, reports nor the end of a guard."""
    trim: Callable[[], None]
    """Forgets what is beyond the bounds."""


@attrs.define
class _Reports:
    """Entries with reports that wait for their turn."""

    first: list[int] = attrs.field(factory=list)
    path: list[int] = attrs.field(factory=list)
    items: list[bytes] = attrs.field(factory=list)
    sent_end: list[int] = attrs.field(factory=list)
    size_bytes: int = 0


class Restorer:
    """Takes the entries of a journal in order; :meth:`finish` is the end of them."""

    def __init__(
        self, parts: Restored, reports_next: int, block_bytes: int = BLOCK_BYTES, few_bytes: int = FEW_ITEMS_BYTES
    ) -> None:
        self.reports_next = reports_next
        """Number of the report behind those that were taken."""
        self._parts = parts
        self._block_bytes = block_bytes
        self._few_bytes = few_bytes
        self._orders = BulkOrders(parts.table, parts.ids, parts.batches)
        self._reports = _Reports()
        self._bulk = BulkReports(parts.table, parts.batches, parts.positions, parts.outcomes)
        self._size_bytes = 0
        self._marks: list[tuple[int, int, Location]] = []
        """For the index: how many of the block's entries with reports come before it, the row, and where it is."""
        self._marked: Location | None = None

    def take(self, kind: int, payload: bytes, location: Location | None = None) -> None:
        """An entry, and where it is in the journal.

        Raises :class:`~orderd.orders.entries.EntryError`, :class:`~orderd.orders.errors.ReportMismatch`; what was taken
        so far is of no use then.
        """
        if location is not None:
            self._note(location)
        self._size_bytes += len(payload)
        if kind == EntryKind.REPORTS:
            self._take_reports(payload)
        elif kind in entries.GROUPS:
            self._take_orders(kind, payload)
        else:
            entry = entries.decode(kind, payload)
            if isinstance(entry, entries.GuardEnd):
                self._parts.guards.restore_end(entry.guard)
            else:
                self._parts.other(entry)
        if self._size_bytes >= self._block_bytes:
            self._end_block()

    def finish(self) -> None:
        """All entries were taken. Raises as :meth:`take` does."""
        self._end_block()
        self._parts.guards.drop_done()
        for _ in self._parts.positions.catch_up_in_steps():
            pass

    # --- a block ------------------------------------------------------------------------------------------------------

    def _note(self, location: Location) -> None:
        index = self._parts.executions.index
        if index is None:
            return
        index.newest_segment = location[0]
        if self._marked is None or not index.is_near(location, self._marked):
            self._marks.append((len(self._reports.items), self._parts.table.end, location))
            self._marked = location

    def _take_orders(self, kind: int, payload: bytes) -> None:
        try:
            marks = entries.unwrap(kind, payload)
        except struct_error as error:
            raise EntryError(f"group of orders: {error}") from None
        first = self._orders.take(marks.plain)
        for age in marks.ages:
            self._parts.ages.restore(first + age.index, age)
        for run in marks.guards:
            self._parts.guards.restore(run.guard, first + run.index, run.count)

    def _take_reports(self, payload: bytes) -> None:
        try:
            first, path = entries.REPORTS.unpack_from(payload)
        except struct_error as error:
            raise EntryError(f"reports: {error}") from None
        if path > entries.PATH_MAX:
            raise EntryError(f"reports from {first} on came over path {path}")
        items = payload[entries.REPORTS.size :]
        if not items:
            raise EntryError(f"reports from {first} on, and there are none")
        waiting = self._reports
        waiting.first.append(first)
        waiting.path.append(path)
        waiting.items.append(items)
        waiting.sent_end.append(self._parts.table.end)
        waiting.size_bytes += len(items)

    @staticmethod
    def _check_first(first: int, expected: int) -> None:
        if first != expected:
            raise EntryError(f"report {first} follows {expected - 1}")

    def _end_block(self) -> None:
        self._orders.flush()
        reports, self._reports = self._reports, _Reports()
        before = self._parts.executions.next
        shown: Iterable[int] = ()
        if reports.items:
            shown = self._apply(reports)
            self._parts.ages.confirm(self._parts.outcomes.confirmed_end)
        self._size_bytes = 0
        marks, self._marks = self._marks, []
        index = self._parts.executions.index
        if marks and index is not None:
            numbers = list(accumulate(shown, initial=before))
            for entries_before, row, location in marks:
                index.note(numbers[entries_before], row, location)

    # --- its reports --------------------------------------------------------------------------------------------------

    def _apply(self, reports: _Reports) -> list[int]:
        """Returns how many executions each entry has."""
        if reports.size_bytes <= self._few_bytes:
            return [self._apply_one(reports, index) for index in range(len(reports.items))]
        items = columns_of(reports.items)
        count = len(reports.items)
        told = np.bincount(items.entry, items.count, count).astype(np.int64)
        firsts = self.reports_next + np.append(0, np.cumsum(told)[:-1])
        wrong = np.flatnonzero(np.array(reports.first, object) != firsts)
        if len(wrong):
            self._check_first(reports.first[int(wrong[0])], int(firsts[wrong[0]]))
        hidden = np.isin(items.exec_type, list(HIDDEN))
        shown: list[int] = np.bincount(items.entry, np.where(hidden, 0, items.count), count).astype(np.int64).tolist()
        whole = Run(items, np.array(reports.path, np.uint8), np.array(reports.sent_end, np.int64))
        bounds = np.searchsorted(items.entry, np.arange(count + 1))
        start, tried = 0, count
        while start < count:
            end = min(start + tried, count)
            part = attrs.evolve(whole, items=items.part(int(bounds[start]), int(bounds[end])))
            try:
                self._apply_run(part, reports.first[start], shown[start:end], start)
            except Cut as cut:
                tried = cut.entry - start
                if not tried:
                    self._apply_one(reports, start)
                    start, tried = start + 1, TRIED_FIRST
            except NotInBulk:
                for index in range(start, end):
                    self._apply_one(reports, index)
                start = end
            else:
                self.reports_next += int(told[start:end].sum())
                start, tried = end, max(2 * tried, TRIED_FIRST)
        return shown

    def _apply_run(self, run: Run, first_report: int, shown: list[int], first_entry: int) -> None:
        parts = self._parts
        forgotten_before = self._bulk.apply(run)
        in_memory = parts.executions.in_memory
        total, at = sum(shown), 0
        while at < len(shown) and total - shown[at] >= in_memory:
            total -= shown[at]
            at += 1
        skipped = sum(shown[:at])
        if skipped:
            parts.executions.skip(skipped)
        for chunk in chunks_of(run.items, first_report, first_entry + at, parts.table):
            parts.executions.append(chunk)
        if forgotten_before:
            # They are easily counted as long as they are there.
            parts.positions.count_before(forgotten_before)
            parts.trim()

    def _apply_one(self, reports: _Reports, index: int) -> int:
        """As while the daemon runs. Returns how many executions there are."""
        parts, first, items = self._parts, reports.first[index], reports.items[index]
        self._check_first(first, self.reports_next)
        try:
            count = check_items(items)[1]
        except ReportError as error:
            raise EntryError(f"reports from {first} on: {error}") from None
        delivery = Delivery(first, items, count)
        parts.table.told_end = reports.sent_end[index]
        chunk: Chunk = parts.outcomes.apply(delivery, Path(reports.path[index]), reports.sent_end[index])
        parts.table.told_end = 0
        self.reports_next = first + count
        parts.executions.append(chunk)
        parts.trim()
        return chunk.count
