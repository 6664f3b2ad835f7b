"""Risk limits as clients see them: each at its bound and beyond it, and that a refusal leaves nothing behind."""

from typing import Any

import attrs
import pytest

from orderd.orders.risk.settings import RiskAccount, RiskReference, RiskSettings
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, site_settings

REFERENCES = (RiskReference("AAPL", "100.00"), RiskReference("BTC", "20000.0"))
Words = tuple[str | int | bytes, ...]


def site_with(**risk: Any) -> tuple[Site, Client]:
    risk.setdefault("reference", REFERENCES)
    site = Site(site_settings(other={"risk": RiskSettings(**risk)}))
    return site, site.connect()


def new(number: int, quantity: int, *, side: int = 0, price: int = 10_000, account: int = 0) -> bytes:
    return RECORD.pack(number, price, quantity, 1, account, Kind.NEW, side)


def order(name: str, side: str, quantity: str | int, price: str = "100.00", account: int = 0) -> Words:
    return ("ORDER.NEW", name, "AAPL", side, quantity, "LIMIT", price, "ACCOUNT", account)


def btc(name: str, side: str, quantity: str, price: str) -> Words:
    return ("ORDER.NEW", name, "BTC", side, quantity, "LIMIT", price)


WITHIN_AND_BEYOND: list[tuple[dict[str, Any], Words, Words, str]] = [
    (
        {"order_quantity_max": "100"},
        order("a", "BUY", 100),
        order("b", "BUY", 101),
        "LIMIT order_quantity_max 101 exceeds 100 in AAPL for account 0",
    ),
    (
        {"order_quantity_max": "0.0105"},
        btc("a", "BUY", "0.010", "20000"),
        btc("b", "BUY", "0.011", "20000"),
        "LIMIT order_quantity_max 0.011 exceeds 0.010 in BTC for account 0",
    ),
    (
        {"order_notional_max": "1000"},
        order("a", "BUY", 10),
        order("b", "BUY", 10, "100.01"),
        "LIMIT order_notional_max 1000.1 exceeds 1000 in AAPL for account 0",
    ),
    (
        {"order_notional_max": "1000"},
        ("ORDER.NEW", "a", "AAPL", "BUY", 10, "MARKET"),
        ("ORDER.NEW", "b", "AAPL", "BUY", 11, "MARKET"),
        "LIMIT order_notional_max 1100 exceeds 1000 in AAPL for account 0",
    ),
    (
        {"price_band": "5%"},
        order("a", "BUY", 1, "105.00"),
        order("b", "BUY", 1, "105.01"),
        "LIMIT price_band 105.01 exceeds 95.00 to 105.00, 5% around 100.00 in AAPL for account 0",
    ),
    (
        {"price_band": "0.5%"},
        order("a", "SELL", 1, "99.50"),
        order("b", "SELL", 1, "99.49"),
        "LIMIT price_band 99.49 exceeds 99.50 to 100.50, 0.5% around 100.00 in AAPL for account 0",
    ),
    (
        {"open_orders_max": 1},
        order("a", "BUY", 1),
        order("b", "SELL", 1, "101.00"),
        "LIMIT open_orders_max 2 exceeds 1 for account 0",
    ),
    (
        {"position_max": "10"},
        order("a", "BUY", 10),
        order("b", "BUY", 1),
        "LIMIT position_max 11 exceeds 10 in AAPL for account 0",
    ),
    (
        {"gross_notional_max": "1000.50"},
        order("a", "BUY", 10),
        btc("b", "SELL", "0.001", "20000"),
        "LIMIT gross_notional_max 1020 exceeds 1000.5 for account 0",
    ),
    (
        {"orders_per_second": 1},
        order("a", "BUY", 1),
        order("b", "BUY", 1),
        "LIMIT orders_per_second 1 exceeds 0 left of 1 at 1 a second for account 0",
    ),
    (
        {"repeats_max": 1, "repeats_window_ms": 500},
        order("a", "BUY", 1),
        order("b", "BUY", 1),
        "LIMIT repeats_max 2 exceeds 1 equal orders in 500 ms in AAPL for account 0",
    ),
]


