"""What orderd's journal holds. Pure codec; little-endian.

============ ==================================================================================================
kind         payload
============ ==================================================================================================
1 START      ``<epoch u32> <nonce u64>``: a start of orderd, committed before the first HELLO
2 INSTRUMENT ``<id u32> <digest 8 bytes>`` and the symbol, tick and lot as text with spaces between
3 ENGINE     ``<engine u64>``: the engine of the first WELCOME; this journal works with no other
4 ORDERS     ``<first u64> <intake time ns u64> <records u32> <ids u32> <batches u32>``, the records, then for each
             text id ``<index u32> <length u8>`` and the id, then for each batch ``<index u32> <count u32> <digest 16
             bytes> <length u8>`` and the batch id; an index counts the group's records from 0
5 REPORTS    ``<first u64> <path u8>`` and report items
6 RESERVE    ``<next u64>``: numbers below it were given out
7 AGED       ``<ages u32>``, then for each order of the group that must be sent in time ``<index u32> <MAXAGE ms u32>
             <its intake time ns u64>``, ascending by index, then what an ORDERS holds
8 TRADING    ``<state u8> <time ns u64>`` and who asked for it, as text: from here on trading is in this state
9 ACCOUNT    ``<state u8> <account u16> <time ns u64>`` and who asked for it, as text: from here on trading of this
  TRADING    account is in this state
10 GUARDED   ``<marks u32>``, then for each run of the group's records that are in a guard ``<index u32> <count u32>
             <guard u64>``, ascending by index, then ``<kind u8>``, 4 or 7, and what a record of that kind holds
11 GUARD END ``<guard u64>``: this guard was released, or all cancels of its orders are before this record
============ ==================================================================================================

A group of orders is one record: after a crash it is there whole or not at all, and with it every batch and every MULTI
in it.
"""

import struct
from enum import IntEnum
from itertools import pairwise
from typing import Final

import attrs

from orderd.orders.ages import MAXAGE_MS_MAX, AgeMark
from orderd.orders.guards import GuardMark
from orderd.orders.trading import TradingState
from orderd.wire.errors import ReportError
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import check_items

START: Final = struct.Struct("<IQ")
INSTRUMENT: Final = struct.Struct("<I8s")
ENGINE: Final = struct.Struct("<Q")
ORDERS: Final = struct.Struct("<QQIII")
TEXT_ID: Final = struct.Struct("<IB")
BATCH: Final = struct.Struct("<II16sB")
REPORTS: Final = struct.Struct("<QB")
RESERVE: Final = struct.Struct("<Q")
AGES: Final = struct.Struct("<I")
AGE: Final = struct.Struct("<IIQ")
TRADING: Final = struct.Struct("<BQ")
ACCOUNT_TRADING: Final = struct.Struct("<BHQ")
GUARDS: Final = struct.Struct("<I")
GUARD: Final = struct.Struct("<IIQ")
GUARD_END: Final = struct.Struct("<Q")
PATH_MAX: Final = 2

_TRADING_STATES: Final = frozenset(int(state) for state in TradingState)

Entry = tuple[int, bytes]
"""Kind and payload of a journal record."""


class EntryKind(IntEnum):
    """Kinds of records in orderd's journal."""

    START = 1
    INSTRUMENT = 2
    ENGINE = 3
    ORDERS = 4
    REPORTS = 5
    RESERVE = 6
    AGED = 7
    TRADING = 8
    ACCOUNT_TRADING = 9
    GUARDED = 10
    GUARD_END = 11


GROUPS: Final = frozenset({EntryKind.ORDERS, EntryKind.AGED, EntryKind.GUARDED})
"""Kinds of records that hold orders."""


class EntryError(ValueError):
    """A whole journal record that does not hold what its kind says."""


@attrs.frozen
class Start:
    epoch: int
    nonce: int

    def encode(self) -> Entry:
        return EntryKind.START, START.pack(self.epoch, self.nonce)


@attrs.frozen
class InstrumentEntry:
    id: int
    digest: bytes
    text: str

    def encode(self) -> Entry:
        return EntryKind.INSTRUMENT, INSTRUMENT.pack(self.id, self.digest) + self.text.encode("ascii")


@attrs.frozen
class EngineEntry:
    engine: int

    def encode(self) -> Entry:
        return EntryKind.ENGINE, ENGINE.pack(self.engine)


