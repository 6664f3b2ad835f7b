"""Commands about orders, batches, executions and the book, as clients see them, with a real engine behind."""

from typing import Any

import hiredis
import pytest

from orderd.intake.pending import Unfinished
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, MemoryEngine, Site, pairs_of, site_settings

ORDER = ("ORDER.NEW", "a", "AAPL", "BUY", 100, "LIMIT", "187.25")
KEYS = ["cl_ord_id", "order_id", "symbol", "side", "status", "quantity", "cum_qty", "leaves_qty", "avg_px", "path"]


def new(number: int, side: int, quantity: int, price: int, *, instrument: int = 1) -> bytes:
    return RECORD.pack(number, price, quantity, instrument, 0, Kind.NEW, side)


# --- ORDER.NEW --------------------------------------------------------------------------------------------------------


def test_an_orders_pairs_in_both_protocols(client: Client) -> None:
    flat = client.call(*ORDER)
    assert [key.decode() for key in flat[::2]] == KEYS
    assert pairs_of(flat) == {
        "cl_ord_id": "a", "order_id": "1", "symbol": "AAPL", "side": "BUY", "status": "NEW", "quantity": "100",
        "cum_qty": "0", "leaves_qty": "100", "avg_px": "0", "path": "udp",
    }  # fmt: skip
    client.call("HELLO", 3)
    as_map = client.call("ORDER.STATUS", "a")
    assert isinstance(as_map, dict)
    assert pairs_of(as_map) == pairs_of(flat)


def test_fills_are_shown_with_their_average_price(client: Client) -> None:
    client.pairs("ORDER.NEW", "s1", "BTC", "SELL", "0.001", "LIMIT", "1.5")
    client.pairs("ORDER.NEW", "s2", "BTC", "SELL", "0.002", "LIMIT", "2")
    taker = client.pairs(
        "order.new", "t", "BTC", "buy", "0.004", "limit", "2.0", "tif", "gtc", "account", "7", "stp", "none"
    )
    assert taker == {
        "cl_ord_id": "t", "order_id": "3", "symbol": "BTC", "side": "BUY", "status": "PARTIALLY_FILLED",
        "quantity": "0.004", "cum_qty": "0.003", "leaves_qty": "0.001", "avg_px": "1.83333", "path": "udp",
    }  # fmt: skip
    assert client.pairs("ORDER.STATUS", "s2")["status"] == "FILLED"
    trades = [pairs_of(e[1]) for e in client.call("EXEC.READ", 0) if b"TRADE" in e[1]]
    assert [(t["liquidity"], t["last_px"], t["account"], t["trade_id"]) for t in trades] == [
        ("MAKER", "1.5", "0", "1"), ("TAKER", "1.5", "7", "1"), ("MAKER", "2.0", "0", "2"), ("TAKER", "2.0", "7", "2"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("a b", "AAPL", "BUY", 1, "LIMIT", "1"), "id 'a b' must be 1 to 64 printable ASCII characters without space"),
        (("x" * 65, "AAPL", "BUY", 1, "LIMIT", "1"), f"id '{'x' * 40}...' must be 1 to 64"),
        (("a", "aapl", "BUY", 1, "LIMIT", "1"), "symbol 'aapl' does not exist"),
        (("a", "AAPL", "HOLD", 1, "LIMIT", "1"), "side 'HOLD' must be BUY or SELL"),
        (("a", "AAPL", "BUY", 0, "LIMIT", "1"), 'quantity "0" is not above zero'),
        (("a", "AAPL", "BUY", "-1", "LIMIT", "1"), 'quantity "-1" is not a plain decimal'),
        (("a", "AAPL", "BUY", "0.5", "LIMIT", "1"), 'quantity "0.5" is not a multiple of 1'),
        (("a", "AAPL", "BUY", 2**63, "LIMIT", "1"), f'quantity "{2**63}" is beyond'),
        (("a", "AAPL", "BUY", 1, "LIMIT"), "LIMIT needs a price"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1.001"), 'price "1.001" is not a multiple of 0.01'),
        (("a", "AAPL", "BUY", 1, "STOP", "1"), "order type 'STOP' must be LIMIT or MARKET"),
        (("a", "AAPL", "BUY", 1, "MARKET", "1"), "option '1' does not exist here"),
        (("a", "AAPL", "BUY", 1, "MARKET", "TIF", "GTC"), "MARKET takes TIF DAY, IOC or FOK, not GTC"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "TIF", "GTD"), "TIF GTD needs the time when the order expires"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "TIF", "X"), "TIF 'X' must be DAY, GTC, IOC, FOK or GTD"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "POSTONLY", "TIF", "FOK"), "POSTONLY does not go with TIF FOK"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "GTD", "2023-01-01T00:00:00Z"), "GTD is in the past"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "MINQTY", "2"), "MINQTY '2' is above the order's quantity"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "MAXAGE", "0"), "MAXAGE '0' must be a whole number from 1 to 86400000"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "MAXAGE", "86400001"), "MAXAGE '86400001' must be"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "MAXAGE"), "option MAXAGE needs a value"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "STP", "SOME"), "STP 'SOME' must be NONE, CANCEL_NEWEST, CANCEL_OLDEST"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "MODE", "fast"), "MODE 'fast' must be sync, batch or fire-and-forget"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "ACCOUNT", "65536"), "ACCOUNT '65536' must be a whole number from 0"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "TIF", "DAY", "TIF", "DAY"), "option TIF is there twice"),
        (("a", "AAPL", "BUY", 1, "LIMIT", "1", "ACCOUNT"), "option ACCOUNT needs a value"),
    ],
)
def test_an_order_that_does_not_fit_is_named_and_leaves_no_trace(
    site: Site, client: Client, words: tuple[Any, ...], problem: str
) -> None:
    assert client.error("ORDER.NEW", *words).startswith(f"BADORDER {problem}")
    assert site.desk.table.end == 1
    assert client.pairs(*ORDER)["status"] == "NEW", "the id is not used up"


