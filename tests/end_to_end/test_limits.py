"""At a bound the client hears of it at once, what was taken stays, and cancels still find room."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.accounts import account_of
from tests.support.needs import missing
from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespError

LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
QUEUED: Final = ("MODE", "fire-and-forget")


def test_orders_unconfirmed_max_refuses_orders_and_keeps_room_for_cancels(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"limits.orders_unconfirmed_max": 500})
    site.start_orderd()
    with site.client() as client:
        replies = client.pipeline([("ORDER.NEW", f"a{i}", *LIMIT, *QUEUED) for i in range(600)])
        assert {reply["status"] for reply in replies[:500]} == {"QUEUED"}
        assert all(isinstance(reply, RespError) and reply.word == "FULL" for reply in replies[500:])
        assert "orders_unconfirmed_max" in replies[-1].text
        for words in (("ORDER.REPLACE", "a1", 2, "1.00"), ("ORDER.REPLACE", "a1", 2, "1.00", "OPEN")):
            assert client.ask(*words).text.startswith("FULL orders_unconfirmed_max"), "a replace may trade"
        cancels = client.pipeline([("ORDER.CANCEL", f"a{i}", *QUEUED) for i in range(50)])
        assert {reply["status"] for reply in cancels} == {"QUEUED"}
        assert isinstance(client.ask("ORDER.NEW", "b", *LIMIT), RespError)
        site.start_engine()
        site.wait_confirmed()
        account = account_of(client.executions())
        assert [order.cl_ord_id for order in account.orders.values()] == [f"a{i}" for i in range(500)]
        assert account.types == {"NEW": 500, "CANCELED": 50}
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", "450", "450"]]
        assert client.call("ORDER.NEW", "b", *LIMIT)["status"] == "NEW", "there is room again, and the id was free"


def test_orders_remembered_max_forgets_the_oldest_done_ones_and_never_an_open_one(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(orderd={"limits.orders_remembered_max": 50}).start()
    with site.client() as client:
        client.call("ORDER.NEW", "open", *LIMIT)
        for start in range(0, 6000, 500):
            client.pipeline([("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "MARKET") for i in range(start, start + 500)])
        assert isinstance(client.ask("ORDER.STATUS", "a0"), RespError)
        assert client.call("ORDER.STATUS", "a5999")["status"] == "CANCELED"
        assert client.call("ORDER.STATUS", "open")["status"] == "NEW"
        assert client.call("ORDER.NEW", "a0", *LIMIT)["status"] == "NEW", "a forgotten id is new"
        assert [order["cl_ord_id"] for order in client.call("ORDER.LIST")] == ["open", "a0"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for very little."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", os.fspath(path)], capture_output=True, check=False
    )
    if mounted.returncode:
        missing(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "--lazy", os.fspath(path)], check=True)


def test_a_full_disk_refuses_orders_keeps_room_for_cancels_and_loses_nothing(
    small_disk: Path, make_site: Callable[..., Site]
) -> None:
    settings = {
        "journal.directory": str(small_disk / "oj"),
        "journal.segment_bytes": 262_144,
        "limits.query_bytes_max": 16_384,
    }
    site = make_site(orderd=settings).start()
    filler = small_disk / "filler"
    with site.client() as client, filler.open("wb") as file:
        try:
            while True:
                file.write(bytes(4096))
                file.flush()
        except OSError:
            pass
        taken: list[str] = []
        refused: list[str] = []
        for start in range(0, 20_000, 50):
            names = [f"a{i}" for i in range(start, start + 50)]
            for name, reply in zip(names, client.pipeline([("ORDER.NEW", n, *LIMIT) for n in names]), strict=True):
                if isinstance(reply, RespError):
                    assert reply.word == "FULL", reply.text
                    refused.append(name)
                else:
                    assert reply["status"] == "NEW", reply
                    taken.append(name)
            if refused:
                break
        assert taken and refused
        assert client.call("ORDER.CANCEL", taken[0])["status"] == "CANCELED", "room is kept for cancels"
        filler.unlink()
        os.ftruncate(file.fileno(), 0)

        def taken_again() -> bool:
            return not isinstance(client.ask("ORDER.NEW", "again", *LIMIT), RespError)

        wait_until(taken_again, "there is room again")
        site.wait_confirmed()
        found = account_of(client.executions())
        assert [order.cl_ord_id for order in found.orders.values()] == [*taken, "again"]
