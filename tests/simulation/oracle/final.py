"""The end, when nothing is under way any more: all that a daemon shows must be what the naive book comes to."""

from typing import Any

import hiredis

from tests.simulation.oracle.applied import Engine
from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.market import BY_ID, Market
from tests.simulation.oracle.orders_told import pairs_of
from tests.simulation.oracle.outcomes import TRADE
from tests.simulation.oracle.rows import NAMES_BY_REASON, STATUSES, Row
from tests.simulation.oracle.said import NEW
from tests.simulation.oracle.site import Site

Pairs = dict[str, str]


def check_orders(site: Site, orders: list[Pairs]) -> None:
    """ORDER.LIST ALL: each order as it is; all of them, but for those that may be forgotten."""
    listed = {int(pairs["order_id"]): pairs for pairs in orders}
    for row in site.rows:
        if row.kind != NEW:
            continue
        pairs = listed.pop(row.order_id, None)
        if pairs is None and not site.may_forget(row.order_id):
            raise Contradiction("final", f"{site.name}: order {row} is not listed in the end")
        if pairs is not None:
            _check_order(site, row, pairs)
    if listed:
        raise Contradiction("final", f"{site.name}: what is listed in the end was never journaled: {listed}")


def _check_order(site: Site, row: Row, pairs: Pairs) -> None:
    state, market = row.states[-1], row.market
    expected = {
        "cl_ord_id": row.name.decode(), "symbol": market.symbol, "side": ("BUY", "SELL")[row.fields[6] & 1],
        "status": STATUSES[state.status], "quantity": market.quantity(state.total),
        "cum_qty": market.quantity(state.cum), "avg_px": market.average(state.notional, state.cum),
        "leaves_qty": market.quantity(0 if state.is_done else state.total - state.cum),
    }  # fmt: skip
    if state.reason:
        expected["reason"] = NAMES_BY_REASON[state.reason]
    found = {key: pairs.get(key) for key in expected}
    if found != expected or ("reason" in pairs) != bool(state.reason):
        raise Contradiction("final", f"{site.name}: order {row} is {pairs} in the end, and must be {expected}")


def check_applied(site: Site, engine: Engine) -> None:
    """Everything that was journaled was executed, and all of its reports are journaled."""
    sessions = [session for session in engine.sessions.values() if session.site is site]
    executed = sessions[0].sequence if sessions else 0
    if executed != len(site.rows):
        left = ", ".join(str(row) for row in site.rows[executed : executed + 5])
        raise Contradiction("lost", f"{site.name}: {len(site.rows)} are journaled, {executed} executed; not {left}")
    if site.journaled != len(site.reports):
        raise Contradiction("final", f"{site.name}: {site.journaled} reports are journaled of {len(site.reports)}")
    for session in engine.sessions.values():
        if session.site is None and session.sequence:
            raise Contradiction("invented", f"{session} has {session.sequence} records")


def check_positions(site: Site, reply: Any) -> None:
    """What accounts hold: trades, and what is open."""
    expected: dict[tuple[int, int], list[int]] = {}
    last_px: dict[int, int] = {}
    for report in site.reports:
        if report[0] == TRADE:
            sell, account, instrument, quantity = report[1], report[6], report[7], report[11]
            held = expected.setdefault((account, instrument), [0, 0, 0])
            held[0] += -quantity if sell else quantity
            last_px[instrument] = report[12]
    for row in site.rows:
        if row.kind == NEW and row.is_open:
            _, _, _, instrument, account, _, flags = row.fields
            held = expected.setdefault((account, instrument), [0, 0, 0])
            held[1 + (flags & 1)] += row.states[-1].total - row.states[-1].cum
    wanted = [_position(key, held, last_px) for key, held in sorted(expected.items()) if any(held)]
    found = [pairs_of(one) for one in reply]
    if found != wanted:
        raise Contradiction("final", f"{site.name}: POSITIONS are {found} in the end, and must be {wanted}")


def _position(key: tuple[int, int], held: list[int], last_px: dict[int, int]) -> Pairs:
    account, instrument = key
    market = BY_ID[instrument]
    net, buy, sell = (market.quantity(lots) for lots in held)
    pairs = {"account": str(account), "symbol": market.symbol, "net": net, "open_buy": buy, "open_sell": sell}
    return pairs | ({"last_px": market.price(last_px[instrument])} if instrument in last_px else {})


def levels_of(market: Market, depth: list[tuple[int, int, int]], most: int) -> list[list[bytes]]:
    """As BOOK shows them."""
    return [
        [market.price(price).encode(), market.quantity(lots).encode(), b"%d" % orders]
        for price, lots, orders in depth[:most]
    ]


def check_books(site: Site, books: dict[str, Any], engine: Engine) -> None:
    """BOOK of each symbol."""
    for market in BY_ID.values():
        if market.symbol not in books:
            continue
        found = books[market.symbol]
        if isinstance(found, hiredis.ReplyError):
            raise Contradiction("final", f"{site.name}: BOOK {market.symbol} is answered -{found} in the end")
        values = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
        wanted = [levels_of(market, side, 1000) for side in engine.depth(market.id)]
        if [values[b"bids"], values[b"asks"]] != wanted:
            raise Contradiction("final", f"{site.name}: the book is {found} in the end, and must be {wanted}")


def check_info(site: Site, info: Pairs) -> None:
    """Counters that must be so when nothing is under way."""
    orders = [row for row in site.rows if row.kind == NEW]
    expected = {
        "orders_queued": 0, "orders_unconfirmed": 0, "orders_open": sum(row.is_open for row in orders),
        "orders_last_id": len(site.rows), "executions_last_id": site.executions, "journal_epoch": site.epoch,
    }  # fmt: skip
    found = {key: int(info[key]) for key in expected}
    if found != expected:
        raise Contradiction("final", f"{site.name}: INFO has {found} in the end, and must have {expected}")
    remembered, most = int(info["orders_remembered"]), site.limits.remembered_max
    if remembered > most:
        raise Contradiction("bounds", f"{site.name}: {remembered} done orders are remembered, at most {most} may be")
