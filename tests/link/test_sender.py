"""Timers of orderd's end, seen from its datagrams."""

import pytest

from engine.core import EngineLimits
from orderd.link.errors import StrayFrame
from orderd.link.handshake import Identity
from orderd.link.health import TransportState
from orderd.link.sender import SessionSender
from orderd.link.terms import LinkState, SenderSettings, TransportChanged
from orderd.wire import frames, tags
from orderd.wire.bodies import BookReply, Reports, Welcome
from orderd.wire.frames import Frame, FrameType
from orderd.wire.tags import Direction
from tests.support.lossy_link import World, is_type
from tests.support.matching import BUY, SELL, limit


def test_orders_from_before_a_restart_are_sent_without_an_age() -> None:
    world = World()
    ages: list[int] = []

    def note_age(datagram: bytes) -> bool:
        if is_type(datagram, FrameType.ORDERS):
            ages.append(frames.parse(datagram).age_us)
        return True

    world.seen = note_age
    world.end.crash()
    world.end.place(limit(1, BUY, 1, 100))
    world.end.start()
    assert world.run(1.0, lambda: world.end.settled)
    assert ages == [0]


def test_the_age_of_a_frame_is_that_of_its_oldest_record_and_grows_with_each_retransmission() -> None:
    world = World()
    world.run(0.1)
    ages: list[int] = []

    def lose_two(datagram: bytes) -> bool:
        if not is_type(datagram, FrameType.ORDERS):
            return True
        ages.append(frames.parse(datagram).age_us)
        return len(ages) > 2

    world.seen = lose_two
    world.end.place(limit(1, BUY, 1, 100))
    world.run(1.0, lambda: world.end.settled)
    assert ages[0] == 0
    assert 0 < ages[1] < ages[2]


def test_a_path_that_went_dead_is_given_up_after_the_retransmissions_that_are_allowed() -> None:
    world = World(settings=SenderSettings(retransmits_max=2))
    world.run(0.1)
    world.seen = lambda _: False
    world.end.place(limit(1, BUY, 1, 100))
    assert world.run(1.0, lambda: world.end.link.state is LinkState.DOWN)
    assert world.end.link.counters.retransmits == 8, "three times two, and each time it began anew"
    assert world.end.events[-1] == TransportChanged(
        TransportState.ENGINE_DOWN, "UDP: no answer to 2 retransmissions, 3 frames in a row"
    )
    world.settle()


def connected() -> SessionSender:
    """A link that an engine has just answered; its records are empty."""
    identity = Identity(9, 1, 5, b"", {})
    link = SessionSender(identity, SenderSettings(), lambda *_: b"", acknowledged=1, reports_wanted=1)
    link.datagrams(0.0)
    welcome = Frame(FrameType.WELCOME, 9, 1, first=1, ack=1, credit=999, body=Welcome(5, 7, 1, 1).encode())
    link.receive(tags.handshake_sealer(b"", 9, Direction.TO_ORDERD).seal(welcome.encode()), 0.0)
    return link


def reports_frame(counter: int, ack: int, largest: int) -> bytes:
    """An acknowledgement from that engine, of ``largest`` and the counter before it."""
    frame = Frame(FrameType.REPORTS, 9, 1, counter, ack=ack, credit=999, body=Reports(largest, 1, 1, b"").encode())
    return tags.Sealer(tags.derive_key(b"", 9, 1, 5, 1, Direction.TO_ORDERD)).seal(frame.encode())


@pytest.mark.parametrize(("ack", "largest"), [(3, 0), (2, 1), (2**64 - 1, 0), (2, 2**64 - 1)])
def test_what_was_never_sent_cannot_be_acknowledged(ack: int, largest: int) -> None:
    link = connected()
    link.release(2, 1.0)
    assert len(link.datagrams(1.0)) == 1
    with pytest.raises(StrayFrame, match="never sent"):
        link.receive(reports_frame(0, ack, largest), 1.0)
    assert (link.acknowledged, link.in_flight) == (1, 1)
    link.receive(reports_frame(1, 2, 0), 1.0)
    assert (link.acknowledged, link.in_flight) == (2, 0)


