"""A swarm is a function of its seed; each fault is out in many seeds and on in many, and can be taken out."""

from collections import Counter
from functools import cache

import pytest

from tests.simulation.swarm import Swarm

SEEDS = range(1, 401)


@cache
def swarms() -> list[Swarm]:
    """Of all seeds."""
    return [Swarm.of(seed) for seed in SEEDS]


def test_a_seed_has_one_swarm() -> None:
    assert swarms() == [Swarm.of(seed) for seed in SEEDS]
    assert len(set(map(str, swarms()))) == len(SEEDS)


def test_each_fault_is_on_in_many_seeds_and_out_in_many() -> None:
    on = Counter(name for swarm in swarms() for name in swarm.active)
    for name, count in on.items():
        assert count >= len(SEEDS) * 0.005, f"{name} is hardly ever on"
        if not name.startswith(("workload.", "says.")):
            assert count <= len(SEEDS) * 0.75, f"{name} is hardly ever out"
    for name in ("network.loss", "gateway_faults.kill_mean_s", "engine_faults.dies_at_call", "incidents.flipped_bit"):
        assert on[name]


def test_settings_are_such_as_daemons_take() -> None:
    for swarm in swarms():
        for site in swarm.sites:
            assert swarm.gateway_settings(site).journal.segment_bytes >= 16_384
        assert swarm.engine_settings().limits.sessions_max == 64


def test_a_thing_taken_out_is_out_and_nothing_else_changes() -> None:
    for seed in range(1, 30):
        swarm = Swarm.of(seed)
        for name in swarm.active:
            smaller = swarm.without(name)
            assert set(swarm.active) - set(smaller.active) == {name}
            assert smaller != swarm
            smaller.gateway_settings("a")
            smaller.engine_settings()
        for name in swarm.active:
            swarm = swarm.without(name)
        assert not swarm.active
        assert "default" in str(swarm)
    with pytest.raises(ValueError, match="no such thing"):
        swarm.without("network.gravity")
    assert swarm.with_commands(10).commands == 10


def test_no_power_is_lost_and_nobody_errs_where_a_journal_is_not_synced() -> None:
    unsynced = 0
    for swarm in swarms():
        for options, faults in ((swarm.gateway, swarm.gateway_faults), (swarm.engine, swarm.engine_faults)):
            if "journal.durability" in options:
                unsynced += 1
                assert not faults.power
                assert faults.disk_trouble is None
                assert not swarm.incidents
    assert unsynced
