"""The daemon's executions, numbered without a gap, in the order in which their reports were journaled.

The newest are kept in memory as they came, as report items, together with what is needed to show them after their
orders are forgotten: the records of the orders that a range names, and text ids. A chunk is what one delivery brought.
Older ones are read back from the journal (:mod:`orderd.orders.archive`), where there is one.
"""

from bisect import bisect_right
from collections.abc import Iterator
from struct import Struct
from typing import Final, Protocol

import attrs

from orderd.orders.journal_index import JournalIndex
from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, TEXT_NUMBER
from orderd.wire.reports import (
    FLAG_FINAL,
    HIDDEN,
    RANGE,
    ExecType,
    OrderStatus,
    Reason,
    Report,
    iter_items,
    iter_reports,
)

COMPACT_CHUNKS: Final = 1024
LOOKED_AT_ONCE: Final = 500
"""Executions that one look for those of an account goes through: well below a millisecond."""

_ACCOUNT: Final = Struct("<H")
_RECORD_ACCOUNT_AT: Final = 28
_ITEM_ACCOUNT_AT: Final = 4


@attrs.frozen
class Chunk:
    """Executions of one delivery. ``ids`` has an entry for each logical report, or is None if none has a text id."""

    first_report: int
    items: bytes
    records: bytes
    ids: list[bytes | None] | None
    count: int


@attrs.frozen
class Execution:
    """One execution, ready to be shown."""

    exec_id: int
    cl_ord_id: bytes
    report: Report


class Watcher(Protocol):
    """Waits for the next execution of an account."""

    def execution_of_account(self, before: int) -> None:
        """There is one behind the execution ``before``, and none between what was looked through and that."""


class ExecutionLog:
    """Numbers executions and holds the newest ``in_memory`` of them.

    ``kept`` may be read. With an ``index`` of the journal those that are in memory no more come from there; without one
    all that are kept are in memory.
    """

    def __init__(self, kept: int, in_memory: int | None = None, index: JournalIndex | None = None) -> None:
        self.next = 1
        """The id that the next execution gets."""
        self.index = index
        self._kept = kept
        self._in_memory = kept if in_memory is None or index is None else min(in_memory, kept)
        self._chunks: list[Chunk] = []
        self._firsts: list[int] = []
        self._gone = 0  # chunks at the front that are dropped already
        self._watchers: dict[int, dict[Watcher, None]] = {}

    @property
    def first_in_memory(self) -> int:
        """Id of the oldest one in memory; equal to :attr:`next` when there are none."""
        held_from = self._firsts[self._gone] if self._gone < len(self._firsts) else self.next
        return max(self.next - self._in_memory, held_from)

    @property
    def first(self) -> int:
        """Id of the oldest one that can be read; equal to :attr:`next` when there are none."""
        if self.index is None:
            return self.first_in_memory
        return max(self.next - self._kept, min(self.index.first_execution(self.next), self.first_in_memory))

    @property
    def last(self) -> int:
        """Id of the newest one, 0 before the first."""
        return self.next - 1

    @property
    def is_watched(self) -> bool:
        """Whether somebody waits for the next execution of an account."""
        return bool(self._watchers)

    def append(self, chunk: Chunk) -> None:
        """Number the executions of a chunk whose reports are journaled."""
        if not chunk.count:
            return
        self._chunks.append(chunk)
        self._firsts.append(self.next)
        before = self.next - 1
        self.next += chunk.count
        while self._firsts[self._gone] + self._chunks[self._gone].count <= self.next - self._in_memory:
            self._gone += 1
        if self._gone >= COMPACT_CHUNKS:
            del self._chunks[: self._gone], self._firsts[: self._gone]
            self._gone = 0
        if self._watchers:
            self._tell(chunk, before)

    def skip(self, count: int) -> None:
        """Number ``count`` executions, 1 at least, that will be in memory no more when the last one is appended."""
        self._chunks.clear()
        self._firsts.clear()
        self._gone = 0
        self.next += count

    @property
    def in_memory(self) -> int:
        """So many are kept in memory."""
        return self._in_memory

    # --- reading ------------------------------------------------------------------------------------------------------

    def read(self, after: int, count: int) -> list[Execution]:
        """Up to ``count`` executions in memory with ids above ``after``, which must not be trimmed."""
        return self._look(max(after + 1, self.first_in_memory), self.next, count, None)

    def look(self, after: int, count: int, account: int) -> tuple[list[Execution], int]:
        """Up to ``count`` executions of ``account`` in memory, and the id up to which there are no more of it.

        Goes through a bounded number: the end is reached when that id is :attr:`last`.
        """
        wanted = max(after + 1, self.first_in_memory)
        end = max(after + 1, min(self.next, wanted + LOOKED_AT_ONCE))
        found = self._look(wanted, end, count, account)
        return found, found[-1].exec_id if len(found) == count else end - 1

    def _look(self, wanted: int, end: int, count: int, account: int | None) -> list[Execution]:
        at = bisect_right(self._firsts, wanted) - 1
        found: list[Execution] = []
        while 0 <= at < len(self._chunks) and self._firsts[at] < end:
            first = self._firsts[at]
            for i, cl_ord_id, report in shown(self._chunks[at], max(0, wanted - first), account):
                if len(found) == count or first + i >= end:
                    return found
                found.append(Execution(first + i, cl_ord_id, report))
            at += 1
        return found

    # --- waiting for an account ---------------------------------------------------------------------------------------

    def watch(self, account: int, watcher: Watcher) -> None:
        """``watcher`` is told once, of the next execution of ``account``; it has looked through all there are."""
        self._watchers.setdefault(account, {})[watcher] = None

    def unwatch(self, account: int, watcher: Watcher) -> None:
        """It does not wait any more; it need not have waited."""
        watchers = self._watchers.get(account, {})
        watchers.pop(watcher, None)
        if not watchers:
            self._watchers.pop(account, None)

    def _tell(self, chunk: Chunk, before: int) -> None:
        # One look at the chunk, however many wait.
        for account in accounts_of(chunk):
            for watcher in self._watchers.pop(account, ()):
                watcher.execution_of_account(before)


