"""A MASS_CANCEL: cancels the resting orders of a session that have its side, instrument and account (FIX 35=q).

The orders go oldest first, each with a CANCELED of its own that names the mass cancel as its input. Then one
MASS_CANCELED, final, tells how many there were; it is there for none, too. An instrument that the engine lacks has no
orders, which is no fault. A record that uses fields which its flags leave out is REJECTED and cancels nothing.

All resting orders of the session are looked through. That takes a while when they are many, so the work comes in steps
and the engine's loop is not held meanwhile. Pure.
"""

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
    found: list[Order] = []
    resting = iter(session.live.values())
    while orders := list(islice(resting, SCAN_STEP)):
        found += _picked(fields, orders)
        if len(orders) == SCAN_STEP:
            yield
    for done, order in enumerate(found, 1):
        remove(order)
        del session.live[order.number]
        tell_canceled(order, Reason.NONE, sequence, 0, now_ns)
        if done % CANCEL_STEP == 0:
            yield
    tell_mass_canceled(session, sequence, fields, len(found), now_ns)


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
