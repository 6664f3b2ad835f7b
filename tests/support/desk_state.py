"""What a desk holds, to compare one that was restarted with what it was."""

from typing import Any

from orderd.orders.desk import Desk


def numbers(desk: Desk) -> dict[str, object]:
    """What is counted and what is in force, beyond what clients can ask for."""
    positions = desk.positions
    positions.settle()
    return {
        "positions": {
            (p.account.number, p.instrument): (p.net, p.open, p.orders)
            for p in positions.by_key.values()
            if not p.is_empty
        },
        "accounts": {number: account.orders for number, account in positions.accounts.items() if account.orders},
        "prices": (positions.last_px, positions.prices),
        "replaces": (positions._replaces, positions._targets),
        "trading": (desk.trading.state, desk.trading.accounts, desk.trading.restricts),
        "guards": guarded(desk),
        "executions": (desk.executions.first, desk.executions.next),
        "batches": (list(desk.batches._remembered), desk.batches._kept, desk.batches._by_id),
    }  # fmt: skip


def guarded(desk: Desk) -> dict[int, list[int]]:
    """Live orders by guard, of those that have not ended; those that are ending are not ended in the journal either."""
    found = {}
    for guard in (*desk.guards._by_id.values(), *desk.guards.ending):
        rows = {row for run in (*guard.runs, guard.last) for row in desk.table.live_orders(*run)}
        if rows:
            found[guard.id] = sorted(rows)
    return found


def state(desk: Desk) -> dict[str, Any]:
    """All there is to it, also what nobody can see."""
    table, index = desk.table, desk.executions.index
    rows = {}
    for order_id in range(1, table.end):
        place = table.locate(order_id)
        if place is not None:
            page, row = place
            columns = [page.record(row), page.status[row], page.path[row], page.reason[row], page.ids and page.ids[row]]
            columns += [page.cum_qty[row], page.notional[row]] if page.cum_qty and page.notional else [0, 0]
            columns += [page.quantity.get(row), page.cancelled.get(row), row in page.triggered]
            rows[order_id] = (*columns, table.extensions(order_id), table.remembers(order_id))
    ids = set(desk.ids._texts) | {b"%d" % n for n in range(400)}
    return {
        **numbers(desk),
        "rows": rows,
        "table": (table.base, table.end, table.done, table.open, list(table._late), table._late_ids),
        "ids": {text: desk.find(text) for text in ids},
        "read": list(desk.executions.read(desk.executions.first_in_memory - 1, 10**6)),
        "marks": (desk.committed_end, desk.outcomes.confirmed_end, desk.reports_next, desk.reports_journaled),
        "ages": (list(desk._ages._undecided), desk._ages._void),
        "index": index and (index._executions, index._orders, index._locations, index.newest_segment),
    }
