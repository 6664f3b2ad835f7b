"""Checks of a client's batch, all records at once. What a text order may be is checked where it is parsed."""

from collections.abc import Collection
from typing import Final

import attrs
import numpy as np

from orderd.orders.errors import BadOrder
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    FLAG_SELL,
    MASS_ACCOUNT,
    MASS_FLAGS,
    MASS_INSTRUMENT,
    MASS_SIDE,
    RECORD_BYTES,
    STP_MASK,
    TEXT_NUMBER,
    TIF_MASK,
    TIF_SHIFT,
    VALUE_MAX,
    Kind,
    TimeInForce,
)

RECORD_DTYPE: Final = np.dtype(
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
assert RECORD_DTYPE.itemsize == RECORD_BYTES

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Records = np.ndarray[tuple[int], np.dtype[np.void]]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Numbers = np.ndarray[tuple[int], np.dtype[np.uint64]]
Indexes = np.ndarray[tuple[int], np.dtype[np.intp]]


@attrs.frozen
class CheckedBatch:
    """Records that fit.

    ``numbers`` are those of the NEW records, in order; ``consecutive``: all records are NEW, each number one more than
    the last.
    """

    records: bytes
    count: int
    numbers: list[int]
    indexes: list[int] | None
    """Index of each NEW record; None when all are."""
    consecutive: bool
    may_trade: bool = True
    """Whether any record is a NEW or a replace, and not only what takes orders away."""
    mass_cancels: int = 0


def check_batch(records: bytes, instruments: Collection[int]) -> CheckedBatch:
    """Raises :class:`BadOrder`, naming the first record that does not fit, counted from 0."""
    if not records or len(records) % RECORD_BYTES:
        raise BadOrder(
            f"records must be a whole number of {RECORD_BYTES} bytes, at least one, not {len(records)} bytes"
        )
    table = np.frombuffer(records, RECORD_DTYPE)
    kind, flags = table["kind"], table["flags"]
    is_new = kind == Kind.NEW
    all_new = bool(is_new.all())
    is_mass = kind == Kind.MASS_CANCEL
    any_instrument = is_mass & (flags & MASS_INSTRUMENT == 0)
    _refuse(kind == Kind.EXTENSION, "its kind is not supported")
    _refuse((kind < Kind.NEW) | (kind > Kind.EXTENSION), "its kind does not exist")
    _refuse(table["number"] >= TEXT_NUMBER, "its number must be below 2**63")
    _refuse(~np.isin(table["instrument"], list(instruments)) & ~any_instrument, "its instrument does not exist")
    _check_new(table, flags, is_new)
    if not all_new:
        _check_requests(table, kind, flags, ~is_new & ~is_mass)
        _check_mass_cancels(table, flags, is_mass)
    numbers = table["number"] if all_new else table["number"][is_new]
    consecutive = all_new and bool((np.diff(numbers.astype(np.int64)) == 1).all())
    if not consecutive:
        _refuse_repeated(numbers, np.flatnonzero(is_new))
    indexes = None if all_new else np.flatnonzero(is_new).tolist()
    may_trade = bool(((kind != Kind.CANCEL) & ~is_mass).any())
    mass_cancels = 0 if all_new else int(np.count_nonzero(is_mass))
    return CheckedBatch(records, len(table), numbers.tolist(), indexes, consecutive, may_trade, mass_cancels)


def _check_new(
    table: Records,
    flags: Bytes,
    is_new: Flags,
) -> None:
    market = flags & FLAG_MARKET != 0
    tif = (flags & TIF_MASK) >> TIF_SHIFT
    _refuse(is_new & (flags & FLAG_POST_ONLY != 0), "POSTONLY is not supported")
    _refuse(is_new & (flags & STP_MASK != 0), "STP is not supported")
    _refuse(is_new & (tif == TimeInForce.GTD), "TIF GTD is not supported")
    _refuse(is_new & (tif > TimeInForce.GTD), "its time in force does not exist")
    _refuse(is_new & market & (tif == TimeInForce.GTC), "MARKET takes TIF DAY, IOC or FOK")
    _refuse(is_new & market & (table["price"] != 0), "the price of a MARKET order must be 0")
    _refuse(is_new & ~market & (table["price"] <= 0), "its price must be above 0")
    _refuse(
        is_new & ((table["quantity"] == 0) | (table["quantity"] > VALUE_MAX)), "its quantity must be 1 to 2**63 - 1"
    )


def _check_requests(
    table: Records,
    kind: Bytes,
    flags: Bytes,
    requests: Flags,
) -> None:
    _refuse(requests & ((flags != 0) | (table["account"] != 0)), "unused fields must be 0")
    cancel = kind == Kind.CANCEL
    _refuse(cancel & ((table["price"] != 0) | (table["quantity"] != 0)), "unused fields must be 0")
    replace = requests & ~cancel
    _refuse(replace & (table["price"] <= 0), "its price must be above 0")
    _refuse(
        replace & ((table["quantity"] == 0) | (table["quantity"] > VALUE_MAX)), "its quantity must be 1 to 2**63 - 1"
    )


def _check_mass_cancels(table: Records, flags: Bytes, mass: Flags) -> None:
    _refuse(mass & (flags & ~np.uint8(MASS_FLAGS) != 0), "its flags do not exist")
    unused = (table["number"] != 0) | (table["price"] != 0) | (table["quantity"] != 0)
    unused |= (flags & MASS_SIDE == 0) & (flags & FLAG_SELL != 0)
    unused |= (flags & MASS_INSTRUMENT == 0) & (table["instrument"] != 0)
    unused |= (flags & MASS_ACCOUNT == 0) & (table["account"] != 0)
    _refuse(mass & unused, "unused fields must be 0")


def _refuse_repeated(numbers: Numbers, indexes: Indexes) -> None:
    order = np.argsort(numbers, kind="stable")
    repeated = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(repeated):
        index = indexes[order[repeated + 1]].min()
        raise BadOrder(f"record {index}: its number is repeated in the batch")


def _refuse(bad: Flags, why: str) -> None:
    if bad.any():
        raise BadOrder(f"record {int(bad.argmax())}: {why}")
