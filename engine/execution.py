"""What an accepted order does: it takes what it crosses, rests or is cancelled, or waits as a stop order. Pure.

Stop orders are triggered when the input that traded is through, before the next one, in the order of
:class:`~engine.stops.Stops`; what one of them triggers comes behind all that were triggered before. Each has TRIGGERED
and then the reports of the market or limit order that it is, all with input 0, as the engine caused them.

Methods do what takes little time at once, and return what is left to do, in steps, or None.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final

from engine.book import Book
from engine.entry import REMAINDERS, market_limit
from engine.levels import BookSide
from engine.orders import Order
from engine.outcomes import tell_canceled, tell_triggered
from engine.taking import Trades, can_surely_take, can_take
from orderd.wire.records import FLAG_MARKET, FLAG_SELL, STP_MASK
from orderd.wire.reports import FLAG_FINAL, Reason

RESTS: Final = Reason.NONE
"""As the reason why what an order leaves unfilled is cancelled: it is not."""
_FOK: Final = Reason.FOK
_NO_LIQUIDITY: Final = Reason.NO_LIQUIDITY
TRIGGER_STEP: Final = 512
"""Stop orders that are found to be triggered between two yields."""

Work = Iterator[None] | None


class Execution:
    """Lets orders act."""

    __slots__ = ("trades",)

    def __init__(self) -> None:
        self.trades = Trades()

    def cross(self, book: Book, order: Order, own: BookSide, other: BookSide, limit: int, now_ns: int) -> Work:
        """A plain NEW that crosses: what :meth:`enter` would do with it, a little faster, and its own report."""
        sequence = order.sequence
        order.session.reports.add_range(sequence, 1, now_ns, final=False)
        self.trades.trade(book, order, other, limit, order.open, True, sequence, now_ns)
        if order.open:
            if other.best >= limit:
                return self._go_on(book, order, other, limit, RESTS, sequence, now_ns)
            order.session.live[order.number] = order
            own.rest(order, -limit)
        return self._trigger(book, now_ns) if book.stops.has_heard else None

    def wait(self, book: Book, order: Order, now_ns: int) -> Work:
        """A new stop order waits; the last trade may have triggered it already."""
        extras = order.extras
        assert extras is not None
        order.session.reports.add_range(order.sequence, 1, now_ns, final=True)
        order.session.live[order.number] = order
        book.stops.wait(order, extras)
        if book.last_price:
            book.stops.hear(book.last_price, book.last_price)
        return self._trigger(book, now_ns) if book.stops.has_heard else None

    def enter(
        self, book: Book, order: Order, other: BookSide, limit: int, remainder: Reason, input_: int, now_ns: int
    ) -> Work:
        """``order``, in no level, takes what it crosses; what is left of it rests or is cancelled."""
        if other.best >= limit:
            if order.flags & STP_MASK:
                more = self.trades.take(book, order, other, limit, remainder is RESTS, input_, now_ns)
            else:
                self.trades.trade(book, order, other, limit, order.open, remainder is RESTS, input_, now_ns)
                more = order.open > 0 and other.best >= limit
            if more:
                return self._go_on(book, order, other, limit, remainder, input_, now_ns)
        return self._settle(book, order, remainder, input_, now_ns)

    def _go_on(
        self, book: Book, order: Order, other: BookSide, limit: int, remainder: Reason, input_: int, now_ns: int
    ) -> Iterator[None]:
        more = True
        while more:
            # An iceberg's slice is a step of its own, and a small one.
            if self.trades.has_done_much():
                yield
            more = self.trades.take(book, order, other, limit, remainder is RESTS, input_, now_ns)
        work = self._settle(book, order, remainder, input_, now_ns)
        if work is not None:
            yield from work

    def enter_if(self, book: Book, order: Order, needed: int, remainder: Reason, now_ns: int) -> Work:
        """As :meth:`enter` for a new order if ``needed`` lots trade at once; else it is cancelled."""
        other, limit = opposite(book, order)
        enough = can_surely_take(order, other, limit, needed)
        if enough is None:
            return self._count_and_enter(book, order, needed, remainder, now_ns)
        if enough:
            return self.enter(book, order, other, limit, remainder, order.sequence, now_ns)
        _tell_too_little(order, remainder, now_ns)
        return None

    def _count_and_enter(self, book: Book, order: Order, needed: int, remainder: Reason, now_ns: int) -> Iterator[None]:
        other, limit = opposite(book, order)
        if (yield from can_take(order, other, limit, needed)):
            work = self.enter(book, order, other, limit, remainder, order.sequence, now_ns)
            if work is not None:
                yield from work
        else:
            _tell_too_little(order, remainder, now_ns)

    def _settle(self, book: Book, order: Order, remainder: Reason, input_: int, now_ns: int) -> Work:
        """``order`` has taken what it could: it is filled or has been cancelled, it rests, or its rest is cancelled."""
        live = order.session.live
        if not order.open:
            live.pop(order.number, None)
        elif remainder is RESTS:
            # One that was live before keeps its place.
            live[order.number] = order
            rest(book, order)
        else:
            live.pop(order.number, None)
            if remainder is _NO_LIQUIDITY and (book.bids if order.flags & FLAG_SELL else book.asks).keys:
                remainder = Reason.PRICE_LIMIT
            tell_canceled(order, remainder, input_, FLAG_FINAL if input_ else 0, now_ns)
        # What a triggered order triggers comes behind all that were triggered before it: its caller goes on with these.
        return self._trigger(book, now_ns) if input_ and book.stops.has_heard else None

    def _trigger(self, book: Book, now_ns: int) -> Iterator[None]:
        """Let stop orders act that the trades so far trigger, and those that their trades trigger."""
        triggered: deque[Order] = deque()
        done = 0
        while True:
            while (order := book.stops.next_triggered()) is not None:
                triggered.append(order)
                done += 1
                if done % TRIGGER_STEP == 0:
                    yield
            if not triggered:
                return
            work = self._release(book, triggered.popleft(), now_ns)
            if work is not None:
                yield from work
            if self.trades.has_done_much():
                yield

    def _release(self, book: Book, order: Order, now_ns: int) -> Work:
        """A triggered stop order acts as the market or limit order that it is."""
        extras = order.extras
        assert extras is not None
        extras.is_triggered = True
        self.trades.without_trade += 1
        self.trades.touched[order.session] = None
        tell_triggered(order, now_ns)
        if not order.flags & FLAG_MARKET and not book.rules.allows(order.price):
            # The limits have changed since it came.
            return self._settle(book, order, Reason.PRICE_LIMIT, 0, now_ns)
        other, limit = opposite(book, order)
        return self.enter(book, order, other, limit, REMAINDERS[order.flags], 0, now_ns)


def _tell_too_little(order: Order, remainder: Reason, now_ns: int) -> None:
    """Not enough trades at once."""
    reason = remainder if remainder is _FOK else Reason.MINIMUM_QUANTITY
    tell_canceled(order, reason, order.sequence, FLAG_FINAL, now_ns)


def rest(book: Book, order: Order) -> None:
    """Queue an order that crosses nothing at the back of its level; an iceberg shows no more than it may."""
    side, key = (book.asks, -order.price) if order.flags & FLAG_SELL else (book.bids, order.price)
    extras = order.extras
    if extras is None or not extras.display:
        side.rest(order, key)
    else:
        side.rest_iceberg(order, extras, key)


def opposite(book: Book, order: Order) -> tuple[BookSide, int]:
    """The other side, and an order's limit there."""
    if order.flags & FLAG_MARKET:
        return (book.bids if order.flags & FLAG_SELL else book.asks), market_limit(book.rules, order.flags)
    return (book.bids, order.price) if order.flags & FLAG_SELL else (book.asks, -order.price)
