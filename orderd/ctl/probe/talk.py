"""What a probing says and what it makes of the datagrams that come back. Pure.

A probing is one session id and one nonce, both drawn for it; each of its probes has a number of its own, which the
header's packet counter carries and the answer acknowledges.
"""

from enum import Enum

import attrs

from orderd.wire import frames, tags
from orderd.wire.bodies import Refusal, Refuse
from orderd.wire.errors import FrameError, TagError
from orderd.wire.frames import Frame, FrameType
from orderd.wire.probes import Probe, ProbeReply
from orderd.wire.tags import Direction


class Kind(Enum):
    """What a datagram that came back is."""

    ANSWER = "answer"
    """A PROBE_REPLY to one of ours."""
    VERSION = "version"
    """A REFUSE: the engine speaks another version of the protocol."""
    ECHO = "echo"
    """One of our own probes, sent back."""
    DAMAGED = "damaged"
    """A frame of our session whose tag or body does not fit."""
    FOREIGN = "foreign"
    """Anything else: what is there is no engine."""


@attrs.frozen
class Arrival:
    """A datagram that came back. ``number`` and ``reply`` are those of an ANSWER, ``version`` that of a VERSION."""

    kind: Kind
    number: int = 0
    reply: ProbeReply | None = None
    version: int = 0


class Talk:
    """Makes probes and reads what comes back. ``secret`` is the site's, empty for none; ``session``, ``nonce``: u64."""

    def __init__(self, secret: bytes, session: int, nonce: int) -> None:
        self._session = session
        self._nonce = nonce
        self._number = 0
        self._out = tags.handshake_sealer(secret, session, Direction.TO_ENGINE)
        self._in = tags.handshake_sealer(secret, session, Direction.TO_ORDERD)

    def probe(self, size: int, reply_size: int) -> tuple[int, bytes]:
        """The next probe's number, from 1, and its datagram of ``size`` bytes, which asks for ``reply_size`` back."""
        self._number += 1
        body = Probe(self._nonce, self._number, reply_size, size).encode()
        frame = Frame(FrameType.PROBE, self._session, counter=self._number, body=body)
        return self._number, self._out.seal(frame.encode())

    def read(self, datagram: bytes) -> Arrival:
        """What ``datagram`` is; raises nothing."""
        try:
            frame = frames.parse(datagram)
        except FrameError:
            return Arrival(Kind.FOREIGN)
        if frame.session != self._session:
            return Arrival(Kind.FOREIGN)
        if frame.type is FrameType.PROBE:
            return Arrival(Kind.ECHO)
        try:
            self._in.check(datagram)
            return self._authentic(frame)
        except (TagError, FrameError):
            return Arrival(Kind.DAMAGED)

    def _authentic(self, frame: Frame) -> Arrival:
        if frame.type is FrameType.PROBE_REPLY:
            reply = ProbeReply.parse(frame.body)
            if reply.nonce == self._nonce and reply.echo == frame.ack:
                return Arrival(Kind.ANSWER, frame.ack, reply)
        elif frame.type is FrameType.REFUSE:
            refuse = Refuse.parse(frame.body)
            if refuse.nonce == self._nonce and refuse.code is Refusal.VERSION:
                return Arrival(Kind.VERSION, version=refuse.detail)
        return Arrival(Kind.FOREIGN)
