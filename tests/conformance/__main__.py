"""All outside suites against this engine, with counts: ``make conformance``.

``python -m tests.conformance [traces]``: so many generated traces of each profile. Ends with 1 if anything differs,
with 2 if there is no test data for a suite that needs it.
"""

import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs
from rich.console import Console
from rich.table import Table

from tests.conformance.doors import BatchDoor, Door, TextDoor
from tests.conformance.socket_suites import Numbers, run_flow, run_scenarios
from tests.conformance.tracebook_suite import PROFILES, Verdict, run_fixtures, run_profile
from tests.support.data import has_data
from tests.support.market_data import FLOWS, read_scenarios
from tests.support.processes import Site, running_site
from tests.support.scenarios import MatcherVenue, ScenarioRun

TRACES: Final = 50
EVENTS: Final = 200


@attrs.define
class Row:
    """What is printed of a suite."""

    suite: str
    cases: int = 0
    checks: int = 0
    left_out: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)

    def add(self, verdict: Verdict) -> None:
        """One more case."""
        if verdict.left_out:
            self.left_out[verdict.left_out] += 1
            return
        self.cases += 1
        self.checks += verdict.events
        if verdict.problem:
            self.problems.append(f"{verdict.name}: {verdict.problem}")


def rows(traces: int, directory: Path) -> Iterator[Row]:
    """Each suite, when it is through."""
    yield _row("tracebook-conformance: fixtures", run_fixtures(directory / "fixtures"))
    for profile in PROFILES:
        row = _row(f"tracebook-conformance: {profile}, generated", [run_profile(profile, traces, EVENTS)])
        row.cases = traces
        yield row
    if not has_data():
        return
    yield _row("Liquibook and CppTrader: matcher", _in_the_matcher())
    numbers = Numbers()
    with running_site(directory / "site") as site:
        for door in (TextDoor(), BatchDoor()):
            yield _through(site, door, numbers)
            yield _row(f"Recorded markets: socket to socket, {door.name}", _markets(site, door, numbers))


def _row(suite: str, verdicts: Iterable[Verdict]) -> Row:
    row = Row(suite)
    for verdict in verdicts:
        row.add(verdict)
    return row


def _in_the_matcher() -> Iterator[Verdict]:
    for scenario in read_scenarios():
        run, problem = ScenarioRun(MatcherVenue()), ""
        try:
            run.run(scenario)
        except AssertionError as error:
            problem = str(error)
        yield Verdict(str(scenario["name"]), run.checks, problem)


def _through(site: Site, door: Door, numbers: Numbers) -> Row:
    row = Row(f"Liquibook and CppTrader: socket to socket, {door.name}")
    for verdict, run in run_scenarios(site, door, numbers):
        row.add(verdict)
        if run.unseen:
            row.left_out["expectations: a level's queue does not show at the socket"] += run.unseen
    return row


def _markets(site: Site, door: Door, numbers: Numbers) -> Iterator[Verdict]:
    return (run_flow(site, door, numbers, flow) for flow in FLOWS)


def main() -> int:
    """Run all and print the table."""
    traces = int(sys.argv[1]) if len(sys.argv) > 1 else TRACES
    console = Console()
    table = Table("suite", "cases", "checks", "differ", "left out")
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        for row in rows(traces, Path(directory)):
            console.print(f"{row.suite}: {row.cases} cases, {row.checks} checks, {len(row.problems)} differ")
            left_out = "\n".join(f"{count} {why}" for why, count in row.left_out.items())
            table.add_row(row.suite, str(row.cases), str(row.checks), str(len(row.problems)), left_out)
            problems += row.problems
    console.print(table)
    for problem in problems:
        console.print(problem, style="red", markup=False)
    if not has_data():
        console.print("ORDERD_TEST_DATA names no folder: scenarios and recorded markets were not run", style="red")
    return 1 if problems else 0 if has_data() else 2


if __name__ == "__main__":
    sys.exit(main())
