"""Transport healths brought into a state, and rows of events for them. Times in seconds."""

from typing import Final

from orderd.link.health import (
    FAILURES_IN_A_ROW,
    FRAMES_IN_A_ROW,
    RELAPSE_S,
    HealthSettings,
    Transport,
    TransportHealth,
    TransportState,
)

ENABLED, FALLBACK, DOWN = TransportState.UDP_ENABLED, TransportState.GRPC_FALLBACK, TransportState.ENGINE_DOWN
FIRST, UDP, GRPC = Transport.UDP_FIRST, Transport.UDP_ONLY, Transport.GRPC_ONLY
PROBE_FIRST_S: Final = 0.020
PROBE_INTERVAL_S: Final = 0.250


def new(transport: Transport = FIRST) -> TransportHealth:
    """At the start."""
    return TransportHealth(HealthSettings(PROBE_FIRST_S, PROBE_INTERVAL_S), transport)


def connected(transport: Transport = FIRST, now: float = 0.0) -> TransportHealth:
    """UDP has answered at ``now``."""
    health = new(transport)
    health.probe_sent(now)
    health.udp_answered(now, 0.001, "engine answered")
    assert (health.state, health.changes) == (ENABLED, 1)
    return health


def exhaust(health: TransportHealth, now: float, frames: int = FRAMES_IN_A_ROW) -> None:
    """So many frames in a row, one after the other."""
    for _ in range(frames):
        health.udp_exhausted(1, "no answer to 4 retransmissions", now)


def fallen_back(now: float = 0.0) -> TransportHealth:
    """UDP had answered long ago, and gave up at ``now``; gRPC answers."""
    health = connected(now=now - 2 * RELAPSE_S)
    exhaust(health, now)
    health.grpc_answered()
    assert health.state is FALLBACK
    return health


def down(transport: Transport = FIRST, now: float = 0.0) -> TransportHealth:
    """Nothing that is allowed answers."""
    health = new(transport)
    for _ in range(FAILURES_IN_A_ROW):
        health.grpc_failed("connection refused", now)
    assert health.state is DOWN
    return health


def fail_calls(health: TransportHealth, now: float, calls: int) -> None:
    """So many calls fail at once."""
    for _ in range(calls):
        health.grpc_failed("connection refused", now)


def answer_probes(health: TransportHealth, now: float, probes: int) -> None:
    """So many probes, each answered."""
    for _ in range(probes):
        health.probe_sent(now)
        health.udp_answered(now, 0.001)
