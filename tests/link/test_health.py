"""What moves orders from one road to the other and back, and what does not. All states: ``test_health_states.py``."""

from math import inf

import pytest

from orderd.link.health import (
    ANSWERS_MAX,
    ANSWERS_MIN,
    FAILURES_IN_A_ROW,
    FRAMES_IN_A_ROW,
    GRPC_AGAIN_S,
    GRPC_BACK_OFF_MAX_S,
    GRPC_BACK_OFF_MIN_S,
    GRPC_IN_VAIN_S,
    PROBE_AGAIN_MIN_S,
    PROBES_BEFORE_DOWN,
    PROBES_BEFORE_GRPC,
    RELAPSE_S,
    Condition,
    Transport,
)
from orderd.wire.paths import Path
from tests.support.healths import (
    DOWN,
    ENABLED,
    FALLBACK,
    FIRST,
    GRPC,
    PROBE_INTERVAL_S,
    UDP,
    answer_probes,
    connected,
    exhaust,
    fail_calls,
    fallen_back,
    new,
)
from tests.support.simulated_roads import SimulatedRoads

# --- the start --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", Transport)
def test_at_the_start_the_engine_is_down_until_it_answers(transport: Transport) -> None:
    health = new(transport)
    assert (health.state, health.carrier, health.changes) == (DOWN, Path.NONE, 0)
    assert health.reason == "not connected yet"


def test_at_the_start_grpc_is_asked_only_when_udp_was_silent_to_several_probes() -> None:
    health = new()
    for _ in range(PROBES_BEFORE_GRPC - 1):
        health.probe_sent(1.0)
        assert health.grpc_try_at == inf
    health.probe_sent(2.0)
    assert health.grpc_try_at == 2.0
    assert health.may_call(2.0)
    health.grpc_answered()
    assert health.state is FALLBACK


@pytest.mark.parametrize("failures", [FAILURES_IN_A_ROW - 1, FAILURES_IN_A_ROW])
def test_probes_do_not_hurry_a_grpc_that_has_failed(failures: int) -> None:
    health = new()
    for _ in range(PROBES_BEFORE_GRPC):
        health.probe_sent(1.0)
    fail_calls(health, 1.0, failures)
    try_at = health.grpc_try_at
    assert try_at > 1.0
    for _ in range(PROBES_BEFORE_GRPC):
        health.probe_sent(1.0)
    assert health.grpc_try_at == try_at


def test_at_the_start_one_answer_over_udp_will_do_and_grpc_is_never_asked() -> None:
    roads = SimulatedRoads(new())
    roads.run(5.0)
    assert [state for _, state in roads.changes] == [ENABLED]
    assert roads.calls == 0


def test_with_grpc_only_udp_is_never_probed_and_grpc_asked_at_once() -> None:
    health = new(GRPC)
    assert (health.udp_probe_at, health.grpc_try_at) == (inf, 0.0)
    roads = SimulatedRoads(health, udp=lambda: pytest.fail("UDP was used"))
    roads.run(60.0)
    assert [state for _, state in roads.changes] == [FALLBACK]


@pytest.mark.parametrize("transport", [FIRST, GRPC])
def test_an_engine_that_does_not_answer_at_the_start_is_told_once_with_the_reasons(transport: Transport) -> None:
    health = new(transport)
    for _ in range(PROBES_BEFORE_DOWN if transport is FIRST else 0):
        health.probe_sent(health.udp_probe_at)
    fail_calls(health, 1.0, FAILURES_IN_A_ROW - 1)
    assert not health.start_failed
    fail_calls(health, 1.0, 1)
    told = "UDP: not answered yet; gRPC: connection refused"
    assert (health.start_failed, health.reason, health.changes) == (True, told, 0)
    health.grpc_failed("something else", 2.0)
    assert health.reason == told


def test_with_udp_only_the_start_has_failed_after_about_a_second_of_probes() -> None:
    health = new(UDP)
    for _ in range(PROBES_BEFORE_DOWN - 1):
        health.probe_sent(health.udp_probe_at)
    assert not health.start_failed
    health.probe_sent(health.udp_probe_at)
    assert (health.start_failed, health.reason) == (True, "UDP: not answered yet")
    assert 0.8 < health.udp_probe_at < 2.0


def test_with_udp_first_the_start_has_not_failed_before_grpc_was_asked() -> None:
    health = new()
    for _ in range(2 * PROBES_BEFORE_DOWN):
        health.probe_sent(health.udp_probe_at)
    assert not health.start_failed


def test_with_udp_first_a_grpc_that_refuses_at_once_is_not_yet_a_failed_start() -> None:
    health = new()
    fail_calls(health, 0.1, FAILURES_IN_A_ROW)
    assert not health.start_failed, "an engine that starts just now has no gRPC yet"
    for _ in range(PROBES_BEFORE_DOWN):
        health.probe_sent(health.udp_probe_at)
    assert (health.start_failed, health.reason) == (True, "UDP: not answered yet; gRPC: connection refused")


