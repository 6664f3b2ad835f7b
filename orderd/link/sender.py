"""orderd's end of a session: sends records by sequence until the engine has executed them, and takes its reports in.

States::

    DOWN --WELCOME--> UP --no answer to retransmissions--> DOWN
                       +--WELCOME of a new boot--> UP, all from the engine's next sequence on is sent again

In DOWN a HELLO goes out every probe interval. In UP, after a first time-out, a HELLO goes along with the
retransmissions, so that an engine that was restarted answers at once instead of looking like a broken path.

Rules and invariants:

- A sequence has one content: records are fetched from the journal's image by sequence and never change once sent.
- Every transmission has a packet counter of its own. An acknowledgement names counters, so that a round trip is never
  ambiguous and a gap of three later counters tells a loss (RFC 9002, section 6.1.1).
- ``acknowledged <= next_sequence <= released``: only what is journaled and due is sent, at most ``window_datagrams`` in
  flight and never beyond the credit that the engine gave.
"""

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from math import inf
from typing import Final

import attrs

from orderd.link.errors import ReplayedFrame, StrayFrame
from orderd.link.flights import Flight, FlightBoard
from orderd.link.handshake import Handshake, Identity, Marks
from orderd.link.replay_window import ReplayWindow
from orderd.link.report_intake import Delivery, ReportIntake
from orderd.link.round_trip import RoundTrip
from orderd.wire import bodies, frames
from orderd.wire.frames import Frame, FrameType
from orderd.wire.records import RECORD_BYTES
from orderd.wire.tags import Sealer

REPORT_CREDIT_KIB: Final = 1024
KEEPALIVE: Final = 1.0
IDLE_POLL_MAX: Final = 0.25
HOLE_PATIENCE: Final = 0.0005


class LinkState(IntEnum):
    """Whether the engine answers."""

    DOWN = 0
    UP = 1


@attrs.frozen
class SenderSettings:
    """Times in seconds; the meaning of each is that of the setting with its name."""

    datagram_bytes_max: int = 1472
    window_datagrams: int = 32
    timeout_initial: float = 0.020
    timeout_minimum: float = 0.005
    retransmits_max: int = 4
    probe_interval: float = 0.250
    report_poll: float = 0.020


@attrs.define
class SenderCounters:
    """Totals since the start of the process."""

    orders_frames: int = 0
    retransmits: int = 0
    polls: int = 0
    hellos: int = 0


@attrs.frozen
class Connected:
    """The engine answered."""

    engine: int
    boot: int
    resend_from: int


@attrs.frozen
class Disconnected:
    """The engine does not answer any more."""

    reason: str


Event = Connected | Disconnected


