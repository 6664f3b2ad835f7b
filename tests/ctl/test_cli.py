"""orderctl's commands against a fake daemon: what they send, print and end with."""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.cli import COMMANDS, main
from orderd.ctl.connection import Connection
from tests.support.fake_orderd import FakeOrderd

Orderctl = Callable[..., Result]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOrderd]:
    with FakeOrderd(tmp_path / "s") as daemon:
        yield daemon


@pytest.fixture
def orderctl(fake: FakeOrderd) -> Orderctl:
    return lambda *words: CliRunner().invoke(main, ["--socket", str(fake.path), *map(str, words)])


def parsed(result: Result) -> dict[str, str]:
    value: dict[str, str] = json.loads(result.stdout)
    return value


def test_submit_sends_the_options_that_were_given_and_no_others(fake: FakeOrderd, orderctl: Orderctl) -> None:
    assert orderctl("submit", "a", "AAPL", "buy", "100", "--limit", "187.25").exit_code == 0
    assert fake.commands[-1] == ["ORDER.NEW", "a", "AAPL", "BUY", "100", "LIMIT", "187.25"]
    options = ["--tif", "ioc", "--account", "7", "--stp", "cancel_oldest", "--max-age", "250", "--mode", "batch"]
    assert orderctl("submit", "b", "AAPL", "SELL", "5", "--market", "--post-only", *options).exit_code == 0
    sent = "ORDER.NEW b AAPL SELL 5 MARKET TIF IOC ACCOUNT 7 STP CANCEL_OLDEST MAXAGE 250 MODE batch POSTONLY"
    assert " ".join(fake.commands[-1]) == sent
    options = ["--gtd", "2031-11-23T17:00:00Z", "--stop", "1.50", "--display", "2", "--min-qty", "1"]
    assert orderctl("submit", "c", "AAPL", "SELL", "5", "--limit", "1.40", *options).exit_code == 0
    sent = "ORDER.NEW c AAPL SELL 5 LIMIT 1.40 GTD 2031-11-23T17:00:00Z STOP 1.50 DISPLAY 2 MINQTY 1"
    assert " ".join(fake.commands[-1]) == sent


def test_submit_prints_the_order(orderctl: Orderctl) -> None:
    result = orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "187.25")
    assert "status      NEW" in result.stdout
    order = parsed(orderctl("submit", "b", "AAPL", "SELL", "100", "--limit", "187.25", "--json"))
    assert (order["cl_ord_id"], order["status"], order["cum_qty"]) == ("b", "FILLED", "100")
    assert parsed(orderctl("--json", "status", "a"))["status"] == "FILLED"


def test_a_dash_stands_for_a_number_that_was_never_used(orderctl: Orderctl) -> None:
    ids = [parsed(orderctl("submit", "-", "AAPL", "BUY", "1", "--limit", "1", "--json"))["cl_ord_id"] for _ in range(2)]
    assert ids == ["1", "2"]


@pytest.mark.parametrize(("account", "status"), [("666", "REJECTED"), ("667", "UNKNOWN")])
def test_an_outcome_that_is_not_good_is_printed_and_ends_with_1(orderctl: Orderctl, account: str, status: str) -> None:
    result = orderctl("submit", "a", "AAPL", "BUY", "1", "--limit", "1", "--account", account, "--json")
    assert (result.exit_code, parsed(result)["status"]) == (1, status)


