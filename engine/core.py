"""The engine without its shells: sessions, execution and answers. Pure.

One round is: :meth:`EngineCore.receive` for each datagram that is there, :meth:`EngineCore.execute` until it is
through, then the journal entries are committed, then :meth:`EngineCore.answers` are sent. Nothing that a round caused
leaves before its commit: answers are made only on request, and a round that could not be committed is the engine's
last. A round may be without datagrams: :meth:`EngineCore.wake_at_ns` says when time needs one.

A restart is the same without datagrams: :meth:`EngineCore.replay` for each journal entry, in order, from the first one
or from where a snapshot was made (:mod:`engine.snapshot`, which has to know of all that ``replay`` changes).
"""

from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from engine.agenda import Agenda, Happening
from engine.day_end import DayEnd
from engine.greeter import Greeter
from engine.inputs import (
    AcknowledgedInput,
    Boot,
    CancelAllInput,
    Entry,
    EpochInput,
    InputError,
    InstrumentInput,
    MarketInput,
    OrdersInput,
    decode,
)
from engine.markets import MarketRules
from engine.matcher import Matcher
from engine.orders import Session
from orderd.link.errors import StrayFrame
from orderd.link.receiver import SessionReceiver
from orderd.runtime.instruments import InstrumentTable
from orderd.wire import bodies, frames
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.probes import Probe
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Reason

SLICE_RECORDS: Final = 512
BOOK_DEPTH_MAX: Final = 1000
ACKNOWLEDGED_STEP: Final = 4096
"""Acknowledged reports that the journal does not know of, from which on a round's entries tell of them."""
ACKNOWLEDGED_ALONE: Final = 65_536
"""And from which on they are worth a commit of their own."""

_OF_A_SESSION: Final = frozenset({FrameType.ORDERS, FrameType.POLL, FrameType.BYE, FrameType.BOOK_REQUEST})

Address = object
Datagram = tuple[Address, bytes]


class InstrumentsChanged(Exception):
    """The settings give an instrument of the journal another symbol, tick or lot."""


@attrs.frozen
class EngineLimits:
    """The meaning of each is that of the setting with its name."""

    sessions_max: int = 64
    reports_max: int = 4_000_000


@attrs.define
class EngineCounters:
    """Totals since the start of the process."""

    orders: int = 0
    frames: int = 0
    probes: int = 0
    """Those that came over UDP and were answered."""


@attrs.define
class _Participant:
    receiver: SessionReceiver
    orders: Session
    acknowledged: int = 1
    """Reports below it are acknowledged as far as the journal knows."""


