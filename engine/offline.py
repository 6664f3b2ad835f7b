"""An engine's state made from its journal on disk, by somebody who does not own it. Blocking; nothing is written.

The journal may be in use: its daemon appends, and prunes what its snapshots stand for. So a read that finds a segment
gone begins anew, from the snapshot that is newest by then.
"""

from collections.abc import Callable, Iterator
from typing import Final

import attrs

from engine.core import EngineCore
from engine.restoring import APPLICATION, Damaged, Restored, restore_newest
from orderd.journal.disk import READ_ONLY, Disk
from orderd.journal.errors import JournalDamaged, JournalError
from orderd.journal.reading import Record, read_segments
from orderd.journal.segment import (
    SEGMENT_HEADER_BYTES,
    Position,
    decode_segment_header,
    index_of,
    segment_name,
)
from orderd.runtime.instruments import Instrument, InstrumentTable

READS_MAX: Final = 5


class NotThere(JournalError):
    """The directory holds no journal of an engine, or not the part of it that was asked for."""


@attrs.define
class Reading:
    """What to read, and how far it has come."""

    directory: str
    core: EngineCore
    start: Position | None
    """Of the snapshot that was begun with; None if it was begun with nothing."""
    damaged: tuple[Damaged, ...]
    """Snapshots that could not be used."""
    commit: int = 0
    """The last one that was read."""
    entries: int = 0
    """Journal entries that were executed behind the snapshot."""
    next_commit: int = 1
    previous_end: int = 0
    """Where the last segment that was read ends."""


Watch = Callable[[EngineCore], Callable[[], None]]
"""Called once with the core before anything is rerun; what it returns is called after each record."""


def new_core(journal_id: int) -> EngineCore:
    """A core that only reruns: it knows instruments, limits and markets from the journal alone."""
    return EngineCore(engine_id=journal_id, secret=b"", instruments=InstrumentTable([]))


def instruments_of(core: EngineCore) -> dict[int, Instrument]:
    """The instruments that the journal names, by id."""
    return {
        entry.id: Instrument(symbol, entry.id, tick, lot)
        for entry in core._journaled_instruments.values()
        for symbol, tick, lot in [entry.text.split(" ")]
    }


def read_state(
    directory: str,
    *,
    before: int | None = None,
    to_commit: int | None = None,
    from_start: bool = False,
    watch: Watch | None = None,
    disk: Disk = READ_ONLY,
) -> Reading:
    """Rerun the journal in ``directory`` to its end; with ``before`` up to that segment, with ``to_commit`` up to that
    commit and with it.

    From the newest snapshot that can be used and is before that, or with ``from_start`` from the first record.

    Raises a :class:`~orderd.journal.errors.JournalError`, :class:`~engine.inputs.InputError`, OSError.
    """
    for left in range(READS_MAX - 1, -1, -1):
        try:
            return _read_once(disk, directory, before, to_commit, from_start, watch)
        except (FileNotFoundError, JournalDamaged):
            # Who watches has seen a part already.
            if not left or watch is not None or not _was_pruned(disk, directory):
                raise
    raise AssertionError


def _was_pruned(disk: Disk, directory: str) -> bool:
    """Whether what was missed may have gone while it was read."""
    return segment_name(1) not in disk.list(directory)


def _read_once(
    disk: Disk, directory: str, before: int | None, to_commit: int | None, from_start: bool, watch: Watch | None
) -> Reading:
    journal_id = _journal_id(disk, directory)

    def make_core() -> EngineCore:
        return new_core(journal_id)

    if from_start:
        if _was_pruned(disk, directory):
            raise NotThere(f"{directory}: the first segments are gone, since a snapshot stands in for them")
        restored = Restored(make_core(), None)
    else:
        restored = restore_newest(disk, directory, journal_id, make_core, before=before, to_commit=to_commit)
    core, start = restored.core, restored.position
    reading = Reading(directory, core, start, restored.damaged, commit=start.first_commit - 1 if start else 0)
    after_record = watch(core) if watch is not None else None
    for record in _records(disk, reading, before):
        if to_commit is not None and record.commit > to_commit:
            break
        core.replay(record.kind, record.payload)
        reading.commit = record.commit
        reading.entries += 1
        if after_record is not None:
            after_record()
    if to_commit is not None and reading.commit < to_commit:
        raise NotThere(f"{directory}: the journal ends with commit {reading.commit}")
    return reading


def _records(disk: Disk, reading: Reading, before: int | None) -> Iterator[Record]:
    start = reading.start or Position(APPLICATION, reading.core.engine_id, 1, 1, 0)
    wanted = start.index
    for segment in read_segments(reading.directory, start=start, before=before, disk=disk):
        if segment.problem is not None:
            raise segment.problem
        reading.next_commit, reading.previous_end = segment.next_commit, segment.end
        wanted = segment.index + 1
        yield from segment.records()
    if wanted == start.index:
        path = f"{reading.directory}/{segment_name(wanted)}"
        raise JournalDamaged(path, 0, "the segment is missing")


def read_records(directory: str) -> Iterator[Record]:
    """All records that there are, from the first one that was not pruned. Raises as :func:`read_state`."""
    _journal_id(READ_ONLY, directory)
    for segment in read_segments(directory):
        if segment.problem is not None:
            raise segment.problem
        yield from segment.records()


def _journal_id(disk: Disk, directory: str) -> int:
    last = last_segment(directory, disk)
    if last.application != APPLICATION:
        raise NotThere(f"{directory}: the journal of {last.application.decode('ascii', 'replace')}, not of an engine")
    return last.journal_id


def last_segment(directory: str, disk: Disk = READ_ONLY) -> Position:
    """The boundary before the segment that is in use: all before it is sealed. Raises as :func:`read_state`."""
    indexes = [index for name in disk.list(directory) if (index := index_of(name)) is not None]
    if not indexes:
        raise NotThere(f"{directory}: no journal is there")
    return read_position(directory, max(indexes), disk)


def read_position(directory: str, index: int, disk: Disk = READ_ONLY) -> Position:
    """The boundary before segment ``index``, as that segment's header has it. Raises as :func:`read_state`."""
    path = f"{directory}/{segment_name(index)}"
    try:
        handle = disk.open(path)
    except FileNotFoundError:
        raise NotThere(f"{path}: there is no such segment") from None
    try:
        return decode_segment_header(disk.pread(handle, SEGMENT_HEADER_BYTES, 0), path).position
    finally:
        disk.close(handle)
