"""orderctl replay against a fake daemon with a book."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orderd.ctl.cli import main
from tests.support.data import data_directory
from tests.support.fake_orderd import FakeOrderd, Order

Replay = Callable[..., Result]

COMMANDS = """\
L B -1 9990 100
L S 2 10010 50
T S 9990 30 1
B S:10010x50 B:9990x70
A B 3 10010 80 1
R -1 20
M 3 10011 25
R 3 5
B S: B:10011x20,9990x50
X -1
B S: B:10011x20
"""
TRADES = "taker_seq,maker_id,price,size\n1,-1,9990,30\n2,2,10010,50\n"


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeOrderd]:
    with FakeOrderd(tmp_path / "s") as daemon:
        yield daemon


@pytest.fixture
def replay(fake: FakeOrderd) -> Replay:
    return lambda *words: CliRunner().invoke(main, ["--socket", str(fake.path), "replay", *map(str, words)])


def commands(directory: Path, text: str = COMMANDS, trades: str | None = TRADES) -> Path:
    path = directory / "x.commands.tsv.gz"
    path.write_bytes(gzip.compress(text.replace(" ", "\t").encode()))
    if trades is not None:
        (directory / "x.expected_trades.csv.gz").write_bytes(gzip.compress(trades.encode()))
    return path


def accounts(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("mode", ["sync", "batch", "fire-and-forget"])
def test_books_and_trades_come_out_as_the_file_says(replay: Replay, tmp_path: Path, mode: str) -> None:
    result = replay(commands(tmp_path), "--format", "commands", "--symbol", "AAPL", "--mode", mode, "--json")
    (account,) = accounts(result)
    assert result.exit_code == 0, account
    assert (account["sent"], account["confirmed"], account["rejected"], account["trades"]) == (8, 8, 0, 2)
    assert (account["mode"], account["checkpoints"], account["trades_compared"]) == (mode, 3, 2)
    assert set(account["latency_us"]) == {"p50", "p90", "p99", "p99.9", "max"}


def test_a_mode_after_the_other_starts_from_an_empty_book(replay: Replay, fake: FakeOrderd, tmp_path: Path) -> None:
    options = ("--mode", "sync", "--mode", "batch", "--cancel-rest", "--json")
    result = replay(commands(tmp_path), "--format", "commands", "--symbol", "AAPL", *options)
    assert [(account["mode"], account["ok"]) for account in accounts(result)] == [("sync", True), ("batch", True)]
    assert fake.resting == []


def test_a_daemon_whose_own_mode_is_fire_and_forget_is_waited_for(
    replay: Replay, fake: FakeOrderd, tmp_path: Path
) -> None:
    fake.mode = "fire-and-forget"
    result = replay(commands(tmp_path), "--format", "commands", "--symbol", "AAPL", "--json")
    (account,) = accounts(result)
    assert (result.exit_code, account["mode"], account["confirmed"]) == (0, "fire-and-forget", 8)


@pytest.mark.parametrize("daemon_mode", ["sync", "fire-and-forget"])
def test_a_cancel_that_came_too_late_is_counted_once(
    replay: Replay, fake: FakeOrderd, tmp_path: Path, daemon_mode: str
) -> None:
    fake.mode = daemon_mode
    path = commands(tmp_path, "L B 1 9990 30\nT S 9990 30 1\nX 1\nL B 2 9990 30\nX 2\n", None)
    options = ("--mode", "sync", "--mode", "fire-and-forget", "--json")
    result = replay(path, "--format", "commands", "--symbol", "AAPL", *options)
    assert [(account["too_late"], account["confirmed"]) for account in accounts(result)] == [(1, 5), (1, 5)]
    assert result.exit_code == 0


def test_another_book_or_trade_than_expected_is_shown_and_ends_with_1(replay: Replay, tmp_path: Path) -> None:
    wrong = commands(
        tmp_path, COMMANDS.replace("10011x20,9990x50", "10011x20,9990x51"), TRADES.replace("2,10010", "9,10010")
    )
    result = replay(wrong, "--format", "commands", "--symbol", "AAPL")
    assert result.exit_code == 1
    assert "line 9: the book is ([('100.11', '20'), ('99.90', '50')], [])" in result.stderr
    assert "trade 2 is (2, '2', '100.10', '50'), expected (2, '9', '100.10', '50')" in result.stderr


def test_another_number_of_trades_than_the_row_says_is_shown(replay: Replay, tmp_path: Path) -> None:
    wrong = commands(tmp_path, COMMANDS.replace("9990 30 1", "9990 30 2"), None)
    result = replay(wrong, "--format", "commands", "--symbol", "AAPL")
    assert result.exit_code == 1
    assert "made 1 trades, expected 2" in result.stderr


def test_without_verification_nothing_is_compared(replay: Replay, fake: FakeOrderd, tmp_path: Path) -> None:
    wrong = commands(tmp_path, COMMANDS.replace("9990x50", "9990x51"), "")
    options = ("--format", "commands", "--symbol", "AAPL")
    assert replay(wrong, *options, "--no-verify").exit_code == 0
    assert all(words[0] != "BOOK" for words in fake.commands)
    again = replay(wrong, *options)
    assert again.exit_code == 2
    assert "the book of AAPL is not empty" in again.stderr


def test_orders_that_the_daemon_refuses_are_counted_and_end_with_1(
    replay: Replay, fake: FakeOrderd, tmp_path: Path
) -> None:
    for taken in ("1", "2"):
        fake.orders[taken] = Order(taken, int(taken), "AAPL", "BUY", 1, 1, "FILLED", 1)
    result = replay(commands(tmp_path), "--format", "commands", "--symbol", "AAPL", "--no-verify", "--json")
    (account,) = accounts(result)
    assert result.exit_code == 1
    assert account["errors"]["DUPLICATE"] == 2
    assert account["confirmed"] < account["sent"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "commands", "--symbol", "NONE"], "has no instrument 'NONE'"),
        (["--format", "commands", "--symbol", "AAPL", "--price-scale", "x"], "not a positive decimal"),
        (["--format", "commands", "--symbol", "AAPL", "--price-scale", "0.001"], "is not a multiple of 0.01"),
        (["--format", "commands", "--symbol", "AAPL", "--speed", "2"], "has no times"),
        (["--format", "lobster", "--symbol", "AAPL"], "not a LOBSTER message row"),
        (["--symbol", "AAPL"], "--format"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_anything_is_sent(
    replay: Replay, fake: FakeOrderd, tmp_path: Path, words: list[str], message: str
) -> None:
    text = COMMANDS.replace("10011", "10013")
    result = replay(commands(tmp_path, text), *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert fake.orders == {}


def test_real_commands_come_out_as_the_file_says(replay: Replay) -> None:
    path = data_directory("market", "MSFT50.merged.commands.tsv.gz")
    result = replay(path, "--format", "commands", "--symbol", "AAPL", "--price-scale", "0.0001", "--json")
    (account,) = accounts(result)
    assert result.exit_code == 0, account
    assert (account["sent"], account["checkpoints"], account["trades"]) == (1235, 100, 110)


def test_a_real_message_file_can_be_replayed_again_and_again(replay: Replay, fake: FakeOrderd) -> None:
    path = data_directory("market", "MSFT_2012-06-21_34200000_37800000_message_50.csv.gz")
    for _ in range(2):
        result = replay(path, "--format", "lobster", "--symbol", "AAPL", "--json")
        (account,) = accounts(result)
        assert result.exit_code == 0, account
        assert account["sent"] == account["confirmed"] > 0
        assert account["skipped_unseen"] > 0
        assert account["errors"] == {}
    with gzip.open(path, "rt") as rows:
        total = sum(1 for _ in rows)
    assert account["sent"] + account["skipped_unseen"] + sum(account["skipped_types"].values()) == total


def test_the_pace_of_the_file_is_kept(replay: Replay, tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("".join(f"{34200 + i / 10},1,{i},100,10000,1\n" for i in range(4)))
    (account,) = accounts(replay(path, "--format", "lobster", "--symbol", "AAPL", "--speed", "3", "--json"))
    assert 0.1 <= account["seconds"] < 5


def test_the_table_has_a_column_for_each_mode(replay: Replay, tmp_path: Path) -> None:
    options = ("--format", "commands", "--symbol", "AAPL", "--mode", "sync", "--mode", "batch")
    lines = replay(commands(tmp_path), *options).stdout.splitlines()
    assert lines[0].split() == ["mode", "sync", "batch"]
    assert ["confirmed", "8", "8"] in [line.split() for line in lines]
    assert any(line.startswith("latency p99.9") for line in lines)
