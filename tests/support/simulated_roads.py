"""Two roads that answer as told, around a real transport health; time passes from event to event.

It asks of the health what the link asks: probes while UDP is down, frames one after the other while it is up, calls
over gRPC when there is something to call for. What a frame says does not matter here; what came back does.
"""

import heapq
import random
from collections.abc import Callable
from math import inf

from orderd.link.health import Condition, TransportHealth, TransportState
from orderd.link.udp_road import SUSPECT_RETRANSMITS
from orderd.wire.paths import Path

TIMEOUT_S = 0.005
"""Of a frame's first transmission; each one after waits twice as long."""
CALL_S = 0.002
CALL_AGAIN_S = 1.0
"""Between calls while gRPC carries and is well: nothing hangs on their number."""


class SimulatedRoads:
    """Times in seconds. ``now`` goes on from ``start``."""

    def __init__(
        self,
        health: TransportHealth,
        *,
        udp: Callable[[], bool] = lambda: True,
        grpc: Callable[[], bool] = lambda: True,
        round_trip: float = 0.001,
        retransmits_max: int = 4,
        start: float = 0.0,
    ) -> None:
        """``udp`` is asked for each datagram that wants an answer whether there is one, ``grpc`` for each call."""
        self.health = health
        self.now = start
        self.udp = udp
        self.grpc = grpc
        self.frames = 0
        self.exhausted = 0
        self.calls = 0
        self.changes: list[tuple[float, TransportState]] = []
        self._round_trip = round_trip
        self._retransmits_max = retransmits_max
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._sending = False
        self._calling = False
        self._queued = 0
        self._call_not_before = 0.0

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let that much time pass, or less if ``until`` comes true; whether it did."""
        deadline = self.now + seconds
        while not until():
            self._start()
            if not self._events:
                next_at = min(self._probe_at(), self._call_at())
            else:
                next_at = min(self._events[0][0], self._probe_at(), self._call_at())
            if next_at > deadline:
                self.now = deadline
                return until()
            self.now = max(self.now, next_at)
            if self._events and self._events[0][0] <= self.now:
                before = self.health.changes
                heapq.heappop(self._events)[2]()
                if self.health.changes != before:
                    self.changes.append((self.now, self.health.state))
        return True

    def _start(self) -> None:
        """Send what is due."""
        if self._probe_at() <= self.now:
            self.health.probe_sent(self.now)
            if self.udp():
                sent_at = self.now
                self._later(self._round_trip, lambda: self._probe_answered(sent_at))
        if self._call_at() <= self.now:
            self._calling, self._queued = True, 0
            self.calls += 1
            self._later(CALL_S, self._call_ended)
        if self.health.udp is Condition.UP and not self._sending:
            self._send_frame()

    def _probe_at(self) -> float:
        return self.health.udp_probe_at if self.health.udp is not Condition.UP else inf

    def _call_at(self) -> float:
        health = self.health
        may_at = 0.0 if health.grpc_try_at == inf else health.grpc_try_at
        if self._calling or not health.may_call(max(self.now, may_at)):
            return inf
        if health.state is TransportState.ENGINE_DOWN:
            return health.grpc_try_at
        if self._queued:
            return may_at
        return max(may_at, self._call_not_before) if health.carrier is Path.GRPC else inf

    def _send_frame(self) -> None:
        self.frames += 1
        self._sending = True
        limit = self._retransmits_max
        if self.health.grpc_allowed and self.health.udp_is_suspect:
            limit = min(limit, SUSPECT_RETRANSMITS)
        waited, timeout = 0.0, TIMEOUT_S
        for _ in range(limit + 1):
            if self.udp():
                self._later(waited + self._round_trip, self._frame_answered)
                return
            waited += timeout
            timeout *= 2
        self._later(waited, lambda: self._frame_exhausted(limit))

    def _frame_answered(self) -> None:
        self._sending = False
        if self.health.udp is Condition.UP:
            self.health.udp_answered(self.now)

    def _frame_exhausted(self, retransmits: int) -> None:
        self._sending = False
        self._queued += 1
        self.exhausted += 1
        self.health.udp_exhausted(1, f"no answer to {retransmits} retransmissions", self.now)

    def _probe_answered(self, sent_at: float) -> None:
        if self.health.udp is not Condition.UP:
            self.health.udp_answered(self.now, self.now - sent_at, "engine answered")

    def _call_ended(self) -> None:
        self._calling = False
        self._call_not_before = self.now + CALL_AGAIN_S
        if self.grpc():
            self.health.grpc_answered()
        else:
            self.health.grpc_failed("connection refused", self.now)

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._events, (self.now + delay, self._serial, action))


def lossy(loss: float, seed: int) -> Callable[[], bool]:
    """Whether a round trip comes back when each of its two datagrams is lost with that chance."""
    rng = random.Random(seed)
    return lambda: rng.random() >= loss and rng.random() >= loss
