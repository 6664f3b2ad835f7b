"""What a client reads whose order a limit refuses: the limit, the value that it would have led to, the bound. Pure."""

from fractions import Fraction

from orderd.orders.errors import Limit
from orderd.orders.risk.holdings import Position
from orderd.orders.risk.limits import VALUE_DECIMALS, AccountLimits, Bounds, shown
from orderd.runtime.instruments import InstrumentTable


class Refusals:
    """Makes the errors; who raises them has found out that they are true."""

    def __init__(self, instruments: InstrumentTable) -> None:
        self._instruments = instruments

    def no_price(self, name: str, instrument: int, account: int) -> Limit:
        """A limit by value needs a price, and there is none."""
        symbol = self._instruments.by_id[instrument].symbol
        return Limit(f"{name} needs a price: {symbol} has no last trade and no reference, account {account}")

    def repeated(self, limits: AccountLimits, account: int, instrument: int, count: int) -> Limit:
        """So many equal orders are too many."""
        symbol = self._instruments.by_id[instrument].symbol
        return Limit(
            f"repeats_max {count} exceeds {limits.repeats_max} equal orders in {limits.repeats_window_ms} ms"
            f" in {symbol} for account {account}"
        )

    def too_fast(self, limits: AccountLimits, account: int, orders: int, left: int) -> Limit:
        """So many orders at once are too many; ``left`` may come now."""
        return Limit(
            f"orders_per_second {orders} exceeds {max(left, 0)} left of {limits.orders_burst} at "
            f"{limits.orders_per_second} a second for account {account}"
        )

    def over_lots(self, name: str, value: int, bound: int, position: Position) -> Limit:
        """``value`` lots are more than ``bound``."""
        lots = self.lots(position.instrument, value), self.lots(position.instrument, bound)
        return Limit(f"{name} {lots[0]} exceeds {lots[1]}{self.about(position)}")

    def over_money(self, name: str, value: int, bound: Fraction | None, where: str) -> Limit:
        """``value``, in units of :data:`VALUE_DECIMALS` decimals of money, is more than ``bound``."""
        assert bound is not None, "there is one"
        return Limit(f"{name} {shown(Fraction(value, 10**VALUE_DECIMALS))} exceeds {shown(bound)}{where}")

    def beyond_band(self, price: int, base: int, bounds: Bounds, position: Position) -> Limit:
        """A price, in ticks, is too far from ``base``."""
        share, whole = bounds.band_share, bounds.band_whole
        instrument = self._instruments.by_id[position.instrument]
        lowest, highest = -(base * (share - whole) // whole), base * (whole + share) // whole
        low, high, told, around = (
            instrument.format_price(max(value, 0)).decode() for value in (lowest, highest, price, base)
        )
        band = shown(Fraction(share * 100, whole))
        return Limit(f"price_band {told} exceeds {low} to {high}, {band}% around {around}{self.about(position)}")

    def lots(self, instrument: int, lots: int) -> str:
        """A quantity as clients write it."""
        return self._instruments.by_id[instrument].format_quantity(lots).decode()

    def about(self, position: Position) -> str:
        """Which position it is."""
        return f" in {self._instruments.by_id[position.instrument].symbol}{of_account(position)}"


def of_account(position: Position) -> str:
    """Whose position it is."""
    return f" for account {position.account.number}"
