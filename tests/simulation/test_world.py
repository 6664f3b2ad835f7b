"""Worlds keep every rule, and a seed is one history."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.regressions import REGRESSIONS
from tests.simulation.world import Failure, run_seed
from tests.support.scale import examples

ROOT = Path(__file__).parent.parent.parent
EACH = 10
CHUNKS = examples(20)
TWICE = range(1, 11)
DIGESTS = """
import sys
from tests.simulation.world import run_seed
for seed in map(int, sys.argv[1:]):
    print(seed, run_seed(seed).digest)
"""


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_in_every_world_each_rule_holds(chunk: int) -> None:
    for seed in range(1 + chunk * EACH, 1 + (chunk + 1) * EACH):
        run_seed(seed)


@pytest.mark.parametrize("seed", sorted(REGRESSIONS))
def test_what_a_seed_has_found_stays_mended(seed: int) -> None:
    run_seed(seed)


def test_a_seed_is_the_same_history_in_two_processes() -> None:
    """Whatever Python's own hashes are."""

    def run(hash_seed: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS, *map(str, TWICE)], cwd=ROOT, check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.stdout

    first = run("1")
    assert len(first.splitlines()) == len(TWICE)
    assert run("2") == first


def test_other_seeds_are_other_histories() -> None:
    assert run_seed(1).digest != run_seed(2).digest


def test_a_failure_says_which_seed_and_what_happened_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, who: str, entries: object, now: float) -> None:
        raise AssertionError("the oracle objects")

    monkeypatch.setattr("tests.simulation.oracle.Oracle.committed", broken)
    with pytest.raises(Failure, match="seed 1: .*the oracle objects") as caught:
        run_seed(1)
    assert caught.value.trace
