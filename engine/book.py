"""The price-time-priority book of one instrument, on integer ticks and lots.

It knows neither sessions nor journal nor reports: it keeps orders in their priority. Two sides
(:class:`~engine.levels.BookSide`, which tells of keys and limits) hold what rests, and stop orders wait beside them
(:class:`~engine.stops.Stops`).

Invariants (:meth:`Book.check_invariants`): the keys of a side are those of its level table, strictly rising; no level
is empty; a level's sums are those of its orders; links agree in both directions; an iceberg that hides something shows
something, and no more than it may; stop orders hide nothing; the book is not crossed.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import Final

from engine.levels import NO_LEVEL, BookSide, Level
from engine.markets import OPEN_MARKET
from engine.orders import Order
from engine.stops import Stops
from orderd.wire.records import FLAG_MARKET

_MARKET: Final = struct.Struct("<Q?QQ")


class Book:
    """Both sides of one instrument, its stop orders and its last trade.

    Its state is: :meth:`orders` and :attr:`stops` in their order, :attr:`last_price` and :attr:`rules`.
    """

    __slots__ = ("asks", "bids", "instrument", "last_price", "rules", "stops")

    def __init__(self, instrument: int) -> None:
        self.instrument = instrument
        self.bids = BookSide()
        self.asks = BookSide()
        self.stops = Stops()
        """Those that wait; to walk it is to walk them in the order in which they would be triggered."""
        self.last_price = 0
        """Of the last trade, in ticks; 0 before the first one."""
        self.rules = OPEN_MARKET
        """What the market allows at the moment. Set by :meth:`engine.matcher.Matcher.set_market`."""

    def restore(self, order: Order) -> None:
        """Put back an order that a snapshot kept: it was behind all of its level or trigger that are back already."""
        extras = order.extras
        if extras is not None and extras.waits:
            self.stops.wait(order, extras)
            return
        side, key = (self.asks, -order.price) if order.sell else (self.bids, order.price)
        side.rest(order, key)
        if extras is not None:
            order.level.hidden += extras.hidden

    def depth(self, levels_max: int) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
        """``(bids, asks)``: price, quantity that shows and number of orders of the best levels, best first."""
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
        """16 bytes over all that it holds, orders by priority: equal books in any process hash equally."""
        rules = self.rules
        digest = hashlib.blake2b(digest_size=16)
        digest.update(_MARKET.pack(self.last_price, rules.halted, rules.low, rules.high))
        for orders in (self.orders(), self.stops):
            digest.update(b"\0")
            for order in orders:
                digest.update(order.canonical())
        return digest.digest()

    def check_invariants(self) -> None:
        """Raise AssertionError if the book contradicts itself. Walks everything: for tests and after recovery."""
        for sell, side in ((False, self.bids), (True, self.asks)):
            _check_side(side)
            for level in side:
                _check_level(level, side, sell, self.instrument)
                for order in level:
                    _require(not order.waits, "a stop order rests before it was triggered")
                    _require(not order.flags & FLAG_MARKET, "a market order rests")
                    _require((-order.price if sell else order.price) == level.key, "order is in the wrong level")
        for sell, side in ((False, self.stops.buys), (True, self.stops.sells)):
            _check_side(side)
            for level in side:
                _check_level(level, side, sell, self.instrument)
                _require(level.hidden == 0, "a stop order hides something")
                for order in level:
                    _require(order.waits, "an order waits that is no stop order, or was triggered")
                    trigger = order.extras.trigger if order.extras is not None else 0
                    _require((trigger if sell else -trigger) == level.key, "stop order is in the wrong level")
        if self.last_price:
            heard = self.stops.buys.best < -self.last_price and self.stops.sells.best < self.last_price
            _require(heard, "a stop order waits that the last trade triggers")
        if self.bids.keys and self.asks.keys:
            _require(self.bids.best < -self.asks.best, "book is crossed")


def _best_keys(keys: list[int], count: int) -> list[int]:
    return keys[: -count - 1 : -1] if count > 0 else []


def _check_side(side: BookSide) -> None:
    _require(side.keys == sorted(side.levels), "keys are not those of the levels")
    _require(side.best == (side.keys[-1] if side.keys else NO_LEVEL), "best is not the last key")


def _check_level(level: Level, side: BookSide, sell: bool, instrument: int) -> None:
    quantity = hidden = orders = 0
    before: Order | None = None
    for order in level:
        _require(order.open > 0, "an order with nothing open rests")
        _require(order.level is level and level.side is side, "order and level disagree")
        _require(order.sell == sell, "order is on the wrong side")
        _require(order.instrument == instrument, "order is in the wrong book")
        _require(order.prev is before, "links disagree")
        extras = order.extras
        if extras is not None and extras.hidden:
            _require(extras.hidden > 0 and order.open <= extras.display, "an iceberg shows more than it may")
            hidden += extras.hidden
        quantity += order.open
        orders += 1
        before = order
    _require(orders > 0, "an empty level stays")
    _require(level.tail is before, "tail is not the last order")
    _require((level.quantity, level.hidden, level.orders) == (quantity, hidden, orders), "sums of a level are wrong")


def _require(holds: bool, what: str) -> None:
    """An assert that ``python -O`` keeps: this is the last guard before wrong fills."""
    if not holds:
        raise AssertionError(what)
