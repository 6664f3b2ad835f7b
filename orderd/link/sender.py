"""orderd's end of a session: sends records by sequence until the engine has executed them, and takes its reports in.

States::

    DOWN --WELCOME--> UP --neither road answers--> DOWN
                       +--WELCOME of a new boot--> UP, all from the engine's next sequence on is sent again

There are two roads: UDP (:meth:`SessionSender.datagrams`) and gRPC (:meth:`SessionSender.exchange`); which one carries
what is decided in :mod:`orderd.link.health`. In DOWN a HELLO goes out every probe interval, and over gRPC with
back-off. In UP, after a first time-out, a HELLO goes along with the retransmissions, so that an engine that was
restarted answers at once instead of looking like a broken path.

Rules and invariants:

- A sequence has one content, whichever road it takes: records are fetched from the journal's image by sequence and
  never change once sent. So what timed out on UDP and comes again over gRPC is a duplicate, and not a second order.
- Every transmission has a packet counter of its own. An acknowledgement names counters, so that a round trip is never
  ambiguous and a gap of three later counters tells a loss (RFC 9002, section 6.1.1).
- ``acknowledged <= next_sequence <= released``: only what is journaled and due is sent, at most ``window_datagrams`` in
  flight on both roads together and never beyond the credit that the engine gave.
"""

from collections import deque
from collections.abc import Callable
from math import inf

from orderd.link.errors import AnotherEngine, SessionRefused, StrayFrame
from orderd.link.flights import Flight, FlightBoard
from orderd.link.frame_maker import REPORT_CREDIT_KIB, FrameMaker
from orderd.link.grpc_road import GrpcRoad, call_frames_max
from orderd.link.handshake import Handshake, Identity, Marks
from orderd.link.health import Condition, HealthSettings, Transport, TransportHealth, TransportState
from orderd.link.polling import PollTimer
from orderd.link.report_intake import Delivery, ReportIntake
from orderd.link.round_trip import RoundTrip
from orderd.link.terms import (
    Connected,
    Event,
    LinkState,
    RoadUnusable,
    SenderCounters,
    SenderSettings,
    TransportChanged,
)
from orderd.link.udp_road import UdpRoad
from orderd.wire import bodies, frames
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES


