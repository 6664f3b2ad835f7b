"""The codec of one record. Pure.

====== ====== ============== =======================================================================
offset type   field          meaning
====== ====== ============== =======================================================================
0      u32    header CRC     CRC32C of bytes 4 to 23, started from the segment's seed
4      u32    length         of the payload
8      u64    commit         number of the commit it belongs to, from 1
16     u32    payload CRC    CRC32C of the payload
20     u16    zero sectors   512-byte sectors of the file that lie within the payload and hold only zeros
22     u8     kind           the application's business
23     u8     position       :data:`MORE` or :data:`LAST` of its commit
24     bytes  payload
...    bytes  pad            zeros and one :data:`END_MARK`, up to a multiple of 8
====== ====== ============== =======================================================================

Little-endian, each record 8-byte aligned in its file. The layout serves recovery, which has to tell a torn write (some
sectors did not get there and are still zero, or the write stopped somewhere) from damage:

- The header has a CRC of its own, so a length is believed only when it is right.
- Header and pad end with a byte that is never zero, so a write that stopped early shows.
- The count of zero sectors tells a lost sector from one that was meant to be zero.
- The seed, made of journal id and segment index, keeps a stray record of another file from counting as one of this.
"""

import struct
from collections.abc import Sequence
from typing import Final

import google_crc32c

SECTOR_BYTES: Final = 512
"""What a disk writes whole or not at all."""

HEADER: Final = struct.Struct("<IIQIHBB")
HEADER_BYTES: Final = HEADER.size
assert HEADER_BYTES == 24

MORE: Final = 0x3C
LAST: Final = 0xC3
"""Position in the commit: two values that no single flipped bit turns into each other or into zero."""

END_MARK: Final = 0xA5
RECORD_BYTES_MIN: Final = 32
OVERHEAD_BYTES: Final = HEADER_BYTES + 1
"""A payload of ``n`` bytes needs at least this much more; :func:`record_bytes` is exact."""

_BODY: Final = struct.Struct("<IQIHBB")
_CRC: Final = struct.Struct("<I")
_PADS: Final = tuple(bytes(n - 1) + bytes([END_MARK]) if n else b"" for n in range(9))
_ZERO_SECTOR: Final = bytes(SECTOR_BYTES)
_U16_MAX: Final = 0xFFFF

Payload = bytes | bytearray | memoryview
Entry = tuple[int, bytes]
"""Kind and payload."""


def record_bytes(length: int) -> int:
    """Bytes in the file of a record with a payload of ``length`` bytes."""
    return (length + OVERHEAD_BYTES + 7) & ~7


def pad_of(length: int) -> bytes:
    """What follows a payload of ``length`` bytes."""
    return _PADS[record_bytes(length) - HEADER_BYTES - length]


def zero_sectors(payload: bytes, offset: int) -> int:
    """Sectors of the file inside ``payload``, whose record is at ``offset``, that hold only zeros; 65,535 at most."""
    first = -(offset + HEADER_BYTES) % SECTOR_BYTES
    # Nearly always no sector starts with a zero, or the payload is too short to hold a whole one.
    if len(payload) - first < SECTOR_BYTES or 0 not in payload[first::SECTOR_BYTES]:
        return 0
    starts = range(first, len(payload) - SECTOR_BYTES + 1, SECTOR_BYTES)
    return min(sum(payload[i : i + SECTOR_BYTES] == _ZERO_SECTOR for i in starts), _U16_MAX)


def encode_records(entries: Sequence[Entry], commit: int, offset: int, seed: int, last: int) -> list[bytes]:
    """The records of ``entries``, to be written one after the other from ``offset`` on.

    ``last`` is the position of the final one: :data:`LAST` if the commit ends with it, else :data:`MORE`.
    """
    parts: list[bytes] = []
    checksum, extend, pack = google_crc32c.value, google_crc32c.extend, _BODY.pack
    final = len(entries) - 1
    for i, (kind, payload) in enumerate(entries):
        length = len(payload)
        position = last if i == final else MORE
        body = pack(length, commit, checksum(payload), zero_sectors(payload, offset), kind, position)
        size = (length + OVERHEAD_BYTES + 7) & ~7
        parts += (_CRC.pack(extend(seed, body)), body, payload, _PADS[size - HEADER_BYTES - length])
        offset += size
    return parts


def header_is_valid(data: bytes, offset: int, seed: int) -> bool:
    """Whether an intact header is at ``offset``, where at least :data:`HEADER_BYTES` are."""
    (expected,) = _CRC.unpack_from(data, offset)
    valid: bool = google_crc32c.extend(seed, data[offset + 4 : offset + HEADER_BYTES]) == expected
    return valid
