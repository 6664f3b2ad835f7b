"""An account, its position in one instrument, and an order as a replace finds it: what is counted, not how. Pure."""

from typing import Final

import attrs

from orderd.wire.records import RECORD, RECORD_BYTES, Attribute, Kind

INSTRUMENT_BITS: Final = 32

_OPEN: Final = int(Kind.REPLACE_OPEN)


class Account:
    """What the positions of one account have in common."""

    __slots__ = ("changed", "held", "number", "orders", "prices_seen", "spent_ns", "value")

    def __init__(self, number: int) -> None:
        self.number = number
        self.orders = 0
        """Open orders."""
        self.held: dict[int, Position] = {}
        """Its positions by instrument."""
        self.changed: dict[int, Position] = {}
        """Those whose value is not up to date."""
        self.value = 0
        """Sum of the values of its positions; :mod:`orderd.orders.risk.values` keeps it."""
        self.prices_seen = 0
        self.spent_ns = 0
        """Its bucket of orders is full again at this time (:mod:`orderd.orders.risk.rates`)."""


class Position:
    """One account in one instrument; quantities in lots."""

    __slots__ = ("account", "instrument", "is_changed", "net", "open", "orders", "unit", "value")

    def __init__(self, account: Account, instrument: int) -> None:
        self.account = account
        self.instrument = instrument
        self.net = 0
        """Bought less sold."""
        self.open = [0, 0]
        """Open quantity by :class:`~orderd.wire.records.Side`."""
        self.orders = 0
        self.value = 0
        """As it is contained in the account's."""
        self.unit = 0
        """What one lot at a price of one tick is worth; 0 as long as nobody asked."""
        self.is_changed = False

    def after(self, side: int) -> int:
        """The position towards ``side`` once all open orders of that side are filled: bought, or sold, on balance."""
        return (self.net if side == 0 else -self.net) + self.open[side]

    @property
    def worst(self) -> int:
        """The largest size that the position can come to by the orders that are open."""
        # Of both ends one may be on the other side of zero, but then it is nearer to it.
        return max(self.net + self.open[0], self.open[1] - self.net)

    @property
    def is_empty(self) -> bool:
        return not self.net and not self.orders and not self.open[0] and not self.open[1]

    def changes(self) -> None:
        """Its size is another one from now on."""
        if not self.is_changed:
            self.is_changed = True
            self.account.changed[self.instrument] = self


@attrs.frozen
class OrderNow:
    """An order as a replace finds it: ``counted`` is what of it is open here, ``open`` without unanswered replaces."""

    account: int
    instrument: int
    side: int
    price: int
    trigger: int
    """Of a stop order that waits; else 0."""
    filled: int
    open: int
    counted: int

    def left_by(self, kind: int, quantity: int) -> int:
        """What a replace of that kind to ``quantity`` would leave open."""
        return quantity if kind == _OPEN else max(quantity - self.filled, 0)


def trigger_of(extensions: bytes) -> int:
    """The trigger price that an order's unnumbered extensions say, in ticks; 0 if they do not."""
    # The attributes ascend, and this is the first.
    if extensions and extensions[RECORD_BYTES - 1] == Attribute.TRIGGER:
        price: int = RECORD.unpack_from(extensions)[1]
        return price
    return 0


def key_of(account: int, instrument: int) -> int:
    """Key of a position."""
    return account << INSTRUMENT_BITS | instrument
