"""What counts as arrived, as lost and as overdue."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from orderd.link.flights import PACKET_THRESHOLD, Flight, FlightBoard


def board_of(count: int, *, poll: bool = False) -> FlightBoard:
    """Frames of one record under counters 0, 1, ..., sent at the times 0, 1, ...; then a POLL."""
    board = FlightBoard()
    for i in range(count):
        board.sent(Flight(i + 1, 1, 0.0), i, float(i))
    if poll:
        board.sent(Flight(0, 0, 0.0), count, float(count))
    return board


def test_a_round_trip_is_that_of_the_counter_that_is_named() -> None:
    board, flight = FlightBoard(), Flight(1, 1, 0.0)
    board.sent(flight, 0, 5.0)
    board.sent(flight, 1, 10.0)
    assert board.acknowledge(2, 1, 0, 10.5) == (True, 0.5)
    assert board.acknowledge(2, 1, 0, 11.0) == (False, None)


def test_an_acknowledgement_by_bitmap_counts_but_is_no_measurement() -> None:
    board = board_of(3)
    assert board.acknowledge(1, 9, 1 << (9 - 1 - 1), 20.0) == (True, None)
    assert len(board) == 2


def test_records_that_were_executed_are_no_longer_in_flight() -> None:
    board = board_of(3)
    assert board.acknowledge(3, 99, 0, 20.0) == (True, None)
    assert len(board) == 1


def test_three_later_counters_tell_a_loss_and_two_do_not() -> None:
    board = board_of(1 + PACKET_THRESHOLD)
    board.acknowledge(1, PACKET_THRESHOLD - 1, 0, 20.0)
    assert board.take_lost() == []
    board.acknowledge(1, PACKET_THRESHOLD, 0, 20.0)
    assert [flight.first for flight in board.take_lost()] == [1]


def test_a_frame_sent_again_is_not_lost_because_of_what_was_sent_before_it() -> None:
    board = board_of(4)
    board.acknowledge(1, 3, 0, 20.0)
    (flight,) = board.take_lost()
    board.sent(flight, 4, 20.0)
    board.acknowledge(1, 3, 0, 21.0)
    assert board.take_lost() == []


def test_a_frame_that_came_late_after_all_teaches_how_far_apart_a_road_brings_things() -> None:
    board = board_of(8)
    board.acknowledge(1, 5, 0, 20.0)
    assert [flight.first for flight in board.take_lost()] == [1, 2, 3]
    board.acknowledge(1, 5, 1 << (5 - 1 - 0), 20.1)  # counter 0 was five behind
    for number, flight in enumerate(board.take_lost(), 8):
        board.sent(flight, number, 20.2)
    board.sent(Flight(9, 1, 0.0), 10, 20.2)
    board.acknowledge(1, 12, 0, 20.3)
    assert [flight.first for flight in board.take_lost()] == [4, 5, 7], "six behind the largest, or more"
    board.clear()
    board.sent(Flight(9, 1, 0.0), 20, 30.0)
    board.acknowledge(1, 23, 0, 31.0)
    assert len(board.take_lost()) == 1, "three again, in another connection"


def test_a_frame_that_is_sent_again_at_a_time_out_teaches_nothing_of_that() -> None:
    board = board_of(6)
    board.lose_overdue(0.0, 9.0, 1)
    (flight,) = board.take_lost()
    board.sent(flight, 6, 9.0)
    board.acknowledge(1, 6, 0b1, 10.0)
    assert [flight.first for flight in board.take_lost()] == [2, 3, 4]


def test_what_was_passed_by_too_little_is_lost_when_it_has_waited_for_a_round_trip() -> None:
    board = board_of(3)  # sent at 0, 1 and 2
    assert board.late_at(5.0) == inf
    board.acknowledge(1, 1, 0, 2.5)
    assert board.late_at(5.0) == 5.0
    board.lose_late(5.0, 4.9)
    assert board.take_lost() == []
    board.lose_late(5.0, 5.0)
    (flight,) = board.take_lost()
    assert flight.first == 1
    board.sent(flight, 3, 5.0)
    assert board.late_at(5.0) == inf, "the last one was not passed by anything"
    board.lose_late(5.0, 99.0)
    assert board.take_lost() == []


def test_what_is_late_is_late_whatever_the_rounding() -> None:
    for i in range(1, 2000):
        board, sent_at, patience = FlightBoard(), 1234.567 + i / 7, 0.002 + i / 100_003
        board.sent(Flight(1, 1, 0.0), 0, sent_at)
        board.acknowledge(1, 1, 0, sent_at)
        board.lose_late(patience, board.late_at(patience))
        assert len(board.take_lost()) == 1
        assert board.late_at(patience) == inf


def test_of_what_is_overdue_only_so_many_are_sent_again() -> None:
    board = board_of(5)
    board.lose_overdue(0.0, 9.0, 2)
    assert [flight.first for flight in board.take_lost()] == [1, 2]


def test_frames_to_be_sent_again_come_in_order_even_after_earlier_losses() -> None:
    board = board_of(3)
    board.lose_overdue(0.0, 5.0, 9)
    for counter, flight in enumerate(reversed(board.take_lost()), 10):
        board.sent(flight, counter, 6.0)
    board.lose_overdue(0.0, 7.0, 9)
    assert [flight.first for flight in board.take_lost()] == [1, 2, 3]


def test_an_overdue_poll_has_the_first_orders_sent_again() -> None:
    board = board_of(2, poll=True)
    board.sent(Flight(0, 0, 0.0), 2, -5.0)
    board.lose_overdue(4.0, 0.0, 9)
    assert [flight.first for flight in board.take_lost()] == [1]
    assert not board.polling


def test_what_is_due_is_overdue_whatever_the_rounding() -> None:
    for i in range(1, 2000):
        board, sent_at, timeout = FlightBoard(), 1234.567 + i / 7, 0.005 + i / 100_003
        board.sent(Flight(0, 0, 0.0), 0, sent_at)
        board.lose_overdue(timeout, board.oldest_sent_at() + timeout, 9)
        board.take_lost()
        assert not board.polling


def test_nothing_in_flight_never_times_out() -> None:
    board = board_of(2)
    board.clear()
    assert board.oldest_sent_at() == inf
    assert len(board) == 0


def test_a_frame_that_was_executed_in_part_is_still_in_flight() -> None:
    board = FlightBoard()
    board.sent(Flight(1, 5, 0.0), 0, 0.0)
    assert board.acknowledge(3, 99, 0, 1.0) == (False, None)
    assert len(board) == 1
    assert board.acknowledge(6, 99, 0, 1.0) == (True, None)
    assert len(board) == 0


# --- between two roads ------------------------------------------------------------------------------------------------


def test_what_is_taken_leaves_nothing_behind_and_forgets_its_counters() -> None:
    board = board_of(3, poll=True)
    flights = board.take_all()
    assert [flight.first for flight in flights] == [1, 2, 3]
    assert not any(flight.counters for flight in flights)
    assert (len(board), board.polling, board.oldest_sent_at()) == (0, False, inf)
    # Of counters that were used before nothing is known any more, not even that three later ones tell a loss.
    board.sent(flights[0], 3, 20.0)
    assert board.acknowledge(1, 2, 0b11, 21.0) == (False, None)
    assert board.take_lost() == []


def test_what_is_added_is_sent_again_and_never_counts_as_overdue() -> None:
    udp, grpc = board_of(3), FlightBoard()
    grpc.add_lost(udp.take_all())
    assert [flight.first for flight in grpc.take_lost()] == [1, 2, 3]
    assert grpc.oldest_sent_at() == inf
    assert len(grpc) == 3


def test_what_was_acknowledged_on_another_road_under_the_same_counter_does_not_count_here() -> None:
    udp, grpc = board_of(1), FlightBoard()
    grpc.add_lost(udp.take_all())
    assert grpc.acknowledge(1, 0, 0, 20.0) == (False, None)
    (flight,) = grpc.take_lost()
    grpc.sent(flight, 5, 30.0)
    assert grpc.acknowledge(1, 5, 0, 30.5) == (True, 0.5)
    assert len(grpc) == 0


def test_what_is_added_is_lost_once_and_not_again_by_the_counters_of_this_board() -> None:
    board, other = board_of(8), FlightBoard()
    other.sent(Flight(50, 1, 0.0), 0, 0.0)
    board.acknowledge(1, 7, 0b111_1111, 20.0)
    board.add_lost(other.take_all())
    (flight,) = board.take_lost()
    board.sent(flight, 8, 21.0)
    assert board.take_lost() == []


def test_the_order_by_sequence_is_kept_whatever_is_added() -> None:
    board, other = FlightBoard(), FlightBoard()
    for counter, first in enumerate((1, 4, 5)):
        board.sent(Flight(first, 1, 0.0), counter, 0.0)
    for counter, first in enumerate((2, 3, 6)):
        other.sent(Flight(first, 1, 0.0), counter, 0.0)
    board.add_lost(other.take_all())
    board.lose_overdue(0.0, 1.0, 9)
    assert [flight.first for flight in board.take_lost()] == [1, 2, 3, 4, 5, 6]
    board.forget(4)
    assert [flight.first for flight in board.take_all()] == [4, 5, 6]


def test_what_was_executed_is_forgotten_and_what_was_in_part_is_not() -> None:
    board = FlightBoard()
    for counter, first in enumerate((1, 5, 9)):
        board.sent(Flight(first, 4, 0.0), counter, 0.0)
    board.forget(7)
    assert [flight.first for flight in board.take_all()] == [5, 9]


def test_what_was_forgotten_is_not_acknowledged_later() -> None:
    board = board_of(2)
    board.forget(2)
    assert board.acknowledge(1, 0, 0, 9.0) == (False, None)
    assert len(board) == 1


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["send", "move", "lose", "done"])), max_size=40))
def test_no_frame_is_lost_or_doubled_however_often_it_moves(steps: list[tuple[int, str]]) -> None:
    boards, counters, sent_end, done_end = [FlightBoard(), FlightBoard()], [0, 0], 1, 1
    for at, step in steps:
        board, other = boards[at], boards[1 - at]
        if step == "send":
            for flight in [*board.take_lost(), Flight(sent_end, 2, 0.0)]:
                board.sent(flight, counters[at], 0.0)
                counters[at] += 1
            sent_end += 2
        elif step == "move":
            other.add_lost(board.take_all())
        elif step == "lose":
            board.lose_overdue(0.0, 1.0, 9)
        elif done_end < sent_end:
            done_end += 2
            for each in boards:
                each.forget(done_end)
        held = sorted(flight.first for each in boards for flight in each._orders.values())
        assert held == list(range(done_end, sent_end, 2))
        for each in boards:
            assert list(each._orders) == sorted(each._orders)
