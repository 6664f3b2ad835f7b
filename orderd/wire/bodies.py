"""Bodies of the frames that are more than a run of records; little-endian, each a fixed head and then a table."""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import attrs

from orderd.wire.errors import FrameError
from orderd.wire.frames import DATAGRAM_BYTES_MAX, DATAGRAM_BYTES_MIN, Frame
from orderd.wire.reports import check_items

HELLO: Final = struct.Struct("<QHHI")
INSTRUMENT_DIGEST: Final = struct.Struct("<I8s")
WELCOME: Final = struct.Struct("<QQQI")
REFUSE: Final = struct.Struct("<QHHIQ")
REPORTS: Final = struct.Struct("<QQQ")
BOOK_REQUEST: Final = struct.Struct("<IIHH")
BOOK_REPLY: Final = struct.Struct("<IIHHHH")
BOOK_LEVEL: Final = struct.Struct("<qQQII")


class Refusal(IntEnum):
    """Why the engine will not have a session."""

    VERSION = 1
    """The detail is the version that the engine speaks."""
    INSTRUMENTS = 2
    """The detail is the id of the instrument that differs."""
    FENCED = 3
    """A later start of the same journal, or a copy of it, was here; the detail is the epoch that the engine holds."""
    SESSIONS_FULL = 4
    """The detail is the engine's limit."""
    STATE = 5
    """A new epoch lacks reports that an earlier one has acknowledged: those below the detail."""


@attrs.frozen
class Hello:
    """``<nonce u64> <instruments u16> <zero u16> <datagram u32>``, then ``<id u32> <digest 8 bytes>`` for each of them.

    ``datagram_bytes_max`` is the largest datagram that the engine may send to this session.
    """

    nonce: int
    digests: dict[int, bytes]
    datagram_bytes_max: int

    def encode(self) -> bytes:
        table = b"".join(INSTRUMENT_DIGEST.pack(i, digest) for i, digest in self.digests.items())
        return HELLO.pack(self.nonce, len(self.digests), 0, self.datagram_bytes_max) + table

    @classmethod
    def parse(cls, body: bytes) -> "Hello":
        """Raises :class:`FrameError`."""
        if len(body) < HELLO.size:
            raise FrameError("HELLO is cut short")
        nonce, count, _, datagram_bytes_max = HELLO.unpack_from(body)
        table = body[HELLO.size :]
        if len(table) != count * INSTRUMENT_DIGEST.size:
            raise FrameError("HELLO with an impossible count")
        digests = dict(INSTRUMENT_DIGEST.iter_unpack(table))
        if len(digests) != count:
            raise FrameError("HELLO names an instrument twice")
        if not DATAGRAM_BYTES_MIN <= datagram_bytes_max <= DATAGRAM_BYTES_MAX:
            raise FrameError("HELLO with an impossible datagram size")
        return cls(nonce, digests, datagram_bytes_max)


@attrs.frozen
class Welcome:
    """``<nonce u64> <engine u64> <next report u64> <boot u32>``; the next sequence wanted is the header's ``first``."""

    nonce: int
    engine: int
    report_next: int
    boot: int

    def encode(self) -> bytes:
        return WELCOME.pack(self.nonce, self.engine, self.report_next, self.boot)

    @classmethod
    def parse(cls, body: bytes) -> "Welcome":
        """Raises :class:`FrameError`."""
        if len(body) != WELCOME.size:
            raise FrameError("WELCOME with an impossible length")
        return cls(*WELCOME.unpack(body))


@attrs.frozen
class Refuse:
    """``<nonce u64> <code u16> <zero u16> <zero u32> <detail u64>``."""

    nonce: int
    code: Refusal
    detail: int

    def encode(self) -> bytes:
        return REFUSE.pack(self.nonce, self.code, 0, 0, self.detail)

    @classmethod
    def parse(cls, body: bytes) -> "Refuse":
        """Raises :class:`FrameError`."""
        if len(body) != REFUSE.size:
            raise FrameError("REFUSE with an impossible length")
        nonce, code, _, _, detail = REFUSE.unpack(body)
        if code not in set(Refusal):
            raise FrameError("REFUSE with an unknown code")
        return cls(nonce, Refusal(code), detail)


