"""The price-time-priority book of one instrument, on integer ticks and lots.

It knows neither sessions nor journal nor reports: it keeps resting orders in their priority, and fills them. A side is
a table of price levels, and a sorted list of their keys with the best one last; a level is a doubly linked queue of
orders, so that an order leaves from anywhere in constant time and nothing dead stays behind.

*Keys* let one code serve both sides. A level's key is its price on the bid side and minus its price on the ask side, so
the higher key is always the better one. An incoming order carries a *limit*, the worst key of the other side that it
accepts: minus its price for a buy, its price for a sell (which is minus the key it would rest at), :data:`ANY_PRICE`
for a market order. It crosses if ``other.best >= limit``.

Invariants (:meth:`Book.check_invariants`): the keys are those of the level table, strictly rising; no level is empty; a
level's sums are those of its orders; links agree in both directions; the book is not crossed. A level's sum may pass
2**63: it is a Python int.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

from engine.orders import Order

ANY_PRICE: Final = -(2**63)
"""Limit of a market order: no level is worse."""

NO_LEVEL: Final = -(2**64)
"""Best key of an empty side: below every limit, so that an empty side never crosses."""


class Level:
    """The orders at one price of one side, oldest first."""

    __slots__ = ("head", "key", "orders", "quantity", "side", "tail")

    def __init__(self, side: "BookSide", key: int) -> None:
        self.side = side
        self.key = key
        self.quantity = 0
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
        """Queue an order that does not cross at the back of the level ``key``."""
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

    def match(self, limit: int, quantity: int) -> list[tuple[Order, int]]:
        """Fill resting orders by priority, up to ``quantity`` lots and no worse than ``limit``.

        Returns each maker, once, with what it filled now; its ``open`` and ``filled`` are updated, and it is out of the
        book if nothing is open any more. The price of each fill is the maker's.
        """
        fills: list[tuple[Order, int]] = []
        while quantity and self.best >= limit:
            level = self.levels[self.best]
            maker = level.head
            while maker is not None and quantity:
                lots = maker.open
                lots = min(lots, quantity)
                quantity -= lots
                level.quantity -= lots
                maker.open -= lots
                maker.filled += lots
                fills.append((maker, lots))
                if maker.open:
                    return fills
                following = maker.next
                maker.next = None
                level.orders -= 1
                level.head = following
                if following is not None:
                    following.prev = None
                maker = following
            if maker is None:
                # Else level and last maker keep each other alive until the cycle collector runs, if it does.
                level.tail = None
                self.drop(level)
        return fills

    def can_fill(self, limit: int, quantity: int) -> bool:
        """Whether ``quantity`` lots rest here at ``limit`` or better; looks no further than it must."""
        for level in self:
            if level.key < limit:
                return False
            quantity -= level.quantity
            if quantity <= 0:
                return True
        return False

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


def remove(order: Order) -> None:
    """Take a resting order out of its book; its open quantity stays as it was."""
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
    level.orders -= 1
    if level.head is None:
        level.side.drop(level)


def reduce(order: Order, quantity: int) -> None:
    """Set the open quantity of a resting order to ``quantity``, from 1 to what it was; its priority is kept."""
    order.level.quantity -= order.open - quantity
    order.open = quantity


class Book:
    """Both sides of one instrument."""

    __slots__ = ("asks", "bids", "instrument")

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.bids = BookSide()
        self.asks = BookSide()

    def depth(self, levels_max: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """``(bids, asks)``: price, quantity and number of orders of the best ``levels_max`` levels, best first."""
        bids, asks = self.bids, self.asks
        return (
            [(key, bids.levels[key].quantity, bids.levels[key].orders) for key in _best_keys(bids.keys, levels_max)],
            [(-key, asks.levels[key].quantity, asks.levels[key].orders) for key in _best_keys(asks.keys, levels_max)],
        )

    def orders(self) -> Iterator[Order]:
        """All resting orders by priority, bids before asks."""
        for side in (self.bids, self.asks):
            for level in side:
                yield from level

    def state_hash(self) -> bytes:
        """16 bytes over all that rests here, in order of priority: equal books in any process hash equally."""
        digest = hashlib.blake2b(digest_size=16)
        for order in self.orders():
            digest.update(order.canonical())
        return digest.digest()

    def check_invariants(self) -> None:
        """Raise AssertionError if the book contradicts itself. Walks everything: for tests and after recovery."""
        for sign, side in ((1, self.bids), (-1, self.asks)):
            _require(side.keys == sorted(side.levels), "keys are not those of the levels")
            _require(side.best == (side.keys[-1] if side.keys else NO_LEVEL), "best is not the last key")
            for level in side:
                _check_level(level, side, sign, self.instrument)
        if self.bids.keys and self.asks.keys:
            _require(self.bids.best < -self.asks.best, "book is crossed")


def _best_keys(keys: list[int], count: int) -> list[int]:
    return keys[: -count - 1 : -1] if count > 0 else []


def _check_level(level: Level, side: BookSide, sign: int, instrument: int) -> None:
    quantity = orders = 0
    before: Order | None = None
    for order in level:
        _require(order.open > 0, "an order with nothing open rests")
        _require(order.level is level and level.side is side, "order and level disagree")
        _require(order.price * sign == level.key and order.sell == (sign < 0), "order is in the wrong level")
        _require(order.instrument == instrument, "order is in the wrong book")
        _require(order.prev is before, "links disagree")
        quantity += order.open
        orders += 1
        before = order
    _require(orders > 0, "an empty level stays")
    _require(level.tail is before, "tail is not the last order")
    _require((level.quantity, level.orders) == (quantity, orders), "sums of a level are wrong")


def _require(holds: bool, what: str) -> None:
    """An assert that ``python -O`` keeps: this is the last guard before wrong fills."""
    if not holds:
        raise AssertionError(what)
