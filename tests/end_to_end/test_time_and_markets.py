"""Expiries, day ends, halts and price limits with real processes, over kills and reloads."""

import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import own_timezone
from tests.support.processes import LATE_S, Process, Site, instruments_text, wait_until
from tests.support.resp_client import RespClient

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
S: Final = 1_000_000_000


def expired(client: RespClient) -> list[tuple[str, str]]:
    """Order and reason of all that expired, once for each time that orderd was told."""
    executions = (execution for _, execution in client.executions())
    return [(one["cl_ord_id"], one["reason"]) for one in executions if one["exec_type"] == "EXPIRED"]


def status(client: RespClient, order: str) -> str:
    found: str = client.call("ORDER.STATUS", order)["status"]
    return found


def in_ms(seconds: float) -> int:
    return time.time_ns() // 1_000_000 + int(seconds * 1000)


# GTD


def test_a_gtd_order_expires_on_time_without_any_traffic(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "keep", *LIMIT, "TIF", "GTC")
        due_ms = in_ms(1)
        assert client.call("ORDER.NEW", "a", *LIMIT, "GTD", due_ms)["status"] == "NEW"
        wait_until(lambda: status(client, "a") == "EXPIRED", "it expires")
        assert expired(client) == [("a", "EXPIRED")]
        (told,) = [one for _, one in client.executions() if one["exec_type"] == "EXPIRED"]
        late_ns = int(told["transact_time_ns"]) - due_ms * 1_000_000
        assert 0 <= late_ns < LATE_S * S
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", "1", "1"]]
    assert site.engine.terminate() == 0
    assert "orders expired" in site.engine.log


def test_a_gtd_order_expires_once_whether_the_engine_is_killed_before_or_after(site: Site) -> None:
    with site.client() as client:
        due_ms = in_ms(0.7)
        client.call("ORDER.NEW", "a", *LIMIT, "GTD", due_ms)
        client.call("ORDER.NEW", "far", *LIMIT, "GTD", in_ms(3600))
        site.engine.kill()
        wait_until(lambda: in_ms(0) > due_ms, "its time has come")
        site.start_engine()
        wait_until(lambda: status(client, "a") == "EXPIRED", "it expires")
        site.engine.kill()
        site.start_engine()
        client.call("ORDER.NEW", "b", *LIMIT)
        assert expired(client) == [("a", "EXPIRED")]
        assert status(client, "far") == "NEW"


# Day ends


def day_end_soon(site: Site) -> float:
    """The next start of the engine finds a day end within the next second; its moment since 1970 UTC."""
    moment_s = int(time.time()) + 1
    environ = own_timezone.noon_at(site.directory, moment_s)
    site.engine = Process("engine", site.directory, ["engine"], environ)
    site.engine_settings |= {"day_end": "12:00", "day_timezone": own_timezone.NAME}
    return moment_s


def test_day_orders_expire_at_the_day_end_once_over_kills_and_others_stay(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "day", *LIMIT)
        client.call("ORDER.NEW", "gtc", *LIMIT, "TIF", "GTC")
        site.engine.kill()
        day_end_soon(site)
        site.start_engine()
        wait_until(lambda: status(client, "day") == "EXPIRED", "the day ends")
        assert status(client, "gtc") == "NEW"
        wait_until(lambda: "day ended" in site.engine.log, "the log says so")
        assert "orders_expired=1" in site.engine.log
        site.engine.kill()
        site.start_engine()
        assert client.call("ORDER.NEW", "next-day", *LIMIT)["status"] == "NEW"
        assert expired(client) == [("day", "DAY_END")]
        assert "day ended" not in site.engine.log