@attrs.frozen
class Reports:
    """``<largest packet counter seen u64> <bitmap u64> <next report u64>``, then report items.

    Bit ``i`` of the bitmap tells that counter ``largest - 1 - i`` has been seen too (as RFC 9000's ACK ranges do).
    """

    largest: int
    bitmap: int
    report_next: int
    items: bytes
    reports: int = attrs.field(default=0, eq=False)
    """Logical reports in ``items``; told by :meth:`parse`."""

    def encode(self) -> bytes:
        return REPORTS.pack(self.largest, self.bitmap, self.report_next) + self.items

    @classmethod
    def parse(cls, frame: Frame) -> "Reports":
        """Raises :class:`FrameError` or :class:`~orderd.wire.errors.ReportError`."""
        if len(frame.body) < REPORTS.size:
            raise FrameError("REPORTS is cut short")
        largest, bitmap, report_next = REPORTS.unpack_from(frame.body)
        data = frame.body[REPORTS.size :]
        items, reports = check_items(data)
        if items != frame.count or (items and (frame.first == 0 or frame.first + reports > report_next)):
            raise FrameError("REPORTS with an impossible count or number")
        return cls(largest, bitmap, report_next, data, reports)


@attrs.frozen
class BookRequest:
    """``<query u32> <instrument u32> <depth u16> <zero u16>``: levels wanted of each side."""

    query: int
    instrument: int
    depth: int

    def encode(self) -> bytes:
        return BOOK_REQUEST.pack(self.query, self.instrument, self.depth, 0)

    @classmethod
    def parse(cls, body: bytes) -> "BookRequest":
        """Raises :class:`FrameError`."""
        if len(body) != BOOK_REQUEST.size:
            raise FrameError("BOOK_REQUEST with an impossible length")
        query, instrument, depth, _ = BOOK_REQUEST.unpack(body)
        return cls(query, instrument, depth)


Level = tuple[int, int, int]
"""Price in ticks, open quantity in lots, number of orders."""


@attrs.frozen
class BookReply:
    """``<query u32> <instrument u32> <part u16> <parts u16> <bids u16> <asks u16>``, then bids, asks.

    Levels are best first, each ``<price i64> <quantity low u64> <quantity high u64> <orders u32> <zero u32>``. A deep
    book takes several frames. An instrument that the engine does not have is answered with no parts.
    """

    query: int
    instrument: int
    part: int
    parts: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def encode(self) -> bytes:
        head = BOOK_REPLY.pack(self.query, self.instrument, self.part, self.parts, len(self.bids), len(self.asks))
        low = 2**64 - 1
        levels = (BOOK_LEVEL.pack(px, qty & low, qty >> 64, n, 0) for px, qty, n in self.bids + self.asks)
        return head + b"".join(levels)

    @classmethod
    def parse(cls, body: bytes) -> "BookReply":
        """Raises :class:`FrameError`."""
        if len(body) < BOOK_REPLY.size:
            raise FrameError("BOOK_REPLY is cut short")
        query, instrument, part, parts, bids, asks = BOOK_REPLY.unpack_from(body)
        table = body[BOOK_REPLY.size :]
        if len(table) != (bids + asks) * BOOK_LEVEL.size or (parts and part >= parts):
            raise FrameError("BOOK_REPLY with an impossible count")
        levels = tuple((px, low | high << 64, n) for px, low, high, n, _ in BOOK_LEVEL.iter_unpack(table))
        return cls(query, instrument, part, parts, levels[:bids], levels[bids:])


def book_replies(
    request: BookRequest, bids: Sequence[Level], asks: Sequence[Level], body_bytes_max: int
) -> list[BookReply]:
    """The answer to ``request`` in as many parts as it takes; at least one, which may be empty."""
    levels_max = (body_bytes_max - BOOK_REPLY.size) // BOOK_LEVEL.size
    levels = [*bids, *asks]
    parts = max(1, -(-len(levels) // levels_max))
    replies = []
    for part in range(parts):
        start, end = part * levels_max, min((part + 1) * levels_max, len(levels))
        cut = min(max(len(bids), start), end)
        replies.append(
            BookReply(request.query, request.instrument, part, parts, tuple(levels[start:cut]), tuple(levels[cut:end]))
        )
    return replies
