"""From a client's order id to orderd's.

A text id that is a canonical decimal below 2**63 and the number of a batch record are the same thing. Numbers of a
batch that follow each other without a gap are kept as one run, whatever the batch's size; all others one by one.

The index may hold ids of rows that were forgotten (runs are dropped whole): who looks up asks the table whether it
remembers.
"""

import re
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Final

from orderd.orders.checks import CheckedBatch
from orderd.wire.records import TEXT_NUMBER

RUN_MIN: Final = 16
"""Fewer numbers are kept one by one."""
_ID: Final = re.compile(rb"[!-~]{1,64}")
_DECIMAL: Final = re.compile(rb"0|[1-9][0-9]{0,18}")


def is_valid(text: bytes) -> bool:
    """1 to 64 printable ASCII characters without space."""
    return _ID.fullmatch(text) is not None


def as_number(text: bytes) -> int | None:
    """The number that a text id is, if it is one."""
    if not text[0:1].isdigit() or not _DECIMAL.fullmatch(text):
        return None
    number = int(text)
    return number if number < TEXT_NUMBER else None


class IdIndex:
    """``remembers(order_id)`` tells whether a row is still there."""

    def __init__(self, remembers: Callable[[int], bool]) -> None:
        self._remembers = remembers
        self._texts: dict[bytes, int] = {}
        self._numbers: dict[int, int] = {}
        self._runs: list[tuple[int, int, int]] = []  # first number, count, first order id; ascending, never overlapping
        self._dropping: dict[tuple[int, int, int], int] = {}  # runs to be dropped, and how many rows were gone through
        self._dropped: set[tuple[int, int, int]] = set()  # those that were gone through

    def find(self, text: bytes) -> int | None:
        """Order id of the row with this text id or number."""
        number = as_number(text)
        if number is not None:
            return self.find_number(number)
        return self._texts.get(text)

    def find_number(self, number: int) -> int | None:
        """Order id of the row with this number, below 2**63."""
        order_id = self._numbers.get(number)
        if order_id is None and self._runs:
            at = bisect_right(self._runs, (number, TEXT_NUMBER, 0)) - 1
            if at >= 0:
                first, count, first_id = self._runs[at]
                if number < first + count and self._remembers(first_id + number - first):
                    return first_id + number - first
        return order_id

    def add(self, text: bytes, order_id: int) -> None:
        """A text id, which must not be known."""
        number = as_number(text)
        if number is None:
            self._texts[text] = order_id
        else:
            self._numbers[number] = order_id

    def add_texts(self, texts: Sequence[bytes], order_ids: Sequence[int]) -> None:
        """Text ids that are no numbers. One that is known stands for the newer row from now on."""
        self._texts.update(zip(texts, order_ids, strict=True))

    def add_singles(self, numbers: Sequence[int], order_ids: Sequence[int]) -> None:
        """Numbers that are no run. One that is known stands for the newer row from now on."""
        self._numbers.update(zip(numbers, order_ids, strict=True))

    def knows_any(self, numbers: Sequence[int], *, consecutive: bool) -> int | None:
        """Index in ``numbers`` of the first that is known; None if none is."""
        singles = self._numbers
        if singles and not singles.keys().isdisjoint(numbers):
            return next(i for i, number in enumerate(numbers) if self.find_number(number) is not None)
        if not self._runs:
            return None
        lowest = numbers[0] if consecutive else min(numbers)
        if not self._overlapping(lowest, (numbers[-1] if consecutive else max(numbers)) - lowest + 1):
            return None
        return next((i for i, number in enumerate(numbers) if self.find_number(number) is not None), None)

    def add_numbers(self, numbers: Sequence[int], first_id: int, *, consecutive: bool) -> None:
        """Numbers of a batch, none of them known, for rows from ``first_id`` on."""
        if not consecutive or len(numbers) < RUN_MIN:
            self._numbers.update(zip(numbers, range(first_id, first_id + len(numbers)), strict=True))
            return
        for run in self._overlapping(numbers[0], len(numbers)):
            self._break_up(run)
        insort(self._runs, (numbers[0], len(numbers), first_id))

    def add_batch(self, checked: CheckedBatch, first_id: int) -> None:
        """The numbers of a batch's NEW records, none of them known; its rows are from ``first_id`` on."""
        if checked.indexes is None:
            self.add_numbers(checked.numbers, first_id, consecutive=checked.consecutive)
        else:
            self._numbers.update(zip(checked.numbers, map(first_id.__add__, checked.indexes), strict=True))

    def forget(self, order_id: int, number: int, text: bytes | None) -> None:
        """A row is forgotten: ``text`` is its text id if it has one, else ``number`` is its number."""
        if text is not None and (decimal := as_number(text)) is None:
            if self._texts.get(text) == order_id:
                del self._texts[text]
            return
        key = number if text is None else decimal
        assert key is not None
        if self._numbers.get(key) == order_id:
            del self._numbers[key]

    def drop_runs(self, base: int) -> None:
        """Drop the runs that end below ``base``; the rows of them that are remembered are kept one by one.

        That is done by :meth:`drop_some`: a run is there until it is gone through.
        """
        for run in self._runs:
            if run[2] + run[1] <= base and run not in self._dropped:
                self._dropping.setdefault(run, 0)

    def drop_some(self, rows: int) -> None:
        """Go through up to so many rows of the runs that are to be dropped: a thousand take a quarter millisecond."""
        if not self._dropping:
            return
        while rows > 0 and self._dropping:
            run, done = next(iter(self._dropping.items()))
            end = min(done + rows, run[1])
            self._scatter(run, done, end)
            rows -= end - done
            if end < run[1]:
                self._dropping[run] = end
            else:
                del self._dropping[run]
                self._dropped.add(run)
        if not self._dropping:
            self._runs = [run for run in self._runs if run not in self._dropped]
            self._dropped.clear()

    def _overlapping(self, first: int, count: int) -> list[tuple[int, int, int]]:
        at = max(0, bisect_right(self._runs, (first, TEXT_NUMBER, 0)) - 1)
        found = []
        while at < len(self._runs) and self._runs[at][0] < first + count:
            if self._runs[at][0] + self._runs[at][1] > first:
                found.append(self._runs[at])
            at += 1
        return found

    def _break_up(self, run: tuple[int, int, int]) -> None:
        self._runs.remove(run)
        self._dropping.pop(run, None)
        self._scatter(run, 0, run[1])

    def _scatter(self, run: tuple[int, int, int], start: int, end: int) -> None:
        first, _, first_id = run
        for i in range(start, end):
            if self._remembers(first_id + i):
                # A start may not have come to forget the older one of two rows with the same number.
                self._numbers[first + i] = max(first_id + i, self._numbers.get(first + i, 0))
