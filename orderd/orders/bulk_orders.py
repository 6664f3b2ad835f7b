"""Groups of orders that a start reads from the journal, taken in many at once. Pure.

Rows are in the table as soon as a group is taken; names, numbers and batches are with the next :meth:`flush`, before
which nobody asks for them. What comes later in the journal counts: an id that was used again after it was forgotten is
the newer order, whenever it is forgotten here.
"""

from bisect import bisect_left
from struct import Struct, error
from typing import Final

import numpy as np

from orderd.orders.batches import Batch, BatchLedger
from orderd.orders.checks import RECORD_DTYPE, Records
from orderd.orders.entries import BATCH, ORDERS, TEXT_ID, EntryError
from orderd.orders.ids import RUN_MIN, IdIndex, as_number
from orderd.orders.report_columns import Column
from orderd.orders.table import PAGE_SHIFT, OrderTable
from orderd.wire.records import RECORD_BYTES, TEXT_NUMBER, Kind

_LENGTH_AT: Final = TEXT_ID.size - 1


class BulkOrders:
    """Fills table, index of ids and ledger of batches, which are otherwise as the journal left them."""

    def __init__(self, table: OrderTable, ids: IdIndex, batches: BatchLedger) -> None:
        self._table = table
        self._ids = ids
        self._batches = batches
        self._first = table.end
        self._rows: list[int] = []
        self._texts: list[bytes] = []
        self._new_batches: list[Batch] = []
        self._layouts: dict[int, Struct] = {}

    def take(self, payload: bytes) -> int:
        """A group, as a record of kind ORDERS holds it; returns its first row.

        Raises :class:`~orderd.orders.entries.EntryError` for one that cannot have been journaled after the rest.
        """
        try:
            first, _, count, ids, batches = ORDERS.unpack_from(payload)
            if first != self._table.end:
                raise EntryError(f"order {first} follows {self._table.end - 1}")
            at = ORDERS.size + count * RECORD_BYTES
            records = payload[ORDERS.size : at]
            if len(records) != count * RECORD_BYTES:
                raise EntryError(f"group of orders from {first} on is cut short")
            self._table.append(records)
            if ids:
                at = self._take_ids(payload, at, first, count, ids, len(payload) if not batches else 0)
            for _ in range(batches):
                at = self._take_batch(payload, at, first, count)
        except (error, IndexError) as why:
            raise EntryError(f"group of orders: {why}") from None
        if at != len(payload):
            raise EntryError(f"group of orders from {first} on has {len(payload)} bytes instead of {at}")
        return int(first)

    def _take_ids(self, payload: bytes, at: int, first: int, count: int, ids: int, end: int) -> int:
        """``end`` is where they end, if that is known: they mostly have one length, and are read at once then."""
        length = payload[at + _LENGTH_AT]
        if end - at == ids * (TEXT_ID.size + length):
            layout = self._layouts.get(length)
            if layout is None:
                layout = self._layouts[length] = Struct(f"<IB{length}s")
            indexes, lengths, texts = zip(*layout.iter_unpack(payload[at:end]), strict=True)
            # As long as each is as long as the first one, the next one is where it was looked for.
            if lengths.count(length) == ids:
                self._note_ids(first, count, list(indexes), list(texts))
                return end
        found, names = [], []
        for _ in range(ids):
            index, length = TEXT_ID.unpack_from(payload, at)
            at += TEXT_ID.size
            found.append(index)
            names.append(payload[at : at + length])
            at += length
        self._note_ids(first, count, found, names)
        return at

    def _note_ids(self, first: int, count: int, indexes: list[int], texts: list[bytes]) -> None:
        if max(indexes) >= count:
            raise EntryError(f"group of orders from {first} on names a record that it does not have")
        self._rows += [first + index for index in indexes]
        self._texts += texts

    def _take_batch(self, payload: bytes, at: int, first: int, count: int) -> int:
        index, size, digest, length = BATCH.unpack_from(payload, at)
        at += BATCH.size
        before = self._new_batches[-1].end if self._new_batches else first
        if first + index < before or index + size > count or not size:
            raise EntryError(f"group of orders from {first} on has a batch that it does not hold")
        self._new_batches.append(Batch(payload[at : at + length], digest, first + index, size))
        return at + int(length)

    def flush(self) -> None:
        """Put the names and numbers of all that was taken since the last time into the index, and the batches."""
        first, end = self._first, self._table.end
        if first == end:
            return
        self._first = end
        records = np.frombuffer(self._table.records(first, end - first), RECORD_DTYPE)
        rows, texts, batches = self._rows, self._texts, self._new_batches
        self._rows, self._texts, self._new_batches = [], [], []
        alone = records["kind"] == Kind.NEW
        for batch in batches:
            alone[batch.first - first : batch.end - first] = False
        if rows:
            alone[np.array(rows) - first] = False
            self._set_ids(rows, texts)
        numbered = np.flatnonzero(alone)
        numbers, order_ids = records["number"][numbered].tolist(), (numbered + first).tolist()
        numeric = [i for i, text in enumerate(texts) if b"0" <= text < b":"]
        for i in numeric:
            number = as_number(texts[i])
            if number is not None:
                numbers.append(number)
                order_ids.append(rows[i])
        if numeric:
            by_row = sorted(range(len(numbers)), key=order_ids.__getitem__)
            numbers, order_ids = [numbers[i] for i in by_row], [order_ids[i] for i in by_row]
            numbers_of = {i for i in numeric if as_number(texts[i]) is not None}
            rows = [row for i, row in enumerate(rows) if i not in numbers_of]
            texts = [text for i, text in enumerate(texts) if i not in numbers_of]
        self._ids.add_texts(texts, rows)
        done = 0
        for batch, part in zip(batches, _parts(records, first, batches), strict=True):
            upto = bisect_left(order_ids, batch.first, done)
            self._ids.add_singles(numbers[done:upto], order_ids[done:upto])
            done = upto
            self._add_batch(batch, part)
        self._ids.add_singles(numbers[done:], order_ids[done:])

    def _set_ids(self, rows: list[int], texts: list[bytes]) -> None:
        if (np.diff(np.array(rows)) <= 0).any():
            for row, text in zip(rows, texts, strict=True):
                self._table.set_id(row, text)
            return
        start = 0
        while start < len(rows):
            page, row, _ = self._table.stretch(rows[start], rows[start] + 1)
            assert page is not None
            end = bisect_left(rows, ((rows[start] - 1 >> PAGE_SHIFT) + 1 << PAGE_SHIFT) + 1, start)
            page.set_ids([row + number - rows[start] for number in rows[start:end]], texts[start:end])
            start = end

    def _add_batch(self, batch: Batch, part: "_Part") -> None:
        numbers = part.numbers
        consecutive = part.consecutive
        if consecutive and self._ids.knows_any(numbers, consecutive=True) is not None:
            # An id that had just been forgotten was used again; here the reports that made it so come after. Singles
            # take the place of what is known.
            consecutive = False
        if consecutive and len(numbers) >= RUN_MIN:
            self._ids.add_numbers(numbers, batch.first, consecutive=True)
        else:
            self._ids.add_singles(numbers, part.order_ids)
        batch.extensions = part.extensions
        self._batches.add(batch)


