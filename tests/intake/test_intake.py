"""Intake as a whole: bounds of one client, faults that end a connection, and what a client that is gone leaves."""

from orderd.intake.intake import OUT_BYTES
from tests.support.site import ROOT, Client, Site, encode, site_settings

PING = encode(["PING"])


def raw(client: Client) -> bytes:
    out = bytes(client.connection.out)
    client.connection.out.clear()
    return out


def test_a_protocol_error_comes_behind_the_replies_and_ends_the_connection() -> None:
    client = Site().connect()
    client.feed(PING + b"$1\r\n" + PING)
    assert raw(client).startswith(b"+PONG\r\n-ERR Protocol error: inline commands are not supported")
    assert client.connection.client.closing


def test_a_command_that_is_cut_off_never_becomes_an_order() -> None:
    site = Site()
    client = site.connect()
    order = encode(["ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1"])
    client.feed(order + order[:-1])
    site.intake.disconnect(client.connection)
    site.pump()
    assert site.desk.table.end == 2, "the whole one stands"


def test_no_more_clients_than_allowed() -> None:
    settings = site_settings(other={})
    site = Site(settings)
    site.intake._limits = type(site.intake._limits)(clients_max=2)
    clients = [site.connect(), site.connect()]
    assert site.intake.connect(ROOT, 0) == b"-LIMIT clients_max 2 is reached\r\n"
    site.intake.disconnect(clients[0].connection)
    assert len(site.intake) == 1
    site.connect()


def test_replies_that_are_not_read_end_the_connection_with_a_word() -> None:
    site = Site(site_settings(reply_bytes_max=100_000))
    client = site.connect()
    for _ in range(400):
        client.feed(encode(["ECHO", "x" * 1000]))
    out = raw(client)
    assert out.count(b"x" * 1000) * 1000 <= OUT_BYTES + 16_000
    assert b"-LIMIT reply_bytes_max 100000: about " in out[-200:]
    assert client.connection.client.closing
    client.feed(PING)
    assert raw(client) == b""


def test_replies_are_made_as_they_are_read() -> None:
    site = Site()
    client = site.connect()
    client.feed(b"".join(encode(["ECHO", "x" * 1000]) for _ in range(1500)))
    assert len(client.connection.out) <= OUT_BYTES + 2000
    assert len(client.replies()) == 1500


def test_what_queues_up_behind_something_that_waits_is_bounded() -> None:
    """A client that waits for ever for an execution cannot pile up replies behind it."""
    site = Site(site_settings(reply_bytes_max=100_000))
    client = site.connect()
    client.send("EXEC.READ", "$", "BLOCK", 0)
    for _ in range(150):
        client.feed(encode(["ECHO", "x" * 1000]))
    assert client.connection.client.closing
    assert raw(client).startswith(b"-LIMIT reply_bytes_max 100000")
    assert not client.connection.client.waiter.replies


def test_many_orders_that_wait_do_not_count_as_unread() -> None:
    site = Site(site_settings(reply_bytes_max=100_000))
    site.engine.up = False
    client = site.connect()
    for i in range(2000):
        client.send("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "1")
    site.pump()
    assert not client.connection.client.closing
    site.engine.up = True
    site.advance(1)
    assert len(client.replies()) == 2000


def test_one_client_never_waits_for_another() -> None:
    site = Site()
    site.engine.up = False
    waiting, other = site.connect(), site.connect()
    waiting.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    site.pump()
    assert other.call("INSTRUMENTS")
    assert waiting.replies() == []


def test_a_client_that_is_gone_leaves_its_orders_and_nothing_else() -> None:
    site = Site()
    site.engine.up = False
    client = site.connect()
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    client.send("BOOK", "AAPL")
    site.pump()
    site.intake.disconnect(client.connection)
    site.engine.up = True
    site.advance(8)
    assert len(site.intake) == 0
    assert not site.intake._by_waiter
    assert len(site.dispatcher.books) == 0
    other = site.connect()
    assert other.pairs("ORDER.STATUS", "a")["status"] == "NEW"
