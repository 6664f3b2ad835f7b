"""What the engine knows of an order and of the session that sent it.

Plain slotted classes, not attrs: one :class:`Order` is made for every NEW, so its construction is on the hot path.
What few orders have is in :class:`Extras`, which plain orders lack.

Invariants of an order that is live: ``open > 0``, ``leaves + filled <= VALUE_MAX``, and it stands under its number in
the table of its session. It is in a level of its book (:class:`engine.book.BookSide`): either it rests there, or it is
a stop order that waits for its trigger. Prices are ticks, quantities lots, times nanoseconds since 1970 UTC.
"""

import struct
from typing import TYPE_CHECKING, Final

from orderd.link.report_log import ReportLog
from orderd.wire.records import FLAG_SELL
from orderd.wire.reports import OrderStatus

if TYPE_CHECKING:
    from engine.extensions import Extension
    from engine.levels import Level

_CANONICAL: Final = struct.Struct("<QQQqQQIHB?")
_CANONICAL_EXTRAS: Final = struct.Struct("<Q?QQQ")

Fields = tuple[int, int, int, int, int, int, int]
"""A record's number, price, quantity, instrument, account, kind, flags."""

_REPLACED: Final = OrderStatus.REPLACED
_PARTIALLY_FILLED: Final = OrderStatus.PARTIALLY_FILLED
_NEW: Final = OrderStatus.NEW


class Session:
    """One orderd journal as the matcher sees it: its live orders and the log its reports go to.

    All of it is state that a snapshot holds.
    """

    __slots__ = ("extension", "id", "live", "reports", "stops")

    def __init__(self, session_id: int, reports: ReportLog) -> None:
        self.id = session_id
        self.live: dict[int, Order] = {}
        """Orders that rest or wait as stops, by number, in the order of their sequences (a replaced or triggered order
        keeps its place)."""
        self.stops = 0
        """How many of them wait as stops: not triggered yet."""
        self.extension: Extension | None = None
        """What the last record said of the order that the next one may bring."""
        self.reports = reports

    @property
    def reserved(self) -> int:
        """Reports that are still to come for live orders at least: one for the end of each, one for each trigger."""
        return len(self.live) + self.stops


class Extras:
    """What an order has that is not plain. 0 stands for what it lacks."""

    __slots__ = ("display", "expiry_ns", "hidden", "is_triggered", "trigger")

    def __init__(self, trigger: int = 0, display: int = 0, expiry_ns: int = 0) -> None:
        self.trigger = trigger
        """A stop order's, in ticks; it stays after the trigger was reached."""
        self.is_triggered = False
        """Of a stop order: it waits no more, and is the limit order that it would have been."""
        self.display = display
        """An iceberg's: the most that it shows at a time."""
        self.hidden = 0
        """Lots that are open and not shown. ``open`` of the order is what shows, 1 to ``display`` while any hide."""
        self.expiry_ns = expiry_ns
        """When a GTD order expires."""

    @property
    def waits(self) -> bool:
        """Whether it is a stop order that was not triggered."""
        return self.trigger > 0 and not self.is_triggered

    def canonical(self) -> bytes:
        """Its whole content in a fixed layout."""
        return _CANONICAL_EXTRAS.pack(self.trigger, self.is_triggered, self.display, self.hidden, self.expiry_ns)


class Order:
    """An accepted order, from its NEW until it is filled or cancelled."""

    __slots__ = (
        "account", "extras", "filled", "flags", "instrument", "level", "next", "number", "open", "prev", "price",
        "replaced", "sequence", "session",
    )  # fmt: skip

    level: "Level"
    """The level it rests or waits in; not set before it does, stale once it does not."""

    def __init__(
        self,
        session: Session,
        sequence: int,
        number: int,
        price: int,
        quantity: int,
        instrument: int,
        account: int,
        flags: int,
    ) -> None:
        self.session = session
        self.sequence = sequence
        self.number = number
        self.price = price
        self.open = quantity
        self.filled = 0
        self.instrument = instrument
        self.account = account
        self.flags = flags
        self.replaced = False
        self.extras: Extras | None = None
        self.prev: Order | None = None
        self.next: Order | None = None

    @property
    def sell(self) -> bool:
        """Side, from the flags of the record that brought it."""
        return bool(self.flags & FLAG_SELL)

    @property
    def leaves(self) -> int:
        """Lots that are open, shown and hidden."""
        extras = self.extras
        return self.open if extras is None else self.open + extras.hidden

    @property
    def waits(self) -> bool:
        """Whether it is a stop order that was not triggered."""
        extras = self.extras
        return extras is not None and extras.waits

    @property
    def status(self) -> OrderStatus:
        """Status while it is live, by FIX's precedence."""
        if self.filled:
            return _PARTIALLY_FILLED
        return _REPLACED if self.replaced else _NEW

    def canonical(self) -> bytes:
        """Its whole content in a fixed layout, for state hashes. Two equal orders give equal bytes in any process."""
        plain = _CANONICAL.pack(
            self.session.id, self.sequence, self.number, self.price, self.open, self.filled,
            self.instrument, self.account, self.flags, self.replaced,
        )  # fmt: skip
        return plain if self.extras is None else plain + self.extras.canonical()
