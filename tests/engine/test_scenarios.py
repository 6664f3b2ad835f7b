"""Scenarios from the tests of two C++ engines, Liquibook and CppTrader, through the matcher."""

import pytest

from tests.support.market_data import read_scenarios
from tests.support.scenarios import MatcherVenue, ScenarioRun

SCENARIOS = 38
CHECKS_MIN = 1000
"""Far below this, the adapter would be skipping what it should check."""


def test_every_scenario_of_other_engines_holds() -> None:
    scenarios = read_scenarios()
    assert len(scenarios) == SCENARIOS
    checks = 0
    for scenario in scenarios:
        run = ScenarioRun(MatcherVenue())
        try:
            run.run(scenario)
        except AssertionError as error:
            pytest.fail(f"{scenario['source']}: {scenario['name']}: {error}")
        checks += run.checks
        assert not run.unseen
    assert checks > CHECKS_MIN
