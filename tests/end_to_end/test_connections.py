"""One client's trouble is its own: broken requests, hang-ups, too many clients, replies that nobody reads."""

import contextlib
import socket
from collections.abc import Callable
from typing import Final

import pytest

from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient, RespError, pack

NewId = Callable[[], str]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")


@pytest.mark.parametrize(
    "data",
    [
        b"PING\r\n",
        b"*1\r\n:1\r\n",
        b"*-5\r\n",
        b"*2147483647\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$999999999\r\n",
        b"*1\r\n$x\r\nPING\r\n",
        b"%1\r\n*0\r\n$1\r\nx\r\n",
        b"*1\r\n*1\r\n$4\r\nPING\r\n",
        b"*1\r\n" * 2000,
        b"\x00" * 100,
        b"*1\r\n$" + b"1" * 100_000,
        b"*3\r\n$4\r\nECHO\r\n$2000000\r\n" + b"x" * 100_000,
    ],
    ids=range(14),
)
def test_a_broken_request_closes_that_client_only(shared: Site, client: RespClient, data: bytes, new_id: NewId) -> None:
    name = new_id()
    with shared.client(protocol=0) as broken:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            broken.send(pack("ORDER.NEW", name, *LIMIT) + data)
            broken.send(pack("PING"))
        replies = broken.replies_until_closed()
    assert len(replies) == 2, replies
    assert not isinstance(replies[0], RespError), "what came before it was in order"
    assert isinstance(replies[1], RespError) and replies[1].text.startswith("ERR Protocol error: ")
    assert client.call("ORDER.CANCEL", name)["status"] == "CANCELED"


def test_a_command_beyond_query_bytes_max_is_refused(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"limits.query_bytes_max": 4096}).start()
    with site.client() as client:
        assert client.call("ECHO", "x" * 4000) == "x" * 4000
        with site.client() as other, contextlib.suppress(BrokenPipeError):
            other.send(pack("ECHO", "x" * 4096))
            (reply,) = other.replies_until_closed()
            assert isinstance(reply, RespError) and "query_bytes_max" in reply.text
        assert client.call("PING") == "PONG"


def test_clients_beyond_clients_max_are_told_so_and_may_come_when_others_have_left(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(orderd={"listen.clients_max": 3}).start()
    clients = [site.client() for _ in range(3)]
    try:
        with site.client(protocol=0) as more:
            (reply,) = more.replies_until_closed()
        assert isinstance(reply, RespError) and reply.text == "LIMIT clients_max 3 is reached"
        assert [client.call("PING") for client in clients] == ["PONG"] * 3
        clients.pop().socket.close()

        def comes_in() -> bool:
            with contextlib.suppress(EOFError, BrokenPipeError, AssertionError), site.client() as client:
                return bool(client.call("PING") == "PONG")
            return False

        wait_until(comes_in, "there is room for another client")
    finally:
        for client in clients:
            client.socket.close()


def test_a_client_that_does_not_read_is_told_and_closed_and_others_do_not_notice(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(orderd={"limits.reply_bytes_max": 100_000}).start()
    with site.client() as client, site.client() as deaf:
        request = pack("ECHO", "x" * 1000)
        deaf.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
            for _ in range(10_000):
                deaf.send(request)
                assert client.call("PING") == "PONG"
        deaf.socket.settimeout(deaf.timeout_s)
        replies = deaf.replies_until_closed()
        assert isinstance(replies[-1], RespError) and replies[-1].text.startswith("LIMIT reply_bytes_max 100000")
        assert set(map(str, replies[:-1])) == {"x" * 1000}, "those before are whole"
        wait_until(lambda: client.info()["clients"] == "1", "it is gone")


def test_a_client_that_has_sent_all_and_hung_up_half_still_gets_its_replies(shared: Site, new_id: NewId) -> None:
    names = [new_id() for _ in range(200)]
    with shared.client() as client:
        requests = [pack("ORDER.NEW", name, *LIMIT) + pack("ORDER.CANCEL", name) for name in names]
        client.send(b"".join(requests))
        client.socket.shutdown(socket.SHUT_WR)
        replies = client.replies_until_closed()
    assert [reply["cl_ord_id"] for reply in replies] == [name for name in names for _ in range(2)]
    assert replies[-1]["status"] == "CANCELED"


def test_a_client_that_vanishes_within_a_command_places_no_order(
    shared: Site, client: RespClient, new_id: NewId
) -> None:
    whole, part = new_id(), new_id()
    for cut in (1, 5, 20, 30, -1):
        with shared.client() as other:
            other.send(pack("ORDER.NEW", part, *LIMIT)[:cut])
    with shared.client() as other:
        other.send(pack("ORDER.NEW", whole, *LIMIT) + pack("ORDER.NEW", part, *LIMIT)[:-1])
    # Nobody waited for the reply to the whole one; it was placed all the same.
    wait_until(lambda: not isinstance(client.ask("ORDER.STATUS", whole), RespError), "the whole one is there")
    wait_until(lambda: client.info()["clients"] == "1", "the others are gone")
    reply = client.ask("ORDER.STATUS", part)
    assert isinstance(reply, RespError) and reply.word == "NOTFOUND"
    client.call("ORDER.CANCEL", whole)


def test_many_clients_at_once_each_get_their_own_replies(shared: Site, new_id: NewId) -> None:
    clients = [shared.client() for _ in range(100)]
    try:
        names = [new_id() for _ in clients]
        for client, name in zip(clients, names, strict=True):
            client.send(pack("ORDER.NEW", name, *LIMIT) + pack("ORDER.CANCEL", name))
        for client, name in zip(clients, names, strict=True):
            assert client.reply()["cl_ord_id"] == name
            order = client.reply()
            assert (order["cl_ord_id"], order["status"]) == (name, "CANCELED")
    finally:
        for client in clients:
            client.socket.close()


def test_a_request_in_single_bytes_is_understood(shared: Site, new_id: NewId) -> None:
    with shared.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for byte in pack("ORDER.NEW", new_id(), "AAPL", "BUY", 1, "MARKET"):
            client.send(bytes([byte]))
        assert client.reply()["status"] == "CANCELED"


def test_client_kill_closes_the_one_that_is_named(shared: Site, client: RespClient) -> None:
    with shared.client() as other:
        assert client.call("CLIENT", "KILL", "ID", other.call("CLIENT", "ID")) == 1
        with pytest.raises(EOFError):
            other.reply()
    with shared.client() as other:
        assert other.call("QUIT") == "OK"
        with pytest.raises(EOFError):
            other.reply()
