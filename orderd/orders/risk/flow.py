"""What a batch adds up to, by account, instrument and side: found once, whatever its size, from its bytes alone. Pure.

From a :class:`Flow` the checks tell in a few steps whether all of a batch surely fits. Sums and extremes of lots and
ticks are exact; products of both are floats, which say no more than that there is no need to look closer.
"""

from collections.abc import Generator
from typing import Final, NamedTuple

import attrs
import numpy as np

from orderd.orders.checks import RECORD_DTYPE, Indexes, Numbers, Records
from orderd.wire.records import FLAG_MARKET, FLAG_SELL, KIND_OFFSET, RECORD, RECORD_BYTES, Attribute, Kind

_LOW: Final = np.uint64(0xFFFF_FFFF)
_HALF: Final = np.uint64(32)
_INSTRUMENT_SHIFT: Final = np.uint64(1)
_ACCOUNT_SHIFT: Final = np.uint64(33)
_NONE: Final = 2**63 - 1

Prices = np.ndarray[tuple[int], np.dtype[np.int64]]


class Replace(NamedTuple):
    """A replace in a batch: ``at`` is its index there, all else what its record says. There may be many of them."""

    at: int
    number: int
    kind: int
    price: int
    quantity: int


@attrs.define
class Group:
    """The new orders of one account in one instrument on one side. Prices in ticks, quantities in lots."""

    account: int
    instrument: int
    side: int
    orders: int
    quantity: int
    quantity_max: int = 0
    price_min: int = 0
    """Of LIMIT orders that do not wait for a trigger; 0 if there are none."""
    price_max: int = 0
    notional_max: float = 0.0
    """Largest price times quantity of one order that has a price, or a trigger."""
    market_max: int = 0
    """Largest quantity of an order with neither."""
    trigger_gap: float = 0.0
    """Furthest that the price of a stop-limit order is from its trigger, as a share of the trigger."""
    keys: list[int] = attrs.field(factory=list)
    """:func:`repeat_key` of each."""

    def add(self, other: "Group") -> None:
        """More orders of the same kind."""
        self.orders += other.orders
        self.quantity += other.quantity
        self.quantity_max = max(self.quantity_max, other.quantity_max)
        self.price_min = (
            min(self.price_min, other.price_min)
            if self.price_min and other.price_min
            else max(self.price_min, other.price_min)
        )
        self.price_max = max(self.price_max, other.price_max)
        self.notional_max = max(self.notional_max, other.notional_max)
        self.market_max = max(self.market_max, other.market_max)
        self.trigger_gap = max(self.trigger_gap, other.trigger_gap)
        self.keys += other.keys


@attrs.frozen
class Flow:
    """A batch."""

    groups: list[Group]
    replaces: list[Replace]


SMALL: Final = 16
"""So many records are looked at one by one in less time than it takes to add them up."""
STEP_RECORDS: Final = 4096
"""So many take less than a millisecond."""


