"""Commands about the connection and the daemon answer as Redis does."""

from typing import Any

import pytest

from orderd import __version__
from orderd.intake.command_table import TABLE
from orderd.runtime.settings import SettingsError
from tests.support.site import Client, Site, pairs_of, site_settings


def text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def test_ping_echo_select_quit(site: Site, client: Client) -> None:
    assert text(client.call("PING")) == "PONG"
    assert client.call("ping", "hello") == b"hello"
    assert client.call("ECHO", b"\r\n\x00") == b"\r\n\x00"
    assert text(client.call("SELECT", 0)) == "OK"
    assert client.error("SELECT", 1) == "ERR DB index is out of range"
    assert text(client.call("QUIT")) == "OK"
    assert client.connection.client.closing


def test_what_comes_behind_quit_is_not_done_and_what_came_before_is_answered(site: Site, client: Client) -> None:
    client.feed(
        b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n*7\r\n$9\r\nORDER.NEW\r\n$1\r\na\r\n$4\r\nAAPL\r\n$3\r\nBUY\r\n"
        b"$1\r\n1\r\n$5\r\nLIMIT\r\n$1\r\n1\r\n"
    )
    assert [text(reply) for reply in client.replies()] == ["PONG", "OK"]
    assert site.desk.table.end == 1


def test_hello_chooses_the_protocol(client: Client) -> None:
    flat = client.call("HELLO")
    assert flat[::2] == [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"]
    assert flat[5] == 2
    as_map = client.call("HELLO", 3, "SETNAME", "desk")
    assert as_map[b"proto"] == 3
    assert as_map[b"version"] == __version__.encode()
    assert client.call("CLIENT", "GETNAME") == b"desk"
    assert client.call("HELLO", 2)[5] == 2
    for wrong in ("4", "x", "1"):
        assert client.error("HELLO", wrong) == "NOPROTO unsupported protocol version"
    assert client.error("HELLO", 3, "AUTH", "a", "b") == "BADORDER AUTH is not supported"
    assert client.call("HELLO")[5] == 2, "a refused HELLO changes nothing"


def test_reset_is_a_new_beginning(client: Client) -> None:
    client.call("HELLO", 3, "SETNAME", "desk")
    client.call("MULTI")
    assert text(client.call("RESET")) == "RESET"
    assert client.call("CLIENT", "GETNAME") is None
    assert client.error("EXEC") == "ERR EXEC without MULTI"


def test_clients_are_named_listed_and_killed(site: Site, client: Client) -> None:
    other = site.connect()
    assert client.call("CLIENT", "GETNAME") is None
    assert text(client.call("client", "setname", "desk-7")) == "OK"
    assert client.error("CLIENT", "SETNAME", "a b").startswith("ERR Client names cannot contain spaces")
    assert text(client.call("CLIENT", "SETINFO", "LIB-NAME", "mine")) == "OK"
    assert client.error("CLIENT", "SETINFO", "LIB-COLOR", "x") == "ERR Unrecognized option 'LIB-COLOR'"
    number = client.call("CLIENT", "ID")
    assert other.call("CLIENT", "ID") == number + 1
    assert b"name=desk-7" in client.call("CLIENT", "INFO")
    lines = client.call("CLIENT", "LIST").decode().splitlines()
    assert [line.split()[0] for line in lines] == [f"id={number}", f"id={number + 1}"]
    assert "lib-name=mine" in lines[0]
    assert client.call("CLIENT", "KILL", "ID", 99) == 0
    assert client.error("CLIENT", "KILL", "1.2.3.4:5") == "BADORDER CLIENT KILL takes ID and a number"
    assert client.error("CLIENT", "KILL", "ADDR", "x") == "BADORDER CLIENT KILL takes ID and a number"
    assert client.call("CLIENT", "KILL", "ID", number + 1) == 1
    assert site.intake.take_killed() == [other.connection]
    assert site.intake.take_killed() == []
    assert client.error("CLIENT", "PAUSE", "1").startswith("ERR unknown command")


def test_a_kill_in_a_transaction_is_a_kill(site: Site, client: Client) -> None:
    other = site.connect()
    client.call("MULTI")
    client.call("CLIENT", "KILL", "ID", other.connection.client.id)
    assert site.intake.take_killed() == []
    assert client.call("EXEC") == [1]
    assert site.intake.take_killed() == [other.connection]


def test_command_tells_of_the_table(client: Client) -> None:
    assert client.call("COMMAND", "COUNT") == len(TABLE) == len(client.call("COMMAND"))
    assert client.call("COMMAND", "INFO", "order.new", "nonsense")[1] is None
    name, arity, flags = client.call("COMMAND", "INFO", "ORDER.NEW")[0][:3]
    assert (name, arity, flags) == (b"order.new", -6, [b"write"])
    docs = client.call("COMMAND", "DOCS", "client|id")
    assert docs[0] == b"client|id"
    client.call("HELLO", 3)
    everything = client.call("COMMAND", "DOCS")
    assert len(everything) == len(TABLE)
    assert everything[b"ping"][b"summary"]


@pytest.mark.parametrize("words", [("CLIENT ID", "x"), ("config get", "a", "b"), ("CLIENT",), ("CLIENT|ID", "x")])
def test_a_command_of_two_words_has_its_name_in_two_words(client: Client, words: tuple[str, ...]) -> None:
    assert client.error(*words) == f"ERR unknown command '{words[0]}'"


def test_settings_are_shown_by_pattern(client: Client) -> None:
    assert pairs_of(client.call("CONFIG", "GET", "batch.*")) == {"batch.orders_max": "50", "batch.linger_ms": "1.0"}
    assert pairs_of(client.call("config", "get", "save")) == {"save": ""}
    assert pairs_of(client.call("CONFIG", "GET", "MODE", "appendonly")) == {"mode": "sync", "appendonly": "yes"}
    assert client.call("CONFIG", "GET", "nonsense") == []
    client.call("HELLO", 3)
    assert client.call("CONFIG", "GET", "nonsense") == {}
    assert client.error("CONFIG", "SET", "a", "b").startswith("ERR unknown command")


CONTRACT_INFO = [
    "mode", "transport_state", "orders_received_total", "orders_queued", "orders_unconfirmed", "orders_open",
    "orders_confirmed_udp_total", "orders_confirmed_grpc_total", "orders_rejected_total", "udp_batches_sent_total",
    "udp_retransmits_total", "udp_datagrams_rejected_total", "journal_commits_total", "executions_first_id",
    "executions_last_id", "clients",
]  # fmt: skip


def info(client: Client, *sections: str) -> dict[str, str]:
    lines = client.call("INFO", *sections).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if line and not line.startswith("#"))


