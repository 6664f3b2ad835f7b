"""Readers of the test data below ``ORDERD_TEST_DATA``: prepared market flows and matching scenarios.

A market flow is tab separated, gzipped: ``L side id px qty`` a resting limit order; ``T side px qty n`` an immediate or
cancel taker with n trades; ``A side id px qty n`` a limit order that trades n times, then rests; ``R id qty`` reduce by
qty; ``M id px qty`` replace, by open quantity; ``X id`` cancel; ``B S:pxxqty,... B:pxxqty,...`` the top levels at this
point; ``#`` a comment. The trades it must give lie beside it as ``taker_seq,maker_id,price,size``.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from typing import Any

import attrs

from tests.support.data import data_directory

FLOWS = ("AMZN1.merged", "MSFT50.merged", "ES20231225.part1")

Levels = list[tuple[int, int]]


@attrs.frozen
class Command:
    """A line of a market flow. ``id`` is the data's own, which may be negative; fields that a line lacks are 0."""

    op: str
    id: int = 0
    sell: bool = False
    price: int = 0
    quantity: int = 0
    trades: int = 0
    asks: Levels = attrs.field(factory=list)
    bids: Levels = attrs.field(factory=list)


@attrs.frozen
class ExpectedTrade:
    """A trade that a flow must give; ``taker`` counts its T and A lines from 1."""

    taker: int
    maker_id: int
    price: int
    size: int


def read_commands(flow: str) -> Iterator[Command]:
    """The commands of a market flow."""
    with gzip.open(data_directory() / "market" / f"{flow}.commands.tsv.gz", "rt") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                yield _command(line.rstrip("\n").split("\t"))


def read_expected_trades(flow: str) -> list[ExpectedTrade]:
    """The trades that a market flow must give, in order."""
    with gzip.open(data_directory() / "market" / f"{flow}.expected_trades.csv.gz", "rt", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        return [ExpectedTrade(*map(int, row)) for row in rows]


def read_scenarios() -> list[dict[str, Any]]:
    """The matching scenarios, one object each."""
    path = data_directory() / "scenarios" / "scenarios.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def _command(words: list[str]) -> Command:
    match words:
        case ["L", side, id_, price, quantity]:
            return Command("L", int(id_), side == "S", int(price), int(quantity))
        case ["A", side, id_, price, quantity, trades]:
            return Command("A", int(id_), side == "S", int(price), int(quantity), int(trades))
        case ["T", side, price, quantity, trades]:
            return Command("T", 0, side == "S", int(price), int(quantity), int(trades))
        case ["M", id_, price, quantity]:
            return Command("M", int(id_), price=int(price), quantity=int(quantity))
        case ["R", id_, quantity]:
            return Command("R", int(id_), quantity=int(quantity))
        case ["X", id_]:
            return Command("X", int(id_))
        case ["B", *sides]:
            levels = {text[:1]: _levels(text[2:]) for text in sides}
            return Command("B", asks=levels.get("S", []), bids=levels.get("B", []))
    raise ValueError(f"not a command: {words}")


def _levels(text: str) -> Levels:
    pairs = (level.split("x") for level in text.split(",") if level)
    return [(int(price), int(quantity)) for price, quantity in pairs]
