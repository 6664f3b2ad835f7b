"""The directory of a journal: its lock, its segment files, its spares. Blocking.

All OSErrors pass through. Names that are not the journal's own (copies of torn tails, for one) are left alone.
"""

import contextlib

from orderd.journal.disk import Disk, write_whole
from orderd.journal.errors import JournalDamaged, JournalLocked, JournalMismatch
from orderd.journal.segment import (
    LOCK_NAME,
    SEGMENT_HEADER_BYTES,
    SPARE_SUFFIX,
    Position,
    SegmentHeader,
    decode_segment_header,
    encode_segment_header,
    index_of,
    segment_name,
)


class JournalDirectory:
    """Holds the lock from :meth:`open` to :meth:`close`."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self.disk = disk
        self.directory = directory
        self.headers: list[SegmentHeader] = []
        """Of all segments, in order."""
        self._lock: int | None = None
        self._last: int | None = None
        self._spares_made = 0

    def open(self, application: bytes, lock_wait_s: float) -> None:
        """Lock the directory, made if need be; read and check all segment headers; remove spares that were left."""
        self.disk.make_directory(self.directory)
        try:
            self._lock = self.disk.lock(self._path(LOCK_NAME), lock_wait_s)
        except BlockingIOError:
            raise JournalLocked(f"{self.directory}: another process has this journal open") from None
        names = self.disk.list(self.directory)
        for name in names:
            if name.endswith(SPARE_SUFFIX):
                self.disk.unlink(self._path(name))
        indexes = sorted(i for i in map(index_of, names) if i is not None)
        # Whether those before the first one may be missing is decided by where the replay starts.
        for expected, index in enumerate(indexes, min(indexes, default=1)):
            if index != expected:
                raise self._missing(expected)
            self.headers.append(self._read_header(index, application))
        # A rename that only the page cache knows of must not be relied on.
        self.disk.fsync_directory(self.directory)

    def headers_from(self, start: Position | None) -> list[SegmentHeader]:
        """Of the segments that a replay from ``start`` reads, all of them if it is None.

        Raises :class:`JournalDamaged` if the first of them is not there, or does not follow on ``start``.
        """
        first = self.headers[0].index
        wanted = 1 if start is None else start.index
        if not first <= wanted < first + len(self.headers):
            raise self._missing(wanted)
        headers = self.headers[wanted - first :]
        if start is not None and headers[0].position != start:
            path = self.path_of(headers[0])
            raise JournalDamaged(path, 0, "the segment does not follow on the snapshot that the replay starts from")
        return headers

    def prune(self, before_index: int) -> int:
        """Delete the segments below an index, but never the last one; how many there were.

        Oldest first, and each deletion is durable before the next: whatever is left at a crash is gapless.
        """
        pruned = 0
        while len(self.headers) > 1 and self.headers[0].index < before_index:
            self.disk.unlink(self.path_of(self.headers[0]))
            self.disk.fsync_directory(self.directory)
            del self.headers[0]
            pruned += 1
        return pruned

    def _missing(self, index: int) -> JournalDamaged:
        return JournalDamaged(self._path(segment_name(index)), 0, "the segment is missing")

    def _read_header(self, index: int, application: bytes) -> SegmentHeader:
        path = self._path(segment_name(index))
        handle = self.disk.open(path)
        try:
            header = decode_segment_header(self.disk.pread(handle, SEGMENT_HEADER_BYTES, 0), path)
            size = self.disk.size(handle)
        finally:
            self.disk.close(handle)
        if header.application != application:
            ours, theirs = application.decode("ascii", "replace"), header.application.decode("ascii", "replace")
            raise JournalMismatch(f"{path}: a journal of {theirs}, not of {ours}")
        if header.index != index:
            raise JournalDamaged(path, 0, f"this is segment {header.index} under another name")
        if self.headers and header.journal_id != self.headers[0].journal_id:
            raise JournalDamaged(path, 0, "this segment is of another journal")
        if size > header.segment_bytes:
            raise JournalDamaged(path, header.segment_bytes, "the file is longer than its header says")
        return header

    def add(self, header: SegmentHeader, spare: str) -> None:
        """Give a spare that holds ``header``, synced, its name as the next segment, durably."""
        self.disk.rename(spare, self.path_of(header))
        self.disk.fsync_directory(self.directory)
        self.headers.append(header)

    def create_first(self, header: SegmentHeader) -> None:
        """Make the first segment of a new journal."""
        path, handle = self.make_spare(header.segment_bytes)
        try:
            write_whole(self.disk, handle, encode_segment_header(header), 0)
            self.disk.fdatasync(handle)
        finally:
            self.disk.close(handle)
        self.add(header, path)

    def replace_last(self, header: SegmentHeader) -> SegmentHeader:
        """Remember a new header of the last segment; writing it is the caller's part."""
        self.headers[-1] = header
        return header

    def make_spare(self, size: int) -> tuple[str, int]:
        """Path and handle of a new file of ``size`` zero bytes, durably allocated."""
        self._spares_made += 1
        path = self._path(f"{self._spares_made}{SPARE_SUFFIX}")
        handle = self.disk.create(path, size)
        try:
            self.disk.fdatasync(handle)
        except BaseException:
            self.disk.close(handle)
            self.disk.unlink(path)
            raise
        return path, handle

    def discard(self, path: str) -> None:
        """Remove a spare; one that stays is removed by the next start."""
        with contextlib.suppress(OSError):
            self.disk.unlink(path)

    def read(self, header: SegmentHeader) -> bytes:
        """All of a segment, with zeros for what its file lacks."""
        handle = self.disk.open(self.path_of(header))
        try:
            data = self.disk.pread(handle, header.segment_bytes, 0)
        finally:
            self.disk.close(handle)
        if len(data) < header.segment_bytes:
            if header is not self.headers[-1]:
                raise JournalDamaged(self.path_of(header), len(data), "the file is cut short")
            data = data.ljust(header.segment_bytes, b"\0")
        return data

    def open_last(self) -> int:
        """A handle of the last segment, which the caller closes."""
        return self.disk.open(self.path_of(self.headers[-1]))

    def keep_copy(self, path: str, length: int) -> None:
        """Copy the first ``length`` bytes of a segment to ``<segment>.torn-<n>``, durably."""
        taken = set(self.disk.list(self.directory))
        n = 1
        while f"{path}.torn-{n}".rpartition("/")[2] in taken:
            n += 1
        self.disk.copy(path, f"{path}.torn-{n}", length)
        self.disk.fsync_directory(self.directory)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            self.disk.close(lock)

    def path_of(self, header: SegmentHeader) -> str:
        """Where a segment is."""
        return self._path(segment_name(header.index))

    def _path(self, name: str) -> str:
        return f"{self.directory}/{name}"
