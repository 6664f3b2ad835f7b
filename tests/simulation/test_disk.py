"""A process's way to a disk ends where the process does, and a disk fails as it was told to."""

import errno
import random
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from itertools import count
from typing import Any

import pytest

from orderd.journal import JournalLocked
from orderd.journal.disk import Disk
from orderd.journal.errors import JournalDamaged, JournalError, JournalFull
from orderd.journal.record import Entry
from tests.simulation import kernel
from tests.simulation.disk import ProcessDisk
from tests.simulation.kernel import Killed, Process, Timers, Trace
from tests.support.journals import DIRECTORY, reopen
from tests.support.simulated_disk import SimulatedDisk, Trouble


def alive(test: Callable[..., None]) -> Callable[..., None]:
    """The test in a world, since what dies does so at a time."""

    @wraps(test)
    def within(*args: object, **kwargs: object) -> None:
        async def main() -> None:
            test(*args, **kwargs)

        kernel.run(0, main)

    return within


def process(name: str = "a#1") -> Process:
    """One that can die."""
    return Process(name, random.Random(name), Timers(), Trace(100))


def commit_many(disk: Disk, commits: int, size: int = 300) -> list[Entry]:
    """What was committed when it ended, however it ended."""
    committed: list[Entry] = []
    journal: Any = None
    try:
        journal, _ = reopen(disk)
        for number in range(commits):
            entry = (1 + number % 200, b"%d " % number * (size // 4))
            journal.commit([entry])
            committed.append(entry)
        journal.close()
    except Killed:
        with pytest.raises(Killed):
            disk.list(DIRECTORY)
        if journal is not None:
            with suppress(Killed):
                journal.close()
    return committed


@pytest.mark.parametrize("power", [False, True])
@alive
def test_what_was_committed_survives_a_death_at_any_call(power: bool) -> None:
    for kill_at in count(1):
        disk, one = SimulatedDisk(kill_at), process()
        one.kill_at = kill_at
        committed = commit_many(ProcessDisk(disk, one), 30)
        if not one.killed:
            assert kill_at > 50, "after the last call"
            return
        assert not disk.handles
        assert not disk.locks
        if power:
            disk.lose_power()
        _, found = reopen(ProcessDisk(disk, process("a#2")))
        assert found[: len(committed)] == committed
        assert len(found) <= len(committed) + 1


@alive
def test_a_write_that_a_process_dies_in_may_be_done_in_part() -> None:
    lengths = []
    for number in range(20):
        disk, one = SimulatedDisk(), process(str(number))
        mine = ProcessDisk(disk, one)
        handle = mine.create("file", 100)
        one.kill_at = one.calls + 1
        with pytest.raises(Killed):
            mine.pwrite(handle, b"x" * 100, 0)
        with pytest.raises(Killed):
            mine.pwrite(handle, b"y" * 100, 0)
        lengths.append(disk.snapshot()["file"].count(b"x"))
        assert disk.snapshot()["file"] == b"x" * lengths[-1] + bytes(100 - lengths[-1])
    assert len(set(lengths)) > 5


def test_a_lock_is_held_against_others_until_its_process_dies() -> None:
    disk, one, two = SimulatedDisk(), process("one"), process("two")
    journal, _ = reopen(ProcessDisk(disk, one))
    journal.commit([(1, b"one")])
    with pytest.raises(JournalLocked):
        reopen(ProcessDisk(disk, two))
    one.kill()
    assert reopen(ProcessDisk(disk, two))[1] == [(1, b"one")]


def test_troubles_end_a_journal_honestly_and_are_noted_until_the_next_life() -> None:
    seen = set()
    for seed in range(60):
        disk = SimulatedDisk(seed)
        disk.trouble = Trouble(sync=0.02, write=0.02, read=0.02, full=0.05, short=0.3, any_order=True)
        committed: list[Entry] = []
        try:
            journal, _ = reopen(disk)
            for number in range(40):
                entry = (1, b"%d " % number * 80)
                journal.commit([entry])
                committed.append(entry)
        except JournalFull:
            seen.add(errno.ENOSPC)
        except (JournalError, OSError):
            seen.add(errno.EIO)
        else:
            continue
        assert disk.troubled
        disk.trouble = None
        disk.lose_power() if seed % 2 else disk.kill()
        _, found = reopen(disk)
        assert not disk.troubled
        assert found[: len(committed)] == committed
        assert len(found) <= len(committed) + 1
    assert seen == {errno.ENOSPC, errno.EIO}


def test_a_disk_that_comes_back_is_what_it_was() -> None:
    disk = SimulatedDisk()
    commit_many(disk, 3)
    image = disk.image()
    commit_many(disk, 10)
    disk.restore(image)
    disk.lose_power()
    assert len(reopen(disk)[1]) == 3
    disk.restore({})
    assert reopen(disk)[1] == []


def test_a_bit_that_flips_is_found_or_costs_nothing() -> None:
    refused = 0
    for seed in range(60):
        disk = SimulatedDisk(seed)
        journal, expected = reopen(disk)
        for number in range(30):
            journal.commit([(1, b"%d " % number * 80)])
            expected.append((1, b"%d " % number * 80))
        assert journal.location is not None
        disk.kill()
        before = disk.snapshot()
        assert disk.flip(random.Random(seed), DIRECTORY, journal.location)
        after = disk.snapshot()
        assert sum((a ^ b).bit_count() for name in before for a, b in zip(before[name], after[name], strict=True)) == 1
        try:
            assert reopen(disk)[1] == expected
        except JournalDamaged:
            refused += 1
    assert refused > 50
