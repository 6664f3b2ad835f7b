"""From record to record through a journal's files, as a generator that says which bytes it needs. Pure.

A segment's records end where there are only zeros, or no more bytes. Damage can look like that, too: so the header of
the next segment is read, which says where they ended when it was begun.
"""

from collections.abc import Generator
from typing import Final, TypeVar

import attrs
import google_crc32c

from orderd.journal.errors import JournalError
from orderd.journal.record import HEADER, HEADER_BYTES, header_is_valid, record_bytes
from orderd.journal.segment import SEGMENT_HEADER_BYTES, Durability, SegmentHeader, decode_segment_header
from orderd.orders.journal_index import Location

BLOCK_BYTES: Final = 32 * 1024

T = TypeVar("T")


class ArchiveError(Exception):
    """The journal is not what was written."""


class SegmentGone(Exception):
    """A segment is not there any more."""

    def __init__(self, segment: int) -> None:
        super().__init__(f"segment {segment} is gone")
        self.segment = segment


@attrs.frozen
class Block:
    """Bytes of a segment's file; behind its end there are none, and fewer are an answer, too."""

    segment: int
    offset: int
    length: int


Steps = Generator[Block | None, bytes | None, T]


class Cursor:
    """Goes from record to record, over the ends of segments, up to the segment ``newest``."""

    def __init__(self, journal_id: int, location: Location, newest: int) -> None:
        self.segment, self.offset = location
        self._newest = newest
        self.read_bytes = 0
        self._journal_id = journal_id
        self._seed = SegmentHeader(b"", journal_id, self.segment, 0, 0, 0, Durability.COMMIT).seed
        self._data = b""
        self._start = 0
        self._ended = False  # no bytes behind those at hand
        self._commit = 0

    def next(self, wanted: frozenset[int]) -> Steps[tuple[int, bytes]]:
        """Kind and payload of the next record of a wanted kind.

        Raises :class:`ArchiveError` or :class:`SegmentGone`.
        """
        while True:
            at = self.offset - self._start
            if at + HEADER_BYTES > len(self._data):
                if not self._ended:
                    yield from self._fetch(BLOCK_BYTES)
                    continue
                yield from self._next_segment()
                continue
            _, length, commit, checksum, _, kind, _ = HEADER.unpack_from(self._data, at)
            if not commit and not length:
                yield from self._next_segment()
                continue
            if not header_is_valid(self._data, at, self._seed) or (
                self._commit and commit - self._commit not in (0, 1)
            ):
                raise ArchiveError(f"segment {self.segment}: no record at offset {self.offset}")
            if kind not in wanted:
                self._commit = commit
                self.offset += record_bytes(length)
                continue
            if at + HEADER_BYTES + length > len(self._data):
                if self._ended:
                    raise ArchiveError(f"segment {self.segment}: it ends within the record at {self.offset}")
                yield from self._fetch(max(BLOCK_BYTES, record_bytes(length)))
                continue
            payload = self._data[at + HEADER_BYTES : at + HEADER_BYTES + length]
            if google_crc32c.value(payload) != checksum:
                raise ArchiveError(f"segment {self.segment}: the record at {self.offset} does not fit its CRC")
            self._commit = commit
            self.offset += record_bytes(length)
            return kind, payload

    def _fetch(self, length: int) -> Steps[None]:
        data = yield Block(self.segment, self.offset, length)
        if data is None:
            if self.segment > self._newest:
                raise ArchiveError(f"segment {self._newest}: its records end before what is looked for")
            raise SegmentGone(self.segment)
        self.read_bytes += len(data)
        self._data, self._start, self._ended = data, self.offset, len(data) < length

    def _next_segment(self) -> Steps[None]:
        """Behind the header of the next one, which must follow on what was read of this one."""
        ended = self.offset
        self.segment, self.offset = self.segment + 1, 0
        yield from self._fetch(BLOCK_BYTES)
        try:
            header = decode_segment_header(self._data, f"segment {self.segment}")
        except JournalError as error:
            raise ArchiveError(str(error)) from None
        if (header.journal_id, header.index, header.previous_end) != (self._journal_id, self.segment, ended):
            raise ArchiveError(
                f"segment {self.segment} does not follow on segment {self.segment - 1}, whose records end at {ended}"
            )
        self._seed, self.offset = header.seed, SEGMENT_HEADER_BYTES
