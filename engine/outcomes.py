"""Packs the matcher's reports, which are not ranges, and adds them to the log of the session that owns the order."""

from typing import Final

from engine.orders import Fields, Order, Session
from orderd.wire.records import FLAG_SELL
from orderd.wire.reports import FLAG_FINAL, FULL, ExecType, OrderStatus, Reason

_PACK: Final = FULL.pack
_CANCELED: Final = int(ExecType.CANCELED)
_CANCELED_STATUS: Final = int(OrderStatus.CANCELED)
_MASS_CANCELED: Final = int(ExecType.MASS_CANCELED)
_TRADE: Final = int(ExecType.TRADE)
_FILLED: Final = int(OrderStatus.FILLED)
_PARTIALLY_FILLED: Final = int(OrderStatus.PARTIALLY_FILLED)

# The record's side bit is the report's too, so that one mask carries it over.
assert FLAG_SELL == 1


def tell_canceled(order: Order, reason: Reason, input_: int, flags: int, now_ns: int) -> None:
    """CANCELED: nothing of ``order`` is open any more. ``flags`` are the report's, but for the side."""
    order.session.reports.add(
        _PACK(
            _CANCELED, flags | order.flags & FLAG_SELL, _CANCELED_STATUS, reason, order.account, 0, order.instrument, 0,
            order.sequence, input_, order.number, 0, 0, order.filled, 0, 0, now_ns,
        )
    )  # fmt: skip


def tell_expired(order: Order, reason: Reason, now_ns: int) -> None:
    """EXPIRED: nothing of ``order`` is open any more, as its time has come. No input caused it."""
    order.session.reports.add(
        _PACK(
            ExecType.EXPIRED, order.flags & FLAG_SELL, OrderStatus.EXPIRED, reason, order.account, 0, order.instrument,
            0, order.sequence, 0, order.number, 0, 0, order.filled, 0, 0, now_ns,
        )
    )  # fmt: skip


def tell_replaced(order: Order, exec_type: ExecType, reason: Reason, input_: int, flags: int, now_ns: int) -> None:
    """REPLACED or REPLACE_REJECTED: how the live ``order`` stands now. ``flags`` are the report's, but for the side."""
    extras = order.extras
    leaves = order.open if extras is None else order.open + extras.hidden
    order.session.reports.add(
        _PACK(
            exec_type, flags | order.flags & FLAG_SELL, order.status, reason, order.account, 0, order.instrument, 0,
            order.sequence, input_, order.number, 0, 0, order.filled, leaves, 0, now_ns,
        )
    )  # fmt: skip


def tell_triggered(order: Order, now_ns: int) -> None:
    """TRIGGERED: the stop ``order`` acts from now on. No input caused it."""
    tell_replaced(order, ExecType.TRIGGERED, Reason.NONE, 0, 0, now_ns)


def tell_trade(order: Order, lots: int, price: int, trade_id: int, input_: int, flags: int, now_ns: int) -> None:
    """One side of a fill whose lots are already counted in ``order``; ``flags`` are the report's, but for the side."""
    extras = order.extras
    leaves = order.open if extras is None else order.open + extras.hidden
    order.session.reports.add(
        _PACK(
            _TRADE, flags | order.flags & FLAG_SELL, _PARTIALLY_FILLED if leaves else _FILLED, 0,
            order.account, 0, order.instrument, 0, order.sequence, input_, order.number,
            lots, price, order.filled, leaves, trade_id, now_ns,
        )
    )  # fmt: skip


def tell_mass_canceled(session: Session, input_: int, fields: Fields, count: int, now_ns: int) -> None:
    """MASS_CANCELED, final: the input ``input_`` with these ``fields`` cancelled ``count`` orders, told before."""
    number, _, _, instrument, account, _, flags = fields
    session.reports.add(
        _PACK(
            _MASS_CANCELED, flags & FLAG_SELL | FLAG_FINAL, _CANCELED_STATUS, 0, account, 0, instrument, 0,
            0, input_, number, 0, 0, count, 0, 0, now_ns,
        )
    )  # fmt: skip


def refuse(
    session: Session,
    exec_type: ExecType,
    order: int,
    input_: int,
    fields: Fields,
    reason: Reason,
    now_ns: int,
) -> None:
    """The one report, final, of an input that did nothing: there is no order but what the record's ``fields`` say.

    FIX's status of an unknown order is REJECTED (35=9, tag 39); a VOID stands for an order that orderd withdrew.
    """
    number, _, _, instrument, account, _, flags = fields
    status = OrderStatus.CANCELED if exec_type is ExecType.VOIDED else OrderStatus.REJECTED
    session.reports.add(
        _PACK(
            exec_type, flags & FLAG_SELL | FLAG_FINAL, status, reason, account, 0, instrument, 0,
            order, input_, number, 0, 0, 0, 0, 0, now_ns,
        )
    )  # fmt: skip


def tell_extended(session: Session, input_: int, fields: Fields, now_ns: int) -> None:
    """EXTENDED, final: the extension ``input_`` with these ``fields`` was taken in, to be judged with its order."""
    number, _, _, instrument, _, _, _ = fields
    session.reports.add(
        _PACK(
            ExecType.EXTENDED, FLAG_FINAL, OrderStatus.NEW, 0, 0, 0, instrument, 0,
            0, input_, number, 0, 0, 0, 0, 0, now_ns,
        )
    )  # fmt: skip
