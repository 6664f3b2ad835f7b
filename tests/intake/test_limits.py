"""Every bound of docs/COMMANDS.md: at it all is well, beyond it the client hears which it is and nothing is taken."""

from typing import Any

import hiredis
import pytest

from orderd.dispatch.book_queries import QUERIES_MAX
from orderd.intake.execution_commands import EXECUTIONS_AT_ONCE
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, encode, pairs_of, site_settings

Words = tuple[str | int, ...]

BOUNDS: list[tuple[Words, Words]] = [
    (
        ("ORDER.NEW", "x" * 64, "AAPL", "BUY", 1, "LIMIT", "1"),
        ("ORDER.NEW", "x" * 65, "AAPL", "BUY", 1, "LIMIT", "1"),
    ),
    (("ORDER.CANCEL", "a1", "ID", "y" * 64), ("ORDER.CANCEL", "a1", "ID", "y" * 65)),
    (
        ("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1", "ACCOUNT", 65535),
        ("ORDER.NEW", "c", "AAPL", "BUY", 1, "LIMIT", "1", "ACCOUNT", 65536),
    ),
    (
        ("ORDER.NEW", "b", "AAPL", "BUY", 2**63 - 1, "LIMIT", "1"),
        ("ORDER.NEW", "c", "AAPL", "BUY", 2**63, "LIMIT", "1"),
    ),
    (
        ("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "92233720368547758.07"),
        ("ORDER.NEW", "c", "AAPL", "BUY", 1, "LIMIT", "92233720368547758.08"),
    ),
    (("ORDER.LIST", "COUNT", 1000), ("ORDER.LIST", "COUNT", 1001)),
    (("ORDER.WAIT", "a1", 86_400_000), ("ORDER.WAIT", "a1", 86_400_001)),
    (("ORDER.RESERVE", 2**32), ("ORDER.RESERVE", 2**32 + 1)),
    (("BOOK", "AAPL", "DEPTH", 1000), ("BOOK", "AAPL", "DEPTH", 1001)),
    (("EXEC.READ", 0, "BLOCK", 86_400_000), ("EXEC.READ", 0, "BLOCK", 86_400_001)),
    (("CONFIG", "GET", *("a*",) * 32), ("CONFIG", "GET", *("a*",) * 33)),
    (("CLIENT", "SETNAME", "n" * 64), ("CLIENT", "SETNAME", "n" * 65)),
]


@pytest.mark.parametrize(("at", "beyond"), BOUNDS, ids=[f"{at[0]} {at[-2]}" for at, _ in BOUNDS])
def test_a_value_at_its_bound_is_fine_and_one_beyond_it_is_refused_and_leaves_no_trace(
    client: Client, site: Site, at: Words, beyond: Words
) -> None:
    client.pairs("ORDER.NEW", "a1", "AAPL", "BUY", 1, "LIMIT", "1")
    rows = site.desk.table.end
    assert client.error(*beyond).split()[0] in ("BADORDER", "ERR")
    assert site.desk.table.end == rows
    assert not isinstance(client.call(*at), hiredis.ReplyError)


def test_a_command_of_query_bytes_max_is_done_and_a_longer_one_ends_the_connection() -> None:
    bound = 2048
    site = Site(site_settings(query_bytes_max=bound))
    size = bound - len(encode(["ECHO", "x" * 2000])) + 2000
    assert len(encode(["ECHO", "x" * size])) == bound
    assert site.connect().call("ECHO", "x" * size) == b"x" * size
    client = site.connect()
    client.feed(encode(["ECHO", "x" * (size + 1)]))
    (error,) = client.replies()
    assert "query_bytes_max" in str(error)
    assert client.connection.client.closing


def order(name: str) -> Words:
    return ("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1")


def records(kind: Kind, first: int, count: int) -> bytes:
    price, quantity = (1, 1) if kind is not Kind.CANCEL else (0, 0)
    return b"".join(RECORD.pack(first + i, price, quantity, 1, 0, kind, 0) for i in range(count))


def error(reply: Any) -> str:
    assert isinstance(reply, hiredis.ReplyError), reply
    return str(reply)


@pytest.fixture
def full() -> Client:
    """A client of a site whose engine is away and that has as many unconfirmed orders as it may."""
    site = Site(site_settings(mode="fire-and-forget", orders_unconfirmed_max=100))
    site.engine.up = False
    client = site.connect()
    assert client.pairs("ORDER.BATCH", "B", records(Kind.NEW, 1, 50))["status"] == "QUEUED"
    for number in range(50):
        assert client.pairs(*order(f"a{number}"))["status"] == "QUEUED", "up to the bound there is room"
    return client


def test_at_orders_unconfirmed_max_nothing_that_may_trade_is_taken(full: Client) -> None:
    bound = "FULL orders_unconfirmed_max is reached: 100 of 100"
    site = full.site
    assert error(full.call(*order("b"))) == bound
    assert error(full.call("ORDER.REPLACE", "a1", 2, "1.5")) == bound
    assert error(full.call("ORDER.REPLACE", "a1", 2, "1.5", "OPEN", "ID", "r")) == bound
    assert error(full.call("ORDER.BATCH", "C", records(Kind.REPLACE, 1, 1))) == bound
    mixed = records(Kind.CANCEL, 1, 3) + records(Kind.NEW, 900, 1)
    assert error(full.call("ORDER.BATCH", "D", mixed)) == bound, "whole, its cancels included"
    assert site.desk.table.end == 101


def test_cancels_have_room_of_their_own_beyond_it_and_a_bound_of_their_own(full: Client) -> None:
    site = full.site
    assert pairs_of(full.call("ORDER.BATCH", "D", records(Kind.CANCEL, 1, 30)))["status"] == "QUEUED"
    for number in range(34):
        assert full.pairs("ORDER.CANCEL", f"a{number}")["status"] == "QUEUED"
    assert error(full.call("ORDER.CANCEL", "a40")).startswith("FULL orders_unconfirmed_max is reached: 164 of 100")
    assert error(full.call("ORDER.BATCH", "E", records(Kind.CANCEL, 40, 1))).startswith("FULL")
    site.engine.up = True
    site.advance(2)
    assert site.desk.unconfirmed == 0
    assert site.desk.table.open == 100 - 64
    assert pairs_of(full.call(*order("b"), "MODE", "sync"))["status"] == "NEW", "there is room again"
    assert full.pairs("ORDER.REPLACE", "b", 2, "1.5", "MODE", "sync")["status"] == "REPLACED"


def test_a_batch_that_does_not_fit_whole_is_refused_whole() -> None:
    site = Site(site_settings(mode="fire-and-forget", orders_unconfirmed_max=100))
    site.engine.up = False
    client = site.connect()
    assert error(client.call("ORDER.BATCH", "B", records(Kind.NEW, 1, 101))).startswith("FULL")
    assert site.desk.table.end == 1
    assert client.pairs("ORDER.BATCH", "B", records(Kind.NEW, 1, 100))["status"] == "QUEUED"


def test_replaces_do_not_use_up_the_disk_that_is_kept_for_cancels() -> None:
    site = Site()
    client = site.connect()
    client.pairs(*order("a"))
    site.writer.room = site.settings.journal.segment_bytes // 8
    assert client.error("ORDER.REPLACE", "a", 2, "1") == "FULL the journal's disk is full"
    assert client.pairs("ORDER.CANCEL", "a")["status"] == "CANCELED"


def test_the_done_orders_that_are_remembered_are_orders_remembered_max_and_no_more() -> None:
    site = Site(site_settings(orders_remembered_max=3))
    client = site.connect()
    for number in range(5):
        client.pairs("ORDER.NEW", f"a{number}", "AAPL", "BUY", 1, "MARKET")
    found = [isinstance(client.call("ORDER.STATUS", f"a{number}"), hiredis.ReplyError) for number in range(5)]
    assert found == [True, True, False, False, False]


def test_executions_kept_are_readable_to_the_first_one_and_not_before_it() -> None:
    client = Site(site_settings(executions_kept=5)).connect()
    for number in range(9):
        client.pairs(*order(f"a{number}"))
    assert [int(exec_id) for exec_id, _ in client.call("EXEC.READ", 4)] == [5, 6, 7, 8, 9]
    assert client.error("EXEC.READ", 3) == "TRIMMED 5"


def test_one_reply_has_so_many_executions_at_most() -> None:
    client = Site().connect()
    client.call("ORDER.BATCH", "B", records(Kind.NEW, 1, EXECUTIONS_AT_ONCE + 1))
    assert len(client.call("EXEC.READ", 0, "COUNT", 100_000)) == EXECUTIONS_AT_ONCE


def test_so_many_questions_about_books_may_be_under_way() -> None:
    site = Site()
    client = site.connect()
    site.engine.up = False
    for _ in range(QUERIES_MAX):
        client.send("BOOK", "AAPL")
    other = site.connect()
    other.send("BOOK", "AAPL")
    assert error(other.replies()[0]).startswith(f"FULL {QUERIES_MAX} questions about books are under way")
    site.advance(6)
    assert {str(reply) for reply in client.replies()} == {"UNAVAILABLE the engine does not answer"}
    site.engine.up = True
    site.advance(1)
    assert not isinstance(other.call("BOOK", "AAPL"), hiredis.ReplyError)
