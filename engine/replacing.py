"""A REPLACE or REPLACE_OPEN: gives a live order another price or quantity (FIX 35=G). Pure.

Quantity is the new total (what was filled counts; at or below that the rest is cancelled), or the new open quantity.
At the same price and with no more open than before an order keeps its priority. Anything else is as if it came anew: it
goes to the back of its level, or trades if it crosses. An iceberg that keeps its priority first hides less; one that
does not shows a new slice. A stop order that waits keeps its trigger and its place among the stop orders.

An order that is not replaced stays as it was, with REPLACE_REJECTED. The first reason that holds is told: NOT_SUPPORTED
(a stop order without a price waits), BAD_RECORD, HALTED, PRICE_LIMIT, POST_ONLY.
"""

from typing import Final

from engine.book import Book
from engine.entry import current_refusal, shows_too_little
from engine.execution import RESTS, Execution, Work, rest
from engine.levels import reduce, reduce_iceberg, remove
from engine.markets import OPEN_MARKET
from engine.orders import Fields, Order
from engine.outcomes import tell_canceled, tell_replaced
from orderd.wire.records import FLAG_MARKET, FLAG_POST_ONLY, FLAG_SELL, VALUE_MAX, Kind
from orderd.wire.reports import FLAG_FINAL, ExecType, Reason

_REPLACE_OPEN: Final = int(Kind.REPLACE_OPEN)
_REPLACED: Final = ExecType.REPLACED
_NONE: Final = Reason.NONE


def replace(execution: Execution, book: Book, order: Order, sequence: int, fields: Fields, now_ns: int) -> Work:
    """Give a live order another price or quantity: by total quantity, or (REPLACE_OPEN) by open quantity."""
    _, price, quantity, _, _, kind, _ = fields
    extras = order.extras
    leaves = quantity if kind == _REPLACE_OPEN else quantity - order.filled
    if order.flags & FLAG_MARKET:
        # It waits for its trigger, and has no price.
        return _reject(order, Reason.NOT_SUPPORTED, sequence, now_ns)
    if (
        price <= 0
        or not 0 < quantity <= VALUE_MAX
        or leaves + order.filled > VALUE_MAX
        or (extras is not None and shows_too_little(extras.display, leaves))
    ):
        return _reject(order, Reason.BAD_RECORD, sequence, now_ns)
    if book.rules is not OPEN_MARKET:
        reason = current_refusal(book.rules, price)
        if reason:
            return _reject(order, reason, sequence, now_ns)
    if leaves <= 0:
        remove(order)
        del order.session.live[order.number]
        tell_canceled(order, Reason.REPLACED_BELOW_FILLED, sequence, FLAG_FINAL, now_ns)
        return None
    if extras is None:
        if price != order.price or leaves > order.open:
            return _move(execution, book, order, price, leaves, sequence, now_ns)
        reduce(order, leaves)
    elif extras.waits:
        order.price = price
        reduce(order, leaves)
    elif price == order.price and leaves <= order.leaves:
        reduce_iceberg(order, extras, leaves)
    else:
        return _move(execution, book, order, price, leaves, sequence, now_ns)
    order.replaced = True
    tell_replaced(order, _REPLACED, _NONE, sequence, FLAG_FINAL, now_ns)
    return None


def _reject(order: Order, reason: Reason, sequence: int, now_ns: int) -> Work:
    tell_replaced(order, ExecType.REPLACE_REJECTED, reason, sequence, FLAG_FINAL, now_ns)
    return None


def _move(execution: Execution, book: Book, order: Order, price: int, leaves: int, sequence: int, now_ns: int) -> Work:
    """A replaced order that loses its priority."""
    other, limit = (book.bids, price) if order.flags & FLAG_SELL else (book.asks, -price)
    crosses = other.best >= limit
    if crosses and order.flags & FLAG_POST_ONLY:
        return _reject(order, Reason.POST_ONLY, sequence, now_ns)
    remove(order)
    order.replaced = True
    order.price = price
    order.open = leaves
    if order.extras is not None:
        order.extras.hidden = 0
    if crosses:
        tell_replaced(order, _REPLACED, _NONE, sequence, 0, now_ns)
        return execution.enter(book, order, other, limit, RESTS, sequence, now_ns)
    tell_replaced(order, _REPLACED, _NONE, sequence, FLAG_FINAL, now_ns)
    rest(book, order)
    return None
