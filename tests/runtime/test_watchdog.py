"""The watchdog is fed while loop and journal do their work, and hears nothing when the disk hangs."""

import errno
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import structlog
import trio
import trio.testing

from orderd.journal import JournalFailed, JournalWriter
from orderd.runtime.notify import NOBODY, Notifier
from orderd.runtime.watchdog import feed
from tests.support.journals import reopen, small_settings
from tests.support.notify_socket import notify_socket
from tests.support.simulated_disk import SimulatedDisk

T = TypeVar("T")

PERIOD_S = 30.0


async def test_it_is_fed_three_times_a_period(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    proofs: list[float] = []

    async def prove() -> None:
        await trio.lowlevel.checkpoint()
        proofs.append(trio.current_time())

    with notify_socket(tmp_path / "n") as manager:
        with trio.move_on_after(2 * PERIOD_S - 1):
            await feed(Notifier(str(manager.path), PERIOD_S), prove)
        assert [b - a for a, b in itertools.pairwise(proofs)] == pytest.approx([PERIOD_S / 3] * 5)
        assert manager.lines == ["WATCHDOG=1"] * 6


async def test_a_manager_that_wants_nothing_is_not_fed(tmp_path: Path) -> None:
    async def prove() -> None:
        raise AssertionError("nobody asked")

    with notify_socket(tmp_path / "n") as manager:
        await feed(Notifier(str(manager.path)), prove)
        await feed(NOBODY, prove)
        assert not manager.lines


async def test_a_proof_that_does_not_come_ends_the_feeding_until_it_does(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    turn = trio.Event()
    with notify_socket(tmp_path / "n") as manager, structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed, Notifier(str(manager.path), PERIOD_S), turn.wait)
            await trio.sleep(2 * PERIOD_S + 1)
            assert not manager.lines
            assert logs[0]["event"] == "the journal does not answer"
            assert (logs[0]["waited_s"], logs[0]["log_level"]) == (10.0, "warning")
            turn.set()
            await trio.sleep(PERIOD_S)
            assert manager.count("WATCHDOG=1") >= 3
            nursery.cancel_scope.cancel()


class HungDisk:
    """Whoever crosses to the worker thread comes back once the disk answers, cancelled or not."""

    def __init__(self) -> None:
        self.answers = trio.Event()
        self.answers.set()

    async def run_blocking(self, function: Callable[..., T], /, *args: object, **options: object) -> T:
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            await self.answers.wait()
        return function(*args)


async def test_a_disk_that_hangs_ends_the_feeding_though_the_loop_runs(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    disk = HungDisk()
    writer = JournalWriter(reopen(SimulatedDisk())[0], small_settings(), run_blocking=disk.run_blocking)
    with notify_socket(tmp_path / "n") as manager:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed, Notifier(str(manager.path), PERIOD_S), writer.prove_alive)
            await trio.sleep(PERIOD_S)
            fed = manager.count("WATCHDOG=1")
            assert fed >= 3
            disk.answers = trio.Event()
            await trio.sleep(10 * PERIOD_S)
            assert manager.count("WATCHDOG=1") == fed
            disk.answers.set()
            await trio.sleep(PERIOD_S)
            assert manager.count("WATCHDOG=1") >= fed + 3
            nursery.cancel_scope.cancel()
    await writer.aclose()


async def test_a_commit_that_hangs_ends_the_feeding_and_the_log_says_so(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    disk = HungDisk()
    disk.answers = trio.Event()
    writer = JournalWriter(reopen(SimulatedDisk())[0], small_settings(), run_blocking=disk.run_blocking)
    with notify_socket(tmp_path / "n") as manager, structlog.testing.capture_logs() as logs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.commit, [(1, b"x")])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(feed, Notifier(str(manager.path), PERIOD_S), writer.prove_alive)
            await trio.sleep(2 * PERIOD_S + 1)
            assert not manager.lines
            assert [line["event"] for line in logs] == ["the journal does not answer"] * 6
            disk.answers.set()
            await trio.sleep(PERIOD_S)
            assert manager.count("WATCHDOG=1") >= 3
            nursery.cancel_scope.cancel()
    await writer.aclose()


async def test_a_sync_that_fails_for_it_is_final(tmp_path: Path) -> None:
    disk = SimulatedDisk()
    writer = JournalWriter(reopen(disk)[0], small_settings())
    disk.fail_names = {"fdatasync": errno.EIO}
    with notify_socket(tmp_path / "n") as manager:
        with pytest.raises(JournalFailed):
            await feed(Notifier(str(manager.path), PERIOD_S), writer.prove_alive)
        assert not manager.lines
    assert writer.failure is not None