@pytest.mark.parametrize(("risk", "within", "beyond", "refusal"), WITHIN_AND_BEYOND)
def test_each_limit_takes_what_is_at_it_and_refuses_what_is_beyond(
    risk: dict[str, Any], within: Words, beyond: Words, refusal: str
) -> None:
    site, client = site_with(**risk)
    assert client.pairs(*within)["status"] in ("NEW", "CANCELED")
    end, commits, info = site.desk.table.end, len(site.journal), site.desk.entry.received
    assert client.error(*beyond) == refusal
    assert (site.desk.table.end, len(site.journal), site.desk.entry.received) == (end, commits, info)
    assert b"risk_limits:on\r\nrisk_refused_total:1\r\n" in client.call("INFO")
    assert client.error("ORDER.STATUS", beyond[1]).startswith("NOTFOUND")
    assert client.pairs(*within)["status"] in ("NEW", "CANCELED"), "a repeat is answered before any limit"


@pytest.mark.parametrize("name", ["order_notional_max", "gross_notional_max", "price_band"])
def test_without_any_price_what_needs_one_is_refused_by_name(name: str) -> None:
    site, client = site_with(reference=(), **{name: "5%" if name == "price_band" else "1000000"})
    words = ("ORDER.NEW", "a", "AAPL", "BUY", 1, "MARKET") if name == "order_notional_max" else order("a", "BUY", 1)
    needs = "needs a price: AAPL has no last trade and no reference, account 0"
    assert client.error(*words) == f"LIMIT {name} {needs}"
    site.file = attrs.evolve(site.settings, risk=attrs.evolve(site.settings.risk, reference=REFERENCES))
    assert client.call("CONFIG", "RELOAD") == b"OK"
    client.pairs(*words)


def test_the_last_trade_takes_the_place_of_the_reference_also_after_a_restart() -> None:
    site, client = site_with(price_band="5%")
    client.pairs(*order("a", "BUY", 1, "105.00"))
    assert client.pairs(*order("b", "SELL", 1, "105.00"))["status"] == "FILLED"
    for _ in range(2):
        assert client.error(*order("c", "SELL", 1, "99.74")).startswith(
            "LIMIT price_band 99.74 exceeds 99.75 to 110.25"
        )
        site.start()
        client = site.connect()
    client.pairs(*order("c", "SELL", 1, "99.75"))


def test_what_brings_a_position_nearer_to_zero_passes_also_beyond_a_limit_that_came_later() -> None:
    site, client = site_with()
    client.pairs(*order("a", "BUY", 100))
    assert client.pairs(*order("b", "SELL", 100, account=1))["status"] == "FILLED"
    site.file = attrs.evolve(
        site.settings, risk=attrs.evolve(site.settings.risk, position_max="10", gross_notional_max="1")
    )
    assert client.call("CONFIG", "RELOAD") == b"OK"
    assert client.error(*order("c", "BUY", 1)) == "LIMIT position_max 101 exceeds 10 in AAPL for account 0"
    client.pairs(*order("d", "SELL", 100))
    assert client.error(*order("e", "SELL", 11)) == "LIMIT position_max 11 exceeds 10 in AAPL for account 0"


def test_a_replace_is_checked_for_what_it_adds_and_a_cancel_never() -> None:
    _, client = site_with(position_max="10", order_quantity_max="8", price_band="5%")
    client.pairs(*order("a", "BUY", 8))
    assert client.error("ORDER.REPLACE", "a", 9, "100.00").startswith("LIMIT order_quantity_max 9 exceeds 8")
    assert client.error("ORDER.REPLACE", "a", 8, "105.01").startswith("LIMIT price_band")
    client.pairs(*order("b", "BUY", 2))
    assert client.error("ORDER.REPLACE", "b", 3, "100.00") == "LIMIT position_max 11 exceeds 10 in AAPL for account 0"
    assert client.error("ORDER.REPLACE", "b", 3, "100.00", "OPEN").startswith("LIMIT position_max 11 exceeds 10")
    assert client.pairs("ORDER.REPLACE", "b", 2, "99.00")["status"] == "REPLACED"
    assert client.pairs("ORDER.REPLACE", "a", 7, "100.00")["status"] == "REPLACED"
    assert client.pairs("ORDER.REPLACE", "b", 3, "99.00")["status"] == "REPLACED"
    assert client.pairs("ORDER.CANCEL", "a")["status"] == "CANCELED"
    client.pairs(*order("c", "BUY", 7))


