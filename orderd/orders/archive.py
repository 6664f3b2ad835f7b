"""Executions that are in memory no more, read back from orderd's journal. Pure: it says which bytes it needs.

A REPORTS entry holds report items. What memory holds beside them is found again: the records and text ids of a range's
orders, and the text id of an order that any other report is about. They come from the order table while it has the row,
else from the entry that holds the order's group. So an execution reads the same wherever it comes from.

The reader is a generator: it yields the bytes that it wants next as a :class:`Block`, is sent them, and returns a
:class:`Page`. None instead of bytes says that the segment is not there any more. It yields None where others may have
their turn. Each piece of work between two yields is well below a millisecond, but for a record that is itself larger.

All that is read was committed by this process or replayed by it, so what does not fit its checksum is damage.
"""

from collections.abc import Callable
from typing import Final

import attrs

from orderd.orders.archive_cursor import ArchiveError, Cursor, SegmentGone, Steps
from orderd.orders.archived_orders import ArchivedOrders
from orderd.orders.entries import REPORTS, EntryKind
from orderd.orders.executions import Chunk, Execution, account_of_item, count_shown, shown
from orderd.orders.journal_index import JournalIndex, Location
from orderd.orders.table import OrderTable
from orderd.wire.errors import ReportError
from orderd.wire.records import TEXT_NUMBER
from orderd.wire.reports import FULL, HIDDEN, RANGE, ExecType, check_items, iter_items

LOOK_BYTES: Final = 4 * 2**20
"""How much journal one read goes through to find executions of an account before others have their turn."""
WINDOW: Final = 100
"""Executions that are put together between two yields."""
_NUMBER_FIELD: Final = 10


@attrs.frozen
class Page:
    """Executions, and the id of the last one that was looked at. ``trimmed``: the position is gone."""

    found: list[Execution]
    looked: int
    trimmed: bool = False


@attrs.define(eq=False)
class ArchiveRead:
    """A question for the archive: up to ``count`` executions behind ``after`` and below ``end``.

    ``done`` is called once with this object, which then has a ``page``, or an ``error`` that says why not.
    """

    after: int
    count: int
    account: int | None
    end: int
    done: "Callable[[ArchiveRead], None]"
    page: Page | None = None
    error: str = ""
    abandoned: bool = False
    """Nobody waits for the answer any more."""

    def finish(self, page: Page | None, error: str = "") -> None:
        """The answer is there."""
        self.page, self.error = page, error
        if not self.abandoned:
            self.done(self)


_REPORTS_ONLY: Final = frozenset({int(EntryKind.REPORTS)})


class ArchiveReader:
    """Reads executions of one journal."""

    def __init__(self, journal_id: int, index: JournalIndex, table: OrderTable) -> None:
        self._journal_id = journal_id
        self._index = index
        self._orders = ArchivedOrders(table, index, self._cursor_at)

    def read(self, after: int, count: int, account: int | None, end: int) -> Steps[Page]:
        """Up to ``count`` executions with ids above ``after`` and below ``end``; with ``account`` only those of it.

        May find fewer, and none at all, before the end: then the page says how far it looked. Raises
        :class:`ArchiveError`.
        """
        mark = self._index.of_execution(after + 1)
        if mark is None:
            return Page([], after, trimmed=True)
        exec_id, location = mark
        cursor = self._cursor_at(location)
        found: list[Execution] = []
        wanted = after + 1
        try:
            # However much there is to read, each page goes on.
            while wanted < end and len(found) < count and (cursor.read_bytes < LOOK_BYTES or wanted == after + 1):
                _, payload = yield from cursor.next(_REPORTS_ONLY)
                first, _ = REPORTS.unpack_from(payload)
                items = payload[REPORTS.size :]
                try:
                    check_items(items)
                except ReportError as error:
                    raise ArchiveError(f"segment {cursor.segment}: {error}") from None
                entry_end = exec_id + count_shown(items)
                while wanted < min(entry_end, end) and len(found) < count:
                    size = min(WINDOW, end - wanted, WINDOW if account is not None else count - len(found))
                    chunk = yield from self._chunk(first, items, wanted - exec_id, size, account)
                    for i, cl_ord_id, report in shown(chunk, 0, account):
                        if len(found) < count:
                            found.append(Execution(wanted + i, cl_ord_id, report))
                    wanted = found[-1].exec_id + 1 if len(found) == count else wanted + chunk.count
                    yield None
                exec_id = entry_end
        except SegmentGone as gone:
            if gone.segment >= location[0]:
                self._index.forget_through(gone.segment)
            else:
                # Of an order that is there no more a NEW cannot be shown.
                self._index.forget_below(wanted + 1)
            return Page([], after, trimmed=True)
        return Page(found, wanted - 1)

    def _cursor_at(self, location: Location) -> Cursor:
        return Cursor(self._journal_id, location, self._index.newest_segment)

    def _chunk(self, first: int, items: bytes, skip: int, count: int, account: int | None) -> Steps[Chunk]:
        """``count`` of the executions in ``items``, from place ``skip`` on, with all that it takes to show them."""
        parts: list[bytes] = []
        records: list[bytes] = []
        names: list[bytes | None] = []
        index = taken = first_index = 0
        for offset, length, reports in iter_items(items):
            if taken == count:
                break
            hidden = items[offset] in HIDDEN
            if hidden or skip >= reports:
                skip -= 0 if hidden else reports
                index += reports
                continue
            if not parts:
                first_index = index + skip
            if items[offset] == ExecType.NEW:
                number = min(reports - skip, count - taken)
                kind, flags, zero, _, order, time_ns = RANGE.unpack_from(items, offset)
                parts.append(RANGE.pack(kind, flags, zero, number, order + skip, time_ns))
                for row in range(order + skip, order + skip + number):
                    record, name = yield from self._orders.find(row)
                    records.append(record)
                    names.append(name)
                taken += number
            else:
                parts.append(items[offset : offset + length])
                of_number = FULL.unpack_from(items, offset)[_NUMBER_FIELD]
                wanted = account is None or account_of_item(items, offset) == account
                named = of_number >= TEXT_NUMBER and wanted
                names.append((yield from self._orders.name(of_number - TEXT_NUMBER)) if named else None)
                taken += 1
            skip = 0
            index += reports
        ids = names if any(names) else None
        return Chunk(first + first_index, b"".join(parts), b"".join(records), ids, taken)
