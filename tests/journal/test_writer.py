"""The journal in a trio program, on the real disk where there is no fault to be made."""

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from orderd.journal import Disk, JournalFailed, JournalWriter, RealDisk, open_journal, record_bytes
from orderd.journal.record import Entry
from orderd.journal.writer import SPARE_RETRY_S
from orderd.runtime.host import RunSync
from orderd.runtime.journal_settings import JournalSettings
from tests.support.journals import reopen, small_settings
from tests.support.simulated_disk import BlockedDisk, SimulatedDisk
from tests.support.threads import run_here

ENTRY = (1, b"x" * 100)


class Clock:
    """Makes each commit look as if it had taken this long."""

    def __init__(self) -> None:
        self.commit_s = 0.0
        self._now = 0.0

    def __call__(self) -> float:
        self._now += self.commit_s
        return self._now


def make(
    disk: Disk,
    settings: JournalSettings | None = None,
    clock: Callable[[], float] | None = None,
    run_blocking: RunSync = trio.to_thread.run_sync,
) -> JournalWriter:
    settings = settings or small_settings()
    journal = open_journal(settings, b"test", disk, entropy_u64=9)
    list(journal.replay())
    return JournalWriter(journal, settings, clock=clock or Clock(), run_blocking=run_blocking)


async def test_commits_of_many_tasks_are_all_there_in_the_order_of_the_calls(tmp_path: Path) -> None:
    settings = small_settings(directory=str(tmp_path / "journal"))
    writer = make(RealDisk(), settings)
    called: list[Entry] = []

    async def producer(kind: int) -> None:
        for i in range(20):
            entry = (kind, b"%d" % i * 40)
            called.append(entry)
            await writer.commit([entry])

    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        async with trio.open_nursery() as producers:
            for kind in range(8):
                producers.start_soon(producer, kind)
        nursery.cancel_scope.cancel()
    assert writer.commits == 160
    assert writer.segments > 1
    await writer.aclose()
    journal, found = reopen(RealDisk(), directory=str(tmp_path / "journal"))
    assert found == called
    journal.close()


async def test_a_spare_is_made_at_the_start_and_after_each_new_segment() -> None:
    disk = SimulatedDisk()
    writer = make(disk)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for _ in range(4):
            with trio.fail_after(30):
                while not any(name.endswith(".spare") for name in disk.names):
                    await trio.testing.wait_all_tasks_blocked(0.001)
            before = disk.calls
            await writer.commit([(1, b"x" * 3000)])
            assert "create" not in disk.log[before : disk.calls - 4]
        nursery.cancel_scope.cancel()
    await writer.aclose()


async def test_small_commits_move_into_the_loop_while_they_are_quick_and_out_when_they_are_not() -> None:
    clock = Clock()
    writer = make(SimulatedDisk(), small_settings(segment_bytes=2**20), clock)
    clock.commit_s = 0.0001
    for _ in range(30):
        await writer.commit([ENTRY])
    assert 15 < writer.commits_inline < 30
    inline = writer.commits_inline
    await writer.commit([(1, bytes(20_000))])
    assert writer.commits_inline == inline, "a large one never runs in the loop"
    clock.commit_s = 0.01
    for _ in range(10):
        await writer.commit([ENTRY])
    assert writer.commits_inline == inline + 1, "one slow commit is enough"


@pytest.mark.parametrize("durability", ["interval", "none"])
async def test_without_sync_a_commit_runs_in_the_loop_unless_it_begins_a_segment(durability: str) -> None:
    disk = BlockedDisk()
    writer = make(disk, small_settings(durability))
    disk.threads.clear()
    for _ in range(20):
        await writer.commit([(1, bytes(1000))])
    assert writer.segments > 3
    assert writer.commits_inline == 20 - (writer.segments - 1)
    assert threading.get_ident() not in disk.threads


async def test_a_commit_in_a_thread_holds_up_commits_but_not_the_loop() -> None:
    disk = BlockedDisk()
    writer = make(disk)
    disk.blocked = True
    done: list[int] = []

    async def commit(kind: int) -> None:
        await writer.commit([(kind, b"")])
        done.append(kind)

    room = writer.room
    async with trio.open_nursery() as nursery:
        for kind in (1, 2):
            nursery.start_soon(commit, kind)
            await trio.testing.wait_all_tasks_blocked()
            assert writer.room == room - kind * record_bytes(0), "what waits has its room reserved"
        assert disk.syncing.acquire(timeout=30)
        assert not disk.syncing.acquire(blocking=False)
        assert done == []
        disk.go.release(2)
    assert done == [1, 2]
    assert writer.room == room - 2 * record_bytes(0)