def accounts_of(chunk: Chunk) -> list[int]:
    """The accounts of its executions, each once."""
    unpack = _ACCOUNT.unpack_from
    found = {unpack(chunk.records, at)[0]: None for at in range(_RECORD_ACCOUNT_AT, len(chunk.records), RECORD_BYTES)}
    for offset, _, _ in iter_items(chunk.items):
        if chunk.items[offset] != ExecType.NEW:
            found[unpack(chunk.items, offset + _ITEM_ACCOUNT_AT)[0]] = None
    return list(found)


def account_of_item(items: bytes, offset: int) -> int:
    """The account in the full item at ``offset``."""
    account: int = _ACCOUNT.unpack_from(items, offset + _ITEM_ACCOUNT_AT)[0]
    return account


def count_shown(items: bytes) -> int:
    """How many executions clients see of these items."""
    return sum(count for offset, _, count in iter_items(items) if items[offset] not in HIDDEN)


def shown(chunk: Chunk, skip: int = 0, account: int | None = None) -> Iterator[tuple[int, bytes, Report]]:
    """Place in the chunk from 0, ``cl_ord_id`` and report of each execution from place ``skip`` on.

    A NEW is filled in from its order's record. With ``account`` only those of that account.
    """
    items = chunk.items
    position = index = place = 0  # of the next range's records, of the next logical report, of the next execution
    for offset, length, count in iter_items(items):
        if items[offset] == ExecType.NEW:
            for i in range(min(max(0, skip - place), count), count):
                if account is None or _record_account(chunk, position + i * RECORD_BYTES) == account:
                    report = _new_report(chunk, offset, position, index, i)
                    yield place + i, _name(chunk, index + i) or b"%d" % report.number, report
            position += count * RECORD_BYTES
            place += count
        elif items[offset] not in HIDDEN:
            if place >= skip and (account is None or account_of_item(items, offset) == account):
                report = _full_report(chunk, offset, length, index)
                yield place, _name(chunk, index) or b"%d" % report.number, report
            place += 1
        index += count


def _record_account(chunk: Chunk, position: int) -> int:
    account: int = _ACCOUNT.unpack_from(chunk.records, position + _RECORD_ACCOUNT_AT)[0]
    return account


def _full_report(chunk: Chunk, offset: int, length: int, index: int) -> Report:
    report = next(iter_reports(chunk.items[offset : offset + length], chunk.first_report + index))
    if not report.order and report.number >= TEXT_NUMBER:
        # The engine knows the order no more, but the number tells which it was.
        report = attrs.evolve(report, order=report.number - TEXT_NUMBER)
    if report.exec_type is ExecType.VOIDED:
        # What clients see of an order that went as a VOID.
        report = attrs.evolve(report, exec_type=ExecType.EXPIRED, status=OrderStatus.EXPIRED, reason=Reason.MAXAGE)
    return report


def _new_report(chunk: Chunk, offset: int, position: int, index: int, i: int) -> Report:
    _, flags, _, _, order, time_ns = RANGE.unpack_from(chunk.items, offset)
    record = RECORD.unpack_from(chunk.records, position + i * RECORD_BYTES)
    number, _, quantity, instrument, account, _, record_flags = record
    return Report(
        chunk.first_report + index + i, ExecType.NEW, order + i, order + i, bool(flags & FLAG_FINAL), time_ns,
        sell=bool(record_flags & FLAG_SELL), account=account, instrument=instrument, number=number, leaves_qty=quantity,
    )  # fmt: skip


def _name(chunk: Chunk, index: int) -> bytes | None:
    return chunk.ids[index] if chunk.ids is not None else None