def test_market_ioc_and_fok_end_with_a_reason(client: Client) -> None:
    assert client.pairs("ORDER.NEW", "m", "AAPL", "BUY", 1, "MARKET")["reason"] == "NO_LIQUIDITY"
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 5, "LIMIT", "1")
    fok = client.pairs("ORDER.NEW", "f", "AAPL", "BUY", 6, "LIMIT", "1", "TIF", "FOK")
    assert (fok["status"], fok["cum_qty"], fok["reason"]) == ("CANCELED", "0", "FOK")
    ioc = client.pairs("ORDER.NEW", "i", "AAPL", "BUY", 6, "LIMIT", "1", "TIF", "IOC")
    assert (ioc["status"], ioc["cum_qty"], ioc["leaves_qty"], ioc["reason"]) == ("CANCELED", "5", "0", "IOC")


def test_an_instrument_that_the_engine_lacks_is_rejected_and_uses_the_id_up() -> None:
    settings = site_settings()
    site = Site(settings, MemoryEngine(settings.instrument[:1]))
    client = site.connect()
    refused = client.pairs("ORDER.NEW", "b", "BTC", "BUY", 1, "LIMIT", "1")
    assert (refused["status"], refused["reason"], refused["leaves_qty"]) == ("REJECTED", "UNKNOWN_INSTRUMENT", "0.000")
    assert client.error("ORDER.NEW", "b", "BTC", "BUY", 2, "LIMIT", "1").startswith("DUPLICATE")
    assert client.error("BOOK", "BTC") == "BADORDER the engine does not have BTC"


def outline(reply: Any) -> str:
    """An error's first word, or status and reason."""
    if isinstance(reply, hiredis.ReplyError):
        return str(reply).split()[0]
    pairs = pairs_of(reply)
    return pairs["status"] + " " + pairs.get("reason", "") if "status" in pairs else str(pairs)


# --- modes and time ---------------------------------------------------------------------------------------------------


def test_fire_and_forget_is_queued_once_durable(site: Site, client: Client) -> None:
    site.engine.up = False
    reply = client.pairs(*ORDER, "MODE", "fire-and-forget")
    assert (reply["status"], reply["path"], reply["leaves_qty"]) == ("QUEUED", "none", "100")
    assert client.pairs("ORDER.STATUS", "a")["status"] == "QUEUED"
    assert client.pairs("ORDER.CANCEL", "a", "MODE", "fire-and-forget")["status"] == "QUEUED"
    site.engine.up = True
    site.advance(1)
    assert client.pairs("ORDER.STATUS", "a")["status"] == "CANCELED"


