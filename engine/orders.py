"""What the engine knows of an order and of the session that sent it.

Plain slotted classes, not attrs: one :class:`Order` is made for every NEW, so its construction is on the hot path.

Invariants of an order that rests: ``open > 0``, ``open + filled <= VALUE_MAX``, and it stands under its number in the
table of its session. Prices are ticks, quantities lots.
"""

import struct
from typing import TYPE_CHECKING, Final

from orderd.link.report_log import ReportLog
from orderd.wire.records import FLAG_SELL
from orderd.wire.reports import OrderStatus

if TYPE_CHECKING:
    from engine.book import Level

_CANONICAL: Final = struct.Struct("<QQQqQQIHB?")

_REPLACED: Final = OrderStatus.REPLACED
_PARTIALLY_FILLED: Final = OrderStatus.PARTIALLY_FILLED
_NEW: Final = OrderStatus.NEW


class Session:
    """One orderd journal as the matcher sees it: its resting orders and the log its reports go to."""

    __slots__ = ("id", "live", "reports")

    def __init__(self, session_id: int, reports: ReportLog) -> None:
        self.id = session_id
        self.live: dict[int, Order] = {}
        """Resting orders by number, in the order of their sequences (a replaced order keeps its place)."""
        self.reports = reports


class Order:
    """An accepted order, from its NEW until it is filled or cancelled."""

    __slots__ = (
        "account", "filled", "flags", "instrument", "level", "next", "number", "open", "prev", "price", "replaced",
        "sequence", "session",
    )  # fmt: skip

    level: "Level"
    """The price level it rests in; not set before it rests, stale once it does not."""

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
        self.prev: Order | None = None
        self.next: Order | None = None

    @property
    def sell(self) -> bool:
        """Side, from the flags of the record that brought it."""
        return bool(self.flags & FLAG_SELL)

    @property
    def status(self) -> OrderStatus:
        """Status while it is live, by FIX's precedence."""
        if self.filled:
            return _PARTIALLY_FILLED
        return _REPLACED if self.replaced else _NEW

    def canonical(self) -> bytes:
        """Its whole content in a fixed layout, for state hashes. Two equal orders give equal bytes in any process."""
        return _CANONICAL.pack(
            self.session.id, self.sequence, self.number, self.price, self.open, self.filled,
            self.instrument, self.account, self.flags, self.replaced,
        )  # fmt: skip
