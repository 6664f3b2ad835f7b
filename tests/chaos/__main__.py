"""The chaos campaign: ``python -m tests.chaos --minutes 3``. Real daemons, real faults, a scorecard.

Ends with 1 if any promise was broken anywhere.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from tests.chaos import scorecard
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.chaos.scorecard import Row
from tests.chaos.site import SceneFailed
from tests.chaos.stage import Stage

PASS_S = 175.0
"""About what one pass over all scenarios takes; a longer campaign makes more of them, each with new seeds."""


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.1), default=3.0, show_default=True)
@click.option("--seed", type=int, help="Of the first pass, the next has the next one; a random one if none is given.")
@click.option("--only", default="", help="Names of scenarios, with commas between.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write all rows there.")
def main(minutes: float, seed: int | None, only: str, json_path: Path | None) -> None:
    """Play all scenarios, again and again until the time is over."""
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.name in only.split(",")]
    unknown = set(filter(None, only.split(","))) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        raise click.UsageError(f"no such scenarios: {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    first = random.SystemRandom().randrange(10**6) if seed is None else seed
    # Plain lines where nobody watches a terminal.
    console = Console(width=None if sys.stdout.isatty() else 240)
    started = time.monotonic()
    rows: list[Row] = []
    passes = max(1, round(minutes * 60 / PASS_S)) if len(chosen) == len(SCENARIOS) else 1
    for number in range(passes):
        ends_at = started + minutes * 60 * (number + 1) / passes
        for index, scenario in enumerate(chosen):
            # What one took too long, on a machine with other things to do, the others make up for.
            share = scenario.share(number) / sum(other.share(number) for other in chosen[index:])
            rows.append(play(scenario, first + number, share * (ends_at - time.monotonic())))
            console.print(scorecard.line(rows[-1]), markup=False, highlight=False, soft_wrap=True)
            for problem in rows[-1].problems:
                console.print(f"  {problem}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(scorecard.table(rows))
    took_s = time.monotonic() - started
    console.print(f"{len(rows)} rows in {took_s / 60:.1f} minutes, seeds from {first} on", markup=False)
    if json_path is not None:
        scorecard.write_json(rows, json_path, seed=first, minutes=minutes, took_s=round(took_s, 1))
    sys.exit(0 if all(row.is_good for row in rows) else 1)


def names() -> list[str]:
    """Of all scenarios."""
    return [scenario.name for scenario in SCENARIOS]


def play(scenario: Scenario, seed: int, seconds: float) -> Row:
    """Play it once; what it leaves behind is kept only if it failed."""
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    stage = Stage(scenario.name, seed, seconds, directory)
    started = time.monotonic()
    try:
        scenario.play(stage)
    except SceneFailed:
        pass
    except (AssertionError, OSError, EOFError) as error:
        stage.row.problems.append(f"it could not be played: {error!r}")
    stage.row.seconds = round(time.monotonic() - started, 1)
    if stage.row.is_good:
        directory.rmdir()
    else:
        stage.row.problems.append(f"kept: {directory}")
    return stage.row


if __name__ == "__main__":
    main()
