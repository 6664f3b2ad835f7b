"""What one connection may have under way, so that nobody's flood is everybody's. Pure.

All orders of a daemon travel in one sequence: whatever is unconfirmed goes before what comes next. So while others
trade (somebody else placed something within :data:`TRADES_S`), one connection may hold so many unconfirmed orders, and
as many cancels, as its *share* says, and never more than there is room left for others (the dynamic threshold of
Choudhury and Hahne, 1998): with any number of floods there is room for who comes next. Alone it may use all that there
is. A command of a connection that has nothing unconfirmed passes whatever its size, as long as there is room.

What a flood filled while it was alone is no matter to others: beyond ``orders_unconfirmed_max`` there is a sixteenth
more for those who are not alone, shared out in the same way, and another sixteenth for cancels.

The rate of a connection's orders is bounded by a token bucket that holds the orders of one second. A command larger
than that passes when the bucket is full, and is paid back.
"""

from collections import OrderedDict, deque
from math import inf
from typing import Final

import attrs

from orderd.orders.errors import Full, Throttled
from orderd.orders.guards import Guard

TRADES_S: Final = 10.0
"""Who placed something within this time trades."""
SPARE_SHARE: Final = 16
CANCELS_SPARE_MIN: Final = 64
"""Beyond ``orders_unconfirmed_max`` there is room for one cancel in so many orders, and for so many at least."""
AHEAD_MAX: Final = 256
"""Who has so much unconfirmed while others trade waits for its turn: enough to keep the engine busy."""
MODEST_SHARE: Final = 16
"""Who holds no more than this part of a share does not wait for the journal behind those who hold more."""


class Tally:
    """Unconfirmed records of one connection, as runs of rows."""

    __slots__ = ("_before", "_first", "_older", "end")

    def __init__(self) -> None:
        self._first = 0
        self.end = 0
        """Behind the last of its rows: to move it is to have more of them."""
        self._older: deque[tuple[int, int]] = deque()  # the runs before the one from _first on
        self._before = 0  # rows in them

    def add(self, first: int, end: int) -> None:
        """Rows from ``first`` to before ``end`` are its, too. Rows come ascending."""
        if first != self.end:
            if self.end:
                self._older.append((self._first, self.end))
                self._before += self.end - self._first
            self._first = first
        self.end = end

    def unconfirmed(self, confirmed_end: int) -> int:
        """How many of its rows are not below ``confirmed_end``."""
        older = self._older
        while older and older[0][0] < confirmed_end:
            first, end = older.popleft()
            self._before -= end - first
            if end > confirmed_end:
                older.appendleft((confirmed_end, end))
                self._before += end - confirmed_end
        return self._before + max(0, self.end - max(self._first, confirmed_end))


class Owner:
    """One connection as the order entry knows it: what it holds, and the guard that its orders are in."""

    __slots__ = ("cancels", "filled_at", "guard", "orders", "tokens")

    def __init__(self) -> None:
        self.orders = Tally()
        """Records that may trade."""
        self.cancels = Tally()
        self.guard: Guard | None = None
        self.tokens = inf
        self.filled_at = 0.0

    def unconfirmed(self, confirmed_end: int) -> int:
        """How many records of it are not below ``confirmed_end``."""
        return self.orders.unconfirmed(confirmed_end) + self.cancels.unconfirmed(confirmed_end)


@attrs.frozen
class ShareSettings:
    """The meaning of each is that of the setting with its name."""

    client_share_percent: int = 25
    client_orders_per_second: int = 0


