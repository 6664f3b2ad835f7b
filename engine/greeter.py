"""The engine's side of handshakes: who may open a session, and the frames that answer. Pure.

A HELLO opens a session, or a new start of its orderd, and is answered with WELCOME or REFUSE; a PROBE asks whether the
engine hears. All of these are sealed with the key itself, since no session has keys of its own yet.
"""

from typing import Final

from orderd.link.receiver import SessionReceiver
from orderd.runtime.instruments import InstrumentTable
from orderd.wire import frames, tags
from orderd.wire.bodies import Hello, Refusal, Refuse, Welcome
from orderd.wire.frames import Frame, FrameType
from orderd.wire.probes import ProbeReply
from orderd.wire.tags import Direction

NONCE_BYTES: Final = 8
"""At the start of the body of each version of a HELLO."""


class Greeter:
    """Reads and writes the frames of handshakes; ``instruments`` is what both ends have to agree on."""

    def __init__(self, secret: bytes, instruments: InstrumentTable) -> None:
        self._secret = secret
        self._instruments = instruments

    def check(self, session: int, datagram: bytes) -> None:
        """Raises :class:`~orderd.wire.errors.TagError` unless ``datagram``, a HELLO or PROBE, has the key's tag."""
        tags.handshake_sealer(self._secret, session, Direction.TO_ENGINE).check(datagram)

    def refusal(self, frame: Frame, hello: Hello, receiver: SessionReceiver | None) -> tuple[Refusal, int] | None:
        """Why this HELLO is refused, with the detail that goes along, or None. ``receiver``: None for a new session."""
        for id_, digest in hello.digests.items():
            instrument = self._instruments.by_id.get(id_)
            if instrument is not None and instrument.digest != digest:
                return Refusal.INSTRUMENTS, id_
        if receiver is None:
            return None
        if frame.epoch < receiver.epoch or (frame.epoch == receiver.epoch and hello.nonce != receiver.nonce):
            return Refusal.FENCED, receiver.epoch
        if frame.epoch > receiver.epoch and frame.ack < receiver.log.acknowledged:
            # They are gone here; it would ask for them for ever.
            return Refusal.STATE, receiver.log.acknowledged
        return None

    def welcome(self, frame: Frame, hello: Hello, receiver: SessionReceiver, engine_id: int, boot: int) -> bytes:
        """The answer to a HELLO whose session is open."""
        body = Welcome(hello.nonce, engine_id, receiver.log.next, boot).encode()
        return self._seal(
            Frame(
                FrameType.WELCOME, frame.session, frame.epoch, first=receiver.next_sequence, ack=frame.counter,
                credit=receiver.credit, body=body,
            )
        )  # fmt: skip

    def refuse(self, frame: Frame, nonce: int, code: Refusal, detail: int) -> bytes:
        """The answer to a HELLO or PROBE that is refused."""
        body = Refuse(nonce, code, detail).encode()
        return self._seal(Frame(FrameType.REFUSE, frame.session, frame.epoch, ack=frame.counter, body=body))

    def refuse_version(self, frame: Frame) -> bytes:
        """The answer to a HELLO of another version."""
        nonce = int.from_bytes(frame.body[:NONCE_BYTES], "little")
        return self.refuse(frame, nonce, Refusal.VERSION, frames.VERSION)

    def answer_probe(self, frame: Frame, reply: ProbeReply) -> bytes:
        """The answer to a PROBE of our version."""
        body = reply.encode()
        return self._seal(Frame(FrameType.PROBE_REPLY, frame.session, frame.epoch, ack=frame.counter, body=body))

    def _seal(self, frame: Frame) -> bytes:
        sealer = tags.handshake_sealer(self._secret, frame.session, Direction.TO_ORDERD)
        return sealer.seal(frame.encode())
