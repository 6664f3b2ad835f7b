"""Orders that say more than a record holds: one order each to clients, exactly once, whatever happens between."""

from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.config import EngineSettings, UdpSettings
from orderd.wire.extensions import numbered, pack
from orderd.wire.records import RECORD, Attribute, Kind, Side, TimeInForce, new_flags
from tests.support.scale import examples
from tests.support.site import EPOCH_NS, Client, Site, pairs_of, site_settings

LATER = "2031-11-23T17:00:00.25Z"
EVERYTHING = ("LIMIT", "2.00", "DISPLAY", 3, "STOP", "1.50", "GTD", LATER)
SAID = {"stop_px": "1.50", "display_qty": "3", "expire_time": LATER, "triggered": "0"}


def orders(client: Client, which: str = "ALL") -> list[dict[str, str]]:
    return [pairs_of(order) for order in client.call("ORDER.LIST", which)]


def executions(client: Client) -> list[dict[str, str]]:
    return [pairs_of(pairs) for _, pairs in client.call("EXEC.READ", 0)]


def info(client: Client) -> dict[str, str]:
    lines = client.call("INFO").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def gtd(number: int, expiry_ns: int, *, flags: int | None = None, quantity: int = 5) -> bytes:
    """A batch's GTD order."""
    flags = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.GTD) if flags is None else flags
    extension = numbered(pack(1, [(Attribute.EXPIRY, expiry_ns)]), number)
    return extension + RECORD.pack(number, 100, quantity, 1, 0, Kind.NEW, flags)


def plain(number: int, flags: int = 0) -> bytes:
    return RECORD.pack(number, 100, 5, 1, 0, Kind.NEW, flags)


def test_an_extended_order_is_one_order_to_its_client() -> None:
    site = Site()
    client = site.connect()
    placed = client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 9, *EVERYTHING)
    assert list(placed)[-4:] == ["stop_px", "display_qty", "expire_time", "triggered"]
    assert (placed["order_id"], placed["status"], placed["leaves_qty"]) == ("4", "NEW", "9")
    assert placed.items() >= SAID.items()
    assert client.pairs("ORDER.STATUS", "a") == client.pairs("ORDER.WAIT", "a", 1000) == placed
    assert orders(client) == orders(client, "OPEN") == [placed]
    assert [(e["exec_type"], e["order_id"]) for e in executions(client)] == [("NEW", "4")]
    counts = info(client)
    assert (counts["orders_received_total"], counts["orders_confirmed_udp_total"]) == ("1", "1")
    assert (counts["orders_open"], counts["orders_unconfirmed"]) == ("1", "0")
    client.pairs("ORDER.CANCEL", "a")
    assert site.engine.core.counters.orders == 5, "the three extensions, the order and its cancel"


def test_what_it_said_is_told_while_it_is_queued_too() -> None:
    site = Site()
    client = site.connect()
    queued = client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 9, *EVERYTHING, "MODE", "fire-and-forget")
    assert queued["status"] == "QUEUED"
    assert queued.items() >= SAID.items()
    plain_one = client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 9, "LIMIT", "1.00", "MODE", "fire-and-forget")
    assert not SAID.keys() & plain_one.keys()


@pytest.mark.parametrize("cl_ord_id", ["a", "77"])
def test_the_same_order_again_is_equal_in_all_that_it_says(cl_ord_id: str) -> None:
    site = Site()
    client = site.connect()
    order = ("ORDER.NEW", cl_ord_id, "AAPL", "BUY", 9, "LIMIT", "1.00", "TIF", "GTC", "DISPLAY", 3)
    first = client.pairs(*order)
    for _ in range(2):
        assert client.pairs(*order, "MAXAGE", 5) == first
        for other in (order[:-2], (*order[:-2], "DISPLAY", 4), (*order[:-2], "MINQTY", 3), (*order, "MINQTY", 3)):
            assert client.error(*other) == f"DUPLICATE {cl_ord_id} is another order"
        assert client.error(*order, "STP", "CANCEL_BOTH").startswith("DUPLICATE")
        site.start()
        client = site.connect()
    assert site.desk.table.end == 3


def test_it_is_the_same_after_its_extensions_rows_were_forgotten() -> None:
    site = Site(site_settings(orders_remembered_max=2))
    client = site.connect()
    order = ("ORDER.NEW", "a", "AAPL", "BUY", 9, "LIMIT", "1.00", "DISPLAY", 3, "GTD", LATER)
    first = client.pairs(*order)
    for i in range(9_000):
        client.send("ORDER.NEW", f"x{i}", "AAPL", "SELL", 1, "LIMIT", "9.00", "TIF", "IOC", "MODE", "fire-and-forget")
        if i % 500 == 0:
            site.pump()
    site.pump()
    client.replies()
    site.desk.trim()
    assert not site.desk.table.remembers(1)
    assert site.desk.table.locate(1) is None
    assert client.pairs(*order) == client.pairs("ORDER.STATUS", "a") == first
    assert client.error(*order[:-2]) == "DUPLICATE a is another order"


