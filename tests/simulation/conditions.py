"""What is done to datagrams and to calls between two hosts, and how that changes while a world lasts.

Chances are from 0 to 1, times in seconds. A :class:`Direction` and a :class:`CallRoad` are what is so at the moment,
:class:`NetworkFaults` is what a seed has in store: steady faults for most ways, and now and then a road that is dead, a
burst of losses, or an engine that takes no calls.
"""

import random
from functools import partial
from typing import Final

import attrs
import trio

from tests.simulation.kernel import Timers, Trace

KEPT_MAX: Final = 48
"""Old datagrams of a direction that may come again."""
KEPT_ANEW: Final = 0.2
"""How often one that is sent takes the place of an older one: so some are of long ago."""
SPARED: Final = 0.2
"""Ways that steady faults leave alone."""


@attrs.define(eq=False)
class Direction:
    """What becomes of datagrams from one host to another."""

    base_s: float = 0.0001
    jitter_s: float = 0.00005
    """Mean of what is added, exponentially distributed."""
    cut: bool = False
    """A black hole."""
    burst: float = 0.0
    """Loss for a short while."""
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    late: float = 0.0
    """How many come very late."""
    late_max_s: float = 3.0
    replay: float = 0.0
    """How often an old datagram comes again, with one that is sent."""
    stranger: float = 0.0
    """How often somebody else sends something, too."""
    sent: int = 0
    lost: int = 0
    """Of those that were sent; damaged ones count."""
    kept: list[tuple[str, str, bytes]] = attrs.field(factory=list, repr=False)
    """Some of all that was ever sent: from, to, what."""

    def is_lost(self, rng: random.Random) -> bool:
        """Whether one datagram is."""
        loss = self.burst or self.loss
        return self.cut or (loss > 0 and rng.random() < loss)

    def delay_s(self, rng: random.Random) -> float:
        """Of one datagram."""
        delay = self.base_s + (rng.expovariate(1 / self.jitter_s) if self.jitter_s else 0.0)
        if self.late and rng.random() < self.late:
            delay += rng.uniform(0.0, self.late_max_s)
        return delay

    def keep(self, rng: random.Random, source: str, target: str, datagram: bytes) -> None:
        """So that it may come again."""
        if len(self.kept) < KEPT_MAX:
            self.kept.append((source, target, datagram))
        elif rng.random() < KEPT_ANEW:
            self.kept[rng.randrange(KEPT_MAX)] = (source, target, datagram)


@attrs.define(eq=False)
class CallRoad:
    """What becomes of calls of one host to another."""

    base_s: float = 0.0004
    jitter_s: float = 0.0002
    cut: bool = False
    """Nothing comes through, either way."""
    refused: bool = False
    """As if nobody listened."""
    lost_request: float = 0.0
    """Calls that the engine never hears of; they end by their deadline."""
    lost_reply: float = 0.0
    """Calls that it executes and whose reply is not heard of."""
    reset: float = 0.0
    """Calls whose connection breaks at any moment."""
    slow: float = 0.0
    """Calls that take up to ``slow_max_s`` longer, each way."""
    slow_max_s: float = 2.0

    def delay_s(self, rng: random.Random) -> float:
        """Of one way."""
        delay = self.base_s + (rng.expovariate(1 / self.jitter_s) if self.jitter_s else 0.0)
        if self.slow and rng.random() < self.slow:
            delay += rng.uniform(0.0, self.slow_max_s)
        return delay


@attrs.frozen
class NetworkFaults:
    """What a network does to a world; by default it is a good one."""

    base_s: float = 0.0001
    jitter_s: float = 0.00005
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    late: float = 0.0
    late_max_s: float = 3.0
    replay: float = 0.0
    stranger: float = 0.0
    cuts_per_s: float = 0.0
    """How often a way goes dead."""
    cut_mean_s: float = 1.0
    cut_one_way: float = 0.0
    """Of these: how many are dead one way only."""
    cut_calls: float = 0.5
    """Of these: how many are dead for calls, too."""
    bursts_per_s: float = 0.0
    """How often most datagrams of a direction are lost for a while."""
    burst_mean_s: float = 0.1
    call_lost_request: float = 0.0
    call_lost_reply: float = 0.0
    call_reset: float = 0.0
    call_slow: float = 0.0
    call_refusals_per_s: float = 0.0
    """How often calls are refused for a while."""
    call_refusal_mean_s: float = 1.0