def flow_in_steps(records: bytes) -> Generator[None, None, Flow]:
    """:func:`flow_of`, with pauses in which others may have their turn."""
    step = STEP_RECORDS * RECORD_BYTES
    found: dict[tuple[int, int, int], Group] = {}
    replaces: list[Replace] = []
    start = 0
    while start < len(records):
        end = start + step
        # An order stays together with what is said about it.
        while end < len(records) and records[end - RECORD_BYTES + KIND_OFFSET] == Kind.EXTENSION:
            end += RECORD_BYTES
        part = flow_of(records[start:end], start // RECORD_BYTES)
        replaces += part.replaces
        for group in part.groups:
            key = (group.account, group.instrument, group.side)
            known = found.get(key)
            if known is None:
                found[key] = group
            else:
                known.add(group)
        start = end
        if start < len(records):
            yield
    return Flow(list(found.values()), replaces)


def flow_of(records: bytes, first: int = 0) -> Flow:
    """What well-formed ``records`` add up to, the first of which has the index ``first`` in its batch."""
    table = np.frombuffer(records, RECORD_DTYPE)
    kind = table["kind"]
    is_new = kind == Kind.NEW
    replaces = []
    if is_new.all():
        new, triggers = table, None
    else:
        at = np.flatnonzero(is_new)
        new = table[at]
        triggers = _triggers(table, at)
        replaces = [
            _replace(records, index, first)
            for index in np.flatnonzero((kind == Kind.REPLACE) | (kind == Kind.REPLACE_OPEN)).tolist()
        ]
    return Flow(_groups(new, triggers) if len(new) else [], replaces)


def _replace(records: bytes, index: int, first: int) -> Replace:
    number, price, quantity, _, _, kind, _ = RECORD.unpack_from(records, index * RECORD_BYTES)
    return Replace(first + index, number, kind, price, quantity)


def _triggers(table: Records, new_at: Indexes) -> Prices | None:
    """The trigger price of each new order, 0 for none; None if none has one."""
    at = np.flatnonzero((table["kind"] == Kind.EXTENSION) & (table["flags"] == Attribute.TRIGGER))
    if not len(at):
        return None
    triggers = np.zeros(len(new_at), np.int64)
    triggers[np.searchsorted(new_at, at)] = table["price"][at]
    return triggers


def _groups(new: Records, triggers: Prices | None) -> list[Group]:
    side = new["flags"] & FLAG_SELL
    keys = new["account"].astype(np.uint64) << _ACCOUNT_SHIFT
    keys |= new["instrument"].astype(np.uint64) << _INSTRUMENT_SHIFT
    keys |= side
    quantity = new["quantity"].astype(np.uint64)
    order = None
    starts = np.zeros(1, np.intp)
    if (keys != keys[0]).any():
        order = np.argsort(keys, kind="stable")
        keys, quantity = keys[order], quantity[order]
        starts = np.concatenate((starts, np.flatnonzero(keys[1:] != keys[:-1]) + 1))
    counts = np.diff(np.append(starts, len(keys))).tolist()
    # Two halves, each of which cannot overflow.
    low = np.add.reduceat(quantity & _LOW, starts).tolist()
    high = np.add.reduceat(quantity >> _HALF, starts).tolist()
    groups = [
        Group(key >> 33, key >> 1 & 0xFFFF_FFFF, key & 1, count, below + (above << 32))
        for key, count, below, above in zip(keys[starts].tolist(), counts, low, high, strict=True)
    ]
    if order is not None:
        new = new[order]
        triggers = None if triggers is None else triggers[order]
    _add_details(groups, new, triggers, keys, quantity, starts)
    return groups


def _add_details(
    groups: list[Group], new: Records, triggers: Prices | None, keys: Numbers, quantity: Numbers, starts: Indexes
) -> None:
    market = new["flags"] & FLAG_MARKET != 0
    price = new["price"].astype(np.int64)
    gaps = None
    told = price
    if triggers is not None:
        stop = triggers != 0
        gaps = np.where(stop & ~market, np.abs(price / np.maximum(triggers, 1).astype(float) - 1.0), 0.0)
        told = np.where(stop & market, triggers, price)
        plain = ~stop & ~market
    else:
        plain = ~market
    columns = [
        np.maximum.reduceat(quantity, starts),
        np.minimum.reduceat(np.where(plain, price, _NONE), starts),
        np.maximum.reduceat(np.where(plain, price, 0), starts),
        np.maximum.reduceat(told.astype(float) * quantity.astype(float), starts),
        np.maximum.reduceat(np.where(told == 0, quantity, 0), starts),
    ]
    if gaps is not None:
        columns.append(np.maximum.reduceat(gaps, starts))
    for group, values in zip(groups, zip(*(column.tolist() for column in columns), strict=True), strict=True):
        group.quantity_max, lowest, group.price_max, group.notional_max, group.market_max = values[:5]
        group.price_min = 0 if lowest == _NONE else lowest
        if gaps is not None:
            group.trigger_gap = values[5]
    equal = (price.view(np.uint64) * _PRICES + quantity * _QUANTITIES + keys * _SIDES).tolist()
    at = 0
    for group in groups:
        group.keys = equal[at : at + group.orders]
        at += group.orders


# --- the same order again ---------------------------------------------------------------------------------------------

_MASK: Final = 2**64 - 1
_PRICE: Final = 0x9E3779B97F4A7C15
_QUANTITY: Final = 0xC2B2AE3D27D4EB4F
_SIDE: Final = 0x165667B19E3779F9
"""Odd numbers without pattern: orders that differ come to the same key once in 2**64."""
_PRICES: Final = np.uint64(_PRICE)
_QUANTITIES: Final = np.uint64(_QUANTITY)
_SIDES: Final = np.uint64(_SIDE)


def repeat_key(account: int, instrument: int, side: int, price: int, quantity: int) -> int:
    """The same for orders that are equal in all of these."""
    return price * _PRICE + quantity * _QUANTITY + (account << 33 | instrument << 1 | side) * _SIDE & _MASK
