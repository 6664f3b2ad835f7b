"""When the engine is asked: soon for what is missing, now and then for what may come unasked, else hardly ever."""

from math import inf

import pytest

from orderd.link.flights import Flight, FlightBoard
from orderd.link.polling import HOLE_PATIENCE, IDLE_POLL_MAX, KEEPALIVE, PollTimer
from orderd.link.report_intake import ReportIntake
from orderd.wire.reports import encode_range

REPORT_POLL_S = 0.020
TIMEOUT_S = 0.007
ROUND_TRIP_S = 0.004
NOW = 100.0


class Link:
    """What a timer is asked with; all that was told is journaled."""

    def __init__(self) -> None:
        self.flights = FlightBoard()
        self.reports = ReportIntake(1, 2**20)
        self.journaled = 1
        self.timer = PollTimer(REPORT_POLL_S, self.journaled)
        self.timer.heard(NOW)

    def poll_at(self, round_trip: float = ROUND_TRIP_S) -> float:
        """Seconds from :data:`NOW` on."""
        at = self.timer.poll_at(self.flights, self.reports, self.journaled, TIMEOUT_S, round_trip)
        return round(at - NOW, 9)


def test_with_nothing_open_it_asks_hardly_ever() -> None:
    assert Link().poll_at() == KEEPALIVE


def test_when_connected_it_asks_at_once() -> None:
    link = Link()
    link.timer.connected(NOW)
    assert link.poll_at() == 0.0


def test_while_an_order_is_open_it_asks_ever_less_often_until_reports_come() -> None:
    link = Link()
    link.timer.watch = True
    waits = []
    for _ in range(6):
        waits.append(link.poll_at())
        link.timer.polled_in_vain()
    assert waits == [0.020, 0.040, 0.080, 0.160, IDLE_POLL_MAX, IDLE_POLL_MAX]
    link.timer.delivered(1, NOW)
    assert link.poll_at() == REPORT_POLL_S


def test_a_long_interval_of_the_settings_is_not_shortened() -> None:
    link = Link()
    link.timer = PollTimer(10.0, 1)
    link.timer.heard(NOW)
    link.timer.watch = True
    link.timer.polled_in_vain()
    assert link.poll_at() == 10.0


def test_one_poll_at_a_time() -> None:
    link = Link()
    link.reports.known = 5
    link.flights.sent(Flight(0, 0, NOW), 0, NOW)
    assert link.poll_at() == inf


def test_orders_in_flight_will_be_answered_so_nothing_is_asked() -> None:
    link = Link()
    link.timer.watch = True
    link.flights.sent(Flight(1, 1, NOW), 0, NOW)
    assert link.poll_at() == inf


def test_what_the_engine_has_and_did_not_tell_is_asked_for_after_a_time_out_even_with_orders_in_flight() -> None:
    link = Link()
    link.flights.sent(Flight(1, 1, NOW), 0, NOW)
    link.reports.known = 5
    link.timer.progressed(NOW)
    assert link.poll_at() == TIMEOUT_S


@pytest.mark.parametrize(("round_trip", "wait"), [(0.004, 0.002), (0.0, HOLE_PATIENCE)])
def test_a_hole_is_asked_for_at_once_but_for_what_is_only_out_of_order(round_trip: float, wait: float) -> None:
    link = Link()
    link.reports.receive(3, encode_range(3, 1, 5, final=True), 4)
    assert link.reports.has_hole
    link.timer.progressed(NOW)
    assert link.poll_at(round_trip) == wait


def test_the_engine_is_told_soon_what_is_journaled_even_when_it_is_heard_all_the_time() -> None:
    link = Link()
    link.timer.told(1)
    link.timer.asked(NOW)
    link.journaled = 9
    link.timer.heard(NOW + 50.0)
    assert link.poll_at() == REPORT_POLL_S
    link.timer.told(9)
    assert link.poll_at() == 50.0 + KEEPALIVE


def test_it_is_told_from_the_first_report_on_that_came_after_it_was_told() -> None:
    link = Link()
    link.timer.told(1)
    link.timer.delivered(1, NOW)
    link.timer.delivered(5, NOW + 0.015)  # Others do not put it off.
    link.journaled = 9
    link.timer.heard(NOW + 50.0)
    assert link.poll_at() == REPORT_POLL_S