def test_losses_that_recover_never_add_up_to_a_dead_path() -> None:
    # Each answer names a book request as the largest counter, so that none of them measures a round trip.
    link = connected()
    now = 1.0
    for number in range(1, 20):
        link.release(number + 1, now)
        link.datagrams(now)
        now = link.wake_at()
        assert len(link.datagrams(now)) == 2, "the orders again, and a HELLO"
        largest = frames.parse(link.book_request(number, 1, 1)[0]).counter
        link.receive(reports_frame(number, number + 1, largest), now)
        assert link.udp.round_trip.timeout == link.settings.timeout_initial
    assert link.state is LinkState.UP


def test_a_book_is_answered_and_costs_the_link_nothing() -> None:
    world = World()
    world.end.place(limit(1, BUY, 3, 100), limit(2, SELL, 4, 101))
    world.settle()
    world.end.ask_book(9, 1, 10)
    world.end.ask_book(10, 99, 10)
    assert world.run(0.01, lambda: len(world.end.books) == 2)
    assert world.end.books == [BookReply(9, 1, 0, 1, ((100, 3, 1),), ((101, 4, 1),)), BookReply(10, 99, 0, 0, (), ())]


def test_reports_that_are_missing_are_asked_for_by_number() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(*[limit(i, BUY, 1, 100) for i in range(1, 6)])
    world.run(0.5)
    asked: list[tuple[int, int]] = []

    def drop_some(datagram: bytes) -> bool:
        frame = frames.parse(datagram)
        if frame.session == maker.session and frame.type is FrameType.POLL and frame.count:
            asked.append((frame.first, frame.count))
        return not (frame.type is FrameType.REPORTS and frame.session == maker.session and frame.first in (6, 7))

    world.seen = drop_some
    for number in range(11, 14):
        taker.place(limit(number, SELL, 1, 100))
        world.run(0.0005, lambda: bool(asked))
    world.run(0.001)
    assert asked[0] == (6, 2)
    world.settle()


def test_a_link_that_stops_says_goodbye_and_hears_nothing_unasked_after_it() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(limit(1, BUY, 1, 100))
    world.settle()
    maker.goodbye()
    world.run(0.001)
    before = dict(world.sent)
    taker.place(limit(2, SELL, 1, 100))
    world.run(0.002)
    assert taker.settled
    assert world.sent[FrameType.REPORTS] - before[FrameType.REPORTS] <= 2
    maker.link.polls.watch = True
    world.settle()
    assert len(maker.told) == 2


def test_a_down_link_sends_nothing_of_an_epoch() -> None:
    world = World()
    world.end.crash()
    world.end.start()
    assert world.end.link.goodbye() == []
    assert world.end.link.book_request(1, 1, 1) == []


def test_an_answer_that_was_overtaken_does_not_bring_back_its_credit() -> None:
    world = World(limits=EngineLimits(reports_max=1000))
    world.run(0.1)
    held: list[bytes] = []

    def hold_first(datagram: bytes) -> bool:
        if is_type(datagram, FrameType.REPORTS) and not held:
            held.append(datagram)
            return False
        return True

    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.seen = hold_first
    world.run(1.0, lambda: bool(held))
    # The next answer is to the same sequence, with less credit; the held one comes after it.
    assert world.engine.core is not None
    world.engine.core._participants[world.end.session].receiver.reserved = 900
    world.engine.core._reserve = lambda participant: None  # type: ignore[method-assign]
    link = world.end.link
    assert world.run(1.0, lambda: link._credit < frames.parse(held[0]).credit)
    credit = link._credit
    link.receive(held[0], world.now)
    assert link._credit == credit
