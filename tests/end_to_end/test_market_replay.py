"""Real markets by ``orderctl replay``: every trade and every book as recorded, and an account of each order.

The largest one goes through the socket in ``tests/conformance``, which asks for fewer books on the way.
"""

import json
import subprocess
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.support.data import data_directory
from tests.support.processes import Site, orderctl

MakeSite = Callable[..., Site]
TICKS: Final = ("--price-scale", "0.01")


def replay(site: Site, name: str, *words: str) -> "subprocess.CompletedProcess[str]":
    file = str(data_directory("market", name))
    command = ("--socket", str(site.socket_path), "replay", file, "--symbol", "AAPL", *words)
    return orderctl(*command, directory=site.directory)


@pytest.mark.parametrize(
    ("flow", "mode"),
    [("MSFT50.merged", "fire-and-forget"), ("MSFT50.merged", "sync"), ("ES20231225.part1", "batch")],
)
def test_a_market_comes_out_as_recorded(make_site: MakeSite, flow: str, mode: str) -> None:
    trades = data_directory("market", f"{flow}.expected_trades.csv.gz")
    assert trades.exists()
    site = make_site().start()
    words = ("--format", "commands", "--json", "--mode", mode, *TICKS)
    ended = replay(site, f"{flow}.commands.tsv.gz", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    assert result["ok"] and not result["problems"]
    assert result["confirmed"] == result["sent"] > 0 == result["unknown"]
    assert result["trades_compared"] > 0 and result["checkpoints"] > 0


def test_a_lobster_file_runs_to_its_closing_table(make_site: MakeSite) -> None:
    name = "MSFT_2012-06-21_34200000_37800000_message_50.csv.gz"
    site = make_site().start()
    ended = replay(site, name, "--format", "lobster", "--mode", "fire-and-forget", "--cancel-rest")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = dict(line.rsplit(maxsplit=1) for line in ended.stdout.splitlines() if len(line.split()) > 1)
    assert int(table["confirmed"]) == int(table["sent"]) > 100
    with site.client() as client:
        book = client.call("BOOK", "AAPL")
        assert book["bids"] == book["asks"] == [], "what was left open is cancelled"
