"""Snapshot files: the state that a journal's records led to, at a segment boundary. Blocking; the body is opaque.

A snapshot takes the place of all records before its boundary, so that a start reads it and the segments from there on,
and older segments can go. It is one file in the journal's directory, ``<index>.snapshot`` after the segment that
follows. Little-endian:

====== ======= ================ =====================================================================
offset type    field            meaning
====== ======= ================ =====================================================================
0      8 bytes magic            :data:`MAGIC`
8      u16     format version   of this header, :data:`FORMAT_VERSION`; a newer one is refused
10     u16     body version     the application's own
12     4 bytes zero
16     8 bytes application      whose state this is, padded with zeros
24     u64     journal id       of the journal that it belongs to
32     u64     index            of the segment that follows
40     u64     first commit     as in that segment's header
48     u64     previous end     as in that segment's header
56     u64     body bytes
64     body
end-32 32 B    checksum         BLAKE2b (RFC 7693) of all before it
====== ======= ================ =====================================================================

It is written under another name, synced, renamed, and the directory is synced: a file with a snapshot's name is whole,
or damaged, which the checksum shows, whichever bytes changed. The checksum is the last thing in a file of any version.
"""

import contextlib
import hashlib
import re
import struct
from collections.abc import Collection, Sequence
from typing import Final

import attrs

from orderd.journal.disk import NO_SPACE, Disk, write_whole
from orderd.journal.errors import JournalFull, JournalVersionError, SnapshotError
from orderd.journal.segment import Position

MAGIC: Final = b"ORDERDS\n"
FORMAT_VERSION: Final = 1
CHECKSUM_BYTES: Final = 32
UNFINISHED_SUFFIX: Final = ".unfinished"

_HEADER: Final = struct.Struct("<8sHH4x8sQQQQQ")
_NAME: Final = re.compile(r"([0-9]{12})\.snapshot")
_WRITE_BYTES: Final = 1 << 20


@attrs.frozen
class Snapshot:
    """What a snapshot file holds. ``body`` is as it was written."""

    position: Position
    body_version: int
    body: memoryview


def snapshot_name(index: int) -> str:
    """File name of the snapshot before segment ``index``."""
    return f"{index:012d}.snapshot"


def snapshot_indexes(names: Sequence[str]) -> list[int]:
    """Indexes of the snapshots among these file names, newest first."""
    return sorted((int(match[1]) for match in map(_NAME.fullmatch, names) if match), reverse=True)


def encode_snapshot(position: Position, body_version: int, body: Sequence[bytes]) -> list[bytes]:
    """The file, in pieces."""
    size = sum(map(len, body))
    header = _HEADER.pack(
        MAGIC,
        FORMAT_VERSION,
        body_version,
        position.application,
        position.journal_id,
        position.index,
        position.first_commit,
        position.previous_end,
        size,
    )
    checksum = hashlib.blake2b(header, digest_size=CHECKSUM_BYTES)
    for piece in body:
        checksum.update(piece)
    return [header, *body, checksum.digest()]


def decode_snapshot(data: bytes, path: str) -> Snapshot:
    """Raises :class:`SnapshotError` for what is damaged, :class:`JournalVersionError` for an intact newer file."""
    if len(data) < _HEADER.size + CHECKSUM_BYTES:
        raise SnapshotError(path, "the file is too short to be a snapshot")
    view = memoryview(data)
    if hashlib.blake2b(view[:-CHECKSUM_BYTES], digest_size=CHECKSUM_BYTES).digest() != view[-CHECKSUM_BYTES:]:
        raise SnapshotError(path, "the file does not fit its checksum")
    magic, version, body_version, application, journal_id, *numbers, size = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SnapshotError(path, "this is not a snapshot")
    if version > FORMAT_VERSION:
        raise JournalVersionError(f"{path}: format version {version}; this release reads up to {FORMAT_VERSION}")
    body = view[_HEADER.size : -CHECKSUM_BYTES]
    if version != FORMAT_VERSION or len(body) != size:
        raise SnapshotError(path, "the header says what cannot be")
    index, first_commit, previous_end = numbers
    position = Position(application.rstrip(b"\0"), journal_id, index, first_commit, previous_end)
    return Snapshot(position, body_version, body)


def read_snapshot(disk: Disk, directory: str, index: int) -> Snapshot:
    """The snapshot before segment ``index``, whole. Raises as :func:`decode_snapshot`, and OSError."""
    path = f"{directory}/{snapshot_name(index)}"
    handle = disk.open(path)
    try:
        data = disk.pread(handle, disk.size(handle), 0)
    finally:
        disk.close(handle)
    snapshot = decode_snapshot(data, path)
    if snapshot.position.index != index:
        raise SnapshotError(path, f"this is the snapshot before segment {snapshot.position.index} under another name")
    return snapshot


def write_snapshot(
    disk: Disk, directory: str, position: Position, body_version: int, body: Sequence[bytes], *, token: str
) -> int:
    """Write a snapshot, durable on return, in place of one at the same boundary; its bytes.

    ``token`` keeps the name of the unfinished file apart from those of other processes. Raises :class:`JournalFull`
    where there is no room, OSError for anything else; both leave at most an unfinished file, which is tried to remove.
    """
    pieces = encode_snapshot(position, body_version, body)
    size = sum(map(len, pieces))
    target = f"{directory}/{snapshot_name(position.index)}"
    unfinished = f"{target}.{token}{UNFINISHED_SUFFIX}"
    try:
        handle = disk.create(unfinished, size)
        try:
            _write(disk, handle, pieces)
            disk.fdatasync(handle)
        except BaseException:
            disk.close(handle)
            with contextlib.suppress(OSError):
                disk.unlink(unfinished)
            raise
        disk.close(handle)
        disk.rename(unfinished, target)
        disk.fsync_directory(directory)
    except OSError as error:
        if error.errno in NO_SPACE:
            raise JournalFull(f"no room for a snapshot of {size} bytes: {error}") from error
        raise
    return size


def _write(disk: Disk, handle: int, pieces: Sequence[bytes]) -> None:
    offset = 0
    for piece in pieces:
        for start in range(0, len(piece), _WRITE_BYTES):
            part = memoryview(piece)[start : start + _WRITE_BYTES]
            write_whole(disk, handle, part, offset)
            offset += len(part)


def remove_unfinished(disk: Disk, directory: str) -> None:
    """Remove what writers that ended early have left. Whoever still writes finds its file gone, and fails."""
    for name in disk.list(directory):
        if name.endswith(UNFINISHED_SUFFIX):
            with contextlib.suppress(OSError):
                disk.unlink(f"{directory}/{name}")


def remove_all_but(disk: Disk, directory: str, kept: Collection[int]) -> None:
    """Remove the snapshots before other segments than these, which are durable. Raises OSError."""
    for index in reversed(snapshot_indexes(disk.list(directory))):
        if index not in kept:
            disk.unlink(f"{directory}/{snapshot_name(index)}")
    disk.fsync_directory(directory)
