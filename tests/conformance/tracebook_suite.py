"""Runs what the ``tracebook-conformance`` package brings against the engine, as a process of its own.

Fixtures are the hand-written traces of both bundled versions; campaigns are traces that the package generates from a
seed and, if one diverges, reduces to the fewest events that still do. Both are compared after each event: outcome,
trades, and a hash over every resting order in its priority.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
from tracebook.conformance.campaign import campaign_profile_names, run_campaign
from tracebook.conformance.compare import ConformanceReport, run_conformance
from tracebook.conformance.external import ExternalProcessAdapterFactory
from tracebook.conformance.suite import BUNDLED_SUITE_VERSIONS, copy_bundled_conformance_suite

from tests.conformance.tracebook_adapter import LEFT_OUT

ROOT: Final = Path(__file__).parents[2]
ANSWER_TIMEOUT_S: Final = 60.0
"""For one event, on a machine that does much else."""
SEED: Final = 20120621
PROFILES: Final = tuple(campaign_profile_names())


@attrs.frozen
class Verdict:
    """What came out for one part of a suite."""

    name: str
    events: int
    problem: str
    """Where the engine and the suite differ first; empty if nowhere."""
    left_out: str = ""
    """Why it was not run; empty if it was."""


def candidate() -> ExternalProcessAdapterFactory:
    """Starts the adapter once for each trace."""
    command = [sys.executable, "-m", "tests.conformance.tracebook_adapter"]
    return ExternalProcessAdapterFactory(command, timeout_seconds=ANSWER_TIMEOUT_S, cwd=ROOT)


def run_fixtures(directory: Path) -> Iterator[Verdict]:
    """Every case of every bundled version; ``directory`` takes their copies."""
    for version in BUNDLED_SUITE_VERSIONS:
        suite = copy_bundled_conformance_suite(directory / version, suite_version=version)
        for case in suite.cases:
            name = f"{version} {case.name}"
            if case.name in LEFT_OUT:
                yield Verdict(name, 0, "", LEFT_OUT[case.name])
                continue
            report = run_conformance(case.load_events(), candidate(), config=case.config, trace_name=case.name)
            yield Verdict(name, report.compared_events, _problem(report))


def run_profile(profile: str, traces: int, events: int, seed: int = SEED) -> Verdict:
    """One generated campaign: so many traces of so many events each."""
    result = run_campaign(candidate(), profile=profile, seed=seed, traces=traces, events_per_trace=events)
    compared = sum(trace.report.compared_events for trace in result.traces)
    problem = ""
    if result.failure is not None:
        reduced = result.failure.minimization
        problem = f"seed {seed}: {_problem(reduced.report)}; {len(reduced.events)} events: {reduced.events}"
    elif len(result.traces) != traces:
        problem = f"{len(result.traces)} of {traces} traces were run"
    return Verdict(f"{profile}, {traces} traces", compared, problem)


def _problem(report: ConformanceReport) -> str:
    if report.conformant:
        return ""
    found = report.divergence
    if found is None:
        return "it does not say where"
    return f"event {found.event_index}, {found.path}: {found.reference} and not {found.candidate}"