def test_after_the_start_silence_is_a_change_of_state_and_no_failed_start() -> None:
    health = connected(UDP)
    exhaust(health, 1.0)
    for _ in range(2 * PROBES_BEFORE_DOWN):
        health.probe_sent(health.udp_probe_at)
    assert (health.start_failed, health.state, health.changes) == (False, DOWN, 2)


# --- UDP goes down ----------------------------------------------------------------------------------------------------


def test_frames_in_a_row_give_fallback_when_grpc_answers_and_not_before() -> None:
    health = connected()
    exhaust(health, 1.0, FRAMES_IN_A_ROW - 1)
    assert (health.udp, health.carrier) == (Condition.UP, Path.UDP)
    exhaust(health, 1.0, 1)
    assert (health.udp, health.state, health.carrier) == (Condition.DOWN, ENABLED, Path.GRPC)
    health.grpc_answered()
    assert (health.state, health.carrier, health.changes) == (FALLBACK, Path.GRPC, 2)
    assert health.reason == "UDP: no answer to 4 retransmissions, 3 frames in a row; gRPC answers"


def test_fallback_is_immediate_when_grpc_has_answered_meanwhile() -> None:
    health = connected()
    exhaust(health, 1.0, 1)
    health.grpc_answered()
    assert (health.state, health.carrier) == (ENABLED, Path.UDP)
    exhaust(health, 1.0, FRAMES_IN_A_ROW - 1)
    assert health.state is FALLBACK


def test_frames_that_are_given_up_together_count_each() -> None:
    health = connected()
    health.udp_exhausted(32, "no answer to 4 retransmissions", 1.0)
    assert health.udp is Condition.DOWN


def test_one_frame_given_up_asks_grpc_at_once_and_makes_udp_suspect() -> None:
    health = connected()
    assert not health.udp_is_suspect
    exhaust(health, 1.0, 1)
    assert health.udp_is_suspect
    assert health.grpc_try_at == 1.0
    assert health.may_call(1.0)


def test_an_answer_between_frames_resets_their_count() -> None:
    health = connected()
    for now in range(100):
        exhaust(health, now, FRAMES_IN_A_ROW - 1)
        health.udp_answered(now)
        assert not health.udp_is_suspect
    assert (health.udp, health.changes) == (Condition.UP, 1)


@pytest.mark.parametrize(("transport", "besides"), [(UDP, ""), (FIRST, "; gRPC: connection refused")])
def test_without_another_road_udp_is_not_given_up_any_sooner(transport: Transport, besides: str) -> None:
    health = connected(transport)
    fail_calls(health, 1.0, FAILURES_IN_A_ROW)
    exhaust(health, 1.0, FRAMES_IN_A_ROW - 1)
    assert (health.state, health.carrier, health.grpc_may_carry) == (ENABLED, Path.UDP, False)
    exhaust(health, 1.0, 1)
    assert (health.state, health.carrier, health.changes) == (DOWN, Path.NONE, 2)
    assert health.udp_probe_at == 1.0
    assert health.reason == f"UDP: no answer to 4 retransmissions, 3 frames in a row{besides}"


def test_what_was_known_of_a_grpc_that_was_down_grows_old() -> None:
    health = connected()
    fail_calls(health, 1.0, FAILURES_IN_A_ROW)
    exhaust(health, 1.0 + GRPC_BACK_OFF_MIN_S, 1)
    assert (health.udp, health.grpc) == (Condition.UP, Condition.UNTRIED)


def test_what_was_known_of_a_grpc_that_was_up_grows_old() -> None:
    health = connected()
    exhaust(health, 1.0, 1)
    health.grpc_answered()
    health.udp_answered(1.0)
    exhaust(health, 2.0)
    assert (health.state, health.grpc) == (ENABLED, Condition.UNTRIED)


def test_a_call_that_failed_before_udp_came_back_counts_no_more() -> None:
    health = fallen_back()
    fail_calls(health, 1.0, FAILURES_IN_A_ROW - 1)
    answer_probes(health, 2.0, ANSWERS_MIN)
    assert (health.state, health.grpc, health.grpc_try_at) == (ENABLED, Condition.UNTRIED, inf)
    exhaust(health, 3.0, 1)
    fail_calls(health, 3.0, FAILURES_IN_A_ROW - 1)
    assert health.grpc is Condition.UNTRIED


def test_when_neither_answers_the_engine_is_down_and_both_reasons_are_told() -> None:
    health = connected()
    exhaust(health, 1.0)
    fail_calls(health, 1.0, FAILURES_IN_A_ROW)
    assert (health.state, health.changes) == (DOWN, 2)
    assert health.reason == "UDP: no answer to 4 retransmissions, 3 frames in a row; gRPC: connection refused"


# --- UDP comes back ---------------------------------------------------------------------------------------------------


def test_out_of_fallback_after_enough_probes_in_a_row() -> None:
    health = fallen_back(now=5.0)
    answer_probes(health, 5.0, ANSWERS_MIN - 1)
    assert health.state is FALLBACK
    answer_probes(health, 5.0, 1)
    assert (health.state, health.carrier, health.udp_probe_at) == (ENABLED, Path.UDP, inf)
    assert health.reason == "UDP answered 3 probes in a row, in 1.0 ms"