class _Part:
    """What a batch names."""

    __slots__ = ("consecutive", "extensions", "numbers", "order_ids")

    def __init__(self, numbers: "list[int] | range", order_ids: "list[int] | range", extensions: int) -> None:
        self.numbers = numbers
        self.order_ids = order_ids
        self.consecutive = isinstance(numbers, range)
        """All its records are NEW, each number one more than the last."""
        self.extensions = extensions


def _parts(records: Records, first: int, batches: list[Batch]) -> list[_Part]:
    """What each batch names. Raises :class:`EntryError` for records that no batch holds."""
    if not batches:
        return []
    kind, number = records["kind"], records["number"]
    follows = np.zeros(len(records), np.bool_)
    follows[1:] = number[1:] - number[:-1] == 1
    follows &= kind == Kind.NEW
    breaks = _sums(~follows)
    wrong = _sums((kind < Kind.NEW) | (kind > Kind.EXTENSION) | ((kind == Kind.NEW) & (number >= TEXT_NUMBER)))
    extensions = _sums(kind == Kind.EXTENSION)
    found = []
    for batch in batches:
        start, end = batch.first - first, batch.end - first
        if wrong[end] != wrong[start]:
            raise EntryError(f"batch from order {batch.first} on: a record that no batch holds")
        if kind[start] == Kind.NEW and breaks[end] == breaks[start + 1]:
            lowest = int(number[start])
            found.append(_Part(range(lowest, lowest + batch.count), range(batch.first, batch.end), 0))
        else:
            at = np.flatnonzero(kind[start:end] == Kind.NEW) + start
            found.append(_Part(number[at].tolist(), (at + first).tolist(), int(extensions[end] - extensions[start])))
    return found


def _sums(flags: Column) -> Column:
    """How many are set before each place, and in all."""
    sums = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=sums[1:])
    return sums
