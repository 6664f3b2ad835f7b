"""The daemon's executions, numbered without a gap, in the order in which their reports were journaled.

They are kept as they came, as report items, together with what is needed to show them after their orders are forgotten:
the records of the orders that a range names, and text ids. A chunk is what one delivery brought.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import Final

import attrs

from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, TEXT_NUMBER
from orderd.wire.reports import FLAG_FINAL, RANGE, ExecType, OrderStatus, Reason, Report, iter_items, iter_reports

COMPACT_CHUNKS: Final = 1024


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


class ExecutionLog:
    """At most ``kept`` executions; the oldest go first."""

    def __init__(self, kept: int) -> None:
        self.next = 1
        """The id that the next execution gets."""
        self._kept = kept
        self._chunks: list[Chunk] = []
        self._firsts: list[int] = []
        self._gone = 0  # chunks at the front that are dropped already

    @property
    def first(self) -> int:
        """Id of the oldest one kept; equal to :attr:`next` when there are none."""
        return max(self.next - self._kept, self._firsts[self._gone] if self._gone < len(self._firsts) else self.next)

    @property
    def last(self) -> int:
        """Id of the newest one, 0 before the first."""
        return self.next - 1

    def append(self, chunk: Chunk) -> None:
        """Number the executions of a chunk whose reports are journaled."""
        if not chunk.count:
            return
        self._chunks.append(chunk)
        self._firsts.append(self.next)
        self.next += chunk.count
        while self._firsts[self._gone] + self._chunks[self._gone].count <= self.next - self._kept:
            self._gone += 1
        if self._gone >= COMPACT_CHUNKS:
            del self._chunks[: self._gone], self._firsts[: self._gone]
            self._gone = 0

    def read(self, after: int, count: int) -> list[Execution]:
        """Up to ``count`` executions with ids above ``after``, which must not be trimmed."""
        wanted = max(after + 1, self.first)
        at = bisect_right(self._firsts, wanted) - 1
        found: list[Execution] = []
        while len(found) < count and 0 <= at < len(self._chunks):
            exec_id = max(wanted, self._firsts[at])
            for cl_ord_id, report in islice(_shown(self._chunks[at], exec_id - self._firsts[at]), count - len(found)):
                found.append(Execution(exec_id, cl_ord_id, report))
                exec_id += 1
            at += 1
        return found


def _shown(chunk: Chunk, skip: int) -> Iterator[tuple[bytes, Report]]:
    """``cl_ord_id`` and report of each execution but the first ``skip``, a NEW filled in from its order's record."""
    position = index = 0  # of the next range's records, and of the next logical report
    for offset, length, count in iter_items(chunk.items):
        if chunk.items[offset] == ExecType.NEW:
            for i in range(min(skip, count), count):
                report = _new_report(chunk, offset, position, index, i)
                yield _name(chunk, index + i) or b"%d" % report.number, report
            skip = max(0, skip - count)
            position += count * RECORD_BYTES
        elif chunk.items[offset] != ExecType.MASS_CANCELED:
            if skip:
                skip -= 1
            else:
                report = next(iter_reports(chunk.items[offset : offset + length], chunk.first_report + index))
                if not report.order and report.number >= TEXT_NUMBER:
                    # The engine knows the order no more, but the number tells which it was.
                    report = attrs.evolve(report, order=report.number - TEXT_NUMBER)
                if report.exec_type is ExecType.VOIDED:
                    # What clients see of an order that went as a VOID.
                    report = attrs.evolve(
                        report, exec_type=ExecType.EXPIRED, status=OrderStatus.EXPIRED, reason=Reason.MAXAGE
                    )
                yield _name(chunk, index) or b"%d" % report.number, report
        index += count


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
