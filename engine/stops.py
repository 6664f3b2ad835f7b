"""Stop orders of one book that wait for their trigger (FIX tag 99, StopPx). Pure.

A buy is triggered when a trade prints at or above its trigger, a sell at or below. Those that one print triggers go in
this order: buys by rising trigger, then sells by falling trigger; at the same trigger by their time of entry. So buys
and sells each are a :class:`~engine.levels.BookSide`, by key minus the trigger of a buy and the trigger of a sell: the
order that is triggered first is the best one. A replaced stop order keeps its place.
"""

from collections.abc import Iterator
from typing import Final

from engine.levels import BookSide, remove
from engine.orders import Extras, Order
from orderd.wire.records import FLAG_SELL

NO_PRINT: Final = 0
"""As a price: nothing was traded."""


class Stops:
    """Waiting stop orders, and the prints that they have not heard of yet.

    The orders in their priority are all that a snapshot needs: between two inputs no print is unheard.
    """

    __slots__ = ("_high", "_low", "buys", "has_heard", "sells")

    def __init__(self) -> None:
        self.buys = BookSide()
        self.sells = BookSide()
        self.has_heard = False
        """Whether trades that it heard trigger orders that wait."""
        self._low = NO_PRINT
        self._high = NO_PRINT

    def __iter__(self) -> Iterator[Order]:
        """All that wait, in the order in which one print after another would trigger them: buys, then sells."""
        for side in (self.buys, self.sells):
            for level in side:
                yield from level

    def wait(self, order: Order, extras: Extras) -> None:
        """Queue a stop order at the back of those with its trigger, until it is removed as any order is."""
        order.session.stops += 1
        if order.flags & FLAG_SELL:
            self.sells.rest(order, extras.trigger)
        else:
            self.buys.rest(order, -extras.trigger)

    def hear(self, one: int, other: int) -> None:
        """Trades have printed, ``one`` and ``other`` being the lowest and highest price or the other way round.

        Trades that trigger nothing are forgotten at once.
        """
        low, high = (one, other) if one < other else (other, one)
        if self.buys.best >= -high or self.sells.best >= low:
            self._low = low if self._low == NO_PRINT else min(low, self._low)
            self._high = max(high, self._high)
            self.has_heard = True

    def next_triggered(self) -> Order | None:
        """Take out the next order that what was heard triggers; when there is none any more, it is forgotten."""
        if not self.has_heard:
            return None
        if self.buys.best >= -self._high:
            side = self.buys
        elif self.sells.best >= self._low:
            side = self.sells
        else:
            self._low = self._high = NO_PRINT
            self.has_heard = False
            return None
        order = side.levels[side.best].head
        assert order is not None, "no level is empty"
        remove(order)
        return order
