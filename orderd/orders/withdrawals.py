"""Cancels for the open orders of guards that ended with their client. Pure.

Done in pieces of well below a millisecond each. A cancel is a record like any other, behind the order that it is about,
so it finds that order however far it has come. The end of the guard is journaled in the same commit as its last cancels
and behind them: a crash before leaves a guard that has not ended, and the next start goes on. It does not cancel again
what has a cancel under way.

Cancels go as far as there is room and wait for more; half of what is reserved for cancels stays free for clients that
are there. Not more than :data:`UNDER_WAY_MAX` are under way at a time, since other clients' orders stand behind them;
at a start, when there are no other clients, all that there is room for go at once.
"""

from collections import deque
from collections.abc import Generator, Iterator
from typing import Final

from orderd.orders.guards import RUN_ROWS, Guard, Guards
from orderd.orders.order_entry import OrderEntry
from orderd.orders.outcomes import Outcomes
from orderd.orders.staging import Staging
from orderd.orders.table import OrderTable, unpack
from orderd.wire.records import KIND_OFFSET, RECORD, RECORD_BYTES, Kind

UNDER_WAY_MAX: Final = 16_384
RUNS_AT_ONCE: Final = 64

_Steps = Generator[bool, None, None]
"""Yields whether there is room to go on at once."""
_Asked = dict[tuple[int, int], int]


class Withdrawals:
    """One guard after the other. The parts are the desk's, and belong to it."""

    def __init__(
        self, guards: Guards, table: OrderTable, outcomes: Outcomes, entry: OrderEntry, staging: Staging
    ) -> None:
        self.cancelled = 0
        """Cancels that were staged since the start of the process."""
        self.withdrawn = 0
        """Guards that ended so."""
        self._guards = guards
        self._table = table
        self._outcomes = outcomes
        self._entry = entry
        self._staging = staging
        self._under_way: deque[tuple[int, int]] = deque()  # (end of rows, how many)
        self._under_way_count = 0
        self._under_way_max = UNDER_WAY_MAX
        self._now = (0.0, 0)
        self._steps: _Steps | None = None

    @property
    def is_idle(self) -> bool:
        """Whether all guards that ended are dealt with."""
        return self._steps is None and not self._guards.ending

    def step(self, now: float, now_ns: int) -> bool:
        """Do a piece; whether there is more that can be done at once. If not, ask again when something was confirmed.

        ``now`` is on the clock of intake, in seconds; ``now_ns`` since 1970 UTC.
        """
        self._now = now, now_ns
        if self._steps is None:
            if not self._guards.ending:
                return False
            self._steps = self._withdraw(self._guards.ending.popleft())
        for may_go_on in self._steps:
            return may_go_on
        self._steps = None
        return bool(self._guards.ending)

    def run_at_start(self, now: float, now_ns: int) -> None:
        """All that there is room for, in one go: nobody waits yet."""
        self._under_way_max = self._table.end
        while self.step(now, now_ns):
            pass
        self._under_way_max = UNDER_WAY_MAX

    def _withdraw(self, guard: Guard) -> _Steps:
        asked = yield from self._asked_already()
        for piece in self._pieces(guard):
            left = piece
            while left:
                room = max(0, self._room())
                self._stage([record for row in left[:room] if (record := self._cancel_of(row, asked)) is not None])
                left = left[room:]
                if left:
                    yield False
                    left = [row for row in left if self._table.live_orders(row, row + 1)]
            yield True
        while self._staging.is_held:
            yield False
        self._staging.add_guard_end(guard.id)
        self.withdrawn += 1

    def _pieces(self, guard: Guard) -> Iterator[list[int]]:
        """Its live orders, as many at a time as there is time for."""
        rows: list[int] = []
        for index, (first, end) in enumerate((*guard.runs, guard.last)):
            rows += self._table.live_orders(first, end)
            if len(rows) >= RUN_ROWS or index % RUNS_AT_ONCE == 0:
                yield rows
                rows = []
        yield rows

    def _asked_already(self) -> Generator[bool, None, _Asked]:
        """The last row that cancels it, by number and instrument, of all cancels that are not confirmed.

        One that names another instrument than its order is rejected, and cancels nothing.
        """
        asked: _Asked = {}
        first, end = self._outcomes.confirmed_end, self._table.end
        for page, a, b in self._table.spans(first, end):
            kinds = page.records[a * RECORD_BYTES + KIND_OFFSET : b * RECORD_BYTES : RECORD_BYTES]
            at = kinds.find(Kind.CANCEL)
            while at >= 0:
                number, _, _, instrument, _, _, _ = unpack(page, a + at)
                asked[number, instrument] = first + at
                at = kinds.find(Kind.CANCEL, at + 1)
            first += b - a
            yield True
        return asked

    def _cancel_of(self, row: int, asked: _Asked) -> bytes | None:
        place = self._table.locate(row)
        if place is None:
            return None
        number, _, _, instrument, _, _, _ = unpack(*place)
        if asked and asked.get((number, instrument), 0) > row:
            return None
        return RECORD.pack(number, 0, 0, instrument, 0, Kind.CANCEL, 0)

    def _room(self) -> int:
        if self._staging.is_held:
            return 0
        while self._under_way and self._under_way[0][0] <= self._outcomes.confirmed_end:
            self._under_way_count -= self._under_way.popleft()[1]
        return min(self._entry.room_to_withdraw(), self._under_way_max - self._under_way_count)

    def _stage(self, records: list[bytes]) -> None:
        if not records:
            return
        self._entry.withdraw(b"".join(records), *self._now)
        self._under_way.append((self._table.end, len(records)))
        self._under_way_count += len(records)
        self.cancelled += len(records)
