"""Order records: 32 bytes, little-endian, the one shape of every order from intake to the matching engine.

====== ====== =========== ==================================================================
offset type   field       meaning
====== ====== =========== ==================================================================
0      u64    number      client's number (below 2**63) or 2**63 + order id (text ids)
8      i64    price       ticks; 0 for a market order
16     u64    quantity    lots, 1 to 2**63 - 1
24     u32    instrument  id of the instrument table
28     u16    account     0 to 65535
30     u8     kind        :class:`Kind`
31     u8     flags       side, order type, time in force, post-only, self-trade prevention
====== ====== =========== ==================================================================

Unused fields are zero. An EXTENSION says more about the NEW that follows it, which 32 bytes cannot hold: its flags are
the :class:`Attribute`, its value is in price (TRIGGER) or quantity (the others), number and instrument are those of the
NEW, and its account is 0. An order's extensions stand right before it, each attribute at most once, ascending. An
extension that is followed by anything else does nothing.

Of a MASS_CANCEL the flags say which of side, instrument and account an order must have to be cancelled, ``MASS_*``
below. A VOID is the record that it stands for, with another kind.
"""

import struct
from enum import IntEnum
from typing import Final

RECORD: Final = struct.Struct("<QqQIHBB")
RECORD_BYTES: Final = RECORD.size
assert RECORD_BYTES == 32

VALUE_MAX: Final = 2**63 - 1
"""Largest price in ticks and largest quantity in lots."""

TEXT_NUMBER: Final = 2**63
"""An order with a text id travels under this plus its order id."""


class Kind(IntEnum):
    """What a record asks for."""

    VOID = 0
    NEW = 1
    CANCEL = 2
    REPLACE = 3
    REPLACE_OPEN = 4
    MASS_CANCEL = 5
    EXTENSION = 6


class Side(IntEnum):
    """FIX tag 54, as the record's lowest flag bit."""

    BUY = 0
    SELL = 1


class TimeInForce(IntEnum):
    """FIX tag 59, as bits 2 to 4 of the flags."""

    DAY = 0
    GTC = 1
    IOC = 2
    FOK = 3
    GTD = 4


class SelfTradePrevention(IntEnum):
    """What an incoming order does about a resting one of the same account; bits 6 and 7 of the flags."""

    NONE = 0
    CANCEL_NEWEST = 1
    CANCEL_OLDEST = 2
    CANCEL_BOTH = 3


class Attribute(IntEnum):
    """What an EXTENSION says about the order that follows; the values are those of its flags byte."""

    TRIGGER = 1
    """FIX tag 99 (StopPx), in ticks: the order waits until a trade at this price or beyond."""
    DISPLAY = 2
    """FIX tag 1138 (DisplayQty), in lots, at most the order's quantity: no more than this shows at a time."""
    MINIMUM = 3
    """FIX tag 110 (MinQty), in lots, at most the order's quantity: at least so much trades at once, or nothing."""
    EXPIRY = 4
    """FIX tag 126 (ExpireTime), in nanoseconds since 1970 UTC: a GTD order has it, no other order may."""


DISPLAY_SLICES_MAX: Final = 100
"""An order's quantity is at most this many times its display quantity: each slice that shows has trades of its own."""

FLAG_SELL: Final = 0b0000_0001
FLAG_MARKET: Final = 0b0000_0010
TIF_SHIFT: Final = 2
TIF_MASK: Final = 0b0001_1100
FLAG_POST_ONLY: Final = 0b0010_0000
STP_SHIFT: Final = 6
STP_MASK: Final = 0b1100_0000

MASS_SIDE: Final = 0b0000_0010
"""A MASS_CANCEL is for orders of the side in bit 0; without it that bit is zero."""
MASS_INSTRUMENT: Final = 0b0000_0100
"""A MASS_CANCEL is for orders in its instrument."""
MASS_ACCOUNT: Final = 0b0000_1000
"""A MASS_CANCEL is for orders of its account."""
MASS_FLAGS: Final = FLAG_SELL | MASS_SIDE | MASS_INSTRUMENT | MASS_ACCOUNT

KIND_OFFSET: Final = 30
"""Of the kind within a record."""


def new_flags(
    side: Side,
    *,
    market: bool,
    time_in_force: TimeInForce,
    post_only: bool = False,
    self_trade: SelfTradePrevention = SelfTradePrevention.NONE,
) -> int:
    """The flags byte of a NEW record."""
    flags = int(side) | (FLAG_MARKET if market else 0) | time_in_force << TIF_SHIFT
    return flags | (FLAG_POST_ONLY if post_only else 0) | self_trade << STP_SHIFT


def mass_flags(side: Side | None, *, instrument: bool, account: bool) -> int:
    """The flags byte of a MASS_CANCEL record; ``side`` is None, ``instrument`` and ``account`` false for any."""
    flags = MASS_INSTRUMENT if instrument else 0
    flags |= MASS_ACCOUNT if account else 0
    return flags if side is None else flags | MASS_SIDE | side
