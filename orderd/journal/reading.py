"""A journal read by somebody who does not own it, while its daemon runs or is stopped. Blocking.

Nothing is locked, written or repaired. What recovery says of bytes (:mod:`orderd.journal.recovery`) holds here, but for
one thing: while a daemon writes, a read can see one page as it was and the next one as it is, which looks like damage.
So bytes that are not a record are looked at again after a moment, and only those that stay the same are judged. Bytes
that keep changing are being written.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from orderd.journal import recovery
from orderd.journal.disk import READ_ONLY, Disk
from orderd.journal.errors import JournalDamaged
from orderd.journal.record import HEADER, HEADER_BYTES, record_bytes
from orderd.journal.segment import (
    SEGMENT_HEADER_BYTES,
    Durability,
    Position,
    SegmentHeader,
    decode_segment_header,
    index_of,
    segment_name,
)
from orderd.journal.snapshots import snapshot_indexes
from orderd.runtime.host import pause

LOOK_AGAIN_S: Final = 0.02
LOOKS_STEADY: Final = 3
"""So often the same bytes have to be seen before they are judged."""
LOOKS_MAX: Final = 10

Pause = Callable[[float], object]


@attrs.frozen
class Tail:
    """Bytes behind the whole records: of a commit that is being written, or that was never written as a whole."""

    offset: int
    length: int
    being_written: bool


@attrs.frozen
class Record:
    """One whole record, and where it is."""

    offset: int
    commit: int
    kind: int
    payload: bytes


@attrs.frozen
class Segment:
    """What is in one segment file: its whole records, and what is wrong behind them, if something is."""

    index: int
    path: str
    header: SegmentHeader | None
    """None if the file, or its header, cannot be used."""
    end: int
    """Offset behind the whole records."""
    next_commit: int
    """That a record at ``end`` would have; 0 if the header cannot be used."""
    tail: Tail | None
    problem: JournalDamaged | None
    _data: bytes = attrs.field(repr=False)

    def records(self) -> Iterator[Record]:
        """The whole records, in order."""
        offset = SEGMENT_HEADER_BYTES
        while offset < self.end:
            _, length, commit, _, _, kind, _ = HEADER.unpack_from(self._data, offset)
            payload = offset + HEADER_BYTES
            yield Record(offset, commit, kind, self._data[payload : payload + length])
            offset += record_bytes(length)


@attrs.frozen
class _Expected:
    """What the next segment's header has to say; None where nothing is known, being behind damage."""

    journal: tuple[int, bytes] | None = None
    """Id and application."""
    commit: int | None = 1
    previous_end: int | None = 0


def read_segments(
    directory: str,
    *,
    start: Position | None = None,
    before: int | None = None,
    pause: Pause = pause,
    disk: Disk = READ_ONLY,
) -> Iterator[Segment]:
    """The segments of the journal in ``directory``, one at a time; each holds all its bytes, so let go of it.

    From ``start`` on, else from the first one, and up to the index ``before``, which is not read. Without ``start``,
    segments missing before the first one are damage, unless there is a snapshot that stands in for them.

    Damage is told by :attr:`Segment.problem`, and reading goes on behind it. A directory without segments has none.
    Raises :class:`~orderd.journal.errors.JournalVersionError`, and OSError for what cannot be read.
    """
    names = disk.list(directory)
    indexes = sorted(index for index in map(index_of, names) if index is not None)
    final = indexes[-1] if indexes else 0
    wanted, expected = 1, _Expected()
    if start is not None:
        wanted = start.index
        expected = _Expected((start.journal_id, start.application), start.first_commit, start.previous_end)
        indexes = [index for index in indexes if index >= wanted]
    elif indexes and indexes[0] > 1 and any(index >= indexes[0] for index in snapshot_indexes(names)):
        wanted = indexes[0]
        expected = _Expected(commit=None, previous_end=None)
    for index in indexes:
        if before is not None and index >= before:
            return
        if index != wanted:
            path = f"{directory}/{segment_name(wanted)}"
            yield _unusable(wanted, JournalDamaged(path, 0, "the segment is missing"))
            expected = attrs.evolve(expected, commit=None, previous_end=None)
        found, expected = _read(_File(disk, directory, index), index, expected, last=index == final, pause=pause)
        yield found
        del found  # Two segments need not be in memory at a time.
        wanted = index + 1


