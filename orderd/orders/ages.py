"""How long orders may wait to be sent (``MAXAGE``). Pure.

An order that was not sent in time goes as a VOID: its record with another kind, which uses its sequence up and does
nothing. That is decided when its record is first asked for, since within an epoch a sequence has one content from its
first send on; so once an order was sent, it never expires here.

The link asks for sequences in ascending order, and again only for those that it asked for before. After a start it
begins with the first that the engine has not executed, and the engine has forgotten what it held beyond: so whatever is
asked for may be decided anew, and what is passed over is the engine's already.

Within a process age is told by the monotonic clock; for an order of an earlier one, by the wall clock.
"""

from collections import deque
from math import inf
from typing import Final

import attrs

from orderd.wire.records import KIND_OFFSET, RECORD_BYTES, Kind

MAXAGE_MS_MAX: Final = 86_400_000


@attrs.frozen
class AgeMark:
    """How the journal's group records an order with a bound: its ``index`` there, the bound, and its intake."""

    index: int
    maxage_ms: int
    intake_time_ns: int


@attrs.frozen
class _Bound:
    row: int
    expires: float
    """Monotonic, in seconds; infinite for an order of an earlier process."""
    expires_ns: int
    """Since 1970 UTC; 0 for an order of this process."""

    def is_over(self, now: float, now_ns: int) -> bool:
        return now_ns > self.expires_ns if self.expires_ns else now > self.expires


class Ages:
    """Orders with a bound, from their intake until their sequence is confirmed."""

    def __init__(self) -> None:
        self._undecided: deque[_Bound] = deque()
        self._void: set[int] = set()
        self._void_in_order: deque[int] = deque()

    def add(self, row: int, maxage_ms: int, now: float) -> None:
        """An order that was taken in now. Rows come ascending."""
        self._undecided.append(_Bound(row, now + maxage_ms / 1000, 0))

    def restore(self, row: int, mark: AgeMark) -> None:
        """An order of an earlier process."""
        self._undecided.append(_Bound(row, inf, mark.intake_time_ns + mark.maxage_ms * 1_000_000))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to decide and nothing that was decided."""
        return not self._undecided and not self._void

    def outgoing(self, records: bytes, first: int, now: float, now_ns: int) -> bytes:
        """``records``, with those that go for the first time too late as VOIDs, and those that went so before."""
        end = first + len(records) // RECORD_BYTES
        undecided = self._undecided
        while undecided and undecided[0].row < end:
            bound = undecided.popleft()
            if bound.row >= first and bound.is_over(now, now_ns):
                self._void.add(bound.row)
                self._void_in_order.append(bound.row)
        if not self._void:
            return records
        out = bytearray(records)
        for row in self._void.intersection(range(first, end)):
            out[(row - first) * RECORD_BYTES + KIND_OFFSET] = Kind.VOID
        return bytes(out)

    def confirm(self, end: int) -> None:
        """Rows below ``end`` are confirmed: nobody asks for them any more."""
        while self._undecided and self._undecided[0].row < end:
            self._undecided.popleft()
        while self._void_in_order and self._void_in_order[0] < end:
            self._void.discard(self._void_in_order.popleft())
