"""How the daemons end, and how they refuse to start: exit codes, one line, nothing in flight forgotten."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support.processes import LATE_S, Site, run_to_end, wait_until
from tests.support.resp_client import pack

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_daemons_end_on_a_signal_with_exit_code_0(site: Site, number: signal.Signals) -> None:
    for process in (site.orderd, site.engine):
        process.popen.send_signal(number)
        assert process.wait() == 0
        assert "stopped" in process.log.splitlines()[-1]
    assert not site.socket_path.exists()


def test_replies_in_flight_are_given_before_the_end(site: Site) -> None:
    clients = [site.client() for _ in range(20)]
    try:
        for number, client in enumerate(clients):
            client.send(b"".join(pack("ORDER.NEW", f"c{number}-{i}", *LIMIT) for i in range(100)))
        taken = [client.reply() for client in clients]
        assert site.orderd.terminate() == 0
        for client, first in zip(clients, taken, strict=True):
            replies = [first, *client.replies_until_closed()]
            # What it had read is answered; what was still in the socket was never taken.
            assert {reply["status"] for reply in replies} == {"NEW"}
            ids = [int(reply["cl_ord_id"].partition("-")[2]) for reply in replies]
            assert ids == list(range(len(ids)))
    finally:
        for client in clients:
            client.socket.close()


def test_an_end_without_an_answer_from_the_engine_comes_in_time_and_says_unknown(make_site: MakeSite) -> None:
    site = make_site(orderd={"shutdown_timeout_ms": 1500, "reply_timeout_ms": 60_000}).start()
    with site.client() as client, site.client() as reader:
        site.engine.popen.send_signal(signal.SIGSTOP)
        client.send(pack("ORDER.NEW", "a", *LIMIT))
        reader.send(pack("EXEC.READ", "$", "BLOCK", 0))
        with site.client() as other:
            wait_until(lambda: other.info()["orders_unconfirmed"] == "1", "it is sent")
        started = time.monotonic()
        assert site.orderd.terminate() == 0
        assert time.monotonic() - started < 1.5 + LATE_S
        (reply,) = client.replies_until_closed()
        assert (reply["status"], reply["reason"]) == ("UNKNOWN", "SENT")
        assert reader.replies_until_closed() in ([None], [[]])
    site.engine.popen.send_signal(signal.SIGCONT)
    site.start_orderd()
    with site.client() as client:
        assert client.call("ORDER.WAIT", "a", 10_000)["status"] == "NEW"


def test_orders_that_wait_for_company_are_sent_before_the_end(make_site: MakeSite) -> None:
    site = make_site(orderd={"batch.linger_ms": 10_000, "shutdown_timeout_ms": 60_000}).start()
    with site.client() as client, site.client() as other:
        client.send(pack("ORDER.NEW", "a", *LIMIT, "MODE", "batch"))
        wait_until(lambda: other.info()["orders_received_total"] == "1", "it is taken")
        started = time.monotonic()
        assert site.orderd.terminate() == 0
        assert time.monotonic() - started < 9, "it does not wait for company any longer"
        (reply,) = client.replies_until_closed()
        assert reply["status"] == "NEW"


def test_a_client_that_does_not_read_does_not_hold_up_the_end(make_site: MakeSite) -> None:
    site = make_site(orderd={"shutdown_timeout_ms": 1500}).start()
    with site.client() as deaf:
        deaf.socket.setblocking(False)
        sent = 0
        while sent < 3_000_000:
            try:
                sent += deaf.socket.send(pack("ECHO", "x" * 10_000))
            except BlockingIOError:
                break
        started = time.monotonic()
        assert site.orderd.terminate() == 0
        assert time.monotonic() - started < 9, "while it runs it would wait ten seconds"


def test_a_second_orderd_on_the_same_journal_ends_with_exit_code_3_and_one_line(shared: Site) -> None:
    words = shared.orderd_words(listen__socket=str(shared.directory / "other"))
    result = run_to_end("orderd", *words, directory=shared.directory)
    assert result.returncode == 3
    assert re.fullmatch(r"orderd: [^\n]*oj[^\n]*\n", result.stderr), result.stderr
    with shared.client() as client:
        assert client.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW", "the first one goes on"


def test_a_second_orderd_on_the_same_socket_ends_with_one_line(shared: Site) -> None:
    words = shared.orderd_words(journal__directory=str(shared.directory / "other"))
    result = run_to_end("orderd", *words, directory=shared.directory)
    assert result.returncode == 1
    assert re.fullmatch(r"orderd: [^\n]*another process listens on [^\n]*\n", result.stderr), result.stderr
    with shared.client() as client:
        assert client.call("PING") == "PONG"


def test_a_second_engine_on_the_same_journal_ends_with_exit_code_3_and_one_line(shared: Site) -> None:
    result = run_to_end("engine", *shared.engine_words(), directory=shared.directory)
    assert result.returncode == 3
    assert re.fullmatch(r"orderd-engine: [^\n]*ej[^\n]*\n", result.stderr), result.stderr


def _has_open(pid: int, part: str) -> bool:
    """Whether a process has a file open with ``part`` in its path."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if part in os.readlink(entry):
                return True
    return False


