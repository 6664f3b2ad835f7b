"""What a stream of executions says as a whole: an account of every order, checked for what must hold in any stream.

Ids without a gap, an order's NEW before all else and once, quantities that add up, trades with two sides that agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import attrs

Pairs = Mapping[str, str]


@attrs.define
class OrderAccount:
    """One order as its executions tell it."""

    cl_ord_id: str
    order_id: int
    side: str
    symbol: str
    leaves: int
    cum: int = 0
    done: bool = False
    executions: int = 1


@attrs.define
class Account:
    """All of them. ``orders`` by ``order_id``, in the order of their NEWs."""

    orders: dict[int, OrderAccount] = attrs.field(factory=dict)
    refused: dict[int, str] = attrs.field(factory=dict)
    """Reason by ``order_id`` of orders that were REJECTED, or EXPIRED before they were accepted."""
    trades: dict[str, list[Pairs]] = attrs.field(factory=dict)
    types: Counter[str] = attrs.field(factory=Counter)
    last_id: int = 0

    def by_cl_ord_id(self) -> dict[str, OrderAccount]:
        """The accepted orders by their clients' ids, each of which is there once."""
        found = {order.cl_ord_id: order for order in self.orders.values()}
        assert len(found) == len(self.orders), "a cl_ord_id is there twice"
        return found

    def levels(self, symbol: str, price_of: Mapping[str, str]) -> dict[str, dict[str, tuple[int, int]]]:
        """Open quantity and number of orders by side and price; ``price_of`` says the price of a ``cl_ord_id``."""
        found: dict[str, dict[str, tuple[int, int]]] = {"BUY": {}, "SELL": {}}
        for order in self.orders.values():
            if order.symbol == symbol and not order.done:
                side, price = found[order.side], price_of[order.cl_ord_id]
                quantity, orders = side.get(price, (0, 0))
                side[price] = (quantity + order.leaves, orders + 1)
        return found


def account_of(executions: Iterable[tuple[int, Pairs]], after: int = 0) -> Account:
    """The account of the executions behind ``after``, all there are; AssertionError if they do not fit together."""
    account = Account(last_id=after)
    for exec_id, pairs in executions:
        assert exec_id == account.last_id + 1, f"execution {exec_id} follows {account.last_id}"
        account.last_id = exec_id
        account.types[pairs["exec_type"]] += 1
        _take(account, pairs)
    for trade_id, sides in account.trades.items():
        assert sorted(side["liquidity"] for side in sides) == ["MAKER", "TAKER"], f"trade {trade_id}: {sides}"
        assert len({(side["last_qty"], side["last_px"], side["symbol"]) for side in sides}) == 1, f"trade {trade_id}"
        assert {side["side"] for side in sides} == {"BUY", "SELL"}, f"trade {trade_id}"
    return account


def _take(account: Account, pairs: Pairs) -> None:
    kind, order_id = pairs["exec_type"], int(pairs["order_id"])
    if kind == "NEW":
        assert order_id not in account.orders, f"order {order_id} is NEW twice"
        assert not account.orders or order_id > next(reversed(account.orders)), f"order {order_id} out of turn"
        account.orders[order_id] = OrderAccount(
            pairs["cl_ord_id"], order_id, pairs["side"], pairs["symbol"], int(pairs["leaves_qty"])
        )
        return
    if kind == "REJECTED" or (kind, pairs.get("reason")) == ("EXPIRED", "MAXAGE"):
        assert order_id not in account.orders, f"order {order_id} is {kind} after NEW"
        account.refused[order_id] = pairs["reason"]
        return
    if kind in ("CANCEL_REJECTED", "REPLACE_REJECTED"):
        return
    order = account.orders[order_id]
    assert not order.done, f"order {order_id} is done, then {kind}"
    order.executions += 1
    if kind == "TRADE":
        account.trades.setdefault(pairs["trade_id"], []).append(pairs)
        order.cum += int(pairs["last_qty"])
        order.leaves -= int(pairs["last_qty"])
        assert (order.cum, order.leaves) == (int(pairs["cum_qty"]), int(pairs["leaves_qty"])), (
            f"order {order_id}: {pairs}"
        )
        order.done = order.leaves == 0
    elif kind == "TRIGGERED":
        assert not order.cum, f"order {order_id}: {pairs}"
        assert order.leaves == int(pairs["leaves_qty"]), f"order {order_id}: {pairs}"
    elif kind == "REPLACED":
        assert order.cum == int(pairs["cum_qty"]), f"order {order_id}: {pairs}"
        order.leaves = int(pairs["leaves_qty"])
    else:
        assert kind in ("CANCELED", "EXPIRED") and order.cum == int(pairs["cum_qty"]), f"order {order_id}: {pairs}"
        order.leaves, order.done = 0, True
