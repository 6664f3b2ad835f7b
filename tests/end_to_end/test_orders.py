"""Orders through the socket to the book and back: modes, outcomes, repeats, and what does not fit."""

import struct
from collections.abc import Callable
from typing import Final

import pytest

from tests.support.processes import STEADY, Site, wait_until
from tests.support.resp_client import RespClient, RespError, Word

NewId = Callable[[], str]
RECORD: Final = struct.Struct("<QqQIHBB")
NEW: Final = 1
CANCEL: Final = 2
MODES: Final = ("sync", "batch", "fire-and-forget")


def record(number: int, price: int = 100, quantity: int = 1, *, kind: int = NEW, sell: bool = False) -> bytes:
    return RECORD.pack(number, price, quantity, 1, 0, kind, int(sell))


def refusal(client: RespClient, *words: Word) -> str:
    reply = client.ask(*words)
    assert isinstance(reply, RespError), reply
    return reply.text


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_answers_as_it_should_by_option(client: RespClient, mode: str, new_id: NewId) -> None:
    assert client.call("MODE") == "sync"
    check_mode(client, mode, ["MODE", mode], new_id)


@pytest.mark.parametrize("mode", MODES[1:])
def test_each_mode_answers_as_it_should_by_setting(make_site: Callable[..., Site], mode: str, new_id: NewId) -> None:
    site = make_site(orderd={"mode": mode}).start()
    with site.client() as client:
        assert client.call("MODE") == mode
        check_mode(client, mode, [], new_id)


def check_mode(client: RespClient, mode: str, option: list[str], new_id: NewId) -> None:
    a, b, number = new_id(), new_id(), client.call("ORDER.RESERVE", 2)
    queued = mode == "fire-and-forget"
    order = client.call("ORDER.NEW", a, "AAPL", "BUY", 10, "LIMIT", "1.50", *option)
    assert order["status"] == ("QUEUED" if queued else "NEW")
    # gRPC only if this machine stood still for a moment.
    assert order["path"] in (("none",) if queued else ("udp", "grpc"))
    order = client.call("ORDER.REPLACE", a, 8, "1.40", *option)
    assert order["status"] == ("QUEUED" if queued else "REPLACED")
    order = client.call("ORDER.NEW", b, "AAPL", "SELL", 3, "MARKET", *option)
    assert order["status"] == ("QUEUED" if queued else "FILLED")
    order = client.call("ORDER.CANCEL", a, *option)
    assert order["status"] == ("QUEUED" if queued else "CANCELED")
    batch = client.call(
        "ORDER.BATCH", new_id(), record(number) + record(number + 1) + record(number, 0, 0, kind=CANCEL), *option
    )
    accepted = {"status": "QUEUED", "accepted": "0"} if queued else {"status": "DONE", "accepted": "3"}
    assert {key: batch[key] for key in accepted} == accepted
    assert client.call("ORDER.WAIT", number + 1, 5000)["status"] == "NEW"
    final = client.call("ORDER.STATUS", a)
    assert (final["status"], final["cum_qty"], final["leaves_qty"]) == ("CANCELED", "3", "0")
    assert (final["avg_px"], final["quantity"]) == ("1.400000", "8")
    assert final["path"] in ("udp", "grpc")
    assert client.call("ORDER.CANCEL", number + 1, "MODE", "sync")["status"] == "CANCELED"


