"""Frames: what one datagram holds. Header (48 bytes), body, tag (16 bytes); little-endian.

====== ==== =============================================================================================
offset type field
====== ==== =============================================================================================
0      u16  magic, 0x4F64
2      u8   version, 2
3      u8   :class:`FrameType`
4      u32  epoch
8      u64  session
16     u64  packet counter, from 0 for each direction of a connection, never used twice
24     u64  first: sequence of the first record (ORDERS), number of the first report (REPORTS, POLL), next
            sequence the engine wants (WELCOME)
32     u64  acknowledgement: next report wanted, all before it are in orderd's journal (to the engine);
            next sequence wanted, all before it are executed and in the engine's journal (to orderd)
40     u16  credit: KiB of reports beyond the acknowledged ones that orderd can take (to the engine);
            records beyond the acknowledged ones that the engine can take (to orderd)
42     u16  count: records (ORDERS), report items (REPORTS), wanted reports (POLL, 0 for none)
44     u32  age: microseconds from the intake of the oldest record to the sending of the frame, at most 2**32 - 1
====== ==== =============================================================================================

What the header does not use is zero. ORDERS holds records, POLL and BYE nothing, PROBE and PROBE_REPLY a body of
``orderd.wire.probes``, all others one of ``orderd.wire.bodies``.
"""

import struct
from enum import IntEnum
from typing import Final

import attrs

from orderd.wire.errors import FrameError, VersionError
from orderd.wire.records import RECORD_BYTES
from orderd.wire.tags import TAG_BYTES

MAGIC: Final = 0x4F64
VERSION: Final = 2
HEADER: Final = struct.Struct("<HBBIQQQQHHI")
HEADER_BYTES: Final = HEADER.size
_HEAD: Final = struct.Struct("<HBBIQ")
"""What says whose a frame is: magic, version, type, epoch, session."""
OVERHEAD_BYTES: Final = HEADER_BYTES + TAG_BYTES
DATAGRAM_BYTES_MIN: Final = 512
DATAGRAM_BYTES_MAX: Final = 65507
assert HEADER_BYTES == 48

CREDIT_MAX: Final = 2**16 - 1
COUNT_MAX: Final = 2**16 - 1
AGE_US_MAX: Final = 2**32 - 1


class FrameType(IntEnum):
    """What a frame is for; the comment says who sends it."""

    HELLO = 1  # orderd
    WELCOME = 2  # engine
    REFUSE = 3  # engine
    ORDERS = 4  # orderd
    REPORTS = 5  # engine
    POLL = 6  # orderd
    BYE = 7  # orderd
    BOOK_REQUEST = 8  # orderd
    BOOK_REPLY = 9  # engine
    PROBE = 10  # whoever tries the road to the engine
    PROBE_REPLY = 11  # engine


_FRAME_TYPES: Final = {int(t): t for t in FrameType}
_OF_ANY_VERSION: Final = (FrameType.HELLO, FrameType.REFUSE, FrameType.PROBE)


@attrs.frozen
class Frame:
    """A parsed datagram. Its tag is not checked yet: see :meth:`orderd.wire.tags.Sealer.check`."""

    type: FrameType
    session: int
    epoch: int = 0
    counter: int = 0
    first: int = 0
    ack: int = 0
    credit: int = 0
    count: int = 0
    age_us: int = 0
    body: bytes = b""
    version: int = VERSION

    def encode(self) -> bytes:
        """Header and body, to be sealed."""
        header = HEADER.pack(
            MAGIC, self.version, self.type, self.epoch, self.session, self.counter, self.first, self.ack,
            self.credit, self.count, self.age_us,
        )  # fmt: skip
        return header + self.body


def peek(datagram: bytes) -> tuple[FrameType, int, int]:
    """Type, epoch and session of what may be a frame: as much as it takes to know the key that its tag must have.

    Whoever receives checks the tag next, and takes apart only what has it, so that a flood of forged datagrams costs
    little. Raises as :func:`parse`.
    """
    if not OVERHEAD_BYTES <= len(datagram) <= DATAGRAM_BYTES_MAX:
        raise FrameError("impossible length")
    magic, version, type_, epoch, session = _HEAD.unpack_from(datagram)
    if magic != MAGIC:
        raise FrameError("wrong magic")
    frame_type = _FRAME_TYPES.get(type_)
    if version != VERSION and frame_type not in _OF_ANY_VERSION:
        raise VersionError("another version")
    if frame_type is None:
        raise FrameError("type does not exist")
    return frame_type, epoch, session


def parse(datagram: bytes) -> Frame:
    """The frame in ``datagram``. Raises :class:`FrameError` if it is none, as its kind VersionError does.

    A HELLO or PROBE of another version passes, with ``version`` telling, since it has to be answered; header and tag
    are the same in all versions.
    """
    frame_type, epoch, session = peek(datagram)
    _, version, _, _, _, counter, first, ack, credit, count, age_us = HEADER.unpack_from(datagram)
    body = datagram[HEADER_BYTES:-TAG_BYTES]
    if frame_type is FrameType.ORDERS and (
        len(body) != count * RECORD_BYTES or count == 0 or first == 0 or first + count > 2**64
    ):
        raise FrameError("ORDERS with an impossible count or sequence")
    if frame_type in (FrameType.POLL, FrameType.BYE) and body:
        raise FrameError("body where there is none")
    return Frame(frame_type, session, epoch, counter, first, ack, credit, count, age_us, body, version)