class Weather:
    """Puts faults on ways, and takes them off again. ``ways`` and ``roads`` are all there are; both grow."""

    def __init__(
        self,
        timers: Timers,
        rng: random.Random,
        trace: Trace,
        ways: dict[tuple[str, str], Direction],
        roads: dict[tuple[str, str], CallRoad],
    ) -> None:
        self._timers = timers
        self._rng = rng
        self._trace = trace
        self._ways = ways
        self._roads = roads
        self._faults = NetworkFaults()

    async def run(self, faults: NetworkFaults) -> None:
        """Until cancelled; what is there then stays until :meth:`heal`."""
        self._faults = faults
        for way in self._ways.values():
            self.expose(way)
        for road in self._roads.values():
            self.expose_calls(road)
        rates = (faults.cuts_per_s, faults.bursts_per_s, faults.call_refusals_per_s)
        if not any(rates):
            await trio.sleep_forever()
        while True:
            await trio.sleep(self._rng.expovariate(sum(rates)))
            action = self._rng.choices((self._cut, self._burst, self._refuse_calls), rates)[0]
            action()

    def heal(self) -> None:
        """Everything is a good network again. What is on its way, however late, still comes."""
        self._faults = NetworkFaults()
        for way in self._ways.values():
            way.cut, way.burst = False, 0.0
            self._set(way)
        for road in self._roads.values():
            road.cut = road.refused = False
            self._set_calls(road)

    def expose(self, way: Direction) -> None:
        """Put the steady faults on one way, or spare it."""
        if self._rng.random() >= SPARED:
            self._set(way)

    def expose_calls(self, road: CallRoad) -> None:
        """The same for calls."""
        if self._rng.random() >= SPARED:
            self._set_calls(road)

    def _set(self, way: Direction) -> None:
        faults = self._faults
        way.base_s, way.jitter_s = faults.base_s, faults.jitter_s
        way.loss, way.duplication, way.corruption = faults.loss, faults.duplication, faults.corruption
        way.late, way.late_max_s = faults.late, faults.late_max_s
        way.replay, way.stranger = faults.replay, faults.stranger

    def _set_calls(self, road: CallRoad) -> None:
        faults = self._faults
        road.lost_request, road.lost_reply = faults.call_lost_request, faults.call_lost_reply
        road.reset, road.slow = faults.call_reset, faults.call_slow

    # --- for a while --------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        rng, faults = self._rng, self._faults
        if not self._ways:
            return
        source, target = rng.choice(list(self._ways))
        cut: list[Direction | CallRoad] = [self._ways[source, target]]
        if rng.random() >= faults.cut_one_way and (target, source) in self._ways:
            cut.append(self._ways[target, source])
        if rng.random() < faults.cut_calls:
            cut += [road for ends, road in self._roads.items() if sorted(ends) == sorted((source, target))]
        lasts_s = rng.expovariate(1 / faults.cut_mean_s)
        self._note(f"{source} > {target} is cut for {lasts_s:.3f} s, {len(cut)} roads")
        for road in cut:
            road.cut = True
        self._timers.at(lasts_s, partial(_mend, cut))

    def _burst(self) -> None:
        rng = self._rng
        if not self._ways:
            return
        ends = rng.choice(list(self._ways))
        way, lasts_s = self._ways[ends], rng.expovariate(1 / self._faults.burst_mean_s)
        way.burst = rng.uniform(0.5, 1.0)
        self._note(f"{ends[0]} > {ends[1]} loses {way.burst:.2f} for {lasts_s:.3f} s")
        self._timers.at(lasts_s, partial(_end_burst, way))

    def _refuse_calls(self) -> None:
        rng = self._rng
        if not self._roads:
            return
        ends = rng.choice(list(self._roads))
        road, lasts_s = self._roads[ends], rng.expovariate(1 / self._faults.call_refusal_mean_s)
        road.refused = True
        self._note(f"{ends[0]} > {ends[1]} refuses calls for {lasts_s:.3f} s")
        self._timers.at(lasts_s, partial(_take_calls, road))

    def _note(self, text: str) -> None:
        self._trace.add(f"{trio.current_time():.6f} network: {text}")


def _mend(roads: list[Direction | CallRoad]) -> None:
    for road in roads:
        road.cut = False


def _end_burst(way: Direction) -> None:
    way.burst = 0.0


def _take_calls(road: CallRoad) -> None:
    road.refused = False
