"""The table of the transport health, for every state that any row of events leads to; and that no state is a dead end.

The walk is breadth-first from a start with each setting, over what tells states apart: conditions, counters, and
whether each time is never, to come or due. It goes on until nothing new is found.
"""

import copy
from collections import deque
from collections.abc import Callable
from functools import partial
from math import inf

import pytest

from orderd.link.health import (
    ANSWERS_MAX,
    ANSWERS_MIN,
    FAILURES_IN_A_ROW,
    FRAMES_IN_A_ROW,
    GRPC_IN_VAIN_S,
    PROBES_BEFORE_DOWN,
    PROBES_BEFORE_GRPC,
    RELAPSE_S,
    Condition,
    HealthSettings,
    Transport,
    TransportHealth,
    TransportState,
)
from orderd.wire.paths import Path
from tests.support.simulated_roads import SimulatedRoads

NOW = 1000.0
"""Of every state: times are moved there."""
TIMES = ("udp_probe_at", "grpc_try_at", "_up_since")
STATES_MAX = 20_000
"""Far more than there are: a counter without a bound would be one here."""
ROUND_TRIP_S = 0.02
SETTLED_WITHIN_S = 6.0
"""Longest: back-off of gRPC at its end, or twelve probes in a row."""

Event = Callable[[TransportHealth], None]

ENABLED, FALLBACK, DOWN = TransportState.UDP_ENABLED, TransportState.GRPC_FALLBACK, TransportState.ENGINE_DOWN


def pass_time(health: TransportHealth, seconds: float) -> None:
    """All that is known is that much older."""
    for name in TIMES:
        setattr(health, name, getattr(health, name) - seconds)


def to_the_next_time(health: TransportHealth) -> None:
    coming = [at - NOW for at in (health.udp_probe_at, health.grpc_try_at) if NOW < at < inf]
    pass_time(health, min(coming, default=0.0))


EVENTS: dict[str, tuple[Event, set[TransportState]]] = {
    "probe sent": (lambda health: health.probe_sent(NOW), set()),
    "UDP answered": (lambda health: health.udp_answered(NOW, 0.001, "engine answered"), {ENABLED}),
    "a frame exhausted": (lambda health: health.udp_exhausted(1, "no answer", NOW), {FALLBACK, DOWN}),
    "three frames exhausted": (lambda health: health.udp_exhausted(3, "no answer", NOW), {FALLBACK, DOWN}),
    "gRPC answered": (lambda health: health.grpc_answered(), {FALLBACK}),
    "gRPC failed": (lambda health: health.grpc_failed("connection refused", NOW), {DOWN}),
    "gRPC timed out": (lambda health: health.grpc_failed("timed out", NOW, GRPC_IN_VAIN_S), {DOWN}),
    "UDP first": (lambda health: health.change(Transport.UDP_FIRST, NOW), set()),
    "UDP only": (lambda health: health.change(Transport.UDP_ONLY, NOW), {DOWN}),
    "gRPC only": (lambda health: health.change(Transport.GRPC_ONLY, NOW), set()),
    "time passes": (to_the_next_time, set()),
    "much time passes": (lambda health: pass_time(health, RELAPSE_S), set()),
}
"""Each with the states that it may lead to."""


def may_come(name: str, health: TransportHealth) -> bool:
    """A probe is sent when it is due. All else may come at any time, late and unexpected too."""
    return name != "probe sent" or (health.udp is not Condition.UP and health.udp_probe_at <= NOW)


def key_of(health: TransportHealth) -> tuple[object, ...]:
    """What tells states apart: two of one key differ in nothing but how long waits are."""
    at_start = health.changes == 0
    return (
        health.transport,
        health.state,
        health.udp,
        health.grpc,
        when(health.udp_probe_at),
        when(health.grpc_try_at),
        health.udp_probe_at < health.grpc_try_at,
        health.answers_needed,
        health._exhausted,
        health._answers,
        min(health._probes_unanswered, PROBES_BEFORE_DOWN if at_start else PROBES_BEFORE_GRPC),
        health._probe_interval,
        min(health._failures, FAILURES_IN_A_ROW),
        NOW - health._up_since < RELAPSE_S,
        at_start,
        at_start and health.start_failed,
    )


def when(at: float) -> str:
    return "never" if at == inf else "due" if at <= NOW else "to come"


def started(transport: Transport) -> TransportHealth:
    health = TransportHealth(HealthSettings(), transport)
    pass_time(health, -NOW)
    return health


def after(before: TransportHealth, name: str) -> TransportHealth:
    """What an event makes of a state."""
    health = copy.copy(before)  # It holds nothing but values.
    EVENTS[name][0](health)
    return health


