"""What the positions of an account are worth together: the sum of worst size times price. Pure.

Kept up lazily: a position's value is worked out anew only when somebody asks after its size or its price became
another, so that an order costs no more with a thousand instruments than with one.
"""

from collections.abc import Mapping

from orderd.orders.risk.holdings import Account, Position
from orderd.orders.risk.limits import value_unit
from orderd.orders.risk.positions import Positions
from orderd.runtime.instruments import InstrumentTable


class NoPrice(Exception):
    """Instrument ``id`` has neither a last trade nor a reference."""

    def __init__(self, instrument: int) -> None:
        super().__init__(instrument)
        self.instrument = instrument


class Values:
    """In units of :data:`~orderd.orders.risk.limits.VALUE_DECIMALS` decimals of money."""

    def __init__(self, positions: Positions, instruments: InstrumentTable) -> None:
        self._positions = positions
        self._instruments = instruments
        self._references: Mapping[int, int] = {}

    def take_references(self, references: Mapping[int, int]) -> None:
        """Other prices to go by where nothing was traded."""
        self._references = references
        for account in self._positions.accounts.values():
            account.prices_seen = -len(self._positions.price_changes) - 1

    def price(self, instrument: int) -> int | None:
        """The last price, else the reference, in ticks."""
        price = self._positions.last_px.get(instrument)
        return price if price is not None else self._references.get(instrument)

    def total(self, account: Account) -> int:
        """The value of all its positions. Raises :class:`NoPrice` if one has none and is not empty."""
        if account.prices_seen != self._positions.prices_end:
            self._note_prices(account)
        changed = account.changed
        if changed:
            last_px, references = self._positions.last_px, self._references
            for instrument, position in changed.items():
                buy, sell = position.open
                up, down = position.net + buy, sell - position.net
                price = last_px.get(instrument)
                if price is None:
                    price = references.get(instrument)
                if price is None:
                    value = self.of(position, max(up, down))
                else:
                    value = price * (position.unit or self.unit(position)) * max(up, down)
                account.value += value - position.value
                position.value = value
                position.is_changed = False
            account.changed = {}
        return account.value

    def _note_prices(self, account: Account) -> None:
        positions = self._positions
        positions.log_prices()
        missed = positions.prices_end - account.prices_seen
        if missed > len(positions.price_changes) or missed > len(account.held):
            for position in account.held.values():
                position.changes()
        else:
            for instrument in positions.price_changes[-missed:]:
                held = account.held.get(instrument)
                if held is not None:
                    held.changes()
        account.prices_seen = positions.prices_end

    def of(self, position: Position, size: int) -> int:
        """The value of ``size`` lots of it. Raises :class:`NoPrice`."""
        if not size:
            return 0
        price = self.price(position.instrument)
        if price is None:
            raise NoPrice(position.instrument)
        return price * self.unit(position) * size

    def unit(self, position: Position) -> int:
        """What one lot of it is worth at a price of one tick."""
        if not position.unit:
            position.unit = value_unit(self._instruments.by_id[position.instrument])
        return position.unit