def test_a_time_that_is_over_is_refused_unless_the_order_is_known() -> None:
    site = Site()
    client = site.connect()
    at_ms = site.now_ns // 1_000_000 + 50
    order = ("ORDER.NEW", "a", "AAPL", "BUY", 9, "LIMIT", "1.00", "GTD", at_ms)
    placed = client.pairs(*order)
    site.now += 10
    assert client.pairs(*order)["order_id"] == placed["order_id"]
    assert client.error("ORDER.NEW", "b", *order[2:]) == "BADORDER GTD is in the past"
    assert client.call("ORDER.BATCH", "B", gtd(1, site.now_ns + 1))
    site.now += 10
    assert client.call("ORDER.BATCH", "B", gtd(1, site.now_ns - 10**10 + 1)), "a batch that is known"
    late = plain(3) + gtd(4, site.now_ns + 1) + gtd(2, site.now_ns)
    assert client.error("ORDER.BATCH", "C", late) == "BADORDER record 3: its expiry is in the past"


def test_a_batch_counts_orders_and_not_what_they_say_beyond() -> None:
    site = Site()
    client = site.connect()
    post_only = new_flags(Side.SELL, market=False, time_in_force=TimeInForce.DAY, post_only=True)
    records = gtd(1, EPOCH_NS + 10**15) + plain(2) + gtd(3, EPOCH_NS + 10**15) + plain(4, post_only) + plain(5, 1)
    expected = {
        "batch_id": "B", "orders": "5", "status": "DONE", "accepted": "4", "rejected": "1", "trades": "1",
        "first_order_id": "1",
    }  # fmt: skip
    for _ in range(2):
        assert client.pairs("ORDER.BATCH", "B", records) == expected
        assert [order["order_id"] for order in orders(client)] == ["2", "3", "5", "6", "7"]
        assert info(client)["orders_received_total"] in ("5", "0")
        site.start()
        client = site.connect()
    assert client.pairs("ORDER.STATUS", "1")["expire_time"] == "2023-11-26T12:00:00Z"
    assert client.pairs("ORDER.STATUS", "4")["reason"] == "POST_ONLY"


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (gtd(1, EPOCH_NS * 2)[:32], "record 0: it stands before no order of its number and instrument"),
        (gtd(1, EPOCH_NS * 2)[:32] + plain(2), "record 0: it stands before no order of its number and instrument"),
        (plain(2) + gtd(1, EPOCH_NS * 2, flags=0), "record 2: GTD does not go with TIF DAY: an order has one time"),
        (plain(2) + gtd(1, EPOCH_NS * 2)[32:], "record 1: TIF GTD needs the time when the order expires: GTD time"),
    ],
)
def test_a_batch_whose_extensions_do_not_fit_is_refused_whole(records: bytes, why: str) -> None:
    site = Site()
    assert site.connect().error("ORDER.BATCH", "B", records).startswith(f"BADORDER {why}")
    assert site.desk.table.end == 1


def test_extensions_take_room_like_orders() -> None:
    site = Site(site_settings(orders_unconfirmed_max=4))
    client = site.connect()
    site.engine.up = False
    client.send(
        "ORDER.NEW", "a", "AAPL", "BUY", 9, "LIMIT", "2.00", "DISPLAY", 3, "GTD", LATER, "MODE", "fire-and-forget"
    )
    site.pump()
    client.replies()
    assert client.error("ORDER.NEW", "b", "AAPL", "BUY", 9, "LIMIT", "2.00", "DISPLAY", 3).startswith("FULL")
    assert site.desk.table.end == 4
    assert client.pairs("ORDER.NEW", "c", "AAPL", "BUY", 9, "LIMIT", "2", "MODE", "fire-and-forget")["order_id"] == "4"


