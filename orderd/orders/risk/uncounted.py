"""What is not counted yet of orders and fills, added up in bulk: a hundredth of what it costs one by one. Pure.

Orders are rows of the order table, found there as they stand. Of a fill the end of its order's record is kept, with
quantity and price.
"""

import struct
from typing import Final

import numpy as np

from orderd.orders.checks import RECORD_DTYPE, Indexes, Numbers, Records
from orderd.orders.table import IS_DONE, Page
from orderd.wire.records import FLAG_SELL, VALUE_MAX, Kind

Lots = np.ndarray[tuple[int], np.dtype[np.int64]]

FILL: Final = struct.Struct("<QIHBBQq")
"""The last 16 bytes of an order's record, then the lots of the fill and its price in ticks."""
FILL_HEAD: Final = 16
pack_fill: Final = struct.Struct("<16sQq").pack
FILL_DTYPE: Final = np.dtype(
    [
        ("_", "<u8"), ("instrument", "<u4"), ("account", "<u2"), ("kind", "u1"), ("flags", "u1"), ("quantity", "<u8"),
        ("price", "<i8"),
    ]
)  # fmt: skip
assert FILL_DTYPE.itemsize == FILL.size

Sum = tuple[int, int, int, int, int]
"""Account, instrument, side, quantity in lots, and of how many orders, or in how many fills."""

_IS_OPEN: Final = np.frombuffer(IS_DONE, np.uint8) == 0
_INSTRUMENT_SHIFT: Final = np.uint64(1)
_ACCOUNT_SHIFT: Final = np.uint64(33)
_LOW: Final = np.uint64(0xFFFF_FFFF)
_HALF: Final = np.uint64(32)
_SCATTER: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_TOP: Final = np.uint64(48)


def replaces_in(page: Page, start: int, end: int) -> list[int]:
    """The rows from ``start`` to before ``end`` that are replaces."""
    kind = np.frombuffer(page.records, RECORD_DTYPE)["kind"][start:end]
    if kind.max() < Kind.REPLACE:
        return []
    found: list[int] = (np.flatnonzero((kind == Kind.REPLACE) | (kind == Kind.REPLACE_OPEN)) + start).tolist()
    return found


def _signed(quantities: list[int]) -> Lots:
    try:
        return np.array(quantities, np.int64)
    except OverflowError:
        # No order is that large, whatever an engine says.
        return np.array([min(quantity, VALUE_MAX) for quantity in quantities], np.int64)


def open_sums(page: Page, start: int, end: int) -> list[Sum]:
    """What of the orders in these rows is open, leaving replaces out; the same account may come several times."""
    table = np.frombuffer(page.records, RECORD_DTYPE)[start:end]
    is_open = _IS_OPEN[np.frombuffer(page.status, np.uint8)[start:end]] & (table["kind"] == Kind.NEW)
    quantity = table["quantity"].astype(np.int64)
    if page.quantity:
        for row, replaced in page.quantity.items():
            if start <= row < end:
                quantity[row - start] = min(replaced, VALUE_MAX)
    if page.cum_qty is not None:
        quantity = np.maximum(quantity - _signed(page.cum_qty[start:end]), 0)
    keys, lots = _keys(table), quantity.view(np.uint64)
    if not is_open.all():
        keys, lots = keys[is_open], lots[is_open]
    return _sums(keys, lots)


def fill_sums(fills: bytes) -> tuple[list[Sum], list[tuple[int, int]]]:
    """What was filled, in the form of :func:`open_sums`, and prices by instrument: of each the last one counts."""
    table = np.frombuffer(fills, FILL_DTYPE)
    is_order = table["kind"] == Kind.NEW
    if not is_order.all():
        table = table[is_order]
    instruments, prices = table["instrument"], table["price"]
    order, starts = _runs(instruments.astype(np.uint64))
    if order is not None:
        instruments, prices = instruments[order], prices[order]
    ends = np.append(starts[1:], len(table)) - 1
    last = list(zip(instruments[ends].tolist(), prices[ends].tolist(), strict=True)) if len(table) else []
    return _sums(_keys(table), table["quantity"].astype(np.uint64)), last


def _keys(table: Records) -> Numbers:
    keys: Numbers = table["account"].astype(np.uint64) << _ACCOUNT_SHIFT
    keys |= table["instrument"].astype(np.uint64) << _INSTRUMENT_SHIFT
    keys |= table["flags"] & FLAG_SELL
    return keys


def _runs(keys: Numbers) -> tuple[Indexes | None, Indexes]:
    """An order in which equal keys stand in runs, each in its old order, and where each run starts; None: as it is.

    By 16 bits, which takes a fourth of the time: where two keys have the same ones, their runs come in parts.
    """
    starts = np.zeros(1, np.intp)
    if not len(keys) or not (keys != keys[0]).any():
        return None, starts
    order = np.argsort((keys * _SCATTER >> _TOP).astype(np.uint16), kind="stable")
    keys = keys[order]
    return order, np.concatenate((starts, np.flatnonzero(keys[1:] != keys[:-1]) + 1))


def _sums(keys: Numbers, lots: Numbers) -> list[Sum]:
    if not len(keys):
        return []
    order, starts = _runs(keys)
    if order is not None:
        keys, lots = keys[order], lots[order]
    counts = np.diff(np.append(starts, len(keys))).tolist()
    # Two halves, each of which cannot overflow.
    low = np.add.reduceat(lots & _LOW, starts).tolist()
    high = np.add.reduceat(lots >> _HALF, starts).tolist()
    return [
        (key >> 33, key >> 1 & 0xFFFF_FFFF, key & 1, below + (above << 32), count)
        for key, count, below, above in zip(keys[starts].tolist(), counts, low, high, strict=True)
    ]
