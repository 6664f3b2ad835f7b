"""One call at a time; what nobody acknowledged goes with the next one, in order."""

import pytest

from engine.grpc_service import REQUEST_BYTES_MAX, REQUEST_FRAMES_MAX
from orderd.link.flights import Flight
from orderd.link.grpc_road import CALL_BOOKS_MAX, GrpcRoad, call_frames_max


def flights(*firsts: int) -> list[Flight]:
    """Frames of two records each."""
    return [Flight(first, 2, 0.0) for first in firsts]


def firsts(road: GrpcRoad) -> list[int]:
    return [flight.first for flight in road.queue]


def in_call(road: GrpcRoad, *numbers: int) -> None:
    """Frames that go with a call, under counters from 0 on."""
    road.begin(0.0)
    for counter, flight in enumerate(flights(*numbers)):
        road.flights.sent(flight, counter, 0.0)


def test_a_call_that_ends_without_an_acknowledgement_has_lost_what_it_carried() -> None:
    road = GrpcRoad()
    in_call(road, 1, 3, 5)
    road.flights.acknowledge(3, 1, 0, 0.1)  # What was executed, and the second counter.
    road.end()
    assert (firsts(road), road.calling, len(road.flights)) == ([5], False, 0)
    assert not road.queue[0].counters


def test_what_udp_gave_up_is_queued_in_order_with_what_a_call_lost() -> None:
    road = GrpcRoad()
    in_call(road, 3, 7)
    road.enqueue(flights(5, 9))
    assert firsts(road) == [5, 9]
    road.enqueue(flights(1))
    road.end()
    assert firsts(road) == [1, 3, 5, 7, 9]


def test_the_queue_is_taken_once() -> None:
    road = GrpcRoad()
    road.enqueue(flights(1, 3))
    assert [flight.first for flight in road.take_queue()] == [1, 3]
    assert road.take_queue() == []


def test_what_was_executed_meanwhile_waits_no_more_and_what_was_in_part_does() -> None:
    road = GrpcRoad()
    road.acknowledge(99)
    road.enqueue(flights(1, 3, 5))
    road.acknowledge(4)
    assert firsts(road) == [3, 5]
    road.acknowledge(7)
    assert firsts(road) == []


def test_its_length_is_what_is_under_way_and_what_waits() -> None:
    road = GrpcRoad()
    in_call(road, 1, 3)
    road.enqueue(flights(5))
    assert len(road) == 3


def test_each_call_begins_unheard_and_is_counted() -> None:
    road = GrpcRoad()
    road.begin(1.0)
    assert (road.calling, road.heard, road.called_at, road.calls) == (True, False, 1.0, 1)
    road.heard = True
    road.end()
    road.begin(2.0)
    assert (road.heard, road.called_at, road.calls) == (False, 2.0, 2)


def test_after_a_clear_the_call_that_is_under_way_ends_without_bringing_anything_back() -> None:
    road = GrpcRoad()
    in_call(road, 1)
    road.enqueue(flights(3))
    road.books.append((1, 1, 10))
    road.clear()
    assert (len(road), road.books, road.calling) == (0, [], True)
    road.end()
    assert (firsts(road), road.calling) == ([], False)


def test_a_long_queue_goes_with_several_calls_from_its_first_frame_on() -> None:
    road = GrpcRoad()
    road.enqueue(flights(1, 3, 5, 7, 9))
    assert [flight.first for flight in road.take_queue(2)] == [1, 3]
    assert firsts(road) == [5, 7, 9]
    road.enqueue(flights(3))  # Lost by that call.
    assert [flight.first for flight in road.take_queue(3)] == [3, 5, 7]
    assert [flight.first for flight in road.take_queue(3)] == [9]
    assert road.take_queue(3) == []


@pytest.mark.parametrize("datagram_bytes_max", [132, 1472, 9000, 65507])
def test_a_full_call_is_one_that_an_engine_takes(datagram_bytes_max: int) -> None:
    frames = call_frames_max(datagram_bytes_max)
    poll = 1
    book_bytes_max = 256
    around_each = 4
    assert frames >= 1
    assert frames + CALL_BOOKS_MAX + poll <= REQUEST_FRAMES_MAX
    in_bytes = (frames + poll) * (datagram_bytes_max + around_each) + CALL_BOOKS_MAX * (book_bytes_max + around_each)
    assert in_bytes <= REQUEST_BYTES_MAX


def test_book_requests_beyond_what_a_call_takes_are_lost() -> None:
    road = GrpcRoad()
    for query in range(CALL_BOOKS_MAX + 5):
        road.ask(query, 1, 10)
    books = road.take_books()
    assert [query for query, _, _ in books] == list(range(CALL_BOOKS_MAX))
    assert road.take_books() == []
    road.ask(1, 2, 3)
    assert road.books == [(1, 2, 3)]


def test_an_answer_that_brings_nothing_has_the_reason_that_is_known() -> None:
    road = GrpcRoad()
    road.begin(1.0)
    assert "same key" in road.silence, "HELLO was dropped"
    assert road.refused("another engine")
    assert road.silence == "another engine"
    road.end()
    road.begin(2.0)
    assert not road.refused("another engine"), "told already"
    road.greet()
    road.end()
    road.begin(3.0)
    assert road.silence == "answered, but with nothing that this engine says"
    assert road.refused("another engine"), "it was well in between"