def test_batch_orders_wait_for_company_or_for_linger() -> None:
    site = Site(site_settings(mode="batch", batch={"orders_max": 3, "linger_ms": 20}))
    client = site.connect()
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    site.pump()
    assert client.replies() == []
    site.advance(0.019)
    assert client.replies() == []
    site.advance(0.002)
    assert len(client.replies()) == 1
    for i in range(3):
        client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "1")
        site.pump()
    assert len(client.replies()) == 3
    client.send("ORDER.NEW", "c", "AAPL", "BUY", 1, "LIMIT", "1")
    client.send("ORDER.NEW", "d", "AAPL", "BUY", 1, "LIMIT", "1", "MODE", "sync")
    site.pump()
    assert [pairs_of(reply)["cl_ord_id"] for reply in client.replies()] == ["c", "d"]


def test_a_reply_that_does_not_come_in_time_is_unknown_and_the_order_lives_on(site: Site, client: Client) -> None:
    site.engine.up = False
    client.send(*ORDER)
    client.send("ORDER.WAIT", "a", 1000)
    client.send("PING")
    site.advance(4.9)
    assert client.replies() == []
    site.advance(0.2)
    unknown, waited, pong = client.replies()
    assert (pairs_of(unknown)["status"], pairs_of(unknown)["reason"]) == ("UNKNOWN", "SENT")
    assert pairs_of(waited)["status"] == "QUEUED"
    assert pong == b"PONG" or pong == "PONG"
    client.send("ORDER.NEW", "late", "AAPL", "BUY", 1, "LIMIT", "1")
    site.advance(6)
    late = pairs_of(client.replies()[0])
    assert (late["status"], late["reason"]) == ("UNKNOWN", "NOT_SENT")
    site.engine.up = True
    site.advance(1)
    assert client.pairs(*ORDER)["status"] == "NEW"
    assert client.pairs("ORDER.STATUS", "late")["status"] == "NEW"


def test_after_a_failed_commit_those_who_waited_hear_unknown(site: Site) -> None:
    before = site.connect()
    before.pairs(*ORDER)
    site.engine.up = False
    before.send("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1")
    site.pump()
    site.holds_commits = True
    words = [
        ("ORDER.NEW", "c", "AAPL", "BUY", 1, "LIMIT", "1"), ("ORDER.CANCEL", "a"), ("ORDER.STATUS", "c"),
        ("ORDER.NEW", "d", "AAPL", "BUY", 1, "LIMIT", "1", "MODE", "fire-and-forget"), ("ORDER.RESERVE", 4),
        ("ORDER.NEW", "c", "AAPL", "BUY", 2, "LIMIT", "1"), ("ORDER.BATCH", "B", new(1, 0, 1, 1)),
        ("ORDER.CANCEL", "a", "ID", "r"), ("ORDER.WAIT", "r", 9000), ("ORDER.STATUS", "a"),
        ("EXEC.READ", "$", "BLOCK", 0),
    ]  # fmt: skip
    clients = [site.connect() for _ in words]
    for client, sent in zip(clients, words, strict=True):
        client.send(*sent)
    site.pump()
    site.give_up(Unfinished.JOURNAL)
    answers = [client.replies()[-1] for client in clients]
    shown = [None if answer is None else outline(answer) for answer in answers]
    journal = "UNKNOWN JOURNAL"
    assert shown == [
        journal, journal, journal, journal, "UNAVAILABLE", "UNAVAILABLE", journal, journal, journal, "NEW ", None,
    ]  # fmt: skip
    said = pairs_of(before.replies()[0])
    assert (said["reason"], said["order_id"]) == ("SENT", "2")
    told = [pairs_of(answers[i]) for i in (0, 1, 2, 3, 6, 7)]
    ids = [pairs.get("order_id", pairs.get("first_order_id")) for pairs in told]
    assert ids == ["0", "1", "0", "0", "0", "1"], "of what is durable, and of nothing else"


def test_what_is_not_durable_has_no_number_that_another_order_could_get(site: Site) -> None:
    site.holds_commits = True
    lost, other = site.connect(), site.connect()
    lost.send("ORDER.NEW", "lost", "AAPL", "BUY", 1, "LIMIT", "1")
    other.send("ORDER.BATCH", "B", new(7, 0, 1, 1))
    site.advance(6)
    unknown = pairs_of(lost.replies()[0])
    assert (unknown["status"], unknown["reason"], unknown["order_id"]) == ("UNKNOWN", "NOT_SENT", "0")
    unknown = pairs_of(other.replies()[0])
    assert (unknown["status"], unknown["reason"], unknown["first_order_id"]) == ("UNKNOWN", "NOT_SENT", "0")
    site.holds_commits = False
    site.start()
    assert site.connect().pairs("ORDER.NEW", "next", "AAPL", "BUY", 1, "LIMIT", "1")["order_id"] == "1"