@pytest.fixture(scope="module")
def states() -> list[TransportHealth]:
    """Each that any row of events leads to."""
    starts = [started(transport) for transport in Transport]
    known = {key_of(health): health for health in starts}
    to_visit = deque(starts)
    while to_visit:
        before = to_visit.popleft()
        for name in EVENTS:
            if not may_come(name, before):
                continue
            health = after(before, name)
            if (key := key_of(health)) not in known:
                known[key] = health
                to_visit.append(health)
                assert len(known) < STATES_MAX, "no end of states"
    assert len(known) > 2000
    return list(known.values())


def check_state(before: TransportHealth, health: TransportHealth) -> None:
    """As the table says."""
    if health.udp is Condition.UP:
        assert health.state is ENABLED
    elif not health.grpc_allowed or health.grpc is Condition.DOWN:
        assert health.state is DOWN
    elif health.grpc is Condition.UP:
        assert health.state is FALLBACK
    else:
        assert health.state is before.state, "gRPC is being asked: the state is as it was"


def check_told(before: TransportHealth, health: TransportHealth) -> None:
    """A change is counted once and says why; what is no change is not told as one."""
    assert health.changes - before.changes == (health.state is not before.state)
    if health.state is before.state and health.start_failed == before.start_failed:
        assert health.reason == before.reason
    assert health.start_failed >= before.start_failed
    assert health.reason.isprintable() and health.reason.strip()


def check_carrier(health: TransportHealth) -> None:
    """It is a road that may be used, and none exactly while the engine is down."""
    if health.udp is Condition.UP:
        assert health.carrier is Path.UDP
    else:
        assert health.carrier is (Path.NONE if health.state is DOWN else Path.GRPC)
    if health.carrier is Path.GRPC:
        assert health.grpc_allowed
        assert health.grpc is not Condition.DOWN
        assert health.grpc_try_at < inf, "gRPC carries, or is being asked to"


def check_setting(health: TransportHealth) -> None:
    """What the setting does not allow is neither used nor asked for."""
    if health.transport is Transport.UDP_ONLY:
        assert health.state is not FALLBACK
        assert health.grpc_try_at == inf
        assert not any(health.may_call(at) for at in (0.0, NOW, inf))
    if health.transport is Transport.GRPC_ONLY:
        assert health.udp is Condition.DOWN
        assert health.udp_probe_at == inf


def check_schedule(health: TransportHealth) -> None:
    """UDP is probed exactly while it is down and allowed. So whatever is down, something will be tried."""
    probed = health.udp is not Condition.UP and health.transport is not Transport.GRPC_ONLY
    assert (health.udp_probe_at < inf) == probed
    if health.state is DOWN:
        assert min(health.udp_probe_at, health.grpc_try_at) < inf


def check_bounds(health: TransportHealth) -> None:
    assert ANSWERS_MIN <= health.answers_needed <= ANSWERS_MAX
    assert health._answers < health.answers_needed
    assert health._exhausted < FRAMES_IN_A_ROW
    assert not (health.udp_is_suspect and health.udp is not Condition.UP)
    assert not (health.start_failed and health.changes == 0 and health.state is not DOWN)


def test_every_event_in_every_state_leads_where_the_table_says(states: list[TransportHealth]) -> None:
    for before in states:
        for name, (_, may_lead_to) in EVENTS.items():
            if not may_come(name, before):
                continue
            health = after(before, name)
            try:
                check_state(before, health)
                check_told(before, health)
                check_carrier(health)
                check_setting(health)
                check_schedule(health)
                check_bounds(health)
                assert health.state is before.state or health.state in may_lead_to, "not by that event"
            except AssertionError as error:
                raise AssertionError(f"{name}: {vars(before)} -> {vars(health)}") from error


def end_of(transport: Transport, *, udp: bool, grpc: bool) -> TransportState:
    """Where it ends when these roads answer and the others do not."""
    if udp and transport is not Transport.GRPC_ONLY:
        return ENABLED
    if grpc and transport is not Transport.UDP_ONLY:
        return FALLBACK
    return DOWN


@pytest.mark.parametrize(("udp", "grpc"), [(True, True), (True, False), (False, True), (False, False)])
def test_no_state_is_a_dead_end(states: list[TransportHealth], udp: bool, grpc: bool) -> None:
    # Of the states that differ only in what is counted or how long waits will be, one.
    kinds = {key_of(health)[:10]: health for health in states}
    assert len(kinds) > 100
    for health in kinds.values():
        roads = SimulatedRoads(
            copy.copy(health), udp=lambda: udp, grpc=lambda: grpc, round_trip=ROUND_TRIP_S, start=NOW
        )
        end = end_of(health.transport, udp=udp, grpc=grpc)
        assert roads.run(SETTLED_WITHIN_S, partial(settled, roads.health, end)), vars(health)
        changes = roads.health.changes
        roads.run(1.0)
        assert roads.health.changes == changes, f"it does not stay: {vars(health)}"


def settled(health: TransportHealth, end: TransportState) -> bool:
    """In the state for good: no road is in doubt."""
    return health.state is end and (health.udp is Condition.UP) == (end is ENABLED)
