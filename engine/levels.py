"""One side of a book: price levels, each a queue of orders in the order of their arrival. Pure.

A side is a table of levels, and a sorted list of their keys with the best one last; a level is a doubly linked queue of
orders, so that an order leaves from anywhere in constant time and nothing dead stays behind.

*Keys* let one code serve both sides. A level's key is its price on the bid side and minus its price on the ask side, so
the higher key is always the better one. An incoming order carries a *limit*, the worst key of the other side that it
accepts: minus its price for a buy, its price for a sell (which is minus the key it would rest at), :data:`ANY_PRICE`
for a market order. It crosses if ``other.best >= limit``.

*Icebergs* (FIX tags 1138 DisplayQty and 1084 DisplayMethod) rest with what they show, and a sum of what they hide. When
what shows is used up the next slice goes to the back of the level.

A level's sums may pass 2**63: they are Python ints.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

from engine.orders import Extras, Order

ANY_PRICE: Final = -(2**63)
"""Limit of a market order: no level is worse."""

NO_LEVEL: Final = -(2**64)
"""Best key of an empty side: below every limit, so that an empty side never crosses."""

FILLS_STEP: Final = 256
"""Makers that one call of :meth:`BookSide.match` fills at most: well below a millisecond with their reports."""


class Level:
    """The orders at one price of one side, oldest first."""

    __slots__ = ("head", "hidden", "key", "orders", "quantity", "side", "tail")

    def __init__(self, side: "BookSide", key: int) -> None:
        self.side = side
        self.key = key
        self.quantity = 0
        """Lots that show."""
        self.hidden = 0
        """Lots that do not."""
        self.orders = 0
        self.head: Order | None = None
        self.tail: Order | None = None

    def __iter__(self) -> Iterator[Order]:
        order = self.head
        while order is not None:
            yield order
            order = order.next


class BookSide:
    """All bids or all asks of a book."""

    __slots__ = ("best", "keys", "levels")

    def __init__(self) -> None:
        self.levels: dict[int, Level] = {}
        self.keys: list[int] = []
        self.best = NO_LEVEL
        """Key of the best level: ``keys[-1]``, or :data:`NO_LEVEL`."""

    def __iter__(self) -> Iterator[Level]:
        """Levels, best first."""
        levels = self.levels
        return (levels[key] for key in reversed(self.keys))

    def rest(self, order: Order, key: int) -> None:
        """Queue an order that does not cross, and hides nothing, at the back of the level ``key``."""
        level = self.levels.get(key)
        if level is None:
            self.levels[key] = level = Level(self, key)
            if key > self.best:
                self.keys.append(key)
                self.best = key
            else:
                insort(self.keys, key)
        last = level.tail
        if last is None:
            level.head = order
        else:
            last.next = order
            order.prev = last
        level.tail = order
        level.quantity += order.open
        level.orders += 1
        order.level = level

    def rest_iceberg(self, order: Order, extras: Extras, key: int) -> None:
        """As :meth:`rest`, with no more than the first slice showing. All that is open stands in ``open``."""
        extras.hidden = max(0, order.open - extras.display)
        order.open -= extras.hidden
        self.rest(order, key)
        order.level.hidden += extras.hidden

    def match(self, limit: int, quantity: int) -> list[tuple[Order, int]]:
        """Fill resting orders by priority, up to ``quantity`` lots and no worse than ``limit``.

        Returns each maker, once, with what it filled now; its ``open`` and ``filled`` are updated, and it is out of the
        book if nothing is open any more. The price of each fill is the maker's.

        It may stop early, after an iceberg that shows its next slice, or after :data:`FILLS_STEP` makers: there is more
        to do while any quantity is left and ``best >= limit``.
        """
        fills: list[tuple[Order, int]] = []
        while quantity and self.best >= limit:
            level = self.levels[self.best]
            maker = level.head
            while maker is not None:
                lots = maker.open
                if lots > quantity:
                    level.quantity -= quantity
                    maker.open = lots - quantity
                    maker.filled += quantity
                    if quantity:
                        fills.append((maker, quantity))
                    return fills
                quantity -= lots
                level.quantity -= lots
                maker.open = 0
                maker.filled += lots
                fills.append((maker, lots))
                extras = maker.extras
                if extras is not None and extras.hidden:
                    _show_next_slice(level, maker, extras)
                    return fills
                following = maker.next
                maker.next = None
                level.orders -= 1
                level.head = following
                if following is not None:
                    following.prev = None
                    if len(fills) >= FILLS_STEP:
                        return fills
                maker = following
            # Else level and last maker keep each other alive until the cycle collector runs, if it does.
            level.tail = None
            self.drop(level)
            if len(fills) >= FILLS_STEP:
                return fills
        return fills

    def drop(self, level: Level) -> None:
        """Forget a level that has become empty."""
        key = level.key
        keys = self.keys
        del self.levels[key]
        if key == self.best:
            keys.pop()
            self.best = keys[-1] if keys else NO_LEVEL
        else:
            del keys[bisect_left(keys, key)]


def _show_next_slice(level: Level, order: Order, extras: Extras) -> None:
    """What an iceberg at the head of its level showed is used up: the next slice goes to the back."""
    slice_ = min(extras.display, extras.hidden)
    order.open = slice_
    extras.hidden -= slice_
    level.quantity += slice_
    level.hidden -= slice_
    following, last = order.next, level.tail
    if following is not None and last is not None:
        following.prev = None
        level.head = following
        last.next = order
        order.prev, order.next = last, None
        level.tail = order


def remove(order: Order) -> None:
    """Take a live order out of the level it rests or waits in; its quantities stay as they were."""
    level, before, after = order.level, order.prev, order.next
    if before is None:
        level.head = after
    else:
        before.next = after
    if after is None:
        level.tail = before
    else:
        after.prev = before
    order.prev = order.next = None
    level.quantity -= order.open
    extras = order.extras
    if extras is not None:
        level.hidden -= extras.hidden
        if extras.waits:
            order.session.stops -= 1
    level.orders -= 1
    if level.head is None:
        level.side.drop(level)


def reduce(order: Order, quantity: int) -> None:
    """Set what is open of an order, and not hidden, to ``quantity``; its priority is kept.

    Of an order that rests that is from 1 to what it was; a stop order may get more.
    """
    order.level.quantity -= order.open - quantity
    order.open = quantity


def reduce_iceberg(order: Order, extras: Extras, leaves: int) -> None:
    """Set all that is open of an iceberg to ``leaves``, from 1 to what it was: first it hides less, then shows less."""
    hidden = max(0, leaves - order.open)
    order.level.hidden -= extras.hidden - hidden
    extras.hidden = hidden
    reduce(order, leaves - hidden)
