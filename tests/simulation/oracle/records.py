"""The bytes of orderd's journal and of reports, read by structs of the oracle's own from docs/JOURNAL.md. Pure."""

import struct
from collections.abc import Iterator
from operator import attrgetter
from typing import Final

import attrs

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.said import RECORD_BYTES

Entry = tuple[int, bytes]
Fields = tuple[int, int, int, int, int, int, int]
"""Of a record: number, price, quantity, instrument, account, kind, flags."""

START, INSTRUMENT, ENGINE, ORDERS, REPORTS, RESERVE, AGED, TRADING, ACCOUNT_TRADING, GUARDED, GUARD_END = range(1, 12)
"""Kinds of orderd's entries."""
RECORD: Final = struct.Struct("<QqQIHBB")
KIND_AT: Final = 30
TEXT_NUMBER: Final = 2**63

_GROUP: Final = struct.Struct("<QQIII")
_TEXT_ID: Final = struct.Struct("<IB")
_BATCH: Final = struct.Struct("<II16sB")
_AGE: Final = struct.Struct("<IIQ")
_GUARD: Final = struct.Struct("<IIQ")
_REPORTS: Final = struct.Struct("<QB")
_RANGE: Final = struct.Struct("<BBHIQQ")
_FULL: Final = struct.Struct("<BBBBHHIIQQQQqQQQQ")
_COUNT: Final = struct.Struct("<I")


@attrs.define
class Group:
    """Records that became durable together."""

    first: int
    records: list[bytes]
    ids: dict[int, bytes]
    batches: list[tuple[int, int, bytes]]
    """First index, how many, batch id."""
    ages: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    """MAXAGE in ms and intake time in ns, by index."""
    guards: dict[int, int] = attrs.field(factory=dict)
    """By index."""


def group_of(kind: int, payload: bytes) -> Group:
    """What an entry of kind 4, 7 or 10 holds."""
    at, guards, ages = 0, dict[int, int](), dict[int, tuple[int, int]]()
    if kind == GUARDED:
        (count,) = _COUNT.unpack_from(payload)
        for i in range(count):
            index, run, guard = _GUARD.unpack_from(payload, 4 + i * _GUARD.size)
            guards.update(dict.fromkeys(range(index, index + run), guard))
        at = 4 + count * _GUARD.size
        kind, at = payload[at], at + 1
    if kind == AGED:
        (count,) = _COUNT.unpack_from(payload, at)
        for i in range(count):
            index, maxage_ms, intake_ns = _AGE.unpack_from(payload, at + 4 + i * _AGE.size)
            ages[index] = maxage_ms, intake_ns
        at += 4 + count * _AGE.size
    first, _, count, ids_count, batches_count = _GROUP.unpack_from(payload, at)
    at += _GROUP.size
    records = [payload[at + i * RECORD_BYTES : at + (i + 1) * RECORD_BYTES] for i in range(count)]
    at += count * RECORD_BYTES
    ids, batches = dict[int, bytes](), list[tuple[int, int, bytes]]()
    for _ in range(ids_count):
        index, length = _TEXT_ID.unpack_from(payload, at)
        at += _TEXT_ID.size + length
        ids[index] = payload[at - length : at]
    for _ in range(batches_count):
        index, size, _, length = _BATCH.unpack_from(payload, at)
        at += _BATCH.size + length
        batches.append((index, size, payload[at - length : at]))
    if at != len(payload):
        raise Contradiction("journal", f"a group from {first} on has {len(payload)} bytes, read to {at}")
    return Group(first, records, ids, batches, ages, guards)


def reports_of(payload: bytes) -> tuple[int, int, list[tuple[int, ...]]]:
    """First report, path, and each report as :func:`outline` has those of the naive book."""
    first, path = _REPORTS.unpack_from(payload)
    return first, path, list(_reports(payload, _REPORTS.size))


def _reports(data: bytes, at: int) -> Iterator[tuple[int, ...]]:
    while at < len(data):
        if data[at] == 1:
            _, flags, _, count, order, time_ns = _RANGE.unpack_from(data, at)
            for i in range(order, order + count):
                yield (1, 0, 0, flags >> 2 & 1, 2, 0, 0, 0, i, i, 0, 0, 0, 0, 0, 0, time_ns)
            at += _RANGE.size
        else:
            (
                exec_type, flags, status, reason, account, _, instrument, _, order, input_, number, last_qty, last_px,
                cum_qty, leaves_qty, trade_id, time_ns,
            ) = _FULL.unpack_from(data, at)  # fmt: skip
            yield (
                exec_type, flags & 1, flags >> 1 & 1, flags >> 2 & 1, status, reason, account, instrument, order,
                input_, number, last_qty, last_px, cum_qty, leaves_qty, trade_id, time_ns,
            )  # fmt: skip
            at += _FULL.size


REPORT_FIELDS: Final = (
    "exec_type", "sell", "taker", "final", "status", "reason", "account", "instrument", "order", "input", "number",
    "last_qty", "last_px", "cum_qty", "leaves_qty", "trade_id", "transact_time_ns",
)  # fmt: skip
outline: Final = attrgetter(*REPORT_FIELDS)
"""A report of the naive book as a tuple."""


def shown(report: tuple[int, ...]) -> str:
    """For people."""
    values = zip(REPORT_FIELDS, report, strict=True)
    return " ".join(f"{name}={int(value)}" for name, value in values if value or name == "exec_type")


def shown_record(record: bytes) -> str:
    """For people."""
    number, price, quantity, instrument, account, kind, flags = RECORD.unpack(record)
    name = f"2^63+{number - TEXT_NUMBER}" if number >= TEXT_NUMBER else str(number)
    what = ("VOID", "NEW", "CANCEL", "REPLACE", "REPLACE_OPEN", "MASS_CANCEL", "EXTENSION")[kind]
    return f"{what} {name} {quantity}@{price} instrument {instrument} account {account} flags {flags:08b}"
