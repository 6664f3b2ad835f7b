"""The engine is not there, or is not the one that it was: what clients hear, and what becomes of their orders."""

import os
import shutil
import signal
from collections.abc import Callable
from typing import Final

from tests.support.accounts import account_of
from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespError

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
QUEUED: Final = ("MODE", "fire-and-forget")


def test_orders_that_could_not_be_sent_are_unknown_and_are_confirmed_when_the_engine_comes(
    make_site: MakeSite,
) -> None:
    site = make_site(orderd={"reply_timeout_ms": 200})
    site.start_orderd()
    with site.client() as client:
        assert client.info()["transport_state"] == "ENGINE_DOWN"
        for mode in ("sync", "batch"):
            order = client.call("ORDER.NEW", mode, *LIMIT, "MODE", mode)
            assert (order["status"], order["reason"], order["path"]) == ("UNKNOWN", "NOT_SENT", "none")
        assert client.call("ORDER.NEW", "q", *LIMIT, *QUEUED)["status"] == "QUEUED"
        cancel = client.call("ORDER.CANCEL", "q", "MODE", "sync")
        assert (cancel["status"], cancel["reason"]) == ("UNKNOWN", "NOT_SENT")
        batch = client.call("ORDER.BATCH", "b", bytes([9, *[0] * 7, 1, *[0] * 7, 1, *[0] * 7, 1, *[0] * 5, 1, 0]))
        assert (batch["status"], batch["reason"]) == ("UNKNOWN", "NOT_SENT")
        assert client.call("ORDER.STATUS", "sync")["status"] == "QUEUED", "it lives on"
        reply = client.ask("BOOK", "AAPL")
        assert isinstance(reply, RespError) and reply.word == "UNAVAILABLE"
        assert client.info()["orders_queued"] == "5"
        site.start_engine()
        assert client.call("ORDER.WAIT", "sync", 10_000)["status"] == "NEW"
        site.wait_confirmed()
        assert client.call("ORDER.STATUS", "q")["status"] == "CANCELED"
        assert (
            client.call("ORDER.BATCH", "b", bytes([9, *[0] * 7, 1, *[0] * 7, 1, *[0] * 7, 1, *[0] * 5, 1, 0]))["status"]
            == "DONE"
        )
        assert [o.cl_ord_id for o in account_of(client.executions()).orders.values()] == ["sync", "batch", "q", "9"]


def test_orders_that_may_have_been_sent_say_so(make_site: MakeSite) -> None:
    site = make_site(orderd={"reply_timeout_ms": 200}).start()
    with site.client() as client:
        site.engine.popen.send_signal(signal.SIGSTOP)
        order = client.call("ORDER.NEW", "a", *LIMIT)
        assert (order["status"], order["reason"]) == ("UNKNOWN", "SENT")
        site.engine.popen.send_signal(signal.SIGCONT)
        order = client.call("ORDER.WAIT", "a", 10_000)
        assert order["status"] == "NEW" and order["path"] in ("udp", "grpc"), "whichever answers first"


def test_queued_orders_survive_restarts_of_orderd_before_the_engine_ever_came(make_site: MakeSite) -> None:
    site = make_site()
    for start in range(0, 200, 100):
        site.start_orderd()
        with site.client() as client:
            client.pipeline([("ORDER.NEW", f"a{i}", *LIMIT, *QUEUED) for i in range(start, start + 100)])
        site.orderd.kill()
    site.start()
    site.wait_confirmed()
    with site.client() as client:
        account = account_of(client.executions())
    assert [order.cl_ord_id for order in account.orders.values()] == [f"a{i}" for i in range(200)]


def test_every_change_of_the_transport_is_one_log_line_with_its_reason(site: Site) -> None:
    with site.client() as client:
        for boot in (2, 3):
            site.engine.kill()
            wait_until(lambda: client.info()["transport_state"] == "ENGINE_DOWN", "the engine is missed")
            site.start_engine()
            wait_until(lambda: client.info()["transport_state"] == "UDP_ENABLED", "the engine is back")
            assert f"boot {boot}" in site.orderd.log
    lines = [line for line in site.orderd.log.splitlines() if "UDP_ENABLED" in line or "ENGINE_DOWN" in line]
    assert [("ENGINE_DOWN" in line, "reason=" in line) for line in lines] == [
        (False, True), (True, True), (False, True), (True, True), (False, True)
    ]  # fmt: skip


def ends_with_one_line(site: Site, code: int, *texts: str) -> None:
    assert site.orderd.wait() == code, site.orderd.log
    last = site.orderd.log.splitlines()[-1]
    assert last.startswith("orderd: ") and all(text in last for text in texts), site.orderd.log
    assert "Traceback" not in site.orderd.log


def test_an_engine_that_lost_its_state_halts_orderd(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
        client.last_execution()
    site.engine.kill()
    shutil.rmtree(site.directory / "ej")
    site.start_engine(wait=False)
    ends_with_one_line(site, 3, "engine")


def test_an_engine_with_an_older_journal_halts_orderd_with_both_numbers(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
        site.engine.terminate()
        shutil.copytree(site.directory / "ej", site.directory / "older")
        site.start_engine()
        site.wait_connected()
        assert client.call("ORDER.NEW", "b", *LIMIT)["order_id"] == "2"
    site.engine.kill()
    shutil.rmtree(site.directory / "ej")
    os.rename(site.directory / "older", site.directory / "ej")
    site.start_engine(wait=False)
    ends_with_one_line(site, 3, "sequence 2", "below 3")


def test_a_journal_that_lost_its_end_halts_orderd_with_both_numbers(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
        wait_until(lambda: client.info()["executions_last_id"] == "1", "its report is in the journal")
        # Of the same start, so that it is not fenced off for being older.
        shutil.copytree(site.directory / "oj", site.directory / "older")
        for number in range(3):
            client.call("ORDER.NEW", f"b{number}", *LIMIT)
        wait_until(lambda: client.info()["executions_last_id"] == "4", "their reports are, too")
    site.orderd.kill()
    shutil.rmtree(site.directory / "oj")
    os.rename(site.directory / "older", site.directory / "oj")
    site.launch_orderd()
    # Either "executed below 5, the journal ends below 2", or so many reports "were acknowledged, the journal has ...".
    ends_with_one_line(site, 3, "the journal", "below 2")


def test_a_copied_journal_is_fenced_off(make_site: MakeSite, site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
    site.orderd.terminate()
    copy = make_site(engine_port=site.engine_port)
    shutil.copytree(site.directory / "oj", copy.directory / "oj")
    site.start_orderd()
    site.wait_connected()
    copy.launch_orderd()
    ends_with_one_line(copy, 3, "FENCED")
    with site.client() as client:
        assert client.call("ORDER.NEW", "b", *LIMIT)["order_id"] == "2", "the other one goes on"