async def test_a_commit_that_was_begun_is_finished_though_its_caller_is_cancelled() -> None:
    disk = BlockedDisk()
    writer = make(disk)
    disk.blocked = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.commit, [(1, b"begun")])
        await trio.testing.wait_all_tasks_blocked()
        assert disk.syncing.acquire(timeout=30)
        nursery.start_soon(writer.commit, [(2, b"not begun")])
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        disk.go.release()
    disk.blocked = False
    await writer.commit([(3, b"later")])
    await writer.aclose()
    assert reopen(disk)[1] == [(1, b"begun"), (3, b"later")]


async def test_a_proof_of_life_is_an_answer_of_the_disk_although_nothing_is_new() -> None:
    disk = BlockedDisk()
    writer = make(disk)
    await writer.commit([ENTRY])
    calls = disk.calls
    await writer.prove_alive()
    assert disk.log[calls:] == ["fdatasync"]
    disk.blocked = True
    proved = trio.Event()

    async def prove() -> None:
        await writer.prove_alive()
        proved.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(prove)
        await trio.testing.wait_all_tasks_blocked()
        assert disk.syncing.acquire(timeout=30)
        assert not proved.is_set()
        disk.go.release()
    assert proved.is_set()
    await writer.aclose()


async def test_a_full_disk_is_shown_tried_again_each_second_and_forgotten_when_there_is_space(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = SimulatedDisk()
    writer = make(disk, run_blocking=run_here)
    disk.space = 0
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await trio.sleep(SPARE_RETRY_S * 3.5)
        assert writer.full is not None
        assert "No space left" in writer.full
        assert disk.log.count("create") == 1 + 4
        room = writer.room
        await writer.commit([(1, bytes(1000))])
        assert writer.room < room
        assert writer.full is not None
        disk.space = None
        await trio.sleep(SPARE_RETRY_S)
        assert not writer.full
        assert writer.room > room - 1000
        nursery.cancel_scope.cancel()
    await writer.aclose()


async def test_with_durability_interval_it_syncs_at_the_interval_and_only_what_is_new(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = SimulatedDisk()
    settings = small_settings("interval", interval_ms=200)
    writer = make(disk, settings, run_blocking=run_here)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        await trio.sleep(0.1)
        syncs = disk.log.count("fdatasync")
        await writer.commit([ENTRY])
        assert disk.log.count("fdatasync") == syncs
        await trio.sleep(0.2)
        assert disk.log.count("fdatasync") == syncs + 1
        await trio.sleep(2)
        assert disk.log.count("fdatasync") == syncs + 1
        nursery.cancel_scope.cancel()
    await writer.aclose()


async def test_a_failed_sync_in_the_background_ends_run_and_every_later_commit(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = SimulatedDisk()
    writer = make(disk, small_settings("interval"), run_blocking=run_here)
    await writer.commit([ENTRY])
    disk.faults = {disk.calls + 3: errno.EIO}  # behind the two calls that make a spare
    with trio.fail_after(10), pytest.raises(JournalFailed):
        await writer.run()
    assert disk.log[-1] == "fdatasync"
    disk.fail_names = {}
    assert writer.failure is not None
    with pytest.raises(JournalFailed):
        await writer.commit([ENTRY])
    await writer.aclose()
    assert not disk.handles


async def test_a_failed_commit_is_told_to_its_caller_and_to_all_that_wait() -> None:
    disk = SimulatedDisk()
    writer = make(disk)
    await writer.commit([ENTRY])
    disk.fail_names = {"fdatasync": errno.EIO}
    failed: list[int] = []

    async def commit(kind: int) -> None:
        with pytest.raises(JournalFailed):
            await writer.commit([(kind, b"")])
        failed.append(kind)

    async with trio.open_nursery() as nursery:
        for kind in range(4):
            nursery.start_soon(commit, kind)
    assert sorted(failed) == [0, 1, 2, 3]
    assert disk.log[-1] == "fdatasync"


async def test_close_syncs_even_when_it_is_cancelled() -> None:
    disk = SimulatedDisk()
    writer = make(disk, small_settings("interval"))
    await writer.commit([ENTRY])
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.aclose()
    assert not disk.handles
    disk.lose_power()
    assert reopen(disk, "interval")[1] == [ENTRY]


async def test_the_memory_backend_commits_in_the_loop() -> None:
    settings = JournalSettings(backend="memory")
    writer = make(SimulatedDisk(), settings)
    async with trio.open_nursery() as nursery:
        await nursery.start(writer.run)
        for _ in range(10):
            await writer.commit([ENTRY])
        nursery.cancel_scope.cancel()
    assert (writer.commits, writer.commits_inline, writer.journal_id) == (10, 10, 9)
    await writer.aclose()
