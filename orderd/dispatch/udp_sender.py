"""The UDP sender: one connected socket that stays open, a receive with a time-out, many datagrams a wake-up.

Decides nothing.

It sends whenever :meth:`UdpSender.flush` is called, in whoever's task that is: what has just become durable goes out
without waiting for another task's turn. Its own task receives, and wakes when the link's state machine wants to be
woken.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import attrs
import trio
from trio_util import AsyncValue

from orderd.dispatch.book_queries import BookQueries
from orderd.dispatch.transport import TransportState
from orderd.link.report_intake import Delivery
from orderd.link.sender import Connected, Disconnected, SessionSender
from orderd.runtime.clock import Clock
from orderd.runtime.datagrams import DatagramSocket
from orderd.runtime.log import get_logger
from orderd.wire.bodies import BookReply
from orderd.wire.errors import WireError

BOOK_RETRY_MIN: Final = 0.010
DATAGRAMS_AT_ONCE: Final = 16
"""With 16 reports each they take about a millisecond; then others have their turn."""

log = get_logger("transport")


@attrs.define
class UdpCounters:
    """Totals since the start of the process."""

    sent: int = 0
    received: int = 0
    rejected: int = 0


class UdpSender:
    """``release(now)`` tells the link what is due and when to ask again.

    ``deliver`` takes reports; ``connected`` hears of a WELCOME.
    """

    def __init__(
        self,
        link: SessionSender,
        socket: DatagramSocket,
        clock: Clock,
        *,
        release: Callable[[float], float],
        deliver: Callable[[list[Delivery]], None],
        connected: Callable[[Connected], None],
    ) -> None:
        self.transport: AsyncValue[TransportState] = AsyncValue(TransportState.ENGINE_DOWN)
        """The state, for tasks that wait for a change of it."""
        self.counters = UdpCounters()
        self.books = BookQueries()
        self._link = link
        self._socket = socket
        self._clock = clock
        self._release = release
        self._deliver = deliver
        self._connected = connected
        self._scope = trio.CancelScope()
        self._due_at = inf

    @property
    def state(self) -> TransportState:
        """Whether orders reach the engine."""
        state: TransportState = self.transport.value
        return state

    async def run(self) -> None:
        """Receive and keep time until cancelled.

        Raises :class:`~orderd.link.errors.LinkError` when the link is at its end.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_time)
            while True:
                await self._socket.wait_readable()
                self._receive()
                self.flush(self._clock.monotonic())

    async def _keep_time(self) -> None:
        while True:
            self.flush(self._clock.monotonic())
            with trio.CancelScope(deadline=self._wake_at()) as self._scope:
                await trio.sleep_forever()

    def flush(self, now: float) -> None:
        """Send all that is due, and see to it that the task wakes in time."""
        self._due_at = self._release(now)
        for datagram in self._link.datagrams(now):
            self.counters.sent += self._socket.send(datagram)
        if len(self.books):
            for number, query in self.books.requests(now, self._book_retry()):
                for datagram in self._link.book_request(number, query.instrument, query.depth):
                    self.counters.sent += self._socket.send(datagram)
        self._tell_events()
        self._scope.deadline = self._wake_at()

    def say_goodbye(self) -> None:
        """The last datagrams of a clean stop."""
        for datagram in self._link.goodbye():
            self._socket.send(datagram)

    def _wake_at(self) -> float:
        return min(self._link.wake_at(), self._due_at, self.books.wake_at(self._book_retry()))

    def _book_retry(self) -> float:
        return max(BOOK_RETRY_MIN, self._link.round_trip.timeout)

    def _receive(self) -> None:
        now = self._clock.monotonic()
        deliveries: list[Delivery] = []
        for datagram, _ in self._socket.receive(DATAGRAMS_AT_ONCE):
            self.counters.received += 1
            try:
                received = self._link.receive(datagram, now)
            except WireError:
                self.counters.rejected += 1
                continue
            if isinstance(received, BookReply):
                self.books.answered(received)
            else:
                deliveries += received
        self._tell_events()
        self._deliver(deliveries)

    def _tell_events(self) -> None:
        while self._link.events:
            event = self._link.events.popleft()
            if isinstance(event, Connected):
                self._connected(event)
                self._change(
                    TransportState.UDP_ENABLED, f"engine answered, boot {event.boot}, sending from {event.resend_from}"
                )
            elif isinstance(event, Disconnected):
                self._change(TransportState.ENGINE_DOWN, event.reason)

    def _change(self, state: TransportState, reason: str) -> None:
        last_error = getattr(self._socket, "last_error", "")
        if state is TransportState.ENGINE_DOWN and last_error:
            reason = f"{reason} ({last_error})"
        if state is not self.state:
            self.transport.value = state
            log.info(state.value, reason=reason)
