"""Numbers in columns, little-endian: how a snapshot's body is packed, and read without trust. Pure.

A column is all values of one field one after the other, which packs a million orders in a few calls. Whatever the bytes
are, a :class:`Reader` raises nothing but :class:`ColumnError`, and makes no list longer than there are bytes for it.
"""

import struct
import sys
from array import array
from collections.abc import Iterable
from typing import Final

U8: Final = "B"
U16: Final = "H"
U32: Final = "I"
U64: Final = "Q"
I64: Final = "q"

_COUNT: Final = struct.Struct("<Q")
_SWAPPED: Final = sys.byteorder == "big"
assert [array(code).itemsize for code in (U8, U16, U32, U64, I64)] == [1, 2, 4, 8, 8]


class ColumnError(ValueError):
    """Bytes that are not what was to be read."""


class Writer:
    """Collects the bytes, in pieces."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def row(self, layout: struct.Struct, *values: int | bytes) -> None:
        """Some fields of a fixed layout."""
        self.pieces.append(layout.pack(*values))

    def data(self, data: bytes) -> None:
        """Bytes, and how many there are."""
        self.pieces += (_COUNT.pack(len(data)), data)

    def column(self, code: str, values: Iterable[int]) -> None:
        """Values, and how many there are."""
        numbers = array(code, values)
        if _SWAPPED:
            numbers.byteswap()
        self.pieces += (_COUNT.pack(len(numbers)), numbers.tobytes())


class Reader:
    """Takes the same things out again, in the same order."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def row(self, layout: struct.Struct) -> tuple[int, ...]:
        """Raises :class:`ColumnError`."""
        return layout.unpack(self._take(layout.size))

    def data(self) -> bytes:
        """Raises :class:`ColumnError`."""
        return bytes(self._take(_COUNT.unpack(self._take(_COUNT.size))[0]))

    def column(self, code: str, count: int | None = None) -> list[int]:
        """A column, of ``count`` values if that is known before. Raises :class:`ColumnError`."""
        numbers = array(code)
        (length,) = _COUNT.unpack(self._take(_COUNT.size))
        if count is not None and length != count:
            raise ColumnError(f"{length} values where {count} belong together")
        numbers.frombytes(self._take(length * numbers.itemsize))
        if _SWAPPED:
            numbers.byteswap()
        return numbers.tolist()

    def end(self) -> None:
        """Raises :class:`ColumnError` if something is left."""
        if self._at != len(self._data):
            raise ColumnError("there is more than belongs here")

    def _take(self, length: int) -> memoryview:
        if length > len(self._data) - self._at:
            raise ColumnError("it ends too early")
        taken = self._data[self._at : self._at + length]
        self._at += length
        return taken
