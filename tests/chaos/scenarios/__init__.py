"""All scenarios, in the order in which they are played, and how long each takes in a pass of three minutes."""

from collections.abc import Callable
from typing import Final

import attrs

from tests.chaos.scenarios import clients, hostile, kills, network, resources, signals
from tests.chaos.stage import Stage


@attrs.frozen
class Scenario:
    """A way in which things go wrong."""

    name: str
    seconds: float
    play: Callable[[Stage], None]
    later: float = 0.0
    """Seconds in all passes but the first, if these are others: a long campaign is for many kills."""

    def share(self, number: int) -> float:
        """Of pass ``number``, from 0, in relation to the others."""
        return self.later if number and self.later else self.seconds


SCENARIOS: Final = (
    Scenario("kill-orderd", 16, kills.orderd),
    Scenario("kill-engine", 16, kills.engine),
    Scenario("kill-both", 28, kills.both, later=85),
    Scenario("loss-0", 6, network.loss(0.0)),
    Scenario("loss-2", 6, network.loss(0.02)),
    Scenario("loss-10", 7, network.loss(0.1)),
    Scenario("loss-30", 7, network.loss(0.3)),
    Scenario("loss-50", 8, network.loss(0.5)),
    Scenario("black-hole", 14, network.black_hole),
    Scenario("one-way", 10, network.one_way),
    Scenario("both-roads", 9, network.both_roads),
    Scenario("full-disk-orderd", 6, resources.full_disk("orderd")),
    Scenario("full-disk-engine", 6, resources.full_disk("engine")),
    Scenario("file-size-orderd", 6, resources.file_size("orderd")),
    Scenario("file-size-engine", 6, resources.file_size("engine")),
    Scenario("descriptors", 5, resources.descriptors),
    Scenario("slow-clients", 6, clients.slow),
    Scenario("flood", 6, clients.flood),
    Scenario("hostile-at-engine", 10, hostile.at_engine),
    Scenario("hostile-at-orderd", 10, hostile.at_orderd),
    Scenario("still", 10, signals.still),
    Scenario("terminate", 9, signals.terminate),
)
