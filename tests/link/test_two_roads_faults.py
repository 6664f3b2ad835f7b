"""Two roads at the edges: switches and answers that cross, calls as large as may be, calls that hang."""

import attrs
import pytest

from engine.grpc_service import REQUEST_BYTES_MAX, REQUEST_FRAMES_MAX
from orderd.link.health import Transport, TransportState
from orderd.link.terms import LinkState, SenderSettings
from orderd.wire.frames import FrameType
from tests.support.lossy_link import CLEAN, Conditions, OrderdEnd, World, is_type
from tests.support.matching import BUY, SELL, limit

UDP_FIRST = SenderSettings(transport=Transport.UDP_FIRST)
BLOCKED = Conditions(drop=1.0)
SLOW = Conditions(delay_min=0.05, delay_max=0.05)


def switch(end: OrderdEnd, transport: Transport) -> None:
    end.link.change_transport(transport, end.world.now)
    end.flush()


def fetched(end: OrderdEnd) -> list[int]:
    """The first sequence of each frame that goes out from now on."""
    made, frames = [], end.link._frames
    fetch = frames._fetch

    def note(first: int, count: int) -> bytes:
        made.append(first)
        return fetch(first, count)

    frames._fetch = note
    return made


def test_an_answer_over_udp_that_comes_after_the_switch_to_grpc_alone_is_not_taken() -> None:
    world = World(0, SLOW, settings=UDP_FIRST)
    world.end.place(limit(1, BUY, 1, 100))
    world.run(0.001)
    world.calls.mood = "refused"
    switch(world.end, Transport.GRPC_ONLY)
    world.run(1.0)
    assert world.end.link.state is LinkState.DOWN, "else it would wait for a road that nobody tries"
    world.calls.mood = "up"
    world.settle(3.0)
    assert world.end.link.health.state is TransportState.GRPC_FALLBACK


def test_an_answer_over_grpc_that_comes_after_the_switch_to_udp_alone_is_not_taken() -> None:
    world = World(0, settings=SenderSettings(transport=Transport.GRPC_ONLY))
    world.run(0.0)
    switch(world.end, Transport.UDP_ONLY)
    world.conditions = BLOCKED
    world.run(1.0)
    assert world.end.link.state is LinkState.DOWN
    assert world.end.link.grpc.failures == 0
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()


def test_a_call_that_greets_while_udp_was_faster_did_not_fail() -> None:
    world = World(0, BLOCKED, settings=UDP_FIRST)
    world.calls.delay = 0.3
    assert world.run(1.0, lambda: world.calls.begun == 1)
    world.conditions = CLEAN
    assert world.run(0.29, lambda: world.end.link.health.state is TransportState.UDP_ENABLED)
    world.run(1.0)
    link = world.end.link
    assert (link.grpc.calling, link.grpc.greeted, link.grpc.failures) == (False, True, 0)


@pytest.mark.parametrize(("datagram_bytes_max", "window"), [(512, 4096), (65507, 4096), (65507, 32)])
def test_no_call_is_larger_than_an_engine_takes(datagram_bytes_max: int, window: int) -> None:
    settings = SenderSettings(
        datagram_bytes_max=datagram_bytes_max, window_datagrams=window, transport=Transport.GRPC_ONLY
    )
    world = World(0, settings=settings)
    world.run(0.1)
    calls: list[list[bytes]] = []
    begin = world.calls.begin

    def note(end: OrderdEnd, frames: list[bytes]) -> None:
        calls.append(frames)
        begin(end, frames)

    world.calls.begin = note  # type: ignore[method-assign]
    for query in range(1200):
        world.end.ask_book(query, 1, 10)
    world.calls.delay = 0.1  # So that more comes than one call takes.
    for first in range(0, 10_000, 1000):
        world.end.place(*[limit(first + i, BUY if i % 2 else SELL, 1, 100) for i in range(1, 1001)])
    world.run(0.5)
    assert world.end.books, "questions have room besides orders"
    world.settle(30.0)
    assert max(len(frames) for frames in calls) <= REQUEST_FRAMES_MAX
    # Around each frame: a tag, and a length of up to three bytes.
    assert max(sum(len(frame) + 4 for frame in frames) for frames in calls) <= REQUEST_BYTES_MAX


