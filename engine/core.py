"""The engine without its shells: sessions, execution and answers. Pure.

One round is: :meth:`EngineCore.receive` for each datagram that is there, :meth:`EngineCore.execute` until it is
through, then the journal entries are committed, then :meth:`EngineCore.answers` are sent. Nothing that a round caused
leaves before its commit: answers are made only on request, and a round that could not be committed is the engine's
last.

A restart is the same without datagrams: :meth:`EngineCore.replay` for each journal entry, in order.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from engine.inputs import (
    Boot,
    CancelAllInput,
    Entry,
    EpochInput,
    InputError,
    InstrumentInput,
    OrdersInput,
    decode,
)
from engine.matcher import Matcher
from engine.orders import Session
from orderd.link.errors import StrayFrame
from orderd.link.receiver import SessionReceiver
from orderd.runtime.instruments import InstrumentTable
from orderd.wire import bodies, frames, tags
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.probes import Probe
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Reason
from orderd.wire.tags import Direction

SLICE_RECORDS: Final = 512
BOOK_DEPTH_MAX: Final = 1000

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


class EngineCore:
    """Everything the engine decides."""

    def __init__(
        self, *, engine_id: int, secret: bytes, instruments: InstrumentTable, limits: EngineLimits | None = None
    ) -> None:
        self.engine_id = engine_id
        self.boot = 0
        self.counters = EngineCounters()
        self.matcher = Matcher(instruments.by_id)
        self._secret = secret
        self._instruments = instruments
        self._limits = limits or EngineLimits()
        self._participants: dict[int, _Participant] = {}
        self._journaled_instruments: dict[int, InstrumentInput] = {}
        self._last_time_ns = 0
        self._entries: list[Entry] = []
        self._active: dict[int, _Participant] = {}  # sessions of this round, by id
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
            self.matcher.cancel_session(participant.orders, Reason(entry.reason), entry.time_ns)
        elif isinstance(entry, InstrumentInput):
            self._journaled_instruments[entry.id] = entry
            if entry.id not in self._instruments.by_id:
                self.matcher.add_instrument(entry.id)
        else:
            self.boot = entry.boot

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
                entries.append(InstrumentInput(instrument.id, instrument.digest, text).encode())
        self.boot += 1
        entries.append(Boot(self.boot).encode())
        self.matcher.touched.clear()
        for participant in self._participants.values():
            self._reserve(participant)
        return entries

    # --- a round ------------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: Address, path: Path = Path.UDP) -> None:
        """Take a frame in that came over ``path``; it is answered to ``address``.

        Raises a :class:`~orderd.wire.errors.WireError` for what is to be counted and dropped.
        """
        frame = frames.parse(datagram)
        if frame.type is FrameType.HELLO:
            tags.handshake_sealer(self._secret, frame.session, Direction.TO_ENGINE).check(datagram)
            self._hello(frame, address)
            return
        if frame.type is FrameType.PROBE:
            tags.handshake_sealer(self._secret, frame.session, Direction.TO_ENGINE).check(datagram)
            self._probe(frame, address, path)
            return
        participant = self._participants.get(frame.session)
        if participant is None:
            raise StrayFrame("no such session")
        if frame.type not in (FrameType.ORDERS, FrameType.POLL, FrameType.BYE, FrameType.BOOK_REQUEST):
            raise StrayFrame("not a frame that orderd sends")
        participant.receiver.receive(frame, datagram, address, path)
        self.counters.frames += 1
        self._active[frame.session] = participant
        if frame.type is FrameType.BOOK_REQUEST:
            self._requests.append((participant.receiver, bodies.BookRequest.parse(frame.body), address, path))

    def execute(self, now_ns: int) -> Iterator[None]:
        """Execute all that is ready, a slice at a time.

        The caller may do other things at each yield, but receive nothing.
        """
        time_ns = self._last_time_ns = max(now_ns, self._last_time_ns)
        for participant in list(self._active.values()):
            receiver = participant.receiver
            while (ready := receiver.take_ready()) is not None:
                acknowledged = receiver.log.acknowledged
                entry = OrdersInput(time_ns, receiver.session, ready.first, acknowledged, ready.records)
                self._entries.append(entry.encode())
                self.counters.orders += ready.count
                yield from self._apply(participant, ready.first, ready.records, time_ns)
        for session in self.matcher.touched:
            self._active[session.id] = self._participants[session.id]
        self.matcher.touched.clear()
        for participant in self._active.values():
            self._bound_reports(participant, time_ns)
            self._reserve(participant)

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

    def _bound_reports(self, participant: _Participant, time_ns: int) -> None:
        receiver = participant.receiver
        if len(receiver.log) < self._limits.reports_max or not participant.orders.live:
            return
        entry = CancelAllInput(time_ns, receiver.session, Reason.REPORTS_FULL)
        self._entries.append(entry.encode())
        self.matcher.cancel_session(participant.orders, Reason.REPORTS_FULL, time_ns)
        self.matcher.touched.clear()

    def _reserve(self, participant: _Participant) -> None:
        participant.receiver.reserved = len(participant.orders.live)

    # --- handshake ----------------------------------------------------------------------------------------------------

    def _hello(self, frame: Frame, address: Address) -> None:
        if frame.version != frames.VERSION:
            self._refuse(
                frame, int.from_bytes(frame.body[:8], "little"), bodies.Refusal.VERSION, frames.VERSION, address
            )
            return
        hello = bodies.Hello.parse(frame.body)
        participant = self._participants.get(frame.session)
        refusal = self._refusal(frame, hello, participant)
        if refusal is not None:
            self._refuse(frame, hello.nonce, *refusal, address)
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
        body = bodies.Welcome(hello.nonce, self.engine_id, receiver.log.next, self.boot).encode()
        welcome = Frame(
            FrameType.WELCOME, frame.session, frame.epoch, first=receiver.next_sequence, ack=frame.counter,
            credit=receiver.credit, body=body,
        )  # fmt: skip
        self._reply(welcome, address)

    def _refusal(
        self, frame: Frame, hello: bodies.Hello, participant: _Participant | None
    ) -> tuple[bodies.Refusal, int] | None:
        for id_, digest in hello.digests.items():
            instrument = self._instruments.by_id.get(id_)
            if instrument is not None and instrument.digest != digest:
                return bodies.Refusal.INSTRUMENTS, id_
        if participant is None:
            full = len(self._participants) >= self._limits.sessions_max
            return (bodies.Refusal.SESSIONS_FULL, self._limits.sessions_max) if full else None
        receiver = participant.receiver
        if frame.epoch < receiver.epoch or (frame.epoch == receiver.epoch and hello.nonce != receiver.nonce):
            return bodies.Refusal.FENCED, receiver.epoch
        if frame.epoch > receiver.epoch and frame.ack < receiver.log.acknowledged:
            # They are gone here; it would ask for them for ever.
            return bodies.Refusal.STATE, receiver.log.acknowledged
        return None

    def _refuse(self, frame: Frame, nonce: int, code: bodies.Refusal, detail: int, address: Address) -> None:
        body = bodies.Refuse(nonce, code, detail).encode()
        self._reply(Frame(FrameType.REFUSE, frame.session, frame.epoch, ack=frame.counter, body=body), address)

    def _probe(self, frame: Frame, address: Address, path: Path) -> None:
        probe = Probe.parse(frame.body)
        self.counters.probes += path is Path.UDP
        if frame.version != frames.VERSION:
            self._refuse(frame, probe.nonce, bodies.Refusal.VERSION, frames.VERSION, address)
        else:
            self._probes.append((frame, probe, address))

    def _answer_probes(self) -> None:
        # Only now, since they tell the time of their round.
        for frame, probe, address in self._probes:
            body = probe.reply(self.engine_id, self.boot, self._last_time_ns, self.counters.probes).encode()
            self._reply(Frame(FrameType.PROBE_REPLY, frame.session, frame.epoch, ack=frame.counter, body=body), address)
        self._probes.clear()

    def _reply(self, frame: Frame, address: Address) -> None:
        sealer = tags.handshake_sealer(self._secret, frame.session, Direction.TO_ORDERD)
        self._replies.append((address, sealer.seal(frame.encode())))

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
