"""``engine.transport`` is switched while it runs: at once, without a gap, and without a word where nothing changes."""

import pytest

from orderd.link.health import (
    ANSWERS_MAX,
    ANSWERS_MIN,
    FAILURES_IN_A_ROW,
    Condition,
    Transport,
    TransportHealth,
    TransportState,
)
from orderd.wire.paths import Path
from tests.support.healths import (
    DOWN,
    ENABLED,
    FALLBACK,
    FIRST,
    GRPC,
    UDP,
    answer_probes,
    connected,
    down,
    exhaust,
    fail_calls,
    fallen_back,
    new,
)


def in_state(state: TransportState, transport: Transport) -> TransportHealth:
    if state is DOWN:
        return down(transport)
    if transport is not GRPC:
        return connected(transport) if state is ENABLED else fallen_back()
    health = new(GRPC)
    health.grpc_answered()
    return health


# gRPC is asked first: until it answers, the state is as it was. ``then``: what it is when gRPC has answered.
@pytest.mark.parametrize(
    ("state", "before", "transport", "at_once", "carrier", "then"),
    [
        (ENABLED, FIRST, UDP, ENABLED, Path.UDP, ENABLED),
        (ENABLED, FIRST, GRPC, ENABLED, Path.GRPC, FALLBACK),
        (ENABLED, UDP, FIRST, ENABLED, Path.UDP, ENABLED),
        (ENABLED, UDP, GRPC, ENABLED, Path.GRPC, FALLBACK),
        (FALLBACK, FIRST, UDP, DOWN, Path.NONE, DOWN),
        (FALLBACK, FIRST, GRPC, FALLBACK, Path.GRPC, FALLBACK),
        (FALLBACK, GRPC, UDP, DOWN, Path.NONE, DOWN),
        (FALLBACK, GRPC, FIRST, FALLBACK, Path.GRPC, FALLBACK),
        (DOWN, FIRST, UDP, DOWN, Path.NONE, DOWN),
        (DOWN, FIRST, GRPC, DOWN, Path.NONE, FALLBACK),
        (DOWN, UDP, FIRST, DOWN, Path.NONE, FALLBACK),
        (DOWN, UDP, GRPC, DOWN, Path.NONE, FALLBACK),
        (DOWN, GRPC, UDP, DOWN, Path.NONE, DOWN),
        (DOWN, GRPC, FIRST, DOWN, Path.NONE, FALLBACK),
    ],
)
def test_a_switch_takes_effect_at_once(
    state: TransportState,
    before: Transport,
    transport: Transport,
    at_once: TransportState,
    carrier: Path,
    then: TransportState,
) -> None:
    health = in_state(state, before)
    changes = health.changes
    health.change(transport, 1.0)
    assert (health.state, health.carrier) == (at_once, carrier)
    assert health.changes - changes == (at_once is not state)
    health.grpc_answered()
    assert health.state is then


def test_from_grpc_only_to_udp_first_grpc_carries_until_udp_has_proved_itself() -> None:
    health = new(GRPC)
    health.grpc_answered()
    health.change(FIRST, 1.0)
    assert (health.state, health.carrier, health.udp_probe_at) == (FALLBACK, Path.GRPC, 1.0)
    answer_probes(health, 1.0, ANSWERS_MIN)
    assert health.state is ENABLED


def test_relapses_from_before_grpc_only_do_not_count_after_it() -> None:
    health = fallen_back()
    answer_probes(health, 1.0, ANSWERS_MIN)
    exhaust(health, 1.0)
    assert health.answers_needed > ANSWERS_MIN
    health.change(GRPC, 2.0)
    health.grpc_answered()
    health.change(FIRST, 3.0)
    answer_probes(health, 3.0, ANSWERS_MIN)
    assert health.state is ENABLED


def test_from_grpc_only_to_udp_only_the_engine_is_down_until_udp_answers() -> None:
    health = new(GRPC)
    health.grpc_answered()
    health.change(UDP, 1.0)
    assert (health.state, health.udp_probe_at) == (DOWN, 1.0)
    assert health.reason == "transport is udp-only, and UDP does not answer yet"
    answer_probes(health, 1.0, 1)
    assert health.state is ENABLED


def test_an_answer_over_a_road_that_is_not_allowed_any_more_changes_nothing() -> None:
    health = fallen_back()
    health.change(GRPC, 1.0)
    health.grpc_answered()
    for _ in range(2 * ANSWERS_MAX):
        health.udp_answered(1.0, 0.001)
    assert (health.state, health.udp) == (FALLBACK, Condition.DOWN)
    health.change(UDP, 2.0)
    health.grpc_answered()
    fail_calls(health, 2.0, FAILURES_IN_A_ROW)
    assert (health.state, health.grpc) == (DOWN, Condition.UNTRIED)


@pytest.mark.parametrize(("state", "transport"), [(FALLBACK, FIRST), (FALLBACK, GRPC), (ENABLED, UDP), (DOWN, UDP)])
def test_the_same_setting_again_is_no_change(state: TransportState, transport: Transport) -> None:
    health = in_state(state, transport)
    before = dict(vars(health))
    health.change(transport, 99.0)
    assert vars(health) == before


@pytest.mark.parametrize("transport", Transport)
def test_each_setting_allows_its_roads(transport: Transport) -> None:
    health = new(transport)
    assert health.allows(Path.UDP) == (transport is not GRPC)
    assert health.allows(Path.GRPC) == (transport is not UDP)
