"""Who may speak to whom: epochs, nonces, boots, refusals, and what must halt the link or must not."""

from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import EngineLimits
from orderd.link.errors import EngineLostState, SessionRefused, StrayFrame
from orderd.link.handshake import Identity
from orderd.link.sender import SessionSender
from orderd.link.terms import Connected, LinkState, SenderSettings, TransportChanged
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire import bodies, frames, tags
from orderd.wire.errors import TagError
from orderd.wire.frames import Frame, FrameType
from orderd.wire.tags import Direction
from tests.support.lossy_link import World, copy_of, is_type, mixed_records
from tests.support.matching import BUY, limit
from tests.support.scale import examples

SECRET = b"s" * 32


def hello(
    epoch: int = 1,
    nonce: int = 5,
    *,
    session: int = 900,
    version: int = frames.VERSION,
    ack: int = 1,
    secret: bytes = b"",
) -> bytes:
    frame = Frame(
        FrameType.HELLO, session, epoch, 1, ack=ack, body=bodies.Hello(nonce, {}, 1472).encode(), version=version
    )
    return tags.handshake_sealer(secret, session, Direction.TO_ENGINE).seal(frame.encode())


def answer(world: World, datagram: bytes, *, session: int = 900, secret: bytes = b"") -> Frame:
    """The one frame that the engine answers with."""
    core = world.engine.core
    assert core is not None
    core.receive(datagram, "here")
    list(core.execute(1))
    core.take_entries()
    ((address, out),) = core.answers()
    assert address == "here"
    tags.handshake_sealer(secret, session, Direction.TO_ORDERD).check(out)
    return frames.parse(out)


def refusal(world: World, datagram: bytes) -> tuple[bodies.Refusal, int]:
    frame = answer(world, datagram)
    assert frame.type is FrameType.REFUSE
    body = bodies.Refuse.parse(frame.body)
    return body.code, body.detail


def test_welcome_tells_where_to_go_on_and_echoes_nonce_and_counter() -> None:
    world = World()
    frame = answer(world, hello(nonce=77))
    welcome = bodies.Welcome.parse(frame.body)
    assert (frame.type, frame.first, frame.ack, frame.epoch) == (FrameType.WELCOME, 1, 1, 1)
    assert (welcome.nonce, welcome.engine, welcome.boot, welcome.report_next) == (77, 7, 1, 1)
    assert frame.credit > 0


def test_an_older_epoch_and_a_copied_journal_are_fenced() -> None:
    world = World()
    answer(world, hello(epoch=5, nonce=1))
    assert refusal(world, hello(epoch=4, nonce=1)) == (bodies.Refusal.FENCED, 5)
    assert refusal(world, hello(epoch=5, nonce=2)) == (bodies.Refusal.FENCED, 5)
    assert answer(world, hello(epoch=5, nonce=1)).type is FrameType.WELCOME
    assert answer(world, hello(epoch=6, nonce=2)).type is FrameType.WELCOME


def test_fencing_survives_a_restart_of_the_engine() -> None:
    world = World()
    world.run(0.1)
    end = world.end
    other = copy_of(end)
    other.epoch -= 1
    world.engine.crash()
    world.engine.start()
    other.start()
    world.ends.append(other)
    with pytest.raises(SessionRefused, match="FENCED"):
        world.run(1.0)


def test_a_process_that_was_fenced_off_finds_out() -> None:
    world = World()
    end = world.end
    end.place(limit(1, BUY, 1, 100))
    world.settle()
    later = copy_of(end)
    later.start()
    world.ends.append(later)
    with pytest.raises(SessionRefused, match="FENCED"):
        world.run(5.0)
    world.ends.remove(end)
    later.place(limit(2, BUY, 1, 100))
    assert world.run(1.0, lambda: later.settled)


def test_another_version_hears_which_one_is_spoken_here() -> None:
    assert refusal(World(), hello(version=9)) == (bodies.Refusal.VERSION, frames.VERSION)


