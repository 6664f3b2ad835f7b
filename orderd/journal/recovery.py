"""What the bytes of a segment mean after a crash. Pure.

What can have happened to the last segment, and to no other:

- Everything behind the last synced commit was zero before the next commit was written, in one write.
- With durability "commit" one commit at most was not synced: the one that follows the last whole record (or goes on
  from it, if that record is not the last of its commit). Any of its 512-byte sectors can be missing, that is, be zero.
  A disk with larger sectors loses several of these at once, which changes nothing.
- A write can also have stopped at any byte without a crash, or the file can be cut short there: zeros from there on.

So bytes that are not a record are a *torn tail* only if a sector is missing or the write stopped, and no later commit
follows. Everything else was changed after it was written: *damage*, and nobody may repair that silently. What a missing
sector looks like is decided by :mod:`orderd.journal.record`. One case cannot be told apart: damage to the last commit
that leaves exactly what a torn write leaves, such as a sector turned to zeros as a whole.

With durability "interval" or "none" many commits can have been under way, each sector of each missing or not, so the
journal is cut at the first bytes that are not a record, whatever follows.

Records of a torn commit that are whole and come before its first bad one are kept; the next commit carries on under the
same number. So numbers stay gapless: a record after a :data:`~orderd.journal.record.LAST` one has the next number,
a record after a :data:`~orderd.journal.record.MORE` one the same.
"""

import struct
from collections.abc import Iterator
from typing import Final

import attrs
import google_crc32c

from orderd.journal.record import (
    HEADER,
    HEADER_BYTES,
    LAST,
    MORE,
    RECORD_BYTES_MIN,
    SECTOR_BYTES,
    Entry,
    header_is_valid,
    pad_of,
    record_bytes,
    zero_sectors,
)

_CHUNK_BYTES: Final = 1 << 16
_ZEROS: Final = bytes(_CHUNK_BYTES)
_NO_HEADER: Final = bytes(HEADER_BYTES)


@attrs.frozen
class Scan:
    """The whole records at the beginning of a segment."""

    end: int
    """Offset behind the last one."""
    next_commit: int
    """Commit number that a record at ``end`` would have to have."""
    last_commit_start: int
    """Offset of the first record of the last commit (of its part in this segment)."""
    clean: bool
    """Nothing but zeros from ``end`` on."""


@attrs.frozen
class Torn:
    """The tail from here on was never written as a whole, so nobody was told that it was."""

    offset: int


@attrs.frozen
class Damage:
    """These bytes changed after they were written."""

    offset: int
    why: str


def is_zero(data: bytes, start: int, end: int) -> bool:
    """Whether ``data[start:end]`` is nothing but zeros."""
    for at in range(start, end, _CHUNK_BYTES):
        piece = data[at : min(at + _CHUNK_BYTES, end)]
        if piece != _ZEROS[: len(piece)]:
            return False
    return True


def end_of_content(data: bytes) -> int:
    """Offset behind the last byte that is not zero."""
    at = len(data)
    while at > 0:
        piece = data[max(at - _CHUNK_BYTES, 0) : at].rstrip(b"\0")
        at = max(at - _CHUNK_BYTES, 0)
        if piece:
            return at + len(piece)
    return 0


def scan(data: bytes, start: int, seed: int, next_commit: int) -> Scan:
    """Find the records of a segment, the first at ``start`` and of commit ``next_commit``."""
    offset, size, last_commit_start, current = start, len(data), start, 0
    unpack, checksum, extend = HEADER.unpack_from, google_crc32c.value, google_crc32c.extend
    while offset + RECORD_BYTES_MIN <= size:
        header_crc, length, commit, payload_crc, _, _, position = unpack(data, offset)
        payload = offset + HEADER_BYTES
        after = offset + record_bytes(length)
        if (
            commit != next_commit
            or after > size
            or extend(seed, data[offset + 4 : payload]) != header_crc
            or checksum(data[payload : payload + length]) != payload_crc
            or data[payload + length : after] != pad_of(length)
            or position not in (LAST, MORE)
        ):
            break
        if commit != current:
            current, last_commit_start = commit, offset
        if position == LAST:
            next_commit = commit + 1
        offset = after
    return Scan(offset, next_commit, last_commit_start, is_zero(data, offset, size))


