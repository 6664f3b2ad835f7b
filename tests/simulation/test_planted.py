"""The net catches fish: each planted bug is found by the seeds that are recorded for it, which find nothing else."""

import builtins
import dis
from collections.abc import Iterator
from types import CodeType

import pytest

from tests.simulation.planted import table
from tests.simulation.planted.catalogue import ALL
from tests.simulation.planted.planting import changes, planted_here
from tests.simulation.planted.trying import attempt

BUGS_MIN = 40
CAUGHT_MIN = 30
RECORDS = table.load()
SEEDS = sorted({seed for record in RECORDS.values() for seed in record.seeds})
PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
def test_what_a_bug_replaces_is_there_once_and_it_can_be_planted(part: int) -> None:
    for bug in list(ALL.values())[part::PARTS]:
        for function, code in changes(bug):
            assert function.__code__.co_freevars == code.co_freevars, bug.name
            known = function.__globals__.keys() | vars(builtins).keys()
            assert not [name for name in globals_of(code) if name not in known], bug.name


def globals_of(code: CodeType) -> Iterator[str]:
    yield from (i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL")
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from globals_of(const)


def test_enough_bugs_are_planted_and_caught() -> None:
    assert len(ALL) >= BUGS_MIN
    assert len(RECORDS) >= CAUGHT_MIN
    assert RECORDS.keys() <= ALL.keys()


@pytest.mark.parametrize("name", RECORDS)
def test_a_planted_bug_is_caught_by_a_recorded_seed(name: str) -> None:
    with planted_here(ALL[name]):
        assert any(attempt(seed)[0] is not None for seed in RECORDS[name].seeds)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_recorded_seed_finds_nothing_without_a_bug(seed: int) -> None:
    assert attempt(seed) == (None, "")
