"""TRADING: halted means that nothing new is taken that could trade, and that everything can still be taken away."""

import pytest

from orderd.intake.pending import Unfinished
from orderd.orders.trading import TradingState
from orderd.wire.records import RECORD, Kind
from tests.support.matching import mass_cancel
from tests.support.site import Client, Site

LIMIT = ("AAPL", "BUY", 5, "LIMIT", "1.00")
HALTED = "HALTED trading is halted"


def new(number: int) -> bytes:
    return RECORD.pack(number, 5, 5, 1, 0, Kind.NEW, 0)


def request(number: int, kind: Kind) -> bytes:
    price, quantity = (0, 0) if kind is Kind.CANCEL else (5, 4)
    return RECORD.pack(number, price, quantity, 1, 0, kind, 0)


@pytest.fixture
def halted(client: Client) -> Client:
    """Trading is halted; orders a to c and batch B with 1 to 4 came before."""
    for name in ("a", "b", "c"):
        client.pairs("ORDER.NEW", name, *LIMIT)
    client.pairs("ORDER.BATCH", "B", b"".join(new(number) for number in (1, 2, 3, 4)))
    client.pairs("ORDER.REPLACE", "c", 3, "1.00", "ID", "r1")
    client.pairs("ORDER.CANCEL", "b")
    assert client.call("TRADING") == b"ACTIVE"
    assert client.call("TRADING", "halted") == b"OK"
    assert client.call("TRADING") == b"HALTED"
    return client


@pytest.mark.parametrize(
    "words",
    [
        ("ORDER.NEW", "x", *LIMIT),
        ("ORDER.NEW", "x", "AAPL", "SELL", 5, "MARKET", "MODE", "fire-and-forget"),
        ("ORDER.REPLACE", "a", 4, "1.00"),
        ("ORDER.REPLACE", "a", 4, "1.00", "OPEN", "ID", "r2"),
        ("ORDER.REPLACE", "b", 4, "1.00"),
        ("ORDER.BATCH", "C", new(5)),
        ("ORDER.BATCH", "C", request(1, Kind.CANCEL) + new(5)),
        ("ORDER.BATCH", "C", request(1, Kind.CANCEL) + request(2, Kind.REPLACE)),
        ("ORDER.BATCH", "C", request(2, Kind.REPLACE_OPEN) + mass_cancel()),
    ],
)
def test_what_could_trade_is_refused_whole_and_nothing_of_it_is_journaled(
    site: Site, halted: Client, words: tuple[str | int | bytes, ...]
) -> None:
    end, commits = site.desk.table.end, len(site.journal)
    assert halted.error(*words) == HALTED
    assert (site.desk.table.end, len(site.journal)) == (end, commits)


@pytest.mark.parametrize(
    "words",
    [
        ("ORDER.CANCEL", "a"),
        ("ORDER.CANCEL", "b"),
        ("ORDER.MASSCANCEL",),
        ("ORDER.BATCH", "C", request(1, Kind.CANCEL) + mass_cancel() + request(2, Kind.CANCEL)),
        ("ORDER.STATUS", "a"),
        ("ORDER.RESERVE", 5),
        ("EXEC.READ", 0),
        ("BOOK", "AAPL"),
    ],
)
def test_what_takes_orders_away_and_what_asks_passes(halted: Client, words: tuple[str | int | bytes, ...]) -> None:
    halted.call(*words)


def test_a_repeat_of_what_was_taken_in_before_gets_the_first_outcome(halted: Client) -> None:
    assert halted.pairs("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
    assert halted.error("ORDER.NEW", "a", "AAPL", "BUY", 6, "LIMIT", "1.00") == "DUPLICATE a is another order"
    assert halted.pairs("ORDER.REPLACE", "c", 3, "1.00", "ID", "r1")["status"] == "REPLACED"
    batch = halted.pairs("ORDER.BATCH", "B", b"".join(new(number) for number in (1, 2, 3, 4)))
    assert (batch["status"], batch["accepted"]) == ("DONE", "4")


def test_what_is_journaled_goes_on_its_way(site: Site, client: Client) -> None:
    site.holds_commits = True
    client.send("ORDER.NEW", "a", *LIMIT)
    client.send("TRADING", "HALTED")
    client.send("ORDER.NEW", "b", *LIMIT)
    site.holds_commits = False
    site.pump()
    order, ok, refused = client.replies()
    assert (b"NEW" in order, ok, str(refused)) == (True, b"OK", HALTED)


def test_active_ends_it(halted: Client) -> None:
    assert halted.call("TRADING", "ACTIVE") == b"OK"
    assert halted.pairs("ORDER.NEW", "x", *LIMIT)["status"] == "NEW"


def test_a_restart_does_not_end_it(site: Site, halted: Client) -> None:
    site.start()
    client = site.connect()
    assert client.call("TRADING") == b"HALTED"
    assert client.error("ORDER.NEW", "x", *LIMIT) == HALTED
    assert b"trading:HALTED" in client.call("INFO")
    client.call("TRADING", "ACTIVE")
    site.start()
    assert site.connect().call("TRADING") == b"ACTIVE"


def test_it_is_told_when_it_is_durable_and_holds_from_the_moment_it_is_asked_for(site: Site, client: Client) -> None:
    site.is_slow = True
    client.send("ORDER.NEW", "a", *LIMIT, "MODE", "fire-and-forget")
    site.pump()
    other, asking = site.connect(), site.connect()
    other.send("TRADING", "HALTED")
    asking.send("TRADING")
    assert site.connect().error("ORDER.NEW", "x", *LIMIT) == HALTED
    site.end_commit()
    site.pump()
    assert (other.replies(), asking.replies()) == ([], []), "they are in the next commit"
    site.end_commit()
    site.pump()
    assert (other.replies(), asking.replies()) == ([b"OK"], [b"HALTED"])


def test_what_never_reached_the_disk_does_not_hold_after_a_restart(site: Site, client: Client) -> None:
    site.holds_commits = True
    client.send("TRADING", "HALTED")
    site.pump()
    site.give_up(Unfinished.JOURNAL)
    assert str(client.replies()[0]).startswith("UNAVAILABLE the journal did not take the change")
    site.holds_commits = False
    site.start()
    assert site.connect().call("TRADING") == b"ACTIVE"


def test_each_change_is_told_to_the_log_once_with_who_asked_for_it(site: Site, client: Client) -> None:
    trading = site.desk.trading
    for state in ("HALTED", "HALTED", "ACTIVE", "ACTIVE", "HALTED"):
        assert client.call("TRADING", state) == b"OK"
    changes = trading.take_changes()
    assert [change.state for change in changes] == [TradingState.HALTED, TradingState.ACTIVE, TradingState.HALTED]
    assert all(change.by.startswith("client 1 ") for change in changes)
    assert trading.take_changes() == []


def test_within_a_transaction_it_holds_for_what_comes_behind(client: Client) -> None:
    client.call("MULTI")
    for words in (("ORDER.NEW", "a", *LIMIT), ("TRADING", "HALTED"), ("ORDER.NEW", "b", *LIMIT)):
        client.send(*words)
    client.send("EXEC")
    client.site.pump()
    first, halted, second = client.replies()[-1]
    assert (b"NEW" in first, halted, str(second)) == (True, b"OK", HALTED)
