"""What the engine's journal holds: its inputs, in the order in which they were executed. Pure codec.

=============== ===============================================================================================
kind            payload (little-endian)
=============== ===============================================================================================
1 BOOT          ``<boot u32>``: a start of the engine
2 INSTRUMENT    ``<id u32> <digest 8 bytes>`` and then the symbol, tick and lot as text with spaces between
3 EPOCH         ``<session u64> <nonce u64> <epoch u32>``: a start of an orderd, committed before WELCOME
4 ORDERS        ``<time u64> <session u64> <first u64> <acknowledged u64>`` and then records
5 CANCEL ALL    ``<time u64> <session u64> <reason u8>``: all resting orders of a session are cancelled
6 EXPIRE        ``<time u64>``: every GTD order whose time has come by then expires
7 DAY END       ``<time u64>``: every DAY order expires
8 MARKET        ``<time u64> <instrument u32> <halted u8> <low u64> <high u64>``: the rules of an instrument's market
                from now on; halted is 0 or 1, low and high are ticks, 0 for no limit
9 ACKNOWLEDGED  ``<session u64> <acknowledged u64>``: reports below it are in that orderd's journal, as in ORDERS
=============== ===============================================================================================

The time is the one time stamp of the group, never less than the last; a rerun of the journal gives the same bytes
again. It does exactly what the entries say: neither clock nor settings have a part in it, so what time and settings
cause (6 to 8) is an input like any other. Journals of versions that did not know a kind are read as they are.
"""

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final

import attrs

from engine.markets import MarketRules
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Reason

BOOT: Final = struct.Struct("<I")
INSTRUMENT: Final = struct.Struct("<I8s")
EPOCH: Final = struct.Struct("<QQI")
ORDERS: Final = struct.Struct("<QQQQ")
CANCEL_ALL: Final = struct.Struct("<QQB")
TIME: Final = struct.Struct("<Q")
MARKET: Final = struct.Struct("<QI?QQ")
MARKET_HALTED_OFFSET: Final = 12
ACKNOWLEDGED: Final = struct.Struct("<QQ")

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
    EXPIRE = 6
    DAY_END = 7
    MARKET = 8
    ACKNOWLEDGED = 9


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


@attrs.frozen
class ExpireInput:
    time_ns: int

    def encode(self) -> Entry:
        return InputKind.EXPIRE, TIME.pack(self.time_ns)


@attrs.frozen
class DayEndInput:
    time_ns: int

    def encode(self) -> Entry:
        return InputKind.DAY_END, TIME.pack(self.time_ns)


@attrs.frozen
class MarketInput:
    time_ns: int
    instrument: int
    rules: MarketRules

    def encode(self) -> Entry:
        rules = self.rules
        payload = MARKET.pack(self.time_ns, self.instrument, rules.halted, rules.low, rules.high)
        return InputKind.MARKET, payload


@attrs.frozen
class AcknowledgedInput:
    """Without it a session that only rests orders would have a rerun keep reports that orderd has."""

    session: int
    acknowledged: int

    def encode(self) -> Entry:
        return InputKind.ACKNOWLEDGED, ACKNOWLEDGED.pack(self.session, self.acknowledged)


Input = (
    Boot
    | InstrumentInput
    | EpochInput
    | OrdersInput
    | CancelAllInput
    | ExpireInput
    | DayEndInput
    | MarketInput
    | AcknowledgedInput
)


def decode(kind: int, payload: bytes) -> Input:
    """Raises :class:`InputError`."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise InputError(f"journal record of kind {kind} with {len(payload)} bytes")
    try:
        return decoder(payload)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"journal record of kind {kind}: {error}") from None


def _orders(payload: bytes) -> OrdersInput:
    time_ns, session, first, acknowledged = ORDERS.unpack_from(payload)
    if (len(payload) - ORDERS.size) % RECORD_BYTES:
        raise ValueError(f"{len(payload)} bytes are not whole records")
    return OrdersInput(time_ns, session, first, acknowledged, payload[ORDERS.size :])


def _instrument(payload: bytes) -> InstrumentInput:
    id_, digest = INSTRUMENT.unpack_from(payload)
    return InstrumentInput(id_, digest, payload[INSTRUMENT.size :].decode("ascii"))


def _cancel_all(payload: bytes) -> CancelAllInput:
    entry = CancelAllInput(*CANCEL_ALL.unpack(payload))
    if entry.reason not in _REASONS:
        raise ValueError(f"reason {entry.reason} does not exist")
    return entry


def _market(payload: bytes) -> MarketInput:
    time_ns, instrument, halted, low, high = MARKET.unpack(payload)
    if payload[MARKET_HALTED_OFFSET] > 1:
        raise ValueError(f"halted is {payload[MARKET_HALTED_OFFSET]}")
    return MarketInput(time_ns, instrument, MarketRules(halted, low, high))


_DECODERS: Final[dict[int, Callable[[bytes], Input]]] = {
    InputKind.BOOT: lambda payload: Boot(*BOOT.unpack(payload)),
    InputKind.INSTRUMENT: _instrument,
    InputKind.EPOCH: lambda payload: EpochInput(*EPOCH.unpack(payload)),
    InputKind.ORDERS: _orders,
    InputKind.CANCEL_ALL: _cancel_all,
    InputKind.EXPIRE: lambda payload: ExpireInput(*TIME.unpack(payload)),
    InputKind.DAY_END: lambda payload: DayEndInput(*TIME.unpack(payload)),
    InputKind.MARKET: _market,
    InputKind.ACKNOWLEDGED: lambda payload: AcknowledgedInput(*ACKNOWLEDGED.unpack(payload)),
}
