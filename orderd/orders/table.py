"""The order table: a row for each journaled record, in columns, by order id.

Rows live in pages of :data:`PAGE_ROWS`. What never changes is the record itself (32 bytes, as it travels); what changes
is a byte each for status, path and reason, and, only where there were fills or a replace, quantities. A run of orders
that is accepted at once is one slice assignment a column.

Memory is bounded by forgetting: rows that are done are forgotten, oldest first, beyond ``remembered_max``. Rows that
are open or unconfirmed are never forgotten: when their page goes, they move to a page of stragglers.
"""

from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Final

from orderd.wire.paths import Path
from orderd.wire.records import KIND_OFFSET, RECORD, RECORD_BYTES, Kind
from orderd.wire.reports import OrderStatus

PAGE_SHIFT: Final = 12
PAGE_ROWS: Final = 1 << PAGE_SHIFT
PAGE_MASK: Final = PAGE_ROWS - 1
SCAN_STRAGGLERS: Final = 1024

ANSWERED: Final = 9
"""Status byte of a record that is not an order (a request, an extension) once the engine has answered it."""

QUEUED: Final = int(OrderStatus.QUEUED)
NEW: Final = int(OrderStatus.NEW)
_DONE_STATUSES: Final = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED, ANSWERED)
IS_DONE: Final = bytes(int(s in _DONE_STATUSES) for s in range(256))
IS_OPEN: Final = bytes(
    int(s in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.REPLACED)) for s in range(256)
)
_MAY_TRADE: Final = bytes(int(s == OrderStatus.QUEUED or IS_OPEN[s]) for s in range(256))
"""Open, or not known to be anything else yet."""

_EXTENSION: Final = int(Kind.EXTENSION)
_KIND_BEFORE: Final = KIND_OFFSET - RECORD_BYTES
_NEW_RUN: Final = bytes((NEW,)) * PAGE_ROWS
_PATH_RUNS: Final = [bytes((path,)) * PAGE_ROWS for path in Path]


