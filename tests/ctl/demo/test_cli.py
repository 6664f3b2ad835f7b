"""The demo's parts, and a short run with a fake daemon in place of the real one."""

import random
import sys
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from orderd.config import load_settings
from orderd.ctl.connection import Connection
from orderd.ctl.demo import cli as demo
from orderd.ctl.demo import view as demo_view
from orderd.ctl.demo.roles import ROLES, BatchSender, Maker, Market
from orderd.wire.records import RECORD, Kind
from tests.support.fake_orderd import FakeOrderd

FAKE = (sys.executable, "-m", "tests.support.fake_orderd")
ROOT = Path(__file__).parents[2]


def test_the_settings_are_such_as_a_daemon_takes(tmp_path: Path) -> None:
    path = tmp_path / 'orderd "quoted".toml'
    path.write_text(demo.settings(tmp_path / 'with "quotes"'))
    settings = load_settings(path, environ={})
    assert settings.engine.embedded
    assert settings.listen.socket == str(tmp_path / 'with "quotes"' / "orderd.sock")
    assert [instrument.symbol for instrument in settings.instrument] == ["AAPL", "MSFT", "ES"]
    assert tomllib.loads(path.read_text())["journal"]["directory"].startswith(str(tmp_path))


def test_clients_have_all_roles_and_modes() -> None:
    clients = demo.planned_clients(9)
    assert {(client.role, client.mode) for client in clients} == {(r, m) for r in demo.ROLES for m in demo.MODES}
    assert len({client.name for client in clients}) == 9


@pytest.mark.parametrize("role_name", sorted(ROLES))
def test_each_role_sends_what_the_daemon_takes_and_leaves_a_bounded_number_open(tmp_path: Path, role_name: str) -> None:
    with FakeOrderd(tmp_path / "s") as fake, Connection(fake.path) as connection:
        role = ROLES[role_name]("me", Market.ask(connection, "AMZN"), "sync", random.Random(1))
        for _ in range(300):
            command = role.next_command()
            role.on_reply(command, connection.call(*command.words))
            role.look(connection.call("BOOK", "AMZN", "DEPTH", 1))
        assert len(fake.resting) <= 50
        assert len(fake.orders) > 50


def test_a_maker_quotes_anew_where_its_quote_is_gone(tmp_path: Path) -> None:
    with FakeOrderd(tmp_path / "s") as fake, Connection(fake.path) as connection:
        maker = Maker("me", Market.ask(connection, "AAPL"), "sync", random.Random(1))
        command = maker.next_command()
        reply = connection.call(*command.words)
        maker.on_reply(command, {**reply, "status": "FILLED"})
        numbers = {maker.next_command().last_id for _ in range(200)}
        assert command.last_id not in numbers


def test_a_batch_is_whole_records(tmp_path: Path) -> None:
    with FakeOrderd(tmp_path / "s") as fake, Connection(fake.path) as connection:
        sender = BatchSender("me", Market.ask(connection, "AMZN"), "batch", random.Random(1))
        first, second = sender.next_command(), sender.next_command()
    assert (first.words[1], second.words[1]) == ("me-1", "me-2")
    records = [list(RECORD.iter_unpack(command.words[2])) for command in (first, second)]  # type: ignore[arg-type]
    assert [len(found) for found in records] == [first.orders, second.orders] == [25, 50]
    new = [record[0] for record in records[0]]
    assert [record[0] for record in records[1] if record[5] == Kind.CANCEL] == new
    assert {record[3] for found in records for record in found} == {2}


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.usefixtures("at_root")
def test_a_run_confirms_everything_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show = demo.Demo(tmp_path, clients=3, daemon=FAKE)
    demo.run(show, duration_s=2.5, quiet=False)
    summary = show.summary()
    assert summary["problems"] == []
    assert summary["ok"]
    assert summary["acknowledged"] == summary["confirmed"] > 0
    assert [client["role"] for client in summary["clients"]] == ["maker", "taker", "batch"]
    assert "UDP_ENABLED" in capsys.readouterr().out


@pytest.mark.usefixtures("at_root")
def test_a_daemon_that_does_not_start_is_told(tmp_path: Path) -> None:
    show = demo.Demo(tmp_path, clients=1, daemon=(sys.executable, "-c", "import sys; sys.exit('no engine')"))
    demo.run(show, duration_s=5, quiet=True)
    assert show.problems[0] == "the daemon ended with code 1: no engine"
    assert not show.summary()["ok"]


@pytest.mark.usefixtures("at_root")
def test_a_daemon_that_dies_is_told_and_nothing_is_left_running(tmp_path: Path) -> None:
    dies = "import os, runpy, threading; threading.Timer(1, os._exit, [7]).start(); "
    dies += "runpy.run_module('tests.support.fake_orderd', run_name='__main__')"
    show = demo.Demo(tmp_path, clients=2, daemon=(sys.executable, "-c", dies))
    demo.run(show, duration_s=20, quiet=True)
    assert not show.summary()["ok"]
    assert any("ended with code 7" in problem for problem in show.problems)


def test_the_view_shows_the_clients_and_the_books() -> None:
    state = demo_view.State(seconds=3.0, clients=demo.planned_clients(2))
    state.clients[0].account = {"sent": 101234, "confirmed": 101234, "latency_us": {"p50": 870.0, "p99": 123456.0}}
    state.info = {
        "transport_state": "GRPC_FALLBACK",
        "orders_confirmed_udp_total": "5",
        "orders_confirmed_grpc_total": "6",
    }
    state.books = [{"symbol": "AAPL", "bids": [["99.98", "10", "1"]], "asks": []}]
    for width, more in ((200, "acknowledged"), (80, "confirmed")):
        console = Console(width=width)
        with console.capture() as capture:
            console.print(demo_view.view(state, width))
        shown = capture.get()
        for text in (
            "GRPC_FALLBACK",
            "udp 5, grpc 6",
            "AAPL  10 at 99.98 | -",
            "maker-1 AAPL",
            "1,234",
            "870 us",
            more,
        ):
            assert text in shown
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown
