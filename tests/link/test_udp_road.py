"""When a frame counts as lost, when its road is given up, and which probes are answered."""

from math import inf

import pytest

from orderd.link.flights import Flight
from orderd.link.round_trip import RoundTrip
from orderd.link.udp_road import PROBES_REMEMBERED, SILENCE_MAX_S, SUSPECT_RETRANSMITS, UdpRoad

TIMEOUT_S = 0.005
RETRANSMITS_MAX = 4


class Sender:
    """Sends one frame again and again, as the link does, until it is given up."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self.road = UdpRoad(RoundTrip(timeout_s, 0.0))
        self.now = 0.0
        self.sent = 0
        self.sent_at: list[float] = []

    def send(self, flight: Flight) -> None:
        self.road.sending(self.now)
        self.road.flights.sent(flight, self.sent, self.now)
        self.sent += 1
        self.sent_at.append(self.now)

    def until_given_up(self, *, impatient: bool = False, suspect: bool = False) -> str:
        self.send(Flight(1, 1, 0.0))
        while True:
            self.now = self.road.timeout_at()
            reason = self.road.expire(self.now, RETRANSMITS_MAX, impatient=impatient, suspect=suspect)
            if reason is not None:
                return reason
            for flight in self.road.flights.take_lost():
                self.send(flight)


def test_all_retransmissions_are_made_each_after_twice_the_time_and_then_it_is_given_up() -> None:
    sender = Sender()
    assert sender.until_given_up() == "no answer to 4 retransmissions"
    assert sender.sent_at == pytest.approx([0.0, 0.005, 0.015, 0.035, 0.075])
    assert sender.now == pytest.approx(0.155)


def test_before_the_time_out_nothing_is_lost() -> None:
    sender = Sender()
    sender.send(Flight(1, 1, 0.0))
    assert sender.road.expire(TIMEOUT_S * 0.999, RETRANSMITS_MAX, impatient=False, suspect=False) is None
    assert sender.road.flights.take_lost() == []
    assert not sender.road.hello_along


def test_nothing_in_flight_has_no_time_out() -> None:
    assert UdpRoad(RoundTrip(TIMEOUT_S, 0.0)).timeout_at() == inf


@pytest.mark.parametrize(
    ("impatient", "suspect", "retransmits"),
    [(True, True, SUSPECT_RETRANSMITS), (True, False, RETRANSMITS_MAX), (False, True, SUSPECT_RETRANSMITS)],
)
def test_a_suspect_road_gets_fewer_retransmissions(impatient: bool, suspect: bool, retransmits: int) -> None:
    sender = Sender()
    reason = sender.until_given_up(impatient=impatient, suspect=suspect)
    assert reason == f"no answer to {retransmits} retransmissions"
    assert sender.sent == 1 + retransmits


def test_a_long_silence_counts_as_much_as_the_number_of_retransmissions_if_there_is_another_road() -> None:
    slow = SILENCE_MAX_S / 6
    assert Sender(slow).until_given_up(impatient=True) == "no answer to 2 retransmissions"
    assert Sender(slow).until_given_up(impatient=False) == "no answer to 4 retransmissions"


def test_silence_is_counted_from_the_first_thing_that_wants_an_answer() -> None:
    sender = Sender(SILENCE_MAX_S / 30)
    sender.now = 1000.0
    assert sender.until_given_up(impatient=True) == "no answer to 4 retransmissions"


def test_the_retransmissions_that_are_allowed_may_be_none() -> None:
    road = UdpRoad(RoundTrip(TIMEOUT_S, 0.0))
    road.flights.sent(Flight(1, 1, 0.0), 0, 0.0)
    assert road.expire(TIMEOUT_S, 0, impatient=True, suspect=True) == "no answer to 0 retransmissions"


def test_an_arrival_ends_the_back_off_and_the_count_of_time_outs() -> None:
    sender = Sender()
    first, second = Flight(1, 1, 0.0), Flight(2, 1, 0.0)
    sender.send(first)
    sender.send(second)
    for _ in range(RETRANSMITS_MAX):
        sender.now = sender.road.timeout_at()
        assert sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False) is None
        for flight in sender.road.flights.take_lost():
            sender.send(flight)
    assert sender.road.hello_along
    assert sender.road.acknowledge(1, max(second.counters), 0, sender.now + 0.001)
    assert not sender.road.hello_along
    assert sender.road.round_trip.timeout == pytest.approx(0.003)
    # All retransmissions are there again.
    sender.now = sender.road.timeout_at()
    assert sender.road.expire(sender.now, 1, impatient=False, suspect=False) is None


def test_an_acknowledgement_of_nothing_new_is_no_sign_of_life() -> None:
    sender = Sender()
    sender.send(Flight(1, 1, 0.0))
    sender.now = sender.road.timeout_at()
    sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False)
    assert not sender.road.acknowledge(1, 77, 0, sender.now)
    assert sender.road.hello_along
    assert sender.road.round_trip.timeout == 2 * TIMEOUT_S


def test_a_time_out_has_a_few_frames_sent_again_and_the_next_ones_twice_as_many() -> None:
    sender = Sender()
    for first in range(1, 33):
        sender.send(Flight(first, 1, 0.0))
    again, times = [], []
    while True:
        sender.now = sender.road.timeout_at()
        if sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False) is not None:
            break
        lost = sender.road.flights.take_lost()
        again.append(len(lost))
        times.append(sender.now)
        for flight in lost:
            sender.send(flight)
    assert again == [2, 4, 8, 16]
    assert times == pytest.approx([0.005, 0.015, 0.035, 0.075]), "as if there were only one"
    assert sender.now == pytest.approx(0.155)


def test_what_arrives_of_a_probe_tells_of_all_that_was_lost_before() -> None:
    sender = Sender()
    for first in range(1, 9):
        sender.send(Flight(first, 1, 0.0))
    sender.now = sender.road.timeout_at()
    sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False)
    for flight in sender.road.flights.take_lost():
        sender.send(flight)
    sender.now += 0.001
    assert sender.road.acknowledge(1, 9, 0, sender.now)
    sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False)
    assert [flight.first for flight in sender.road.flights.take_lost()] == [3, 4, 5, 6, 7, 8]


def test_an_engine_that_was_busy_for_long_is_not_flooded_with_what_it_has() -> None:
    sender = Sender()
    for first in range(1, 33):
        sender.send(Flight(first, 1, 0.0))
    sender.now = sender.road.timeout_at()
    sender.road.expire(sender.now, RETRANSMITS_MAX, impatient=False, suspect=False)
    for flight in sender.road.flights.take_lost():
        sender.send(flight)
    assert sender.road.acknowledge(33, 31, 2**31 - 1, sender.now + 0.001)
    assert (sender.sent, len(sender.road.flights)) == (34, 0)


def test_the_last_frame_but_one_is_missed_after_a_round_trip_without_a_time_out() -> None:
    sender = Sender(1.0)
    for first in (1, 2, 3):
        sender.send(Flight(first, 1, 0.0))
    assert sender.road.acknowledge(1, 2, 0b10, 0.001)
    assert sender.road.round_trip.timeout == sender.road.round_trip.patience, "so that both end at one time"
    late_at = sender.road.timeout_at()
    assert late_at == pytest.approx(0.001 + 4 * 0.0005)
    assert sender.road.expire(late_at, RETRANSMITS_MAX, impatient=False, suspect=False) is None
    (flight,) = sender.road.flights.take_lost()
    assert flight.first == 2
    assert not sender.road.hello_along
    assert sender.road.round_trip.timeout == pytest.approx(0.003), "nothing is backed off"


def test_a_probe_is_answered_once_and_by_its_own_counter() -> None:
    road = UdpRoad(RoundTrip(TIMEOUT_S, 0.0))
    road.hello_sent(7, 1.0)
    road.hello_sent(8, 2.0)
    assert road.hello_answered(9, 3.0) is None
    assert road.hello_answered(8, 2.5) == 0.5
    assert road.hello_answered(8, 2.6) is None
    assert road.hello_answered(7, 3.0) == 2.0


def test_only_the_last_probes_are_remembered() -> None:
    road = UdpRoad(RoundTrip(TIMEOUT_S, 0.0))
    for counter in range(PROBES_REMEMBERED + 1):
        road.hello_sent(counter, 0.0)
    assert road.hello_answered(0, 1.0) is None
    assert road.hello_answered(1, 1.0) == 1.0


def test_a_clear_leaves_nothing_in_flight_and_nothing_overdue() -> None:
    sender = Sender()
    sender.until_given_up()
    sender.road.clear()
    assert (len(sender.road.flights), sender.road.timeout_at(), sender.road.hello_along) == (0, inf, False)
    assert sender.road.round_trip.timeout == TIMEOUT_S