def test_a_day_end_that_the_engine_slept_through_comes_before_the_orders_that_wait(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "day", *LIMIT)
        site.engine.kill()
        client.call("ORDER.NEW", "late", "AAPL", "SELL", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
        moment_s = day_end_soon(site)
        wait_until(lambda: time.time() > moment_s, "the day is over")
        site.start_engine()
        wait_until(lambda: status(client, "late") == "NEW", "it rests, since what it would trade with is gone")
        assert expired(client) == [("day", "DAY_END")]
        wait_until(lambda: site.engine.log.count("day ended") == 1, "the log says so")


# Markets


class Markets:
    """The engine's settings file, in which the markets change; orderd has one of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.path = site.directory / "engine.toml"
        self.write("")
        words = site._words

        def own_file(command: str, settings: Mapping[str, object]) -> list[str]:
            found = words(command, settings)
            if settings is site.engine_settings:
                found[found.index("--config") + 1] = str(self.path)
            return found

        site._words = own_file  # type: ignore[method-assign]

    def write(self, text: str) -> None:
        self.path.write_text(instruments_text() + text)

    def reload(self, text: str, said: str) -> None:
        """Put it in force; the log says so with ``said``."""
        self.write(text)
        before = self.site.engine.log.count(said)
        self.site.engine.popen.send_signal(signal.SIGHUP)
        wait_until(lambda: self.site.engine.log.count(said) > before, f"the log says {said}")


@pytest.fixture
def markets(make_site: MakeSite) -> Markets:
    return Markets(make_site())


HALTED: Final = '[[market]]\nsymbol = "AAPL"\nhalted = true\n'
LIMITED: Final = '[[market]]\nsymbol = "AAPL"\nprice_low = "0.50"\nprice_high = "1.50"\n'


def refusal(reply: dict[str, Any]) -> tuple[str, str]:
    return reply["status"], reply["reason"]


def test_a_halt_by_reload_refuses_orders_and_lets_cancels_pass_also_after_a_kill(markets: Markets) -> None:
    site = markets.site.start()
    with site.client() as client:
        client.call("ORDER.NEW", "rests", *LIMIT)
        client.call("ORDER.NEW", "goes", *LIMIT)
        markets.reload(HALTED, "settings changed")
        assert "market halted" in site.engine.log
        assert refusal(client.call("ORDER.NEW", "a", *LIMIT)) == ("REJECTED", "HALTED")
        assert client.call("ORDER.NEW", "other", "MSFT", "BUY", 1, "LIMIT", "1.00")["status"] == "NEW"
        assert client.call("ORDER.CANCEL", "goes")["status"] == "CANCELED"
        site.engine.kill()
        site.start_engine()
        assert "market halted" not in site.engine.log, "nothing changes"
        assert "market is halted since before this start symbol=AAPL" in site.engine.log
        assert refusal(client.call("ORDER.NEW", "b", *LIMIT)) == ("REJECTED", "HALTED")
        assert status(client, "rests") == "NEW"
        markets.reload("", "settings changed")
        assert client.call("ORDER.NEW", "c", "AAPL", "SELL", 1, "LIMIT", "1.00")["status"] == "FILLED"
        assert status(client, "rests") == "FILLED"


def test_settings_that_changed_while_the_engine_was_down_hold_from_its_start(markets: Markets) -> None:
    site = markets.site.start()
    with site.client() as client:
        site.engine.kill()
        client.call("ORDER.NEW", "waits", *LIMIT, "MODE", "fire-and-forget")
        markets.write(HALTED)
        site.start_engine()
        wait_until(lambda: status(client, "waits") == "REJECTED", "the halt comes before it")
        assert client.call("ORDER.STATUS", "waits")["reason"] == "HALTED"


def test_price_limits_refuse_what_is_beyond_them(markets: Markets) -> None:
    markets.write(LIMITED)
    site = markets.site.start()
    with site.client() as client:
        for price, outcome in (("0.49", "REJECTED"), ("0.50", "NEW"), ("1.50", "NEW"), ("1.51", "REJECTED")):
            reply = client.call("ORDER.NEW", price, "AAPL", "BUY", 1, "LIMIT", price)
            assert reply["status"] == outcome
            assert outcome == "NEW" or reply["reason"] == "PRICE_LIMIT"
        markets.reload(LIMITED.replace("0.50", "1.00"), "settings changed")
        market = client.call("ORDER.NEW", "m", "AAPL", "SELL", 2, "MARKET")
        assert (market["status"], market["cum_qty"], market["reason"]) == ("CANCELED", "1", "PRICE_LIMIT")
        assert status(client, "0.50") == "NEW", "what rests beyond stays"


def test_a_reload_that_cannot_be_leaves_all_as_it_was_and_says_why(markets: Markets) -> None:
    site = markets.site.start()
    for text, reason in (
        ('[[market]]\nsymbol = "XXX"\n', "is the symbol of no"),
        ("[[market\n", "engine.toml:"),
        ("[limits]\nsessions_max = 3\n" + HALTED, "limits.sessions_max is 64 and cannot become 3 without a restart"),
    ):
        markets.reload(text, "reload refused")
        line = [line for line in site.engine.log.splitlines() if "reload refused" in line][-1]
        assert reason in line
    with site.client() as client:
        assert client.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
    markets.reload("", "settings are as before")
    assert site.engine.terminate() == 0


def test_a_hangup_before_the_engine_is_ready_does_not_end_it(markets: Markets) -> None:
    site = markets.site
    site.start_engine(wait=False)
    # As soon as it can be caught at all: the mask of caught signals is in /proc.
    pid = site.engine.popen.pid
    wait_until(lambda: _catches(pid, signal.SIGHUP), "it catches SIGHUP")
    site.engine.popen.send_signal(signal.SIGHUP)
    site.engine.wait_for_log("settings are as before")
    assert site.engine.log.index("ready") < site.engine.log.index("settings are as before")
    assert site.engine.terminate() == 0


def _catches(pid: int, number: signal.Signals) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
