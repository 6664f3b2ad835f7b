"""Records and text ids of orders for the archive: from the order table, or read back from the journal. Pure.

Rows that the table has forgotten are looked up in the entries that hold their groups. Groups that were
read are held for those that follow, since what executions near each other are about is mostly near each other as well.
"""

from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Final

from orderd.orders.archive_cursor import ArchiveError, Cursor, SegmentGone, Steps
from orderd.orders.entries import AGE, AGES, GUARD, GUARDS, ORDERS, TEXT_ID, EntryKind
from orderd.orders.journal_index import JournalIndex, Location
from orderd.orders.table import OrderTable
from orderd.wire.records import RECORD_BYTES

HELD_GROUPS_MAX: Final = 4096
HELD_BYTES_MAX: Final = 8 * 2**20
NAMES_AT_ONCE: Final = 2000

_GROUPS: Final = frozenset({int(EntryKind.ORDERS), int(EntryKind.AGED), int(EntryKind.GUARDED)})


class _Group:
    """An entry of orders: rows from ``first`` to before ``end``."""

    __slots__ = ("_names_at", "_names_count", "_payload", "_records_at", "end", "first", "names")

    def __init__(self, kind: int, payload: bytes) -> None:
        begin = 0
        if kind == EntryKind.GUARDED:
            begin = GUARDS.size + GUARDS.unpack_from(payload)[0] * GUARD.size + 1
            kind = payload[begin - 1]
        if kind == EntryKind.AGED:
            begin += AGES.size + AGES.unpack_from(payload, begin)[0] * AGE.size
        self.first, _, count, self._names_count, _ = ORDERS.unpack_from(payload, begin)
        self.end = self.first + count
        self.names: dict[int, bytes] | None = None
        """Text ids by row; None until they were read."""
        self._records_at = begin + ORDERS.size
        self._names_at = self._records_at + count * RECORD_BYTES
        self._payload = payload

    def record(self, row: int) -> bytes:
        at = self._records_at + (row - self.first) * RECORD_BYTES
        return self._payload[at : at + RECORD_BYTES]

    def read_names(self) -> Steps[dict[int, bytes]]:
        names: dict[int, bytes] = {}
        position = self._names_at
        for i in range(1, self._names_count + 1):
            index, length = TEXT_ID.unpack_from(self._payload, position)
            position += TEXT_ID.size
            names[self.first + index] = self._payload[position : position + length]
            position += length
            if i % NAMES_AT_ONCE == 0:
                yield None
        self.names = names
        return names


class ArchivedOrders:
    """``cursor_at`` makes a cursor that starts at a place in the journal."""

    def __init__(self, table: OrderTable, index: JournalIndex, cursor_at: Callable[[Location], Cursor]) -> None:
        self._table = table
        self._index = index
        self._cursor_at = cursor_at
        self._groups: dict[int, _Group] = {}
        self._firsts: list[int] = []
        self._held_bytes = 0

    def find(self, row: int) -> Steps[tuple[bytes, bytes | None]]:
        """Record and text id of a row.

        Raises :class:`~orderd.orders.archive_cursor.ArchiveError`, and
        :class:`~orderd.orders.archive_cursor.SegmentGone` if it is there no more.
        """
        place = self._table.locate(row)
        if place is not None:
            page, at = place
            return page.record(at), page.ids[at] if page.ids is not None else None
        group = self._held(row)
        if group is None:
            group = yield from self._read(row)
        names = group.names
        if names is None:
            names = yield from group.read_names()
        return group.record(row), names.get(row)

    def name(self, row: int) -> Steps[bytes | None]:
        """Text id of a row; None if it has none, or is there no more."""
        try:
            return (yield from self.find(row))[1]
        except SegmentGone:
            return None

    def _held(self, row: int) -> _Group | None:
        at = bisect_right(self._firsts, row) - 1
        if at < 0:
            return None
        group = self._groups[self._firsts[at]]
        return group if row < group.end else None

    def _read(self, row: int) -> Steps[_Group]:
        location = self._index.of_order(row)
        if location is None:
            raise SegmentGone(0)
        cursor = self._cursor_at(location)
        while True:
            kind, payload = yield from cursor.next(_GROUPS)
            group = _Group(kind, payload)
            self._hold(group, len(payload))
            if row < group.end:
                if row < group.first:
                    raise ArchiveError(f"segment {cursor.segment}: order {row} is not where it has to be")
                return group

    def _hold(self, group: _Group, size: int) -> None:
        if group.first in self._groups:
            return
        if len(self._groups) >= HELD_GROUPS_MAX or self._held_bytes + size > HELD_BYTES_MAX:
            # What is looked for next is mostly behind them.
            self._groups.clear()
            self._firsts.clear()
            self._held_bytes = 0
        self._groups[group.first] = group
        insort(self._firsts, group.first)
        self._held_bytes += size