def test_info_shows_how_things_are(site: Site, client: Client) -> None:
    shown = info(client)
    assert set(CONTRACT_INFO) <= set(shown)
    assert (shown["transport_state"], shown["executions_first_id"], shown["executions_last_id"]) == (
        "UDP_ENABLED",
        "1",
        "0",
    )
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    client.pairs("ORDER.NEW", "s", "AAPL", "SELL", 1, "MARKET")
    site.engine.up = False
    client.call("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1", "MODE", "fire-and-forget")
    shown = info(client, "ORDERS", "executions")
    assert "transport_state" not in shown
    orders = {name: shown[name] for name in CONTRACT_INFO if name.startswith("orders")}
    assert orders == {
        "orders_received_total": "3", "orders_queued": "0", "orders_unconfirmed": "1", "orders_open": "0",
        "orders_confirmed_udp_total": "2", "orders_confirmed_grpc_total": "0", "orders_rejected_total": "0",
    }  # fmt: skip
    assert shown["executions_last_id"] == "4"
    site.advance(10)
    assert info(client)["transport_state"] == "ENGINE_DOWN"
    assert info(client, "nonsense") == {}
    assert set(info(client, "everything")) == set(info(client))


def test_mode_is_told_and_set_for_all_until_the_next_reload() -> None:
    site = Site(site_settings(mode="fire-and-forget"))
    client, other = site.connect(), site.connect()
    assert client.call("MODE") == b"fire-and-forget"
    assert text(client.call("MODE", "Batch")) == "OK"
    assert (client.call("MODE"), other.call("MODE")) == (b"batch", b"batch")
    assert pairs_of(other.call("CONFIG", "GET", "mode")) == {"mode": "batch"}
    assert info(other)["mode"] == "batch"
    assert client.error("MODE", "fast") == "BADORDER MODE 'fast' must be sync, batch or fire-and-forget"
    assert client.error("MODE", "sync", "batch") == "BADORDER MODE takes one mode"
    assert other.call("MODE") == b"batch"
    assert text(other.call("CONFIG", "RELOAD")) == "OK"
    assert client.call("MODE") == b"fire-and-forget"


