"""Clients that vanish: real programs that hang up, are killed, or say nothing, and an orderd that is killed itself."""

import contextlib
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.support.accounts import account_of
from tests.support.processes import ROOT, Site, wait_until
from tests.support.resp_client import RespClient, pack

LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
RECORD: Final = struct.Struct("<QqQIHBB")
PROGRAM: Final = """
import signal, sys
from pathlib import Path
from tests.support.resp_client import RespClient
with RespClient(Path(sys.argv[1])) as client:
    client.call("CLIENT", *sys.argv[3:])
    for i in range(3):
        client.call("ORDER.NEW", f"{sys.argv[2]}{i}", "AAPL", "BUY", 1, "LIMIT", "1.00")
    print("placed", flush=True)
    signal.pause()
"""


def program(site: Site, name: str, *guard: object) -> "subprocess.Popen[str]":
    """A client program of its own that has placed three guarded orders and waits."""
    words = [sys.executable, "-c", PROGRAM, str(site.socket_path), name, *map(str, guard)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None and process.stdout.readline() == "placed\n"
    return process


def end(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> None:
    process.send_signal(number)
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def statuses(client: RespClient, *names: str) -> list[str]:
    return [client.call("ORDER.STATUS", name)["status"] for name in names]


def wait_cancelled(client: RespClient, *names: str) -> None:
    wait_until(lambda: set(statuses(client, *names)) == {"CANCELED"}, f"{names} are cancelled")


def batch(first: int, count: int) -> bytes:
    return b"".join(RECORD.pack(first + i, 100, 1, 1, 0, 1, 0) for i in range(count))


def close(_: RespClient, process: "subprocess.Popen[str]") -> None:
    end(process)


def kill(client: RespClient, process: "subprocess.Popen[str]") -> None:
    lines = [line for line in client.call("CLIENT", "LIST").splitlines() if f"addr=pid={process.pid}," in line]
    assert client.call("CLIENT", "KILL", "ID", lines[0].split()[0].removeprefix("id=")) == 1


@pytest.mark.parametrize("vanish", [close, kill])
def test_orders_of_a_program_that_is_killed_or_cut_off_are_cancelled(site: Site, vanish: Any) -> None:
    process = program(site, "p", "CANCELONDISCONNECT", "ON")
    with site.client() as client:
        client.call("ORDER.NEW", "mine", *LIMIT)
        assert statuses(client, "p0", "p1", "p2") == ["NEW"] * 3
        vanish(client, process)
        wait_cancelled(client, "p0", "p1", "p2")
        assert statuses(client, "mine") == ["NEW"]
        account = account_of(client.executions())
        assert account.types["CANCELED"] == 3 and account.types["CANCEL_REJECTED"] == 0
        assert client.info()["guards_withdrawn_total"] == "1"
    if process.poll() is None:
        end(process)


@pytest.mark.parametrize("how", ["quit", "protocol error", "half closed", "overflow"])
def test_a_connection_that_ends_in_another_way_has_its_orders_cancelled_at_once(
    shared: Site, new_id: Callable[[], str], how: str
) -> None:
    name = new_id()
    with shared.client() as client, shared.client() as other:
        client.call("CLIENT", "CANCELONDISCONNECT", "ON")
        client.call("ORDER.NEW", name, *LIMIT)
        if how == "quit":
            client.call("QUIT")
        elif how == "protocol error":
            client.send(b"nonsense\r\n")
        elif how == "half closed":
            client.socket.shutdown(1)
        else:
            # Nobody reads these, and nothing more is said.
            say = memoryview((b"*2\r\n$4\r\nECHO\r\n$1000\r\n" + b"x" * 1000 + b"\r\n") * 20_000)
            client.socket.setblocking(False)
            said = 0

            def overflows() -> bool:
                nonlocal said
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    said += client.socket.send(say[said:])
                return statuses(other, name) == ["CANCELED"]

            wait_until(overflows, "it is cancelled")
        wait_cancelled(other, name)


def test_a_program_that_hangs_has_its_orders_cancelled_and_stays_connected(site: Site) -> None:
    process = program(site, "p", "DEADMAN", 300)
    with site.client() as client, site.client() as busy:
        clients = client.info()["clients"]
        busy.call("CLIENT", "DEADMAN", 300)
        busy.call("ORDER.NEW", "alive", *LIMIT)
        said_at, silent_s = time.monotonic(), 0.0

        def are_cancelled() -> bool:
            nonlocal said_at, silent_s
            before, said_at = said_at, time.monotonic()
            busy.call("PING")
            silent_s = max(silent_s, time.monotonic() - before)
            return set(statuses(client, "p0", "p1", "p2")) == {"CANCELED"}

        wait_until(are_cancelled, "they are cancelled")
        # Unless this machine had other things to do than to say something in time.
        assert statuses(client, "alive") == ["NEW"] or silent_s + (time.monotonic() - said_at) > 0.3
        assert client.info()["clients"] == clients
        wait_cancelled(client, "alive")
        assert busy.call("ORDER.NEW", "again", *LIMIT)["status"] == "NEW"
        wait_cancelled(client, "again")
    end(process)


def test_a_client_that_is_stopped_is_not_silent_before_its_time(site: Site) -> None:
    with site.client() as client, site.client() as other:
        client.call("CLIENT", "DEADMAN", 1000)
        client.call("ORDER.NEW", "a", *LIMIT)
        # What it says waits in the socket while the daemon stands still for longer than its time.
        site.orderd.popen.send_signal(signal.SIGSTOP)
        client.send(b"*1\r\n$4\r\nPING\r\n")
        stopped_at = time.monotonic()
        wait_until(lambda: time.monotonic() > stopped_at + 1.2, "its time is over")
        site.orderd.popen.send_signal(signal.SIGCONT)
        assert client.reply() == "PONG"
        assert statuses(other, "a") == ["NEW"]


def test_after_a_kill_of_orderd_guarded_orders_are_cancelled_before_anything_else(site: Site) -> None:
    with site.client() as client, site.client() as other:
        client.call("CLIENT", "CANCELONDISCONNECT", "ON")
        for name in ("a", "b"):
            client.call("ORDER.NEW", name, *LIMIT)
        other.call("ORDER.NEW", "o", *LIMIT)
        site.engine.popen.send_signal(signal.SIGSTOP)
        client.send(pack("ORDER.NEW", "late", *LIMIT))
        wait_until(lambda: isinstance(other.ask("ORDER.STATUS", "late"), dict), "it is durable")
        site.orderd.kill()
    site.launch_orderd()
    wait_until(lambda: "ready" in site.orderd.log, "it serves")
    site.engine.popen.send_signal(signal.SIGCONT)
    with site.client() as client:
        sell = client.call("ORDER.NEW", "sell", "AAPL", "SELL", 5, "LIMIT", "1.00")
        assert sell["cum_qty"] == "1", "it met the order of nobody's guard alone"
        assert statuses(client, "a", "b", "late", "o") == ["CANCELED"] * 3 + ["FILLED"]
        assert account_of(client.executions()).types["CANCEL_REJECTED"] == 0


def test_a_planned_restart_cancels_them_before_the_end(site: Site) -> None:
    with site.client() as client:
        client.call("CLIENT", "CANCELONDISCONNECT", "ON")
        client.call("ORDER.BATCH", "B", batch(1, 5000))
        assert site.orderd.terminate() == 0
    site.start_orderd()
    with site.client() as client:
        info = client.info()
        assert (info["orders_open"], info["guards_cancels_total"]) == ("0", "0"), "done in the life before"


def test_ten_thousand_orders_are_cancelled_though_the_engine_is_away_and_both_are_killed(site: Site) -> None:
    with site.client() as client, site.client() as other:
        client.call("CLIENT", "CANCELONDISCONNECT", "ON")
        for first in range(1, 10_001, 2500):
            client.call("ORDER.BATCH", f"B{first}", batch(first, 2500))
        other.call("ORDER.NEW", "o", *LIMIT)
        site.engine.kill()
        client.socket.close()
        wait_until(lambda: other.info()["guards_withdrawn_total"] == "1", "the cancels are staged")
        site.orderd.kill()
    site.start_orderd()
    site.start_engine()
    site.wait_confirmed()
    with site.client() as client:
        assert client.info()["orders_open"] == "1"
        assert statuses(client, "o", "1", "10000") == ["NEW", "CANCELED", "CANCELED"]
        assert client.info()["orders_last_id"] == "20001", "each was cancelled once"


def test_orders_flow_while_many_are_cancelled(site: Site) -> None:
    with site.client() as client, site.client() as other:
        client.call("CLIENT", "CANCELONDISCONNECT", "ON")
        for first in range(1, 60_001, 20_000):
            client.call("ORDER.BATCH", f"B{first}", batch(first, 20_000))
        client.socket.close()
        for i in range(50):
            assert other.call("ORDER.NEW", f"o{i}", *LIMIT)["status"] == "NEW"
        wait_until(lambda: other.info()["orders_open"] == "50", "all of it is done")