@attrs.frozen
class BatchMark:
    """A client's batch within a group: ``index`` and ``count`` of its records, and a digest of its bytes."""

    index: int
    count: int
    digest: bytes
    batch_id: bytes


@attrs.frozen
class Orders:
    first: int
    intake_time_ns: int
    records: bytes
    ids: list[tuple[int, bytes]]
    batches: list[BatchMark]
    ages: list[AgeMark] = attrs.field(factory=list)
    guards: list[GuardMark] = attrs.field(factory=list)

    def encode(self) -> Entry:
        kind, payload = self._encode_unguarded()
        if not self.guards:
            return kind, payload
        guards = [GUARD.pack(mark.index, mark.count, mark.guard) for mark in self.guards]
        return EntryKind.GUARDED, b"".join([GUARDS.pack(len(guards)), *guards, bytes((kind,)), payload])

    def _encode_unguarded(self) -> Entry:
        count = len(self.records) // RECORD_BYTES
        parts = [ORDERS.pack(self.first, self.intake_time_ns, count, len(self.ids), len(self.batches)), self.records]
        parts += [TEXT_ID.pack(index, len(text)) + text for index, text in self.ids]
        for batch in self.batches:
            parts.append(BATCH.pack(batch.index, batch.count, batch.digest, len(batch.batch_id)) + batch.batch_id)
        if not self.ages:
            return EntryKind.ORDERS, b"".join(parts)
        ages = [AGE.pack(mark.index, mark.maxage_ms, mark.intake_time_ns) for mark in self.ages]
        return EntryKind.AGED, b"".join([AGES.pack(len(ages)), *ages, *parts])


@attrs.frozen
class ReportsEntry:
    first: int
    path: int
    items: bytes

    def encode(self) -> Entry:
        return EntryKind.REPORTS, REPORTS.pack(self.first, self.path) + self.items


@attrs.frozen
class Reserve:
    next: int

    def encode(self) -> Entry:
        return EntryKind.RESERVE, RESERVE.pack(self.next)


@attrs.frozen
class TradingEntry:
    state: TradingState
    time_ns: int
    by: str
    account: int | None = None
    """None for all."""

    def encode(self) -> Entry:
        by = self.by.encode("ascii", "replace")
        if self.account is None:
            return EntryKind.TRADING, TRADING.pack(self.state, self.time_ns) + by
        return EntryKind.ACCOUNT_TRADING, ACCOUNT_TRADING.pack(self.state, self.account, self.time_ns) + by


@attrs.frozen
class GuardEnd:
    guard: int

    def encode(self) -> Entry:
        return EntryKind.GUARD_END, GUARD_END.pack(self.guard)


AnyEntry = Start | InstrumentEntry | EngineEntry | Orders | ReportsEntry | Reserve | TradingEntry | GuardEnd


def decode(kind: int, payload: bytes) -> AnyEntry:
    """Raises :class:`EntryError`."""
    try:
        if kind in GROUPS:
            marks = unwrap(kind, payload)
            return _decode_orders(marks.plain, marks.ages, marks.guards)
        if kind == EntryKind.GUARD_END:
            return GuardEnd(*GUARD_END.unpack(payload))
        if kind == EntryKind.REPORTS:
            first, path = REPORTS.unpack_from(payload)
            if path > PATH_MAX:
                raise EntryError(f"reports from {first} on came over path {path}")
            check_items(payload[REPORTS.size :])
            return ReportsEntry(first, path, payload[REPORTS.size :])
        if kind == EntryKind.RESERVE:
            return Reserve(*RESERVE.unpack(payload))
        if kind == EntryKind.START:
            return Start(*START.unpack(payload))
        if kind == EntryKind.TRADING:
            state, time_ns = TRADING.unpack_from(payload)
            return TradingEntry(_trading_state(state), time_ns, payload[TRADING.size :].decode("ascii"))
        if kind == EntryKind.ACCOUNT_TRADING:
            state, account, time_ns = ACCOUNT_TRADING.unpack_from(payload)
            by = payload[ACCOUNT_TRADING.size :].decode("ascii")
            return TradingEntry(_trading_state(state), time_ns, by, account)
        if kind == EntryKind.ENGINE:
            return EngineEntry(*ENGINE.unpack(payload))
        if kind == EntryKind.INSTRUMENT:
            id_, digest = INSTRUMENT.unpack_from(payload)
            return InstrumentEntry(id_, digest, payload[INSTRUMENT.size :].decode("ascii"))
    except (struct.error, UnicodeDecodeError, ReportError) as error:
        raise EntryError(f"journal record of kind {kind}: {error}") from None
    raise EntryError(f"journal record of unknown kind {kind}")