def entries(data: bytes, start: int, end: int) -> Iterator[Entry]:
    """The kind and payload of each record between two offsets that :func:`scan` found."""
    offset = start
    while offset < end:
        _, length, _, _, _, kind, _ = HEADER.unpack_from(data, offset)
        payload = offset + HEADER_BYTES
        yield kind, data[payload : payload + length]
        offset += record_bytes(length)


def judge_tail(data: bytes, found: Scan, seed: int, *, one_unsynced: bool) -> Torn | Damage | None:
    """What is behind the whole records of the last segment; None for nothing.

    ``data`` is as long as the segment is meant to be: what a file that is too short lacks is given as zeros.
    ``one_unsynced``: every commit but the last was durable before the next was written (durability "commit").
    """
    if found.clean:
        return None
    offset = found.end
    out_of_order = _out_of_order(data, offset, seed, found.next_commit)
    if out_of_order is not None:
        return Damage(offset, out_of_order)
    if not one_unsynced:
        return Torn(offset)
    why = _whole_though_bad(data, offset, seed)
    if why is not None:
        return Damage(offset, why)
    later = _find_later_commit(data, offset, seed, found.next_commit)
    if later is not None:
        return Damage(offset, f"a bad record, but a record of a later commit is whole at offset {later}")
    return Torn(offset)


def _out_of_order(data: bytes, offset: int, seed: int, expected: int) -> str | None:
    """What no crash can do in any mode: an intact header that says something impossible."""
    if offset + HEADER_BYTES > len(data) or not header_is_valid(data, offset, seed):
        return None
    _, length, commit, _, _, _, position = HEADER.unpack_from(data, offset)
    if commit != expected:
        return f"a record of commit {commit} where commit {expected} has to be"
    if offset + record_bytes(length) > len(data):
        return "a record that does not fit in its segment"
    if position not in (MORE, LAST):
        return f"position {position} in a commit does not exist"
    return None


def _whole_though_bad(data: bytes, offset: int, seed: int) -> str | None:
    """Why the bad record at ``offset`` is not what is left of a torn write; None if it is."""
    if offset + RECORD_BYTES_MIN > len(data):
        return "bytes where no record can be"
    if not header_is_valid(data, offset, seed):
        header_end = offset + HEADER_BYTES
        sector = offset
        while sector < header_end:
            after = min(sector - sector % SECTOR_BYTES + SECTOR_BYTES, len(data))
            if is_zero(data, sector, after):
                return None
            sector = after
        # The last byte of a header is never zero, so the write can have stopped before it; then nothing follows.
        if data[header_end - 1] == 0 and is_zero(data, header_end, len(data)):
            return None
        return "a record header that does not fit its CRC"
    _, length, _, _, zeros_meant, _, _ = HEADER.unpack_from(data, offset)
    payload = data[offset + HEADER_BYTES : offset + HEADER_BYTES + length]
    mark = data[offset + record_bytes(length) - 1]
    if mark == 0 or zero_sectors(payload, offset) > zeros_meant:
        return None
    return "a record that is all there and does not fit its CRC"


def _find_later_commit(data: bytes, offset: int, seed: int, allowed: int) -> int | None:
    """Offset of an intact record header of a commit after ``allowed``: it was written once that one was durable.

    Looks at each aligned place once. The number has to lie in a narrow window before a CRC is taken, and a CRC is taken
    of a header only, so that the time is bounded by the length of the segment, whatever is in the payloads.
    """
    limit = allowed + (len(data) - offset) // RECORD_BYTES_MIN + 1
    words = struct.iter_unpack("<Q", data[offset : len(data) - len(data) % 8])
    for i, (word,) in enumerate(words):
        if allowed < word <= limit:
            at = offset + i * 8 - 8
            if at > offset and at + RECORD_BYTES_MIN <= len(data) and header_is_valid(data, at, seed):
                return at
    return None
