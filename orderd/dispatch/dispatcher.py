"""The dispatcher: sends what the link says over the road that it says, and brings back what comes. Decides nothing.

It sends whenever :meth:`Dispatcher.flush` is called, in whoever's task that is: what has just become durable goes out
without waiting for another task's turn. Its own tasks receive, make calls over gRPC, and wake when the link's state
machine wants to be woken.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import attrs
import trio
from trio_util import AsyncValue

from orderd.dispatch.book_queries import BookQueries
from orderd.dispatch.grpc_fallback import Connect, GrpcFallback
from orderd.dispatch.udp_sender import UdpSender
from orderd.link.health import Transport, TransportState
from orderd.link.report_intake import Delivery
from orderd.link.sender import SessionSender
from orderd.link.terms import Connected, RoadUnusable, TransportChanged
from orderd.runtime.clock import Clock
from orderd.runtime.datagrams import DatagramSocket
from orderd.runtime.log import get_logger
from orderd.wire.bodies import BookReply
from orderd.wire.errors import WireError
from orderd.wire.paths import Path

BOOK_RETRY_MIN: Final = 0.010
BOOK_RETRY_OVER_GRPC: Final = 0.25

log = get_logger("transport")


@attrs.frozen
class Roads:
    """The ways to the engine. ``connect`` opens the channel over gRPC when it is wanted first."""

    socket: DatagramSocket
    connect: Connect
    udp: str = ""
    """Where the socket leads, for people."""
    grpc: str = ""
    grpc_timeout_s: float = 1.0
    """How long a call may take."""


@attrs.frozen
class Owner:
    """Whom the dispatcher works for.

    ``release(now)`` tells the link what is due and when to ask again; ``deliver`` takes reports and what brought them;
    ``connected`` hears of an engine that answered.
    """

    release: Callable[[float], float]
    deliver: Callable[[list[Delivery], Path], None]
    connected: Callable[[Connected], None]


class Dispatcher:
    """The tasks around a link."""

    def __init__(self, link: SessionSender, roads: Roads, clock: Clock, owner: Owner) -> None:
        self.transport: AsyncValue[TransportState] = AsyncValue(TransportState.ENGINE_DOWN)
        """The state, for tasks that wait for a change of it."""
        self.books = BookQueries()
        self.roads = roads
        self.udp = UdpSender(roads.socket, self._datagrams_received)
        self._grpc = GrpcFallback(roads.connect, roads.grpc_timeout_s, self._call_answered, self._call_failed)
        self._link = link
        self._clock = clock
        self._owner = owner
        self._scope = trio.CancelScope()
        self._due_at = inf
        self._boot = 0

    @property
    def state(self) -> TransportState:
        """Whether orders reach the engine, and over what."""
        state: TransportState = self.transport.value
        return state

    async def run(self) -> None:
        """Send, receive and keep time until cancelled.

        Raises :class:`~orderd.link.errors.LinkError` when the link is at its end.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.udp.run)
            nursery.start_soon(self._grpc.run)
            await self._keep_time()

    async def _keep_time(self) -> None:
        while True:
            self.flush(self._clock.monotonic())
            with trio.CancelScope(deadline=self._wake_at()) as self._scope:
                await trio.sleep_forever()

    def flush(self, now: float) -> None:
        """Send all that is due, and see to it that the task wakes in time."""
        link = self._link
        self._due_at = self._owner.release(now)
        self.udp.send(link.datagrams(now))
        if len(self.books):
            for number, query in self.books.requests(now, self._book_retry()):
                self.udp.send(link.book_request(number, query.instrument, query.depth))
        call = link.exchange(now)
        if call:
            self._grpc.call(call)
        self._tell_events()
        self._scope.deadline = self._wake_at()

    def change_transport(self, transport: Transport, now: float) -> None:
        """Other roads may be used from now on; nothing that is under way is lost."""
        self._link.change_transport(transport, now)
        self.flush(now)

    def say_goodbye(self) -> None:
        """The last datagrams of a clean stop."""
        self.udp.send(self._link.goodbye())

    def _wake_at(self) -> float:
        wake_at = min(self._link.wake_at(), self._due_at)
        return min(wake_at, self.books.wake_at(self._book_retry())) if len(self.books) else wake_at

    def _book_retry(self) -> float:
        if self._link.health.carrier is Path.GRPC:
            # A question waits for the call that is under way, and an answer to one that was asked again is no use.
            return max(BOOK_RETRY_OVER_GRPC, 3 * self._link.grpc.round_trip.timeout)
        return max(BOOK_RETRY_MIN, self._link.udp.round_trip.timeout)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def _datagrams_received(self, datagrams: list[bytes]) -> None:
        now = self._clock.monotonic()
        rejected = self._take_in(datagrams, Path.UDP, now)
        self.udp.counters.rejected += rejected
        if rejected < len(datagrams) or not datagrams:
            self.flush(self._clock.monotonic())

    def _call_answered(self, frames: list[bytes]) -> None:
        now = self._clock.monotonic()
        self._take_in(frames, Path.GRPC, now)
        self._link.exchange_ended(now)
        self.flush(self._clock.monotonic())

    def _call_failed(self, reason: str) -> None:
        now = self._clock.monotonic()
        self._link.exchange_failed(reason, now)
        self.flush(now)

    def _take_in(self, frames: list[bytes], path: Path, now: float) -> int:
        """How many of them were to be dropped."""
        deliveries: list[Delivery] = []
        rejected = 0
        for frame in frames:
            try:
                received = self._link.receive(frame, now, path)
            except WireError:
                rejected += 1
                continue
            if isinstance(received, BookReply):
                self.books.answered(received)
            else:
                deliveries += received
        self._tell_events()
        self._owner.deliver(deliveries, path)
        return rejected

    def _tell_events(self) -> None:
        while self._link.events:
            event = self._link.events.popleft()
            if isinstance(event, Connected):
                if self._boot and event.boot != self._boot:
                    log.info("engine was started again", boot=event.boot, resend_from=event.resend_from)
                self._boot = event.boot
                self._owner.connected(event)
            elif isinstance(event, TransportChanged):
                self._changed(event)
            elif isinstance(event, RoadUnusable):
                log.error("road leads astray and is not taken", path=event.path.name.lower(), reason=event.reason)

    def _changed(self, event: TransportChanged) -> None:
        reason = event.reason
        if event.state is not TransportState.UDP_ENABLED and self.udp.last_error:
            reason = f"{reason} (UDP socket: {self.udp.last_error})"
        self.transport.value = event.state
        log.info(event.state.value, reason=reason, **self._figures())

    def _figures(self) -> dict[str, object]:
        """What the road was like until now."""
        link = self._link
        return {
            "unconfirmed": max(0, link.next_sequence - link.acknowledged),
            "udp_frames": link.counters.orders_frames,
            "udp_retransmits": link.counters.retransmits,
            "udp_round_trip_ms": round(link.udp.round_trip.smoothed * 1000, 2),
            "grpc_calls": link.grpc.calls,
            "grpc_failed": link.grpc.failures,
        }
