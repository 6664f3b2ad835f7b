"""The link's promise, on a network and with crashes drawn by hypothesis.

Every record that was placed is executed once and in order, every report told once and in order, and all that within
bounded time once the network is well again and both ends live.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import EngineLimits
from orderd.link.terms import SenderSettings
from orderd.wire.frames import FrameType
from tests.support.lossy_link import Conditions, World, is_type, mixed_records
from tests.support.matching import BUY, SELL, limit
from tests.support.scale import examples

CONDITIONS = st.builds(
    Conditions,
    drop=st.sampled_from([0.0, 0.1, 0.3, 0.5]),
    duplicate=st.sampled_from([0.0, 0.2]),
    corrupt=st.sampled_from([0.0, 0.1]),
    delay_max=st.sampled_from([0.0002, 0.002, 0.02]),
    late=st.sampled_from([0.0, 0.1]),
)
LIMITS = st.sampled_from([EngineLimits(), EngineLimits(reports_max=300), EngineLimits(reports_max=40)])
SETTINGS = st.sampled_from(
    [SenderSettings(), SenderSettings(datagram_bytes_max=512, window_datagrams=4), SenderSettings(retransmits_max=0)]
)
PAUSES = st.sampled_from([0.0, 0.0001, 0.0003, 0.001, 0.01, 0.1, 1.0])
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["place", "place", "place", "engine", "engine, commit done", "orderd"]),
        st.integers(0, 1),
        st.sampled_from([1, 3, 60, 300]),
        PAUSES,
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=examples(150))
@given(
    st.integers(0, 2**32), CONDITIONS, st.integers(1, 2), st.sampled_from([b"", b"k" * 32]), LIMITS, SETTINGS, ACTIONS
)
def test_all_is_executed_and_told_once_and_in_order(
    seed: int,
    conditions: Conditions,
    sessions: int,
    secret: bytes,
    limits: EngineLimits,
    sender: SenderSettings,
    actions: list[tuple[str, int, int, float]],
) -> None:
    world = World(seed, conditions, sessions=sessions, secret=secret, limits=limits, settings=sender)
    number = 1
    for action, index, count, pause in actions:
        end, engine = world.ends[index % sessions], world.engine
        if action == "place":
            end.place(*mixed_records(world.rng, count, number))
            number += count
        elif action == "orderd":
            if end.sender is None:
                end.start()
            else:
                end.crash()
        elif engine.core is None:
            engine.start()
        else:
            engine.crash(commit_done=action == "engine, commit done")
        world.run(pause)
    if world.engine.core is None:
        world.engine.start()
    for end in world.ends:
        if end.sender is None:
            end.start()
    world.settle(5.0)


@pytest.mark.parametrize(
    "type_", [FrameType.ORDERS, FrameType.REPORTS, FrameType.POLL, FrameType.WELCOME, FrameType.HELLO]
)
@pytest.mark.parametrize("lost", range(4))
def test_no_single_loss_stalls_the_link(type_: FrameType, lost: int) -> None:
    world = World()
    seen = 0

    def pass_all_but_one(datagram: bytes) -> bool:
        nonlocal seen
        seen += is_type(datagram, type_)
        return not (is_type(datagram, type_) and seen == lost + 1)

    world.seen = pass_all_but_one
    for number in range(1, 6):
        world.end.place(limit(number, BUY, 1, 100))
        assert world.run(0.2, lambda: world.end.settled), number


def test_a_lost_push_is_found_by_the_next_poll() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(limit(1, BUY, 1, 100))
    world.run(1.0)
    world.seen = lambda datagram: not (is_type(datagram, FrameType.REPORTS) and datagram[8] == maker.session)
    taker.place(limit(2, SELL, 1, 100))
    world.run(0.001)
    world.seen = lambda _: True
    assert world.run(0.3, lambda: maker.settled)
    assert [report.exec_type.name for report in maker.told] == ["NEW", "TRADE"]


def test_a_push_comes_without_a_poll() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(limit(1, BUY, 1, 100))
    world.run(1.0)
    polls = maker.link.counters.polls
    world.run(0.1, lambda: maker.link.counters.polls > polls)
    polls += 1
    taker.place(limit(2, SELL, 1, 100))
    assert world.run(0.002, lambda: len(maker.told) == 2)
    assert maker.link.counters.polls == polls


def test_pushes_without_end_are_acknowledged_in_between() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(*[limit(number, BUY, 1, 100) for number in range(1, 501)])
    world.run(1.0)
    assert world.engine.core is not None
    log = world.engine.core.matcher._sessions[maker.session].reports
    for number in range(501, 1001):
        taker.place(limit(number, SELL, 1, 100))
        world.run(0.005)
        assert len(log) < 20
    world.settle()


@pytest.mark.parametrize("gap", [0.0002, 0.002])
def test_a_lost_datagram_costs_about_one_retransmission(gap: float) -> None:
    retransmits = lost = 0
    for seed in range(3):
        world = World(seed)
        world.run(0.1)
        # Frames overtake others by one place or two, not more: three count as a loss.
        world.conditions = Conditions(drop=0.1, delay_max=0.0003)
        for start in range(0, 4000, 20):
            world.end.place(*[limit(start + i, BUY, 1, 100) for i in range(20)])
            world.run(gap)
        world.settle()
        retransmits += world.end.link.counters.retransmits
        lost += world.lost.get(FrameType.ORDERS, 0)
    assert lost > 20
    assert retransmits <= 1.5 * lost


def test_without_loss_nothing_is_sent_twice() -> None:
    world = World(conditions=Conditions(delay_max=0.00015))
    for start in range(0, 20000, 100):
        world.end.place(*[limit(start + i, BUY, 1, 100) for i in range(100)])
        world.run(0.001)
    world.settle()
    assert world.end.link.counters.retransmits == 0


def test_a_quiet_link_costs_one_datagram_a_second_and_one_with_open_orders_four() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.run(2.0)
    before = world.sent[FrameType.POLL]
    world.run(10.0)
    assert world.sent[FrameType.POLL] - before == pytest.approx(40, abs=1)
    world.end.place(limit(2, SELL, 1, 100))
    world.settle()
    world.run(2.0)
    earlier = dict(world.sent)
    world.run(10.0)
    assert world.sent[FrameType.POLL] - earlier[FrameType.POLL] == pytest.approx(10, abs=1)
    assert sum(world.sent.values()) - sum(earlier.values()) == pytest.approx(20, abs=2)


@given(st.integers(0, 2**32))
@settings(max_examples=examples(15))
def test_no_more_records_are_under_way_than_the_engine_gave_credit_for(seed: int) -> None:
    world = World(seed, Conditions(drop=0.1, delay_max=0.002), limits=EngineLimits(reports_max=400))
    credit_given = 0

    def note(datagram: bytes) -> bool:
        nonlocal credit_given
        if is_type(datagram, FrameType.REPORTS, FrameType.WELCOME):
            at = 32 if is_type(datagram, FrameType.REPORTS) else 24
            executed, credit = (
                int.from_bytes(datagram[at : at + 8], "little"),
                int.from_bytes(datagram[40:42], "little"),
            )
            credit_given = max(credit_given, executed + credit)
        elif is_type(datagram, FrameType.ORDERS):
            end = int.from_bytes(datagram[24:32], "little") + int.from_bytes(datagram[42:44], "little")
            assert end <= credit_given
        return True

    world.seen = note
    for start in range(1, 3000, 300):
        world.end.place(*mixed_records(world.rng, 300, start))
        world.run(0.002)
    world.settle()