def _unusable(index: int, problem: JournalDamaged) -> Segment:
    return Segment(index, problem.path, None, SEGMENT_HEADER_BYTES, 0, None, problem, b"")


class _File:
    """A segment's file, open while it is read."""

    def __init__(self, disk: Disk, directory: str, index: int) -> None:
        self.path = f"{directory}/{segment_name(index)}"
        self._disk = disk

    def __enter__(self) -> "_File":
        self._handle = self._disk.open(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close(self._handle)

    @property
    def size(self) -> int:
        return self._disk.size(self._handle)

    def read(self, length: int, offset: int) -> bytes:
        """Fewer only at the end of the file."""
        return self._disk.pread(self._handle, length, offset)


def _read(at: _File, index: int, expected: _Expected, *, last: bool, pause: Pause) -> tuple[Segment, _Expected]:
    path = at.path
    with at as file:
        try:
            header = decode_segment_header(file.read(SEGMENT_HEADER_BYTES, 0), path)
            _check_header(header, path, index, file.size, expected)
        except JournalDamaged as problem:
            return _unusable(index, problem), attrs.evolve(expected, commit=None, previous_end=None)
        data, found, steady = _look(file, header, pause)
        short = file.size < header.segment_bytes
    tail = problem_found = None
    if not found.clean and not steady:
        tail = Tail(found.end, recovery.end_of_content(data) - found.end, being_written=True)
    elif not last and (short or not found.clean):
        why = "the file is cut short" if short else "a bad record, and this is not the last segment"
        problem_found = JournalDamaged(path, found.end, why)
    elif not found.clean:
        one_unsynced = header.durability == Durability.COMMIT
        verdict = recovery.judge_tail(data, found, header.seed, one_unsynced=one_unsynced)
        if isinstance(verdict, recovery.Damage):
            problem_found = JournalDamaged(path, verdict.offset, verdict.why)
        elif verdict is not None:
            tail = Tail(verdict.offset, recovery.end_of_content(data) - verdict.offset, being_written=False)
    segment = Segment(index, path, header, found.end, found.next_commit, tail, problem_found, data)
    after = _Expected((header.journal_id, header.application), found.next_commit, found.end)
    return segment, after if problem_found is None else attrs.evolve(after, commit=None, previous_end=None)


def _check_header(header: SegmentHeader, path: str, index: int, size: int, expected: _Expected) -> None:
    """Raises :class:`JournalDamaged` for a header that is intact and not that of this journal's next segment."""
    if header.index != index:
        raise JournalDamaged(path, 0, f"this is segment {header.index} under another name")
    if expected.journal is not None and (header.journal_id, header.application) != expected.journal:
        raise JournalDamaged(path, 0, "this segment is of another journal")
    if size > header.segment_bytes:
        raise JournalDamaged(path, header.segment_bytes, "the file is longer than its header says")
    follows = (header.first_commit, header.previous_end)
    if expected.commit is not None and follows != (expected.commit, expected.previous_end):
        why = (
            f"it follows on commit {header.first_commit} and offset {header.previous_end} of the segment before, "
            f"which ends with {expected.commit} and {expected.previous_end}"
        )
        raise JournalDamaged(path, 0, why)


def _look(file: _File, header: SegmentHeader, pause: Pause) -> tuple[bytes, recovery.Scan, bool]:
    """All bytes of a segment, its whole records, and whether what is behind these stays as it is."""
    size = header.segment_bytes
    data = file.read(size, 0).ljust(size, b"\0")
    found = recovery.scan(data, SEGMENT_HEADER_BYTES, header.seed, header.first_commit)
    same, looks = 1, 1
    while not found.clean and same < LOOKS_STEADY and looks < LOOKS_MAX:
        pause(LOOK_AGAIN_S)
        looks += 1
        behind = file.read(size - found.end, found.end).ljust(size - found.end, b"\0")
        if behind == data[found.end :]:
            same += 1
        else:
            same = 1
            data = data[: found.end] + behind
            found = recovery.scan(data, found.end, header.seed, found.next_commit)
    return data, found, same >= LOOKS_STEADY
