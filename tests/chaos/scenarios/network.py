"""Bad roads between orderd and the engine: datagrams lost, doubled, late and out of order, and roads that are shut."""

from collections.abc import Callable
from typing import Final

from tests.chaos.site import Arena
from tests.chaos.stage import Stage
from tests.support.udp_proxy import DIRECTIONS

SHUT_S: Final = 5.0
OPEN_S: Final = 2.0
STRETCH_S: Final = (0.5, 1.5)
LOST: Final = ("drop", "burst_lost")


def loss(share: float) -> Callable[[Stage], None]:
    """So much of all datagrams is lost, each way; how much is doubled, swapped and late changes as it goes."""

    def play(stage: Stage) -> None:
        # Where gRPC may help, it takes over when much is lost, and UDP has little to do.
        transport = stage.random.choice(("udp-first", "udp-only"))
        with stage.arena(orderd={"engine.transport": transport}, proxies=True) as arena:
            assert arena.udp is not None
            arena.load(3)
            while stage.goes_on():
                chance = arena.random
                arena.udp.set(
                    drop=share,
                    duplicate=chance.choice((0.0, 0.1, 0.3)),
                    swap=chance.choice((0.0, 0.1, 0.3)),
                    delay=chance.choice((0.0, 0.1)),
                    delay_ms=chance.uniform(1, 40),
                    # As likely as makes bursts of some ten datagrams an eighth of the loss.
                    burst=share / 100,
                    burst_ms=chance.uniform(5, 60),
                )
                stage.sleep(chance.uniform(*STRETCH_S))
                arena.row.faults += 1
            with arena.fault():
                counters = arena.udp.counters()
            arena.udp.heal()
            arena.wait_recovered()
        lost = sum(way.get(fault, 0) for way in counters.values() for fault in LOST)
        passed = sum(way.get("in", 0) for way in counters.values())
        stage.row.notes.append(f"{transport}, {lost} of {passed} datagrams lost")
        if lost:
            stage.row.notes.append(f"{stage.row.retransmits / lost:.2f} sent again for each")

    return play


def black_hole(stage: Stage) -> None:
    """Nothing gets through for 5 s, then everything for 2 s; gRPC carries the orders meanwhile."""
    with stage.arena(proxies=True) as arena:
        arena.load(2)
        while stage.left_s > OPEN_S or not stage.row.faults:
            _shut(stage, arena, DIRECTIONS, max(1.0, min(SHUT_S, stage.left_s - OPEN_S)))
            stage.sleep(OPEN_S)
        _note_states(stage, arena)


def one_way(stage: Stage) -> None:
    """One direction is shut, then the other."""
    with stage.arena(proxies=True) as arena:
        arena.load(2)
        for turn in range(100):
            _shut(stage, arena, (DIRECTIONS[turn % 2],), max(0.5, min(SHUT_S, stage.left_s / 2 - 0.5)))
            arena.wait_recovered()
            stage.sleep(0.5)
            if turn and not stage.goes_on():
                break
        _note_states(stage, arena)


def both_roads(stage: Stage) -> None:
    """gRPC is down as well: ENGINE_DOWN, orders wait in the journal, and all of them arrive."""
    with stage.arena(proxies=True) as arena:
        assert arena.grpc is not None
        arena.load(2)
        while stage.goes_on():
            arena.grpc.mood = arena.random.choice(("reset", "silent", "garbage"))
            _shut(stage, arena, DIRECTIONS, arena.random.uniform(1.0, 2.5))
            # The one road or the other comes back first.
            arena.grpc.mood = "pass"
            arena.over()
            arena.wait_recovered()
        _note_states(stage, arena)
    if "ENGINE_DOWN" not in arena.tail.states:
        stage.row.problems.append("states: it never said ENGINE_DOWN")


def _shut(stage: Stage, arena: Arena, directions: tuple[str, ...], seconds: float) -> None:
    assert arena.udp is not None
    with arena.fault():
        for direction in directions:
            arena.udp.set_one(direction, black_hole=1)
        stage.sleep(seconds)
        arena.udp.heal()


def _note_states(stage: Stage, arena: Arena) -> None:
    stage.row.notes.append(" ".join(sorted(arena.tail.states)))