class SessionSender:
    """One link's state machine. Feed it frames and time, send what it returns, wake it when it says."""

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
        self.health = TransportHealth(
            HealthSettings(settings.timeout_initial, settings.probe_interval), settings.transport
        )
        self.udp = UdpRoad(self._new_round_trip())
        self.grpc = GrpcRoad()
        self.acknowledged = acknowledged
        self.next_sequence = acknowledged
        self.sent_end = acknowledged
        """Sequences below it were sent, or may have been by an earlier start: no engine has executed others."""
        self.released = acknowledged
        """Sequences below it may be sent."""
        self.reports = ReportIntake(reports_wanted, REPORT_CREDIT_KIB * 1024)
        self.reports_journaled = reports_wanted
        self.events: deque[Event] = deque()
        self.polls = PollTimer(settings.report_poll, reports_wanted)
        self._identity = identity
        self._records_max = (settings.datagram_bytes_max - frames.OVERHEAD_BYTES) // RECORD_BYTES
        self._handshake = Handshake(identity, engine, settings.datagram_bytes_max)
        self._frames = FrameMaker(identity, fetch)
        self._credit = 0
        self._told_changes = 0
        self._told_start = False

    @property
    def engine(self) -> int:
        """Id of the engine that this link belongs to; 0 before the first WELCOME."""
        return self._handshake.engine

    @property
    def boot(self) -> int:
        """Number of the engine's start; 0 before the first WELCOME."""
        return self._handshake.boot

    # --- what goes out ------------------------------------------------------------------------------------------------

    def release(self, end: int, intake_time: float) -> None:
        """Sequences below ``end`` are due, the new ones since ``intake_time``, infinite if of an earlier start."""
        if end > self.released:
            self._frames.taken_in(end, intake_time)
            self.released, self.sent_end = end, end if intake_time == inf else self.sent_end

    @property
    def in_flight(self) -> int:
        """ORDERS frames that are not acknowledged."""
        return len(self.udp.flights) + len(self.grpc)

    def datagrams(self, now: float) -> list[bytes]:
        """All that has to be sent over UDP now."""
        if self.health.udp is Condition.UP and self.state is LinkState.UP:
            self._expire(now)
        if self.health.udp is not Condition.UP:
            return self._probes(now)
        lost = self.udp.flights.take_lost()
        self.counters.retransmits += len(lost)
        out = [self._transmit(Path.UDP, flight, now) for flight in lost]
        if self.udp.hello_along:
            self.udp.hello_along = False
            out.append(self._hello_over_udp(now))
        while self.in_flight < self.settings.window_datagrams and (count := self._sendable()):
            out.append(self._send_orders(Path.UDP, count, now))
        if now >= self._poll_at(Path.UDP):
            out.append(self._poll(Path.UDP, now))
        return out

    def exchange(self, now: float) -> list[bytes]:
        """The frames of a call over gRPC to be made now; empty if there is none to make.

        One call at a time: :meth:`exchange_ended` or :meth:`exchange_failed` says what became of it.
        """
        road = self.grpc
        if road.calling or not self._wants_call() or not self.health.may_call(now):
            return []
        if self.state is LinkState.DOWN or not road.greeted:
            out = [self._hello()]
        else:
            frames_max = call_frames_max(self.settings.datagram_bytes_max)
            out = [self._transmit(Path.GRPC, flight, now) for flight in road.take_queue(frames_max)]
            if self.health.carrier is Path.GRPC:
                while self.in_flight < min(self.settings.window_datagrams, frames_max) and (count := self._sendable()):
                    out.append(self._send_orders(Path.GRPC, count, now))
                if now >= self._poll_at(Path.GRPC):
                    out.append(self._poll(Path.GRPC, now))
            out += [self._book_request(Path.GRPC, *book) for book in road.take_books()]
        if out:
            road.begin(now)
        return out

    def wake_at(self) -> float:
        """When :meth:`datagrams` or :meth:`exchange` has something to send if nothing arrives before."""
        is_up = self.health.udp is Condition.UP
        udp = min(self.udp.timeout_at(), self._poll_at(Path.UDP)) if is_up else self.health.udp_probe_at
        return min(udp, self._call_at())

    def _call_at(self) -> float:
        road, health = self.grpc, self.health
        if road.calling or not self._wants_call():
            return inf
        may_at = 0.0 if health.grpc_try_at == inf else health.grpc_try_at
        if self.state is LinkState.DOWN or not road.greeted or road.queue or road.books or self._sendable():
            return may_at
        return max(may_at, self._poll_at(Path.GRPC))

    def _wants_call(self) -> bool:
        health = self.health
        if self.state is LinkState.DOWN:
            return health.grpc_allowed and health.grpc_try_at < inf
        return health.carrier is Path.GRPC or bool(self.grpc.queue)

    def goodbye(self) -> list[bytes]:
        """What to send last over UDP when orderd stops."""
        if self.state is LinkState.DOWN or self.health.carrier is not Path.UDP:
            return []
        return [self._frames.bye(Path.UDP, self._tell_journaled())]

    def change_transport(self, transport: Transport, now: float) -> None:
        """The setting changed: what is under way on a road that may not be used any more takes the other one."""
        self.health.change(transport, now)
        if self.health.udp is not Condition.UP:
            self.grpc.enqueue(self.udp.flights.take_all())
            self.udp.settle()
        elif not self.health.grpc_allowed:
            self.udp.flights.add_lost(self.grpc.take_queue())
        self._tell_change()

    def _sendable(self) -> int:
        end = min(self.released, self.acknowledged + self._credit)
        return max(0, min(end - self.next_sequence, self._records_max))

    def _send_orders(self, path: Path, count: int, now: float) -> bytes:
        flight = Flight(self.next_sequence, count, self._frames.intake_time(self.next_sequence))
        self.next_sequence += count
        self.sent_end = max(self.sent_end, self.next_sequence)
        return self._transmit(path, flight, now)

    def _transmit(self, path: Path, flight: Flight, now: float) -> bytes:
        self.polls.asked(now)
        if path is Path.UDP:
            self.counters.orders_frames += 1
            self.udp.sending(now)
        else:
            self.counters.grpc_frames += 1
        self._flights(path).sent(flight, self._frames.lanes[path].counter, now)
        return self._frames.orders(path, flight, self._tell_journaled(), now)

    def book_request(self, query: int, instrument: int, depth: int) -> list[bytes]:
        """Ask for the book; the answer comes through :meth:`receive`. Returns what to send over UDP.

        With the next call if gRPC carries; not at all in DOWN.
        """
        if self.state is LinkState.DOWN:
            return []
        if self.health.carrier is Path.GRPC:
            self.grpc.ask(query, instrument, depth)
            return []
        return [self._book_request(Path.UDP, query, instrument, depth)]

    def _book_request(self, path: Path, query: int, instrument: int, depth: int) -> bytes:
        return self._frames.book_request(path, self._tell_journaled(), query, instrument, depth)

    def _tell_journaled(self) -> int:
        """The mark of journaled reports, for a frame that goes out now."""
        self.polls.told(self.reports_journaled)
        return self.reports_journaled

    def _hello(self) -> bytes:
        self.counters.hellos += 1
        return self._handshake.hello(self._marks, self.reports_journaled)

    def _hello_over_udp(self, now: float) -> bytes:
        hello = self._hello()
        self.udp.hello_sent(self._handshake.counter, now)
        return hello

    def _probes(self, now: float) -> list[bytes]:
        if now < self.health.udp_probe_at:
            return []
        self.health.probe_sent(now)
        self.counters.probes += 1
        self._tell_change()
        return [self._hello_over_udp(now)]

    @property
    def _marks(self) -> Marks:
        return Marks(self.acknowledged, self.reports.wanted)

    # --- time-outs and polls ------------------------------------------------------------------------------------------

    def _expire(self, now: float) -> None:
        health = self.health
        reason = self.udp.expire(
            now, self.settings.retransmits_max, impatient=health.grpc_allowed, suspect=health.udp_is_suspect
        )
        if reason is None:
            return
        flights = self.udp.flights.take_all()
        self.udp.settle()
        self.grpc.enqueue(flights)
        given_up = max(1, len(flights))  # Without orders it was a poll.
        self.counters.exhausted += given_up
        health.udp_exhausted(given_up, reason, now)
        if health.udp is Condition.UP and not health.grpc_may_carry:
            self.udp.flights.add_lost(self.grpc.take_queue())
        self._tell_change()

    def _tell_change(self) -> None:
        """To be called after whatever may have changed the health."""
        health = self.health
        if health.start_failed and not self._told_start:
            self._told_start = True
            self.events.append(TransportChanged(health.state, health.reason))
        if health.changes == self._told_changes:
            return
        self._told_changes = health.changes
        if health.state is TransportState.ENGINE_DOWN:
            self.state = LinkState.DOWN
            self.udp.clear()
            self.grpc.clear()
            self.grpc.greeted = False
            self._handshake.forget_hellos()
        self.events.append(TransportChanged(health.state, health.reason))

    def _poll_at(self, path: Path) -> float:
        if self.state is LinkState.DOWN:
            return inf
        road = self.udp if path is Path.UDP else self.grpc
        timeout, round_trip = road.round_trip.timeout, road.round_trip.smoothed
        return self.polls.poll_at(road.flights, self.reports, self.reports_journaled, timeout, round_trip)

    def _poll(self, path: Path, now: float) -> bytes:
        self.counters.polls += 1
        self.polls.asked(now)
        missing = min(max(0, self.reports.missing), frames.COUNT_MAX)
        if missing == 0:
            self.polls.polled_in_vain()
        if path is Path.UDP:
            self.udp.sending(now)
        self._flights(path).sent(Flight(0, 0, now), self._frames.lanes[path].counter, now)
        return self._frames.poll(path, self._tell_journaled(), self.reports.wanted, missing)

    def _flights(self, path: Path) -> FlightBoard:
        return self.udp.flights if path is Path.UDP else self.grpc.flights

    def _new_round_trip(self) -> RoundTrip:
        return RoundTrip(self.settings.timeout_initial, self.settings.timeout_minimum)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float, path: Path = Path.UDP) -> list[Delivery] | bodies.BookReply:
        """A frame from the engine: reports to deliver, in order, or the answer to a book request.

        Raises a :class:`~orderd.wire.errors.WireError` for what is to be counted and dropped, and a
        :class:`~orderd.link.errors.LinkError` when the link is at its end.
        """
        type_, epoch, session = frames.peek(datagram)
        if session != self._identity.session:
            raise StrayFrame("another session")
        if type_ is FrameType.WELCOME or type_ is FrameType.REFUSE:
            self._answer(datagram, now, path)
            return []
        if self.state is LinkState.DOWN or epoch != self._identity.epoch:
            raise StrayFrame("not connected, or another epoch")
        frame = self._frames.lanes[path].open(datagram)
        if path is Path.GRPC:
            self.grpc.heard = True
        if type_ is FrameType.BOOK_REPLY:
            return bodies.BookReply.parse(frame.body)
        if type_ is not FrameType.REPORTS:
            raise StrayFrame("not a frame that an engine sends")
        return self._take_reports(frame, bodies.Reports.parse(frame), now, path)

    def exchange_ended(self, now: float) -> None:
        """The call is over, and all that it brought was received."""
        road = self.grpc
        road.end(self.acknowledged)
        if not self.health.grpc_allowed:
            self.udp.flights.add_lost(road.take_queue())
            return
        if not road.heard:
            self.exchange_failed(road.silence, now)
            return
        road.round_trip.sample(now - road.called_at)
        self.health.grpc_answered()
        self._tell_change()

    def exchange_failed(self, reason: str, now: float) -> None:
        """The call brought nothing; ``reason`` is for people."""
        road = self.grpc
        road.failures += 1
        road.greeted = False
        road.end(self.acknowledged)
        self.health.grpc_failed(reason, now, now - road.called_at)
        if self.health.udp is Condition.UP:
            # Once more over UDP: gRPC does not take them.
            self.udp.flights.add_lost(road.take_queue())
        self._tell_change()

    def _answer(self, datagram: bytes, now: float, path: Path) -> None:
        handshake = self._handshake
        frame = handshake.open(datagram)
        if not self.health.allows(path):
            raise StrayFrame("an answer over a road that is not used any more")
        try:
            if frame.type is FrameType.REFUSE:
                refusal = handshake.read_refuse(frame, self.reports_journaled)
                if path is Path.GRPC:
                    self.grpc.refused(refusal)
                else:
                    self.health.udp_refused(refusal)
                return
            connected = self.state is LinkState.UP
            welcome = handshake.read_welcome(frame, self._marks, self.sent_end, connected=connected)
        except (AnotherEngine, SessionRefused) as error:
            is_fencing = isinstance(error, SessionRefused) and error.is_fencing
            if is_fencing or path is not Path.GRPC or self.health.transport is not Transport.UDP_FIRST:
                raise
            # The road that nobody asked for first leads astray: it is not taken, and the other one may come back.
            if self.grpc.refused(str(error)):
                self.events.append(RoadUnusable(path, str(error)))
            return
        if path is Path.GRPC:
            # To the HELLO of the call that is under way, also if the other road was faster and made it an old one.
            self.grpc.greet()
        if welcome is not None:
            self._connect(frame, welcome, now)
        if path is Path.UDP:
            self._hello_answered(frame, now)
        else:
            self.health.grpc_answered()
        self._tell_change()

    def _hello_answered(self, frame: Frame, now: float) -> None:
        round_trip = self.udp.hello_answered(frame.ack, now)
        if round_trip is not None and self.health.udp is not Condition.UP:
            self.counters.probes_answered += 1
            what = f"engine answered, boot {self.boot}, sending from {self.next_sequence}"
            self.health.udp_answered(now, round_trip, what)
            if self.health.carrier is Path.UDP:
                self.udp.flights.add_lost(self.grpc.take_queue())
                self.grpc.take_books()

    def _take_reports(self, frame: Frame, body: bodies.Reports, now: float, path: Path) -> list[Delivery]:
        lane = self._frames.lanes[path]
        if frame.ack > self.sent_end or body.largest >= lane.counter:
            raise StrayFrame("acknowledges what was never sent")
        self.polls.heard(now)
        if frame.ack > self.acknowledged or (frame.ack == self.acknowledged and frame.counter == lane.window.largest):
            self.acknowledged = frame.ack
            self._credit = frame.credit
            # Frames from before a reconnection may have been executed since.
            self.next_sequence = max(self.next_sequence, frame.ack)
        if path is Path.UDP:
            if self.udp.acknowledge(frame.ack, body.largest, body.bitmap, now) and self.health.udp is Condition.UP:
                self.health.udp_answered(now)
            if len(self.grpc):
                self.grpc.acknowledge(frame.ack)
        else:
            self.grpc.flights.acknowledge(frame.ack, body.largest, body.bitmap, now)
            self.udp.flights.forget(frame.ack)
        wanted, was_missing = self.reports.wanted, self.reports.missing
        deliveries = self.reports.receive(frame.first, body.items, body.report_next, body.reports)
        if self.reports.wanted > wanted or (was_missing == 0 and self.reports.missing):
            self.polls.progressed(now)
        if deliveries:
            self.polls.delivered(wanted, now)
        return deliveries

    def _connect(self, frame: Frame, welcome: bodies.Welcome, now: float) -> None:
        self._frames.lanes = self._handshake.connect(welcome) or self._frames.lanes
        self.state = LinkState.UP
        self.acknowledged = self.next_sequence = frame.first
        self.sent_end = max(self.sent_end, frame.first)
        self._credit = frame.credit
        self.udp.clear()
        self.udp.round_trip = self._new_round_trip()
        self.grpc.clear()
        self.reports.known = max(self.reports.wanted, welcome.report_next)
        self.polls.connected(now)
        self.events.append(Connected(welcome.engine, welcome.boot, frame.first))
