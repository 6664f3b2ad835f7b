"""The engine agrees with the traces of the tracebook-conformance package, event by event."""

from collections import Counter
from pathlib import Path

import pytest
from tracebook.conformance.model import ConformanceConfig
from tracebook.conformance.reference import ReferenceEngineAdapter
from tracebook.core.order import SelfTradePolicy
from tracebook.events import MarketEvent

from tests.conformance.tracebook_adapter import LEFT_OUT, MatcherAdapter
from tests.conformance.tracebook_suite import PROFILES, run_fixtures, run_profile
from tests.support.scale import SCALE

EVENTS = 120
FIXTURES_RUN = 15


def test_every_fixture_that_fits_a_price_time_book_conforms(tmp_path: Path) -> None:
    verdicts = list(run_fixtures(tmp_path))
    assert not [verdict for verdict in verdicts if verdict.problem]
    ran = [verdict for verdict in verdicts if not verdict.left_out]
    assert len(ran) == FIXTURES_RUN and all(verdict.events for verdict in ran)
    assert Counter(verdict.left_out for verdict in verdicts if verdict.left_out) == {LEFT_OUT["pro-rata-allocation"]: 2}


@pytest.mark.parametrize("profile", PROFILES)
def test_generated_campaigns_conform(profile: str) -> None:
    traces = 3 * SCALE
    verdict = run_profile(profile, traces, EVENTS)
    assert not verdict.problem
    assert verdict.events == traces * EVENTS


def test_a_difference_would_be_seen() -> None:
    # The comparison is by hash: it must not be a hash of nothing.
    config = ConformanceConfig(self_trade_policy=SelfTradePolicy.CANCEL_RESTING)
    ours, theirs = MatcherAdapter(config), ReferenceEngineAdapter(config)
    first = MarketEvent("new", "TEST", 1, "SELL", "LIMIT", 100, 5, owner=7)  # type: ignore[arg-type]
    other = MarketEvent("new", "TEST", 1, "SELL", "LIMIT", 100.01, 5, owner=7)  # type: ignore[arg-type]
    assert ours.apply(first, 1) == theirs.apply(first, 1)
    assert MatcherAdapter(config).apply(other, 1).state_hash != theirs.snapshot().digest()