@pytest.mark.parametrize("restart", ["none", "engine", "orderd", "both"])
@pytest.mark.parametrize("too_old", [False, True])
def test_an_extension_in_one_datagram_and_its_order_in_the_next(too_old: bool, restart: str) -> None:
    """The first datagram is executed and its answer lost: it ends with an extension, and the order is not sent yet."""
    udp = UdpSettings(datagram_bytes_max=512, window_datagrams=1)
    site = Site(site_settings(other={"udp": udp, "engine": EngineSettings(transport="udp-only")}))
    client, answers = site.connect(), site.engine.round
    with mock.patch.object(site.engine, "round", lambda now_ns: answers(now_ns)[:0]):
        site.holds_commits = True
        client.send("ORDER.BATCH", "B", b"".join(map(plain, range(100, 113))))
        client.send("ORDER.NEW", "old", "AAPL", "SELL", 90, "LIMIT", "9.00", "DISPLAY", 3, "MAXAGE", 400)
        client.send("ORDER.NEW", "next", "AAPL", "SELL", 8, "LIMIT", "9.00")
        site.holds_commits = False
        site.pump()
        assert site.engine.core.counters.orders == site.desk.table.end - 3 == 14
        if too_old:
            site.advance(1)
    if restart in ("engine", "both"):
        site.engine.start()
    if restart in ("orderd", "both"):
        site.start()
        client = site.connect()
    site.advance(2)
    client.replies()
    old, after = client.pairs("ORDER.STATUS", "old"), client.pairs("ORDER.STATUS", "next")
    assert (after["status"], after["leaves_qty"]) == ("NEW", "8")
    assert old["display_qty"] == "3"
    asks = client.call("BOOK", "AAPL")[5]
    if too_old:
        assert old["reason"] == "MAXAGE"
        assert asks == [[b"9.00", b"8", b"1"]], "what was said of the one is not said of the next"
    else:
        assert (old["status"], old["leaves_qty"]) == ("NEW", "90")
        assert asks == [[b"9.00", b"11", b"2"]]


def test_a_stop_order_tells_when_it_was_triggered() -> None:
    site = Site()
    client = site.connect()
    client.pairs("ORDER.NEW", "bid", "AAPL", "BUY", 9, "LIMIT", "1.00")
    client.pairs("ORDER.NEW", "stop", "AAPL", "SELL", 3, "MARKET", "STOP", "1.00", "TIF", "GTC")
    changed = client.pairs("ORDER.REPLACE", "stop", 2, "1.00")
    assert (changed["status"], changed["reason"]) == ("NEW", "NOT_SUPPORTED")
    client.pairs("ORDER.NEW", "hit", "AAPL", "SELL", 1, "LIMIT", "1.00")
    for _ in range(2):
        stop = client.pairs("ORDER.STATUS", "stop")
        assert (stop["status"], stop["cum_qty"], stop["triggered"]) == ("FILLED", "3", "1")
        mine = [e for e in executions(client) if e["cl_ord_id"] == "stop"]
        assert [e["exec_type"] for e in mine] == ["NEW", "REPLACE_REJECTED", "TRIGGERED", "TRADE"]
        assert (mine[2]["status"], mine[2]["leaves_qty"]) == ("NEW", "3")
        site.start()
        client = site.connect()


def test_transactions_and_batches_take_extended_orders_whole() -> None:
    site = Site()
    client = site.connect()
    for words in (("MULTI",), ("ORDER.NEW", "a", "AAPL", "BUY", 9, *EVERYTHING), ("ORDER.CANCEL", "a")):
        client.call(*words)
    placed, cancelled = map(pairs_of, client.call("EXEC"))
    assert (placed["order_id"], cancelled["status"]) == ("4", "CANCELED")
    assert sum(kind == 4 or kind == 7 for commit in site.journal for kind, _ in commit) == 1


WORDS = st.sampled_from([("DISPLAY", 1), ("GTD", LATER), ("STOP", "0.02"), ("MINQTY", 2), ("STP", "CANCEL_OLDEST")])


@settings(max_examples=examples(60))
@given(data=st.data())
def test_a_kill_of_either_end_between_an_extension_and_its_order_changes_nothing(data: st.DataObject) -> None:
    """The same orders with and without kills end in the same state of the engine, and the same executions."""
    placed: list[tuple[Any, ...]] = []
    for i in range(data.draw(st.integers(1, 8))):
        side, price = data.draw(st.sampled_from(["BUY", "SELL"])), data.draw(st.sampled_from(["0.01", "0.02", "0.03"]))
        options = [word for pair in data.draw(st.lists(WORDS, unique=True, max_size=3)) for word in pair]
        placed.append((f"o{i}", "AAPL", side, data.draw(st.integers(2, 4)), "LIMIT", price, *options))
    ends = []
    for kills in (False, True):
        site = Site()
        client = site.connect()
        for order in placed:
            if kills and data.draw(st.booleans()):
                site.engine.up = False
            client.send("ORDER.NEW", *order, "MODE", "fire-and-forget")
            site.pump()
            happening = data.draw(st.sampled_from(["", "orderd", "engine", "both", "time"])) if kills else ""
            if happening in ("engine", "both"):
                site.engine.start()
            if happening in ("orderd", "both"):
                site.start()
                client = site.connect()
            site.engine.up = True
            if happening == "time":
                site.advance(0.5)
        for _ in range(8):
            site.advance(0.25)
        assert not site.desk.unconfirmed
        shown = [{k: v for k, v in e.items() if k != "transact_time_ns"} for e in executions(site.connect())]
        matcher = site.engine.core.matcher
        matcher.check_invariants()
        ends.append((shown, orders(site.connect()), site.desk.table.end))
    assert ends[0] == ends[1]
