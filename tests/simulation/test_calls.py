"""A virtual call ends once, at its deadline at the latest, and what was executed does not depend on what was told."""

import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio

from engine.rounds import Call
from orderd.dispatch.grpc_channel import GrpcFailed
from tests.simulation import kernel
from tests.simulation.calls import Calls, CallServer, Channel
from tests.simulation.conditions import CallRoad
from tests.simulation.kernel import Killed, Process, Timers, Trace

TO = "engine:50051"


class Rounds:
    """An engine that answers each frame with the same in capitals, after a while."""

    def __init__(self, timers: Timers) -> None:
        self.executed: list[bytes] = []
        self.takes_s = 0.001
        self.failures: list[BaseException] = []
        self._timers = timers

    def submit(self, call: Call) -> None:
        self._timers.at(self.takes_s, lambda: self._execute(call))

    def _execute(self, call: Call) -> None:
        self.executed += call.frames
        for frame in call.frames:
            call.add(frame.upper())
        try:
            call.end()
        except Killed as error:
            self.failures.append(error)


class Ground:
    """An engine that takes calls, and a channel to it."""

    rounds: Rounds
    server: CallServer
    channel: Any

    def __init__(self, stack: AsyncExitStack) -> None:
        self.timers, self.trace = Timers(), Trace(1000)
        self.calls = Calls(self.timers, random.Random(0), self.trace)
        self.rounds = Rounds(self.timers)
        self.client, self.engine = self.process("a#1"), self.process("engine#1")
        self._stack = stack

    def process(self, name: str) -> Process:
        return Process(name, random.Random(name), self.timers, self.trace)

    @property
    def road(self) -> CallRoad:
        return self.calls.road("a", "engine")

    async def open(self) -> None:
        self.server = await self.serve(self.engine)
        self.channel = await self._stack.enter_async_context(self.calls.connect(self.client, TO)())

    async def serve(self, process: Process) -> CallServer:
        site: Any = self
        return await self._stack.enter_async_context(self.calls.serve(process, TO)(site))


def run(main: Callable[[Ground], Awaitable[None]]) -> None:
    """``main`` in a world of its own."""

    async def whole() -> None:
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            ground = Ground(stack)
            nursery.start_soon(ground.timers.run)
            await ground.open()
            await main(ground)
            nursery.cancel_scope.cancel()

    kernel.run(0, whole)


def test_a_call_brings_the_answers_of_its_round() -> None:
    async def main(ground: Ground) -> None:
        assert isinstance(ground.channel, Channel)
        assert await ground.channel.exchange([b"one", b"two"], 1.0) == [b"ONE", b"TWO"]
        assert await ground.channel.exchange([b"three"], 1.0) == [b"THREE"]
        assert ground.rounds.executed == [b"one", b"two", b"three"]

    run(main)


@pytest.mark.parametrize(
    ("fault", "executed"), [("lost_request", []), ("lost_reply", [b"x"]), ("slow", [b"x"]), ("cut", [])]
)
def test_a_call_without_an_answer_ends_by_its_deadline(fault: str, executed: list[bytes]) -> None:
    async def main(ground: Ground) -> None:
        setattr(ground.road, fault, 1.0)
        ground.road.slow_max_s = 50.0
        began = trio.current_time()
        with pytest.raises(GrpcFailed, match="timed out after 20 ms"):
            await ground.channel.exchange([b"x"], 0.02)
        assert trio.current_time() - began == pytest.approx(0.02)
        await trio.sleep(60)
        assert ground.rounds.executed == executed

    run(main)


def test_nobody_listens() -> None:
    async def main(ground: Ground) -> None:
        ground.engine.kill()
        with pytest.raises(GrpcFailed, match="Connection refused"):
            await ground.channel.exchange([b"x"], 1.0)
        await ground.serve(ground.process("engine#2"))
        assert await ground.channel.exchange([b"x"], 1.0) == [b"X"]
        ground.road.refused = True
        with pytest.raises(GrpcFailed, match="Connection refused"):
            await ground.channel.exchange([b"y"], 1.0)
        assert ground.rounds.executed == [b"x"]

    run(main)


def test_connections_that_break_fail_calls_whether_they_were_executed_or_not() -> None:
    async def main(ground: Ground) -> None:
        ground.road.reset = 1.0
        failed = 0
        for number in range(100):
            try:
                await ground.channel.exchange([b"%d" % number], 1.0)
            except GrpcFailed:
                failed += 1
            await trio.sleep(0.1)
        assert failed > 50
        assert 10 < len(ground.rounds.executed) < 100

    run(main)


def test_calls_under_way_end_with_the_engine_and_its_round_answers_nobody() -> None:
    async def main(ground: Ground) -> None:
        ground.rounds.takes_s = 0.5
        ground.timers.at(0.1, ground.engine.kill)
        began = trio.current_time()
        with pytest.raises(GrpcFailed, match="Connection lost"):
            await ground.channel.exchange([b"x"], 5.0)
        assert trio.current_time() - began < 0.2
        await trio.sleep(1)
        assert [type(error) for error in ground.rounds.failures] == [Killed]

    run(main)


def test_a_stop_refuses_new_calls_and_answers_those_under_way() -> None:
    async def main(ground: Ground) -> None:
        ground.rounds.takes_s = 0.5
        answers: list[bytes] = []

        async def early() -> None:
            answers.extend(await ground.channel.exchange([b"early"], 5.0))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(early)
            await trio.sleep(0.1)
            nursery.start_soon(ground.server.stop)
            await trio.sleep(0.1)
            with pytest.raises(GrpcFailed, match="UNAVAILABLE: the engine is stopping"):
                await ground.channel.exchange([b"late"], 5.0)
        assert answers == [b"EARLY"]
        with pytest.raises(GrpcFailed, match="Connection refused"):
            await ground.channel.exchange([b"too late"], 5.0)
        assert ground.rounds.executed == [b"early"]

    run(main)


def test_what_a_dead_client_has_sent_is_executed() -> None:
    async def main(ground: Ground) -> None:
        ground.road.base_s = 0.1
        ground.timers.at(0.05, ground.client.kill)
        with pytest.raises(Killed):
            await ground.channel.exchange([b"x"], 5.0)
        await trio.sleep(1)
        assert ground.rounds.executed == [b"x"]

    run(main)
