"""Checks of a client's batch, all records at once. What a text order may be is checked where it is parsed."""

from collections.abc import Collection
from typing import Final

import attrs
import numpy as np

from orderd.orders.errors import BadOrder
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT
from orderd.wire.records import (
    DISPLAY_SLICES_MAX,
    FLAG_MARKET,
    FLAG_SELL,
    MASS_ACCOUNT,
    MASS_FLAGS,
    MASS_INSTRUMENT,
    MASS_SIDE,
    RECORD_BYTES,
    TEXT_NUMBER,
    VALUE_MAX,
    Attribute,
    Kind,
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
_CONTRADICTS: Final = np.array([bool(why) for why in CONTRADICTIONS])

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Records = np.ndarray[tuple[int], np.dtype[np.void]]
Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Words = np.ndarray[tuple[int], np.dtype[np.uint8 | np.uint16]]
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
    extensions: int = 0
    """How many records are no more than what an order says beyond its own."""
    expires_first: tuple[int, int] | None = None
    """The first of all expiries, in ns since 1970 UTC, and the index of the record that says it."""


class _Faults:
    """The first record of a batch that does not fit, and why: of several reasons the one that was noted first."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._why = ""

    def note(self, bad: Flags, why: str) -> None:
        if bad.any():
            index = int(bad.argmax())
            if self._index is None or index < self._index:
                self._index, self._why = index, why

    def raise_first(self) -> None:
        """Raises :class:`BadOrder` if there is one."""
        if self._index is not None:
            raise BadOrder(f"record {self._index}: {self._why}")


def check_batch(records: bytes, instruments: Collection[int]) -> CheckedBatch:
    """Raises :class:`BadOrder`, naming the first record that does not fit, counted from 0.

    Only what never changes is asked: whether an expiry is over is for the caller to say.
    """
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
    faults = _Faults()
    faults.note((kind < Kind.NEW) | (kind > Kind.EXTENSION), "its kind does not exist")
    faults.note(table["number"] >= TEXT_NUMBER, "its number must be below 2**63")
    faults.note(~np.isin(table["instrument"], list(instruments)) & ~any_instrument, "its instrument does not exist")
    said, extensions, expires_first = flags, 0, None
    if not all_new:
        is_extension = kind == Kind.EXTENSION
        _check_requests(faults, table, kind, flags, ~is_new & ~is_mass & ~is_extension)
        _check_mass_cancels(faults, table, flags, is_mass)
        extensions = int(np.count_nonzero(is_extension))
        if extensions:
            said = _check_extensions(faults, table, flags, is_extension, is_new)
            expires_first = _first_expiry(table, flags, is_extension)
    _check_new(faults, table, said, is_new)
    faults.raise_first()
    numbers = table["number"] if all_new else table["number"][is_new]
    consecutive = all_new and bool((np.diff(numbers.astype(np.int64)) == 1).all())
    if not consecutive:
        _refuse_repeated(numbers, np.flatnonzero(is_new))
    indexes = None if all_new else np.flatnonzero(is_new).tolist()
    may_trade = bool(((kind != Kind.CANCEL) & ~is_mass).any())
    mass_cancels = 0 if all_new else int(np.count_nonzero(is_mass))
    return CheckedBatch(
        records, len(table), numbers.tolist(), indexes, consecutive, may_trade, mass_cancels, extensions, expires_first
    )


def _check_new(faults: _Faults, table: Records, said: Words, is_new: Flags) -> None:
    """``said`` are the flags of each record and, above them, the mask of the attributes that its extensions set."""
    contradicts = is_new & _CONTRADICTS[said]
    if contradicts.any():
        faults.note(contradicts, CONTRADICTIONS[int(said[contradicts.argmax()])])
    market = said & FLAG_MARKET != 0
    faults.note(is_new & market & (table["price"] != 0), "the price of a MARKET order must be 0")
    faults.note(is_new & ~market & (table["price"] <= 0), "its price must be above 0")
    faults.note(
        is_new & ((table["quantity"] == 0) | (table["quantity"] > VALUE_MAX)), "its quantity must be 1 to 2**63 - 1"
    )


def _check_extensions(faults: _Faults, table: Records, flags: Bytes, is_extension: Flags, is_new: Flags) -> Words:
    """The flags of each record and, above them, the mask of what the extensions before it say."""
    trigger = flags == Attribute.TRIGGER
    used = np.where(trigger, table["price"].astype(np.uint64), table["quantity"])
    unused = np.where(trigger, table["quantity"], table["price"].astype(np.uint64))
    exists = (flags >= 1) & (flags <= len(Attribute))
    faults.note(is_extension & ~exists, "its attribute does not exist")
    faults.note(is_extension & ((unused != 0) | (table["account"] != 0)), "unused fields must be 0")
    faults.note(is_extension & ((used == 0) | (used > VALUE_MAX)), "its value must be 1 to 2**63 - 1")
    # What follows an extension is another one of the same order, or the order.
    follows = np.zeros(len(table), np.bool_)
    follows[:-1] = (is_extension | is_new)[1:]
    for name in ("number", "instrument"):
        follows[:-1] &= table[name][1:] == table[name][:-1]
    faults.note(is_extension & ~follows, "it stands before no order of its number and instrument")
    ascends = np.ones(len(table), np.bool_)
    ascends[1:] = ~(is_extension[1:] & is_extension[:-1]) | (flags[1:] > flags[:-1])
    faults.note(~ascends, "its attribute is said already, or must stand before the last one")
    others = np.flatnonzero(~is_extension)
    at = np.flatnonzero(is_extension & exists)
    at = at[: np.searchsorted(at, others[-1])] if len(others) else at[:0]
    order = others[np.searchsorted(others, at)]
    lots, quantity = table["quantity"][at], table["quantity"][order]
    display = flags[at] == Attribute.DISPLAY
    misfit = np.zeros(len(table), np.bool_)
    misfit[at] = (display | (flags[at] == Attribute.MINIMUM)) & (lots > quantity)
    faults.note(misfit, "it is above the order's quantity")
    misfit[at] = display & ((np.maximum(quantity, 1) - 1) // DISPLAY_SLICES_MAX >= lots)
    faults.note(misfit, f"it is less than the order's quantity divided by {DISPLAY_SLICES_MAX}")
    said = flags.astype(np.uint16)
    np.bitwise_or.at(said, order, np.left_shift(np.uint16(1 << MASK_SHIFT), flags[at].astype(np.uint16) - 1))
    return said


def _first_expiry(table: Records, flags: Bytes, is_extension: Flags) -> tuple[int, int] | None:
    at = np.flatnonzero(is_extension & (flags == Attribute.EXPIRY))
    if not len(at):
        return None
    first = int(at[table["quantity"][at].argmin()])
    return int(table["quantity"][first]), first


def _check_requests(faults: _Faults, table: Records, kind: Bytes, flags: Bytes, requests: Flags) -> None:
    faults.note(requests & ((flags != 0) | (table["account"] != 0)), "unused fields must be 0")
    cancel = kind == Kind.CANCEL
    faults.note(cancel & ((table["price"] != 0) | (table["quantity"] != 0)), "unused fields must be 0")
    replace = requests & ~cancel
    faults.note(replace & (table["price"] <= 0), "its price must be above 0")
    faults.note(
        replace & ((table["quantity"] == 0) | (table["quantity"] > VALUE_MAX)), "its quantity must be 1 to 2**63 - 1"
    )


def _check_mass_cancels(faults: _Faults, table: Records, flags: Bytes, mass: Flags) -> None:
    faults.note(mass & (flags & ~np.uint8(MASS_FLAGS) != 0), "its flags do not exist")
    unused = (table["number"] != 0) | (table["price"] != 0) | (table["quantity"] != 0)
    unused |= (flags & MASS_SIDE == 0) & (flags & FLAG_SELL != 0)
    unused |= (flags & MASS_INSTRUMENT == 0) & (table["instrument"] != 0)
    unused |= (flags & MASS_ACCOUNT == 0) & (table["account"] != 0)
    faults.note(mass & unused, "unused fields must be 0")


def _refuse_repeated(numbers: Numbers, indexes: Indexes) -> None:
    order = np.argsort(numbers, kind="stable")
    repeated = np.flatnonzero(np.diff(numbers[order]) == 0)
    if len(repeated):
        index = indexes[order[repeated + 1]].min()
        raise BadOrder(f"record {index}: its number is repeated in the batch")
