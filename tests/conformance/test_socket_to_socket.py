"""What other engines' tests and recorded markets say holds through the whole way, as text and as batches."""

from collections.abc import Iterator

import pytest

from tests.conformance.doors import BatchDoor, Door, TextDoor
from tests.conformance.socket_suites import Numbers, run_flow, run_scenarios
from tests.support.market_data import FLOWS
from tests.support.processes import Site, running_site

SCENARIOS = 38
CHECKS_MIN = 1000
UNSEEN_MAX = 11
"""Expectations of who is first in a level's queue, which does not show at the socket."""
CHECKPOINTS_EVERY = {"AMZN1.merged": 100, "ES20231225.part1": 4, "MSFT50.merged": 1}

NUMBERS = Numbers()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all: each test leaves the book empty."""
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(params=[TextDoor, BatchDoor], ids=lambda door: str(door.name), scope="module")
def door(request: pytest.FixtureRequest) -> Door:
    """One way in."""
    made: Door = request.param()
    return made


def test_every_scenario_of_other_engines_holds(site: Site, door: Door) -> None:
    outcomes = list(run_scenarios(site, door, NUMBERS))
    assert not [verdict.problem for verdict, _ in outcomes if verdict.problem]
    assert len(outcomes) == SCENARIOS
    assert sum(verdict.events for verdict, _ in outcomes) > CHECKS_MIN
    assert sum(run.unseen for _, run in outcomes) <= UNSEEN_MAX


@pytest.mark.parametrize("flow", FLOWS)
def test_a_market_comes_out_as_recorded(site: Site, door: Door, flow: str) -> None:
    verdict = run_flow(site, door, NUMBERS, flow, CHECKPOINTS_EVERY[flow])
    assert not verdict.problem
    assert verdict.events > 100
