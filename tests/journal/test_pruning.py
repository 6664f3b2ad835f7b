"""A journal that begins behind its first segment: only where a snapshot says so, and gapless at every crash."""

import contextlib
import errno
from pathlib import Path

import pytest

from orderd.journal import Entry, Journal, JournalDamaged, JournalFailed, JournalFull, Position, RealDisk, open_journal
from orderd.journal.reading import read_segments
from orderd.journal.segment import segment_name
from orderd.journal.snapshots import write_snapshot
from tests.support.journals import JOURNAL_ID, files_of, flatten, small_settings
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk

COMMITS: list[list[Entry]] = [[(n, bytes([n]) * 900), (n, b"x" * n)] for n in range(1, 21)]


def open_from(disk: SimulatedDisk, start: Position | None) -> tuple[Journal, list[Entry]]:
    journal = open_journal(small_settings(), b"test", disk, entropy_u64=JOURNAL_ID)
    try:
        return journal, list(journal.replay(start))
    except Exception:
        journal.close()
        raise


def segments(disk: SimulatedDisk) -> list[str]:
    return sorted(name.rpartition("/")[2] for name in disk.names if name.endswith(".segment"))


def sealed_everywhere(disk: SimulatedDisk) -> tuple[Journal, list[tuple[Position, int]]]:
    """A journal sealed here and there, and how many entries are before each boundary."""
    journal, _ = open_from(disk, None)
    boundaries = []
    for n, commit in enumerate(COMMITS, 1):
        journal.commit(commit)
        if n % 4 == 0:
            position = journal.seal()
            assert position is not None
            boundaries.append((position, 2 * n))
    return journal, boundaries


def test_a_seal_is_a_boundary_that_all_commits_before_it_are_before() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    assert journal.seal() == boundaries[-1][0], "nothing new, no new segment"
    journal.commit(COMMITS[0])
    journal.close()
    for position, before in boundaries:
        journal, found = open_from(disk, position)
        journal.close()
        assert found == flatten(COMMITS)[before:] + COMMITS[0]
        assert position.first_commit == before // 2 + 1
    assert open_from(disk, None)[1] == flatten(COMMITS) + COMMITS[0]


def test_a_seal_takes_effect_without_losing_anything_at_a_crash_at_any_call() -> None:
    def run(disk: SimulatedDisk, returned: list[list[Entry]]) -> None:
        journal, _ = open_from(disk, None)
        for n, commit in enumerate(COMMITS[:6]):
            journal.commit(commit)
            returned.append(commit)
            if n % 2:
                journal.seal()

    clean = SimulatedDisk()
    run(clean, [])
    for crash_at in range(1, clean.calls + 1):
        disk = SimulatedDisk(crash_at)
        disk.crash_at = crash_at
        returned: list[list[Entry]] = []
        with contextlib.suppress(SimulatedCrash):
            run(disk, returned)
        disk.lose_power()
        _, found = open_from(disk, None)
        assert found == flatten(COMMITS)[: len(found)]
        assert len(found) >= len(flatten(returned))


def test_a_seal_that_finds_no_room_can_be_tried_again() -> None:
    disk = SimulatedDisk()
    journal, _ = open_from(disk, None)
    journal.commit(COMMITS[0])
    disk.space = 5000
    with pytest.raises(JournalFull):
        journal.seal()
    disk.space = None
    position = journal.seal()
    assert position is not None and position.index == 2


def test_a_seal_that_fails_on_the_disk_is_final() -> None:
    disk = SimulatedDisk()
    journal, _ = open_from(disk, None)
    journal.commit(COMMITS[0])
    journal.prepare_spare()
    disk.fail_names = {"rename": errno.EIO}
    with pytest.raises(JournalFailed):
        journal.seal()
    disk.fail_names = {}
    with pytest.raises(JournalFailed):
        journal.commit(COMMITS[1])


def test_pruned_segments_are_gone_and_the_rest_goes_on() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    position, before = boundaries[2]
    assert journal.prune(position.index) == position.index - 1
    assert segments(disk)[0] == segment_name(position.index)
    journal.commit(COMMITS[0])
    journal.prepare_spare()
    journal.commit([(9, b"z" * 3500)])
    journal.close()
    _, found = open_from(disk, position)
    assert found == flatten(COMMITS)[before:] + COMMITS[0] + [(9, b"z" * 3500)]


def test_the_last_segment_is_never_pruned() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    journal.prune(10**6)
    assert segments(disk) == [segment_name(boundaries[-1][0].index)]
    assert journal.segments == 1
    journal.commit(COMMITS[0])
    journal.close()
    assert open_from(disk, boundaries[-1][0])[1] == COMMITS[0]


