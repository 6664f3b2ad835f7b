"""MAXAGE, mass cancels and the halt of trading with real processes, over restarts and a kill."""

from collections.abc import Callable
from typing import Final

from tests.support.accounts import account_of
from tests.support.processes import Site
from tests.support.resp_client import RespError

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
QUEUED: Final = ("MODE", "fire-and-forget")


def test_an_order_too_old_for_the_engine_that_comes_at_last_is_expired_also_after_a_kill(make_site: MakeSite) -> None:
    site = make_site()
    site.start_orderd()
    with site.client() as client:
        client.call("ORDER.NEW", "before", *LIMIT, "MAXAGE", 1, *QUEUED)
        client.call("ORDER.NEW", "patient", *LIMIT, "MAXAGE", 86_400_000, *QUEUED)
    site.orderd.kill()
    site.start_orderd()
    with site.client() as client:
        client.call("ORDER.NEW", "after", *LIMIT, "MAXAGE", 1, *QUEUED)
        client.call("ORDER.NEW", "plain", *LIMIT, *QUEUED)
        site.start_engine()
        assert client.call("ORDER.WAIT", "plain", 10_000)["status"] == "NEW"
        site.wait_confirmed()
        for name in ("before", "after"):
            order = client.call("ORDER.STATUS", name)
            assert (order["status"], order["reason"], order["cum_qty"]) == ("EXPIRED", "MAXAGE", "0")
        account = account_of(client.executions())
        assert [order.cl_ord_id for order in account.orders.values()] == ["patient", "plain"]
        assert set(account.refused.values()) == {"MAXAGE"}
        levels = client.call("BOOK", "AAPL")
        assert levels["bids"] == [["1.00", "2", "2"]]


def test_trading_stays_halted_over_a_kill_and_orders_can_be_taken_away_meanwhile(site: Site) -> None:
    with site.client() as client:
        for i in range(3):
            client.call("ORDER.NEW", f"a{i}", *LIMIT, "ACCOUNT", i)
        assert client.call("TRADING", "HALTED") == "OK"
        assert client.call("TRADING", "HALTED") == "OK"
    assert site.orderd.log.count("trading HALTED") == 1
    site.orderd.kill()
    site.start_orderd()
    assert "trading=HALTED" in site.orderd.log
    site.wait_connected()
    with site.client() as client:
        assert (client.call("TRADING"), client.info()["trading"]) == ("HALTED", "HALTED")
        refused = client.ask("ORDER.NEW", "b", *LIMIT)
        assert isinstance(refused, RespError) and refused.text == "HALTED trading is halted"
        assert client.call("ORDER.CANCEL", "a0")["status"] == "CANCELED"
        assert client.call("ORDER.MASSCANCEL", "ACCOUNT", 2) == {"cancelled": "1"}
        assert client.call("ORDER.MASSCANCEL") == {"cancelled": "1"}
        assert client.call("TRADING", "ACTIVE") == "OK"
        assert client.call("ORDER.NEW", "b", *LIMIT)["status"] == "NEW"
    assert site.orderd.log.count("trading ACTIVE") == 1