def test_an_order_counts_until_the_engine_says_that_it_is_done() -> None:
    site, client = site_with(position_max="10", open_orders_max=2)
    site.engine.up = False
    client.call(*order("a", "BUY", 10), "MODE", "fire-and-forget")
    client.call("ORDER.CANCEL", "a", "MODE", "fire-and-forget")
    assert client.error(*order("b", "BUY", 1)).startswith("LIMIT position_max 11 exceeds 10")
    site.engine.up = True
    site.advance(1)
    client.pairs(*order("b", "BUY", 10))


def test_a_refusal_uses_up_neither_tokens_nor_repeats_and_time_gives_them_back() -> None:
    site, client = site_with(orders_per_second=2, orders_burst=3, repeats_max=1, repeats_window_ms=100)
    for number in range(3):
        client.pairs(*order(f"a{number}", "BUY", 1 + number))
    for _ in range(3):
        assert client.error(*order("b", "BUY", 9)).startswith("LIMIT orders_per_second 1 exceeds 0 left of 3 at 2")
    site.now += 0.5
    assert client.error("ORDER.BATCH", "B", new(1, 8) + new(2, 9)) == (
        "LIMIT record 1: orders_per_second 2 exceeds 1 left of 3 at 2 a second for account 0"
    )
    client.pairs(*order("b", "BUY", 9))
    site.now += 0.5
    client.pairs("ORDER.REPLACE", "a1", 5, "99.00")
    assert client.error("ORDER.REPLACE", "a1", 4, "99.00").startswith("LIMIT orders_per_second")
    client.pairs("ORDER.CANCEL", "a1")
    site.now += 10
    client.pairs(*order("c", "BUY", 9))
    assert client.error(*order("d", "BUY", 9)).startswith("LIMIT repeats_max 2 exceeds 1")
    site.now += 0.099
    assert client.error(*order("d", "BUY", 9)).startswith("LIMIT repeats_max 2 exceeds 1")
    site.now += 0.001
    client.pairs(*order("d", "BUY", 9))


def test_an_account_has_limits_of_its_own_and_the_rest_from_all() -> None:
    own = (RiskAccount(7, order_quantity_max="", open_orders_max=1), RiskAccount(8, order_quantity_max="20"))
    _, client = site_with(order_quantity_max="10", position_max="50", account=own)
    assert client.error(*order("a", "BUY", 11)).startswith("LIMIT order_quantity_max 11 exceeds 10")
    assert client.error(*order("a", "BUY", 51, account=7)).startswith("LIMIT position_max 51 exceeds 50")
    client.pairs(*order("a", "BUY", 50, account=7))
    assert client.error(*order("b", "SELL", 1, account=7)).endswith("open_orders_max 2 exceeds 1 for account 7")
    client.pairs(*order("c", "BUY", 20, account=8))
    assert client.error(*order("d", "BUY", 21, account=8)).endswith("21 exceeds 20 in AAPL for account 8")


@pytest.mark.parametrize("count", [3, 40, 1000])
def test_a_batch_is_refused_whole_naming_the_first_record_that_does_not_fit(count: int) -> None:
    site, client = site_with(position_max="500")
    records = b"".join(new(1 + i, 1, price=1 + i) for i in range(count))
    too_large = records[:64] + new(10**6, 500) + records[64:]
    end = site.desk.table.end
    assert client.error("ORDER.BATCH", "B", too_large) == (
        "LIMIT record 2: position_max 502 exceeds 500 in AAPL for account 0"
    )
    assert site.desk.table.end == end
    if count > 500:
        assert client.error("ORDER.BATCH", "B", records) == (
            "LIMIT record 500: position_max 501 exceeds 500 in AAPL for account 0"
        )
        records = records[: 500 * 32]
    assert client.pairs("ORDER.BATCH", "B", records)["status"] == "DONE"
    assert client.pairs("ORDER.BATCH", "B", records)["status"] == "DONE", "a repeat is answered before any limit"


