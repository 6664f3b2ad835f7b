"""orderd's half of the handshake: HELLOs, and which WELCOME or REFUSE is to be believed.

A HELLO has its own counter, which WELCOME echoes. A WELCOME to a HELLO from before the last change of state is not
believed, since an old one that was delayed would look like an engine that lost its state.
"""

from typing import Final

import attrs

from orderd.link.errors import AnotherEngine, EngineLostState, JournalLostTail, SessionRefused, StrayFrame
from orderd.link.lanes import Lane, open_lanes
from orderd.wire import bodies, frames, tags
from orderd.wire.bodies import Refusal
from orderd.wire.frames import VERSION, Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.tags import Direction

HELLOS_REMEMBERED: Final = 16
_REFUSALS: Final = {
    Refusal.VERSION: f"it speaks version {{}} of the protocol, not {VERSION}",
    Refusal.INSTRUMENTS: "it has another instrument under the id {}",
    Refusal.FENCED: "a later start of this journal, or of a copy of it, was there: epoch {}",
    Refusal.SESSIONS_FULL: "its sessions_max is {}",
}


@attrs.frozen
class Identity:
    """What names a link: the journal's session, this start of it, this process, and what both ends must agree on."""

    session: int
    epoch: int
    nonce: int
    secret: bytes
    digests: dict[int, bytes]


@attrs.frozen
class Marks:
    """How far a link has come: sequences and reports below these are confirmed and taken in."""

    sequence: int
    report: int


class Handshake:
    """HELLOs out, answers in. ``engine`` is the id of the engine that the journal knows, 0 before the first WELCOME."""

    def __init__(self, identity: Identity, engine: int, datagram_bytes_max: int) -> None:
        self.identity = identity
        self.engine = engine
        self.boot = 0
        """Boot number of the engine that was connected to last."""
        self.counter = 0
        """HELLOs that were sent."""
        self._datagram_bytes_max = datagram_bytes_max
        self._out = tags.handshake_sealer(identity.secret, identity.session, Direction.TO_ENGINE)
        self._in = tags.handshake_sealer(identity.secret, identity.session, Direction.TO_ORDERD)
        self._hellos: dict[int, Marks] = {}

    def hello(self, marks: Marks, reports_journaled: int) -> bytes:
        """The datagram; an engine that answers it with less than ``marks`` has lost state."""
        identity = self.identity
        self.counter += 1
        self._hellos[self.counter] = marks
        while len(self._hellos) > HELLOS_REMEMBERED:
            del self._hellos[next(iter(self._hellos))]
        body = bodies.Hello(identity.nonce, identity.digests, self._datagram_bytes_max).encode()
        frame = Frame(FrameType.HELLO, identity.session, identity.epoch, self.counter, ack=reports_journaled, body=body)
        return self._out.seal(frame.encode())

    def forget_hellos(self) -> None:
        """The state changed: answers to what was sent before count no more."""
        self._hellos.clear()

    def open(self, datagram: bytes) -> Frame:
        """An answer of the engine's. Raises :class:`~orderd.wire.errors.TagError` unless it is one."""
        self._in.check(datagram)
        return frames.parse(datagram)

    def read_welcome(self, frame: Frame, marks: Marks, sent_end: int, *, connected: bool) -> bodies.Welcome | None:
        """The WELCOME in ``frame``, or None if it tells nothing new; ``marks`` are those of now.

        ``sent_end``: sequences below it may have been sent by this start or by an earlier one. An engine that has more
        had it from a journal whose end is lost; what came in since then would stand where that was.

        Raises :class:`~orderd.link.errors.StrayFrame`, or a :class:`~orderd.link.errors.LinkError`.
        """
        welcome = bodies.Welcome.parse(frame.body)
        if welcome.nonce != self.identity.nonce:
            raise StrayFrame("WELCOME to another process")
        hello = self._hellos.get(frame.ack)
        if hello is None:
            if connected and (welcome.engine, welcome.boot) == (self.engine, self.boot):
                return None
            raise StrayFrame("WELCOME to an old HELLO")
        if self.engine not in (0, welcome.engine):
            raise AnotherEngine(f"this journal belongs to engine {self.engine:016x}, not to {welcome.engine:016x}")
        if welcome.boot < self.boot:
            # Not a delayed one: all HELLOs that count were sent after boot `self.boot` answered.
            raise EngineLostState(f"engine was at boot {self.boot} and is back at boot {welcome.boot}")
        if welcome.boot != self.boot or not connected:
            # A new boot knows all that the last one told, and while not connected nothing is told.
            hello = marks
        if frame.first < hello.sequence or welcome.report_next < hello.report:
            raise EngineLostState(
                f"engine wants sequence {frame.first} and has reports below {welcome.report_next}, "
                f"but confirmed below {hello.sequence} and told below {hello.report}"
            )
        if frame.first > sent_end:
            raise JournalLostTail(f"engine executed below {frame.first}, the journal ends below {sent_end}")
        return None if connected and welcome.boot == self.boot else welcome

    def connect(self, welcome: bodies.Welcome) -> dict[Path, Lane] | None:
        """Take over who answered; the lanes of a new boot, or None if it is the one of before."""
        self.forget_hellos()
        self.engine = welcome.engine
        if welcome.boot == self.boot:
            return None
        self.boot = welcome.boot
        identity = self.identity
        key = (identity.secret, identity.session, identity.epoch, identity.nonce, welcome.boot)
        return open_lanes(key, Direction.TO_ENGINE)

    def read_refuse(self, frame: Frame, reports_journaled: int) -> str:
        """Raises what a REFUSE means; if it may be otherwise with the next HELLO, returns it, for people."""
        refuse = bodies.Refuse.parse(frame.body)
        if refuse.nonce != self.identity.nonce:
            raise StrayFrame("REFUSE to another process")
        if refuse.code is Refusal.STATE:
            raise JournalLostTail(
                f"reports below {refuse.detail} were acknowledged, the journal has those below {reports_journaled}"
            )
        text = f"engine refuses the session, {refuse.code.name}: {_REFUSALS[refuse.code].format(refuse.detail)}"
        if refuse.code is not Refusal.SESSIONS_FULL:
            raise SessionRefused(text, is_fencing=refuse.code is Refusal.FENCED)
        return text
