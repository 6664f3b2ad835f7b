"""The journal on a disk that loses what was not synced: a crash at every call, with every kind of loss."""

import contextlib
import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.journal import JournalError, JournalFailed, JournalFull
from orderd.journal.record import Entry
from tests.support.journals import reopen
from tests.support.scale import examples
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk

Commits = list[list[Entry]]

COMMITS: Commits = [
    [(1, b"first")],
    [(2, bytes(700)), (3, b"\xff" * 600), (4, b"")],
    [(5, b"x" * 1500)],
    [(6, b"y" * 900), (7, bytes(1200)), (8, b"z" * 900)],  # begins a segment within itself
    [(9, b"w" * 3000)],  # begins one before its first record
    [(10, b"a" * 3000), (11, b"b" * 3000), (12, b"c" * 2000)],  # begins two
    [(13, b"last" * 30)],
]

SMALL: Commits = [[(i, bytes([i + 1]) * 230)] for i in range(6)]
"""Fits in one segment twice."""


def write(disk: SimulatedDisk, durability: str, attempted: Commits, returned: Commits, commits: Commits) -> None:
    """Open the journal and commit, noting what was begun and what came back."""
    journal, _ = reopen(disk, durability)
    for commit in commits:
        attempted.append(commit)
        journal.commit(commit)
        returned.append(commit)
    journal.close()


def entries_of(commits: Commits) -> list[Entry]:
    return [entry for commit in commits for entry in commit]


def check(found: list[Entry], attempted: Commits, returned: Commits) -> None:
    everything, promised = entries_of(attempted), entries_of(returned)
    assert found == everything[: len(found)], "what is there is a prefix of what was committed"
    assert len(found) >= len(promised), "every commit that returned is there"


def calls_of_a_whole_run(durability: str) -> int:
    disk = SimulatedDisk()
    write(disk, durability, [], [], COMMITS)
    return disk.calls


def crash_during_write(seed: int, crash_at: int, durability: str = "commit") -> tuple[SimulatedDisk, Commits, Commits]:
    disk = SimulatedDisk(seed)
    disk.crash_at = crash_at
    attempted: Commits = []
    returned: Commits = []
    with contextlib.suppress(SimulatedCrash):
        write(disk, durability, attempted, returned, COMMITS)
    return disk, attempted, returned


@pytest.mark.parametrize("seed", range(6))
def test_every_commit_that_returned_survives_a_power_loss_at_any_call(seed: int) -> None:
    for crash_at in range(1, calls_of_a_whole_run("commit") + 2):
        disk, attempted, returned = crash_during_write(seed * 1000 + crash_at, crash_at)
        disk.lose_power()
        _, found = reopen(disk)
        check(found, attempted, returned)


def test_every_commit_that_returned_survives_a_kill_at_any_call() -> None:
    for crash_at in range(1, calls_of_a_whole_run("commit") + 2):
        disk, attempted, returned = crash_during_write(0, crash_at)
        disk.kill()
        _, found = reopen(disk)
        check(found, attempted, returned)


@pytest.mark.parametrize("seed", range(2))
def test_recovery_itself_survives_a_power_loss_at_any_call(seed: int) -> None:
    for crash_at in range(1, calls_of_a_whole_run("commit") + 2, 3):
        for second_crash in range(1, 16):
            disk, attempted, returned = crash_during_write(seed * 1000 + crash_at, crash_at)
            disk.lose_power()
            disk.crash_at = disk.calls + second_crash
            try:
                reopen(disk)
            except SimulatedCrash:
                disk.lose_power()
            else:
                disk.kill()
            _, found = reopen(disk)
            check(found, attempted, returned)


@pytest.mark.parametrize("seed", range(3))
def test_what_was_replayed_once_is_replayed_again_after_further_commits_and_crashes(seed: int) -> None:
    for crash_at in range(1, calls_of_a_whole_run("commit") + 2):
        disk, attempted, returned = crash_during_write(seed * 1000 + crash_at, crash_at)
        (disk.lose_power if (crash_at + seed) % 2 else disk.kill)()
        _, found = reopen(disk)
        check(found, attempted, returned)
        disk.kill()
        # What replay told is relied on from here, whether or not its commit had returned.
        attempted, returned = [found], [found]
        disk.crash_at = disk.calls + 1 + (crash_at * 7 + seed) % 50
        with contextlib.suppress(SimulatedCrash):
            write(disk, "commit", attempted, returned, COMMITS)
        disk.lose_power()
        _, found = reopen(disk)
        check(found, attempted, returned)


@pytest.mark.parametrize("durability", ["interval", "none"])
def test_without_sync_a_prefix_survives_a_power_loss_at_any_call(durability: str) -> None:
    for seed in range(3):
        for crash_at in range(1, calls_of_a_whole_run(durability) + 2):
            disk, attempted, _ = crash_during_write(seed * 1000 + crash_at, crash_at, durability)
            disk.lose_power()
            _, found = reopen(disk, durability)
            check(found, attempted, [])


