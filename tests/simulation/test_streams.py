"""Virtual Unix sockets keep order, break as real ones do, and die with their daemon."""

import random
from collections.abc import Awaitable, Callable
from errno import EADDRINUSE, EMFILE
from os import strerror

import pytest
import trio

from orderd.intake.access import Peer
from tests.simulation import kernel
from tests.simulation.kernel import Killed, Process, Timers, Trace
from tests.simulation.streams import ClientEnd, DaemonEnd, Listener, Streams

PEER = Peer(7, 1000, frozenset({1000}))
TEXT = random.Random(0).randbytes(150_000)


class Ground:
    """A daemon that listens."""

    def __init__(self, seed: int) -> None:
        self.trace = Trace(100_000)
        self.streams = Streams(random.Random(seed), self.trace)
        self.daemon = Process("a#1", random.Random(1), Timers(), self.trace)
        self.listener: Listener = self.streams.listen(self.daemon, "a")

    async def pair(self) -> tuple[ClientEnd, DaemonEnd]:
        client = await self.streams.connect("a", PEER)
        await self.listener.wait_readable()
        return client, self.listener.accept()


def run(main: Callable[[Ground], Awaitable[None]], seed: int = 0) -> str:
    """``main`` in a world of its own; the hash of what happened."""

    async def whole() -> str:
        ground = Ground(seed)
        await main(ground)
        return ground.trace.digest

    return kernel.run(seed, whole)


async def read_all(end: DaemonEnd) -> bytes:
    """To the end, as a listener does."""
    found = b""
    while True:
        await end.wait_readable()
        try:
            data = end.recv(16_384)
        except BlockingIOError:
            continue
        if not data:
            return found
        found += data


async def write_all(end: DaemonEnd, data: bytes) -> None:
    """As a listener does."""
    while data:
        try:
            data = data[end.send(data) :]
        except BlockingIOError:
            await end.wait_writable()


@pytest.mark.parametrize("seed", range(6))
def test_all_bytes_come_in_order_both_ways_whatever_the_buffers_hold(seed: int) -> None:
    async def main(ground: Ground) -> None:
        client, end = await ground.pair()
        assert end.peer() == PEER
        found: dict[str, bytes] = {"client": b"", "daemon": b""}

        async def client_sends() -> None:
            await client.send(TEXT)
            client.half_close()

        async def client_receives() -> None:
            while data := await client.receive():
                found["client"] += data

        async def daemon_works() -> None:
            found["daemon"] = await read_all(end)
            await write_all(end, TEXT[::-1])
            end.close()

        async with trio.open_nursery() as nursery:
            for task in (client_sends, client_receives, daemon_works):
                nursery.start_soon(task)
        assert found == {"client": TEXT[::-1], "daemon": TEXT}
        with pytest.raises(BrokenPipeError):
            client.send_some(b"x")

    assert run(main, seed) == run(main, seed) != run(main, seed + 100)


def test_what_a_client_said_before_it_hung_up_is_read() -> None:
    async def main(ground: Ground) -> None:
        client, end = await ground.pair()
        await client.send(b"PING\r\n")
        client.hang_up()
        client.hang_up()
        assert await read_all(end) == b"PING\r\n"
        with pytest.raises(BrokenPipeError):
            end.send(b"+PONG\r\n")
        end.close()
        with pytest.raises(trio.ClosedResourceError):
            await client.receive()

    run(main)


def test_who_has_not_read_everything_resets_the_other() -> None:
    async def main(ground: Ground) -> None:
        client, end = await ground.pair()
        await client.send(b"unread")
        end.send(b"bye")
        end.close()
        assert b"".join([await client.receive(1) for _ in range(3)]) == b"bye"
        with pytest.raises(ConnectionResetError):
            await client.receive()
        assert await client.receive() == b""
        client, end = await ground.pair()
        end.send(b"unread")
        client.hang_up()
        with pytest.raises(ConnectionResetError):
            await read_all(end)

    run(main)


def test_whoever_waits_for_a_socket_that_is_closed_is_woken() -> None:
    async def main(ground: Ground) -> None:
        _, end = await ground.pair()
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:

                async def wait() -> None:
                    with pytest.raises(trio.ClosedResourceError):
                        await end.wait_readable()

                nursery.start_soon(wait)
                await trio.sleep(0.1)
                end.close()

    run(main)


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_daemon_leaves_all_it_wrote_or_nothing_and_nobody_listens(seed: int) -> None:
    async def main(ground: Ground) -> None:
        client, end = await ground.pair()
        await client.send(b"read")
        await end.wait_readable()
        end.send(b"answered")
        late = await ground.streams.connect("a", PEER)
        ground.daemon.kill()
        found = b""
        try:
            while data := await client.receive():
                found += data
        except ConnectionResetError:
            pass
        assert b"answered".startswith(found)
        with pytest.raises(ConnectionResetError):
            await late.receive()
        with pytest.raises(ConnectionRefusedError):
            await ground.streams.connect("a", PEER)
        for call in (end.close, lambda: end.recv(1), lambda: end.send(b"x"), ground.listener.accept):
            with pytest.raises(Killed):
                call()
        ground.streams.listen(Process("a#2", random.Random(2), Timers(), ground.trace), "a")
        await ground.streams.connect("a", PEER)

    run(main, seed)


def test_a_full_backlog_makes_clients_wait_and_names_are_of_one_listener() -> None:
    async def main(ground: Ground) -> None:
        ground.listener._backlog_max = 1
        await ground.streams.connect("a", PEER)
        with trio.move_on_after(1) as waiting:
            await ground.streams.connect("a", PEER)
        assert waiting.cancelled_caught
        ground.listener.accept()
        await ground.streams.connect("a", PEER)
        with pytest.raises(OSError, match=strerror(EADDRINUSE)):
            ground.streams.listen(ground.daemon, "a")
        ground.streams.exhausted = 1.0
        with pytest.raises(OSError, match=f"{strerror(EMFILE)}|files open|abort"):
            ground.listener.accept()

    run(main)