def test_other_instruments_are_refused_and_missing_ones_are_not() -> None:
    world = World()
    world.engine.crash()
    world.engine.durable.clear()
    world.engine.instruments = InstrumentTable([Instrument("AAPL", 1, "0.05", "1")])
    world.engine.start()
    with pytest.raises(SessionRefused, match=r"INSTRUMENTS: .* id 1"):
        world.run(1.0)
    fewer = World()
    fewer.engine.crash()
    fewer.engine.durable.clear()
    fewer.engine.instruments = InstrumentTable([Instrument("AAPL", 1, "0.01", "1")])
    fewer.engine.start()
    assert fewer.run(1.0, lambda: fewer.end.settled)


def test_a_full_engine_takes_no_more_sessions_and_is_asked_again_later() -> None:
    world = World(sessions=2, limits=EngineLimits(sessions_max=1))
    world.run(2.0)
    down, up = sorted((end.link for end in world.ends), key=lambda link: link.state)
    assert (down.state, up.state) == (LinkState.DOWN, LinkState.UP)
    assert down.health.reason == "UDP: engine refuses the session, SESSIONS_FULL: its sessions_max is 1"
    assert refusal(world, hello(session=900)) == (bodies.Refusal.SESSIONS_FULL, 1)


def test_a_frame_made_with_another_key_or_for_another_session_is_dropped() -> None:
    world = World(secret=SECRET)
    core = world.engine.core
    assert core is not None
    with pytest.raises(TagError):
        core.receive(hello(secret=b"t" * 32), "here")
    with pytest.raises(TagError):
        core.receive(hello(secret=b""), "here")
    world.run(0.1)
    assert world.end.link.state is LinkState.UP
    poll = Frame(FrameType.POLL, world.end.session, 1).encode()
    with pytest.raises(TagError):
        core.receive(tags.Sealer(bytes(32)).seal(poll), "here")
    with pytest.raises(StrayFrame, match="no such session"):
        core.receive(tags.Sealer(b"").seal(Frame(FrameType.POLL, 1).encode()), "here")
    with pytest.raises(StrayFrame, match="not a frame that orderd sends"):
        core.receive(tags.Sealer(b"").seal(Frame(FrameType.REPORTS, world.end.session).encode()), "here")


def test_a_restarted_engine_answers_at_once_and_is_not_taken_for_a_broken_path() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.engine.crash()
    world.engine.start()
    world.end.place(limit(2, BUY, 1, 100))
    assert world.run(0.02, lambda: world.end.settled)
    assert [type(event) for event in world.end.events] == [Connected, TransportChanged, Connected]
    assert world.end.events[-1] == Connected(7, 2, 2)


@settings(max_examples=examples(30))
@given(st.integers(0, 2**32), st.lists(st.sampled_from(["orderd", "engine", "place", "wait"]), max_size=10))
def test_everything_ever_sent_may_come_again_without_harm(seed: int, actions: list[str]) -> None:
    world = World(seed)
    end, engine = world.end, world.engine
    to_engine: list[bytes] = []
    to_orderd: list[bytes] = []

    def keep(datagram: bytes) -> bool:
        towards_orderd = is_type(datagram, FrameType.WELCOME, FrameType.REPORTS, FrameType.REFUSE, FrameType.BOOK_REPLY)
        (to_orderd if towards_orderd else to_engine).append(datagram)
        return True

    world.seen = keep
    for step, action in enumerate(actions):
        if action == "orderd":
            end.crash()
            end.start()
        elif action == "engine":
            engine.crash()
            engine.start()
        elif action == "place":
            end.place(*mixed_records(world.rng, 3, 10 * step + 1))
        world.run(0.1 if action == "wait" else 0.0003)
        for datagram in world.rng.sample(to_engine, min(len(to_engine), 20)):
            engine.arrive(datagram, end)
        for datagram in world.rng.sample(to_orderd, min(len(to_orderd), 20)):
            end.arrive(datagram)
    world.settle()
    # An engine that was just started again is noticed by the next keepalive.
    world.run(2.0)
    before = (end.link.counters.retransmits, list(end.told), list(engine.durable))
    rejected = engine.rejected
    hellos = sum(is_type(datagram, FrameType.HELLO) for datagram in to_engine)
    world.seen = lambda _: True
    for datagram in to_engine:
        engine.arrive(datagram, end)
    for datagram in to_orderd:
        end.arrive(datagram)
    world.run(0.05)
    assert (end.link.counters.retransmits, end.told, engine.durable) == before
    assert engine.rejected - rejected == len(to_engine) - hellos