def test_an_order_that_waits_in_a_batch_travels_with_what_comes_behind_it(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={**STEADY, "batch.linger_ms": 10000, "batch.orders_max": 3}).start()
    with site.client() as client:
        orders = [("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "batch") for name in "abc"]
        assert [order["status"] for order in client.pipeline(orders)] == ["NEW"] * 3, "three are enough"
        # An order that is due takes all earlier ones along.
        waiting = ("ORDER.NEW", "d", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "batch")
        due = ("ORDER.NEW", "e", "AAPL", "BUY", 1, "LIMIT", "1.00")
        assert [order["status"] for order in client.pipeline([waiting, due])] == ["NEW"] * 2
        assert int(client.info()["udp_batches_sent_total"]) <= 3


def test_the_same_again_gets_the_first_outcome_and_another_is_a_duplicate(client: RespClient, new_id: NewId) -> None:
    name, request, batch = new_id(), new_id(), new_id()
    new = ("ORDER.NEW", name, "AAPL", "BUY", 5, "LIMIT", "1.00")
    first = client.call(*new)
    received = client.info()["orders_received_total"]
    for again in (new, (*new, "MODE", "batch"), (*new, "MODE", "fire-and-forget"), (*new, "TIF", "DAY")):
        assert client.call(*again) == first
    assert client.info()["orders_received_total"] == received
    assert refusal(client, *new[:4], 6, "LIMIT", "1.00") == f"DUPLICATE {name} is another order"
    assert refusal(client, *new, "ACCOUNT", 9).startswith("DUPLICATE ")
    cancel = ("ORDER.CANCEL", name, "ID", request)
    assert client.call(*cancel)["status"] == client.call(*cancel)["status"] == "CANCELED"
    assert refusal(client, "ORDER.REPLACE", name, 4, "1.00", "ID", request).startswith("DUPLICATE ")
    assert client.call("ORDER.NEW", *new[1:])["status"] == "CANCELED", "the outcome is what it is by now"
    first_number = client.call("ORDER.RESERVE", 3)
    records = record(first_number) + record(first_number, 0, 0, kind=CANCEL)
    outcome = client.call("ORDER.BATCH", batch, records)
    assert client.call("ORDER.BATCH", batch, records) == outcome
    assert refusal(client, "ORDER.BATCH", batch, records + records).startswith("DUPLICATE ")
    text = refusal(client, "ORDER.BATCH", new_id(), record(first_number + 1) + record(first_number))
    assert text == f"DUPLICATE record 1: number {first_number} is known"
    # A text id that is a decimal number and that number are one thing.
    assert client.call("ORDER.STATUS", first_number)["status"] == "CANCELED"


def test_a_refused_order_does_not_use_its_id_up(client: RespClient, new_id: NewId) -> None:
    name = new_id()
    assert refusal(client, "ORDER.NEW", name, "AAPL", "BUY", 5, "LIMIT", "1.005").startswith("BADORDER ")
    assert refusal(client, "ORDER.STATUS", name).startswith("NOTFOUND ")
    assert client.call("ORDER.NEW", name, "AAPL", "BUY", 5, "LIMIT", "1.00")["status"] == "NEW"
    assert client.call("ORDER.CANCEL", name)["status"] == "CANCELED"
    assert client.call("ORDER.CANCEL", name)["reason"] == "TOO_LATE"
    assert client.call("ORDER.REPLACE", name, 3, "1.00")["status"] == "CANCELED"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("ORDER.NEW x AAPL BUY 1 LIMIT 187.253", "0.01"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1e3", "1e3"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT nan", "nan"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 0", ""),
        ("ORDER.NEW x AAPL BUY 1 LIMIT -1.00", ""),
        ("ORDER.NEW x AAPL BUY 0 LIMIT 1.00", ""),
        ("ORDER.NEW x AAPL BUY 1.5 LIMIT 1.00", ""),
        ("ORDER.NEW x AAPL BUY 9223372036854775808 LIMIT 1.00", ""),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 92233720368547758.08", ""),
        ("ORDER.NEW x NONE BUY 1 LIMIT 1.00", "NONE"),
        ("ORDER.NEW x AAPL HOLD 1 LIMIT 1.00", "HOLD"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 ACCOUNT 65536", "65535"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 TIF SOON", "SOON"),
        ("ORDER.NEW x AAPL BUY 1 MARKET TIF GTC", "GTC"),
        ("ORDER.NEW x AAPL BUY 1 STOP 1.00", "STOP"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT", "price"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 MODE never", "never"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 TIF", "TIF"),
        (f"ORDER.NEW {'x' * 65} AAPL BUY 1 LIMIT 1.00", "64"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 POSTONLY TIF IOC", "POSTONLY does not go with TIF IOC"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 MAXAGE 0", "MAXAGE"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 STP CANCEL_ALL", "CANCEL_ALL"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 TIF GTD", "GTD needs the time"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 GTD 2020-01-01T00:00:00Z", "GTD is in the past"),
        ("ORDER.NEW x AAPL BUY 1 LIMIT 1.00 DISPLAY 2", "DISPLAY '2' is above the order's quantity"),
        ("ORDER.MASSCANCEL SYMBOL NONE", "NONE"),
        ("TRADING PAUSED", "PAUSED"),
        ("EXEC.READ 0 ACCOUNT 65536", "ACCOUNT '65536'"),
        ("ORDER.BATCH x short", "32 bytes"),
        ("ORDER.LIST COUNT 0", "COUNT"),
        ("EXEC.READ -1", "after_id"),
        ("BOOK NONE", "NONE"),
    ],
)
def test_what_does_not_fit_is_refused_by_name_and_nothing_is_journaled(
    client: RespClient, words: str, text: str
) -> None:
    before = client.info()
    reply = refusal(client, *words.split())
    assert reply.startswith("BADORDER ") and text in reply, reply
    after = client.info()
    assert after["orders_last_id"] == before["orders_last_id"]


@pytest.mark.parametrize("words", ["NONSENSE", "ORDER.NEW x", "WATCH k", "SELECT 1", "EXEC", "CLIENT FLY", "GET k"])
def test_what_is_no_command_is_an_err(client: RespClient, words: str) -> None:
    assert refusal(client, *words.split()).startswith("ERR ")


@pytest.mark.parametrize("words", ["ORDER.STATUS", "ORDER.CANCEL", "ORDER.WAIT {} 10", "ORDER.REPLACE {} 1 1.00"])
def test_an_order_that_was_never_seen_is_not_found(client: RespClient, words: str) -> None:
    line = words.format("never") if "{}" in words else f"{words} never"
    assert refusal(client, *line.split()).startswith("NOTFOUND ")


def test_immediate_orders_trade_what_they_can(client: RespClient, new_id: NewId) -> None:
    maker, fok, ioc, market = (new_id() for _ in range(4))
    client.call("ORDER.NEW", maker, "MSFT", "SELL", 10, "LIMIT", "30.00")
    after = client.last_execution()
    order = client.call("ORDER.NEW", fok, "MSFT", "BUY", 11, "LIMIT", "31.00", "TIF", "FOK")
    assert (order["status"], order["cum_qty"], order["reason"]) == ("CANCELED", "0", "FOK")
    order = client.call("ORDER.NEW", ioc, "MSFT", "BUY", 4, "LIMIT", "31.00", "TIF", "IOC")
    assert (order["status"], order["avg_px"]) == ("FILLED", "30.000000"), "at the maker's price"
    order = client.call("ORDER.NEW", market, "MSFT", "BUY", 9, "MARKET")
    assert (order["status"], order["cum_qty"], order["leaves_qty"]) == ("CANCELED", "6", "0")
    assert client.call("ORDER.STATUS", maker)["status"] == "FILLED"
    found = [(pairs["cl_ord_id"], pairs["exec_type"]) for _, pairs in client.executions(after)]
    expected = [(fok, "NEW"), (fok, "CANCELED"), (ioc, "NEW"), (ioc, "TRADE"), (maker, "TRADE"), (market, "NEW")]
    assert sorted(found) == sorted([*expected, (market, "TRADE"), (maker, "TRADE"), (market, "CANCELED")])
    assert [pair for pair in found if pair[0] == market] == [(market, t) for t in ("NEW", "TRADE", "CANCELED")]


def test_a_replace_keeps_the_order_and_counts_what_was_filled(client: RespClient, new_id: NewId) -> None:
    first, second, taker = new_id(), new_id(), new_id()
    client.call("ORDER.NEW", first, "ES", "BUY", 10, "LIMIT", "4000.25")
    client.call("ORDER.NEW", second, "ES", "BUY", 10, "LIMIT", "4000.25")
    client.call("ORDER.NEW", taker, "ES", "SELL", 4, "LIMIT", "4000.25")
    order = client.call("ORDER.REPLACE", first, 7, "4000.25")
    assert (order["status"], order["quantity"], order["leaves_qty"]) == ("PARTIALLY_FILLED", "7", "3")
    order = client.call("ORDER.REPLACE", first, 5, "4000.25", "OPEN")
    assert (order["quantity"], order["leaves_qty"]) == ("9", "5"), "more open than before: to the back"
    assert client.call("BOOK", "ES")["bids"] == [["4000.25", "15", "2"]]
    order = client.call("ORDER.REPLACE", second, 10, "4000.50")
    assert order["status"] == "REPLACED"
    order = client.call("ORDER.REPLACE", first, 4, "4000.25")
    assert (order["status"], order["cum_qty"]) == ("CANCELED", "4"), "at or below what was filled"
    assert client.call("BOOK", "ES")["bids"] == [["4000.50", "10", "1"]]
    assert refusal(client, "ORDER.REPLACE", second, 1, "4000.30").startswith("BADORDER ")
    client.call("ORDER.CANCEL", second)
    assert client.call("BOOK", "ES") == {"symbol": "ES", "bids": [], "asks": []}


def test_a_bad_record_refuses_the_whole_batch_by_its_index(client: RespClient, new_id: NewId) -> None:
    number = client.call("ORDER.RESERVE", 10)
    for bad, text in (
        (record(number + 2, 0), "record 2: its price must be above 0"),
        (record(number), "record 2: its number is repeated in the batch"),
        (record(number + 2, kind=6), "record 2: its attribute does not exist"),
        (record(number + 2, kind=9), "record 2: its kind does not exist"),
        (record(2**63), "record 2: its number must be below 2**63"),
    ):
        reply = refusal(client, "ORDER.BATCH", new_id(), record(number) + record(number + 1) + bad)
        assert reply == f"BADORDER {text}"
    assert refusal(client, "ORDER.STATUS", number).startswith("NOTFOUND ")


def test_a_batch_tells_what_was_rejected_and_traded(client: RespClient, new_id: NewId) -> None:
    number = client.call("ORDER.RESERVE", 10)
    records = record(number, sell=True) + record(number + 1) + record(number + 9, 0, 0, kind=CANCEL)
    batch = client.call("ORDER.BATCH", new_id(), records)
    found = {key: batch[key] for key in ("orders", "status", "accepted", "rejected", "trades")}
    assert found == {"orders": "3", "status": "DONE", "accepted": "2", "rejected": "1", "trades": "1"}
    wait_until(lambda: client.call("ORDER.STATUS", number)["status"] == "FILLED", "the maker is filled")
    last = client.executions(client.last_execution() - 1)[0][1]
    assert (last["exec_type"], last["cl_ord_id"]) == ("CANCEL_REJECTED", str(number + 9))
