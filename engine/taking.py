"""One order takes what rests on the other side: trades, and what self-trade prevention does instead. Pure.

An order that crosses takes in steps: :meth:`Trades.take` does a bounded part of the work and says whether there is
more. Nothing else happens to the books before it is through.

Self-trade prevention is the incoming order's: it meets its own when the next order that it would trade with is of the
same session and account (what FIX tag 2362, SelfMatchPreventionID, would say). CANCEL_NEWEST cancels the rest of the
incoming order, CANCEL_OLDEST the one that rests, and goes on; CANCEL_BOTH both. Who has no instruction trades with
itself.

Which report is final: the last immediate one of the input. So a TRADE is if nothing of the taker is left, or if what is
left rests and meets nobody more; and so is, in this second case, the CANCELED of an own order that was in the way.
"""

from collections.abc import Generator
from itertools import islice
from typing import Final

from engine.book import Book
from engine.levels import BookSide, remove
from engine.orders import Order, Session
from engine.outcomes import tell_canceled, tell_trade
from orderd.wire.records import STP_MASK, STP_SHIFT, SelfTradePrevention
from orderd.wire.reports import FLAG_FINAL, FLAG_TAKER, Reason

GUARDED_STEP: Final = 128
"""Orders that an order with self-trade prevention meets between two yields: well below a millisecond."""
PAUSE_STEP: Final = 256
"""Trades, and other things of their size, after which the caller is let go for a moment."""
SCAN_STEP: Final = 2048
"""Levels or orders that are counted between two yields."""
SURE_LEVELS: Final = 16
"""Levels that are counted at once."""

_CANCEL_NEWEST: Final = SelfTradePrevention.CANCEL_NEWEST << STP_SHIFT
_CANCEL_OLDEST: Final = SelfTradePrevention.CANCEL_OLDEST << STP_SHIFT


class Trades:
    """Gives trades their ids, and knows which sessions heard of some."""

    __slots__ = ("_pause_at", "next_id", "touched", "without_trade")

    def __init__(self) -> None:
        self.next_id = 1
        self.without_trade = 0
        """Orders that something else happened to: self-trade prevention took them out, or they were triggered."""
        self._pause_at = 0
        self.touched: dict[Session, None] = {}
        """Sessions that got reports which no input of theirs caused, in order."""

    def take(
        self, book: Book, taker: Order, other: BookSide, limit: int, rests: bool, input_: int, now_ns: int
    ) -> bool:
        """Take a bounded part of what ``taker``, which crosses, takes from ``other``. Whether there is more to take.

        What is left of it then ``rests`` or not. ``input_`` is its input, 0 if that is the engine.
        """
        if taker.flags & STP_MASK:
            return self._take_guarded(book, taker, other, limit, rests, input_, now_ns)
        self.trade(book, taker, other, limit, taker.open, rests, input_, now_ns)
        return taker.open > 0 and other.best >= limit

    def has_done_much(self) -> bool:
        """Whether the caller should be let go for a moment: so much has happened since this last said so."""
        done = self.next_id + self.without_trade
        if done < self._pause_at:
            return False
        self._pause_at = done + PAUSE_STEP
        return True

    def trade(
        self,
        book: Book,
        taker: Order,
        other: BookSide,
        limit: int,
        quantity: int,
        rests: bool,
        input_: int,
        now_ns: int,
    ) -> None:
        """Trade with the next orders of ``other``, up to ``quantity`` lots, whoever sent them: a bounded part of it."""
        session = taker.session
        fills = other.match(limit, quantity)
        is_filled = FLAG_FINAL if input_ else 0
        ends = is_filled if rests and other.best < limit else 0
        last = len(fills)
        for maker, lots in fills:
            last -= 1
            taker.open -= lots
            taker.filled += lots
            trade_id = self.next_id
            self.next_id = trade_id + 1
            price = maker.price
            maker_session = maker.session
            if maker_session is session:
                tell_trade(maker, lots, price, trade_id, input_, 0, now_ns)
            else:
                tell_trade(maker, lots, price, trade_id, 0, 0, now_ns)
                self.touched[maker_session] = None
            if not maker.open:
                del maker_session.live[maker.number]
            final = 0 if last else ends if taker.open else is_filled
            tell_trade(taker, lots, price, trade_id, input_, FLAG_TAKER | final, now_ns)
        book.last_price = price
        stops = book.stops
        if stops.buys.keys or stops.sells.keys:
            stops.hear(fills[0][0].price, price)

    def _take_guarded(
        self, book: Book, taker: Order, other: BookSide, limit: int, rests: bool, input_: int, now_ns: int
    ) -> bool:
        """As :meth:`take`, one order after another, for a taker that would not trade with itself."""
        instruction = taker.flags & STP_MASK
        final = FLAG_FINAL if input_ else 0
        for _ in range(GUARDED_STEP):
            maker = other.levels[other.best].head
            assert maker is not None, "no level is empty"
            if not _is_own(maker, taker):
                self.trade(book, taker, other, limit, min(maker.open, taker.open), rests, input_, now_ns)
            elif instruction == _CANCEL_OLDEST:
                self.without_trade += 1
                _withdraw(maker)
                ends = rests and other.best < limit
                tell_canceled(maker, Reason.SELF_TRADE, input_, final if ends else 0, now_ns)
            else:
                self.without_trade += 1
                if instruction != _CANCEL_NEWEST:
                    _withdraw(maker)
                    tell_canceled(maker, Reason.SELF_TRADE, input_, 0, now_ns)
                tell_canceled(taker, Reason.SELF_TRADE, input_, final, now_ns)
                taker.open = 0
            if not taker.open or other.best < limit:
                return False
        return True


def _is_own(maker: Order, taker: Order) -> bool:
    return maker.session is taker.session and maker.account == taker.account


def _withdraw(order: Order) -> None:
    remove(order)
    del order.session.live[order.number]


def can_surely_take(taker: Order, other: BookSide, limit: int, quantity: int) -> bool | None:
    """What :func:`can_take` returns, or None if that takes long to tell."""
    if taker.flags & STP_MASK:
        return None
    for level in islice(other, SURE_LEVELS):
        if level.key < limit:
            return False
        quantity -= level.quantity + level.hidden
        if quantity <= 0:
            return True
    return None if len(other.keys) > SURE_LEVELS else False


def can_take(taker: Order, other: BookSide, limit: int, quantity: int) -> Generator[None, None, bool]:
    """Returns whether ``taker`` would trade ``quantity`` lots at once, what hides included; in steps.

    With self-trade prevention its own orders do not count, and for what cancels the taker nothing behind them does.
    """
    instruction = taker.flags & STP_MASK
    seen = 0
    for level in other:
        if level.key < limit:
            break
        quantity -= level.quantity + level.hidden
        ends = False
        if instruction:
            ahead = 0
            for order in level:
                if _is_own(order, taker):
                    if instruction != _CANCEL_OLDEST:
                        # Hidden slices come behind it, as they are shown at the back.
                        quantity += level.quantity + level.hidden - ahead
                        ends = True
                        break
                    quantity += order.leaves
                ahead += order.open
                seen += 1
                if seen % SCAN_STEP == 0:
                    yield
        if quantity <= 0 or ends:
            break
        seen += 1
        if seen % SCAN_STEP == 0:
            yield
    return quantity <= 0