def test_a_lost_probe_starts_the_row_anew() -> None:
    health = fallen_back()
    for now in range(50):
        answer_probes(health, now, ANSWERS_MIN - 1)
        health.probe_sent(now)
    assert health.state is FALLBACK
    answer_probes(health, 50.0, ANSWERS_MIN)
    assert health.state is ENABLED


def test_each_relapse_takes_twice_as_many_answers_until_udp_stays_up() -> None:
    health, now = fallen_back(), 0.0
    needed = ANSWERS_MIN
    for _ in range(5):
        answer_probes(health, now, needed - 1)
        assert health.state is FALLBACK
        answer_probes(health, now, 1)
        assert health.state is ENABLED
        now += RELAPSE_S - 0.001
        exhaust(health, now)
        health.grpc_answered()
        needed = min(2 * needed, ANSWERS_MAX)
        assert health.answers_needed == needed
    answer_probes(health, now, needed)
    exhaust(health, now + RELAPSE_S)
    assert health.answers_needed == ANSWERS_MIN


def test_staying_up_counts_from_when_udp_came_up_and_not_from_its_last_answer() -> None:
    health = fallen_back(now=0.0)
    answer_probes(health, 0.0, ANSWERS_MIN)
    health.udp_answered(RELAPSE_S)
    exhaust(health, RELAPSE_S + 1.0)
    assert health.answers_needed == ANSWERS_MIN


def test_without_a_fallback_the_first_answer_will_do() -> None:
    health = fallen_back()
    fail_calls(health, 1.0, FAILURES_IN_A_ROW)
    assert health.state is DOWN
    health.probe_sent(1.0)
    health.udp_answered(1.0, 0.001, "engine answered")
    assert (health.state, health.reason) == (ENABLED, "engine answered")
    nameless = new()
    nameless.udp_answered(1.0)
    assert (nameless.state, nameless.reason) == (ENABLED, "UDP answers")


def test_probes_slow_down_to_their_interval() -> None:
    health = fallen_back(now=0.0)
    at = []
    for _ in range(6):
        at.append(health.udp_probe_at)
        health.probe_sent(at[-1])
    assert at == pytest.approx([0.0, 0.020, 0.060, 0.140, 0.300, 0.550])


@pytest.mark.parametrize(("round_trip", "wait"), [(0.001, PROBE_AGAIN_MIN_S), (0.040, 0.080)])
def test_an_answered_probe_has_the_next_one_follow_soon(round_trip: float, wait: float) -> None:
    health = fallen_back(now=0.0)
    health.probe_sent(1.0)
    health.udp_answered(1.0 + round_trip, round_trip)
    assert health.udp_probe_at == pytest.approx(1.0 + round_trip + wait)
    health.probe_sent(2.0)
    assert health.udp_probe_at == 2.0 + PROBE_INTERVAL_S


# --- gRPC -------------------------------------------------------------------------------------------------------------


def test_while_nothing_asks_for_grpc_what_is_left_for_it_may_still_be_called_for() -> None:
    health = connected()
    assert health.grpc_try_at == inf
    assert health.may_call(0.0)
    assert not connected(UDP).may_call(0.0)


def test_one_failed_call_is_not_enough_and_the_next_follows_soon() -> None:
    health = fallen_back(now=1.0)
    fail_calls(health, 1.0, FAILURES_IN_A_ROW - 1)
    assert (health.state, health.grpc_try_at) == (FALLBACK, 1.0 + GRPC_AGAIN_S)
    health.grpc_answered()
    fail_calls(health, 2.0, FAILURES_IN_A_ROW - 1)
    assert health.state is FALLBACK
    fail_calls(health, 2.0, 1)
    assert health.state is DOWN


def test_a_call_that_was_waited_for_in_vain_needs_no_second_one() -> None:
    health = fallen_back()
    health.grpc_failed("timed out", 1.0, GRPC_IN_VAIN_S - 0.001)
    assert health.state is FALLBACK
    health.grpc_answered()
    health.grpc_failed("timed out", 2.0, GRPC_IN_VAIN_S)
    assert (health.state, health.grpc_try_at) == (DOWN, 2.0 + GRPC_BACK_OFF_MIN_S)


def test_grpc_that_is_down_is_tried_again_with_a_back_off_that_an_answer_resets() -> None:
    health = new(GRPC)
    for _ in range(2):
        fail_calls(health, 0.0, FAILURES_IN_A_ROW - 1)
        waits = []
        for _ in range(6):
            fail_calls(health, 100.0, 1)
            waits.append(health.grpc_try_at - 100.0)
            assert not health.may_call(health.grpc_try_at - 0.001)
            assert health.may_call(health.grpc_try_at)
        assert waits == [GRPC_BACK_OFF_MIN_S, 0.5, 1.0, GRPC_BACK_OFF_MAX_S, GRPC_BACK_OFF_MAX_S, GRPC_BACK_OFF_MAX_S]
        health.grpc_answered()
        assert health.may_call(0.0)