def test_a_welcome_to_a_hello_of_before_the_connection_is_not_believed() -> None:
    world = World()
    welcomes: list[bytes] = []

    def keep_welcomes(datagram: bytes) -> bool:
        if is_type(datagram, FrameType.WELCOME):
            welcomes.append(datagram)
            return False
        return True

    world.seen = keep_welcomes
    world.run(0.05)
    assert len(welcomes) > 1
    world.seen = lambda _: True
    world.run(0.3, lambda: world.end.settled)
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    # They say that nothing was ever executed.
    for welcome in welcomes:
        assert world.end.link.receive(welcome, world.now) == []
        assert world.end.link.state is LinkState.UP
        assert world.end.link.acknowledged == 2
    world.settle()


def sender_of(nonce: int = 5, **marks: int) -> SessionSender:
    values = {"acknowledged": 1, "reports_wanted": 1, **marks}
    return SessionSender(Identity(900, 1, nonce, b"", {}), SenderSettings(), lambda *_: b"", **values)


def handshake_frame(type_: FrameType, body: bytes, *, ack: int = 1, first: int = 1) -> bytes:
    frame = Frame(type_, 900, 1, first=first, ack=ack, credit=100, body=body)
    return tags.handshake_sealer(b"", 900, Direction.TO_ORDERD).seal(frame.encode())


def test_answers_to_another_process_are_not_for_us() -> None:
    sender = sender_of()
    sender.datagrams(0.0)
    with pytest.raises(StrayFrame, match="another process"):
        sender.receive(handshake_frame(FrameType.WELCOME, bodies.Welcome(6, 7, 1, 1).encode()), 0.0)
    with pytest.raises(StrayFrame, match="another process"):
        sender.receive(handshake_frame(FrameType.REFUSE, bodies.Refuse(6, bodies.Refusal.FENCED, 9).encode()), 0.0)
    with pytest.raises(StrayFrame, match="old HELLO"):
        sender.receive(handshake_frame(FrameType.WELCOME, bodies.Welcome(5, 7, 1, 1).encode(), ack=2), 0.0)
    assert sender.events == deque()
    sender.receive(handshake_frame(FrameType.WELCOME, bodies.Welcome(5, 7, 1, 1).encode()), 0.0)
    assert sender.events[0] == Connected(7, 1, 1)


def test_an_engine_without_the_reports_that_were_told_has_lost_state() -> None:
    sender = sender_of(reports_wanted=10)
    sender.datagrams(0.0)
    with pytest.raises(EngineLostState, match="has reports below 9"):
        sender.receive(handshake_frame(FrameType.WELCOME, bodies.Welcome(5, 7, 9, 1).encode()), 0.0)


def test_hello_goes_out_ever_slower_up_to_the_probe_interval() -> None:
    sender = sender_of()
    times = []
    now = 10.0
    for _ in range(8):
        now = max(now, sender.wake_at())
        assert len(sender.datagrams(now)) == 1
        times.append(now)
    gaps = [round(b - a, 6) for a, b in pairwise(times)]
    assert gaps == [0.02, 0.04, 0.08, 0.16, 0.25, 0.25, 0.25]