class Shares:
    """Of ``unconfirmed_max`` records."""

    def __init__(self, unconfirmed_max: int, settings: ShareSettings) -> None:
        self.throttled = 0
        """Commands that were refused since the start of the process."""
        self._max = unconfirmed_max
        self._spare = unconfirmed_max // SPARE_SHARE
        self.cancels_spare = max(CANCELS_SPARE_MIN, unconfirmed_max // SPARE_SHARE)
        """So many cancels pass when nothing else does."""
        self._latest: Owner | None = None
        self._latest_at = -inf
        self._others_at = -inf
        """When anybody but the latest placed something."""
        self._gone: OrderedDict[int, Owner] = OrderedDict()  # by process
        self.apply(settings)

    def apply(self, settings: ShareSettings) -> None:
        """Other settings, from now on."""
        self._settings = settings
        self._share = max(1, self._max * settings.client_share_percent // 100)
        self._rate = settings.client_orders_per_second

    # --- connections --------------------------------------------------------------------------------------------------

    def join(self, pid: int) -> Owner:
        """A connection of process ``pid``. It takes over what one that left has under way: leaving is no way out.

        0 is a process of another pid namespace (unix(7)), which may be anybody.
        """
        return self._gone.pop(pid, None) or Owner()

    def leave(self, pid: int, owner: Owner, confirmed_end: int) -> None:
        """A connection ended."""
        gone = self._gone
        while gone and not next(iter(gone.values())).unconfirmed(confirmed_end):
            gone.popitem(last=False)
        if pid and owner.unconfirmed(confirmed_end) and pid not in gone:
            gone[pid] = owner
        owner.guard = None

    # --- bounds -------------------------------------------------------------------------------------------------------

    def is_ahead(self, owner: Owner, confirmed_end: int, now: float) -> bool:
        """Whether others trade and so much of this connection goes before them that its next command waits."""
        if not self.others_trade(owner, now) or self._settings.client_share_percent == 100:
            return False
        return owner.unconfirmed(confirmed_end) >= AHEAD_MAX

    def check(
        self, owner: Owner | None, records: int, orders: int, unconfirmed: int, confirmed_end: int, now: float
    ) -> bool:
        """Whether ``records`` more are few, once they may be taken; ``orders`` of them count for the rate.

        0 orders: they are cancels. ``unconfirmed`` are all that are so. Raises :class:`Full` or :class:`Throttled`.
        """
        bound = self._max if orders else self._max + self.cancels_spare
        if owner is None or not self.others_trade(owner, now):
            if unconfirmed + records > bound:
                raise self._full(unconfirmed)
            few = False
        else:
            bound += self._spare
            if unconfirmed + records > bound:
                raise self._full(unconfirmed)
            held = (owner.orders if orders else owner.cancels).unconfirmed(confirmed_end)
            few = held + records <= self._share // MODEST_SHARE
            allowed = min(self._share, bound - unconfirmed)
            if self._settings.client_share_percent < 100 and held and held + records > allowed:
                self.throttled += 1
                what = "orders" if orders else "cancels"
                raise Throttled(
                    f"client_share_percent {self._settings.client_share_percent} is reached: {held} {what} of this "
                    f"connection are unconfirmed, at most {allowed} while others trade"
                )
        if self._rate and orders and owner is not None:
            self._check_rate(owner, orders, now)
        return few

    def take(self, owner: Owner, first: int, end: int, orders: int, now: float) -> None:
        """Rows from ``first`` to before ``end`` were taken in, as :meth:`check` said they may be."""
        tally = owner.orders if orders else owner.cancels
        if first == tally.end:
            tally.end = end
        else:
            tally.add(first, end)
        if self._latest is not owner:
            self._others_at, self._latest = self._latest_at, owner
        self._latest_at = now
        if self._rate and orders:
            owner.tokens -= orders

    def _full(self, unconfirmed: int) -> Full:
        return Full(f"orders_unconfirmed_max is reached: {unconfirmed} of {self._max}")

    def _check_rate(self, owner: Owner, orders: int, now: float) -> None:
        rate = self._rate
        owner.tokens = min(rate, owner.tokens + (now - owner.filled_at) * rate)
        owner.filled_at = now
        if owner.tokens < min(orders, rate):
            self.throttled += 1
            wait_ms = int((min(orders, rate) - owner.tokens) * 1000 / rate) + 1
            raise Throttled(f"client_orders_per_second {rate} is reached: there is room in {wait_ms} ms")

    def others_trade(self, owner: Owner, now: float) -> bool:
        """Whether anybody but ``owner`` placed something lately."""
        at = self._others_at if self._latest is owner else self._latest_at
        return now - at <= TRADES_S
