"""orderctl's commands that look after the daemon, with a real one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.admin_cli import _client
from orderd.ctl.cli import main
from tests.support.fake_orderd import FakeOrderd, Refusal
from tests.support.processes import Site

Orderctl = Callable[..., Result]


@pytest.fixture
def restored(live: Orderctl) -> Iterator[None]:
    """Mode and trading state as they were."""
    yield
    live("trading", "active")
    live("mode", "sync")


def test_instruments_are_those_of_the_settings(live: Orderctl) -> None:
    rows = [line.split() for line in live("instruments").stdout.splitlines()]
    assert rows == [
        ["symbol", "id", "tick", "lot"],
        ["AAPL", "1", "0.01", "1"],
        ["MSFT", "2", "0.01", "1"],
        ["ES", "3", "0.25", "1"],
    ]
    first = json.loads(live("instruments", "--json").stdout.splitlines()[0])
    assert first == {"symbol": "AAPL", "id": "1", "tick": "0.01", "lot": "1"}


def test_config_shows_the_settings_that_fit_a_pattern(live: Orderctl, site: Site) -> None:
    found = json.loads(live("config", "--json").stdout)
    assert found["listen.socket"] == str(site.socket_path)
    assert set(json.loads(live("config", "batch.*", "--json").stdout)) == {"batch.orders_max", "batch.linger_ms"}
    assert live("config", "batch.o*").stdout.split() == ["batch.orders_max", "50"]


def test_clients_are_one_in_a_row(live: Orderctl) -> None:
    result = live("clients", "--json")
    client = json.loads(result.stdout.splitlines()[-1])
    assert client["cmd"] == "client list"
    assert client["id"].isdigit()
    assert live("clients").stdout.split()[0] == "id"


def test_the_mode_is_told_and_changed(live: Orderctl, restored: None) -> None:
    assert live("mode").stdout == "sync\n"
    result = live("mode", "batch", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"mode": "batch"})
    assert live("mode").stdout == "batch\n"
    assert live("mode", "soon").exit_code == 2


def test_a_reload_brings_the_mode_of_the_settings_back(live: Orderctl, restored: None) -> None:
    live("mode", "batch")
    result = live("reload")
    assert (result.exit_code, result.stdout) == (0, "OK\n")
    assert live("mode").stdout == "sync\n"


def test_a_reload_that_is_refused_says_why(live: Orderctl, site: Site) -> None:
    good = site.instruments_path.read_text()
    try:
        site.instruments_path.write_text("nonsense = 1\n" + good)
        result = live("reload")
    finally:
        site.instruments_path.write_text(good)
    assert result.exit_code == 1
    assert "nonsense" in result.stderr
    assert result.stderr.count("\n") == 1


def test_halted_trading_refuses_orders_until_it_is_active_again(live: Orderctl, restored: None) -> None:
    assert live("trading").stdout == "ACTIVE\n"
    result = live("trading", "halted")
    assert (result.exit_code, result.stdout) == (0, "HALTED\n")
    refused = live("submit", "h1", "AAPL", "BUY", 1, "--limit", "1.00")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("orderctl: HALTED ")
    assert json.loads(live("trading", "active", "--json").stdout) == {"trading": "ACTIVE"}
    assert live("submit", "h1", "AAPL", "BUY", 1, "--limit", "1.00").exit_code == 0


def test_an_account_alone_is_restricted_and_positions_are_shown(live: Orderctl, restored: None) -> None:
    try:
        assert live("trading", "reducing", "--account", 4321).stdout == "REDUCING\n"
        assert (live("trading").stdout, live("trading", "--account", 4321).stdout) == ("ACTIVE\n", "REDUCING\n")
        refused = live("submit", "held1", "AAPL", "BUY", 1, "--limit", "1.00", "--account", 4321)
        assert refused.stderr.startswith("orderctl: HALTED trading is reducing: BUY 1 ")
    finally:
        live("trading", "active", "--account", 4321)
    assert live("submit", "held1", "AAPL", "BUY", 3, "--limit", "0.01", "--account", 4321).exit_code == 0
    line = live("positions", "--account", 4321, "--symbol", "AAPL", "--json").stdout
    assert json.loads(line) | {"last_px": ""} == {
        "account": "4321", "symbol": "AAPL", "net": "0", "open_buy": "3", "open_sell": "0", "last_px": "",
    }  # fmt: skip
    assert live("positions", "--account", 4321).stdout.split()[:4] == ["account", "symbol", "net", "open_buy"]
    live("cancel", "held1")


def test_what_this_connection_may_not_do_is_one_line(tmp_path: Path) -> None:
    class Strict(FakeOrderd):
        def do_config(self, *_: str) -> None:
            raise Refusal("NOPERM", "this connection may not CONFIG RELOAD: it needs the role admin")

    with Strict(tmp_path / "s") as fake:
        result = CliRunner().invoke(main, ["--socket", str(fake.path), "reload"])
    assert result.exit_code == 1
    assert result.stderr == "orderctl: NOPERM this connection may not CONFIG RELOAD: it needs the role admin\n"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("id=1 name= cmd=client list age=3", {"id": "1", "name": "", "cmd": "client list", "age": "3"}),
        ("addr=pid=7,uid=0", {"addr": "pid=7,uid=0"}),
        ("", {}),
    ],
)
def test_a_word_without_equals_belongs_to_the_value_before_it(line: str, found: dict[str, str]) -> None:
    assert _client(line) == found