class Page:
    """Columns of :data:`PAGE_ROWS` rows; the rare ones are made when first needed."""

    __slots__ = (
        "cancelled", "cum_qty", "extensions", "ids", "notional", "path", "quantity", "reason", "records", "status",
        "triggered",
    )  # fmt: skip

    def __init__(self) -> None:
        self.records = bytearray(PAGE_ROWS * RECORD_BYTES)
        self.status = bytearray(PAGE_ROWS)
        self.path = bytearray(PAGE_ROWS)
        self.reason = bytearray(PAGE_ROWS)
        self.ids: list[bytes | None] | None = None
        """Text ids: of orders that have one, and the request ids of cancels and replaces."""
        self.cum_qty: list[int] | None = None
        self.notional: list[int] | None = None
        """Sum of price times quantity over the fills, in ticks times lots."""
        self.quantity: dict[int, int] = {}
        """Order quantity, where a replace changed it."""
        self.cancelled: dict[int, int] = {}
        """How many orders a mass cancel cancelled, where there were any."""
        self.extensions: dict[int, bytes] = {}
        """Extension records of orders whose own rows are here, but not those right before them."""
        self.triggered: set[int] = set()
        """Stop orders whose trigger was reached."""

    def record(self, row: int) -> bytes:
        return bytes(self.records[row * RECORD_BYTES : (row + 1) * RECORD_BYTES])

    def run(self, row: int, end: int) -> bytes:
        """The records of the rows from ``row`` to before ``end``."""
        return bytes(self.records[row * RECORD_BYTES : end * RECORD_BYTES])

    def may_be_extended(self, row: int) -> bool:
        """Whether :meth:`OrderTable.extensions` need be asked at all: quick, since every order that is shown asks."""
        return not row or bool(self.extensions) or self.records[row * RECORD_BYTES + _KIND_BEFORE] == _EXTENSION

    def extensions_start(self, row: int) -> int:
        """The first of the extensions that stand right before ``row``; ``row`` if none does."""
        while row and self.records[row * RECORD_BYTES + _KIND_BEFORE] == _EXTENSION:
            row -= 1
        return row

    def set_id(self, row: int, text_id: bytes) -> None:
        if self.ids is None:
            self.ids = [None] * PAGE_ROWS
        self.ids[row] = text_id

    def set_ids(self, rows: list[int], text_ids: list[bytes]) -> None:
        """:meth:`set_id` for rows that ascend."""
        if self.ids is None:
            self.ids = [None] * PAGE_ROWS
        if rows[-1] - rows[0] == len(rows) - 1:
            self.ids[rows[0] : rows[-1] + 1] = text_ids
        else:
            for row, text_id in zip(rows, text_ids, strict=True):
                self.ids[row] = text_id

    def add_fill(self, row: int, quantity: int, price: int) -> None:
        if self.cum_qty is None or self.notional is None:
            self.cum_qty, self.notional = [0] * PAGE_ROWS, [0] * PAGE_ROWS
        self.cum_qty[row] += quantity
        self.notional[row] += quantity * price

    def add_fills(self, rows: list[int], quantities: list[int], notionals: list[int]) -> None:
        """Sums of fills of different rows; a notional is as :attr:`notional` has it."""
        if self.cum_qty is None or self.notional is None:
            self.cum_qty, self.notional = [0] * PAGE_ROWS, [0] * PAGE_ROWS
        for row, quantity, notional in zip(rows, quantities, notionals, strict=True):
            self.cum_qty[row] += quantity
            self.notional[row] += notional

    def copy_row(self, row: int, other: "Page", other_row: int) -> None:
        """Make ``other_row`` of ``other`` what ``row`` is here."""
        other.records[other_row * RECORD_BYTES : (other_row + 1) * RECORD_BYTES] = self.record(row)
        for mine, theirs in ((self.status, other.status), (self.path, other.path), (self.reason, other.reason)):
            theirs[other_row] = mine[row]
        text_id = self.ids[row] if self.ids else None
        if text_id is not None:
            other.set_id(other_row, text_id)
        elif other.ids is not None:
            other.ids[other_row] = None
        if other.cum_qty is not None and other.notional is not None:
            other.cum_qty[other_row] = other.notional[other_row] = 0
        if self.cum_qty is not None and self.notional is not None and self.cum_qty[row]:
            other.add_fill(other_row, 0, 0)
            assert other.cum_qty is not None and other.notional is not None
            other.cum_qty[other_row], other.notional[other_row] = self.cum_qty[row], self.notional[row]
        for here, there in ((self.quantity, other.quantity), (self.cancelled, other.cancelled)):
            there.pop(other_row, None)
            if row in here:
                there[other_row] = here[row]
        other.triggered.discard(other_row)
        if row in self.triggered:
            other.triggered.add(other_row)


class Stragglers:
    """Rows whose page is gone, in pages of their own; a place that is given up is used again."""

    def __init__(self) -> None:
        self.places: dict[int, tuple[Page, int]] = {}
        self._free: list[tuple[Page, int]] = []

    def add(self, order_id: int, page: Page, row: int, extensions: bytes) -> None:
        if not self._free:
            fresh = Page()
            self._free = [(fresh, i) for i in reversed(range(PAGE_ROWS))]
        place = self._free.pop()
        page.copy_row(row, *place)
        place[0].extensions.pop(place[1], None)
        if extensions:
            place[0].extensions[place[1]] = extensions
        self.places[order_id] = place

    def drop(self, order_id: int) -> None:
        place = self.places.pop(order_id, None)
        if place is not None:
            self._free.append(place)


