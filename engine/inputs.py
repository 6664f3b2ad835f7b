"""What the engine's journal holds: its inputs, in the order in which they were executed. Pure codec.

====== ========================================================================================================
kind   payload (little-endian)
====== ========================================================================================================
1 BOOT        ``<boot u32>``: a start of the engine
2 INSTRUMENT  ``<id u32> <digest 8 bytes>`` and then the symbol, tick and lot as text with spaces between
3 EPOCH       ``<session u64> <nonce u64> <epoch u32>``: a start of an orderd, committed before WELCOME
4 ORDERS      ``<time u64> <session u64> <first u64> <acknowledged u64>`` and then records
5 CANCEL ALL  ``<time u64> <session u64> <reason u8>``: all resting orders of a session are cancelled
====== ========================================================================================================

The time is the one time stamp of the group, never less than the last; a rerun of the journal gives the same bytes
again.
"""

import struct
from enum import IntEnum
from typing import Final

import attrs

from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Reason

BOOT: Final = struct.Struct("<I")
INSTRUMENT: Final = struct.Struct("<I8s")
EPOCH: Final = struct.Struct("<QQI")
ORDERS: Final = struct.Struct("<QQQQ")
CANCEL_ALL: Final = struct.Struct("<QQB")

_REASONS: Final = frozenset(int(reason) for reason in Reason)

Entry = tuple[int, bytes]
"""Kind and payload of a journal record."""


class InputKind(IntEnum):
    """Kinds of records in the engine's journal."""

    BOOT = 1
    INSTRUMENT = 2
    EPOCH = 3
    ORDERS = 4
    CANCEL_ALL = 5


class InputError(ValueError):
    """A whole journal record that does not hold what its kind says."""


@attrs.frozen
class Boot:
    boot: int

    def encode(self) -> Entry:
        return InputKind.BOOT, BOOT.pack(self.boot)


@attrs.frozen
class InstrumentInput:
    id: int
    digest: bytes
    text: str

    def encode(self) -> Entry:
        return InputKind.INSTRUMENT, INSTRUMENT.pack(self.id, self.digest) + self.text.encode("ascii")


@attrs.frozen
class EpochInput:
    session: int
    nonce: int
    epoch: int

    def encode(self) -> Entry:
        return InputKind.EPOCH, EPOCH.pack(self.session, self.nonce, self.epoch)


@attrs.frozen
class OrdersInput:
    """``acknowledged``: reports below it are in that orderd's journal, so that a rerun need not keep them."""

    time_ns: int
    session: int
    first: int
    acknowledged: int
    records: bytes

    def encode(self) -> Entry:
        head = ORDERS.pack(self.time_ns, self.session, self.first, self.acknowledged)
        return InputKind.ORDERS, head + self.records


@attrs.frozen
class CancelAllInput:
    time_ns: int
    session: int
    reason: int

    def encode(self) -> Entry:
        return InputKind.CANCEL_ALL, CANCEL_ALL.pack(self.time_ns, self.session, self.reason)


Input = Boot | InstrumentInput | EpochInput | OrdersInput | CancelAllInput


def decode(kind: int, payload: bytes) -> Input:
    """Raises :class:`InputError`."""
    try:
        if kind == InputKind.ORDERS and (len(payload) - ORDERS.size) % RECORD_BYTES == 0:
            time_ns, session, first, acknowledged = ORDERS.unpack_from(payload)
            return OrdersInput(time_ns, session, first, acknowledged, payload[ORDERS.size :])
        if kind == InputKind.EPOCH:
            return EpochInput(*EPOCH.unpack(payload))
        if kind == InputKind.CANCEL_ALL:
            entry = CancelAllInput(*CANCEL_ALL.unpack(payload))
            if entry.reason not in _REASONS:
                raise InputError(f"journal record of kind {kind}: reason {entry.reason} does not exist")
            return entry
        if kind == InputKind.BOOT:
            return Boot(*BOOT.unpack(payload))
        if kind == InputKind.INSTRUMENT:
            id_, digest = INSTRUMENT.unpack_from(payload)
            return InstrumentInput(id_, digest, payload[INSTRUMENT.size :].decode("ascii"))
    except (struct.error, UnicodeDecodeError) as error:
        raise InputError(f"journal record of kind {kind}: {error}") from None
    raise InputError(f"journal record of kind {kind} with {len(payload)} bytes")
