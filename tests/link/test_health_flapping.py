"""Loss and delay are no breakdown: orders stay on a road that works, and move seldom when one hardly does."""

from math import inf

import pytest

from orderd.link.health import HealthSettings, Transport, TransportHealth, TransportState
from orderd.wire.paths import Path
from tests.support.simulated_roads import SimulatedRoads, lossy

PROBE_INTERVAL_S = 0.250


def new() -> TransportHealth:
    return TransportHealth(HealthSettings(probe_interval=PROBE_INTERVAL_S), Transport.UDP_FIRST)


def test_a_tenth_of_all_datagrams_lost_never_moves_orders_off_udp() -> None:
    roads = SimulatedRoads(new(), udp=lossy(0.10, seed=1))
    assert roads.run(inf, lambda: roads.frames == 200_000)
    assert [state for _, state in roads.changes] == [TransportState.UDP_ENABLED]
    # 0.19 ** 5 of them: those go over gRPC, each by itself.
    assert 20 < roads.exhausted < 100
    assert roads.calls <= roads.exhausted


@pytest.mark.parametrize(("loss", "changes_max"), [(0.3, 12), (0.5, 6), (0.7, 4), (0.9, 4)])
def test_a_road_that_loses_much_does_not_flap(loss: float, changes_max: int) -> None:
    for seed in range(5):
        roads = SimulatedRoads(new(), udp=lossy(loss, seed))
        for _ in range(5):
            before = roads.health.changes
            roads.run(60.0)
            assert roads.health.changes - before <= changes_max
        assert roads.health.carrier is not Path.NONE


def test_orders_return_to_udp_soon_after_it_is_well_however_bad_it_was() -> None:
    roads = SimulatedRoads(new(), udp=lossy(0.3, seed=3))
    roads.run(120.0)
    roads.udp = lambda: True
    assert roads.run(2.0, lambda: roads.health.carrier is Path.UDP)


@pytest.mark.parametrize("round_trip", [0.9 * PROBE_INTERVAL_S, 1.1 * PROBE_INTERVAL_S, 2.5 * PROBE_INTERVAL_S])
def test_a_road_that_is_slower_than_the_probe_interval_comes_back_too(round_trip: float) -> None:
    roads = SimulatedRoads(new(), round_trip=round_trip)
    assert roads.run(10.0, lambda: roads.health.carrier is Path.UDP)
    roads.udp = lambda: False
    assert roads.run(10.0, lambda: roads.health.state is TransportState.GRPC_FALLBACK)
    roads.udp = lambda: True
    assert roads.run(20 * round_trip, lambda: roads.health.carrier is Path.UDP)