class OrderTable:
    """Rows by order id, from 1. ``forget(order_id, record, text_id)`` is told of each row that is forgotten, and
    ``keep(order_id)`` of each that is not when the base passes it."""

    def __init__(
        self, remembered_max: int, forget: Callable[[int, bytes, bytes | None], None],
        keep: Callable[[int], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self.end = 1
        """Order id that the next row gets."""
        self.base = 1
        """Rows below it that are done are forgotten."""
        self.done = 0
        """Done rows that are remembered."""
        self.open = 0
        self.told_end = 0
        """What :attr:`end` was when that was told which is done now; 0 for as it is."""
        self.remembered_max = remembered_max
        self._forget, self._keep = forget, keep
        self._pages: dict[int, Page] = {}
        self._stragglers = Stragglers()
        self._late: deque[tuple[int, int]] = deque()  # rows below base that became done: (end at that time, order id)
        self._late_ids: set[int] = set()

    # --- rows ---------------------------------------------------------------------------------------------------------

    def append(self, records: bytes) -> int:
        """Add a row for each record; returns the order id of the first."""
        first, position = self.end, 0
        page, start = self._pages.get((first - 1) >> PAGE_SHIFT), ((first - 1) & PAGE_MASK) * RECORD_BYTES
        if page is not None and start + len(records) <= PAGE_ROWS * RECORD_BYTES:
            page.records[start : start + len(records)] = records
            self.end = first + len(records) // RECORD_BYTES
            return first
        while position < len(records):
            number, row = (self.end - 1) >> PAGE_SHIFT, (self.end - 1) & PAGE_MASK
            page = self._pages.get(number)
            if page is None:
                page = self._pages[number] = Page()
            size = min(len(records) - position, (PAGE_ROWS - row) * RECORD_BYTES)
            page.records[row * RECORD_BYTES : row * RECORD_BYTES + size] = records[position : position + size]
            position += size
            self.end += size // RECORD_BYTES
        return first

    def locate(self, order_id: int) -> tuple[Page, int] | None:
        """Page and row within it; None if there is no such row (any more)."""
        page = self._pages.get((order_id - 1) >> PAGE_SHIFT)
        if page is not None:
            return page, (order_id - 1) & PAGE_MASK
        return self._stragglers.places.get(order_id)

    def remembers(self, order_id: int) -> bool:
        """Whether the row is there and not forgotten."""
        if order_id >= self.base:
            return order_id < self.end
        place = self.locate(order_id)
        if place is None:
            return False
        page, row = place
        return not IS_DONE[page.status[row]] or order_id in self._late_ids

    def set_id(self, order_id: int, text_id: bytes) -> None:
        page, row = self._pages[(order_id - 1) >> PAGE_SHIFT], (order_id - 1) & PAGE_MASK
        page.set_id(row, text_id)

    def extensions(self, order_id: int) -> bytes:
        """The extension records of an order; empty if it has none, as most have, or is not there."""
        number, row = (order_id - 1) >> PAGE_SHIFT, (order_id - 1) & PAGE_MASK
        page = self._pages.get(number)
        if page is None:
            place = self._stragglers.places.get(order_id)
            return place[0].extensions.get(place[1], b"") if place is not None else b""
        if page.extensions and row in page.extensions:
            return page.extensions[row]
        start = page.extensions_start(row)
        if start:
            return page.run(start, row) if start < row else b""
        before = self._pages.get(number - 1)
        found = page.run(0, row)
        return found if before is None else before.run(before.extensions_start(PAGE_ROWS), PAGE_ROWS) + found

    def spans(self, first: int, end: int) -> list[tuple[Page, int, int]]:
        """``(page, row, end row)`` of the rows from ``first`` to before ``end``, all of them in the table's pages."""
        row = (first - 1) & PAGE_MASK
        if first < end and row + end - first <= PAGE_ROWS:
            return [(self._pages[(first - 1) >> PAGE_SHIFT], row, row + end - first)]
        spans = []
        while first < end:
            row = (first - 1) & PAGE_MASK
            count = min(end - first, PAGE_ROWS - row)
            spans.append((self._pages[(first - 1) >> PAGE_SHIFT], row, row + count))
            first += count
        return spans

    def stretch(self, first: int, end: int) -> tuple[Page | None, int, int]:
        """Page of the rows from ``first`` to before ``end`` as far as one page goes, if it was not retired.

        With it, the first of these rows and the one behind the last, within the page.
        """
        row = (first - 1) & PAGE_MASK
        return self._pages.get((first - 1) >> PAGE_SHIFT), row, min(row + end - first, PAGE_ROWS)

    def records(self, first: int, count: int) -> bytes:
        """The records of rows that are not forgotten."""
        parts = [bytes(p.records[a * RECORD_BYTES : b * RECORD_BYTES]) for p, a, b in self.spans(first, first + count)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def text_ids(self, first: int, count: int) -> list[bytes | None] | None:
        """The text ids of rows that are not forgotten; None if there are none."""
        spans = self.spans(first, first + count)
        for page, _, _ in spans:
            if page.ids is not None:
                break
        else:
            return None
        return [i for page, a, b in spans for i in (page.ids[a:b] if page.ids is not None else [None] * (b - a))]

    # --- status -------------------------------------------------------------------------------------------------------

    def accept(self, first: int, count: int, path: Path) -> None:
        """NEW for a run of orders."""
        for page, a, b in self.spans(first, first + count):
            page.status[a:b] = _NEW_RUN[: b - a]
            page.path[a:b] = _PATH_RUNS[path][: b - a]
        self.open += count

    def set_status(self, order_id: int, status: int, path: Path) -> None:
        """Move a row to ``status``; its path is that of the first confirmation."""
        place = self.locate(order_id)
        if place is not None:
            self.set_status_at(order_id, *place, status, path)

    def set_status_at(self, order_id: int, page: Page, row: int, status: int, path: Path) -> None:
        """The same, of a row whose place is known."""
        was = page.status[row]
        page.status[row] = status
        if not page.path[row]:
            page.path[row] = path
        self.open += IS_OPEN[status] - IS_OPEN[was]
        if IS_DONE[status] and not IS_DONE[was]:
            self.done += 1
            if order_id < self.base:
                self._late.append((self.told_end or self.end, order_id))
                self._late_ids.add(order_id)

    def trim(self, confirmed_end: int, rows: int = 1 << 62) -> None:
        """Forget the oldest done rows beyond the bound, going through ``rows``. From ``confirmed_end`` none is done."""
        while self.done > self.remembered_max and rows > 0:
            rows -= 1
            if self._late and (self._late[0][0] <= self.base or self.base >= confirmed_end):
                self._forget_late(self._late.popleft()[1])
            elif self.base < confirmed_end:
                self._forget_base()
            else:
                return

    def _forget_base(self) -> None:
        order_id = self.base
        number, row = (order_id - 1) >> PAGE_SHIFT, (order_id - 1) & PAGE_MASK
        page = self._pages[number]
        self.base += 1
        if IS_DONE[page.status[row]]:
            self.done -= 1
            self._forget(order_id, page.record(row), page.ids[row] if page.ids else None)
        else:
            self._keep(order_id)
        if row == PAGE_MASK:
            self._retire(number, page)

    def _retire(self, number: int, page: Page) -> None:
        first = (number << PAGE_SHIFT) + 1
        for row in range(PAGE_ROWS):
            if not IS_DONE[page.status[row]] or first + row in self._late_ids:
                self._stragglers.add(first + row, page, row, self.extensions(first + row))
        after = self._pages.get(number + 1)
        if after is not None and page.extensions_start(PAGE_ROWS) < PAGE_ROWS:
            row = 0
            while after.records[row * RECORD_BYTES + KIND_OFFSET] == Kind.EXTENSION:
                row += 1
            after.extensions[row] = self.extensions(first + PAGE_ROWS + row)
        del self._pages[number]

    def _forget_late(self, order_id: int) -> None:
        self._late_ids.discard(order_id)
        place = self.locate(order_id)
        if place is None:
            return
        page, row = place
        self.done -= 1
        self._forget(order_id, page.record(row), page.ids[row] if page.ids else None)
        self._stragglers.drop(order_id)

    # --- scans --------------------------------------------------------------------------------------------------------

    def scan(self, after: int, end: int, *, open_only: bool) -> Iterator[tuple[Page, list[tuple[int, int]]]]:
        """Remembered rows behind ``after`` and below ``end`` as ``(page, [(order id, row), ...])``, ascending.

        ``open_only``: those that are open or not confirmed yet. At most a page at a time, so that the caller can do
        other things between; a page with nothing may come empty.
        """
        scattered = self._stragglers.places
        ids, numbers = sorted(i for i in scattered if after < i < end), sorted(self._pages)
        for start in range(0, len(ids), SCAN_STRAGGLERS):
            yield from self._scan_scattered(ids[start : start + SCAN_STRAGGLERS], open_only=open_only)
        for number in numbers:
            page, zero = self._pages.get(number), (number << PAGE_SHIFT) + 1
            if page is None:
                # It was retired while the caller did other things; its rows that are not done were scattered.
                ids = [i for i in range(max(after + 1, zero), min(zero + PAGE_ROWS, end)) if i in scattered]
                yield from self._scan_scattered(ids, open_only=open_only)
                continue
            start, stop = max(0, after + 1 - zero), min(PAGE_ROWS, end - zero)
            if start < stop:
                rows = _open_rows(page, start, stop) if open_only else range(start, stop)
                yield page, [(zero + row, row) for row in rows if zero + row >= self.base or self.remembers(zero + row)]

    def live_orders(self, first: int, end: int) -> list[int]:
        """Those of the orders from ``first`` to before ``end`` that are open or not confirmed yet, ascending."""
        found: list[int] = []
        while first < end:
            number, start = (first - 1) >> PAGE_SHIFT, (first - 1) & PAGE_MASK
            stop = min(PAGE_ROWS, start + end - first)
            page = self._pages.get(number)
            if page is not None:
                found += [first + row - start for row in _open_rows(page, start, stop) if is_order(page, row)]
            else:
                places = self._stragglers.places
                found += [
                    row
                    for row in range(first, first + stop - start)
                    if (place := places.get(row)) and _MAY_TRADE[place[0].status[place[1]]] and is_order(*place)
                ]
            first += stop - start
        return found

    def live_span(self, first: int, end: int) -> tuple[int, int] | None:
        """Of the rows from ``first`` to before ``end`` the part with all that are not done; None if all are.

        Quick: rows are looked at in bulk, whether they are orders or not.
        """
        lowest = highest = 0
        while first < end:
            number, start = (first - 1) >> PAGE_SHIFT, (first - 1) & PAGE_MASK
            stop = min(PAGE_ROWS, start + end - first)
            page = self._pages.get(number)
            if page is not None:
                flags = page.status[start:stop].translate(_MAY_TRADE)
            else:
                places = self._stragglers.places
                found = map(places.get, range(first, first + stop - start))
                flags = bytearray(_MAY_TRADE[place[0].status[place[1]]] if place else 0 for place in found)
            if (at := flags.find(1)) >= 0:
                lowest, highest = lowest or first + at, first + flags.rfind(1)
            first += stop - start
        return (lowest, highest + 1) if lowest else None

    def _scan_scattered(self, ids: list[int], *, open_only: bool) -> Iterator[tuple[Page, list[tuple[int, int]]]]:
        scattered = self._stragglers.places
        found = [(i, place) for i in ids if (place := scattered.get(i)) is not None]
        for page, together in groupby(found, key=lambda item: item[1][0]):
            # A place may have become another's while the caller did other things.
            there = [(i, place[1]) for i, place in together if scattered.get(i) == place]
            yield page, [(i, row) for i, row in there if not open_only or _MAY_TRADE[page.status[row]]]


def _open_rows(page: Page, start: int, stop: int) -> list[int]:
    flags = page.status[start:stop].translate(_MAY_TRADE)
    rows, at = [], flags.find(1)
    while at >= 0:
        rows.append(start + at)
        at = flags.find(1, at + 1)
    return rows


def is_order(page: Page, row: int) -> bool:
    """Whether the row is an order, and not a request or extension of one."""
    return page.records[row * RECORD_BYTES + KIND_OFFSET] == Kind.NEW


def unpack(page: Page, row: int) -> tuple[int, int, int, int, int, int, int]:
    """Number, price, quantity, instrument, account, kind and flags of a row."""
    return RECORD.unpack_from(page.records, row * RECORD_BYTES)
