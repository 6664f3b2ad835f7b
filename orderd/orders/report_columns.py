"""Report items of many journal entries in columns, for a start that reads millions of them. Pure.

An item is what :mod:`orderd.wire.reports` says. Here each field is an array with one value an item; of a range only the
count, the first order and the flags are there, and the first order stands as its input, too.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np

from orderd.orders.entries import EntryError
from orderd.wire.reports import FLAG_FINAL, FULL_BYTES, RANGE_BYTES, ExecType, OrderStatus, Reason

Column = np.ndarray[tuple[int], np.dtype[Any]]

NUMBER_MAX: Final = 1 << 62
"""Orders and inputs from here on are none; far below, sums of them cannot overflow."""

_RANGE: Final = np.dtype(
    [("exec_type", "u1"), ("flags", "u1"), ("zero", "<u2"), ("count", "<u4"), ("order", "<u8"), ("time_ns", "<u8")]
)
_FULL: Final = np.dtype(
    [
        ("exec_type", "u1"), ("flags", "u1"), ("status", "u1"), ("reason", "u1"), ("account", "<u2"), ("_a", "<u2"),
        ("instrument", "<u4"), ("_b", "<u4"), ("order", "<u8"), ("input", "<u8"), ("number", "<u8"),
        ("last_qty", "<u8"), ("last_px", "<i8"), ("cum_qty", "<u8"), ("leaves_qty", "<u8"), ("trade_id", "<u8"),
        ("time_ns", "<u8"),
    ]
)  # fmt: skip
assert (_RANGE.itemsize, _FULL.itemsize) == (RANGE_BYTES, FULL_BYTES)
_NEW: Final = int(ExecType.NEW)
_EXEC_TYPE_MAX: Final = max(ExecType)
_STATUS_MAX: Final = max(OrderStatus)
_REASON_MAX: Final = max(Reason)
# The checks below rely on values without gaps.
assert len(ExecType) == _EXEC_TYPE_MAX and len(OrderStatus) == _STATUS_MAX + 1 and len(Reason) == _REASON_MAX + 1


@attrs.frozen(eq=False)
class Items:
    """One value an item, but for :attr:`data`; ``entry`` is the index of the entry that it is in."""

    data: bytes
    offset: Column
    entry: Column
    exec_type: Column
    flags: Column
    status: Column
    reason: Column
    count: Column
    """Logical reports."""
    order: Column
    input: Column
    number: Column
    last_qty: Column
    last_px: Column
    cum_qty: Column
    leaves_qty: Column

    def __len__(self) -> int:
        return len(self.offset)

    def part(self, start: int, end: int) -> "Items":
        """The items from ``start`` to before ``end``."""
        names = [a.name for a in attrs.fields(Items) if a.name != "data"]
        return attrs.evolve(self, **{name: getattr(self, name)[start:end] for name in names})

    @property
    def is_range(self) -> Column:
        found: Column = self.exec_type == _NEW
        return found

    @property
    def is_final(self) -> Column:
        """Whether an input is through with it."""
        found: Column = (self.flags & FLAG_FINAL != 0) & (self.input != 0)
        return found


def columns_of(payloads: Sequence[bytes]) -> Items:
    """The items of entries, none of them empty. Raises :class:`~orderd.orders.entries.EntryError`."""
    data = b"".join(payloads)
    offset = np.array(_offsets(data), np.int64)
    starts = np.zeros(len(payloads), np.int64)
    np.cumsum([len(payload) for payload in payloads[:-1]], out=starts[1:])
    begin = np.searchsorted(offset, starts)
    if (offset[np.minimum(begin, len(offset) - 1)] != starts).any():
        raise EntryError("a report item is in two journal records")
    entry = np.repeat(np.arange(len(payloads)), np.diff(np.append(begin, len(offset))))
    exec_type = np.frombuffer(data, np.uint8)[offset]
    is_range = exec_type == _NEW
    ranges, fulls = _rows(data, offset[is_range], _RANGE), _rows(data, offset[~is_range], _FULL)
    _check(ranges, fulls)

    def merged(name: str, dtype: str, of_range: str | None = None) -> Column:
        column = np.zeros(len(offset), dtype)
        column[~is_range] = fulls[name]
        if of_range is not None:
            column[is_range] = ranges[of_range]
        return column

    count = np.ones(len(offset), np.int64)
    count[is_range] = ranges["count"]
    return Items(
        data, offset, entry, exec_type, merged("flags", "u1", "flags"), merged("status", "u1"), merged("reason", "u1"),
        count, merged("order", "i8", "order"), merged("input", "i8", "order"), merged("number", "u8"),
        merged("last_qty", "u8"), merged("last_px", "i8"), merged("cum_qty", "u8"), merged("leaves_qty", "u8"),
    )  # fmt: skip


def _offsets(data: bytes) -> list[int]:
    found: list[int] = []
    add, at, end = found.append, 0, len(data)
    while at < end:
        add(at)
        at += RANGE_BYTES if data[at] == _NEW else FULL_BYTES
    if at != end:
        raise EntryError("a report item is cut short")
    return found


def _rows(data: bytes, offset: Column, dtype: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Copies of what stands at these offsets, wherever they are."""
    if not len(offset):
        return np.empty(0, dtype)
    everywhere = np.ndarray((len(data) - dtype.itemsize + 1,), dtype, data, strides=(1,))
    return everywhere[offset]


def _check(ranges: Any, fulls: Any) -> None:
    flags = ranges["flags"] & ~np.uint8(FLAG_FINAL)
    wrong = bool(((ranges["count"] == 0) | (ranges["zero"] != 0) | (flags != 0)).any())
    wrong |= bool((ranges["order"] == 0).any() or (ranges["order"] >= NUMBER_MAX).any())
    wrong |= bool(((fulls["exec_type"] == 0) | (fulls["exec_type"] > _EXEC_TYPE_MAX) | (fulls["flags"] > 7)).any())
    wrong |= bool(((fulls["status"] > _STATUS_MAX) | (fulls["reason"] > _REASON_MAX)).any())
    wrong |= bool(((fulls["order"] >= NUMBER_MAX) | (fulls["input"] >= NUMBER_MAX)).any())
    if wrong:
        raise EntryError("a report item has an impossible value")