def _trading_state(state: int) -> TradingState:
    if state not in _TRADING_STATES:
        raise EntryError(f"trading state {state} does not exist")
    return TradingState(state)


def _decode_orders(payload: bytes, ages: list[AgeMark], guards: list[GuardMark]) -> Orders:
    first, time_ns, count, ids_count, batches_count = ORDERS.unpack_from(payload)
    position = ORDERS.size + count * RECORD_BYTES
    records = payload[ORDERS.size : position]
    ids, batches = [], []
    for _ in range(ids_count):
        index, length = TEXT_ID.unpack_from(payload, position)
        position += TEXT_ID.size
        ids.append((index, payload[position : position + length]))
        position += length
    for _ in range(batches_count):
        index, size, digest, length = BATCH.unpack_from(payload, position)
        position += BATCH.size
        batches.append(BatchMark(index, size, digest, payload[position : position + length]))
        position += length
    if position != len(payload):
        raise EntryError(f"group of orders from {first} on has {len(payload)} bytes instead of {position}")
    starts = [*(mark.index for mark in batches), count]
    ends = [0, *(mark.index + mark.count for mark in batches)]
    if any(start < end for start, end in zip(starts, ends, strict=True)) or any(index >= count for index, _ in ids):
        raise EntryError(f"group of orders from {first} on names a record that it does not have")
    return Orders(first, time_ns, records, ids, batches, ages, guards)


@attrs.frozen
class Marks:
    """What a group of orders says beyond what one of kind ORDERS holds, and that, still encoded."""

    plain: bytes
    ages: list[AgeMark]
    guards: list[GuardMark]


def unwrap(kind: int, payload: bytes) -> Marks:
    """Of a record of one of the :data:`GROUPS`. Raises :class:`EntryError`, or struct.error if it is cut short."""
    guards: list[GuardMark] = []
    ages: list[AgeMark] = []
    if kind == EntryKind.GUARDED:
        guards, kind, payload = _take_guards(payload)
    if kind == EntryKind.AGED:
        ages, payload = _take_ages(payload)
    if guards or ages:
        first, _, count, _, _ = ORDERS.unpack_from(payload)
        starts = [*(mark.index for mark in guards), count]
        ends = [0, *(mark.index + mark.count for mark in guards)]
        if any(start < end for start, end in zip(starts, ends, strict=True)) or not all(m.count for m in guards):
            raise EntryError(f"group of orders from {first} on has guards that fit none of its records")
        indexes = [-1, *(mark.index for mark in ages), count]
        if any(a >= b for a, b in pairwise(indexes)) or not all(1 <= m.maxage_ms <= MAXAGE_MS_MAX for m in ages):
            raise EntryError(f"group of orders from {first} on has ages that fit none of its records")
    return Marks(payload, ages, guards)


def _take_ages(payload: bytes) -> tuple[list[AgeMark], bytes]:
    (count,) = AGES.unpack_from(payload)
    end = AGES.size + count * AGE.size
    if not 0 < count <= len(payload) // AGE.size:
        raise EntryError(f"group of orders with {count} ages has {len(payload)} bytes")
    return [AgeMark(*fields) for fields in AGE.iter_unpack(payload[AGES.size : end])], payload[end:]


def _take_guards(payload: bytes) -> tuple[list[GuardMark], int, bytes]:
    (count,) = GUARDS.unpack_from(payload)
    end = GUARDS.size + count * GUARD.size
    if not 0 < count <= len(payload) // GUARD.size or end >= len(payload):
        raise EntryError(f"group of orders with {count} guarded runs has {len(payload)} bytes")
    if payload[end] not in (EntryKind.ORDERS, EntryKind.AGED):
        raise EntryError(f"guarded group of orders of kind {payload[end]}")
    marks = [GuardMark(*fields) for fields in GUARD.iter_unpack(payload[GUARDS.size : end])]
    return marks, payload[end], payload[end + 1 :]
