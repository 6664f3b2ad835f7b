"""TRADING for one account, and REDUCING: only what makes a position smaller is taken."""

from collections.abc import Callable

import pytest

from orderd.intake.access import Peer
from orderd.orders.trading import TradingState
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site


def new(number: int, quantity: int, side: int, account: int = 7) -> bytes:
    return RECORD.pack(number, 10_000, quantity, 1, account, Kind.NEW, side)


def place(client: Client, name: str, side: str, quantity: int, account: int = 7, price: str = "100.00") -> str:
    return client.pairs("ORDER.NEW", name, "AAPL", side, quantity, "LIMIT", price, "ACCOUNT", account)["status"]


@pytest.fixture
def refused(client: Client) -> Callable[..., str]:
    def call(side: str, quantity: int, account: int = 7) -> str:
        return client.error("ORDER.NEW", "x", "AAPL", side, quantity, "LIMIT", "100.00", "ACCOUNT", account)

    return call


@pytest.fixture
def short(client: Client) -> Client:
    """Account 7 has sold 10, account 8 has bought them; all trading is REDUCING."""
    place(client, "s7", "SELL", 10, 7)
    place(client, "b8", "BUY", 10, 8)
    assert client.call("TRADING", "REDUCING") == b"OK"
    return client


@pytest.mark.parametrize("account", [7, 8])
def test_reducing_takes_what_with_all_that_is_open_stays_within_the_position(
    short: Client, refused: Callable[..., str], account: int
) -> None:
    nearer, away, net = ("BUY", "SELL", "-10") if account == 7 else ("SELL", "BUY", "10")
    # Prices that do not meet.
    price = "90.00" if account == 7 else "110.00"
    end = short.site.desk.table.end
    tail = f"with what is open exceeds the position {net} in AAPL for account {account}"
    assert refused(away, 1, account) == f"HALTED trading is reducing: {away} 1 {tail}"
    assert refused(nearer, 11, account) == f"HALTED trading is reducing: {nearer} 11 {tail}"
    assert short.site.desk.table.end == end
    assert place(short, "a", nearer, 6, account, price) == "NEW"
    assert refused(nearer, 5, account) == f"HALTED trading is reducing: {nearer} 11 {tail}"
    assert place(short, "b", nearer, 4, account, price) == "NEW"
    short.pairs("ORDER.CANCEL", "a")
    assert place(short, "c", nearer, 6, account, price) == "NEW"


def test_reducing_knows_nothing_to_reduce_without_a_position(short: Client, refused: Callable[..., str]) -> None:
    assert refused("BUY", 1, 9).startswith("HALTED trading is reducing: BUY 1 with what is open exceeds the position 0")
    assert 9 not in {p.account.number for p in short.site.desk.positions.by_key.values() if not p.is_empty}


def test_reducing_takes_replaces_that_leave_no_more_open(short: Client) -> None:
    place(short, "a", "BUY", 6, 7, "90.00")
    refusal = "HALTED trading is reducing: a replace to 7 open exceeds 6, account 7"
    assert short.error("ORDER.REPLACE", "a", 7, "90.00") == refusal
    assert short.error("ORDER.REPLACE", "a", 7, "90.00", "OPEN") == refusal
    assert short.pairs("ORDER.REPLACE", "a", 6, "91.00")["status"] == "REPLACED"
    assert short.pairs("ORDER.REPLACE", "a", 2, "91.00")["status"] == "REPLACED"
    assert short.call("ORDER.MASSCANCEL")[1] == b"1"


@pytest.mark.parametrize("fill", [0, 40])
def test_reducing_holds_for_batches_record_by_record(short: Client, fill: int) -> None:
    """Also for those that are looked at in bulk; the sums count what stands before each record."""
    short.call("TRADING", "ACTIVE")
    place(short, "more", "BUY", 100, 8)
    place(short, "s9", "SELL", 100, 9)
    short.call("TRADING", "REDUCING")
    fits = b"".join(new(1000 + i, 1, 1, 8) for i in range(fill)) + new(1, 4, 0) + new(2, 6, 0)
    end = short.site.desk.table.end
    refusal = "trading is reducing: BUY 11 with what is open exceeds the position -10 in AAPL for account 7"
    assert short.error("ORDER.BATCH", "B", fits + new(3, 1, 0)) == f"HALTED record {fill + 2}: {refusal}"
    grown = fits + RECORD.pack(1, 10_000, 5, 1, 0, Kind.REPLACE, 0)
    assert short.error("ORDER.BATCH", "B", grown) == (
        f"HALTED record {fill + 2}: trading is reducing: a replace to 5 open exceeds 4, account 7"
    )
    assert short.site.desk.table.end == end
    assert short.pairs("ORDER.BATCH", "B", fits)["status"] == "DONE"


