"""``python -m tests.simulation``: runs seeds, tells what they showed, and shrinks what failed (``make simulate``)."""

import gc
import os
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice

import click

from tests.simulation.shrinking import shrink
from tests.simulation.swarm import Swarm
from tests.simulation.world import Failure, Outcome, run_seed

TRACE_LINES = 60
SHOWN_EVERY = 32
Attempt = tuple[int, Outcome | None, str]
"""A seed, and its outcome, or how it failed."""


@click.command()
@click.option("--seed", type=int, help="One seed, with its trace.")
@click.option("--seeds", type=int, default=200, show_default=True, help="How many seeds.")
@click.option("--start", type=int, default=1, show_default=True, help="The first of them.")
@click.option("--minutes", type=float, help="Run as many as fit into this time instead.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, show_default=True, help="Worlds side by side.")
@click.option("--twice", type=int, default=10, show_default=True, help="How many of them are run twice.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first failure.")
@click.option("--without", multiple=True, help="With --seed: leave a kind of faults out.")
@click.option("--commands", type=int, help="With --seed: no more commands than this.")
@click.option("--trace/--no-trace", default=False, help="With --seed: print all that happened.")
def main(
    seed: int | None, seeds: int, start: int, minutes: float | None, jobs: int, twice: int, keep_going: bool,
    without: tuple[str, ...], commands: int | None, trace: bool,
) -> None:  # fmt: skip
    """Simulate orderd and its engine under faults, and judge what they did."""
    if seed is not None:
        sys.exit(one(seed, without, commands, trace))
    sys.exit(many(start, seeds, minutes, jobs, twice, keep_going))


def one(seed: int, without: tuple[str, ...], commands: int | None, trace: bool) -> int:
    """Run and show one seed."""
    swarm = Swarm.of(seed)
    for name in without:
        swarm = swarm.without(name)
    if commands is not None:
        swarm = swarm.with_commands(commands)
    print(swarm)
    try:
        outcome = run_seed(seed, swarm, trace_kept=1_000_000 if trace else TRACE_LINES)
    except Failure as failure:
        print("\n".join(failure.trace if trace else failure.trace[-TRACE_LINES:]))
        print(failure)
        return 1
    if trace:
        print("\n".join(outcome.trace))
    print(f"seed {seed}: good, trace {outcome.digest}, {outcome.figures}")
    return 0


def many(start: int, seeds: int, minutes: float | None, jobs: int, twice: int, keep_going: bool) -> int:
    """Run many and tell what they showed."""
    began = time.monotonic()
    numbers: Iterator[int] = count(start) if minutes else iter(range(start, start + seeds))
    figures: Counter[str] = Counter()
    digests: dict[int, str] = {}
    failed: list[int] = []
    with ProcessPoolExecutor(jobs, initializer=collect_less_often) as pool:
        for number, outcome, problem in attempts(pool, numbers, 16 * jobs):
            if outcome is None:
                failed.append(number)
                print(f"\nseed {number} FAILED: {problem}", flush=True)
            else:
                figures.update(outcome.figures)
                if len(digests) < twice:
                    digests[number] = outcome.digest
            done = figures["worlds"] + len(failed)
            if done % SHOWN_EVERY == 0:
                print(f"\r{done} worlds, {len(failed)} failed", end="", flush=True)
            if (failed and not keep_going) or (minutes and time.monotonic() - began > minutes * 60):
                break
        print()
        differing = [n for n, outcome, _ in pool.map(attempt, digests) if outcome and outcome.digest != digests[n]]
    seconds = time.monotonic() - began
    print(f"{len(digests)} run twice: {len(differing)} with another trace {differing or ''}")
    for name, value in sorted(figures.items()):
        print(f"  {name:<24} {value:>12,}")
    print(f"{figures['worlds']} worlds in {seconds:.0f} s, {len(failed)} failed {failed or ''}")
    for number in failed[:3]:
        explain(number)
    return 1 if failed or differing else 0


def collect_less_often() -> None:
    """A world makes much and keeps most of it to its end: looking for garbage all the time takes a tenth of it."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def attempts(pool: ProcessPoolExecutor, numbers: Iterator[int], ahead: int) -> Iterator[Attempt]:
    """What came of each seed, in order; so many are under way or wait, so that no worker ever does."""
    running = deque(pool.submit(attempt, number) for number in islice(numbers, ahead))
    try:
        while running:
            yield running.popleft().result()
            running.extend(pool.submit(attempt, number) for number in islice(numbers, 1))
    finally:
        for future in running:
            future.cancel()


def attempt(seed: int) -> Attempt:
    """One seed in a worker."""
    try:
        return seed, run_seed(seed, trace_kept=TRACE_LINES), ""
    except Failure as failure:
        return seed, None, str(failure)


def explain(seed: int) -> None:
    """Print the smallest world of that seed that fails as well."""
    shrunken = shrink(seed)
    print(f"\n--- seed {seed}, commit {commit()}: python -m tests.simulation --seed {seed} {shrunken.options}")
    print(shrunken.swarm)
    print("\n".join(shrunken.failure.trace[-TRACE_LINES:]))
    print(shrunken.failure)


def commit() -> str:
    """Of the tree that this is, as far as git knows."""
    found = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