class SessionSender:
    """One link's state machine. Feed it datagrams and time, send what it returns, wake it when it says."""

    def __init__(
        self,
        identity: Identity,
        settings: SenderSettings,
        fetch: Callable[[int, int], bytes],
        *,
        acknowledged: int,
        reports_wanted: int,
        engine: int = 0,
    ) -> None:
        """``fetch(first, count)`` returns the records of journaled sequences.

        ``acknowledged``: sequences below it are confirmed in the journal; ``reports_wanted``: the journal holds the
        reports below it; ``engine``: id of the engine that this journal knows, 0 before the first WELCOME.
        """
        self.state = LinkState.DOWN
        self.settings = settings
        self.counters = SenderCounters()
        self.round_trip = RoundTrip(settings.timeout_initial, settings.timeout_minimum)
        self.acknowledged = acknowledged
        self.next_sequence = acknowledged
        self.sent_end = acknowledged
        """Sequences below it were sent."""
        self.released = acknowledged
        """Sequences below it may be sent."""
        self.reports = ReportIntake(reports_wanted, REPORT_CREDIT_KIB * 1024)
        self.reports_journaled = reports_wanted
        self.events: deque[Event] = deque()
        self.watch = False
        """Whether reports may come unasked: an order is open or unconfirmed."""
        self._identity = identity
        self._fetch = fetch
        self._records_max = (settings.datagram_bytes_max - frames.OVERHEAD_BYTES) // RECORD_BYTES
        self._handshake = Handshake(identity, engine, settings.datagram_bytes_max)
        self._out: Sealer | None = None
        self._in: Sealer | None = None
        self._window = ReplayWindow()
        self._counter = 0
        self._credit = 0
        self._flights = FlightBoard()
        self._intakes: deque[tuple[int, float]] = deque()  # (end of sequences, their intake time)
        self._timeouts = 0
        self._hello_at = 0.0
        self._hello_interval = settings.timeout_initial
        self._hello_along = False
        self._journaled_told = reports_wanted
        self._told_at = 0.0  # when the engine was last told, or when after that the first report came
        self._heard_at = 0.0
        self._progress_at = 0.0
        self._poll_interval = settings.report_poll

    @property
    def engine(self) -> int:
        """Id of the engine that this link belongs to; 0 before the first WELCOME."""
        return self._handshake.engine

    # --- what goes out ------------------------------------------------------------------------------------------------

    def release(self, end: int, intake_time: float) -> None:
        """Sequences below ``end`` are journaled and due. ``intake_time`` is when the oldest of the new ones came in."""
        if end > self.released:
            self._intakes.append((end, intake_time))
            self.released = end

    @property
    def in_flight(self) -> int:
        """ORDERS frames that are not acknowledged."""
        return len(self._flights)

    def datagrams(self, now: float) -> list[bytes]:
        """All that has to be sent now."""
        if self.state is LinkState.UP:
            self._expire(now)
        if self.state is LinkState.DOWN:
            if now < self._hello_at:
                return []
            self._hello_at = now + self._hello_interval
            self._hello_interval = min(self._hello_interval * 2, self.settings.probe_interval)
            return [self._hello()]
        out = [self._retransmit(flight, now) for flight in self._flights.take_lost()]
        if self._hello_along:
            self._hello_along = False
            out.append(self._hello())
        while len(self._flights) < self.settings.window_datagrams and (count := self._sendable()):
            out.append(self._send_orders(count, now))
        if now >= self._poll_at():
            out.append(self._poll(now))
        return out

    def wake_at(self) -> float:
        """When :meth:`datagrams` has something to send if nothing arrives before."""
        if self.state is LinkState.DOWN:
            return self._hello_at
        return min(self._flights.oldest_sent_at() + self.round_trip.timeout, self._poll_at())

    def goodbye(self) -> list[bytes]:
        """What to send last when orderd stops."""
        if self.state is LinkState.DOWN:
            return []
        return [self._seal(FrameType.BYE)]

    def _sendable(self) -> int:
        end = min(self.released, self.acknowledged + self._credit)
        return max(0, min(end - self.next_sequence, self._records_max))

    def _send_orders(self, count: int, now: float) -> bytes:
        flight = Flight(self.next_sequence, count, self._intake_time(self.next_sequence))
        self.next_sequence += count
        self.sent_end = max(self.sent_end, self.next_sequence)
        return self._transmit(flight, now)

    def _transmit(self, flight: Flight, now: float) -> bytes:
        self.counters.orders_frames += 1
        self._told_at = now
        age_us = int(min(frames.AGE_US_MAX, max(0.0, (now - flight.intake_time) * 1e6)))
        self._flights.sent(flight, self._counter, now)
        body = self._fetch(flight.first, flight.count)
        return self._seal(FrameType.ORDERS, flight.first, flight.count, age_us, body)

    def _retransmit(self, flight: Flight, now: float) -> bytes:
        self.counters.retransmits += 1
        return self._transmit(flight, now)

    def _intake_time(self, sequence: int) -> float:
        while len(self._intakes) > 1 and self._intakes[0][0] <= sequence:
            self._intakes.popleft()
        return self._intakes[0][1] if self._intakes else inf

    def _seal(self, type_: FrameType, first: int = 0, count: int = 0, age_us: int = 0, body: bytes = b"") -> bytes:
        assert self._out is not None, "frames of an epoch go out in UP only"
        identity = self._identity
        frame = Frame(
            type_, identity.session, identity.epoch, self._counter, first, self.reports_journaled,
            REPORT_CREDIT_KIB, count, age_us, body,
        )  # fmt: skip
        self._counter += 1
        self._journaled_told = self.reports_journaled
        return self._out.seal(frame.encode())

    def book_request(self, query: int, instrument: int, depth: int) -> list[bytes]:
        """Ask for the book; the answer comes through :meth:`receive`. Nothing is sent in DOWN."""
        if self.state is LinkState.DOWN:
            return []
        return [self._seal(FrameType.BOOK_REQUEST, body=bodies.BookRequest(query, instrument, depth).encode())]

    def _hello(self) -> bytes:
        self.counters.hellos += 1
        return self._handshake.hello(self._marks, self.reports_journaled)

    @property
    def _marks(self) -> Marks:
        return Marks(self.acknowledged, self.reports.wanted)

    # --- time-outs and polls ------------------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        if self._flights.oldest_sent_at() + self.round_trip.timeout > now:
            return
        self._timeouts += 1
        if self._timeouts > self.settings.retransmits_max:
            self._disconnect(f"no answer to {self.settings.retransmits_max} retransmissions", now)
            return
        self._flights.lose_overdue(self.round_trip.timeout, now)
        self.round_trip.back_off()
        self._hello_along = True

    def _disconnect(self, reason: str, now: float) -> None:
        self.state = LinkState.DOWN
        self._flights.clear()
        self._timeouts = 0
        self._handshake.forget_hellos()
        self._hello_at = now
        self._hello_interval = self.settings.timeout_initial
        self.events.append(Disconnected(reason))

    def _poll_at(self) -> float:
        if self._flights.polling:
            return inf
        if self.reports.missing > 0:
            patience = max(HOLE_PATIENCE, self.round_trip.smoothed / 2)
            return self._progress_at + (patience if self.reports.has_hole else self.round_trip.timeout)
        if len(self._flights):
            return inf
        poll_at = self._heard_at + (self._poll_interval if self.watch else KEEPALIVE)
        if self._journaled_told < self.reports_journaled:
            # Not from when the engine was heard: its pushes may come without end, and it keeps them until it is told.
            poll_at = min(poll_at, self._told_at + self.settings.report_poll)
        return poll_at

    def _poll(self, now: float) -> bytes:
        self.counters.polls += 1
        self._told_at = now
        missing = min(max(0, self.reports.missing), frames.COUNT_MAX)
        if missing == 0:
            self._poll_interval = min(self._poll_interval * 2, max(IDLE_POLL_MAX, self.settings.report_poll))
        self._flights.sent(Flight(0, 0, now), self._counter, now)
        return self._seal(FrameType.POLL, self.reports.wanted if missing else 0, missing)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> list[Delivery] | bodies.BookReply:
        """A datagram from the engine's address: reports to deliver, in order, or the answer to a book request.

        Raises a :class:`~orderd.wire.errors.WireError` for what is to be counted and dropped, and a
        :class:`~orderd.link.errors.LinkError` when the link is at its end.
        """
        frame = frames.parse(datagram)
        identity = self._identity
        if frame.session != identity.session:
            raise StrayFrame("another session")
        if frame.type in (FrameType.WELCOME, FrameType.REFUSE):
            self._answer(frame, datagram, now)
            return []
        if self.state is LinkState.DOWN or self._in is None or frame.epoch != identity.epoch:
            raise StrayFrame("not connected, or another epoch")
        self._in.check(datagram)
        if not self._window.accept(frame.counter):
            raise ReplayedFrame("packet counter was seen before")
        if frame.type is FrameType.BOOK_REPLY:
            return bodies.BookReply.parse(frame.body)
        if frame.type is not FrameType.REPORTS:
            raise StrayFrame("not a frame that an engine sends")
        return self._take_reports(frame, bodies.Reports.parse(frame), now)

    def _answer(self, frame: Frame, datagram: bytes, now: float) -> None:
        handshake = self._handshake
        handshake.check_tag(datagram)
        if frame.type is FrameType.REFUSE:
            handshake.read_refuse(frame, self.reports_journaled)
            return
        connected = self.state is LinkState.UP
        welcome = handshake.read_welcome(frame, self._marks, self.released, connected=connected)
        if welcome is not None:
            self._connect(frame, welcome, now)

    def _take_reports(self, frame: Frame, body: bodies.Reports, now: float) -> list[Delivery]:
        if frame.ack > self.sent_end or body.largest >= self._counter:
            raise StrayFrame("acknowledges what was never sent")
        self._heard_at = now
        if frame.ack > self.acknowledged or (frame.ack == self.acknowledged and frame.counter == self._window.largest):
            self.acknowledged = frame.ack
            self._credit = frame.credit
            # Frames from before a reconnection may have been executed since.
            self.next_sequence = max(self.next_sequence, frame.ack)
        progress, round_trip = self._flights.acknowledge(frame.ack, body.largest, body.bitmap, now)
        if round_trip is not None:
            self.round_trip.sample(round_trip)
        if progress:
            self.round_trip.end_back_off()
            self._timeouts = 0
            self._hello_along = False
        wanted = self.reports.wanted
        was_missing = self.reports.missing
        deliveries = self.reports.receive(frame.first, body.items, body.report_next, body.reports)
        if self.reports.wanted > wanted or (was_missing == 0 and self.reports.missing):
            self._progress_at = now
        if deliveries:
            self._poll_interval = self.settings.report_poll
            if wanted == self._journaled_told:
                self._told_at = now
        return deliveries

    def _connect(self, frame: Frame, welcome: bodies.Welcome, now: float) -> None:
        sealers = self._handshake.connect(welcome)
        if sealers is not None:
            self._out, self._in = sealers
            self._window = ReplayWindow()
            self._counter = 0
        self.state = LinkState.UP
        self.acknowledged = self.next_sequence = frame.first
        self.sent_end = max(self.sent_end, frame.first)
        self._credit = frame.credit
        self._flights.clear()
        self._timeouts = 0
        self._hello_along = False
        self.round_trip = RoundTrip(self.settings.timeout_initial, self.settings.timeout_minimum)
        self.reports.known = max(self.reports.wanted, welcome.report_next)
        # Poll at once: it tells the engine where this end is, and brings what was told while the link was down.
        self._heard_at = self._progress_at = now - KEEPALIVE
        self._poll_interval = self.settings.report_poll
        self.events.append(Connected(welcome.engine, welcome.boot, frame.first))
