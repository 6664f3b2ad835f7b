"""Execution reports: what the engine tells a session about its orders (FIX 35=8 and 35=9).

Each logical report has a number of its own within its session, from 1 and gapless. On the wire and in journals reports
are *items* laid end to end, each of one of two shapes:

``range`` (24 bytes): a run of orders that were accepted, one NEW report for each of ``count`` consecutive sequences.

====== ==== ==========================================================
offset type field
====== ==== ==========================================================
0      u8   exec type, always 1 (NEW)
1      u8   flags: bit 2 final
2      u16  zero
4      u32  count, from 1
8      u64  sequence of the first order
16     u64  transact time, ns since 1970 UTC
====== ==== ==========================================================

``full`` (88 bytes): one report of any other type.

====== ==== ==========================================================
offset type field
====== ==== ==========================================================
0      u8   exec type, 2 to 12
1      u8   flags: bit 0 sell, bit 1 taker, bit 2 final
2      u8   status of the order after it (:class:`OrderStatus`)
3      u8   reason (:class:`Reason`)
4      u16  account
6      u16  zero
8      u32  instrument
12     u32  zero
16     u64  sequence of the order it is about; 0 if the session has no such order
24     u64  sequence of the input that caused it; 0 if another session or the engine did
32     u64  number
40     u64  last quantity, lots
48     i64  last price, ticks
56     u64  cumulative quantity, lots; of MASS_CANCELED the number of orders that were cancelled
64     u64  leaves quantity, lots
72     u64  trade id; 0 if none
80     u64  transact time, ns since 1970 UTC
====== ==== ==========================================================

*Final* marks the last immediate report of an input: with it, all that the input caused at once has been told. Each
input has exactly one final report, so that the highest final input says how far a session is confirmed.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import attrs

from orderd.wire.errors import ReportError

RANGE: Final = struct.Struct("<BBHIQQ")
FULL: Final = struct.Struct("<BBBBHHIIQQQQqQQQQ")
RANGE_BYTES: Final = RANGE.size
FULL_BYTES: Final = FULL.size
assert (RANGE_BYTES, FULL_BYTES) == (24, 88)

FLAG_SELL: Final = 0b001
FLAG_TAKER: Final = 0b010
FLAG_FINAL: Final = 0b100


class ExecType(IntEnum):
    """FIX tag 150, and the two cancel rejects (35=9) told apart."""

    NEW = 1
    TRADE = 2
    CANCELED = 3
    REPLACED = 4
    REJECTED = 5
    EXPIRED = 6
    CANCEL_REJECTED = 7
    REPLACE_REJECTED = 8
    VOIDED = 9
    """A VOID record used its sequence up; shown to clients as EXPIRED."""
    MASS_CANCELED = 10
    """A MASS_CANCEL is through: ``cum_qty`` is how many orders it cancelled. Never shown to clients as an execution."""
    TRIGGERED = 11
    """FIX's L: a stop order's price was reached, and it acts now as a market or limit order."""
    EXTENDED = 12
    """An EXTENSION was taken in; what it says is judged with its order. Never shown to clients."""


HIDDEN: Final = frozenset({int(ExecType.MASS_CANCELED), int(ExecType.EXTENDED)})
"""Of these clients see no execution."""


class OrderStatus(IntEnum):
    """FIX tag 39 by name. The first two are orderd's own and never travel."""

    QUEUED = 0
    UNKNOWN = 1
    NEW = 2
    PARTIALLY_FILLED = 3
    FILLED = 4
    REPLACED = 5
    CANCELED = 6
    REJECTED = 7
    EXPIRED = 8


class Reason(IntEnum):
    """Why an outcome is what it is; shown to clients by name."""

    NONE = 0
    UNKNOWN_INSTRUMENT = 1
    BAD_RECORD = 2
    DUPLICATE_NUMBER = 3
    UNKNOWN_ORDER = 4
    TOO_LATE = 5
    IOC = 6
    FOK = 7
    NO_LIQUIDITY = 8
    REPLACED_BELOW_FILLED = 9
    REPORTS_FULL = 10
    NOT_SUPPORTED = 11
    MAXAGE = 12
    """orderd's own, which never travels: an order became a VOID, since it was not sent in time."""
    POST_ONLY = 13
    """It would have traded at once."""
    SELF_TRADE = 14
    """Self-trade prevention took it out."""
    MINIMUM_QUANTITY = 15
    """Less than its minimum could trade at once."""
    DAY_END = 16
    EXPIRED = 17
    """Its GTD time has come, or had come before it arrived."""
    HALTED = 18
    """The instrument is halted at the engine."""
    PRICE_LIMIT = 19
    """The price is beyond the instrument's limits, or what is left could trade only beyond them."""


