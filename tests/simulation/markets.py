"""What is traded in the simulation, and which orders its clients speak of. Pure."""

from typing import Final

import attrs

FIRST_NUMBER: Final = 1_000_000_000
"""Of ids that are numbers: ORDER.RESERVE never comes so far."""


@attrs.frozen
class Market:
    """An instrument, and where its orders are."""

    symbol: bytes
    id: int
    base: int
    """Its lowest price, in ticks."""
    ticks_decimals: int
    tick_units: int
    """A tick in units of its last decimal."""
    lot_decimals: int

    def price(self, ticks: int) -> bytes:
        """As text."""
        return _decimal(ticks * self.tick_units, self.ticks_decimals)

    def quantity(self, lots: int) -> bytes:
        """As text."""
        return _decimal(lots, self.lot_decimals)


def _decimal(value: int, decimals: int) -> bytes:
    if not decimals:
        return b"%d" % value
    whole, part = divmod(value, 10**decimals)
    return b"%d.%0*d" % (whole, decimals, part)


MARKETS: Final = (Market(b"AAPL", 1, 10_000, 2, 1, 0), Market(b"BTC", 2, 60_000, 1, 5, 3))
"""Those of tests/support/site.py."""


@attrs.frozen
class Known:
    """An order that somebody may speak of."""

    cl_ord_id: bytes
    market: Market
    number: int = 0
    """What records call it; 0 if they cannot."""
    price: bytes = b""
    """That it was placed with; empty if it had none."""