def test_a_reload_has_limits_in_force_for_what_was_taken_in_before_without_them() -> None:
    site, client = site_with()
    client.pairs(*order("a", "BUY", 70))
    client.pairs("ORDER.BATCH", "B", new(1, 20) + new(2, 10))
    site.start()
    client = site.connect()
    site.file = attrs.evolve(site.settings, risk=RiskSettings(position_max="100", open_orders_max=3))
    assert client.call("CONFIG", "RELOAD") == b"OK"
    assert client.error(*order("b", "BUY", 1)).startswith("LIMIT open_orders_max 4 exceeds 3")
    client.pairs("ORDER.CANCEL", "2")
    assert client.error(*order("b", "BUY", 11)).startswith("LIMIT position_max 101 exceeds 100")
    client.pairs(*order("b", "BUY", 10))
    site.file = site.settings
    client.call("CONFIG", "RELOAD")
    client.pairs(*order("c", "BUY", 1000))
    assert b"risk_limits:off" in client.call("INFO")


def test_unanswered_replaces_of_a_batch_count_for_limits_that_come_later() -> None:
    site, client = site_with()
    client.pairs("ORDER.BATCH", "B", b"".join(new(number, 1) for number in range(1, 41)))
    site.engine.up = False
    grow = b"".join(RECORD.pack(number, 10_000, 2, 1, 0, Kind.REPLACE, 0) for number in range(1, 41))
    client.call("ORDER.BATCH", "C", grow, "MODE", "fire-and-forget")
    site.file = attrs.evolve(site.settings, risk=RiskSettings(position_max="80"))
    assert client.call("CONFIG", "RELOAD") == b"OK"
    assert client.error(*order("a", "BUY", 1)) == "LIMIT position_max 81 exceeds 80 in AAPL for account 0"
    assert positions(client)[0]["open_buy"] == "80"
    site.engine.up = True
    site.advance(1)
    assert client.error(*order("a", "BUY", 1)).startswith("LIMIT position_max 81")
    client.pairs("ORDER.CANCEL", "1")
    client.pairs(*order("a", "BUY", 2))


# --- POSITIONS --------------------------------------------------------------------------------------------------------


def positions(client: Client, *words: str | int) -> list[dict[str, str]]:
    return [
        {key.decode(): value.decode() for key, value in zip(pairs[::2], pairs[1::2], strict=True)}
        for pairs in client.call("POSITIONS", *words)
    ]


def test_positions_tells_what_is_held_and_open_by_account_and_instrument() -> None:
    _, client = site_with()
    assert positions(client) == []
    client.pairs(*order("a", "BUY", 10, account=7))
    client.pairs(*order("b", "SELL", 4, account=3))
    client.pairs(*btc("c", "SELL", "0.250", "20000.0"))
    seven = {"account": "7", "symbol": "AAPL", "net": "4", "open_buy": "6", "open_sell": "0", "last_px": "100.00"}
    three = {"account": "3", "symbol": "AAPL", "net": "-4", "open_buy": "0", "open_sell": "0", "last_px": "100.00"}
    zero = {"account": "0", "symbol": "BTC", "net": "0.000", "open_buy": "0.000", "open_sell": "0.250"}
    assert positions(client) == [zero, three, seven]
    assert positions(client, "COUNT", 2) == [zero, three]
    assert positions(client, "ACCOUNT", 7) == [seven]
    assert positions(client, "ACCOUNT", 5) == []
    assert positions(client, "SYMBOL", "AAPL") == [three, seven]
    assert positions(client, "SYMBOL", "BTC", "ACCOUNT", 7) == []
    assert client.error("POSITIONS", "ACCOUNT", 65536).startswith("BADORDER ACCOUNT")
    client.call("HELLO", 3)
    assert client.call("POSITIONS", "ACCOUNT", 3)[0][b"net"] == b"-4"


def test_positions_are_told_once_what_they_tell_is_durable() -> None:
    site, client = site_with()
    site.is_slow = True
    client.send(*order("a", "BUY", 10), "MODE", "fire-and-forget")
    site.pump()
    asking = site.connect()
    asking.send("POSITIONS")
    site.pump()
    assert asking.replies() == []
    site.is_slow = False
    site.end_commit()
    site.pump()
    (told,) = asking.replies()
    assert told[0][told[0].index(b"open_buy") + 1] == b"10"
