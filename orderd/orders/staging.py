"""What waits for the next commit, and what is in the one that is under way. Pure.

Orders that come while a commit runs make up the next one's group, which is one journal record: after a crash it is
there whole or not at all. Other entries (numbers given out, the id of the engine, trading) and reports go along.
"""

from typing import TYPE_CHECKING

import attrs

from orderd.orders import entries
from orderd.orders.ages import AgeMark
from orderd.orders.batches import Batch
from orderd.orders.entries import Entry, EntryKind
from orderd.orders.executions import Chunk
from orderd.orders.guards import GuardMark
from orderd.orders.table import OrderTable
from orderd.wire.records import RECORD_BYTES

if TYPE_CHECKING:
    from orderd.orders.modes import Mode


@attrs.define
class Group:
    """Orders from row ``first`` on that wait for the next commit."""

    first: int
    intake_time: float = 0.0
    """Of the oldest of them, in seconds of the daemon's clock."""
    modes: "list[tuple[int, Mode]]" = attrs.field(factory=list)
    """The mode of each run of rows, as ``(end, mode)``."""
    intake_time_ns: int = 0
    ids: list[tuple[int, bytes]] = attrs.field(factory=list)
    batches: list[Batch] = attrs.field(factory=list)
    ages: list[AgeMark] = attrs.field(factory=list)
    guards: list[GuardMark] = attrs.field(factory=list)
    extra_bytes: int = 0


@attrs.frozen
class Commit:
    """What is being made durable. ``reports_next`` is the number of the report behind those that are in it."""

    group: Group | None
    group_end: int
    chunks: list[Chunk]
    reports_next: int
    has_engine: bool


class Staging:
    """The next commit, and the one under way; one at a time."""

    def __init__(self, table: OrderTable) -> None:
        self.commits = 0
        """Commits that were finished."""
        self.committing: Commit | None = None
        self._table = table
        self._group = Group(table.end)
        self._reports: list[tuple[Entry, Chunk]] = []
        self._other: dict[tuple[int, int], Entry] = {}
        self._guard_ends: list[Entry] = []
        self.is_held = False
        """Whether nothing may be taken now: orders that belong in one journal record are being staged."""

    # --- in -----------------------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """The rows that are there now came from the journal."""
        self._group = Group(self._table.end)

    def add_records(self, records: bytes, mode: "Mode", now: float, now_ns: int) -> int:
        """Rows for ``records``; returns the first."""
        group = self._group
        first = self._table.append(records)
        if first == group.first:
            group.intake_time, group.intake_time_ns = now, now_ns
        if group.modes and group.modes[-1][1] is mode:
            group.modes[-1] = (self._table.end, mode)
        else:
            group.modes.append((self._table.end, mode))
        return first

    def add_id(self, row: int, text: bytes) -> None:
        """A staged row has a text id."""
        self._group.ids.append((row - self._group.first, text))
        self._group.extra_bytes += len(text) + entries.TEXT_ID.size

    def add_batch(self, batch: Batch) -> None:
        """Staged rows are a client's batch."""
        self._group.batches.append(batch)
        self._group.extra_bytes += entries.BATCH.size + len(batch.batch_id)

    def add_age(self, row: int, maxage_ms: int, now_ns: int) -> None:
        """A staged row was taken in at ``now_ns`` and must be sent in time."""
        self._group.ages.append(AgeMark(row - self._group.first, maxage_ms, now_ns))
        self._group.extra_bytes += entries.AGE.size

    def add_guard(self, first: int, guard: int) -> None:
        """The staged rows from ``first`` on are in a guard."""
        marks, index, end = self._group.guards, first - self._group.first, self._table.end - self._group.first
        if marks and marks[-1].guard == guard and marks[-1].index + marks[-1].count == index:
            marks[-1] = GuardMark(marks[-1].index, end - marks[-1].index, guard)
        else:
            marks.append(GuardMark(index, end - index, guard))
            self._group.extra_bytes += entries.GUARD.size

    def add_guard_end(self, guard: int) -> None:
        """A guard ended. That is behind the orders in the commit, so that a torn one never has it without them."""
        self._guard_ends.append(entries.GuardEnd(guard).encode())

    def add_entry(self, entry: Entry, about: int = 0) -> None:
        """Another entry. Of one kind, and of those the ones ``about`` the same, the last one tells all."""
        key = (entry[0], about)
        self._other.pop(key, None)
        self._other[key] = entry

    def add_reports(self, entry: Entry, chunk: Chunk) -> None:
        """Reports from the engine, and the executions in them."""
        self._reports.append((entry, chunk))

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def commits_wanted(self) -> int:
        """Once so many commits were finished, all that is staged now is durable."""
        return self.commits + (1 if self.committing is None else 2)

    @property
    def size_bytes(self) -> int:
        """Size of the orders that wait."""
        return (self._table.end - self._group.first) * RECORD_BYTES + self._group.extra_bytes

    @property
    def has_orders(self) -> bool:
        """Whether somebody waits for the next commit."""
        return self._table.end > self._group.first or bool(self._other) or bool(self._guard_ends)

    @property
    def has_anything(self) -> bool:
        """Whether a commit would have anything to do."""
        return self.has_orders or bool(self._reports)

    # --- out ----------------------------------------------------------------------------------------------------------

    def take(self, reports_next: int) -> list[Entry]:
        """All that is staged, as journal entries."""
        assert self.committing is None and not self.is_held, "one commit at a time"
        table, group = self._table, self._group
        out, self._other = list(self._other.values()), {}
        has_engine = any(kind == EntryKind.ENGINE for kind, _ in out)
        has_group = table.end > group.first
        if has_group:
            records = table.records(group.first, table.end - group.first)
            marks = [batch.mark(group.first) for batch in group.batches]
            orders = entries.Orders(
                group.first, group.intake_time_ns, records, group.ids, marks, group.ages, group.guards
            )
            out.append(orders.encode())
            self._group = Group(table.end)
        guard_ends, self._guard_ends = self._guard_ends, []
        out += guard_ends
        reports, self._reports = self._reports, []
        out += [entry for entry, _ in reports]
        chunks = [chunk for _, chunk in reports]
        self.committing = Commit(group if has_group else None, table.end, chunks, reports_next, has_engine)
        return out

    def finish(self) -> Commit:
        """What :meth:`take` gave is durable."""
        assert self.committing is not None
        done, self.committing = self.committing, None
        self.commits += 1
        return done
