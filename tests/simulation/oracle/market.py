"""Prices and quantities as text, by the oracle's own arithmetic: integers, and nothing of the code under test."""

from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

import attrs

from tests.support.site import INSTRUMENTS

AVERAGE_DECIMALS: Final = 4


@attrs.frozen
class Market:
    """An instrument: how its ticks and lots read."""

    id: int
    symbol: str
    tick_units: int
    tick_decimals: int
    lot_units: int
    lot_decimals: int

    def price(self, ticks: int) -> str:
        """Ticks as text."""
        return _shown(ticks * self.tick_units, self.tick_decimals)

    def quantity(self, lots: int) -> str:
        """Lots as text."""
        return _shown(lots * self.lot_units, self.lot_decimals)

    def average(self, notional: int, lots: int) -> str:
        """The average price of fills: ``notional`` is the sum of ticks times lots. Half to even."""
        if not lots:
            return "0"
        exact = Fraction(notional * self.tick_units * 10**AVERAGE_DECIMALS, lots)
        return _shown(round(exact), self.tick_decimals + AVERAGE_DECIMALS)

    def price_value(self, ticks: int) -> Decimal:
        """Ticks as a number."""
        return Decimal(ticks * self.tick_units).scaleb(-self.tick_decimals)

    def quantity_value(self, lots: int) -> Decimal:
        """Lots as a number."""
        return Decimal(lots * self.lot_units).scaleb(-self.lot_decimals)

    def ticks(self, text: bytes) -> int:
        """Raises ValueError for what is no whole number of ticks above zero."""
        return _steps(text, self.tick_units, self.tick_decimals)

    def lots(self, text: bytes) -> int:
        """Raises ValueError for what is no whole number of lots above zero."""
        return _steps(text, self.lot_units, self.lot_decimals)


def number(text: bytes) -> Decimal:
    """A plain decimal. Raises ValueError."""
    whole, point, fraction = text.partition(b".")
    if not whole.isdigit() or (point and not fraction.isdigit()):
        raise ValueError(text)
    return Decimal(text.decode("ascii"))


def _steps(text: bytes, units: int, decimals: int) -> int:
    steps = number(text).scaleb(decimals) / units
    if steps != steps.to_integral_value() or not 0 < steps < 2**63:
        raise ValueError(text)
    return int(steps)


def _shown(value: int, decimals: int) -> str:
    sign, value = ("-", -value) if value < 0 else ("", value)
    if not decimals:
        return f"{sign}{value}"
    whole, part = divmod(value, 10**decimals)
    return f"{sign}{whole}.{part:0{decimals}}"


def _market(instrument: Any) -> Market:
    def step(text: str) -> tuple[int, int]:
        whole, _, fraction = text.partition(".")
        return int(whole + fraction), len(fraction)

    return Market(instrument.id, instrument.symbol, *step(instrument.tick), *step(instrument.lot))


BY_ID: Final = {instrument.id: _market(instrument) for instrument in INSTRUMENTS}
BY_SYMBOL: Final = {market.symbol.encode(): market for market in BY_ID.values()}
