"""The bridge loses no result, cancels both ways, tells of a dead loop, and leaves no thread, task or warning behind."""

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Sized
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.runtime.asyncio_bridge import AsyncioBridge, BridgeFailed, Promise, open_bridge
from tests.support.scale import examples

STEPS = 6


@pytest.fixture
async def bridge() -> AsyncIterator[AsyncioBridge]:
    async with open_bridge() as bridge:
        yield bridge


@pytest.fixture(autouse=True)
def no_thread_left() -> Any:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name == "asyncio"] == []


@asynccontextmanager
async def cancelled_once(seen: Sized) -> AsyncIterator[None]:
    """The block is cancelled as soon as there is something in ``seen``."""
    async with trio.open_nursery() as nursery:

        async def cancel() -> None:
            with trio.move_on_after(30):
                while not len(seen):
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

        nursery.start_soon(cancel)
        yield
        nursery.cancel_scope.cancel()


def only_error(group: BaseException) -> BaseException:
    """The one error in groups of groups."""
    while isinstance(group, BaseExceptionGroup):
        (group,) = group.exceptions
    return group


async def test_a_result_and_an_error_come_back(bridge: AsyncioBridge) -> None:
    async def divide(a: int, b: int) -> float:
        await asyncio.sleep(0)
        return a / b

    assert await bridge.run(divide, 6, 4) == 1.5
    with pytest.raises(ZeroDivisionError):
        await bridge.run(divide, 1, 0)


async def test_calls_overlap_and_each_gets_its_own(bridge: AsyncioBridge) -> None:
    async def echo(value: int) -> int:
        for _ in range(value % 5):
            await asyncio.sleep(0)
        return value

    got: dict[int, int] = {}

    async def ask(value: int) -> None:
        got[value] = await bridge.run(echo, value)

    async with trio.open_nursery() as nursery:
        for value in range(100):
            nursery.start_soon(ask, value)
    assert got == {value: value for value in range(100)}


@pytest.mark.parametrize("step", range(STEPS))
async def test_cancelling_at_any_await_ends_the_asyncio_task_before_the_scope_is_left(
    bridge: AsyncioBridge, step: int
) -> None:
    trace: list[str] = []
    reached = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def walk() -> None:
        try:
            for at in range(STEPS):
                trace.append(f"at {at}")
                if at == step:
                    token.run_sync_soon(reached.set)
                    await asyncio.Event().wait()
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # A clean-up that takes a while is waited for.
            trace.append("cancelled")
            raise
        finally:
            trace.append("ended")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(lambda: cancel_when(reached, scope))
                await bridge.run(walk)
            assert scope.cancelled_caught
            assert trace == [*(f"at {at}" for at in range(step + 1)), "cancelled", "ended"]


async def cancel_when(reached: trio.Event, scope: trio.CancelScope) -> None:
    await reached.wait()
    scope.cancel()


@settings(max_examples=examples(20))
@given(st.integers(0, 12))
async def test_cancelling_after_any_number_of_trio_steps_leaves_nothing_running(steps: int) -> None:
    running: list[int] = []

    async def walk() -> int:
        running.append(1)
        try:
            for _ in range(STEPS):
                await asyncio.sleep(0)
            return 7
        finally:
            running.pop()

    with trio.fail_after(10):
        async with open_bridge() as bridge:
            results = []
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:

                    async def cancel() -> None:
                        for _ in range(steps):
                            await trio.lowlevel.checkpoint()
                        scope.cancel()

                    nursery.start_soon(cancel)
                    results.append(await bridge.run(walk))
            assert running == []
            assert results in ([], [7])


async def test_in_a_cancelled_scope_nothing_is_begun(bridge: AsyncioBridge) -> None:
    async def never() -> None:
        raise AssertionError

    with trio.CancelScope() as scope:
        scope.cancel()
        await bridge.run(never)
    assert scope.cancelled_caught


async def test_a_result_that_was_there_before_the_cancel_is_not_lost(bridge: AsyncioBridge) -> None:
    started: list[bool] = []

    async def stubborn() -> int:
        try:
            started.append(True)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 7
        return 0

    got = []
    async with cancelled_once(started):
        got.append(await bridge.run(stubborn))
    assert got == [7]


