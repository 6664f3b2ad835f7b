"""Who lost his place begins anew with ORDER.LIST ... POSITION and the stream, as docs/EXECUTIONS.md says."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.table import PAGE_ROWS
from orderd.wire.records import RECORD, Kind
from tests.support.histories import History, happenings, words
from tests.support.scale import examples
from tests.support.site import Client, Site, pairs_of, site_settings

OPEN = ("NEW", "PARTIALLY_FILLED", "REPLACED")
NO_ORDER = ("CANCEL_REJECTED", "REPLACE_REJECTED")


class Rebuilt:
    """Open orders by id, as a reader knows them."""

    def __init__(self) -> None:
        self.position = -1
        self.orders: dict[str, tuple[str, str, str]] = {}
        self.fills: dict[str, int] = {}
        self._last = "0"
        self.is_listed = False

    def list_page(self, client: Client, count: int) -> None:
        page = client.call("ORDER.LIST", "OPEN", "POSITION", "COUNT", count, "AFTER", self._last)
        exec_id, orders = page[1], [pairs_of(pairs) for pairs in page[3]]
        if self.position < 0:
            self.position = int(exec_id)
        for order in orders:
            self.orders[order["order_id"]] = order["cum_qty"], order["leaves_qty"], order["status"]
            self.fills[order["order_id"]] = int(order["cum_qty"])
        if orders:
            self._last = orders[-1]["order_id"]
        self.is_listed = len(orders) < count

    def take(self, exec_id: int, execution: dict[str, str]) -> None:
        assert exec_id == self.position + 1
        self.position = exec_id
        order_id = execution["order_id"]
        if execution["exec_type"] in NO_ORDER:
            return
        if execution["exec_type"] == "TRADE" and int(execution["cum_qty"]) > self.fills.get(order_id, 0):
            self.fills[order_id] = self.fills.get(order_id, 0) + int(execution["last_qty"])
        if execution["status"] in OPEN:
            self.orders[order_id] = execution["cum_qty"], execution["leaves_qty"], execution["status"]
        else:
            self.orders.pop(order_id, None)

    def catch_up(self, client: Client) -> None:
        while page := client.call("EXEC.READ", self.position, "COUNT", 3):
            for exec_id, pairs in page:
                self.take(int(exec_id), pairs_of(pairs))


def truth(client: Client) -> dict[str, tuple[str, str, str]]:
    orders: list[dict[str, Any]] = [pairs_of(pairs) for pairs in client.call("ORDER.LIST", "OPEN", "COUNT", 1000)]
    return {order["order_id"]: (order["cum_qty"], order["leaves_qty"], order["status"]) for order in orders}


@settings(max_examples=examples(80))
@given(
    st.lists(st.one_of(words, words, words, happenings, st.tuples(st.just("list"))), min_size=5, max_size=40),
    st.integers(1, 3),
    st.sampled_from([3, 200_000]),
)
def test_list_and_stream_together_are_the_truth(history: list[tuple[object, ...]], count: int, in_memory: int) -> None:
    """Pages of the list are read while orders go on, reports wait for their commit, and daemons are killed."""
    life = History(executions_in_memory=in_memory)
    reader = Rebuilt()
    for name, *values in history:
        if name == "list" and not reader.is_listed:
            reader.list_page(life.site.connect(), count)
        elif name != "list":
            life.do(str(name), *values)
    life.settle()
    client = life.site.connect()
    while not reader.is_listed:
        reader.list_page(client, count)
    reader.catch_up(client)
    assert reader.orders == truth(client)
    for order_id, (cum_qty, _, _) in reader.orders.items():
        assert reader.fills.get(order_id, 0) == int(cum_qty), "no fill is counted twice or left out"


def test_an_order_whose_page_is_retired_while_the_list_is_made_is_in_it() -> None:
    site = Site(site_settings(orders_remembered_max=3 * PAGE_ROWS))
    trader = site.connect()
    rows = range(2 * PAGE_ROWS)
    sides = [int(i % 100 == 0) for i in rows]
    trader.pairs(
        "ORDER.BATCH", "A", b"".join(RECORD.pack(1 + i, 5 + sides[i], 1, 1, 0, Kind.NEW, sides[i]) for i in rows)
    )
    table = site.desk.table
    scan = table.scan(0, table.end, open_only=True)
    found = [order_id for order_id, _ in next(scan)[1]]
    assert found == list(range(1, PAGE_ROWS + 1))
    trader.call("ORDER.MASSCANCEL", "SIDE", "BUY")
    trader.pairs("ORDER.NEW", "x", "AAPL", "BUY", 1, "LIMIT", "0.01")
    table.remembered_max = 0
    site.desk.trim()
    assert 1 not in table._pages
    left = [order_id for _, rows in scan for order_id, _ in rows]
    assert left == [1 + i for i in rows if sides[i] and i >= PAGE_ROWS]


def test_the_list_is_as_new_as_its_position_says() -> None:
    site = Site()
    trader, reader = site.connect(), site.connect()
    trader.pairs("ORDER.NEW", "a", "AAPL", "BUY", 5, "LIMIT", "1.00")
    site.holds_commits = True
    reader.call("HELLO", 3)
    found = reader.call("ORDER.LIST", "ALL", "POSITION", "SYMBOL", "AAPL")
    assert list(found) == [b"exec_id", b"orders"]
    assert (found[b"exec_id"], len(found[b"orders"])) == (b"1", 1)