# --- cancel, replace, status, list ------------------------------------------------------------------------------------


def test_cancel_and_replace(client: Client) -> None:
    client.pairs(*ORDER)
    replaced = client.pairs("ORDER.REPLACE", "a", 80, "187.30")
    assert (replaced["status"], replaced["quantity"], replaced["order_id"]) == ("REPLACED", "80", "1")
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 30, "LIMIT", "187.30")
    assert client.pairs("ORDER.REPLACE", "a", 30, "187.30", "OPEN")["quantity"] == "60"
    done = client.pairs("ORDER.REPLACE", "a", 20, "187.30")
    assert (done["status"], done["cum_qty"], done["reason"]) == ("CANCELED", "30", "REPLACED_BELOW_FILLED")
    late = client.pairs("ORDER.REPLACE", "a", 20, "187.30")
    assert (late["status"], late["reason"]) == ("CANCELED", "TOO_LATE")
    assert client.pairs("ORDER.CANCEL", "s")["status"] == "FILLED"


def test_a_request_that_meets_a_done_order_tells_the_true_status(site: Site, client: Client) -> None:
    client.pairs(*ORDER)
    client.send("ORDER.NEW", "s", "AAPL", "SELL", 100, "LIMIT", "187.25")
    client.send("ORDER.CANCEL", "a")
    client.send("ORDER.REPLACE", "a", 5, "1")
    site.pump()
    _, cancel, replace = map(pairs_of, client.replies())
    assert (cancel["status"], cancel["reason"]) == (replace["status"], replace["reason"]) == ("FILLED", "TOO_LATE")
    types = [pairs_of(e[1])["exec_type"] for e in client.call("EXEC.READ", 0)]
    assert types[-2:] == ["CANCEL_REJECTED", "REPLACE_REJECTED"]


def test_a_replace_beyond_63_bits_says_so(client: Client) -> None:
    client.pairs("ORDER.NEW", "b", "AAPL", "BUY", 5, "LIMIT", "1")
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 2, "LIMIT", "1")
    refused = client.pairs("ORDER.REPLACE", "b", 2**63 - 1, "1", "OPEN")
    assert (refused["status"], refused["leaves_qty"], refused["reason"]) == ("PARTIALLY_FILLED", "3", "BAD_RECORD")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("ORDER.CANCEL", "zz"), "NOTFOUND zz is not an order that is remembered"),
        (("ORDER.REPLACE", "zz", 1, "1"), "NOTFOUND zz"),
        (("ORDER.STATUS", "zz"), "NOTFOUND zz"),
        (("ORDER.WAIT", "zz", 1), "NOTFOUND zz"),
        (("ORDER.WAIT", "a", "x"), "BADORDER ms 'x' must be a whole number from 0 to 86400000"),
        (("ORDER.CANCEL", "a", "OPEN"), "BADORDER option 'OPEN' does not exist here"),
        (("ORDER.CANCEL", "a", "ID", "x y"), "BADORDER id 'x y'"),
        (("ORDER.REPLACE", "a", 0, "1"), 'BADORDER quantity "0"'),
        (("ORDER.REPLACE", "a", 1, "0"), 'BADORDER price "0"'),
        (("ORDER.CANCEL", "a", "MODE", "x"), "BADORDER MODE 'x'"),
        (("ORDER.LIST", "SYMBOL", "X"), "BADORDER symbol 'X'"),
        (("ORDER.LIST", "COUNT", "1001"), "BADORDER COUNT '1001' must be a whole number from 1 to 1000"),
        (("ORDER.LIST", "SOME"), "BADORDER option 'SOME'"),
        (("ORDER.RESERVE", "0"), "BADORDER count '0'"),
        (("ORDER.BATCH", "b", "x"), "BADORDER records must be a whole number of 32 bytes"),
        (("ORDER.BATCH", "b b", bytes(32)), "BADORDER id 'b b'"),
        (("ORDER.BATCH", "b", bytes(32)), "BADORDER record 0: its kind does not exist"),
        (("EXEC.READ", "-1"), "BADORDER after_id '-1'"),
        (("EXEC.READ", "0", "ACCOUNT", "65536"), "BADORDER ACCOUNT '65536'"),
        (("BOOK", "X"), "BADORDER symbol 'X'"),
        (("BOOK", "AAPL", "DEPTH", "0"), "BADORDER DEPTH '0'"),
        (("ORDER.NEW", "a"), "ERR wrong number of arguments for 'order.new' command"),
        (("ORDER.STATUS",), "ERR wrong number of arguments for 'order.status' command"),
        (("INSTRUMENTS", "x"), "ERR wrong number of arguments"),
        (("TRADING", "ON"), "BADORDER trading state 'ON' must be ACTIVE, REDUCING or HALTED"),
        (("TRADING", "HALTED", "now"), "BADORDER option 'now' does not exist here"),
        (("TRADING", "HALTED", "ACCOUNT", "x"), "BADORDER ACCOUNT 'x' must be a whole number from 0 to 65535"),
        (("POSITIONS", "SYMBOL", "X"), "BADORDER symbol 'X' does not exist"),
        (("POSITIONS", "COUNT", "0"), "BADORDER COUNT '0' must be a whole number from 1 to 1000"),
        (("ORDER.MASSCANCEL", "SYMBOL", "X"), "BADORDER symbol 'X' does not exist"),
        (("ORDER.MASSCANCEL", "SIDE", "X"), "BADORDER side 'X' must be BUY or SELL"),
        (("ORDER.MASSCANCEL", "ACCOUNT", "65536"), "BADORDER ACCOUNT '65536' must be a whole number from 0 to 65535"),
        (("ORDER.MASSCANCEL", "a"), "BADORDER option 'a' does not exist here"),
    ],
)
def test_each_wrong_form_has_its_error(client: Client, words: tuple[Any, ...], error: str) -> None:
    client.pairs(*ORDER)
    assert client.error(*words).startswith(error)


