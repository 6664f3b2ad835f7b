"""A virtual network does what it is told to do, the same in each run of a seed, and nothing else."""

import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE, ECONNREFUSED

import pytest
import trio

from tests.simulation import kernel
from tests.simulation.conditions import NetworkFaults
from tests.simulation.kernel import Killed, Process, Timers, Trace
from tests.simulation.network import Network, VirtualSocket, damaged

STEADY = NetworkFaults(loss=0.2, duplication=0.2, corruption=0.1, late=0.05, replay=0.1, stranger=0.1)
WEATHER = NetworkFaults(loss=0.1, cuts_per_s=3, cut_one_way=0.5, bursts_per_s=3, call_refusals_per_s=1)


class Ground:
    """A network and what makes processes on it."""

    def __init__(self, seed: int = 0) -> None:
        self.trace = Trace(10_000)
        self.timers = Timers()
        self.network = Network(self.timers, random.Random(f"{seed}/network"), self.trace)

    def process(self, name: str) -> Process:
        return Process(name, random.Random(name), self.timers, self.trace)

    def pair(self) -> tuple[VirtualSocket, VirtualSocket]:
        """A connected one, and the one that it is connected to."""
        engine = self.network.socket(self.process("engine#1"), "engine:9001")
        return self.network.socket(self.process("a#1"), "a:1", "engine:9001"), engine


def run(main: Callable[[Ground], Awaitable[None]], seed: int = 0) -> Ground:
    """``main`` in a world of its own."""

    async def whole() -> Ground:
        ground = Ground(seed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ground.timers.run)
            await main(ground)
            nursery.cancel_scope.cancel()
        return ground

    return kernel.run(seed, whole)


async def drain(sock: VirtualSocket, seconds: float) -> list[bytes]:
    """All that comes within a time."""
    found: list[bytes] = []
    with trio.move_on_after(seconds):
        while True:
            await sock.wait_readable()
            found += [datagram for datagram, _ in sock.receive()]
    return found


async def send_many(sock: VirtualSocket, count: int) -> list[bytes]:
    """Different ones, one each millisecond."""
    sent = [b"datagram %d" % i for i in range(count)]
    for datagram in sent:
        sock.send(datagram)
        await trio.sleep(0.001)
    return sent


@pytest.mark.parametrize("faults", [STEADY, WEATHER])
def test_a_seed_is_a_history(faults: NetworkFaults) -> None:
    async def main(ground: Ground) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ground.network.run, faults)
            ours, theirs = ground.pair()
            await send_many(ours, 300)
            for datagram in await drain(theirs, 5):
                theirs.send(datagram, "a:1")
            await drain(ours, 5)
            nursery.cancel_scope.cancel()

    assert run(main, 1).trace.digest == run(main, 1).trace.digest != run(main, 2).trace.digest


def test_a_good_network_brings_everything_once_and_says_from_whom() -> None:
    async def main(ground: Ground) -> None:
        ours, theirs = ground.pair()
        sent = await send_many(ours, 60)
        assert await drain(theirs, 1) == sent
        theirs.send(b"reply", "a:1")
        assert await drain(ours, 1) == [b"reply"]
        ours.send(b"last")
        await theirs.wait_readable()
        assert theirs.receive() == [(b"last", "a:1")]

    run(main)


def test_as_much_is_lost_and_doubled_as_was_said_and_nothing_is_invented() -> None:
    async def main(ground: Ground) -> None:
        ours, theirs = ground.pair()
        way = ground.network.direction("a", "engine")
        way.loss, way.duplication, way.late, way.replay = 0.3, 0.25, 0.05, 0.1
        sent: list[bytes] = []
        found: list[bytes] = []
        for part in range(20):
            sent += (piece := [b"%d/%d" % (part, i) for i in range(100)])
            for datagram in piece:
                ours.send(datagram)
            found += await drain(theirs, 0.1)
        found += await drain(theirs, 10)
        assert set(found) <= set(sent)
        assert 0.25 < way.lost / way.sent < 0.35
        assert way.sent == 2000
        assert 1 - len(set(found)) / len(sent) == pytest.approx(0.3, abs=0.08)
        assert max(Counter(found).values()) > 1
        assert found != sorted(found, key=sent.index), "some overtake others"

    run(main)


def test_what_is_damaged_is_never_what_was_sent() -> None:
    rng = random.Random(5)
    for size in (1, 2, 17, 300):
        datagram = rng.randbytes(size)
        assert all(damaged(datagram, rng) != datagram for _ in range(300))


def test_a_dead_way_says_nothing_and_the_other_way_works() -> None:
    async def main(ground: Ground) -> None:
        ours, theirs = ground.pair()
        ground.network.direction("a", "engine").cut = True
        ours.send(b"lost")
        theirs.send(b"there", "a:1")
        assert await drain(ours, 1) == [b"there"]
        assert await drain(theirs, 1) == []
        assert ours.last_error == ""
        ground.network.heal()
        ours.send(b"healed")
        assert await drain(theirs, 1) == [b"healed"]

    run(main)


def test_who_sends_to_nobody_is_told_with_the_next_call() -> None:
    async def main(ground: Ground) -> None:
        ours, theirs = ground.pair()
        theirs.close()
        assert ours.send(b"to nobody")
        await ours.wait_readable()
        assert ours.receive() == []
        assert ours.last_error == os.strerror(ECONNREFUSED)
        assert ours.send(b"to nobody")
        await trio.sleep(0.1)
        assert not ours.send(b"takes the error")
        ground.network.dark.add("engine")
        ours.send(b"to nobody")
        assert await drain(ours, 1) == []
        assert ours.last_error == ""

    run(main)


def test_a_dead_process_leaves_its_address_and_what_is_on_its_way_to_the_next_one() -> None:
    async def main(ground: Ground) -> None:
        engine, network = ground.process("engine#1"), ground.network
        ours = network.socket(ground.process("a#1"), "a:1", "engine:9001")
        first = network.socket(engine, "engine:9001")
        with pytest.raises(OSError, match=os.strerror(EADDRINUSE)):
            network.socket(ground.process("engine#2"), "engine:9001")
        ours.send(b"was there, and not read")
        await trio.sleep(0.1)
        ours.send(b"on its way")
        engine.kill()
        with pytest.raises(Killed):
            first.send(b"from the dead", "a:1")
        with pytest.raises(Killed):
            await first.wait_readable()
        second = network.socket(ground.process("engine#2"), "engine:9001")
        assert await drain(second, 1) == [b"on its way"]
        assert await drain(ours, 1) == []

    run(main)


def test_what_finds_no_room_is_lost_and_a_connected_socket_hears_its_peer_only() -> None:
    async def main(ground: Ground) -> None:
        ours, theirs = ground.pair()
        for _ in range(2000):
            ours.send(b"x")
        await trio.sleep(1)
        found = await drain(theirs, 1)
        assert 64 <= len(found) <= 1000
        assert ground.network.figures == (2000, 2000 - len(found))
        stranger = ground.network.socket(ground.process("x#1"), "x:1")
        stranger.send(b"hello", "a:1")
        assert await drain(ours, 1) == []

    run(main)
