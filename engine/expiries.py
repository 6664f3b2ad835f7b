"""When orders expire: GTD orders at their time (FIX tag 126, ExpireTime), DAY orders when the day ends. Pure.

GTD orders stand in a heap by expiry. Most are done before; an order that is done stays in the heap until it is looked
at. Two orders of the older heap are looked at for each that comes: the live ones move to the younger heap, and when
the older one is empty, the younger takes its place. So what is done never is much more than what is live, and nothing
ever takes long.
"""

from collections import deque
from collections.abc import Generator
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from engine.levels import remove
from engine.orders import Order, Session
from engine.outcomes import tell_expired
from orderd.wire.records import TIF_MASK, TIF_SHIFT, TimeInForce
from orderd.wire.reports import Reason

SCAN_STEP: Final = 4096
"""Orders that are looked at between two yields: well below a millisecond."""
EXPIRE_STEP: Final = 128
"""Orders that expire between two yields: well below a millisecond, in a large heap too."""
_MOVED_PER_ADD: Final = 2
_SKIPPED_MAX: Final = 64

_DAY: Final = TimeInForce.DAY << TIF_SHIFT

Entry = tuple[int, int, int, Order]
"""Expiry, session id, sequence: the order in which orders expire; and the order."""


class Expiries:
    """GTD orders by their time. All of it follows from the live orders: no state of its own for a snapshot."""

    def __init__(self) -> None:
        self._older: list[Entry] = []
        self._younger: list[Entry] = []

    def __len__(self) -> int:
        """Orders that it knows, done ones among them."""
        return len(self._older) + len(self._younger)

    def add(self, order: Order, expiry_ns: int) -> None:
        """An order that is about to be live; no order twice."""
        heappush(self._younger, (expiry_ns, order.session.id, order.sequence, order))
        for _ in range(_MOVED_PER_ADD):
            if not self._older:
                self._older, self._younger = self._younger, self._older
                return
            # Without its last entry a heap is a heap.
            entry = self._older.pop()
            if is_live(entry[3]):
                heappush(self._younger, entry)

    @property
    def next_ns(self) -> int | None:
        """The first expiry, None without any order. After many orders that are done, that of one of these."""
        for _ in range(_SKIPPED_MAX):
            heap = self._first()
            if not heap:
                return None
            if is_live(heap[0][3]):
                break
            heappop(heap)
        else:
            heap = self._first()
        return heap[0][0] if heap else None

    def pop(self, time_ns: int) -> Order | None:
        """Take out the first order if its time is at or before ``time_ns``. It may be done."""
        heap = self._first()
        if not heap or heap[0][0] > time_ns:
            return None
        return heappop(heap)[3]

    def orders(self) -> set[Order]:
        """All live orders that it knows."""
        return {entry[3] for heap in (self._older, self._younger) for entry in heap if is_live(entry[3])}

    def _first(self) -> list[Entry]:
        """The heap that has the first entry; an empty one if both are."""
        older, younger = self._older, self._younger
        return younger if not older or (younger and younger[0] < older[0]) else older


def is_live(order: Order) -> bool:
    """Whether an order rests or waits."""
    return order.session.live.get(order.number) is order


def expire(order: Order, reason: Reason, time_ns: int) -> None:
    """The time of a live order has come."""
    remove(order)
    del order.session.live[order.number]
    tell_expired(order, reason, time_ns)


def expire_day_orders(session: Session, time_ns: int) -> Generator[None, None, int]:
    """The day ends for the orders of a session, by sequence; in steps. Returns how many there were."""
    found: deque[Order] = deque()
    orders = iter(session.live.values())
    while some := list(islice(orders, SCAN_STEP)):
        found += [order for order in some if order.flags & TIF_MASK == _DAY]
        if len(some) == SCAN_STEP:
            yield
    done = 0
    while found:
        # Taken out, since to free all of them at the end would take long.
        expire(found.popleft(), Reason.DAY_END, time_ns)
        done += 1
        if done % EXPIRE_STEP == 0:
            yield
    return done
