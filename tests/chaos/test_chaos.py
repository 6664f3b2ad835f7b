"""A short slice of the campaign, and proof that its check is not blind."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
import pytest

from engine.inputs import Input, OrdersInput
from tests.chaos.checks import Evidence, Findings, applied, check
from tests.chaos.commands import NEW, TEXT_NUMBER, Fields
from tests.chaos.flow import RECORD
from tests.chaos.scenarios import SCENARIOS, kills
from tests.chaos.scorecard import Row, total
from tests.chaos.stage import Stage
from tests.support.resp_client import RespError

SECONDS: Final = 7.0
KILLS_MIN: Final = 3


@attrs.frozen
class Played:
    """A scenario that was played, and what was found at its last site."""

    row: Row
    evidence: Evidence


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    stage = Stage("kill-both", 1, SECONDS, tmp_path_factory.mktemp("chaos"))
    kills.both(stage)
    assert stage.last is not None and stage.last.evidence is not None, stage.row.problems
    return Played(stage.row, stage.last.evidence)


def test_kills_of_both_daemons_lose_double_and_reorder_nothing(played: Played) -> None:
    row = played.row
    assert row.is_good, row.problems
    assert row.kills_orderd + row.kills_engine >= KILLS_MIN
    assert row.acknowledged > 100 and row.recoveries_s


def test_every_scenario_has_a_name_of_its_own_and_a_row_adds_up() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    rows = [Row("a", 1, kills_orderd=2, lost=1), Row("b", 1, kills_orderd=3, problems=["wrong"])]
    whole = total(rows)
    assert (whole.kills_orderd, whole.lost, whole.verdict) == (5, 1, "FAILED")
    assert [row.verdict for row in rows] == ["FAILED", "FAILED"]
    assert Row("c", 1, skipped="no root").is_good


# --- the check sees what it is there to see ---------------------------------------------------------------------------


def with_records(evidence: Evidence, change: Callable[[list[tuple[int, Fields]]], None]) -> Evidence:
    """The same with other records in the engine's journal, each in an input of its own, numbered anew."""
    times = {
        sequence: entry.time_ns
        for entry in evidence.inputs
        if isinstance(entry, OrdersInput)
        for sequence in range(entry.first, entry.first + len(entry.records) // RECORD.size)
    }
    records = list(applied(evidence.inputs))
    change(records)
    inputs: list[Input] = [
        OrdersInput(times.get(was, 1), 1, sequence, 1, RECORD.pack(*fields))
        for sequence, (was, fields) in enumerate(records, 1)
    ]
    return attrs.evolve(evidence, inputs=inputs)


def places(records: list[tuple[int, Fields]], client: set[int]) -> list[int]:
    """Where the plain orders of a client are in the journal."""
    return [at for at, (_, fields) in enumerate(records) if fields[5] == NEW and fields[0] in client]


def orders_of_a_client(evidence: Evidence) -> set[int]:
    return {TEXT_NUMBER + command.order_id for command in evidence.clients[0] if command.places and command.order_id}


def lose_one(evidence: Evidence) -> Evidence:
    ours = orders_of_a_client(evidence)

    def change(records: list[tuple[int, Fields]]) -> None:
        del records[places(records, ours)[3]]

    return with_records(evidence, change)


def double_one(evidence: Evidence) -> Evidence:
    ours = orders_of_a_client(evidence)

    def change(records: list[tuple[int, Fields]]) -> None:
        at = places(records, ours)[3]
        records.insert(at + 1, records[at])

    return with_records(evidence, change)


def swap_two(evidence: Evidence) -> Evidence:
    ours = orders_of_a_client(evidence)

    def change(records: list[tuple[int, Fields]]) -> None:
        one, other = places(records, ours)[3:5]
        records[one], records[other] = records[other], records[one]

    return with_records(evidence, change)


def alter_one(evidence: Evidence) -> Evidence:
    ours = orders_of_a_client(evidence)

    def change(records: list[tuple[int, Fields]]) -> None:
        at = places(records, ours)[3]
        was, fields = records[at]
        records[at] = was, (*fields[:2], fields[2] + 1, *fields[3:])

    return with_records(evidence, change)


def add_a_stranger(evidence: Evidence) -> Evidence:
    return with_records(evidence, lambda records: records.append((0, (TEXT_NUMBER - 1, 100, 1, 1, 0, NEW, 0))))


def refuse_one_that_was_taken(evidence: Evidence) -> Evidence:
    changed = attrs.evolve(evidence, clients=[[copy.copy(c) for c in client] for client in evidence.clients])
    command = next(c for c in changed.clients[0] if c.places and c.order_id)
    command.reply = RespError("FULL nothing was taken")
    return changed


def test_what_really_happened_passes(played: Played) -> None:
    findings = check(played.evidence)
    assert findings.are_good, findings.problems
    same = check(with_records(played.evidence, lambda records: None))
    assert (same.lost, same.duplicated, same.reordered, same.invented) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (lose_one, "lost"),
        (double_one, "duplicated"),
        (swap_two, "reordered"),
        (alter_one, "invented"),
        (add_a_stranger, "invented"),
        (refuse_one_that_was_taken, "invented"),
    ],
)
def test_what_is_wrong_with_the_journal_is_counted_as_what_it_is(
    played: Played, spoil: Callable[[Evidence], Evidence], count: str
) -> None:
    findings = check(spoil(played.evidence))
    assert not findings.are_good
    assert getattr(findings, count) >= 1, findings.problems
    assert any(problem.startswith(count) for problem in findings.problems)


def spoilt(evidence: Evidence, what: str) -> Findings:
    changed = attrs.evolve(evidence, executions=list(evidence.executions), statuses=dict(evidence.statuses))
    executions = [*evidence.executions]
    match what:
        case "executions: one less":
            changed.executions = executions[:-1]
        case "executions: one is there twice":
            changed.executions = [*executions[:5], executions[5], *executions[5:]]
        case "execution: another quantity":
            number, pairs = executions[5]
            executions[5] = number, {**pairs, "leaves_qty": str(int(pairs["leaves_qty"]) + 1)}
            changed.executions = executions
        case "changed: shown as another one before":
            changed.changed = [7]
        case "status: another one":
            name = next(name for name, reply in evidence.statuses.items() if reply["status"] == "FILLED")
            changed.statuses[name] = {**evidence.statuses[name], "status": "NEW"}
        case "status: forgotten":
            changed.statuses[next(iter(evidence.statuses))] = RespError("NOTFOUND it")
        case "book: a level less":
            changed.books = {name: {**book, "bids": book["bids"][1:]} for name, book in evidence.books.items()}
        case "positions: none":
            changed.positions = []
    return check(changed)


@pytest.mark.parametrize(
    "what",
    [
        "executions: one less",
        "executions: one is there twice",
        "execution: another quantity",
        "changed: shown as another one before",
        "status: another one",
        "status: forgotten",
        "book: a level less",
        "positions: none",
    ],
)
def test_what_orderd_tells_wrong_is_found(played: Played, what: str) -> None:
    findings = spoilt(played.evidence, what)
    kind = what.partition(":")[0]
    assert any(problem.startswith(kind) for problem in findings.problems), findings.problems


def test_a_scenario_leaves_nothing_behind(played: Played, tmp_path_factory: pytest.TempPathFactory) -> None:
    directories = list(Path(tmp_path_factory.getbasetemp()).glob("chaos*/*"))
    assert played.row.is_good and directories == []
