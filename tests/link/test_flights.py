"""What counts as arrived, as lost and as overdue."""

from math import inf

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


def test_frames_to_be_sent_again_come_in_order_even_after_earlier_losses() -> None:
    board = board_of(3)
    board.lose_overdue(0.0, 5.0)
    for counter, flight in enumerate(reversed(board.take_lost()), 10):
        board.sent(flight, counter, 6.0)
    board.lose_overdue(0.0, 7.0)
    assert [flight.first for flight in board.take_lost()] == [1, 2, 3]


def test_an_overdue_poll_has_the_first_orders_sent_again() -> None:
    board = board_of(2, poll=True)
    board.sent(Flight(0, 0, 0.0), 2, -5.0)
    board.lose_overdue(4.0, 0.0)
    assert [flight.first for flight in board.take_lost()] == [1]
    assert not board.polling


def test_what_is_due_is_overdue_whatever_the_rounding() -> None:
    for i in range(1, 2000):
        board, sent_at, timeout = FlightBoard(), 1234.567 + i / 7, 0.005 + i / 100_003
        board.sent(Flight(0, 0, 0.0), 0, sent_at)
        board.lose_overdue(timeout, board.oldest_sent_at() + timeout)
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