def test_of_both_states_the_stricter_one_holds(client: Client) -> None:
    def state(*words: str | int) -> bytes:
        found: bytes = client.call("TRADING", *words)
        return found

    assert state("ACCOUNT", 7) == b"ACTIVE"
    assert state("reducing", "account", 7) == b"OK"
    assert (state(), state("ACCOUNT", 7), state("ACCOUNT", 8)) == (b"ACTIVE", b"REDUCING", b"ACTIVE")
    assert state("HALTED") == b"OK"
    assert (state("ACCOUNT", 7), state("ACCOUNT", 8)) == (b"HALTED", b"HALTED")
    assert state("REDUCING") == b"OK"
    assert state("HALTED", "ACCOUNT", 8) == b"OK"
    assert (state("ACCOUNT", 7), state("ACCOUNT", 8)) == (b"REDUCING", b"HALTED")
    assert b"trading:REDUCING\r\ntrading_accounts:7=REDUCING,8=HALTED\r\n" in client.call("INFO")
    assert state("ACTIVE", "ACCOUNT", 7) == b"OK"
    assert state("ACTIVE") == b"OK"
    assert (state("ACCOUNT", 7), state("ACCOUNT", 8)) == (b"ACTIVE", b"HALTED")


def test_a_halted_account_can_take_its_orders_away_and_others_trade_on(
    client: Client, refused: Callable[..., str]
) -> None:
    place(client, "a", "BUY", 5, 7, "90.00")
    place(client, "b", "BUY", 5, 8, "90.00")
    client.call("TRADING", "HALTED", "ACCOUNT", 7)
    assert refused("BUY", 1) == "HALTED trading is halted for account 7"
    assert client.error("ORDER.REPLACE", "a", 4, "90.00") == "HALTED trading is halted for account 7"
    records = b"".join(new(1 + i, 1, 0, 8) for i in range(30))
    assert (
        client.error("ORDER.BATCH", "B", records + new(99, 1, 0)) == "HALTED record 30: trading is halted for account 7"
    )
    assert client.pairs("ORDER.BATCH", "B", records)["status"] == "DONE"
    assert client.pairs("ORDER.REPLACE", "b", 4, "90.00")["status"] == "REPLACED"
    assert place(client, "a", "BUY", 5, 7, "90.00") == "NEW", "a repeat"
    assert client.pairs("ORDER.CANCEL", "a")["status"] == "CANCELED"


def test_the_states_of_accounts_survive_a_restart_each_for_itself(site: Site, client: Client) -> None:
    site.holds_commits = True
    for account in (1, 2, 3):
        client.send("TRADING", "HALTED", "ACCOUNT", account)
    client.send("TRADING", "REDUCING", "ACCOUNT", 0)
    client.send("TRADING", "REDUCING", "ACCOUNT", 2)
    client.send("TRADING", "ACTIVE", "ACCOUNT", 3)
    site.holds_commits = False
    site.pump()
    assert client.replies() == [b"OK"] * 6
    for _ in range(2):
        site.start()
        asked = site.connect()
        states = [asked.call("TRADING", "ACCOUNT", account) for account in range(4)]
        assert states == [b"REDUCING", b"HALTED", b"REDUCING", b"ACTIVE"]
        assert asked.call("TRADING") == b"ACTIVE"


def test_asking_needs_the_role_to_read_and_changing_that_of_an_admin(site: Site) -> None:
    reader = site.connect(Peer(2, 4_000_000, frozenset()))
    assert reader.call("TRADING") == b"ACTIVE"
    assert reader.call("TRADING", "ACCOUNT", 7) == b"ACTIVE"
    assert reader.call("POSITIONS", "ACCOUNT", 7) == []
    for words in (("HALTED",), ("REDUCING", "ACCOUNT", 7)):
        assert reader.error("TRADING", *words).startswith("NOPERM")
    assert reader.error("TRADING", "ACCOUNT", 7, "HALTED").startswith("BADORDER")
    assert site.connect().error("TRADING", "PAUSED") == (
        "BADORDER trading state 'PAUSED' must be ACTIVE, REDUCING or HALTED"
    )


def test_each_change_of_an_account_is_told_to_the_log_once(site: Site, client: Client) -> None:
    for words in (("HALTED", "ACCOUNT", 7), ("HALTED", "ACCOUNT", 7), ("HALTED",), ("ACTIVE", "ACCOUNT", 7)):
        client.call("TRADING", *words)
    told = [(change.state, change.account) for change in site.desk.trading.take_changes()]
    assert told == [(TradingState.HALTED, 7), (TradingState.HALTED, None), (TradingState.ACTIVE, 7)]
