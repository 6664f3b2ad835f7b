"""``python -m tests.simulation.planted``: shows that the simulation finds bugs (``make planted``).

Runs the recorded seeds of each planted bug until one catches it, and each of these seeds without a bug, which must find
nothing. With ``--find`` it searches for the seeds, from 1 on, and writes them down.
"""

import os
import sys
import time
from collections import defaultdict

import click

from tests.simulation.planted import table
from tests.simulation.planted.catalogue import ALL
from tests.simulation.planted.planting import changes
from tests.simulation.planted.table import Record
from tests.simulation.planted.trying import Task, Tried, in_children
from tests.simulation.swarm import Swarm

SEEDS_RECORDED = 2


@click.command()
@click.option("--name", "names", multiple=True, help="Only this bug; may be said again.")
@click.option("--find", is_flag=True, help="Search for seeds and write them down.")
@click.option("--tries", type=int, default=200, show_default=True, help="With --find: seeds that are tried.")
@click.option("--where", help="With --find: only worlds that have this on (see Swarm.active).")
@click.option("--whole", is_flag=True, help="With --find: try all of them, to see how many catch it.")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, show_default=True, help="Worlds side by side.")
@click.option("--verbose", is_flag=True, help="Say what the worlds say.")
def main(
    names: tuple[str, ...], find: bool, tries: int, where: str | None, whole: bool, jobs: int, verbose: bool
) -> None:
    """Plant bugs, and see the simulation catch them."""
    unknown = [name for name in names if name not in ALL]
    if unknown:
        raise click.UsageError(f"no such bug: {', '.join(unknown)}")
    wanted = list(names or ALL)
    for name in wanted:
        # Here, and not in a child: a patch that does not fit any more is no bug that was caught.
        changes(ALL[name])
    seeds = [seed for seed in range(1, tries + 1) if where is None or where in Swarm.of(seed).active]
    sys.exit(search(wanted, seeds, whole, jobs, verbose) if find else show(wanted, jobs, verbose))


def show(wanted: list[str], jobs: int, verbose: bool) -> int:
    """Each bug and the seed that catches it, now. Returns the exit code."""
    began = time.monotonic()
    records = {name: record for name, record in table.load().items() if name in wanted}
    caught: dict[str, Tried] = {}
    for tried in in_children([Task(ALL[name], record.seeds) for name, record in records.items()], jobs):
        if tried.rule is not None:
            caught[tried.name] = tried
            if verbose:
                click.echo(f"{tried.name}: {tried.text}\n")
    click.echo(f"{'planted bug':40} {'seed':>5} {'tries':>5} {'of 200':>6}  caught by")
    for name, record in records.items():
        seen = caught.get(name)
        share = f"{record.caught * 200 / record.of:.0f}"
        told = f"{seen.seed:5} {record.tries:5} {share:>6}  {seen.rule}" if seen else "    - NOT CAUGHT"
        click.echo(f"{name:40} {told}")
    seeds = sorted({seed for record in records.values() for seed in record.seeds})
    bad = [tried for tried in in_children(shares(seeds, jobs), jobs) if tried.rule is not None]
    for tried in bad:
        click.echo(f"seed {tried.seed} fails without a bug: {tried.rule}")
    missed = [name for name in wanted if name not in caught]
    click.echo(
        f"{len(caught)} of {len(wanted)} planted bugs caught; {len(seeds) - len(bad)} of their {len(seeds)} seeds find "
        f"nothing without a bug; {time.monotonic() - began:.0f} s"
    )
    for name in missed:
        click.echo(f"not caught: {name} ({ALL[name].why})")
    # Bugs that no seed is known for are shown, and are no news.
    return 1 if bad or any(name in records for name in missed) else 0


def search(wanted: list[str], seeds: list[int], whole: bool, jobs: int, verbose: bool) -> int:
    """Find which of ``seeds`` catch each bug, and write them down."""
    most = len(seeds) if whole else SEEDS_RECORDED
    found: dict[str, list[Tried]] = defaultdict(list)
    last: dict[str, int] = {}
    for tried in in_children([Task(ALL[name], seeds, most) for name in wanted], jobs):
        last[tried.name] = tried.seed
        if tried.rule is not None:
            found[tried.name].append(tried)
            if verbose:
                click.echo(f"{tried.name}: {tried.text}\n")
        if tried.seed == seeds[-1] or len(found[tried.name]) == most:
            rules = sorted({one.rule for one in found[tried.name] if one.rule})
            click.echo(f"{tried.name:40} {len(found[tried.name]):3} of {last[tried.name]:3}  {', '.join(rules)}")
    used = sorted({tried.seed for all_ in found.values() for tried in all_[: 2 * SEEDS_RECORDED]})
    bad = {tried.seed for tried in in_children(shares(used, jobs), jobs) if tried.rule is not None}
    if bad:
        click.echo(f"these seeds fail without a bug, and prove nothing: {sorted(bad)}")
    records = table.load() if table.FILE.exists() else {}
    for name in wanted:
        good = [tried for tried in found[name] if tried.seed not in bad]
        records.pop(name, None)
        if good:
            first = [tried.seed for tried in good[:SEEDS_RECORDED]]
            records[name] = Record(tuple(first), str(good[0].rule), len(good), last[name])
    table.save(records)
    missed = [name for name in wanted if name not in records]
    click.echo(f"{len(wanted) - len(missed)} of {len(wanted)} caught; not caught: {', '.join(missed) or 'none'}")
    return 0


def shares(seeds: list[int], jobs: int) -> list[Task]:
    """The seeds without a bug, shared out."""
    return [Task(None, part) for at in range(jobs) if (part := seeds[at::jobs])]


if __name__ == "__main__":
    main()
