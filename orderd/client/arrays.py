"""Records of a batch made of numpy arrays: whole ticks, whole lots, numbers. Pure.

Arrays of floats are a TypeError: prices in floats are not prices. Each argument is an array or one value for all.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from orderd.client.replies import Instrument
from orderd.client.values import TimeInForce
from orderd.wire import records
from orderd.wire.records import RECORD_BYTES, Kind

RECORD_TYPE: Final = np.dtype(
    [
        ("number", "<u8"),
        ("price", "<i8"),
        ("quantity", "<u8"),
        ("instrument", "<u4"),
        ("account", "<u2"),
        ("kind", "u1"),
        ("flags", "u1"),
    ]
)
assert RECORD_TYPE.itemsize == RECORD_BYTES

Whole = npt.ArrayLike
"""Whole numbers: an array of integers, or one for all."""


def new_records(
    instrument: Instrument,
    numbers: Whole,
    is_sell: npt.ArrayLike,
    quantity_lots: Whole,
    price_ticks: Whole,
    *,
    tif: TimeInForce | str = TimeInForce.DAY,
    account: Whole = 0,
    post_only: bool = False,
) -> bytes:
    """Limit orders. Raises TypeError for floats, ValueError for a number below zero or beyond its field."""
    if tif == TimeInForce.GTD:
        raise ValueError("GTD needs a time for each order: use orderd.client.records")
    flags = records.TimeInForce[tif].value << records.TIF_SHIFT | post_only * records.FLAG_POST_ONLY
    sells = np.asarray(is_sell)
    if sells.dtype != np.bool_:
        raise TypeError(f"is_sell is of {sells.dtype}, not of bool")
    return _records(
        Kind.NEW,
        instrument,
        numbers,
        price=price_ticks,
        quantity=quantity_lots,
        account=account,
        flags=np.where(sells, flags | records.FLAG_SELL, flags),
    )


def cancel_records(instrument: Instrument, numbers: Whole) -> bytes:
    """Cancels of the orders with these numbers."""
    return _records(Kind.CANCEL, instrument, numbers)


def replace_records(
    instrument: Instrument, numbers: Whole, quantity_lots: Whole, price_ticks: Whole, *, is_open: bool = False
) -> bytes:
    """Replaces of the orders with these numbers; ``is_open``: the quantities are the new open ones, not the totals."""
    kind = Kind.REPLACE_OPEN if is_open else Kind.REPLACE
    return _records(kind, instrument, numbers, price=price_ticks, quantity=quantity_lots)


def _records(kind: Kind, instrument: Instrument, numbers: Whole, **fields: Any) -> bytes:
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(column)) for column in (numbers, *fields.values())))
    found = np.zeros(columns[0].shape, RECORD_TYPE)
    found["instrument"], found["kind"] = instrument.id, kind
    for name, column in zip(("number", *fields), columns, strict=True):
        if not np.issubdtype(column.dtype, np.integer):
            raise TypeError(f"{name} is of {column.dtype}, not of whole numbers")
        limit = np.iinfo(RECORD_TYPE[name]).max
        if column.size and (int(column.min()) < 0 or int(column.max()) > limit):
            raise ValueError(f"{name} is not within 0 and {limit}")
        found[name] = column
    return found.tobytes()
