"""The limits of each account, and what they come to in an instrument's whole lots and ticks. Pure.

A bound in money or quantity is an exact fraction; in lots, or in ticks times lots, it is the largest whole number that
is within. Nothing here is a float.
"""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import attrs

from orderd.runtime.instruments import Instrument

if TYPE_CHECKING:
    from orderd.orders.risk.rates import Repeats

NO_BOUND: Final = 1 << 256
"""Above every quantity, product and sum that can be."""
VALUE_DECIMALS: Final = 18
"""Values of positions are whole numbers of this many decimals: nine of a tick and nine of a lot at most."""


@attrs.frozen
class AccountLimits:
    """The limits of one account; 0 and None are off. The meaning of each is that of the setting with its name."""

    order_quantity_max: Fraction | None = None
    order_notional_max: Fraction | None = None
    price_band: Fraction | None = None
    """Share of the reference: 1/20 for 5%."""
    open_orders_max: int = 0
    position_max: Fraction | None = None
    gross_notional_max: Fraction | None = None
    orders_per_second: int = 0
    orders_burst: int = 0
    """Never 0 where ``orders_per_second`` is not."""
    repeats_max: int = 0
    repeats_window_ms: int = 0

    @property
    def is_off(self) -> bool:
        """Whether there is no limit at all."""
        return not any(
            (
                self.order_quantity_max,
                self.order_notional_max,
                self.price_band,
                self.open_orders_max,
                self.position_max,
                self.gross_notional_max,
                self.orders_per_second,
                self.repeats_max,
            )
        )


@attrs.frozen
class RiskLimits:
    """All of ``[risk]``."""

    default: AccountLimits = AccountLimits()
    accounts: Mapping[int, AccountLimits] = MappingProxyType({})
    references: Mapping[int, int] = MappingProxyType({})
    """Price to go by where nothing was traded yet, in ticks, by instrument."""

    def of(self, account: int) -> AccountLimits:
        return self.accounts.get(account, self.default)

    @property
    def is_off(self) -> bool:
        """Whether no account has any limit."""
        return self.default.is_off and all(limits.is_off for limits in self.accounts.values())


class Bounds:
    """The limits of one account in one instrument: lots, and ticks times lots; :data:`NO_BOUND` where there is none."""

    __slots__ = (
        "band_share", "band_whole", "counter", "gross", "is_off", "limits", "notional", "orders", "position",
        "quantity", "rate", "repeats",
    )  # fmt: skip

    def __init__(self, limits: AccountLimits, instrument: Instrument) -> None:
        lot, tick = Fraction(instrument.lot), Fraction(instrument.tick)
        self.limits = limits
        self.is_off = limits.is_off
        self.quantity = _whole(limits.order_quantity_max, lot)
        self.notional = _whole(limits.order_notional_max, lot * tick)
        self.position = _whole(limits.position_max, lot)
        self.gross = _whole(limits.gross_notional_max, Fraction(1, 10**VALUE_DECIMALS))
        self.orders = limits.open_orders_max or NO_BOUND
        band = limits.price_band
        self.band_share, self.band_whole = (0, 0) if band is None else (band.numerator, band.denominator)
        """A price may be off by this share of this whole; both are 0 where there is no band."""
        self.rate = limits.orders_per_second
        self.repeats = limits.repeats_max
        self.counter: Repeats | None = None
        """What counts repeats, once somebody asked."""


def _whole(bound: Fraction | None, step: Fraction) -> int:
    return NO_BOUND if bound is None else int(bound / step)


def value_unit(instrument: Instrument) -> int:
    """What one lot at a price of one tick is worth, in units of :data:`VALUE_DECIMALS` decimals."""
    value = Fraction(instrument.tick) * Fraction(instrument.lot) * 10**VALUE_DECIMALS
    assert value.denominator == 1, "ticks and lots have nine decimals at most"
    return int(value)


def shown(value: Fraction) -> str:
    """A decimal fraction as plain text."""
    sign, value = ("-", -value) if value < 0 else ("", value)
    units = value * 10**VALUE_DECIMALS
    whole, rest = divmod(int(units), 10**VALUE_DECIMALS)
    decimals = f"{rest:0{VALUE_DECIMALS}}".rstrip("0")
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
