"""Segment files: their names, and the 512-byte header at their beginning. Pure.

====== ======= ================ =====================================================================
offset type    field            meaning
====== ======= ================ =====================================================================
0      8 bytes magic            :data:`MAGIC`
8      u16     format version   :data:`FORMAT_VERSION`; a newer one is refused
10     u8      durability       :class:`Durability` of the commits in it, as far as they may be unsynced
11     5 bytes zero
16     8 bytes application      whose records these are, padded with zeros
24     u64     journal id       random, made with the journal
32     u64     index            of the segment, from 1
40     u64     segment bytes    length of the file
48     u64     first commit     number of the commit that its first record belongs to
56     u64     previous end     offset at which the records of the segment before it end; 0 in the first
64     zeros
508    u32     CRC              CRC32C of bytes 0 to 507
====== ======= ================ =====================================================================

A file gets a segment's name only after its header is durable, and after all that the segment before it holds is. So
only the last segment of a journal can have been hit by a crash.
"""

import re
import struct
from enum import IntEnum
from typing import Final

import attrs
import google_crc32c

from orderd.journal.errors import JournalDamaged, JournalVersionError

MAGIC: Final = b"ORDERDJ\n"
FORMAT_VERSION: Final = 1
SEGMENT_HEADER_BYTES: Final = 512
APPLICATION_BYTES_MAX: Final = 8
SEGMENT_ALIGNMENT: Final = 4096

LOCK_NAME: Final = "lock"
SPARE_SUFFIX: Final = ".spare"

_FIELDS: Final = struct.Struct("<8sHB5x8sQQQQQ")
_CRC_OFFSET: Final = SEGMENT_HEADER_BYTES - 4
_CRC: Final = struct.Struct("<I")
_NAME: Final = re.compile(r"([0-9]{12})\.segment")


class Durability(IntEnum):
    """When a commit is synced: before it returns, now and then, or when the kernel likes."""

    COMMIT = 0
    INTERVAL = 1
    NONE = 2


@attrs.frozen
class Position:
    """The boundary before a segment: what a snapshot that stands in for all earlier segments says of itself.

    A segment follows on it only if its header says the same.
    """

    application: bytes
    journal_id: int
    index: int
    """Of the segment that comes next, from 1."""
    first_commit: int
    previous_end: int


@attrs.frozen
class SegmentHeader:
    """What a segment says about itself."""

    application: bytes
    journal_id: int
    index: int
    segment_bytes: int
    first_commit: int
    previous_end: int
    durability: Durability

    @property
    def position(self) -> Position:
        """The boundary before this segment."""
        return Position(self.application, self.journal_id, self.index, self.first_commit, self.previous_end)

    @property
    def seed(self) -> int:
        """Where the CRC of each record header of this segment starts from."""
        seed: int = google_crc32c.value(struct.pack("<QQ", self.journal_id, self.index))
        return seed


def segment_name(index: int) -> str:
    """File name of segment ``index``."""
    return f"{index:012d}.segment"


def index_of(name: str) -> int | None:
    """Index of the segment with this file name, None if it is the name of something else."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def round_segment_bytes(wanted: int) -> int:
    """Length of a new segment file: what the settings say, rounded up to whole pages."""
    return max(-(-wanted // SEGMENT_ALIGNMENT), 1) * SEGMENT_ALIGNMENT


def encode_segment_header(header: SegmentHeader) -> bytes:
    """The first :data:`SEGMENT_HEADER_BYTES` bytes of a segment file."""
    fields = _FIELDS.pack(
        MAGIC,
        FORMAT_VERSION,
        header.durability,
        header.application,
        header.journal_id,
        header.index,
        header.segment_bytes,
        header.first_commit,
        header.previous_end,
    )
    covered = fields.ljust(_CRC_OFFSET, b"\0")
    return covered + _CRC.pack(google_crc32c.value(covered))


def decode_segment_header(data: bytes, path: str) -> SegmentHeader:
    """The header in the first bytes of a file.

    Raises :class:`JournalVersionError` for a newer format, :class:`JournalDamaged` for anything that is not a header.
    """
    if len(data) < SEGMENT_HEADER_BYTES:
        raise JournalDamaged(path, len(data), "the file is too short to hold a segment header")
    magic, version, durability, application, *numbers = _FIELDS.unpack_from(data)
    if magic != MAGIC:
        raise JournalDamaged(path, 0, "this is not a journal segment")
    if version > FORMAT_VERSION:
        # The layout of a newer header is not known, so its CRC cannot be looked for.
        raise JournalVersionError(f"{path}: format version {version}; this release reads up to {FORMAT_VERSION}")
    if _CRC.unpack_from(data, _CRC_OFFSET)[0] != google_crc32c.value(data[:_CRC_OFFSET]):
        raise JournalDamaged(path, 0, "the segment header does not fit its CRC")
    if version != FORMAT_VERSION:
        raise JournalDamaged(path, 8, f"format version {version} does not exist")
    journal_id, index, segment_bytes, first_commit, previous_end = numbers
    name = application.rstrip(b"\0")
    try:
        return SegmentHeader(name, journal_id, index, segment_bytes, first_commit, previous_end, Durability(durability))
    except ValueError:
        raise JournalDamaged(path, 10, f"durability {durability} does not exist") from None
