"""The journal on files: numbered commits of records in preallocated segments, durable when ``commit`` returns.

Blocking and not thread-safe: one owner at a time. ``docs/JOURNAL.md`` has the byte layout and the rules of recovery.

- A commit is one write (one for each segment that it touches) and, with durability "commit", one sync.
- A segment is begun from a spare that was allocated before. The segment before it is synced first, then the spare gets
  its header, is synced, gets its name, and the directory is synced; only then a record goes in. So a full disk shows
  while a spare is made, when nothing has been written, and all segments but the last are whole.
- What ``replay`` yields is durable, even after a sync that failed in an earlier process: what may never have reached
  the disk is written again, since the page cache would claim that it had.
- A replay can start at a segment boundary that a snapshot stands for (:mod:`orderd.journal.snapshots`); segments before
  such boundaries can be pruned. What is left is always a gapless row of segments up to the last.
- Any error of a write or a sync is final. The journal says :class:`JournalFailed` from then on; the next start finds
  out what is on disk.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from orderd.journal import recovery
from orderd.journal.directory import JournalDirectory
from orderd.journal.disk import NO_SPACE, Disk, write_whole
from orderd.journal.errors import JournalDamaged, JournalError, JournalFailed, JournalFull, RecordTooLarge
from orderd.journal.record import LAST, MORE, OVERHEAD_BYTES, Entry, Payload, encode_records, record_bytes
from orderd.journal.segment import (
    SEGMENT_HEADER_BYTES,
    Durability,
    Position,
    SegmentHeader,
    encode_segment_header,
    round_segment_bytes,
)

_MISUSED: Final = "the journal takes a commit only after all of it was replayed, and none after close"


@attrs.define
class _Tail:
    """The segment that records go into."""

    header: SegmentHeader
    handle: int
    end: int
    seed: int

    @property
    def rest(self) -> int:
        """Bytes that are left."""
        return self.header.segment_bytes - self.end


class FileJournal:
    """A journal in a directory of its own; :func:`orderd.journal.open_journal` makes one."""

    def __init__(self, files: JournalDirectory, durability: Durability, segment_bytes: int) -> None:
        """Takes over ``files``, which is open and holds at least one segment."""
        self.journal_id = files.headers[-1].journal_id
        self.commits = 0
        self.bytes = 0
        self._files = files
        self._disk: Disk = files.disk
        self._durability = durability
        self._segment_bytes = round_segment_bytes(segment_bytes)
        self._capacity = self._segment_bytes - SEGMENT_HEADER_BYTES
        self._spares: list[tuple[str, int]] = []
        self._tail: _Tail | None = None
        self._next_commit = 1
        self._unsynced = False
        self._replaying = False
        self._replayed = False
        self._closed = False
        self.failure: str | None = None
        self.location: tuple[int, int] | None = None

    @property
    def segments(self) -> int:
        return len(self._files.headers)

    @property
    def room(self) -> int:
        if self._spares and self._tail is not None:
            return max(self._tail.rest, self._capacity) - OVERHEAD_BYTES
        return self.fits_segment

    @property
    def fits_segment(self) -> int:
        return max(self._tail.rest - OVERHEAD_BYTES, 0) if self._tail is not None else 0

    @property
    def needs_spare(self) -> bool:
        return not self._spares

    def replay(self, start: Position | None = None) -> Iterator[Entry]:
        if self._replaying or self._closed:
            raise RuntimeError("a journal is replayed once, while it is open")
        self._replaying = True
        try:
            yield from self._replay(start)
        except OSError as error:
            if error.errno in NO_SPACE:
                raise JournalFull(f"no room to repair the journal: {error}") from error
            raise self._fail(error) from error

    def _replay(self, start: Position | None) -> Iterator[Entry]:
        headers = self._files.headers_from(start)
        next_commit, previous_end = (1, 0) if start is None else (start.first_commit, start.previous_end)
        for header in headers[:-1]:
            data = self._files.read(header)
            found = self._scan(data, header, next_commit, previous_end)
            if not found.clean:
                path = self._files.path_of(header)
                raise JournalDamaged(path, found.end, "a bad record, and this is not the last segment")
            yield from self._tell(data, header, found.end)
            next_commit, previous_end = found.next_commit, found.end
        header = headers[-1]
        data = self._files.read(header)
        found = self._scan(data, header, next_commit, previous_end)
        self._recover(data, header, found)
        yield from self._tell(data, header, found.end)
        self._next_commit = found.next_commit
        self._replayed = True

    def _tell(self, data: bytes, header: SegmentHeader, end: int) -> Iterator[Entry]:
        offset = SEGMENT_HEADER_BYTES
        for entry in recovery.entries(data, SEGMENT_HEADER_BYTES, end):
            self.location = header.index, offset
            yield entry
            offset += record_bytes(len(entry[1]))

    def _scan(self, data: bytes, header: SegmentHeader, next_commit: int, previous_end: int) -> recovery.Scan:
        """The records of a segment that must follow on the one before it."""
        if (header.first_commit, header.previous_end) != (next_commit, previous_end):
            why = (
                f"it follows on commit {header.first_commit} and offset {header.previous_end} of the segment before, "
                f"which ends with {next_commit} and {previous_end}"
            )
            raise JournalDamaged(self._files.path_of(header), 0, why)
        return recovery.scan(data, SEGMENT_HEADER_BYTES, header.seed, next_commit)

    def _recover(self, data: bytes, header: SegmentHeader, found: recovery.Scan) -> None:
        """Cut a torn tail off the last segment, then make sure that what is left of it is on disk."""
        one_unsynced = header.durability == Durability.COMMIT
        verdict = recovery.judge_tail(data, found, header.seed, one_unsynced=one_unsynced)
        path = self._files.path_of(header)
        if isinstance(verdict, recovery.Damage):
            raise JournalDamaged(path, verdict.offset, verdict.why)
        handle = self._files.open_last()
        tail = self._tail = _Tail(header, handle, found.end, header.seed)
        if verdict is not None:
            self._files.keep_copy(path, recovery.end_of_content(data))
            self._disk.truncate(handle, verdict.offset)
        if verdict is not None or self._disk.size(handle) < header.segment_bytes:
            self._disk.preallocate(handle, header.segment_bytes)
        start = min(found.last_commit_start, found.end) if one_unsynced else SEGMENT_HEADER_BYTES
        self._write(handle, data[start : found.end], start)
        if header.durability != self._durability:
            # One sector, so it is there or it is not; before it all is synced, or will be by the same sync.
            tail.header = self._files.replace_last(attrs.evolve(header, durability=self._durability))
            if not one_unsynced:
                self._disk.fdatasync(handle)
            self._write(handle, encode_segment_header(tail.header), 0)
        self._disk.fdatasync(handle)

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        self._check_usable()
        tail = self._tail
        if tail is None or not self._replayed:
            raise RuntimeError(_MISUSED)
        if not entries:
            return
        self.location = tail.header.index, tail.end
        parts = self._plan([(kind, p if type(p) is bytes else bytes(p)) for kind, p in entries], tail.rest)
        while len(self._spares) < len(parts) - 1:
            self._make_spare()
        # All is encoded before any is written, so that nothing but the disk can fail from here on.
        encoded = []
        index, offset = tail.header.index, tail.end
        for i, part in enumerate(parts):
            seed = tail.seed if i == 0 else self._new_header(index + i, 0).seed
            position = LAST if i == len(parts) - 1 else MORE
            encoded.append(b"".join(encode_records(part, self._next_commit, offset, seed, position)))
            offset = SEGMENT_HEADER_BYTES
        self._append(encoded)

    def _plan(self, entries: list[Entry], rest: int) -> list[list[Entry]]:
        """Which entries go into the segment in use, which into the next ones. A record is never split."""
        parts: list[list[Entry]] = []
        begin = 0
        for i, (_, payload) in enumerate(entries):
            size = record_bytes(len(payload))
            if size > self._capacity:
                most = self._capacity - OVERHEAD_BYTES
                raise RecordTooLarge(f"{len(payload)} bytes in one record; a segment holds {most}")
            if size > rest:
                parts.append(entries[begin:i])
                begin, rest = i, self._capacity
            rest -= size
        parts.append(entries[begin:])
        return parts

    def _append(self, encoded: list[bytes]) -> None:
        """Write one piece into the segment in use, and each further one into a new segment."""
        try:
            for i, piece in enumerate(encoded):
                if i > 0:
                    self._rotate()
                tail = self._tail
                assert tail is not None
                if piece:
                    self._unsynced = True
                    self._write(tail.handle, piece, tail.end)
                    tail.end += len(piece)
                    self.bytes += len(piece)
            if self._durability == Durability.COMMIT:
                self._sync_tail()
        except BaseException as error:
            # Whatever it was, even an interrupt from the keyboard: what is on disk is not known.
            failed = self._fail(error)
            if isinstance(error, OSError):
                raise failed from error
            raise
        self._next_commit += 1
        self.commits += 1

    def _rotate(self) -> None:
        """Begin the next segment in a spare. The order of the steps is what recovery relies on."""
        old = self._tail
        assert old is not None
        self._sync_tail()
        path, handle = self._spares[0]
        header = self._new_header(old.header.index + 1, old.end)
        self._write(handle, encode_segment_header(header), 0)
        self._disk.fdatasync(handle)
        self._files.add(header, path)
        del self._spares[0]
        self._tail = _Tail(header, handle, SEGMENT_HEADER_BYTES, header.seed)
        self._disk.close(old.handle)

    def _new_header(self, index: int, previous_end: int) -> SegmentHeader:
        return attrs.evolve(
            self._files.headers[-1],
            index=index,
            segment_bytes=self._segment_bytes,
            first_commit=self._next_commit,
            previous_end=previous_end,
            durability=self._durability,
        )

    def _write(self, handle: int, data: bytes, offset: int) -> None:
        write_whole(self._disk, handle, data, offset)

    def _sync_tail(self) -> None:
        if self._unsynced:
            assert self._tail is not None
            self._disk.fdatasync(self._tail.handle)
            self._unsynced = False

    def seal(self) -> Position | None:
        self._check_usable()
        tail = self._tail
        if tail is None or not self._replayed:
            raise RuntimeError(_MISUSED)
        if tail.end > SEGMENT_HEADER_BYTES:
            if not self._spares:
                self._make_spare()
            try:
                self._rotate()
            except BaseException as error:
                failed = self._fail(error)
                if isinstance(error, OSError):
                    raise failed from error
                raise
        assert self._tail is not None
        return self._tail.header.position

    def prune(self, before_index: int) -> int:
        # Without a look at anything that commits change: it may run beside them.
        return self._files.prune(before_index)

    def sync(self) -> None:
        self._check_usable()
        try:
            self._sync_tail()
        except OSError as error:
            raise self._fail(error) from error

    def probe(self) -> None:
        # With the mark set there is something to sync, as far as anybody here knows.
        self._check_usable()
        self._unsynced = True
        self.sync()

    def prepare_spare(self) -> None:
        self._check_usable()
        if not self._spares:
            self._make_spare()

    def _make_spare(self) -> None:
        try:
            self._spares.append(self._files.make_spare(self._segment_bytes))
        except OSError as error:
            if error.errno in NO_SPACE:
                raise JournalFull(f"no room for a segment of {self._segment_bytes} bytes: {error}") from error
            raise self._fail(error) from error

    def _check_usable(self) -> None:
        if self.failure is not None:
            raise JournalFailed(self.failure)
        if self._closed:
            raise RuntimeError(_MISUSED)

    def _fail(self, error: BaseException) -> JournalError:
        """Latch: from now on nothing is taken."""
        if self.failure is None:
            self.failure = f"the journal in {self._files.directory} failed: {str(error) or type(error).__name__}"
        return JournalFailed(self.failure)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self.failure is None:
                self._sync_tail()
        except OSError as error:
            raise self._fail(error) from error
        finally:
            for path, handle in self._spares:
                self._disk.close(handle)
                self._files.discard(path)
            if self._tail is not None:
                self._disk.close(self._tail.handle)
            self._files.close()
