"""orderctl bench against real daemons, and against a fake one that refuses."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.bench import run as bench_run
from orderd.ctl.cli import main
from tests.support.fake_orderd import FakeOrderd, Refusal
from tests.support.processes import ROOT, STEADY, Site, running_site, wait_until
from tests.support.udp_proxy import UdpProxy


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("bench"), orderd=STEADY) as running:
        yield running


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other tests a second without an answer is no defect."""
    monkeypatch.setattr(bench_run, "INFO_PATIENCE_S", 10.0)


def bench(path: Path, *words: object, timeout_s: float = 10.0) -> tuple[Result, dict[str, Any], list[dict[str, Any]]]:
    """Its result, the summary, and the seconds."""
    options = ["--socket", str(path), "--timeout", str(timeout_s), "bench", "--json"]
    result = CliRunner().invoke(main, [*options, *map(str, words)])
    told = [json.loads(line) for line in result.stdout.splitlines()]
    return result, told[-1] if told else {}, told[:-1]


def start(path: Path, *words: object) -> "subprocess.Popen[str]":
    """The same as a process of its own."""
    command = [sys.executable, "-m", "orderd.ctl", "--socket", str(path), "bench", "--json", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def nothing_is_left(site: Site) -> bool:
    with site.client() as client:
        info = client.info()
        return info["orders_open"] == info["orders_unconfirmed"] == "0"


@pytest.mark.parametrize("mode", ["daemon", "sync", "batch", "fire-and-forget"])
def test_each_mode_is_measured_and_leaves_nothing_open(site: Site, mode: str) -> None:
    result, summary, seconds = bench(site.socket_path, "--mode", mode, "--rate", 1500, "--duration", 0.6)
    assert result.exit_code == 0, result.output
    assert summary["due"] == summary["sent"] == summary["acknowledged"] == summary["confirmed"] == 900
    assert summary["queued"] == (900 if mode == "fire-and-forget" else 0)
    assert set(summary["latency_us"]) == {"p50", "p90", "p99", "p99.9", "p99.99", "max"}
    assert summary["paths"]["udp"] >= 450
    assert (seconds[0]["mode"], seconds[0]["transport_state"]) == ("sync", "UDP_ENABLED")
    assert seconds[0]["paths"] == {"udp": 1.0, "grpc": 0.0}
    assert nothing_is_left(site)


@pytest.mark.parametrize("mode", ["sync", "fire-and-forget"])
def test_batches_count_by_their_orders(site: Site, mode: str) -> None:
    words = ("--batch", 50, "--rate", "10k/s", "--clients", 2, "--cancel-share", 0.3, "--mode", mode)
    result, summary, _ = bench(site.socket_path, *words, "--duration", 0.5)
    assert result.exit_code == 0, result.output
    assert summary["due"] == summary["sent"] == summary["confirmed"] == 5000
    assert summary["paths_from"] == "info"
    assert summary["cancelled_at_end"] >= 0.4 * 5000
    assert nothing_is_left(site)


def test_a_closed_loop_says_so(site: Site) -> None:
    words = ("--closed", "--clients", 3, "--pipeline", 5, "--duration", 0.5)
    result, summary, _ = bench(site.socket_path, *words)
    assert result.exit_code == 0, result.output
    assert (summary["loop"], summary["rate"], summary["due"]) == ("closed", None, summary["sent"])
    assert summary["acknowledged"] == summary["sent"] > 50
    assert "closed loop" in summary["notes"][0]
    assert nothing_is_left(site)


def test_a_rate_beyond_all_is_told_and_not_hidden(site: Site) -> None:
    result, summary, _ = bench(site.socket_path, "--rate", 3_000_000, "--duration", 0.3, "--mode", "fire-and-forget")
    assert result.exit_code == 0, result.output
    assert summary["due"] == 900_000
    assert 0 < summary["sent"] == summary["acknowledged"] < 900_000
    assert summary["notes"][0].startswith(f"could not keep up: sent {summary['sent']:,} of 900,000")
    assert summary["latency_us"]["p50"] > 50_000, "what waited here counts"


@contextlib.contextmanager
def meanwhile(site: Site, *words: str, orders: int) -> Iterator[None]:
    """Says this to the daemon when so many more orders have come."""

    def say() -> None:
        with site.client() as client:
            before = int(client.info()["orders_received_total"])
            started.set()
            wait_until(lambda: int(client.info()["orders_received_total"]) >= before + orders, "orders come")
            assert client.call(*words) == "OK"

    started = threading.Event()
    thread = threading.Thread(target=say)
    thread.start()
    assert started.wait(10)
    yield
    thread.join()


def test_a_change_of_mode_is_in_the_next_second(site: Site) -> None:
    try:
        with meanwhile(site, "MODE", "fire-and-forget", orders=220):
            result, summary, seconds = bench(site.socket_path, "--rate", 200, "--duration", 2.4)
    finally:
        with site.client() as client:
            client.call("MODE", "sync")
    assert result.exit_code == 0, result.output
    # Orders are not sent before they are due, so it comes in the second second; or, on a busy machine, later.
    assert (seconds[0]["mode"], seconds[0]["queued_share"]) == ("sync", 0.0)
    modes = [second["mode"] for second in seconds]
    changed = modes.index("fire-and-forget")
    assert set(modes[changed:]) == {"fire-and-forget"}
    assert any(second["queued_share"] > 0 for second in seconds[changed : changed + 2])
    assert 0 < summary["queued"] < summary["acknowledged"] == summary["confirmed"] == 480


def test_halted_trading_is_counted_and_cancels_go_on(site: Site) -> None:
    try:
        with meanwhile(site, "TRADING", "HALTED", orders=20):
            result, summary, seconds = bench(site.socket_path, "--rate", 1000, "--duration", 0.8)
        again, refused, _ = bench(site.socket_path, "--duration", 0.2)
    finally:
        with site.client() as client:
            client.call("TRADING", "ACTIVE")
    assert result.exit_code == 0, "all that was acknowledged is confirmed"
    assert summary["errors"].keys() == seconds[0]["errors"].keys() == {"HALTED"}
    assert summary["acknowledged"] + summary["errors"]["HALTED"] == summary["sent"] == 800
    assert "the last with: HALTED" in summary["notes"][0]
    assert nothing_is_left(site)
    # From the start it is no success.
    assert (again.exit_code, refused["acknowledged"]) == (1, 0)


def test_ctrl_c_ends_it_with_the_summary(site: Site) -> None:
    process = start(site.socket_path, "--rate", 500, "--duration", 60)
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    summary = json.loads(out.splitlines()[-1])
    assert (process.returncode, err) == (0, "")
    assert first["type"] == "second"
    assert summary["interrupted"]
    assert summary["sent"] == summary["confirmed"] < 60 * 500
    assert nothing_is_left(site)


def test_a_daemon_that_dies_is_a_clear_end(tmp_path: Path) -> None:
    with running_site(tmp_path) as site:
        process = start(site.socket_path, "--rate", 500, "--duration", 60)
        assert process.stdout is not None
        process.stdout.readline()
        site.orderd.kill()
        out, err = process.communicate(timeout=20)
    summary = json.loads(out.splitlines()[-1])
    assert process.returncode == 3
    assert "Traceback" not in err
    assert summary["notes"][0].startswith("ended early: ")
    assert (summary["ok"], summary["confirmed"]) == (False, None)
    assert summary["acknowledged"] + summary["unanswered"] == summary["sent"]
    assert any("may be open still: ids begin with bench-" in note for note in summary["notes"])


def test_udp_that_fails_in_the_middle_is_seen_and_loses_nothing(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with UdpProxy(site.engine_port) as proxy, contextlib.closing(site):
        site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
        site.start()

        def fail() -> None:
            with site.client() as client:
                wait_until(lambda: int(client.info()["orders_received_total"]) >= 60, "orders come")
            proxy.set(black_hole=1)

        thread = threading.Thread(target=fail)
        thread.start()
        result, summary, seconds = bench(site.socket_path, "--rate", 300, "--duration", 2)
        thread.join()
    assert result.exit_code == 0, result.output
    assert summary["confirmed"] == summary["sent"] == 600
    assert summary["paths"]["udp"] > 0 and summary["paths"]["grpc"] > 0
    assert seconds[-1]["transport_state"] == "GRPC_FALLBACK"
    assert seconds[-1]["paths"]["grpc"] > 0


class Moody(FakeOrderd):
    """Refuses with ``refusal`` once so many orders were placed."""

    refusal: tuple[str, str] = ("", "")
    after: int = 0

    def do_order_new(self, *words: Any) -> Any:
        if len(self.orders) >= self.after:
            raise Refusal(*self.refusal)
        return super().do_order_new(*words)

    def do_order_cancel(self, cl_ord_id: str, *words: str) -> Any:
        if len(self.orders) >= self.after:
            raise Refusal(*self.refusal)
        return super().do_order_cancel(cl_ord_id, *words)


@pytest.fixture
def moody(tmp_path: Path) -> Iterator[Callable[..., Moody]]:
    daemons: list[Moody] = []

    def make(word: str, text: str, after: int) -> Moody:
        daemon = Moody(tmp_path / "s")
        daemon.refusal, daemon.after = (word, text), after
        daemons.append(daemon)
        daemon.__enter__()
        return daemon

    yield make
    for daemon in daemons:
        daemon.__exit__()


def test_who_may_not_place_orders_is_told_at_once(moody: Callable[..., Moody]) -> None:
    daemon = moody("NOPERM", "this connection may not ORDER.NEW: it needs the role trade", 0)
    result, summary, _ = bench(daemon.path, "--duration", 60)
    assert result.exit_code == 1
    assert summary["notes"][0].startswith("ended early: NOPERM this connection may not")
    assert summary["seconds"] < 10


def test_who_loses_the_right_in_the_middle_is_told_what_is_left(moody: Callable[..., Moody]) -> None:
    daemon = moody("NOPERM", "this connection may not ORDER.NEW: it needs the role trade", 100)
    result, summary, _ = bench(daemon.path, "--duration", 60, "--cancel-share", 0)
    assert result.exit_code == 1
    assert summary["acknowledged"] == summary["left_open"] == 100
    assert any("100 orders may be open still" in note for note in summary["notes"])


def test_nobody_there_and_wrong_usage_have_their_exit_codes(tmp_path: Path) -> None:
    assert bench(tmp_path / "nobody")[0].exit_code == 3
    for words in (("--rate", "0"), ("--rate", "fast"), ("--rate", "10", "--closed"), ("--pipeline", "3")):
        assert bench(tmp_path / "nobody", *words)[0].exit_code == 2


def test_orders_that_would_trade_are_not_sent(moody: Callable[..., Moody]) -> None:
    daemon = moody("", "", 1000)
    daemon.do_order_new("seller", "AAPL", "SELL", "5", "LIMIT", "0.08")
    result, _, _ = bench(daemon.path)
    assert result.exit_code == 2
    assert "somebody sells AAPL at 0.08" in result.stderr
    assert bench(daemon.path, "--symbol", "XYZ")[0].exit_code == 2
    assert bench(daemon.path, "--symbol", "AMZN", "--duration", 0.2)[0].exit_code == 0
