"""MULTI, EXEC, DISCARD: queued, then handed over in one piece; wrong ones are refused as Redis does."""

import hiredis

from orderd.intake.intake import ANSWERED_BY_EXEC_MAX, TRANSACTION_QUERIES
from orderd.orders.entries import EntryKind, Orders, decode
from tests.support.site import Client, Site, pairs_of, site_settings

A = ("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")
B = ("ORDER.NEW", "b", "AAPL", "SELL", 1, "LIMIT", "1.00")


def test_commands_are_queued_and_done_together_in_one_journal_record(site: Site, client: Client) -> None:
    client.call("MULTI")
    for command in (A, B, ("ORDER.CANCEL", "a"), ("EXEC.READ", 0, "BLOCK", 0), ("PING",)):
        assert client.call(*command) in (b"QUEUED", "QUEUED")
    assert site.desk.table.end == 1, "nothing is done before EXEC"
    commits = len(site.journal)
    first, second, cancel, executions, pong = client.call("EXEC")
    assert pairs_of(first)["order_id"] == "1"
    assert pairs_of(second)["status"] == "FILLED"
    assert pairs_of(cancel)["reason"] == "TOO_LATE"
    assert isinstance(executions, list), "BLOCK does not wait in a transaction"
    assert pong in (b"PONG", "PONG")
    groups = [decode(*entry) for commit in site.journal[commits:] for entry in commit if entry[0] == EntryKind.ORDERS]
    assert [len(group.records) // 32 for group in groups if isinstance(group, Orders)] == [3]


def test_a_refusal_among_the_queued_is_a_reply_and_the_others_are_done(client: Client) -> None:
    client.call("MULTI")
    client.call(*A)
    client.call("ORDER.NEW", "a", "AAPL", "BUY", 2, "LIMIT", "1.00")
    client.call("ORDER.CANCEL", "zz")
    client.call(*B)
    first, duplicate, missing, second = client.call("EXEC")
    assert pairs_of(first)["order_id"] == "1"
    assert (str(duplicate), str(missing).split()[0]) == ("DUPLICATE a is another order", "NOTFOUND")
    assert isinstance(duplicate, hiredis.ReplyError)
    assert pairs_of(second)["order_id"] == "2"


def test_a_wrong_command_aborts_the_transaction(site: Site, client: Client) -> None:
    for wrong in (("NONSENSE",), ("ORDER.NEW", "a"), ("CONFIG", "FLY"), ("WATCH", "x")):
        client.call("MULTI")
        client.call(*A)
        client.error(*wrong)
        client.call(*B)
        assert client.error("EXEC") == "EXECABORT Transaction discarded because of previous errors."
        assert site.desk.table.end == 1
    assert client.pairs(*A)["order_id"] == "1", "and it is over"


def test_discard_forgets_them(site: Site, client: Client) -> None:
    client.call("MULTI")
    client.call(*A)
    client.call("DISCARD")
    assert client.error("EXEC") == "ERR EXEC without MULTI"
    assert client.error("DISCARD") == "ERR DISCARD without MULTI"
    assert site.desk.table.end == 1


def test_multi_does_not_nest_and_an_empty_one_is_empty(client: Client) -> None:
    client.call("MULTI")
    assert client.error("MULTI") == "ERR MULTI calls can not be nested"
    client.call(*A)
    assert len(client.call("EXEC")) == 1
    client.call("MULTI")
    assert client.call("EXEC") == []
    client.call("HELLO", 3)
    client.call("MULTI")
    assert client.call("EXEC") == []


def test_a_client_that_leaves_before_exec_did_nothing(site: Site, client: Client) -> None:
    client.call("MULTI")
    client.call(*A)
    site.intake.disconnect(client.connection)
    site.pump()
    assert site.desk.table.end == 1


def test_what_waits_for_exec_is_bounded() -> None:
    site = Site(site_settings(query_bytes_max=1024))
    client = site.connect()
    client.call("MULTI")
    errors = [reply for _ in range(60) if isinstance(reply := client.call("ECHO", "x" * 500), hiredis.ReplyError)]
    assert str(errors[0]).startswith("LIMIT query_bytes_max 1024: ")
    assert str(errors[0]).endswith(f" bytes in a transaction, at most {TRANSACTION_QUERIES} times as much")
    assert client.connection.client.transaction == []
    assert client.error("EXEC").startswith("EXECABORT")
    client.call("MULTI")
    client.call("PING")
    assert len(client.call("EXEC")) == 1


def test_commands_that_exec_answers_on_the_spot_are_bounded_and_orders_are_not_among_them(client: Client) -> None:
    client.call("MULTI")
    for _ in range(ANSWERED_BY_EXEC_MAX):
        client.send("PING")
    for number in range(1, 1500):
        client.send("ORDER.NEW", number, "AAPL", "BUY", 1, "LIMIT", "1")
    assert len(client.replies()) == ANSWERED_BY_EXEC_MAX + 1499
    assert len(client.call("EXEC")) == ANSWERED_BY_EXEC_MAX + 1499
    client.call("MULTI")
    client.call(*A)
    for _ in range(ANSWERED_BY_EXEC_MAX):
        client.send("COMMAND", "DOCS")
    client.replies()
    assert client.error("INFO").startswith(f"LIMIT at most {ANSWERED_BY_EXEC_MAX} commands in a transaction")
    assert client.error("EXEC").startswith("EXECABORT")
    client.call("MULTI")
    assert client.call("PING") in (b"QUEUED", "QUEUED"), "counted anew"
