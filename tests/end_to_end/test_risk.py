"""Risk limits with real processes: under load and reloads, and over a kill of orderd at any moment."""

import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from tests.support.processes import Site, instruments_text, wait_until
from tests.support.resp_client import RespClient, RespError

MakeSite = Callable[..., Site]
POSITION_MAX: Final = 60


def write(site: Site, text: str) -> None:
    """As an editor does: the file is there whole, or not at all."""
    new = site.instruments_path.with_suffix(".new")
    new.write_text(text + instruments_text())
    new.replace(site.instruments_path)


def position(client: RespClient, account: int) -> dict[str, int]:
    found = client.call("POSITIONS", "ACCOUNT", account, "SYMBOL", "AAPL")
    return {name: int(found[0][name]) for name in ("net", "open_buy", "open_sell")} if found else {}


def net_of(client: RespClient, account: int) -> int:
    """By the executions."""
    executions = [pairs for _, pairs in client.executions()]
    trades = [e for e in executions if e["exec_type"] == "TRADE" and e["account"] == str(account)]
    return sum(int(e["last_qty"]) * (1 if e["side"] == "BUY" else -1) for e in trades)


def test_a_position_limit_holds_through_a_kill_with_orders_on_their_way(site: Site) -> None:
    write(site, f'[risk]\nposition_max = "{POSITION_MAX}"\n')
    with site.client() as client:
        assert client.call("CONFIG", "RELOAD") == "OK"
        for i in range(5):
            client.call("ORDER.NEW", f"s{i}", "AAPL", "SELL", 7, "LIMIT", "10.00", "ACCOUNT", 2)
        taken = 0
        for i in range(20):
            reply = client.ask(
                "ORDER.NEW", f"b{i}", "AAPL", "BUY", 7, "LIMIT", "10.00", "ACCOUNT", 1, "MODE", "fire-and-forget"
            )
            taken += not isinstance(reply, RespError)
        assert taken == POSITION_MAX // 7
    site.orderd.kill()
    site.start_orderd()
    site.wait_connected()
    site.wait_confirmed()
    with site.client() as client:
        assert position(client, 1) == {"net": 35, "open_buy": 21, "open_sell": 0}
        assert (net_of(client, 1), net_of(client, 2)) == (35, -35)
        refused = client.ask("ORDER.NEW", "more", "AAPL", "BUY", 5, "LIMIT", "10.00", "ACCOUNT", 1)
        assert isinstance(refused, RespError)
        assert refused.text == "LIMIT position_max 61 exceeds 60 in AAPL for account 1"
        assert client.call("ORDER.NEW", "more", "AAPL", "BUY", 4, "LIMIT", "10.00", "ACCOUNT", 1)["status"] == "NEW"
        assert client.call("TRADING", "REDUCING", "ACCOUNT", 1) == "OK"
    site.orderd.kill()
    site.start_orderd()
    site.wait_connected()
    with site.client() as client:
        assert (client.call("TRADING"), client.call("TRADING", "ACCOUNT", 1)) == ("ACTIVE", "REDUCING")
        assert position(client, 1) == {"net": 35, "open_buy": 25, "open_sell": 0}
        refused = client.ask("ORDER.NEW", "x", "AAPL", "SELL", 36, "LIMIT", "90.00", "ACCOUNT", 1)
        assert isinstance(refused, RespError) and refused.text.startswith("HALTED trading is reducing: SELL 36 ")
        assert client.call("ORDER.NEW", "x", "AAPL", "SELL", 35, "LIMIT", "90.00", "ACCOUNT", 1)["status"] == "NEW"
    assert site.orderd.log.count("trading REDUCING") == 0, "told once, by the process before"


def test_reloads_under_load_switch_limits_on_and_off_between_two_orders(site: Site) -> None:
    """What is open is counted all the time: whenever the limit is on, nobody gets beyond it."""
    on = '[risk]\nposition_max = "50"\n'
    with site.client() as trader, site.client() as operator:
        sent, refusals, reloads = 0, 0, 0
        deadline = time.monotonic() + 60
        while (reloads < 30 or not refusals) and time.monotonic() < deadline:
            limited = reloads % 2 == 0
            write(site, on if limited else "")
            site.orderd.popen.send_signal(signal.SIGHUP)
            wait_until(partial(is_shown, operator, limited), "the reload is done")
            reloads += 1
            for _ in range(5):
                sent += 1
                words = ("ORDER.NEW", f"o{sent}", "AAPL", "BUY", 4, "LIMIT", "1.00", "MODE", "fire-and-forget")
                before = position(operator, 0).get("open_buy", 0)
                reply = trader.ask(*words)
                refused = isinstance(reply, RespError)
                assert refused is (limited and before + 4 > 50), (before, reply)
                refusals += refused
        assert refusals and reloads >= 30


def is_shown(client: RespClient, limited: bool) -> bool:
    """Whether the limit is on, or off."""
    return bool(client.call("CONFIG", "GET", "risk.position_max")["risk.position_max"]) is limited