class EngineCore:
    """Everything the engine decides."""

    def __init__(
        self,
        *,
        engine_id: int,
        secret: bytes,
        instruments: InstrumentTable,
        limits: EngineLimits | None = None,
        day_end: DayEnd | None = None,
        markets: Mapping[int, MarketRules] | None = None,
    ) -> None:
        """``markets``: rules by instrument that are to be in force from the first round on; None: those of the journal.

        ``day_end``: None if days do not end. A rerun looks at neither.
        """
        self.engine_id = engine_id
        self.boot = 0
        self.counters = EngineCounters()
        # A book is opened with its instrument's entry in the journal, so that a rerun refuses what was refused before.
        self.matcher = Matcher(())
        self.happened: list[Happening] = []
        """What time and settings did, for the log, since the caller last took it."""
        self.agenda = Agenda(self.matcher, instruments.by_id, day_end)
        self._markets = markets
        self._secret = secret
        self._greeter = Greeter(secret, instruments)
        self._instruments = instruments
        self._limits = limits or EngineLimits()
        self._participants: dict[int, _Participant] = {}
        self._journaled_instruments: dict[int, InstrumentInput] = {}
        self._last_time_ns = 0
        self._entries: list[Entry] = []
        self._active: dict[int, _Participant] = {}  # sessions of this round, by id
        self._acknowledging: dict[int, _Participant] = {}  # those with a step that the journal does not know, by id
        self._replies: list[Datagram] = []
        self._requests: list[tuple[SessionReceiver, bodies.BookRequest, Address, Path]] = []
        self._probes: list[tuple[Frame, Probe, Address]] = []

    # --- start --------------------------------------------------------------------------------------------------------

    def replay(self, kind: int, payload: bytes) -> None:
        """Do again what a journal entry says. Raises :class:`~engine.inputs.InputError`."""
        entry = decode(kind, payload)
        if isinstance(entry, OrdersInput):
            self._replay_orders(entry)
        elif isinstance(entry, EpochInput):
            participant = self._participants.get(entry.session) or self._add_participant(entry.session)
            participant.receiver.epoch, participant.receiver.nonce = entry.epoch, entry.nonce
        elif isinstance(entry, CancelAllInput):
            self._last_time_ns = entry.time_ns
            participant = self._participant_of(entry.session)
            for _ in self.matcher.cancel_session(participant.orders, Reason(entry.reason), entry.time_ns):
                pass
        elif isinstance(entry, InstrumentInput):
            self._journaled_instruments[entry.id] = entry
            self.matcher.add_instrument(entry.id)
        elif isinstance(entry, AcknowledgedInput):
            self._participant_of(entry.session).receiver.log.acknowledge(entry.acknowledged)
        elif isinstance(entry, Boot):
            self.boot = entry.boot
        else:
            if isinstance(entry, MarketInput) and entry.instrument not in self._journaled_instruments:
                raise InputError(f"instrument {entry.instrument} has a market and was never named")
            self._last_time_ns = entry.time_ns
            for _ in self.agenda.execute(entry):
                pass

    def _replay_orders(self, entry: OrdersInput) -> None:
        participant = self._participant_of(entry.session)
        receiver = participant.receiver
        if entry.first != receiver.next_sequence:
            raise InputError(
                f"session {entry.session:016x}: sequence {entry.first} follows {receiver.next_sequence - 1}"
            )
        self._last_time_ns = entry.time_ns
        receiver.log.acknowledge(entry.acknowledged)
        receiver.next_sequence += len(entry.records) // RECORD_BYTES
        for _ in self._apply(participant, entry.first, entry.records, entry.time_ns):
            pass

    def _apply(self, participant: _Participant, first: int, records: bytes, time_ns: int) -> Iterator[None]:
        """A slice at a time; in a replay the same slices, so that each report is in the same item again."""
        view = memoryview(records)
        for start in range(0, len(records) // RECORD_BYTES, SLICE_RECORDS):
            if start:
                yield
            part = view[start * RECORD_BYTES : (start + SLICE_RECORDS) * RECORD_BYTES]
            yield from self.matcher.apply_in_steps(participant.orders, first + start, part, time_ns)

    def _participant_of(self, session: int) -> _Participant:
        participant = self._participants.get(session)
        if participant is None:
            raise InputError(f"session {session:016x} was never opened")
        return participant

    def start(self) -> list[Entry]:
        """After the replay: what to commit before the first datagram is received.

        Raises :class:`InstrumentsChanged`.
        """
        entries: list[Entry] = []
        for known in self._journaled_instruments.values():
            instrument = self._instruments.by_id.get(known.id)
            if instrument is None or instrument.digest != known.digest:
                raise InstrumentsChanged(
                    f"instrument {known.id} is {known.text} in the journal; symbol, tick and lot never change"
                )
        for instrument in self._instruments:
            if instrument.id not in self._journaled_instruments:
                text = f"{instrument.symbol} {instrument.tick} {instrument.lot}"
                added = InstrumentInput(instrument.id, instrument.digest, text)
                self._journaled_instruments[instrument.id] = added
                self.matcher.add_instrument(instrument.id)
                entries.append(added.encode())
        self.boot += 1
        entries.append(Boot(self.boot).encode())
        self.matcher.touched.clear()
        for participant in self._participants.values():
            participant.acknowledged = participant.receiver.log.acknowledged
            self._reserve(participant)
        self.agenda.begin(self._last_time_ns)
        if self._markets is not None:
            self.agenda.want(self._markets)
        return entries

    # --- a round ------------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, path: Path = Path.UDP) -> None:
        """Take a frame in that came over ``path``; it is answered to ``address``.

        Raises a :class:`~orderd.wire.errors.WireError` for what is to be counted and dropped.
        """
        # Whoever floods us costs no more than the tag, and not even that without a session's id.
        type_, epoch, session = frames.peek(datagram)
        if type_ is FrameType.HELLO:
            self._greeter.check(session, datagram)
            self._hello(frames.parse(datagram), address)
            return
        if type_ is FrameType.PROBE:
            self._greeter.check(session, datagram)
            self._probe(frames.parse(datagram), address, path)
            return
        participant = self._participants.get(session)
        if participant is None:
            raise StrayFrame("no such session")
        if type_ not in _OF_A_SESSION:
            raise StrayFrame("not a frame that orderd sends")
        frame = participant.receiver.receive(epoch, datagram, address, path)
        self.counters.frames += 1
        self._active[session] = participant
        if type_ is FrameType.BOOK_REQUEST:
            self._requests.append((participant.receiver, bodies.BookRequest.parse(frame.body), address, path))

    def execute(self, now_ns: int) -> Iterator[None]:
        """Execute what is due at ``now_ns``, and then all that is ready, a slice at a time.

        The caller may do other things at each yield, but receive nothing.
        """
        time_ns = self._last_time_ns = max(now_ns, self._last_time_ns)
        wake_at_ns = self.agenda.wake_at_ns()
        if wake_at_ns is not None and wake_at_ns <= time_ns:
            for due in self.agenda.due(time_ns):
                self._entries.append(due.encode())
                self.happened.append((yield from self.agenda.execute(due)))
        for participant in list(self._active.values()):
            receiver = participant.receiver
            while (ready := receiver.take_ready()) is not None:
                participant.acknowledged = receiver.log.acknowledged
                entry = OrdersInput(time_ns, receiver.session, ready.first, participant.acknowledged, ready.records)
                self._entries.append(entry.encode())
                self.counters.orders += ready.count
                yield from self._apply(participant, ready.first, ready.records, time_ns)
        for session in self.matcher.touched:
            self._active[session.id] = self._participants[session.id]
        self.matcher.touched.clear()
        for participant in self._active.values():
            yield from self._bound_reports(participant, time_ns)
            self._reserve(participant)
            if participant.receiver.log.acknowledged - participant.acknowledged > ACKNOWLEDGED_STEP:
                self._acknowledging[participant.receiver.session] = participant
        if self._acknowledging:
            self._journal_acknowledgements()

    def wake_at_ns(self) -> int | None:
        """When the next round must be even without a datagram, in nanoseconds since 1970 UTC, or None.

        A round at that time or later moves it on.
        """
        return self.agenda.wake_at_ns()

    def take_entries(self) -> list[Entry]:
        """The journal entries of this round; commit them before :meth:`answers`."""
        entries, self._entries = self._entries, []
        return entries

    def answers(self) -> list[Datagram]:
        """All that the round has to tell; it ends with this."""
        self._answer_probes()
        out, self._replies = self._replies, []
        for participant in self._active.values():
            out += participant.receiver.answers()
        self._active.clear()
        for receiver, request, address, path in self._requests:
            out += [(address, receiver.book_reply(path, part)) for part in self._book_parts(receiver, request)]
        self._requests.clear()
        return out

    def _bound_reports(self, participant: _Participant, time_ns: int) -> Iterator[None]:
        receiver = participant.receiver
        if len(receiver.log) < self._limits.reports_max or not participant.orders.live:
            return
        entry = CancelAllInput(time_ns, receiver.session, Reason.REPORTS_FULL)
        self._entries.append(entry.encode())
        yield from self.matcher.cancel_session(participant.orders, Reason.REPORTS_FULL, time_ns)
        self.matcher.touched.clear()

    def _journal_acknowledgements(self) -> None:
        """So that neither a rerun nor a snapshot keeps reports of sessions that only rest orders and hear of trades."""
        behind = [(p.receiver.log.acknowledged - p.acknowledged, p) for p in self._acknowledging.values()]
        if not self._entries and all(reports <= ACKNOWLEDGED_ALONE for reports, _ in behind):
            return
        self._acknowledging.clear()
        for reports, participant in behind:
            if reports > ACKNOWLEDGED_STEP:
                participant.acknowledged += reports
                self._entries.append(AcknowledgedInput(participant.receiver.session, participant.acknowledged).encode())

    def _reserve(self, participant: _Participant) -> None:
        participant.receiver.reserved = participant.orders.reserved

    # --- handshake ----------------------------------------------------------------------------------------------------

    def _hello(self, frame: Frame, address: Address) -> None:
        if frame.version != frames.VERSION:
            self._replies.append((address, self._greeter.refuse_version(frame)))
            return
        hello = bodies.Hello.parse(frame.body)
        participant = self._participants.get(frame.session)
        refusal = self._greeter.refusal(frame, hello, participant.receiver if participant is not None else None)
        if refusal is None and participant is None and len(self._participants) >= self._limits.sessions_max:
            refusal = bodies.Refusal.SESSIONS_FULL, self._limits.sessions_max
        if refusal is not None:
            self._replies.append((address, self._greeter.refuse(frame, hello.nonce, *refusal)))
            return
        if participant is None:
            participant = self._add_participant(frame.session)
        receiver = participant.receiver
        if (receiver.epoch, receiver.nonce) != (frame.epoch, hello.nonce):
            self._entries.append(EpochInput(frame.session, hello.nonce, frame.epoch).encode())
            receiver.open_epoch(frame.epoch, hello.nonce, self.boot)
        elif not receiver.is_open:
            receiver.open_epoch(frame.epoch, hello.nonce, self.boot)
        receiver.limit_datagrams(hello.datagram_bytes_max)
        self._replies.append((address, self._greeter.welcome(frame, hello, receiver, self.engine_id, self.boot)))

    def _probe(self, frame: Frame, address: Address, path: Path) -> None:
        probe = Probe.parse(frame.body)
        self.counters.probes += path is Path.UDP
        if frame.version != frames.VERSION:
            refusal = self._greeter.refuse(frame, probe.nonce, bodies.Refusal.VERSION, frames.VERSION)
            self._replies.append((address, refusal))
        else:
            self._probes.append((frame, probe, address))

    def _answer_probes(self) -> None:
        # Only now, since they tell the time of their round.
        for frame, probe, address in self._probes:
            reply = probe.reply(self.engine_id, self.boot, self._last_time_ns, self.counters.probes)
            self._replies.append((address, self._greeter.answer_probe(frame, reply)))
        self._probes.clear()

    def _add_participant(self, session: int) -> _Participant:
        receiver = SessionReceiver(session, self._secret, self._limits.reports_max)
        participant = _Participant(receiver, self.matcher.open_session(session, receiver.log))
        self._participants[session] = participant
        return participant

    # --- book ---------------------------------------------------------------------------------------------------------

    def _book_parts(self, receiver: SessionReceiver, request: bodies.BookRequest) -> list[bytes]:
        if request.instrument not in self._instruments.by_id:
            parts = [bodies.BookReply(request.query, request.instrument, 0, 0, (), ())]
        else:
            bids, asks = self.matcher.book(request.instrument).depth(min(request.depth, BOOK_DEPTH_MAX))
            parts = bodies.book_replies(request, bids, asks, receiver.body_bytes_max)
        return [part.encode() for part in parts]