def test_a_crash_at_any_call_of_pruning_leaves_a_gapless_journal() -> None:
    clean = SimulatedDisk()
    journal, boundaries = sealed_everywhere(clean)
    before_calls = clean.calls
    position, before = boundaries[3]
    journal.prune(position.index)
    assert clean.calls > before_calls + 6
    for crash_at in range(before_calls + 1, clean.calls + 1):
        for seed in range(5):
            disk = SimulatedDisk(seed * 1000 + crash_at)
            journal, _ = sealed_everywhere(disk)
            disk.orders_names = seed < 3
            disk.crash_at = crash_at
            with contextlib.suppress(SimulatedCrash):
                journal.prune(position.index)
            (disk.lose_power if seed else disk.kill)()
            journal, found = open_from(disk, position)
            assert found == flatten(COMMITS)[before:]
            journal.prune(position.index)
            assert segments(disk)[0] == segment_name(position.index)


def test_an_error_of_pruning_does_not_harm_the_journal() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    disk.fail_names = {"unlink": errno.EACCES}
    with pytest.raises(OSError, match="Permission denied"):
        journal.prune(boundaries[1][0].index)
    disk.fail_names = {}
    journal.commit(COMMITS[0])
    assert journal.prune(boundaries[1][0].index) == boundaries[1][0].index - 1


def test_without_its_first_segments_a_journal_is_not_replayed_from_the_start() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    journal.prune(boundaries[1][0].index)
    journal.close()
    for start in (None, boundaries[0][0]):
        with pytest.raises(JournalDamaged, match="the segment is missing"):
            open_from(disk, start)


def test_a_position_of_another_journal_or_beyond_the_end_is_refused() -> None:
    disk = SimulatedDisk()
    journal, boundaries = sealed_everywhere(disk)
    journal.close()
    position = boundaries[1][0]
    wrong = [
        Position(b"test", JOURNAL_ID + 1, position.index, position.first_commit, position.previous_end),
        Position(b"test", JOURNAL_ID, position.index, position.first_commit + 1, position.previous_end),
        Position(b"test", JOURNAL_ID, position.index, position.first_commit, position.previous_end + 8),
    ]
    for start in wrong:
        with pytest.raises(JournalDamaged, match="does not follow on the snapshot"):
            open_from(disk, start)
    with pytest.raises(JournalDamaged, match="missing"):
        open_from(disk, Position(b"test", JOURNAL_ID, 99, 1, 0))


def test_a_segment_missing_in_the_middle_is_damage_whatever_is_pruned() -> None:
    files = files_of(COMMITS)
    names = sorted(files)
    del files[names[3]]
    disk = SimulatedDisk.holding(files)
    with pytest.raises(JournalDamaged, match="the segment is missing"):
        open_journal(small_settings(), b"test", disk, entropy_u64=JOURNAL_ID)


class TestReading:
    """The same, by who does not own it."""

    @pytest.fixture
    def directory(self, tmp_path: Path) -> Path:
        for name, data in files_of(COMMITS).items():
            (tmp_path / Path(name).name).write_bytes(data)
        return tmp_path

    def test_a_part_from_a_boundary_up_to_another_is_read(self, directory: Path) -> None:
        whole = list(read_segments(str(directory)))
        start = whole[2].header
        assert start is not None
        part = list(read_segments(str(directory), start=start.position, before=5))
        assert [segment.index for segment in part] == [3, 4]
        assert all(segment.problem is None for segment in part)
        assert [list(s.records()) for s in part] == [list(s.records()) for s in whole[2:4]]
        assert part[-1].next_commit == whole[4].header.first_commit if whole[4].header else False

    def test_missing_first_segments_are_damage_unless_a_snapshot_stands_in_for_them(self, directory: Path) -> None:
        (directory / segment_name(1)).unlink()
        (directory / segment_name(2)).unlink()
        first = next(iter(read_segments(str(directory))))
        assert first.problem is not None and "missing" in str(first.problem)
        write_snapshot(RealDisk(), str(directory), Position(b"test", JOURNAL_ID, 3, 1, 0), 1, [], token="1")
        assert next(segment.problem for segment in read_segments(str(directory))) is None

    def test_a_segment_that_does_not_follow_on_the_start_is_damage(self, directory: Path) -> None:
        start = Position(b"test", JOURNAL_ID, 3, 77, 0)
        first = next(iter(read_segments(str(directory), start=start)))
        assert first.problem is not None and "follows on commit" in str(first.problem)
