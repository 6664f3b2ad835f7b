"""All that an order can say, from a socket to the engine's book and back, and kills in the middle of it."""

import datetime
from collections.abc import Callable
from typing import Final

import pytest

from tests.support.accounts import account_of
from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient, RespError, pack
from tests.support.scale import SCALE

MakeSite = Callable[..., Site]
NewId = Callable[[], str]
LATER: Final = "2199-11-23T17:00:00Z"
ORDERS: Final = 150
"""Before each kill."""
SHOWN: Final = 3


@pytest.fixture
def empty(client: RespClient) -> RespClient:
    """The shared site's client, with nothing in the book."""
    client.call("ORDER.MASSCANCEL")
    return client


def place(client: RespClient, name: str, side: str, quantity: int, price: str, *options: str | int) -> dict[str, str]:
    kind = ("MARKET",) if price == "MARKET" else ("LIMIT", price)
    order: dict[str, str] = client.call("ORDER.NEW", name, "AAPL", side, quantity, *kind, *options)
    return order


def told(client: RespClient, name: str) -> list[str]:
    """The types of the executions of an order, with the reason where there is one."""
    found = [pairs for _, pairs in client.executions() if pairs["cl_ord_id"] == name]
    return [" ".join(filter(None, (pairs["exec_type"], pairs.get("reason")))) for pairs in found]


def test_a_post_only_order_rests_or_is_rejected(empty: RespClient, new_id: NewId) -> None:
    resting, crossing, sell = new_id(), new_id(), new_id()
    assert place(empty, resting, "BUY", 5, "10.00", "POSTONLY")["status"] == "NEW"
    rejected = place(empty, crossing, "SELL", 5, "10.00", "POSTONLY")
    assert (rejected["status"], rejected["reason"]) == ("REJECTED", "POST_ONLY")
    place(empty, sell, "SELL", 5, "10.05", "POSTONLY")
    untouched = empty.call("ORDER.REPLACE", sell, 5, "10.00")
    assert (untouched["status"], untouched["reason"]) == ("NEW", "POST_ONLY")
    assert told(empty, sell) == ["NEW", "REPLACE_REJECTED POST_ONLY"]
    assert empty.call("BOOK", "AAPL")["asks"] == [["10.05", "5", "1"]]


@pytest.mark.parametrize(
    ("how", "mine", "other"),
    [
        ("NONE", ("FILLED", "5"), ("FILLED", "5")),
        ("CANCEL_NEWEST", ("CANCELED", "0"), ("NEW", "0")),
        ("CANCEL_OLDEST", ("NEW", "0"), ("CANCELED", "0")),
        ("CANCEL_BOTH", ("CANCELED", "0"), ("CANCELED", "0")),
    ],
)
def test_self_trade_prevention_is_by_account(
    empty: RespClient, new_id: NewId, how: str, mine: tuple[str, str], other: tuple[str, str]
) -> None:
    resting, incoming = new_id(), new_id()
    place(empty, resting, "BUY", 5, "10.00", "ACCOUNT", 4)
    place(empty, incoming, "SELL", 5, "10.00", "ACCOUNT", 4, "STP", how)
    for name, expected in ((incoming, mine), (resting, other)):
        order = empty.call("ORDER.STATUS", name)
        assert (order["status"], order["cum_qty"]) == expected
        assert order.get("reason") == ("SELF_TRADE" if expected[0] == "CANCELED" else None)
    empty.call("ORDER.MASSCANCEL")
    place(empty, new_id(), "BUY", 5, "10.00", "ACCOUNT", 5)
    assert place(empty, new_id(), "SELL", 5, "10.00", "ACCOUNT", 4, "STP", how)["status"] == "FILLED"


def test_an_iceberg_shows_no_more_than_it_said(empty: RespClient, new_id: NewId) -> None:
    iceberg, behind = new_id(), new_id()
    order = place(empty, iceberg, "BUY", 10, "10.00", "DISPLAY", SHOWN)
    assert (order["leaves_qty"], order["display_qty"]) == ("10", "3")
    place(empty, behind, "BUY", 2, "10.00")
    assert empty.call("BOOK", "AAPL")["bids"] == [["10.00", "5", "2"]]
    assert place(empty, new_id(), "SELL", 4, "10.00")["status"] == "FILLED"
    assert empty.call("ORDER.STATUS", behind)["cum_qty"] == "1", "the next slice is behind it"
    assert empty.call("BOOK", "AAPL")["bids"] == [["10.00", "4", "2"]]
    assert place(empty, new_id(), "SELL", 8, "10.00", "TIF", "FOK")["status"] == "FILLED", "what hides counts"


def test_a_minimum_quantity_is_traded_at_once_or_nothing_is(empty: RespClient, new_id: NewId) -> None:
    place(empty, new_id(), "BUY", 5, "10.00")
    short = place(empty, new_id(), "SELL", 9, "10.00", "MINQTY", 6)
    assert (short["status"], short["cum_qty"], short["reason"]) == ("CANCELED", "0", "MINIMUM_QUANTITY")
    enough = place(empty, new_id(), "SELL", 9, "10.00", "MINQTY", 5)
    assert (enough["status"], enough["cum_qty"], enough["min_qty"]) == ("PARTIALLY_FILLED", "5", "5")


