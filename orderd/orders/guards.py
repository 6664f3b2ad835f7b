"""Which open orders are cancelled when their client vanishes (FIX's Cancel On Disconnect). Pure.

A connection that asks for it has a *guard*: orders that it places meanwhile are in it. A guard ends once, either
*released* (its orders stay) or *withdrawn* (those that are open or not confirmed are cancelled). The journal knows
which rows are in which guard and which guards have ended, so that those that a kill of orderd cut short are withdrawn
at the next start (:mod:`orderd.orders.withdrawals`). The id of a guard is never used again: it holds the epoch.

A guard keeps runs of rows and no set of its open orders: what is done is found out from the order table. With each run
that is added two older ones are looked at, and those without a live order go; so there are never many more runs than
live orders.
"""

from collections import deque
from typing import Final

import attrs

from orderd.orders.table import OrderTable

RUN_ROWS: Final = 256
"""Rows of one run at most: what is looked at in one go."""
EPOCH_SHIFT: Final = 32


@attrs.frozen
class GuardMark:
    """How the journal's group records a run of its rows: ``index`` of the first of ``count``, and the guard's id."""

    index: int
    count: int
    guard: int


class Guard:
    """One guard: an id, and runs of rows that may hold live orders, in no order."""

    __slots__ = ("id", "last", "runs")

    def __init__(self, id_: int) -> None:
        self.id = id_
        self.runs: deque[tuple[int, int]] = deque()
        self.last = (0, 0)
        """The run that may still grow; it is none of the others."""

    @property
    def is_used(self) -> bool:
        """Whether orders were ever placed under it."""
        return self.last != (0, 0)


class Guards:
    """All guards that have orders and did not end; those that are to be withdrawn wait in :attr:`ending`."""

    def __init__(self, table: OrderTable) -> None:
        self.ending: deque[Guard] = deque()
        self._table = table
        self._by_id: dict[int, Guard] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_id)

    # --- start --------------------------------------------------------------------------------------------------------

    def restore(self, id_: int, first: int, count: int) -> None:
        """The journal says that rows are in a guard."""
        self.add(self._by_id.get(id_) or Guard(id_), first, first + count)

    def restore_end(self, id_: int) -> None:
        """The journal says that a guard ended."""
        self._by_id.pop(id_, None)

    def drop_done(self) -> None:
        """Drop the runs without a live order, which is not known while the journal is read."""
        for guard in self._by_id.values():
            live = [self._table.live_span(start, stop) for start, stop in guard.runs]
            guard.runs = deque(run for run in live if run is not None)

    def start(self, epoch: int) -> None:
        """The journal is read: guards of earlier starts are withdrawn, new ones belong to ``epoch``."""
        self._next = (epoch << EPOCH_SHIFT) + 1
        for guard in list(self._by_id.values()):
            self.withdraw(guard)

    # --- life ---------------------------------------------------------------------------------------------------------

    def begin(self) -> Guard:
        """A new one. It costs nothing until orders are placed under it."""
        guard = Guard(self._next)
        self._next += 1
        return guard

    def add(self, guard: Guard, first: int, end: int) -> None:
        """New rows from ``first`` to before ``end`` are in it."""
        self._by_id.setdefault(guard.id, guard)
        start, stop = guard.last
        while True:
            if first == stop and stop - start < RUN_ROWS:
                stop = first = min(end, start + RUN_ROWS)
            if first == end:
                break
            if stop:
                self._keep(guard, start, stop)
            start = stop = first
        guard.last = (start, stop)

    def _keep(self, guard: Guard, start: int, stop: int) -> None:
        guard.runs.append((start, stop))
        for _ in range(min(2, len(guard.runs))):
            old_start, old_stop = guard.runs.popleft()
            live = self._table.live_span(old_start, old_stop)
            if live is not None:
                guard.runs.append(live)

    def release(self, guard: Guard) -> bool:
        """It ends, and its orders stay; whether the journal must hear of it."""
        return self._by_id.pop(guard.id, None) is not None

    def withdraw(self, guard: Guard) -> bool:
        """It ends, and its live orders are to be cancelled; whether there is anything to do."""
        if self._by_id.pop(guard.id, None) is None:
            return False
        self.ending.append(guard)
        return True
