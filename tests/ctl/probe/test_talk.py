"""A probing knows its answers from everything else, and nothing that comes back makes it fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.ctl.probe.talk import Arrival, Kind, Talk
from orderd.wire import frames, tags
from orderd.wire.bodies import Refusal, Refuse
from orderd.wire.frames import Frame, FrameType
from orderd.wire.probes import Probe, ProbeReply
from orderd.wire.tags import Direction

SECRET = bytes(range(32))
SESSION, NONCE = 77, 88


def new_talk() -> Talk:
    return Talk(SECRET, SESSION, NONCE)


def answer(body: bytes, type_: FrameType = FrameType.PROBE_REPLY, *, ack: int = 1, secret: bytes = SECRET) -> bytes:
    frame = Frame(type_, SESSION, ack=ack, body=body)
    return tags.handshake_sealer(secret, SESSION, Direction.TO_ORDERD).seal(frame.encode())


def reply(*, nonce: int = NONCE, echo: int = 1) -> ProbeReply:
    return ProbeReply(nonce, echo, 5, 6, 7, 112, 9)


def test_probes_are_numbered_and_have_the_size_wanted() -> None:
    talk = new_talk()
    for wanted in (1, 2):
        number, datagram = talk.probe(1472, 300)
        tags.handshake_sealer(SECRET, SESSION, Direction.TO_ENGINE).check(datagram)
        frame = frames.parse(datagram)
        assert (number, frame.counter, len(datagram)) == (wanted, wanted, 1472)
        assert Probe.parse(frame.body) == Probe(NONCE, wanted, 300, 1472)


def test_an_answer_is_known_by_number() -> None:
    assert new_talk().read(answer(reply().encode())) == Arrival(Kind.ANSWER, 1, reply())


def test_another_version_is_told_with_its_number() -> None:
    refuse = Refuse(NONCE, Refusal.VERSION, 99).encode()
    assert new_talk().read(answer(refuse, FrameType.REFUSE)) == Arrival(Kind.VERSION, version=99)


@pytest.mark.parametrize(
    ("datagram", "kind"),
    [
        (b"", Kind.FOREIGN),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, Kind.FOREIGN),
        (new_talk().probe(112, 112)[1], Kind.ECHO),
        (answer(reply().encode(), secret=b""), Kind.DAMAGED),
        (answer(reply().encode()[:-1]), Kind.DAMAGED),
        (answer(reply(nonce=1).encode()), Kind.FOREIGN),
        (answer(reply(echo=2).encode()), Kind.FOREIGN),
        (answer(Refuse(NONCE, Refusal.STATE, 9).encode(), FrameType.REFUSE), Kind.FOREIGN),
        (answer(Refuse(1, Refusal.VERSION, 9).encode(), FrameType.REFUSE), Kind.FOREIGN),
        (answer(b"", FrameType.BYE), Kind.FOREIGN),
        (Talk(SECRET, SESSION + 1, NONCE).probe(112, 112)[1], Kind.FOREIGN),
    ],
)
def test_what_is_no_answer_is_named(datagram: bytes, kind: Kind) -> None:
    assert new_talk().read(datagram) == Arrival(kind)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_foreign(datagram: bytes) -> None:
    assert new_talk().read(datagram).kind is Kind.FOREIGN


@given(st.binary(min_size=1, max_size=60), st.integers(0, 111))
def test_a_spoiled_answer_is_never_an_answer(noise: bytes, at: int) -> None:
    datagram = bytearray(answer(reply().encode()))
    datagram[at : at + len(noise)] = noise
    good = bytes(datagram) == answer(reply().encode())
    assert (new_talk().read(bytes(datagram)).kind is Kind.ANSWER) == good