def test_stop_orders_wait_for_their_trigger_and_then_act(empty: RespClient, new_id: NewId) -> None:
    market, limit, gone, fresh = new_id(), new_id(), new_id(), new_id()
    place(empty, new_id(), "BUY", 20, "9.00")
    place(empty, new_id(), "BUY", 1, "9.50")
    assert place(empty, market, "SELL", 2, "MARKET", "STOP", "9.50", "TIF", "GTC")["triggered"] == "0"
    place(empty, limit, "SELL", 3, "9.20", "STOP", "9.40")
    place(empty, gone, "SELL", 3, "9.20", "STOP", "9.50")
    assert empty.call("ORDER.REPLACE", limit, 4, "9.10")["status"] == "REPLACED"
    assert empty.call("ORDER.REPLACE", market, 4, "9.10")["reason"] == "NOT_SUPPORTED"
    assert empty.call("ORDER.CANCEL", gone)["status"] == "CANCELED"
    assert empty.call("BOOK", "AAPL")["asks"] == []
    place(empty, new_id(), "SELL", 1, "9.50")
    wait_until(lambda: empty.call("ORDER.STATUS", market)["status"] == "FILLED", "its trigger was reached")
    assert told(empty, market) == ["NEW", "REPLACE_REJECTED NOT_SUPPORTED", "TRIGGERED", "TRADE"]
    # The first one's own trade, at 9.00, is the trigger of the second.
    wait_until(lambda: empty.call("ORDER.STATUS", limit)["triggered"] == "1", "its trigger was reached")
    assert told(empty, limit) == ["NEW", "REPLACED", "TRIGGERED"]
    assert empty.call("BOOK", "AAPL")["asks"] == [["9.10", "4", "1"]]
    assert told(empty, gone) == ["NEW", "CANCELED"]
    place(empty, fresh, "SELL", 2, "MARKET", "STOP", "9.90")
    wait_until(lambda: empty.call("ORDER.STATUS", fresh)["status"] == "FILLED", "the last trade is its trigger")


def test_an_order_good_till_a_time_expires_then(empty: RespClient, new_id: NewId) -> None:
    name, stays = new_id(), new_id()
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=1)
    order = place(empty, name, "BUY", 5, "10.00", "GTD", soon.isoformat().replace("+00:00", "Z"))
    assert order["status"] == "NEW"
    assert datetime.datetime.fromisoformat(order["expire_time"]) == soon
    assert place(empty, stays, "BUY", 5, "10.00", "GTD", LATER)["expire_time"] == LATER
    wait_until(lambda: empty.call("ORDER.STATUS", name)["status"] == "EXPIRED", "its time comes")
    assert told(empty, name) == ["NEW", "EXPIRED EXPIRED"]
    assert empty.call("BOOK", "AAPL")["bids"] == [["10.00", "5", "1"]]
    again = empty.ask("ORDER.NEW", new_id(), "AAPL", "BUY", 5, "LIMIT", "10.00", "GTD", order["expire_time"])
    assert isinstance(again, RespError) and again.text == "BADORDER GTD is in the past"


def extended(start: int, end: int) -> bytes:
    """Commands for icebergs good till a time: two extensions before each order."""
    return b"".join(
        pack(
            "ORDER.NEW", f"x{i}", "AAPL", "BUY", 10, "LIMIT", "1.00", "DISPLAY", SHOWN, "GTD", LATER,
            "MODE", "fire-and-forget",
        )
        for i in range(start, end)
    )  # fmt: skip


def test_kills_between_an_extension_and_its_order_lose_and_repeat_nothing(make_site: MakeSite) -> None:
    """Small datagrams, so that many an order travels apart from what it says."""
    site = make_site(orderd={"udp.datagram_bytes_max": 512, "udp.window_datagrams": 2}).start()
    acknowledged: list[str] = []
    for victims in (("engine",), ("orderd",), ("engine", "orderd")) * SCALE:
        start = len(acknowledged)
        with site.client() as client:
            for reply in client.exchange(extended(start, start + ORDERS), ORDERS):
                assert reply["status"] == "QUEUED"
                acknowledged.append(reply["cl_ord_id"])
        for victim in victims:
            getattr(site, victim).kill()
        for victim in victims:
            site.start_engine(wait=False) if victim == "engine" else site.start_orderd()
    count = len(acknowledged)
    with site.client() as client:
        assert {reply["status"] for reply in client.exchange(extended(0, count), count)} <= {"NEW", "QUEUED"}
        site.wait_confirmed()
        account = account_of(client.executions())
        assert account.types == {"NEW": count}
        assert [order.cl_ord_id for order in account.orders.values()] == acknowledged
        assert list(account.orders) == list(range(3, 3 * count + 1, 3)), "each after its two extensions"
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", str(SHOWN * count), str(count)]]
        assert client.call("ORDER.STATUS", "x0")["expire_time"] == LATER
        assert client.call("ORDER.MASSCANCEL") == {"cancelled": str(count)}