def test_what_is_executed_by_the_time_that_its_call_fails_is_not_sent_again() -> None:
    world = World(0, settings=SenderSettings(transport=Transport.GRPC_ONLY))
    world.run(0.1)
    assert world.end.settled
    world.calls.mood = "reply lost"
    world.end.place(limit(1, BUY, 1, 100))
    world.run(0.01)
    switch(world.end, Transport.UDP_FIRST)
    assert world.run(0.9, lambda: world.end.confirmed_end == 2), "a poll over UDP brings the reports"
    assert world.end.link.grpc.calling
    sent = fetched(world.end)
    world.run(2.0)
    assert not world.end.link.grpc.calling
    assert sent == [], "nobody may have kept the record"


def test_frames_that_wait_for_a_call_do_not_wait_once_udp_is_back() -> None:
    world = World(0, settings=UDP_FIRST)
    world.run(0.1)
    world.calls.mood, world.conditions = "silent", BLOCKED
    world.end.place(limit(1, BUY, 1, 100))
    switch(world.end, Transport.GRPC_ONLY)
    world.run(0.1)
    world.conditions = CLEAN
    switch(world.end, Transport.UDP_FIRST)
    assert world.run(0.3, lambda: world.end.confirmed_end == 2), "although a call hangs"
    world.settle()


def test_questions_that_waited_for_a_call_are_not_asked_when_nobody_waits_any_more() -> None:
    world = World(0, settings=UDP_FIRST)
    world.run(0.1)
    world.calls.mood = "silent"
    switch(world.end, Transport.GRPC_ONLY)
    for query in range(2000):
        world.end.ask_book(query, 1, 1)
    assert len(world.end.link.grpc.books) < 1000
    switch(world.end, Transport.UDP_FIRST)
    assert world.run(1.0, lambda: world.end.link.health.state is TransportState.UDP_ENABLED)
    world.calls.mood = "up"
    switch(world.end, Transport.GRPC_ONLY)
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.run(1.0)
    assert world.end.books == []
    assert not world.sent.get(FrameType.BOOK_REQUEST)


def test_holes_that_a_slow_udp_left_are_filled_at_the_pace_of_grpc() -> None:
    world = World(0, SLOW, settings=attrs.evolve(UDP_FIRST, datagram_bytes_max=512))
    world.run(1.0)
    reports = 0

    def lose_every_second(datagram: bytes) -> bool:
        nonlocal reports
        reports += is_type(datagram, FrameType.REPORTS)
        return not is_type(datagram, FrameType.REPORTS) or reports % 2 == 0

    world.seen = lose_every_second
    world.end.place(*[limit(number, BUY if number % 2 else SELL, 1, 100) for number in range(1, 2000)])
    world.run(0.4)
    assert world.end.link.reports.has_hole
    switch(world.end, Transport.GRPC_ONLY)
    assert world.run(1.0, lambda: world.end.settled)
    world.check()


def test_a_steady_round_trip_of_any_length_is_not_overdue() -> None:
    world = World(0, Conditions(delay_min=0.02, delay_max=0.02), settings=SenderSettings())
    world.run(1.0)
    world.engine.commit_delay = 0.0
    for number in range(1, 200):
        world.end.place(limit(number, BUY, 1, 100))
        assert world.run(1.0, lambda number=number: world.end.confirmed_end > number)  # type: ignore[misc]
    before = world.end.link.counters.retransmits
    world.engine.commit_delay = 0.0008  # A little more than ever before.
    world.end.place(limit(200, BUY, 1, 100))
    world.run(0.1)
    assert world.end.link.counters.retransmits == before
