"""An end that lost what it had is found out, whichever it is and whatever it lost; the link halts."""

import pytest

from orderd.link.errors import EngineLostState, JournalLostTail
from orderd.wire import bodies, tags
from orderd.wire.frames import Frame, FrameType
from orderd.wire.tags import Direction
from tests.support.lossy_link import World, copy_of, is_type
from tests.support.matching import BUY, limit


def test_an_engine_that_lost_its_journal_is_not_taken_for_a_slow_one() -> None:
    for boots in (1, 3):
        world = World()
        world.end.place(limit(1, BUY, 1, 100))
        world.settle()
        for _ in range(boots - 1):
            world.engine.crash()
            world.engine.start()
            world.run(1.0)
        world.engine.crash()
        world.engine.durable.clear()
        world.engine.engine_id = 8
        world.engine.start()
        with pytest.raises(EngineLostState, match="belongs to engine"):
            world.run(5.0)


@pytest.mark.parametrize("lost", [1, 3])
def test_an_engine_that_went_back_in_time_is_found_out(lost: int) -> None:
    world = World()
    kept = list(world.engine.durable)
    for number in range(1, 4):
        world.end.place(limit(number, BUY, 1, 100))
        world.settle()
        world.engine.crash()
        world.engine.start()
        world.run(1.0)
    world.engine.crash()
    world.engine.durable = world.engine.durable[:-lost] if lost == 1 else kept
    # With its last boot only: it says a boot number that was there before. With more: an older one, or fewer orders.
    if lost == 1:
        world.engine.durable = [entry for entry in world.engine.durable if entry[0] != 4]
    world.engine.start()
    with pytest.raises(EngineLostState):
        world.run(5.0)


def test_an_engine_that_only_lost_starts_is_found_out_and_not_waited_for() -> None:
    world = World()
    kept = list(world.engine.durable)
    for _ in range(2):
        world.engine.crash()
        world.engine.start()
        world.run(1.5)
    world.engine.crash()
    world.engine.durable = kept
    world.engine.start()
    with pytest.raises(EngineLostState, match="was at boot 3 and is back at boot 2"):
        world.run(5.0)


def test_an_engine_that_lost_what_it_told_after_a_hello_is_found_out() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    kept = list(world.engine.durable)
    # The answer to the second order comes after the HELLO that goes along with the retransmission.
    dropped: list[bytes] = []

    def drop_first(datagram: bytes) -> bool:
        if is_type(datagram, FrameType.ORDERS) and not dropped:
            dropped.append(datagram)
            return False
        return not is_type(datagram, FrameType.HELLO)

    world.seen = drop_first
    hellos = world.end.link.counters.hellos
    world.end.place(limit(2, BUY, 1, 100))
    assert world.run(1.0, lambda: world.end.settled)
    assert world.end.link.counters.hellos == hellos + 1
    world.engine.crash()
    world.engine.durable = kept
    world.engine.start()
    # Only now does that HELLO arrive, at an engine that has forgotten the second order, and has no lower boot.
    late = Frame(
        FrameType.HELLO,
        world.end.session,
        world.end.epoch,
        world.end.link._handshake.counter,
        ack=1,
        body=bodies.Hello(world.end.nonce, {}, 1472).encode(),
    )
    world.engine.arrive(tags.handshake_sealer(b"", late.session, Direction.TO_ENGINE).seal(late.encode()), world.end)
    with pytest.raises(EngineLostState, match="wants sequence 2"):
        world.run(1.0)


def test_an_engine_that_went_back_is_found_by_a_new_orderd_too() -> None:
    world = World()
    kept = list(world.engine.durable)
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.end.crash()
    world.engine.crash()
    world.engine.durable = kept
    world.engine.start()
    world.end.start()
    with pytest.raises(EngineLostState, match="wants sequence 1 and has reports below 1"):
        world.run(1.0)


def test_an_orderd_that_lost_the_tail_of_its_orders_halts() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    older = copy_of(world.end)
    world.end.place(limit(2, BUY, 1, 100))
    world.settle()
    world.end.crash()
    older.epoch += 1
    older.start()
    world.ends.append(older)
    with pytest.raises(JournalLostTail):
        world.run(1.0)


def test_what_came_in_since_the_start_does_not_stand_in_for_a_lost_tail() -> None:
    """Else it would have the sequences of orders that the engine has executed, and be taken for those."""
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    older = copy_of(world.end)
    world.end.place(limit(2, BUY, 1, 100))
    world.settle()
    world.end.crash()
    older.epoch += 1
    older.start()
    world.ends.append(older)
    older.place(limit(3, BUY, 1, 100) + limit(4, BUY, 1, 100))
    with pytest.raises(JournalLostTail, match="executed below 3, the journal ends below 2"):
        world.run(1.0)


def test_an_orderd_that_lost_reports_it_had_acknowledged_halts() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    world.run(0.1)
    world.end.crash()
    world.end.told.clear()
    world.end.confirmed_end = 1
    world.end.start()
    with pytest.raises(JournalLostTail, match="reports below 2 were acknowledged"):
        world.run(1.0)
