"""Columns of several pages of the order table side by side, so that a start can change many rows at once. Pure."""

from collections.abc import Sequence

import numpy as np

from orderd.orders.checks import RECORD_DTYPE, Records
from orderd.orders.report_columns import Column
from orderd.orders.table import PAGE_MASK, PAGE_ROWS, PAGE_SHIFT, OrderTable, Page
from orderd.wire.records import KIND_OFFSET, RECORD_BYTES


class PageWindow:
    """The pages that hold ``rows``, each of which is in a page of the table and not among its stragglers."""

    def __init__(self, table: OrderTable, rows: Column) -> None:
        self._numbers = np.unique((rows - 1) >> PAGE_SHIFT)
        self.pages: list[Page] = []
        for number in self._numbers.tolist():
            page, _, _ = table.stretch((number << PAGE_SHIFT) + 1, (number << PAGE_SHIFT) + 2)
            assert page is not None, "rows that are not forgotten are in a page"
            self.pages.append(page)
        first = int(self._numbers[0]) if len(self._numbers) else 0
        span = int(self._numbers[-1]) - first + 1 if len(self._numbers) else 0
        self._first = first
        self._zero = np.zeros(span, np.int64)
        self._zero[self._numbers - first] = np.arange(len(self._numbers)) * PAGE_ROWS

    def __len__(self) -> int:
        return len(self.pages) * PAGE_ROWS

    def at(self, rows: Column) -> Column:
        """Where ``rows`` are in the columns here."""
        index: Column = self._zero[((rows - 1) >> PAGE_SHIFT) - self._first] + ((rows - 1) & PAGE_MASK)
        return index

    def rows(self, at: Column) -> Column:
        """The rows that are there; the reverse of :meth:`at`."""
        rows: Column = (self._numbers[at >> PAGE_SHIFT] << PAGE_SHIFT) + (at & PAGE_MASK) + 1
        return rows

    def load(self, name: str) -> Column:
        """A copy of the column of bytes with this name."""
        return self._join([np.frombuffer(getattr(page, name), np.uint8) for page in self.pages])

    def store(self, name: str, column: Column) -> None:
        """Put a column back that :meth:`load` gave."""
        for i, page in enumerate(self.pages):
            getattr(page, name)[:] = column[i * PAGE_ROWS : (i + 1) * PAGE_ROWS].tobytes()

    def kinds(self) -> Column:
        """The kind of each record."""
        return self._join([np.frombuffer(page.records, np.uint8)[KIND_OFFSET::RECORD_BYTES] for page in self.pages])

    def records(self, at: Column) -> Records:
        """The records that are there."""
        found = np.empty(len(at), RECORD_DTYPE)
        page_of = at >> PAGE_SHIFT
        order = np.argsort(page_of, kind="stable") if len(at) and (np.diff(page_of) < 0).any() else None
        sorted_at = at if order is None else at[order]
        ends = np.searchsorted(sorted_at >> PAGE_SHIFT, np.arange(len(self.pages)), side="right")
        start = 0
        for page, end in zip(self.pages, ends.tolist(), strict=True):
            if start < end:
                some = np.frombuffer(page.records, RECORD_DTYPE)[sorted_at[start:end] & PAGE_MASK]
                found[slice(start, end) if order is None else order[start:end]] = some
            start = end
        return found

    def text_ids(self) -> list[bytes | None] | None:
        """The text id of each row; None if there are none."""
        if not any(page.ids for page in self.pages):
            return None
        found: list[bytes | None] = []
        nothing: Sequence[bytes | None] = [None] * PAGE_ROWS
        for page in self.pages:
            found += page.ids if page.ids is not None else nothing
        return found

    @staticmethod
    def _join(parts: list[Column]) -> Column:
        return np.concatenate(parts) if parts else np.empty(0, np.uint8)