def test_an_error_of_the_daemon_is_one_line_on_stderr_and_ends_with_1(orderctl: Orderctl) -> None:
    result = orderctl("submit", "a", "XYZ", "BUY", "1", "--limit", "1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "orderctl: BADORDER no instrument XYZ\n"


@pytest.mark.parametrize(
    "words",
    [
        ["submit", "a", "AAPL", "BUY", "1"],
        ["submit", "a", "AAPL", "BUY", "1", "--limit", "1", "--market"],
        ["submit", "a", "AAPL", "HOLD", "1", "--market"],
        ["submit", "a", "AAPL", "BUY", "1", "--market", "--mode", "soon"],
        ["book", "AAPL", "--depth", "0"],
        ["nonsense"],
    ],
)
def test_wrong_usage_ends_with_2(orderctl: Orderctl, words: list[str]) -> None:
    assert orderctl(*words).exit_code == 2


def test_no_daemon_ends_with_3(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["info"], env={"ORDERD_SOCKET": str(tmp_path / "none")})
    assert result.exit_code == 3
    assert result.stderr.startswith("orderctl: cannot connect to ")
    assert result.stderr.count("\n") == 1


def test_cancel_and_replace_send_what_they_should(fake: FakeOrderd, orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    assert orderctl("replace", "a", "50", "10.01", "--open", "--id", "r1").exit_code == 0
    assert fake.commands[-1] == ["ORDER.REPLACE", "a", "50", "10.01", "OPEN", "ID", "r1"]
    assert orderctl("replace", "a", "40", "10.01").exit_code == 0
    assert orderctl("cancel", "a", "--id", "r2").exit_code == 0
    assert fake.commands[-1] == ["ORDER.CANCEL", "a", "ID", "r2"]


def test_a_cancel_or_replace_that_came_too_late_shows_the_true_status_and_ends_with_1(orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    orderctl("submit", "b", "AAPL", "SELL", "100", "--limit", "10")
    for words in (("cancel", "a"), ("replace", "a", "200", "10")):
        result = orderctl(*words, "--json")
        assert result.exit_code == 1
        assert (parsed(result)["status"], parsed(result)["reason"]) == ("FILLED", "TOO_LATE")


def test_a_replace_to_less_than_what_is_filled_is_done(orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    orderctl("submit", "b", "AAPL", "SELL", "60", "--limit", "10")
    result = orderctl("replace", "a", "50", "10", "--json")
    assert (result.exit_code, parsed(result)["status"]) == (0, "CANCELED")


def test_status_may_wait(fake: FakeOrderd, orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    assert orderctl("status", "a", "--wait", "250").exit_code == 0
    assert fake.commands[-1] == ["ORDER.WAIT", "a", "250"]


def test_the_book_has_its_best_prices_on_top(orderctl: Orderctl) -> None:
    for name, side, price in (("a", "BUY", "9.98"), ("b", "BUY", "9.99"), ("c", "SELL", "10.01"), ("d", "BUY", "9.99")):
        orderctl("submit", name, "AAPL", side, "10", "--limit", price)
    assert json.loads(orderctl("book", "AAPL", "--json").stdout) == {
        "symbol": "AAPL",
        "bids": [["9.99", "20", "2"], ["9.98", "10", "1"]],
        "asks": [["10.01", "10", "1"]],
    }
    rows = [line.split() for line in orderctl("book", "AAPL", "--depth", "1").stdout.splitlines()]
    assert rows[2] == ["2", "20", "9.99", "10.01", "10", "1"]
    assert len(rows) == 3


def test_a_watched_book_is_shown_at_each_change_until_the_daemon_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderd.ctl.market_cli.WATCH_INTERVAL_S", 0.001)
    daemon = FakeOrderd(tmp_path / "w")

    def change_and_go() -> None:
        with Connection(daemon.path) as connection:
            for number in range(3):
                wanted = len(daemon.commands) + 20
                while len(daemon.commands) < wanted:
                    connection.call("PING")
                connection.call("ORDER.NEW", number, "AAPL", "BUY", 1, "LIMIT", 1)
            while [words[0] for words in daemon.commands[-3:]] != ["BOOK"] * 3:
                pass
        daemon.__exit__()

    with daemon:
        thread = threading.Thread(target=change_and_go)
        thread.start()
        result = CliRunner().invoke(main, ["--socket", str(daemon.path), "book", "AAPL", "--watch", "--json"])
        thread.join()
    assert result.exit_code == 3
    books = [json.loads(line)["bids"] for line in result.stdout.splitlines()]
    assert books[-1] == [["1.00", "3", "3"]]
    assert all(a != b for a, b in pairwise(books))


def test_executions_are_one_json_object_a_line(orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    orderctl("submit", "b", "AAPL", "SELL", "60", "--market")
    lines = [json.loads(line) for line in orderctl("executions", "--json").stdout.splitlines()]
    assert [(line["exec_id"], line["exec_type"]) for line in lines] == [
        ("1", "NEW"),
        ("2", "NEW"),
        ("3", "TRADE"),
        ("4", "TRADE"),
    ]
    after = [
        json.loads(line)
        for line in orderctl("executions", "--after", "2", "--count", "1", "--json").stdout.splitlines()
    ]
    assert [line["exec_id"] for line in after] == ["3"]
    assert "TRADE" in orderctl("executions").stdout


def test_executions_can_be_followed(orderctl: Orderctl) -> None:
    orderctl("submit", "a", "AAPL", "BUY", "100", "--limit", "10")
    result = orderctl("executions", "--follow", "--count", "1")
    assert result.stdout == (
        "exec_id=1  exec_type=NEW  cl_ord_id=a  symbol=AAPL  side=BUY  last_qty=0  last_px=0.00  cum_qty=0  "
        "leaves_qty=100  status=NEW\n"
    )


def test_info_is_shown_by_section(orderctl: Orderctl) -> None:
    sections = json.loads(orderctl("info", "--json").stdout)
    assert sections["orders"]["mode"] == "sync"
    assert sections["executions"] == {"executions_last_id": "0"}
    assert "orders_unconfirmed  0" in orderctl("info").stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f" {name} " in result.stdout.splitlines()[0]


def test_the_help_lists_every_command() -> None:
    listed = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"\n  {name} " in listed for name in COMMANDS)
