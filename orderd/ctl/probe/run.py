"""A probing from end to end: gRPC's word, first contact, sizes, a paced series, a burst, gRPC's word again.

Does what the pure parts beside it say, on a real socket and clock; decides only when to go on.
"""

import errno
import os
import secrets
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Final

import attrs

from orderd.ctl.probe import grpc as probe_grpc
from orderd.ctl.probe.diagnosis import Contact, GrpcSight, Observations
from orderd.ctl.probe.series import Series
from orderd.ctl.probe.sizes import Sizes, find_sizes
from orderd.ctl.probe.talk import Kind, Talk
from orderd.ctl.probe.target import Target
from orderd.ctl.probe.udp_socket import ProbeSocket
from orderd.wire.probes import PROBE_BYTES_MIN

CONTACT_PROBES: Final = 10
ENOUGH_STRANGE: Final = 3
"""So many refusals or foreign answers, and no other, are the answer."""
SIZE_TRIES: Final = 8
"""Enough that a path which loses a third is not taken for one that is too narrow."""
SIZE_WAIT_S: Final = 0.05
SIZE_WAIT_ROUND_TRIPS: Final = 4
BURST_READ_EVERY: Final = 16


@attrs.frozen
class Plan:
    """What is measured once there is contact: ``count`` probes at ``rate`` a second, ``burst`` at once, of ``size``.

    ``timeout_s`` is how long an answer is waited for.
    """

    size: int
    count: int = 200
    rate: float = 500.0
    burst: int = 200
    timeout_s: float = 1.0


@attrs.frozen
class Outcome:
    """All that was seen, and who answered: ``clock_offset_us`` is the engine's clock less this machine's."""

    seen: Observations
    engine: str = ""
    boot: int = 0
    clock_offset_us: float | None = None


def run(target: Target, plan: Plan) -> Outcome:
    """Raises nothing that the network causes."""
    before = _grpc(target, plan)
    seen = Observations(str(target.udp), str(target.grpc or ""), bool(target.secret), Contact(0), before, before)
    try:
        socket = ProbeSocket(target.udp)
    except OSError as error:
        return Outcome(attrs.evolve(seen, contact=Contact(0, unreachable=error.strerror or str(error))))
    with socket:
        prober = _Prober(socket, _new_talk(target), plan)
        first, contact = prober.contact()
        if not contact.answered:
            return Outcome(attrs.evolve(seen, contact=contact, after=_grpc(target, plan)))
        sizes = prober.sizes(first)
        plan = attrs.evolve(plan, size=min(plan.size, sizes.usable))
        paced = prober.series(plan.count, plan.size, plan.size, interval_s=1 / plan.rate, wait_s=plan.timeout_s)
        burst = prober.series(plan.burst, plan.size, plan.size, interval_s=0.0, wait_s=plan.timeout_s)
    offset = paced.clock_offset_ns if paced.clock_offset_ns is not None else first.clock_offset_ns
    seen = attrs.evolve(
        seen, contact=contact, sizes=sizes,
        paced=paced.summary() if plan.count else None, burst=burst.summary() if plan.burst else None,
    )  # fmt: skip
    return Outcome(seen, f"{first.engine:016x}", first.boot, None if offset is None else offset / 1000)


def _grpc(target: Target, plan: Plan) -> GrpcSight:
    return GrpcSight() if target.grpc is None else probe_grpc.look(target.grpc, _new_talk(target), plan.timeout_s)


def _new_talk(target: Target) -> Talk:
    return Talk(target.secret, secrets.randbits(64), secrets.randbits(64))


class _Prober:
    """Series of probes over one socket."""

    def __init__(self, socket: ProbeSocket, talk: Talk, plan: Plan) -> None:
        self._socket = socket
        self._talk = talk
        self._plan = plan

    def series(
        self, count: int, size: int, reply_size: int, *, interval_s: float, wait_s: float,
        enough: Callable[[Series], bool] = lambda series: False,
    ) -> Series:  # fmt: skip
        """``count`` probes, one each ``interval_s``; ends with the last answer, at ``enough``, or ``wait_s`` later."""
        series = Series(size)
        start = perf_counter_ns()
        for place in range(count):
            due = start + int(place * interval_s * 1e9)
            while not enough(series) and (left := due - perf_counter_ns()) > 0:
                self._take(series, left / 1e9)
            if enough(series):
                return series
            number, datagram = self._talk.probe(size, reply_size)
            sent_at = perf_counter_ns()
            series.sent(number, sent_at, self._socket.send(datagram))
            if not interval_s and place % BURST_READ_EVERY == BURST_READ_EVERY - 1:
                self._take(series, 0.0)
        deadline = perf_counter_ns() + int(wait_s * 1e9)
        while not series.complete and not enough(series) and (left := deadline - perf_counter_ns()) > 0:
            self._take(series, left / 1e9)
        return series

    def _take(self, series: Series, wait_s: float) -> None:
        for datagram, at_ns in self._socket.receive(wait_s):
            series.arrived(self._talk.read(datagram), at_ns, time_ns() - (perf_counter_ns() - at_ns))

    def contact(self) -> tuple[Series, Contact]:
        """Small probes until one is answered, or it is clear that none will be."""

        def enough(series: Series) -> bool:
            strange = sum(self._socket.icmp.values()) + sum(series.kinds.values()) + sum(series.errors.values())
            return bool(series.answered) or series.version is not None or strange >= ENOUGH_STRANGE

        interval_s = self._plan.timeout_s / CONTACT_PROBES
        series = self.series(
            CONTACT_PROBES, PROBE_BYTES_MIN, PROBE_BYTES_MIN,
            interval_s=interval_s, wait_s=self._plan.timeout_s, enough=enough,
        )  # fmt: skip
        told = [(number, by) for number, by in self._socket.icmp if number != errno.ECONNREFUSED]
        unreachable = "; ".join(f"{os.strerror(number)} (told by {by})" for number, by in told)
        unreachable = unreachable or "; ".join(map(os.strerror, series.errors))
        return series, Contact(
            sent=series.total, answered=series.answered, version=series.version, unreachable=unreachable,
            refused=sum(n for (number, _), n in self._socket.icmp.items() if number == errno.ECONNREFUSED),
            echoed=series.kinds[Kind.ECHO], damaged=series.kinds[Kind.DAMAGED], foreign=series.kinds[Kind.FOREIGN],
        )  # fmt: skip

    def sizes(self, first: Series) -> Sizes:
        """What the path carries, with patience after the round trip of ``first``."""
        round_trip_s = first.summary().round_trip_us["max"] / 1e6
        refused_here = False

        def passes(size: int, reply_size: int, patient: bool) -> bool:
            nonlocal refused_here
            timeout_s = self._plan.timeout_s
            least_s = timeout_s / 2 if patient else SIZE_WAIT_S
            wait_s = min(timeout_s, max(least_s, SIZE_WAIT_ROUND_TRIPS * round_trip_s))
            series = self.series(
                SIZE_TRIES, size, reply_size, interval_s=wait_s / SIZE_TRIES, wait_s=wait_s,
                enough=lambda series: bool(series.answered) or bool(series.errors[errno.EMSGSIZE]),
            )  # fmt: skip
            if series.errors[errno.EMSGSIZE] and size <= self._plan.size:
                refused_here = True
            return bool(series.answered)

        ceiling = self._socket.path_mtu() - self._socket.headers_bytes
        there, back = find_sizes(passes, self._plan.size, ceiling)
        return Sizes(self._plan.size, there, back, self._socket.path_mtu(), refused_here)
