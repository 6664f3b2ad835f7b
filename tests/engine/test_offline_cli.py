"""``orderd-engine hash``, ``book``, ``replay`` and ``snapshot``: true of the commit that they name, and harmless."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine import offline_cli
from engine.cli import main
from engine.snapshot import state_hash
from orderd.journal.segment import segment_name
from tests.support.engine_journal import Grown


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    return Grown(tmp_path / "j", 4).grow(60).seal().grow(60).seal().grow(20).close()


@pytest.fixture(autouse=True)
def _stay_as_you_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process here, which goes on."""
    monkeypatch.setattr(offline_cli, "be_humble", lambda: None)


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def told(*words: object) -> Any:
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_the_hash_is_that_of_the_state_with_snapshots_and_without(grown: Grown) -> None:
    expected = state_hash(grown.core()).hex()
    plain = told("hash", "--directory", grown.directory)
    assert (plain["hash"], plain["from"], plain["invariants"]) == (expected, "the first record", "hold")
    assert run("snapshot", "--directory", grown.directory).exit_code == 0
    restored = told("hash", "--directory", grown.directory)
    assert restored["hash"] == expected
    assert restored["from"] == f"snapshot before segment {grown.boundaries[-1][0].index}"
    assert restored["entries_read"] < plain["entries_read"]
    assert told("hash", "--directory", grown.directory, "--from-start")["entries_read"] == plain["entries_read"]
    assert expected in run("hash", "--directory", grown.directory).stdout


def test_nothing_is_written_locked_or_changed(grown: Grown) -> None:
    before = {path.name: path.read_bytes() for path in grown.directory.iterdir()}
    for words in (["hash"], ["book", "AAPL"], ["replay", "--trades"], ["dump", "--orders"]):
        assert run(*words, "--directory", grown.directory).exit_code == 0
    assert {path.name: path.read_bytes() for path in grown.directory.iterdir()} == before


def test_a_book_shows_what_rests_in_the_instruments_own_steps(grown: Grown) -> None:
    book = grown.core().matcher.book(3)
    bids, asks = book.depth(10)
    found = told("book", "ES", "--directory", grown.directory)
    assert found["bids"] == [[f"{price * 0.25:.2f}", str(quantity), orders] for price, quantity, orders in bids]
    assert found["asks"] == [[f"{price * 0.25:.2f}", str(quantity), orders] for price, quantity, orders in asks]
    assert found["stops_waiting"] == sum(1 for _ in book.stops)
    assert bids or asks
    shown = run("book", "ES", "--directory", grown.directory, "--depth", 1).stdout.splitlines()
    sides = [line.split()[-1] for line in shown if line.endswith(("ask", "bid"))]
    assert sides == ["ask"] * bool(asks) + ["bid"] * bool(bids)


def test_every_trade_is_printed_once(grown: Grown) -> None:
    trades = grown.core().matcher.next_trade_id - 1
    assert trades > 50
    for _ in range(2):
        lines = run("replay", "--trades", "--from-start", "--directory", grown.directory).stdout.splitlines()
        printed = [int(line.split()[1]) for line in lines if line.startswith("trade ")]
        assert printed == list(range(1, trades + 1))
        run("snapshot", "--directory", grown.directory)
    behind = run("replay", "--trades", "--directory", grown.directory).stdout.splitlines()
    printed = [int(line.split()[1]) for line in behind if line.startswith("trade ")]
    first = grown.core(grown.boundaries[-1][1]).matcher.next_trade_id
    assert printed == list(range(first, trades + 1))


def test_a_replay_to_a_commit_stops_there(grown: Grown) -> None:
    whole = told("replay", "--directory", grown.directory)
    part = told("replay", "--to", 5, "--directory", grown.directory)
    assert part["commit"] == 5 and part["hash"] != whole["hash"]
    result = run("replay", "--to", whole["commit"] + 1, "--directory", grown.directory)
    assert result.exit_code == 3 and f"ends with commit {whole['commit']}" in result.stderr


def test_what_cannot_be_is_one_line_and_a_code(grown: Grown, tmp_path: Path) -> None:
    result = run("book", "TSLA", "--directory", grown.directory)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "TSLA is no instrument of this journal; known: AAPL, MSFT, ES" in result.stderr
    assert run("hash", "--directory", tmp_path / "nowhere").exit_code == 1
    (tmp_path / "empty").mkdir()
    result = run("hash", "--directory", tmp_path / "empty")
    assert result.exit_code == 3 and "no journal is there" in result.stderr
    result = run("hash", "--set", "journal.directory=7")
    assert result.exit_code == 2 and "journal.directory" in result.stderr


def test_damage_is_told_and_nothing_believed(grown: Grown) -> None:
    path = grown.directory / segment_name(2)
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    for words in (["hash"], ["book", "AAPL"], ["replay"], ["dump"], ["snapshot"]):
        result = run(*words, "--directory", grown.directory)
        assert result.exit_code == 3 and "damaged at offset" in result.stderr


def test_a_dump_tells_every_record_and_every_order(grown: Grown) -> None:
    result = run("dump", "--orders", "--json", "--directory", grown.directory)
    assert result.exit_code == 0
    told = [json.loads(line) for line in result.stdout.splitlines()]
    inputs = [facts for facts in told if "commit" in facts]
    assert len(inputs) == len(grown.entries)
    assert {facts["kind"] for facts in inputs} >= {"BOOT", "INSTRUMENT", "EPOCH", "ORDERS", "EXPIRE", "MARKET"}
    assert sum(facts.get("records", 0) for facts in inputs) == len(told) - len(inputs)
    last = inputs[-1]["commit"]
    behind = run("dump", "--after", last - 1, "--directory", grown.directory).stdout.splitlines()
    assert behind and all(line.startswith(f"commit={last} kind=") for line in behind)


def test_a_journal_that_was_cut_back_is_dumped_from_where_it_begins(grown: Grown) -> None:
    for _ in range(2):
        run("snapshot", "--directory", grown.directory)
    (grown.directory / segment_name(1)).unlink()
    assert run("dump", "--directory", grown.directory).exit_code == 0
    result = run("hash", "--from-start", "--directory", grown.directory)
    assert result.exit_code == 3 and "the first segments are gone" in result.stderr
