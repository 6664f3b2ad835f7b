"""What reports of the naive book do to the orders of a site: how each of them stands after each report."""

from typing import Final

import attrs

from tests.simulation.oracle.rows import EXPIRED, MAXAGE, Row, State
from tests.simulation.oracle.site import REASONS_HIDDEN, Site

(
    NEW, TRADE, CANCELED, REPLACED, REJECTED, EXPIRED_TYPE, CANCEL_REJECTED, REPLACE_REJECTED, VOIDED, MASS_CANCELED,
    TRIGGERED, EXTENDED,
) = range(1, 13)  # fmt: skip
NAMES: Final = (
    "", "NEW", "TRADE", "CANCELED", "REPLACED", "REJECTED", "EXPIRED", "CANCEL_REJECTED", "REPLACE_REJECTED", "EXPIRED",
    "MASS_CANCELED", "TRIGGERED", "EXTENDED",
)  # fmt: skip


def take_report(site: Site, report: tuple[int, ...]) -> None:
    """One more report that the engine has for it."""
    exec_type, _, taker, final, status, reason, _, _, order_id, input_, _, quantity, price, cum, leaves, _, _ = report
    site.reports.append(report)
    row = site.rows_at(order_id)
    state = -1
    if row is not None and row.states and exec_type not in (CANCEL_REJECTED, REPLACE_REJECTED):
        row.states.append(_after(row.states[-1], exec_type, status, reason, quantity, price, cum + leaves))
        state = len(row.states) - 1
        row.done = row.states[-1].is_done
    site.states.append(state)
    if exec_type not in REASONS_HIDDEN:
        site.shown.append(len(site.reports) - 1)
    if not input_:
        return
    cause = site.rows_at(input_)
    if cause is None:
        return
    is_rejected = exec_type in (REJECTED, CANCEL_REJECTED, REPLACE_REJECTED)
    if cause.batch is not None:
        cause.batch.rejected += is_rejected
        cause.batch.trades += exec_type == TRADE and bool(taker)
        cause.batch.confirmed = cause.batch.confirmed or (bool(final) and input_ == cause.batch.end - 1)
    if final:
        if not cause.states:
            cause.done = True
        _confirm(cause, reason if is_rejected else 0, cum if exec_type == MASS_CANCELED else 0)


def _after(state: State, exec_type: int, status: int, reason: int, quantity: int, price: int, total: int) -> State:
    if exec_type == TRADE:
        cum, notional = state.cum + quantity, state.notional + quantity * price
        return attrs.evolve(state, status=status, cum=cum, notional=notional)
    if exec_type == NEW:
        return attrs.evolve(state, status=status)
    if exec_type == REPLACED:
        return attrs.evolve(state, status=status, total=total)
    if exec_type == VOIDED:
        return attrs.evolve(state, status=EXPIRED, reason=MAXAGE)
    return attrs.evolve(state, status=status, reason=reason, triggered=state.triggered or exec_type == TRIGGERED)


def _confirm(cause: Row, rejected: int, cancelled: int) -> None:
    """All is told that it caused at once."""
    order = cause if cause.states else cause.target
    cause.confirmed = len(order.states) - 1 if order is not None else 0
    cause.rejected, cause.cancelled = rejected, cancelled
