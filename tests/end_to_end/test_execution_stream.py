"""The execution stream over the socket: slow readers, kills, roles, and what memory and journal hold together."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import hiredis

from orderd.wire.records import RECORD, Kind
from tests.support.processes import Site, orderctl, wait_until
from tests.support.resp_client import RespClient, RespError

LIMIT = ("AAPL", "BUY", 1, "LIMIT", "1.00")
BATCH = 1000
RSS_GROWTH_MAX = 150 * 2**20
"""Of orderd over all orders; their executions as pushes would be 35 MB a reader, and ten do not read."""


def batch(first: int) -> bytes:
    return b"".join(RECORD.pack(first + i, 100, 1, 1, i % 5, Kind.NEW, i % 2) for i in range(BATCH))


def pushes(client: RespClient, count: int) -> list[tuple[int, dict[str, str]]]:
    """The next ``count`` executions that are pushed."""
    found: list[tuple[int, dict[str, str]]] = []
    while len(found) < count:
        reply = client.reply()
        if isinstance(reply, hiredis.PushNotification):
            kind, exec_id, pairs = reply
            assert kind == "exec", reply
            found.append((int(exec_id), pairs))
    return found


def rss_of(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_readers_that_stand_still_hold_nobody_up_and_later_get_all(make_site: Callable[..., Site]) -> None:
    """Of nearly 100,000 executions memory holds a tenth; the rest comes from the journal."""
    settings = {"executions.in_memory": 10_000, "limits.orders_remembered_max": 5000, "journal.segment_bytes": 2**22}
    site = make_site(orderd=settings).start()
    stopped = [site.client() for _ in range(9)]
    for reader in stopped:
        assert reader.call("EXEC.SUBSCRIBE", 0) == "OK"
    follow = [sys.executable, "-m", "orderd.ctl", "--socket", str(site.socket_path), "executions", "--follow", "--json"]
    with site.client() as trader, subprocess.Popen(follow, stdout=subprocess.DEVNULL) as follower:
        follower.send_signal(signal.SIGSTOP)
        before = rss_of(site.orderd.popen.pid)
        for start in range(1, 50_000, BATCH):
            done = trader.call("ORDER.BATCH", f"B{start}", batch(start))
            assert (done["status"], done["accepted"]) == ("DONE", str(BATCH))
        assert rss_of(site.orderd.popen.pid) - before < RSS_GROWTH_MAX
        last = trader.last_execution()
        assert last > 90_000
        follower.kill()
        for reader in stopped[1:]:
            reader.socket.close()
        with stopped[0]:
            got = pushes(stopped[0], last)
        assert [exec_id for exec_id, _ in got] == list(range(1, last + 1))
        for after in (0, 20_000, last - 10_010, last - 100):
            page = [(int(exec_id), pairs) for exec_id, pairs in trader.call("EXEC.READ", after)]
            assert page
            assert page == got[after : after + len(page)], "fewer where memory begins"
        info = wait_until(lambda: (i := trader.info())["exec_subscribers"] == "0" and i, "they are gone")
        assert int(info["journal_segments"]) > 1
        assert (info["executions_first_id"], info["executions_in_memory"]) == ("1", "10000")
        assert int(info["executions_read_from_journal_total"]) > 70_000


def test_after_kills_a_reader_goes_on_where_it_was_and_ids_never_change(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"executions.in_memory": 50}).start()
    seen: list[tuple[int, dict[str, str]]] = []
    for life in range(3):
        with site.client() as reader, site.client() as trader:
            assert reader.call("EXEC.SUBSCRIBE", len(seen)) == "OK"
            trader.pipeline([("ORDER.NEW", f"a{life}-{i}", *LIMIT, "ACCOUNT", i % 3) for i in range(200)])
            trader.pipeline([("ORDER.CANCEL", f"a{life}-{i}") for i in range(0, 200, 2)])
            # Not all of it is read before the kill.
            seen += pushes(reader, 150)
        site.orderd.kill()
        site.start_orderd()
    with site.client() as reader:
        last = wait_until(lambda: (n := reader.last_execution()) >= 900 and n, "all reports came again")
        assert reader.call("EXEC.SUBSCRIBE", len(seen)) == "OK"
        seen += pushes(reader, last - len(seen))
        assert [exec_id for exec_id, _ in seen] == list(range(1, last + 1))
        assert reader.call("EXEC.UNSUBSCRIBE") == "OK"
        assert reader.executions() == seen
        of_account = [e for e in seen if e[1]["account"] == "2"]
        found: list[Any] = []
        while page := reader.call("EXEC.READ", found[-1][0] if found else 0, "ACCOUNT", 2):
            found += [(int(exec_id), pairs) for exec_id, pairs in page]
        assert found == of_account
    words = ("--socket", str(site.socket_path), "executions", "--account", "2", "--count", "1000", "--json")
    lines = orderctl(*words, directory=site.directory).stdout.splitlines()
    assert [int(json.loads(line)["exec_id"]) for line in lines] == [exec_id for exec_id, _ in of_account]


def test_a_damaged_journal_is_told_and_what_is_in_memory_still_reads(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"executions.in_memory": 10}).start()
    with site.client() as client:
        client.pipeline([("ORDER.NEW", f"a{i}", *LIMIT) for i in range(100)])
        last = client.last_execution()
        (segment,) = (site.directory / "oj").glob("*.segment")
        with segment.open("r+b") as file:
            data = bytearray(file.read(8000))
            for at in range(2000, 8000, 40):
                data[at] ^= 1
            file.seek(0)
            file.write(data)
        reply = client.ask("EXEC.READ", 0)
        assert isinstance(reply, RespError) and reply.text.startswith("UNAVAILABLE the journal cannot be read"), reply
        assert len(client.call("EXEC.READ", last - 5)) == 5
        assert client.call("ORDER.NEW", "b", *LIMIT)["status"] == "NEW"
