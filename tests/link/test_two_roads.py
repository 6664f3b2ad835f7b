"""Two roads, one session: what UDP does not bring goes over gRPC, and nothing is executed twice or out of order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.link.errors import LinkError
from orderd.link.health import Transport, TransportState
from orderd.link.terms import RoadUnusable, SenderSettings, TransportChanged
from orderd.wire.frames import FrameType
from tests.support.lossy_link import CLEAN, Conditions, World, is_type, mixed_records
from tests.support.matching import BUY, SELL, limit
from tests.support.scale import SCALE, examples
from tests.support.virtual_calls import Mood

UDP_FIRST = SenderSettings(transport=Transport.UDP_FIRST)
BLOCKED = Conditions(drop=1.0)


def site(seed: int = 0, settings: SenderSettings = UDP_FIRST, conditions: Conditions = CLEAN) -> World:
    world = World(seed, conditions, settings=settings)
    world.run(0.1)
    return world


def state(world: World) -> TransportState:
    return world.end.link.health.state


def changes(world: World) -> list[TransportState]:
    return [event.state for event in world.end.events if isinstance(event, TransportChanged)]


def load(world: World, seconds: float, first: int, every: float = 0.001, count: int = 5) -> int:
    """Orders at a steady rate; the next number."""
    end = world.now + seconds
    while world.now < end:
        world.end.place(*[limit(first + i, BUY, 1, 100) for i in range(count)])
        first += count
        world.run(every)
    return first


def test_while_udp_works_grpc_is_never_called() -> None:
    world = site(conditions=Conditions(drop=0.1, delay_max=0.0005))
    load(world, 2.0, 1)
    world.settle()
    assert world.calls.begun == 0
    assert changes(world) == [TransportState.UDP_ENABLED]


def test_a_blackout_under_load_is_over_within_half_a_second_and_udp_is_back_within_one() -> None:
    for seed in range(5 * SCALE):
        world = site(seed)
        number = load(world, 0.2 + seed / 100, 1)
        world.conditions = BLOCKED
        blocked_at, last = world.now, world.end.records_end
        while world.end.confirmed_end <= last + 50:
            number = load(world, 0.01, number)
            assert world.now < blocked_at + 0.5
        number = load(world, 1.0, number)
        assert state(world) is TransportState.GRPC_FALLBACK
        world.conditions = CLEAN
        healed_at = world.now
        while state(world) is not TransportState.UDP_ENABLED:
            number = load(world, 0.01, number)
            assert world.now < healed_at + 1.0
        world.settle()
        assert changes(world) == [TransportState.UDP_ENABLED, TransportState.GRPC_FALLBACK, TransportState.UDP_ENABLED]


@pytest.mark.parametrize(("type_", "lost"), [(FrameType.ORDERS, 5), (FrameType.REPORTS, 6)])
def test_a_single_frame_that_udp_does_not_bring_goes_over_grpc_and_udp_stays(type_: FrameType, lost: int) -> None:
    world = site()
    frames = 0

    def lose_the_first(datagram: bytes) -> bool:
        nonlocal frames
        frames += is_type(datagram, type_)
        return not is_type(datagram, type_, FrameType.HELLO, FrameType.WELCOME) or frames > lost

    world.seen = lose_the_first
    world.end.place(limit(1, BUY, 1, 100))
    assert world.run(0.4, lambda: world.end.confirmed_end == 2)
    assert world.calls.begun == 2, "a HELLO, then the frame"
    world.end.place(limit(2, BUY, 1, 100))
    world.settle()
    assert changes(world) == [TransportState.UDP_ENABLED]
    assert world.end.link.counters.exhausted == 1


@pytest.mark.parametrize("transport", [Transport.UDP_FIRST, Transport.UDP_ONLY])
@pytest.mark.parametrize("seed", range(3))
def test_at_ten_percent_loss_the_road_does_not_flap(seed: int, transport: Transport) -> None:
    world = site(seed, SenderSettings(transport=transport), Conditions(drop=0.1, delay_max=0.001))
    for number in range(1, 4000):
        world.end.place(limit(number, BUY, 1, 100))
        world.run(0.002 if number % 40 else 0.5)
    world.settle()
    assert changes(world) == [TransportState.UDP_ENABLED]


@pytest.mark.parametrize("drop", [0.3, 0.5, 0.7])
def test_on_a_bad_road_orders_go_on_and_changes_are_rare(drop: float) -> None:
    world = site(1, conditions=Conditions(drop=drop, delay_max=0.001))
    load(world, 60.0, 1, every=0.02, count=1)
    assert len(changes(world)) <= 16
    world.settle()


@pytest.mark.parametrize("mood", ["refused", "silent", "garbage"])
def test_without_either_road_the_engine_is_down_and_the_first_that_answers_is_taken(mood: Mood) -> None:
    world = site()
    world.conditions, world.calls.mood = BLOCKED, mood
    world.end.place(limit(1, BUY, 1, 100))
    assert world.run(4.0, lambda: state(world) is TransportState.ENGINE_DOWN)
    world.run(10.0)
    calls = world.calls.begun
    world.run(20.0)
    assert world.calls.begun - calls <= 20, "backs off"
    world.calls.mood = "up"
    assert world.run(3.5, lambda: world.end.confirmed_end == 2)
    assert state(world) is TransportState.GRPC_FALLBACK
    world.conditions = CLEAN
    assert world.run(1.0, lambda: state(world) is TransportState.UDP_ENABLED)
    world.settle()


def test_at_the_start_without_udp_orders_go_over_grpc() -> None:
    world = World(0, BLOCKED, settings=UDP_FIRST)
    world.end.place(limit(1, BUY, 1, 100))
    assert world.run(0.5, lambda: world.end.confirmed_end == 2)
    assert changes(world) == [TransportState.GRPC_FALLBACK]
    world.settle()


@pytest.mark.parametrize("transport", list(Transport))
def test_an_engine_that_does_not_answer_at_the_start_is_told_once(transport: Transport) -> None:
    world = World(0, BLOCKED, settings=SenderSettings(transport=transport))
    world.calls.mood = "refused"
    world.run(10.0)
    assert changes(world) == [TransportState.ENGINE_DOWN]
    world.calls.mood = "up"
    world.settle()
    assert len(changes(world)) == 2


def test_at_the_start_with_udp_grpc_is_not_called() -> None:
    world = World(0, settings=UDP_FIRST)
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    assert (world.calls.begun, changes(world)) == (0, [TransportState.UDP_ENABLED])


def test_a_datagram_that_arrives_after_its_twin_was_answered_over_grpc_is_a_duplicate() -> None:
    for seed in range(200):
        world = site(seed)
        held: list[bytes] = []

        def hold(datagram: bytes, held: list[bytes] = held) -> bool:
            held.append(datagram)
            return False

        world.seen = hold
        world.end.place(*[limit(i, BUY if i % 2 else SELL, 1 + seed % 3, 100) for i in range(1, 60)])
        assert world.run(1.0, lambda world=world: world.end.confirmed_end == world.end.records_end)  # type: ignore[misc]
        orders = [datagram for datagram in held if is_type(datagram, FrameType.ORDERS)]
        assert orders, "they were sent"
        world.seen = lambda _: True
        world.rng.shuffle(orders)
        for datagram in orders:
            world.engine.arrive(datagram, world.end)
        world.settle()


def test_reports_that_come_without_being_asked_for_are_found_over_grpc() -> None:
    world = World(sessions=2, settings=UDP_FIRST)
    maker, taker = world.ends
    world.run(0.1)
    maker.place(limit(1, BUY, 1, 100))
    world.run(0.1)
    world.conditions = BLOCKED
    world.run(8.0)
    taker.place(limit(2, SELL, 1, 100))
    assert world.run(1.0, lambda: [report.exec_type.name for report in maker.told] == ["NEW", "TRADE"])
    world.settle()


def test_a_book_is_answered_over_grpc() -> None:
    world = site()
    world.end.place(limit(1, BUY, 3, 100))
    world.run(0.1)
    world.conditions = BLOCKED
    load(world, 0.6, 2)
    world.end.ask_book(9, 1, 1)
    assert world.run(0.5, lambda: len(world.end.books) == 1)
    world.settle()


@pytest.mark.parametrize("transport", list(Transport))
def test_the_setting_is_switched_under_load_without_a_loss(transport: Transport) -> None:
    world = site(settings=SenderSettings(transport=transport))
    number = 1
    for other in [*Transport, *reversed(Transport), transport]:
        number = load(world, 0.3, number)
        world.end.link.change_transport(other, world.now)
        world.end.flush()
        assert world.run(1.0, lambda: world.end.settled)
        if other is Transport.GRPC_ONLY:
            assert world.run(1.0, lambda: state(world) is TransportState.GRPC_FALLBACK)
            sent = world.sent.get(FrameType.ORDERS, 0)
            number = load(world, 0.1, number)
            assert world.sent.get(FrameType.ORDERS, 0) == sent
        else:
            assert world.run(1.5, lambda: state(world) is TransportState.UDP_ENABLED)
    world.settle()


def test_an_engine_that_starts_again_during_the_fallback_goes_on_where_it_was() -> None:
    world = site()
    world.conditions = BLOCKED
    number = load(world, 1.0, 1)
    world.engine.crash()
    number = load(world, 0.5, number)
    world.engine.start()
    load(world, 0.5, number)
    world.settle()


def test_an_engine_that_stood_still_for_a_while_loses_nothing() -> None:
    world = site()
    world.engine.commit_delay = 2.0
    load(world, 0.5, 1)
    world.run(2.0)
    world.engine.commit_delay = 0.0002
    world.settle()


def test_another_engine_at_the_end_of_grpc_gets_nothing_and_stops_nothing() -> None:
    world = site()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.engine.crash()
    ours, world.engine.durable = world.engine.durable, []
    world.engine.engine_id = 8
    world.engine.start()
    world.conditions = BLOCKED
    world.end.place(limit(2, BUY, 1, 100))
    world.run(10.0)
    assert state(world) is TransportState.ENGINE_DOWN
    unusable = [event for event in world.end.events if isinstance(event, RoadUnusable)]
    assert len(unusable) == 1, "told once"
    assert "not to 0000000000000008" in unusable[0].reason
    assert world.engine.core is not None
    assert world.engine.core.counters.orders == 0
    world.engine.crash()
    world.engine.durable, world.engine.engine_id = ours, 7
    world.engine.start()
    world.settle()


def test_another_engine_is_the_end_where_grpc_is_the_only_road() -> None:
    world = site(settings=SenderSettings(transport=Transport.GRPC_ONLY))
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.engine.crash()
    world.engine.durable, world.engine.engine_id = [], 8
    world.engine.start()
    with pytest.raises(LinkError, match="belongs to engine"):
        world.run(10.0)


MOODS = st.sampled_from(["up", "up", "up", "refused", "silent", "reply lost", "garbage"])
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["place"] * 5 + ["udp", "udp", "grpc", "grpc", "cut", "transport", "engine", "engine done", "orderd"]
        ),
        st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        MOODS,
        st.sampled_from(list(Transport)),
        st.sampled_from([1, 3, 60, 300]),
        st.sampled_from([0.0, 0.0005, 0.002, 0.01, 0.05, 0.2, 1.0]),
    ),
    min_size=1,
    max_size=16,
)


@settings(max_examples=examples(150), deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([b"", b"k" * 32]), st.sampled_from([0.0, 0.1]), ACTIONS)
def test_whatever_breaks_all_is_executed_and_told_once_and_in_order(
    seed: int,
    secret: bytes,
    late: float,
    actions: list[tuple[str, float, Mood, Transport, int, float]],
) -> None:
    rough = Conditions(duplicate=0.1, delay_max=0.002, late=late)
    world = World(seed, rough, secret=secret, settings=UDP_FIRST)
    number, end, engine = 1, world.end, world.engine
    for action, drop, mood, transport, count, pause in actions:
        if action == "place":
            end.place(*mixed_records(world.rng, count, number))
            number += count
        elif action == "udp":
            world.conditions = Conditions(drop, 0.1, 0.02, 0.0001, 0.002, late)
        elif action == "grpc":
            world.calls.mood = mood
        elif action == "cut":
            world.calls.cut()
        elif action == "transport":
            if end.sender is not None:
                end.sender.change_transport(transport, world.now)
                end.flush()
        elif action == "orderd":
            if end.sender is None:
                end.start()
            else:
                end.crash()
        elif engine.core is None:
            engine.start()
        else:
            engine.crash(commit_done=action == "engine done")
        world.run(pause)
    if engine.core is None:
        engine.start()
    if end.sender is None:
        end.start()
    world.calls.mood = "up"
    world.settle(10.0)
