"""Timers of orderd's end, seen from its datagrams."""

from orderd.link.sender import Disconnected, LinkState, SenderSettings
from orderd.wire import frames
from orderd.wire.bodies import BookReply
from orderd.wire.frames import FrameType
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
    assert world.end.link.counters.retransmits == 2
    assert world.end.events[-1] == Disconnected("no answer to 2 retransmissions")
    world.settle()


def test_losses_that_recover_never_add_up_to_a_dead_path() -> None:
    # Each answer names a book request as the latest counter, so that none of them measures a round trip.
    world = World(settings=SenderSettings(retransmits_max=3))
    world.run(0.1)
    link = world.end.link
    for number in range(1, 30):
        frames_left = [False, True]

        def lose_first(datagram: bytes, left: list[bool] = frames_left) -> bool:
            return not is_type(datagram, FrameType.ORDERS) or not left or left.pop(0)

        world.seen = lose_first
        world.end.place(limit(number, BUY, 1, 100))
        wake_at = link.wake_at()
        world.run(wake_at - world.now - 1e-6)
        world.run(2e-6)
        world.end.ask_book(number, 1, 1)
        assert world.run(1.0, lambda: world.end.settled)
    assert link.state is LinkState.UP
    assert not any(isinstance(event, Disconnected) for event in world.end.events)


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
    maker.link.watch = True
    world.settle()
    assert len(maker.told) == 2


def test_a_down_link_sends_nothing_of_an_epoch() -> None:
    world = World()
    world.end.crash()
    world.end.start()
    assert world.end.link.goodbye() == []
    assert world.end.link.book_request(1, 1, 1) == []
