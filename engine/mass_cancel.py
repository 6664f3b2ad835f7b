"""Cancels many orders of one session: those that a MASS_CANCEL asks for (FIX 35=q), or all, for a reason of the engine.

A MASS_CANCEL cancels the live orders of a session that have its side, instrument and account.

The orders go oldest first, each with a CANCELED of its own that names the mass cancel as its input. Then one
MASS_CANCELED, final, tells how many there were; it is there for none, too. An instrument that the engine lacks has no
orders, which is no fault. A record that uses fields which its flags leave out is REJECTED and cancels nothing.

All live orders of the session are looked through. That takes a while when they are many, so the work comes in steps
and the engine's loop is not held meanwhile. Pure.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

from engine.levels import remove
from engine.orders import Fields, Order, Session
from engine.outcomes import refuse, tell_canceled, tell_mass_canceled
from orderd.wire.records import FLAG_SELL, MASS_ACCOUNT, MASS_FLAGS, MASS_INSTRUMENT, MASS_SIDE
from orderd.wire.reports import ExecType, Reason

SCAN_STEP: Final = 4096
"""Orders that are looked at between two yields: well below a millisecond."""
CANCEL_STEP: Final = 512
"""Orders that are cancelled between two yields."""


def mass_cancel(session: Session, sequence: int, fields: Fields, now_ns: int) -> Iterator[None]:
    """Execute the input ``sequence``, a step at a time. Nothing else may happen to the books at a yield."""
    if not _fits(fields):
        refuse(session, ExecType.REJECTED, sequence, sequence, fields, Reason.BAD_RECORD, now_ns)
        return
    found: deque[Order] = deque()
    resting = iter(session.live.values())
    while orders := list(islice(resting, SCAN_STEP)):
        found += _picked(fields, orders)
        if len(orders) == SCAN_STEP:
            yield
    count = len(found)
    yield from _cancel(session, found, Reason.NONE, sequence, now_ns)
    tell_mass_canceled(session, sequence, fields, count, now_ns)


def cancel_all(session: Session, reason: Reason, now_ns: int) -> Iterator[None]:
    """Cancel all live orders of a session, oldest first, a step at a time, which no input of it asked for."""
    found: deque[Order] = deque()
    live = iter(session.live.values())
    while orders := list(islice(live, SCAN_STEP)):
        found += orders
        if len(orders) == SCAN_STEP:
            yield
    yield from _cancel(session, found, reason, 0, now_ns)


def _cancel(session: Session, orders: deque[Order], reason: Reason, input_: int, now_ns: int) -> Iterator[None]:
    """Takes them out of ``orders``: to free all of them at the end would take long."""
    done = 0
    while orders:
        order = orders.popleft()
        remove(order)
        del session.live[order.number]
        tell_canceled(order, reason, input_, 0, now_ns)
        done += 1
        if done % CANCEL_STEP == 0:
            yield


def _fits(fields: Fields) -> bool:
    """Whether all fields that are not used are zero."""
    _, price, quantity, instrument, account, _, flags = fields
    return not (
        price
        or quantity
        or flags & ~MASS_FLAGS
        or (flags & FLAG_SELL and not flags & MASS_SIDE)
        or (instrument and not flags & MASS_INSTRUMENT)
        or (account and not flags & MASS_ACCOUNT)
    )


def _picked(fields: Fields, orders: list[Order]) -> list[Order]:
    """Those of ``orders`` that the fields are about."""
    _, _, _, instrument, account, _, flags = fields
    if flags & MASS_SIDE:
        orders = [order for order in orders if not (order.flags ^ flags) & FLAG_SELL]
    if flags & MASS_INSTRUMENT:
        orders = [order for order in orders if order.instrument == instrument]
    if flags & MASS_ACCOUNT:
        orders = [order for order in orders if order.account == account]
    return orders