def test_what_sync_covered_survives_with_durability_interval() -> None:
    for seed in range(40):
        disk = SimulatedDisk(seed)
        journal, _ = reopen(disk, "interval")
        for commit in COMMITS[:3]:
            journal.commit(commit)
        journal.sync()
        for commit in COMMITS[3:5]:
            journal.commit(commit)
        disk.lose_power()
        _, found = reopen(disk, "interval")
        check(found, COMMITS[:5], COMMITS[:3])


@pytest.mark.parametrize("durability", ["commit", "interval"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_error_at_any_call_loses_nothing_that_was_acknowledged(code: int, durability: str) -> None:
    for fail_at in range(1, calls_of_a_whole_run(durability) + 1):
        for seed in range(2):
            disk = SimulatedDisk(seed * 1000 + fail_at)
            disk.faults = {fail_at: code}
            attempted: Commits = []
            returned: Commits = []
            try:
                write(disk, durability, attempted, returned, COMMITS)
            except JournalFull:
                attempted = returned[:]  # nothing of a commit that finds no room is written
            except (JournalError, OSError):
                pass
            # A new process on the same page cache must not believe what a failed sync left in it.
            disk.kill()
            _, found = reopen(disk, durability)
            check(found, attempted, returned)
            disk.lose_power()
            _, again = reopen(disk, durability)
            assert again == found


@pytest.mark.parametrize(("before", "after"), [("commit", "none"), ("interval", "commit"), ("none", "commit")])
def test_durability_can_change_between_runs_and_each_run_is_recovered_by_its_own_rules(before: str, after: str) -> None:
    for seed in range(3000):
        disk = SimulatedDisk(seed)
        journal, _ = reopen(disk, before)
        for commit in SMALL:
            journal.commit(commit)
        (disk.kill if seed % 2 else disk.lose_power)()
        disk.crash_at = disk.calls + 4 + seed // 2 % 24
        replayed: list[Entry] | None = None
        returned: Commits = []
        try:
            journal, replayed = reopen(disk, after)
            for commit in SMALL:
                journal.commit(commit)
                returned.append(commit)
        except SimulatedCrash:
            pass
        disk.lose_power()
        _, found = reopen(disk, after)
        if replayed is None:
            check(found, SMALL, SMALL if before == "commit" else [])
        else:
            check(found, [replayed, *SMALL], [replayed, *(returned if after == "commit" else [])])


def test_a_commit_after_a_failed_sync_is_refused_and_nothing_is_synced_again() -> None:
    disk = SimulatedDisk(1)
    journal, _ = reopen(disk)
    journal.commit(COMMITS[0])
    disk.fail_names = {"fdatasync": errno.EIO}
    with pytest.raises(JournalFailed, match="Input/output error"):
        journal.commit(COMMITS[1])
    disk.fail_names = {}
    calls = disk.calls
    for _ in range(2):
        with pytest.raises(JournalFailed):
            journal.commit(COMMITS[2])
    with pytest.raises(JournalFailed):
        journal.sync()
    with pytest.raises(JournalFailed):
        journal.prepare_spare()
    assert disk.calls == calls
    journal.close()
    assert "fdatasync" not in disk.log[calls:]


def test_a_short_write_is_followed_by_the_rest() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    for short in (1, 7, 513, 900):
        disk.short_writes = {disk.calls + 1: short}
        journal.commit(COMMITS[1])
    disk.lose_power()
    _, found = reopen(disk)
    assert found == COMMITS[1] * 4


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_write_that_stops_at_any_byte_is_final_and_recovered_as_a_torn_tail(code: int) -> None:
    commit = [(1, bytes(40)), (0, b""), (2, b"\x80" + bytes(600))]
    for short in range(1, 700):
        disk = SimulatedDisk(short)
        journal, _ = reopen(disk)
        journal.commit(COMMITS[0])
        disk.short_writes = {disk.calls + 1: short}
        disk.faults = {disk.calls + 2: code}
        with pytest.raises(JournalFailed):
            journal.commit(commit)
        with pytest.raises(JournalFailed):
            journal.commit(commit)
        (disk.lose_power if short % 2 else disk.kill)()
        _, found = reopen(disk)
        check(found, [COMMITS[0], commit], [COMMITS[0]])


payloads = st.builds(
    lambda a, n, b: a + bytes(n) + b,
    st.binary(max_size=40),
    st.sampled_from([0, 9, 300, 1100, 2500]),
    st.binary(max_size=40),
)
any_commits = st.lists(
    st.lists(st.tuples(st.integers(0, 255), payloads), min_size=1, max_size=5), min_size=1, max_size=6
)


@settings(max_examples=examples(300))
@given(any_commits, st.integers(0, 2**32), st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_any_commits_survive_any_series_of_crashes(commits: Commits, seed: int, crashes: list[int]) -> None:
    disk = SimulatedDisk(seed)
    attempted: Commits = []
    returned: Commits = []
    for crash_after in crashes:
        disk.crash_at = disk.calls + crash_after
        with contextlib.suppress(SimulatedCrash):
            journal, found = reopen(disk)
            check(found, attempted, returned)
            attempted, returned = [found], [found]
            for commit in commits:
                attempted.append(commit)
                journal.commit(commit)
                returned.append(commit)
        disk.rng.choice((disk.lose_power, disk.kill))()
    _, found = reopen(disk)
    check(found, attempted, returned)
