"""The engine answers probes out of its round and remembers nothing of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import EngineCore
from orderd.wire import frames, tags
from orderd.wire.bodies import Refusal, Refuse
from orderd.wire.errors import FrameError, TagError, WireError
from orderd.wire.frames import VERSION, Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.probes import PROBE_BYTES_MIN, Probe, ProbeReply
from orderd.wire.tags import Direction
from tests.support.virtual_engine import INSTRUMENTS

SECRET = bytes(range(32))
SESSION = 99
NOW_NS = 1_700_000_000_000_000_000


def new_core(secret: bytes = SECRET) -> EngineCore:
    core = EngineCore(engine_id=7, secret=secret, instruments=INSTRUMENTS)
    core.start()
    return core


def probe_datagram(
    size: int = PROBE_BYTES_MIN, reply_size: int = 0, *, secret: bytes = SECRET, version: int = VERSION
) -> bytes:
    body = Probe(5, 6, reply_size, size).encode()
    frame = Frame(FrameType.PROBE, SESSION, counter=3, body=body, version=version)
    return tags.handshake_sealer(secret, SESSION, Direction.TO_ENGINE).seal(frame.encode())


def answers(core: EngineCore) -> list[tuple[object, bytes]]:
    for _ in core.execute(NOW_NS):
        pass
    assert core.take_entries() == [], "nothing of a probe is journaled"
    return core.answers()


@pytest.mark.parametrize(("size", "reply_size", "answered"), [(112, 0, 112), (1472, 700, 700), (300, 2**32 - 1, 300)])
def test_a_probe_is_answered_with_who_the_engine_is_and_what_arrived(size: int, reply_size: int, answered: int) -> None:
    core = new_core()
    core.receive(probe_datagram(size, reply_size), "here")
    ((address, datagram),) = answers(core)
    tags.handshake_sealer(SECRET, SESSION, Direction.TO_ORDERD).check(datagram)
    frame = frames.parse(datagram)
    assert (address, frame.type, frame.session, frame.ack) == ("here", FrameType.PROBE_REPLY, SESSION, 3)
    assert ProbeReply.parse(frame.body) == ProbeReply(5, 6, 7, NOW_NS, core.boot, size, 1, answered)
    assert len(datagram) == answered
    assert core.answers() == []


def test_a_probe_over_grpc_is_answered_and_tells_how_many_came_over_udp() -> None:
    core = new_core()
    for path in (Path.UDP, Path.GRPC, Path.UDP, Path.GRPC):
        core.receive(probe_datagram(), "here", path)
    told = [ProbeReply.parse(frames.parse(datagram).body).probes for _, datagram in answers(core)]
    assert told == [2, 2, 2, 2]


def test_a_probe_opens_no_session() -> None:
    core = new_core()
    for _ in range(200):  # More than there may be sessions.
        core.receive(probe_datagram(), "here")
    assert len(answers(core)) == core.counters.probes == 200
    poll = tags.handshake_sealer(SECRET, SESSION, Direction.TO_ENGINE).seal(Frame(FrameType.POLL, SESSION).encode())
    with pytest.raises(WireError, match="no such session"):
        core.receive(poll, "here")


def test_a_probe_of_another_version_is_refused_with_the_version_spoken_here() -> None:
    core = new_core()
    core.receive(probe_datagram(version=99), "here")
    ((_, datagram),) = answers(core)
    frame = frames.parse(datagram)
    assert (frame.type, frame.version, frame.ack) == (FrameType.REFUSE, VERSION, 3)
    assert Refuse.parse(frame.body) == Refuse(5, Refusal.VERSION, VERSION)
    assert len(datagram) <= PROBE_BYTES_MIN


@pytest.mark.parametrize("other", [b"", bytes(32)])
def test_a_probe_with_another_key_is_not_answered(other: bytes) -> None:
    core = new_core()
    with pytest.raises(TagError):
        core.receive(probe_datagram(secret=other), "here")
    assert answers(core) == []


@given(st.binary(max_size=47), st.integers(0, 255))
def test_a_probe_that_is_cut_short_is_not_answered_whatever_its_version(body: bytes, version: int) -> None:
    core = new_core()
    frame = Frame(FrameType.PROBE, SESSION, body=body, version=version)
    with pytest.raises(FrameError, match="cut short"):
        core.receive(tags.handshake_sealer(SECRET, SESSION, Direction.TO_ENGINE).seal(frame.encode()), "here")
    assert answers(core) == []
