"""Makes a world that failed smaller, as long as it fails in the same way: fewer kinds of faults, fewer commands."""

import attrs

from tests.simulation.swarm import Swarm
from tests.simulation.world import Failure, run_seed

ATTEMPTS_MAX = 60


@attrs.frozen
class Shrunken:
    """What is left, and how to run it."""

    swarm: Swarm
    failure: Failure
    options: str


def shrink(seed: int) -> Shrunken:
    """Of a seed that fails."""
    swarm = Swarm.of(seed)
    failure = _failure_of(seed, swarm)
    assert failure is not None, "it does not fail any more"
    left_out: list[str] = []
    for name in swarm.active[:ATTEMPTS_MAX]:
        smaller = swarm.without(name)
        found = _failure_of(seed, smaller)
        if found is not None and found.rule == failure.rule:
            swarm, failure = smaller, found
            left_out.append(name)
    commands = swarm.commands
    while commands > 4:
        smaller = swarm.with_commands(commands // 2)
        found = _failure_of(seed, smaller)
        if found is None or found.rule != failure.rule:
            break
        swarm, failure, commands = smaller, found, commands // 2
    options = "".join(f"--without {name} " for name in left_out) + f"--commands {commands}"
    return Shrunken(swarm, failure, options)


def _failure_of(seed: int, swarm: Swarm) -> Failure | None:
    try:
        run_seed(seed, swarm)
    except Failure as failure:
        return failure
    return None