async def test_a_call_that_asyncio_cancels_by_itself_is_an_error(bridge: AsyncioBridge) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(BridgeFailed, match="cancelled within"):
        await bridge.run(cancelled)


async def test_asyncio_is_answered_by_trio(bridge: AsyncioBridge) -> None:
    promised: list[Promise[int]] = []
    asked = trio.Event()

    def take(promise: Promise[int]) -> None:
        promised.append(promise)
        asked.set()

    async def ask() -> int:
        return await bridge.ask(take)

    async def answer() -> None:
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        promised[0].keep(5)
        promised[0].keep(6)
        promised[0].break_(ValueError("late"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        assert await bridge.run(ask) == 5


async def test_what_taking_a_question_raises_breaks_the_promise_and_nothing_else(bridge: AsyncioBridge) -> None:
    def take(_: Promise[int]) -> None:
        raise LookupError("no such thing")

    def settle(promise: Promise[int]) -> None:
        promise.settle(lambda: 1 // 0)

    async def ask(how: Any) -> int:
        return await bridge.ask(how)

    with pytest.raises(LookupError):
        await bridge.run(ask, take)
    with pytest.raises(ZeroDivisionError):
        await bridge.run(ask, settle)


async def test_a_promise_that_nobody_waits_for_any_more_may_be_kept(bridge: AsyncioBridge) -> None:
    promised: list[Promise[int]] = []

    async def ask() -> int:
        return await bridge.ask(promised.append)

    async def nothing() -> None:
        pass

    async with cancelled_once(promised):
        await bridge.run(ask)
    promised[0].keep(1)
    await bridge.run(nothing)


async def test_a_promise_may_be_kept_after_the_loop_is_gone() -> None:
    promised: list[Promise[int]] = []

    async def ask(opened: AsyncioBridge) -> None:
        opened.ask(promised.append)

    async with open_bridge() as opened:
        await opened.run(ask, opened)
        await trio.testing.wait_all_tasks_blocked()
    promised[0].keep(1)


async def test_the_end_cancels_what_runs_in_asyncio_and_waits_for_it() -> None:
    ended: list[bool] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    tasks = set()

    async def start() -> None:
        tasks.add(asyncio.get_running_loop().create_task(linger()))
        await asyncio.sleep(0)

    async with open_bridge() as bridge:
        await bridge.run(start)
    assert ended == [True]
    with pytest.raises(BridgeFailed, match="closed"):
        await bridge.run(start)


async def test_a_loop_that_dies_is_an_error_for_its_owner_and_for_all_who_wait() -> None:
    async def wait() -> None:
        await asyncio.Event().wait()

    async def die() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.Event().wait()

    failures: list[str] = []

    async def expect_failure(bridge: AsyncioBridge, function: Any) -> None:
        try:
            await bridge.run(function)
        except BridgeFailed as error:
            failures.append(str(error))

    async def main() -> None:
        async with open_bridge() as opened, trio.open_nursery() as nursery:
            nursery.start_soon(expect_failure, opened, wait)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(expect_failure, opened, die)
            nursery.start_soon(trio.sleep_forever)

    with trio.fail_after(10), pytest.raises(BaseExceptionGroup) as caught:
        await main()
    error = only_error(caught.value)
    assert isinstance(error, BridgeFailed)
    assert "ended by itself" in str(error)
    assert len(failures) == 2


async def test_an_error_in_the_body_ends_the_loop() -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_bridge():
            raise KeyError("body")
    assert isinstance(only_error(caught.value), KeyError)


async def test_a_callback_that_fails_is_one_line_and_no_traceback(
    bridge: AsyncioBridge, capfd: pytest.CaptureFixture[str]
) -> None:
    async def spoil() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        logging.getLogger("grpclib.server").error("failed\nhard", exc_info=ValueError("x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await bridge.run(spoil)
    out, err = capfd.readouterr()
    assert "ZeroDivisionError" in out + err
    assert "Traceback" not in out + err


async def test_sockets_of_asyncio_work_across(bridge: AsyncioBridge) -> None:
    left, right = socket.socketpair()
    left.setblocking(False)

    async def receive() -> bytes:
        return await asyncio.get_running_loop().sock_recv(left, 10)

    with left, right:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                await trio.testing.wait_all_tasks_blocked()
                right.send(b"hello")

            nursery.start_soon(send)
            assert await bridge.run(receive) == b"hello"
