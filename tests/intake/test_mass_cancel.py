"""ORDER.MASSCANCEL as clients see it, with a real engine behind."""

from typing import Any

import hiredis
import pytest

from orderd.intake import render
from orderd.intake.pending import Unfinished
from orderd.wire.records import RECORD, Kind
from tests.support.matching import BUY, mass_cancel
from tests.support.site import Client, Site, pairs_of, site_settings


def place(client: Client) -> None:
    """Four open orders: a and b buy AAPL for two accounts, c sells it, d buys BTC."""
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00", "ACCOUNT", 7)
    client.pairs("ORDER.NEW", "c", "AAPL", "SELL", 1, "LIMIT", "2.00", "ACCOUNT", 7)
    client.pairs("ORDER.NEW", "d", "BTC", "BUY", "1.000", "LIMIT", "1.5")


def still_open(client: Client) -> str:
    return "".join(pairs_of(order)["cl_ord_id"] for order in client.call("ORDER.LIST", "OPEN"))


@pytest.mark.parametrize(
    ("words", "cancelled", "left"),
    [
        ((), "4", ""),
        (("SYMBOL", "AAPL"), "3", "d"),
        (("side", "buy"), "3", "c"),
        (("ACCOUNT", 7), "2", "ad"),
        (("ACCOUNT", 0, "SIDE", "BUY"), "2", "bc"),
        (("SIDE", "SELL", "SYMBOL", "AAPL", "ACCOUNT", 7), "1", "abd"),
        (("SIDE", "SELL", "SYMBOL", "BTC"), "0", "abcd"),
    ],
)
def test_it_cancels_what_it_names_and_says_how_many(
    client: Client, words: tuple[Any, ...], cancelled: str, left: str
) -> None:
    place(client)
    assert client.pairs("ORDER.MASSCANCEL", *words) == {"cancelled": cancelled}
    assert still_open(client) == left


def test_each_order_has_its_execution_and_the_mass_cancel_has_none(site: Site, client: Client) -> None:
    place(client)
    client.call("HELLO", 3)
    assert client.call("ORDER.MASSCANCEL", "SYMBOL", "AAPL") == {b"cancelled": b"3"}
    assert client.pairs("ORDER.NEW", "e", "AAPL", "BUY", 1, "LIMIT", "1.00")["order_id"] == "6"
    found = client.call("EXEC.READ", 0)
    told = [(pairs_of(pairs)["exec_type"], pairs_of(pairs)["cl_ord_id"]) for _, pairs in found]
    assert told[4:] == [("CANCELED", "a"), ("CANCELED", "b"), ("CANCELED", "c"), ("NEW", "e")]
    assert [int(exec_id) for exec_id, _ in found] == list(range(1, 9))
    assert site.desk.outcomes.counters.rejected == 0
    assert "reason" not in client.pairs("ORDER.STATUS", "a")
    assert len(client.call("ORDER.LIST", "ALL")) == 5, "it is no order"


def test_an_order_that_comes_behind_it_is_not_concerned(site: Site, client: Client) -> None:
    place(client)
    site.holds_commits = True
    client.send("ORDER.MASSCANCEL")
    client.send("ORDER.NEW", "late", "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.holds_commits = False
    site.pump()
    count, late = (pairs_of(reply) for reply in client.replies())
    assert (count, late["status"]) == ({"cancelled": "4"}, "NEW")


@pytest.mark.parametrize("mode", ["sync", "batch", "fire-and-forget"])
def test_it_waits_for_the_engine_whatever_the_mode_and_is_sent_at_once(mode: str) -> None:
    site = Site(site_settings(mode=mode, batch={"linger_ms": 1000.0}))
    client = site.connect()
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.send("ORDER.MASSCANCEL")
    site.pump()
    assert pairs_of(client.replies()[-1]) == {"cancelled": "1"}


def test_no_answer_in_time_is_unknown_and_it_goes_on(site: Site, client: Client) -> None:
    place(client)
    site.engine.up = False
    client.send("ORDER.MASSCANCEL")
    site.advance(6)
    cancelled, status, reason = client.replies()[0][1::2]
    assert (cancelled, status, reason) == (None, b"UNKNOWN", b"SENT")
    client.call("HELLO", 3)
    client.send("ORDER.MASSCANCEL", "SIDE", "BUY")
    site.give_up(Unfinished.SHUTDOWN)
    assert client.replies() == [{b"cancelled": None, b"status": b"UNKNOWN", b"reason": b"NOT_SENT"}]
    site.engine.up = True
    site.advance(1)
    assert still_open(client) == ""


def test_when_forgotten_before_its_reply_the_count_is_unknown(site: Site) -> None:
    reader = hiredis.Reader()
    reader.feed(render.mass_cancel_pairs(site.desk, 3, 99, unknown=None))
    assert reader.gets() == {b"cancelled": None, b"status": b"UNKNOWN", b"reason": b"FORGOTTEN"}


def test_one_that_the_engine_rejects_says_so(site: Site, client: Client) -> None:
    place(client)
    row = site.desk.entry.mass_cancel(0, 0, 0b1_0000, site.now, site.now_ns)
    site.pump()
    reader = hiredis.Reader()
    reader.feed(render.mass_cancel_pairs(site.desk, 2, row, unknown=None))
    assert pairs_of(reader.gets()) == {"cancelled": "0", "status": "REJECTED", "reason": "BAD_RECORD"}
    assert still_open(client) == "abcd"


def test_a_batch_may_hold_mass_cancels(client: Client) -> None:
    place(client)
    records = [
        RECORD.pack(1, 5, 5, 1, 0, Kind.NEW, 0),
        mass_cancel(BUY, instrument=1),
        RECORD.pack(2, 5, 5, 1, 0, Kind.NEW, 0),
        mass_cancel(account=7),
    ]
    done = client.pairs("ORDER.BATCH", "B", b"".join(records))
    assert (done["status"], done["orders"], done["accepted"], done["rejected"]) == ("DONE", "4", "4", "0")
    assert still_open(client) == "d2"
    assert client.error("ORDER.BATCH", "C", mass_cancel()[:31] + b"\x10") == "BADORDER record 0: its flags do not exist"
    assert client.error("ORDER.BATCH", "C", b"\x01" + mass_cancel()[1:]) == "BADORDER record 0: unused fields must be 0"


def test_it_has_the_room_of_cancels(site: Site) -> None:
    site = Site(site_settings(orders_unconfirmed_max=2))
    client = site.connect()
    place(client)
    site.engine.up = False
    for name in ("x", "y"):
        client.call("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
    assert client.error("ORDER.NEW", "z", "AAPL", "BUY", 1, "LIMIT", "1.00").startswith("FULL ")
    client.send("ORDER.MASSCANCEL")
    site.engine.up = True
    site.advance(1)
    assert pairs_of(client.replies()[0]) == {"cancelled": "6"}


def test_a_restart_knows_what_it_cancelled(site: Site, client: Client) -> None:
    place(client)
    client.pairs("ORDER.MASSCANCEL", "SIDE", "BUY")
    site.engine.start()
    site.start()
    site.advance(1)
    client = site.connect()
    assert still_open(client) == "c"
    assert client.pairs("ORDER.MASSCANCEL") == {"cancelled": "1"}