def test_a_mode_holds_from_the_next_command_on() -> None:
    site = Site()
    site.engine.up = False
    client = site.connect()
    for words in (("a", ["MODE", "fire-and-forget"]), ("b", ["MODE", "sync"]), ("c", [])):
        client.send("ORDER.NEW", words[0], "AAPL", "BUY", 1, "LIMIT", "1")
        if words[1]:
            client.send(*words[1])
    site.engine.up = True
    site.advance(1)
    first, ok, second, again, third = client.replies()
    assert (text(ok), text(again)) == ("OK", "OK")
    assert [pairs_of(reply)["status"] for reply in (first, second, third)] == ["NEW", "QUEUED", "NEW"]


def test_a_reload_answers_when_the_settings_are_in_force_and_says_why_they_are_not() -> None:
    site = Site()
    client, other = site.connect(), site.connect()
    client.call("MODE", "batch")
    site.file = site_settings(batch={"linger_ms": 7.0}, other={"reply_timeout_ms": 50})
    client.send("CONFIG", "RELOAD")
    client.send("PING")
    assert client.replies() == [], "replies keep the order of requests"
    site.pump()
    assert [text(reply) for reply in client.replies()] == ["OK", "PONG"]
    shown = pairs_of(other.call("CONFIG", "GET", "mode", "batch.linger_ms", "reply_timeout_ms"))
    assert shown == {"mode": "sync", "batch.linger_ms": "7.0", "reply_timeout_ms": "50"}
    site.file = SettingsError("a.toml: mode = 3: must be one of these")
    assert client.error("CONFIG", "RELOAD") == "ERR nothing changed: a.toml: mode = 3: must be one of these"
    site.file = site_settings(mode="batch", executions_kept=5, orders_remembered_max=7)
    assert client.error("CONFIG", "RELOAD") == (
        "ERR nothing changed: limits.orders_remembered_max is 1000000 and cannot become 7, executions.kept is 2000000 "
        "and cannot become 5 without a restart"
    )
    assert pairs_of(other.call("CONFIG", "GET", "mode", "batch.linger_ms", "executions.kept")) == {
        "mode": "sync", "batch.linger_ms": "7.0", "executions.kept": "2000000",
    }  # fmt: skip
    site.engine.up = False
    client.send("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    site.advance(0.06)
    assert pairs_of(client.replies()[0])["status"] == "UNKNOWN", "the new reply_timeout_ms holds"


def test_in_a_transaction_the_replies_behind_a_reload_wait_for_it() -> None:
    site = Site()
    client = site.connect()
    client.call("MULTI")
    client.call("MODE", "batch")
    client.call("CONFIG", "RELOAD")
    client.call("MODE")
    site.reads_settings = False
    client.send("EXEC")
    site.pump()
    assert client.replies() == []
    site.reads_settings = True
    site.pump()
    (replies,) = client.replies()
    assert [text(reply) for reply in replies] == ["OK", "OK", "batch"]
    assert client.call("MODE") == b"sync"


def test_a_reload_that_takes_longer_than_the_patience_of_its_client_is_told_as_such() -> None:
    site = Site()
    site.reads_settings = False
    client = site.connect()
    client.send("CONFIG", "RELOAD")
    site.advance(6)
    assert str(client.replies()[0]).startswith("UNAVAILABLE the settings file is still being read")
    site.reads_settings = True
    site.pump()
    assert client.replies() == []
    assert text(client.call("PING")) == "PONG"


def test_what_is_no_command(client: Client) -> None:
    assert client.error("GET", "x") == "ERR unknown command 'GET'"
    assert client.error(b"\xff\r\n" * 60).startswith("ERR unknown command '\\xff  ")
    assert client.error("WATCH", "x") == "ERR WATCH is not supported: orders are not keys"
    assert client.error("ECHO") == "ERR wrong number of arguments for 'echo' command"
    assert client.error("ECHO", 1, 2) == "ERR wrong number of arguments for 'echo' command"
    assert client.error("") == "ERR unknown command ''"