def test_a_signal_before_readiness_ends_with_exit_code_0_too(shared: Site) -> None:
    # It waits for the journal's lock, which another engine has.
    words = ["engine", *shared.engine_words(), "--embedded"]
    waiting = subprocess.Popen([sys.executable, "-m", *words], stdin=subprocess.PIPE)
    try:
        wait_until(lambda: _has_open(waiting.pid, "/ej/"), "it is at the lock")
        waiting.terminate()
        assert waiting.wait(10) == 0
    finally:
        waiting.kill()
        waiting.communicate()


def test_a_journal_of_the_other_daemon_is_refused(site: Site) -> None:
    site.orderd.terminate()
    site.engine.terminate()
    swapped = site.orderd_words(journal__directory=str(site.directory / "ej"))
    result = run_to_end("orderd", *swapped, directory=site.directory)
    assert (result.returncode, len(result.stderr.splitlines())) == (3, 1), result.stderr


def test_a_socket_that_a_killed_orderd_left_behind_is_replaced(site: Site) -> None:
    site.orderd.kill()
    assert site.socket_path.is_socket()
    site.start_orderd()


BAD_SETTINGS: Final = [
    ("orderd", "mode=later", ("mode", '"later"', '"sync", "batch", "fire-and-forget"')),
    ("orderd", "batch.linger_ms=-1", ("batch.linger_ms", "-1", "0 to 10000")),
    ("orderd", "limits.nonsense=1", ("limits.nonsense", "unknown key", "orders_unconfirmed_max")),
    ("orderd", 'listen.clients_max="many"', ("listen.clients_max", '"many"', "whole number")),
    ("orderd", "engine.udp=192.0.2.1:9001", ("engine.key_file", "192.0.2.1:9001", "loopback")),
    ("orderd", "engine.key_file=/nonexistent/key", ("/nonexistent/key",)),
    ("engine", "listen.udp=nowhere", ("listen.udp", '"nowhere"')),
    ("engine", "mode=sync", ("mode", "unknown key", "listen")),
    ("engine", "day_timezone=Nowhere/City", ("day_timezone", '"Nowhere/City"', "time zone")),
]


@pytest.mark.parametrize(("program", "setting", "texts"), BAD_SETTINGS, ids=[f"{b[0]} {b[1]}" for b in BAD_SETTINGS])
def test_a_bad_setting_is_one_line_naming_key_value_and_what_is_allowed(
    make_site: MakeSite, program: str, setting: str, texts: tuple[str, ...]
) -> None:
    site = make_site()
    words = (site.orderd_words if program == "orderd" else site.engine_words)("run")
    result = run_to_end(program, *words, "--set", setting, directory=site.directory)
    name = "orderd" if program == "orderd" else "orderd-engine"
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(f"{name}: [^\n]*\n", result.stderr), result.stderr
    assert all(text in result.stderr for text in texts), result.stderr
    assert not (site.directory / "oj").exists() and not (site.directory / "ej").exists(), "nothing was begun"


def test_check_says_whether_settings_are_good_without_starting(make_site: MakeSite) -> None:
    site = make_site()
    for program, words in (("orderd", site.orderd_words("check")), ("engine", site.engine_words("check"))):
        result = run_to_end(program, *words, directory=site.directory)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        assert "good" in result.stdout
    result = run_to_end("orderd", *site.orderd_words("check"), "--set", "mode=later", directory=site.directory)
    assert result.returncode == 2 and "later" in result.stderr
    assert not (site.directory / "oj").exists() and not site.socket_path.exists()


def test_an_instrument_that_changed_refuses_the_start_and_a_new_one_does_not(site: Site) -> None:
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
    site.orderd.terminate()
    site.engine.terminate()
    text = site.instruments_path.read_text()
    site.instruments_path.write_text(text.replace('"0.01"', '"0.02"', 1))
    for program, words in (("orderd", site.orderd_words()), ("engine", site.engine_words())):
        result = run_to_end(program, *words, directory=site.directory)
        assert result.returncode == 3 and "AAPL 0.01" in result.stderr.splitlines()[-1], result.stderr
    site.instruments_path.write_text(text + '[[instrument]]\nsymbol = "NEW"\nid = 9\ntick = "1"\nlot = "1"\n')
    # The engine gets to know it later: until then its orders are rejected.
    site.start_orderd()
    site.instruments_path.write_text(text)
    site.start_engine()
    site.wait_connected()
    with site.client() as client:
        order = client.call("ORDER.NEW", "b", "NEW", "BUY", 1, "LIMIT", "5")
        assert order["status"] == "REJECTED"
        assert client.call("ORDER.NEW", "c", *LIMIT)["status"] == "NEW"