_EXEC_TYPES: Final = {int(t): t for t in ExecType}
_STATUSES: Final = frozenset(int(s) for s in OrderStatus)
_REASONS: Final = frozenset(int(r) for r in Reason)


@attrs.frozen
class Report:
    """One logical report, decoded. A member of a range has only the fields that a range carries."""

    report: int
    exec_type: ExecType
    order: int
    input: int
    final: bool
    transact_time_ns: int
    sell: bool = False
    taker: bool = False
    status: OrderStatus = OrderStatus.NEW
    reason: Reason = Reason.NONE
    account: int = 0
    instrument: int = 0
    number: int = 0
    last_qty: int = 0
    last_px: int = 0
    cum_qty: int = 0
    leaves_qty: int = 0
    trade_id: int = 0


def encode_range(order: int, count: int, transact_time_ns: int, *, final: bool) -> bytes:
    """A NEW report for each of ``count`` orders from sequence ``order`` on."""
    return RANGE.pack(ExecType.NEW, FLAG_FINAL if final else 0, 0, count, order, transact_time_ns)


def check_items(data: bytes) -> tuple[int, int]:
    """How many items and how many logical reports ``data`` holds.

    Raises :class:`ReportError` unless ``data`` is a sequence of whole, well-formed items.
    """
    offset, end, items, reports = 0, len(data), 0, 0
    while offset < end:
        exec_type = data[offset]
        if exec_type == ExecType.NEW:
            if offset + RANGE_BYTES > end:
                raise ReportError("range item is cut short")
            _, flags, zero, count, order, _ = RANGE.unpack_from(data, offset)
            if count == 0 or order == 0 or zero or flags & ~FLAG_FINAL or order + count > 2**64:
                raise ReportError("range item has an impossible value")
            offset += RANGE_BYTES
            reports += count
        elif exec_type in _EXEC_TYPES:
            if offset + FULL_BYTES > end:
                raise ReportError("report item is cut short")
            if data[offset + 2] not in _STATUSES or data[offset + 3] not in _REASONS or data[offset + 1] > 7:
                raise ReportError("report item has an impossible value")
            offset += FULL_BYTES
            reports += 1
        else:
            raise ReportError(f"exec type {exec_type} does not exist")
        items += 1
    return items, reports


def iter_items(data: bytes) -> Iterator[tuple[int, int, int]]:
    """``(offset, length, reports)`` of each item of well-formed ``data``."""
    offset, end = 0, len(data)
    while offset < end:
        if data[offset] == ExecType.NEW:
            yield offset, RANGE_BYTES, int.from_bytes(data[offset + 4 : offset + 8], "little")
            offset += RANGE_BYTES
        else:
            yield offset, FULL_BYTES, 1
            offset += FULL_BYTES


def skip_reports(data: bytes, count: int) -> bytes:
    """Well-formed ``data`` without its first ``count`` logical reports; a range is cut where it must be."""
    for offset, length, reports in iter_items(data):
        if count == 0:
            return data[offset:]
        if count < reports:
            exec_type, flags, zero, n, order, time_ns = RANGE.unpack_from(data, offset)
            return RANGE.pack(exec_type, flags, zero, n - count, order + count, time_ns) + data[offset + length :]
        count -= reports
    return b""


def iter_reports(data: bytes, first: int) -> Iterator[Report]:
    """The logical reports of well-formed ``data``, numbered from ``first``."""
    for offset, length, count in iter_items(data):
        if length == RANGE_BYTES:
            _, flags, _, _, order, time_ns = RANGE.unpack_from(data, offset)
            for i in range(count):
                yield Report(first + i, ExecType.NEW, order + i, order + i, bool(flags & FLAG_FINAL), time_ns)
        else:
            yield _decode_full(data, offset, first)
        first += count


def _decode_full(data: bytes, offset: int, report: int) -> Report:
    fields = FULL.unpack_from(data, offset)
    exec_type, flags, status, reason, account, _, instrument, _, order, input_, number, *values, time_ns = fields
    return Report(
        report,
        _EXEC_TYPES[exec_type],
        order,
        input_,
        bool(flags & FLAG_FINAL),
        time_ns,
        bool(flags & FLAG_SELL),
        bool(flags & FLAG_TAKER),
        OrderStatus(status),
        Reason(reason),
        account,
        instrument,
        number,
        *values,
    )


def encode_full(report: Report) -> bytes:
    """The item of a report that is not a NEW (the hot paths pack :data:`FULL` themselves)."""
    flags = report.sell * FLAG_SELL | report.taker * FLAG_TAKER | report.final * FLAG_FINAL
    return FULL.pack(
        report.exec_type, flags, report.status, report.reason, report.account, 0, report.instrument, 0, report.order,
        report.input, report.number, report.last_qty, report.last_px, report.cum_qty, report.leaves_qty,
        report.trade_id, report.transact_time_ns,
    )  # fmt: skip
