"""Batches, executions and the book, as clients see them, with a real engine behind."""

from orderd.dispatch.book_queries import QUERIES_MAX
from orderd.intake.execution_commands import EXECUTIONS_AT_ONCE
from orderd.orders.desk import RESERVED_FIRST
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, pairs_of, site_settings

ORDER = ("ORDER.NEW", "a", "AAPL", "BUY", 100, "LIMIT", "187.25")


def new(number: int, side: int, quantity: int, price: int, *, instrument: int = 1) -> bytes:
    return RECORD.pack(number, price, quantity, instrument, 0, Kind.NEW, side)


def test_a_batch_tells_how_it_came_out_each_time(site: Site, client: Client) -> None:
    cancel = RECORD.pack(77, 0, 0, 1, 0, Kind.CANCEL, 0)
    records = new(1, 0, 5, 100) + new(2, 1, 3, 100) + cancel
    expected = {
        "batch_id": "B", "orders": "3", "status": "DONE", "accepted": "2", "rejected": "1", "trades": "1",
        "first_order_id": "1",
    }  # fmt: skip
    assert client.pairs("ORDER.BATCH", "B", records) == expected
    site.start()
    client = site.connect()
    assert client.pairs("ORDER.BATCH", "B", records, "MODE", "sync") == expected
    assert client.error("ORDER.BATCH", "B", records[:32]) == "DUPLICATE batch B is another batch"
    site.engine.up = False
    queued = client.pairs("ORDER.BATCH", "C", new(9, 0, 1, 1), "MODE", "fire-and-forget")
    assert (queued["status"], queued["accepted"]) == ("QUEUED", "0")
    client.send("ORDER.BATCH", "D", new(10, 0, 1, 1))
    site.advance(6)
    unknown = pairs_of(client.replies()[0])
    assert list(unknown)[-1] == "reason", "at the end"
    assert (unknown["status"], unknown["reason"], unknown["first_order_id"]) == ("UNKNOWN", "SENT", "5")
    client.send("ORDER.BATCH", "E", new(11, 0, 1, 1))
    site.advance(6)
    unknown = pairs_of(client.replies()[0])
    assert (unknown["status"], unknown["reason"], unknown["first_order_id"]) == ("UNKNOWN", "NOT_SENT", "6")
    site.engine.up = True
    site.advance(1)
    done = client.pairs("ORDER.BATCH", "E", new(11, 0, 1, 1))
    assert (done["status"], done["first_order_id"], "reason" in done) == ("DONE", "6", False)


def test_reserved_numbers_are_never_given_out_again(site: Site, client: Client) -> None:
    assert client.call("ORDER.RESERVE", 10) == RESERVED_FIRST
    assert client.call("ORDER.RESERVE", 1) == RESERVED_FIRST + 10
    site.start()
    assert site.connect().call("ORDER.RESERVE", 1) == RESERVED_FIRST + 11


def test_executions_are_read_from_any_place_and_waited_for(site: Site, client: Client) -> None:
    assert client.call("EXEC.READ", 0) == []
    reader = site.connect()
    reader.send("EXEC.READ", "$", "BLOCK", 0)
    site.pump()
    assert reader.replies() == []
    client.pairs(*ORDER)
    (found,) = reader.replies()
    assert [e[0] for e in found] == [b"1"]
    for i in range(EXECUTIONS_AT_ONCE + 10):
        client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "1")
    site.pump()
    client.replies()
    assert [int(e[0]) for e in client.call("EXEC.READ", 5, "COUNT", 3)] == [6, 7, 8]
    assert len(client.call("EXEC.READ", 0)) == 100
    assert len(client.call("EXEC.READ", 0, "COUNT", 10**6)) == EXECUTIONS_AT_ONCE
    assert client.call("EXEC.READ", "$") == []
    client.send("EXEC.READ", 10**9, "BLOCK", 700)
    site.advance(0.6)
    assert client.replies() == []
    site.advance(0.2)
    assert client.replies() == [None]


def test_a_position_that_is_gone_is_named() -> None:
    client = Site(site_settings(executions_kept=5)).connect()
    for i in range(9):
        client.pairs("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "1")
    assert client.error("EXEC.READ", 3) == "TRIMMED 5"
    assert [int(e[0]) for e in client.call("EXEC.READ", 4)] == [5, 6, 7, 8, 9]
    assert [int(e[0]) for e in client.call("EXEC.READ", 0, "COUNT", 2)] == [5, 6]


def test_executions_are_shown_when_journaled_and_never_change(site: Site, client: Client) -> None:
    client.pairs(*ORDER)
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 30, "LIMIT", "187.25")
    before = client.call("EXEC.READ", 0)
    site.start()
    assert site.connect().call("EXEC.READ", 0) == before


def test_the_book_is_the_engines(site: Site, client: Client) -> None:
    for i, price in enumerate(("1.00", "1.02", "1.01", "1.02")):
        client.pairs("ORDER.NEW", f"b{i}", "AAPL", "BUY", 10 + i, "LIMIT", price)
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 7, "LIMIT", "2")
    bids = [[b"1.02", b"24", b"2"], [b"1.01", b"12", b"1"], [b"1.00", b"10", b"1"]]
    assert client.call("BOOK", "AAPL") == [b"symbol", b"AAPL", b"bids", bids, b"asks", [[b"2.00", b"7", b"1"]]]
    assert client.call("BOOK", "AAPL", "DEPTH", 1)[3] == bids[:1]
    client.call("HELLO", 3)
    assert client.call("BOOK", "BTC") == {b"symbol": b"BTC", b"bids": [], b"asks": []}
    site.engine.up = False
    client.send("BOOK", "AAPL")
    site.advance(6)
    assert [str(reply) for reply in client.replies()] == ["UNAVAILABLE the engine does not answer"]
    assert len(site.dispatcher.books) == 0


def test_questions_about_books_are_bounded(site: Site, client: Client) -> None:
    site.engine.up = False
    for _ in range(QUERIES_MAX):
        client.send("BOOK", "AAPL")
    other = site.connect()
    assert other.error("BOOK", "AAPL") == f"FULL {QUERIES_MAX} questions about books are under way"
    site.advance(6)
    assert {str(reply).split()[0] for reply in client.replies()} == {"UNAVAILABLE"}
    site.engine.up = True
    site.advance(1)
    assert other.call("BOOK", "AAPL")


def test_instruments(client: Client) -> None:
    assert [pairs_of(p) for p in client.call("INSTRUMENTS")] == [
        {"symbol": "AAPL", "id": "1", "tick": "0.01", "lot": "1"},
        {"symbol": "BTC", "id": "2", "tick": "0.5", "lot": "0.001"},
    ]
