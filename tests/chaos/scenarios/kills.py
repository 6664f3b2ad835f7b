"""SIGKILL at random moments: while orders flow, while a daemon starts, while it recovers."""

from tests.chaos.site import Arena
from tests.chaos.stage import Stage

COMMANDS_OF_A_SITE = 6000
"""Then a new one is begun, so that starts do not get longer and longer."""
RATE_PER_S = 300.0
"""Of each client."""
SNAPSHOTS = {"snapshot.orders": 1500, "journal.segment_bytes": 262_144}
SMALL = {"journal.segment_bytes": 262_144, "limits.query_bytes_max": 65_536}


def orderd(stage: Stage) -> None:
    """orderd alone."""
    _kill(stage, [("orderd",)])


def engine(stage: Stage) -> None:
    """The engine alone."""
    _kill(stage, [("engine",)])


def both(stage: Stage) -> None:
    """One, the other, or both at once, in either order."""
    _kill(stage, [("orderd",), ("engine",), ("orderd", "engine"), ("engine", "orderd")])


def _kill(stage: Stage, choices: list[tuple[str, ...]]) -> None:
    while stage.goes_on():
        # Every other site makes snapshots as it goes.
        engine_settings = SNAPSHOTS if stage.row.sites % 2 else {"journal.segment_bytes": 262_144}
        with stage.arena(orderd=SMALL, engine=engine_settings) as arena:
            arena.load(3, rate_per_s=RATE_PER_S)
            while stage.goes_on() and arena.answered < COMMANDS_OF_A_SITE:
                _strike(stage, arena, arena.random.choice(choices))
            arena.wait_recovered()


def _strike(stage: Stage, arena: Arena, victims: tuple[str, ...]) -> None:
    chance = arena.random
    stage.sleep(chance.uniform(0.02, 0.3))
    for victim in victims:
        arena.kill(victim)
    if chance.random() < 0.3:
        stage.sleep(chance.uniform(0.0, 0.5))
    for victim in victims:
        arena.launch(victim)
    if chance.random() < 0.6:
        arena.wait_recovered()