def test_wait_hears_of_the_confirmation_and_no_earlier(site: Site, client: Client) -> None:
    site.engine.up = False
    other = site.connect()
    other.call(*ORDER, "MODE", "fire-and-forget")
    assert client.pairs("ORDER.WAIT", "a", 0)["status"] == "QUEUED"
    client.send("ORDER.WAIT", "a", 60_000)
    site.advance(30)
    assert client.replies() == []
    site.engine.up = True
    site.advance(1)
    assert pairs_of(client.replies()[0])["status"] == "NEW"


def test_lists_by_page_and_filter(site: Site, client: Client) -> None:
    client.call("ORDER.BATCH", "B", b"".join(new(i, 0, 1, 5, instrument=1 + i % 2) for i in range(30)))
    client.pairs("ORDER.CANCEL", "4")
    client.pairs("ORDER.NEW", "x", "AAPL", "BUY", 1, "LIMIT", "1", "ACCOUNT", 9)

    def listed(*words: Any) -> list[str]:
        return [pairs_of(pairs)["cl_ord_id"] for pairs in client.call("ORDER.LIST", *words)]

    everything = [*map(str, range(30)), "x"]
    assert listed("ALL") == everything
    assert listed() == listed("OPEN") == [i for i in everything if i != "4"]
    assert listed("ALL", "COUNT", 3, "AFTER", 10) == ["10", "11", "12"]
    assert listed("SYMBOL", "BTC", "COUNT", 2) == ["1", "3"]
    assert listed("ACCOUNT", 9) == ["x"]
    assert listed("AFTER", 32) == []
    site.engine.up = False
    client.call("ORDER.NEW", "q", "AAPL", "BUY", 1, "LIMIT", "1", "MODE", "fire-and-forget")
    assert listed("AFTER", 32) == ["q"], "it may still trade"


def test_replies_keep_the_order_of_requests_and_nothing_waits_for_them(site: Site, client: Client) -> None:
    site.engine.up = False
    client.send(*ORDER)
    client.send("PING")
    client.send("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1")
    client.send("INSTRUMENTS")
    site.pump()
    assert client.replies() == []
    assert site.desk.committed_end == 3, "both are durable though no reply was given"
    site.engine.up = True
    site.advance(1)
    first, pong, second, table = client.replies()
    assert (pairs_of(first)["cl_ord_id"], pairs_of(second)["cl_ord_id"], len(table)) == ("a", "b", 2)
    assert pong in (b"PONG", "PONG")
