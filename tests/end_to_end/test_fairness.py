"""A polite client beside programs that flood the daemon: it is answered, without an error, within what is promised."""

import itertools
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import pytest

from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient, RespError, pack

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
RECORD: Final = struct.Struct("<QqQIHBB")
PATIENCE_S: Final = 15.0
"""For one order of the polite client, on a machine that does much else; a flood without bounds takes far longer."""


def text(number: int) -> bytes:
    return b"".join(pack("ORDER.NEW", f"f{number}-{i}", *LIMIT, "MODE", "fire-and-forget") for i in range(500))


def transactions(number: int) -> bytes:
    orders = b"".join(pack("ORDER.NEW", f"f{number}-{i}", *LIMIT) for i in range(500))
    return pack("MULTI") + orders + pack("EXEC")


def batches(number: int) -> bytes:
    first = 1 + number * 5000
    records = b"".join(RECORD.pack(first + i, 100, 1, 1, 0, 1, 0) for i in range(5000))
    return pack("ORDER.BATCH", f"f{number}", records, "MODE", "fire-and-forget")


def questions(_: int) -> bytes:
    return pack("ORDER.LIST", "ALL", "COUNT", 1000) + pack("INFO") + pack("COMMAND", "DOCS")


@contextmanager
def flooding(site: Site, make: Callable[[int], bytes]) -> Iterator[list[int]]:
    """A client that sends as fast as it is read, and reads what comes; the list has how many bytes came back."""
    read = [0]
    client = site.client()

    def send() -> None:
        with suppress(OSError):
            for number in itertools.count():
                client.socket.sendall(make(number))

    def receive() -> None:
        with suppress(OSError):
            while chunk := client.socket.recv(1 << 20):
                read[0] += len(chunk)

    threads = [threading.Thread(target=send, daemon=True), threading.Thread(target=receive, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield read
    finally:
        with suppress(OSError):
            client.socket.shutdown(2)
        for thread in threads:
            thread.join(30)
        client.socket.close()


@pytest.mark.parametrize("make", [text, transactions, batches, questions])
def test_a_polite_client_is_served_beside_a_flood(make_site: MakeSite, make: Callable[[int], bytes]) -> None:
    # Neither is a flood hung up on that is not read as fast as it is answered, nor is anybody told before the outcome.
    site = make_site(orderd={"limits.reply_bytes_max": 1 << 30, "reply_timeout_ms": 60_000}).start()
    with site.client() as polite:
        assert polite.call("ORDER.NEW", "first", *LIMIT)["status"] == "NEW"
        with flooding(site, make) as read:
            wait_until(lambda: read[0] > 100_000 or (make is batches and read[0]), "it floods")
            for i in range(15):
                before = time.monotonic()
                assert polite.call("ORDER.NEW", f"p{i}", *LIMIT)["status"] == "NEW"
                assert polite.call("PING") == "PONG"
                assert polite.call("ORDER.CANCEL", f"p{i}")["status"] == "CANCELED"
                assert time.monotonic() - before < PATIENCE_S
            floods = read[0]
            wait_until(lambda: read[0] > floods, "the flood is served, too")


def test_with_the_engine_away_a_flood_is_throttled_and_a_polite_client_is_not(make_site: MakeSite) -> None:
    site = make_site(orderd={"limits.orders_unconfirmed_max": 4000})
    site.start_orderd()
    with site.client() as polite, site.client() as flood:
        assert polite.call("ORDER.NEW", "first", *LIMIT, "MODE", "fire-and-forget")["status"] == "QUEUED"
        replies = flood.pipeline([("ORDER.NEW", f"f{i}", *LIMIT, "MODE", "fire-and-forget") for i in range(3000)])
        errors = {reply.word for reply in replies if isinstance(reply, RespError)}
        assert errors == {"THROTTLED"}
        assert sum(not isinstance(reply, RespError) for reply in replies) == 1000, "a quarter of 4000"
        for i in range(50):
            assert polite.call("ORDER.NEW", f"p{i}", *LIMIT, "MODE", "fire-and-forget")["status"] == "QUEUED"
        assert flood.call("ORDER.CANCEL", "f0", "MODE", "fire-and-forget")["status"] == "QUEUED"
        site.start_engine()
        site.wait_confirmed()
        assert flood.call("ORDER.NEW", "again", *LIMIT)["status"] == "NEW"


def test_connects_beyond_the_bound_keep_nobody_from_being_served(make_site: MakeSite) -> None:
    site = make_site(orderd={"listen.clients_max": 20}).start()
    with site.client() as polite:
        others = [RespClient(site.socket_path, protocol=0) for _ in range(60)]
        for i in range(20):
            assert polite.call("ORDER.NEW", f"p{i}", *LIMIT)["status"] == "NEW"
        refused = 0
        for other in others:
            with suppress(OSError):
                other.send(pack("PING"))
            with suppress(EOFError, OSError):
                reply = other.reply()
                refused += isinstance(reply, RespError) and reply.word == "LIMIT"
            other.socket.close()
        assert refused >= 1
