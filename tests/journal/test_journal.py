"""The blocking journal: what it keeps, where it puts it, what it refuses."""

import errno
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.journal import (
    JournalDamaged,
    JournalFailed,
    JournalFull,
    JournalLocked,
    JournalMismatch,
    RecordTooLarge,
    open_journal,
    record_bytes,
)
from orderd.journal.record import Entry
from orderd.runtime.journal_settings import JournalSettings
from tests.support.journals import CAPACITY, JOURNAL_ID, SEGMENT_BYTES, flatten, reopen, small_settings
from tests.support.simulated_disk import SimulatedDisk

entries = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=1500)), max_size=8)


@given(st.lists(st.lists(entries, max_size=5), max_size=3))
def test_what_was_committed_is_replayed_in_order_by_each_later_run(runs: list[list[list[Entry]]]) -> None:
    disk, expected = SimulatedDisk(), list[Entry]()
    for run in runs:
        journal, found = reopen(disk)
        assert found == expected
        for commit in run:
            journal.commit(commit)
        expected += flatten(run)
        assert journal.commits == sum(1 for commit in run if commit)
        assert journal.bytes == sum(record_bytes(len(payload)) for _, payload in flatten(run))
        journal.close()
    journal, found = reopen(disk)
    assert found == expected
    assert journal.segments == sum(name.endswith(".segment") for name in disk.names)


def test_payloads_may_be_any_buffer() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.commit([(1, b"bytes"), (2, bytearray(b"bytearray")), (3, memoryview(b"memoryview")[2:])])
    journal.close()
    assert reopen(disk)[1] == [(1, b"bytes"), (2, b"bytearray"), (3, b"moryview")]


def test_the_journal_id_is_made_once() -> None:
    disk = SimulatedDisk()
    for entropy in (JOURNAL_ID, 1, 2):
        journal = open_journal(small_settings(), b"test", disk, entropy_u64=entropy)
        assert journal.journal_id == JOURNAL_ID
        journal.close()


def test_a_commit_is_one_write_and_one_sync() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    before = disk.calls
    journal.commit([(1, b"x" * 100)] * 10)
    assert disk.log[before:] == ["pwrite", "fdatasync"]
    journal.commit([])
    assert len(disk.log) == before + 2


@pytest.mark.parametrize("durability", ["interval", "none"])
def test_without_durability_commit_a_commit_is_one_write_and_sync_makes_it_durable(durability: str) -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk, durability)
    before = disk.calls
    journal.commit([(1, b"x")])
    journal.sync()
    journal.sync()
    assert disk.log[before:] == ["pwrite", "fdatasync"]
    journal.commit([(1, b"x")])
    journal.close()
    assert disk.log[before + 2 : before + 4] == ["pwrite", "fdatasync"]


def test_the_next_segment_is_begun_in_an_order_that_recovery_can_rely_on() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.prepare_spare()
    before = disk.calls
    journal.commit([(1, b"x" * 3000), (2, b"y" * 3000)])
    part = ["pwrite", "fdatasync"]
    assert disk.log[before:] == [*part, *part, "rename", "fsync_directory", "close", *part]


def test_room_is_what_can_be_committed_without_allocating() -> None:
    for spare, used in itertools.product((False, True), range(0, 3400, 200)):
        disk = SimulatedDisk()
        journal, _ = reopen(disk)
        journal.commit([(1, bytes(used))])
        if spare:
            journal.prepare_spare()
        room = journal.room
        assert journal.needs_spare is not spare
        assert room == (CAPACITY - 25 if spare else max(CAPACITY - record_bytes(used) - 25, 0))
        disk.space = 0
        journal.commit([(2, b"\1" * room)])


def test_several_entries_fit_in_room_if_their_records_do() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.commit([(1, bytes(1000))])
    journal.prepare_spare()
    disk.space = 0
    sizes = [700] * (journal.room // record_bytes(700))
    journal.commit([(2, bytes(n)) for n in sizes])
    assert journal.segments == 2


def test_a_full_disk_refuses_a_commit_before_anything_is_written_and_goes_on_when_there_is_space() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.commit([(1, b"a" * 3000)])
    disk.space = 0
    before = disk.snapshot()
    for _ in range(2):
        with pytest.raises(JournalFull):
            journal.commit([(2, b"b" * 400), (3, b"c" * 3000)])
        with pytest.raises(JournalFull):
            journal.prepare_spare()
    assert disk.snapshot() == before
    journal.commit([(2, b"b" * journal.room)])
    assert journal.room == 0
    disk.space = None
    journal.commit([(3, b"c" * 3000)])
    journal.close()
    assert [kind for kind, _ in reopen(disk)[1]] == [1, 2, 3]


def test_a_commit_over_many_segments_is_refused_whole_when_the_disk_fills_up_on_the_way() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    disk.space = 3 * SEGMENT_BYTES
    with pytest.raises(JournalFull):
        journal.commit([(i, bytes(3000)) for i in range(5)])
    assert journal.segments == 1
    journal.commit([(i, bytes(3000)) for i in range(3)])
    journal.close()
    assert [kind for kind, _ in reopen(disk)[1]] == [0, 1, 2]


def test_a_record_that_no_segment_holds_is_refused_before_anything_is_written() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    before = disk.snapshot()
    with pytest.raises(RecordTooLarge, match="3560 bytes in one record; a segment holds 3559"):
        journal.commit([(1, b"fits"), (2, bytes(CAPACITY - 24))])
    assert disk.snapshot() == before
    journal.commit([(2, bytes(CAPACITY - 25))])


def test_an_impossible_kind_is_refused_before_anything_is_written() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    before = disk.snapshot()
    with pytest.raises(struct.error):
        journal.commit([(1, b"fits"), (256, b"")])
    assert disk.snapshot() == before
    journal.commit([(255, b"")])


def test_a_commit_needs_a_journal_that_was_replayed_and_is_open() -> None:
    disk = SimulatedDisk()
    journal = open_journal(small_settings(), b"test", disk, entropy_u64=1)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            journal.commit([(1, b"")])
    list(journal.replay())
    with pytest.raises(RuntimeError):
        list(journal.replay())
    journal.commit([(1, b""), (2, b"")])
    journal.close()
    journal.close()
    with pytest.raises(RuntimeError):
        journal.commit([(1, b"")])
    journal = open_journal(small_settings(), b"test", disk, entropy_u64=1)
    next(iter(journal.replay()))
    with pytest.raises(RuntimeError):
        journal.commit([(1, b"")])
    journal.close()
    assert not disk.handles


def test_a_second_opener_is_refused_until_the_first_has_closed() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    with pytest.raises(JournalLocked):
        reopen(disk)
    journal.close()
    reopen(disk)


def test_a_journal_of_another_application_is_refused() -> None:
    disk = SimulatedDisk()
    reopen(disk)[0].close()
    with pytest.raises(JournalMismatch, match="a journal of test, not of engine"):
        open_journal(small_settings(), b"engine", disk, entropy_u64=1)
    assert not disk.handles


def test_spares_are_removed_at_close_and_at_the_next_start() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.prepare_spare()
    assert any(name.endswith(".spare") for name in disk.names)
    disk.kill()
    journal, _ = reopen(disk)
    assert not any(name.endswith(".spare") for name in disk.names)
    journal.prepare_spare()
    journal.close()
    assert not any(name.endswith(".spare") for name in disk.names)


def test_segment_bytes_may_change_between_runs() -> None:
    disk, expected = SimulatedDisk(), list[Entry]()
    for size in (4096, 16384, 8192):
        journal = open_journal(small_settings(segment_bytes=size), b"test", disk, entropy_u64=1)
        assert list(journal.replay()) == expected
        for i in range(8):
            journal.commit([(i, bytes([size >> 8]) * 2000)])
            expected.append((i, bytes([size >> 8]) * 2000))
        journal.close()
    assert {len(file.cached) for name, file in disk.names.items() if name.endswith("segment")} == {4096, 16384, 8192}


def test_an_interrupt_in_the_middle_of_a_commit_is_final() -> None:
    class InterruptedDisk(SimulatedDisk):
        def fdatasync(self, handle: int) -> None:
            if self.crash_at == 0:
                raise KeyboardInterrupt
            super().fdatasync(handle)

    disk = InterruptedDisk()
    journal, _ = reopen(disk)
    disk.crash_at = 0
    with pytest.raises(KeyboardInterrupt):
        journal.commit([(1, b"")])
    assert journal.failure is not None
    with pytest.raises(JournalFailed):
        journal.commit([(1, b"")])


def test_a_failed_sync_at_close_is_told_and_gives_the_lock_back() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk, "interval")
    journal.commit([(1, b"")])
    disk.fail_names = {"fdatasync": errno.EIO}
    with pytest.raises(JournalFailed):
        journal.close()
    assert not disk.handles


@pytest.mark.parametrize("name", ["make_directory", "lock", "list", "create", "pwrite", "fdatasync", "fsync_directory"])
def test_an_error_while_opening_is_one_of_the_journal_and_gives_the_lock_back(name: str) -> None:
    for code, expected in ((errno.EIO, JournalFailed), (errno.ENOSPC, JournalFull)):
        disk = SimulatedDisk()
        disk.fail_names = {name: code}
        with pytest.raises(expected, match="journal"):
            reopen(disk)
        assert not disk.handles
        disk.fail_names = {}
        reopen(disk)


def test_a_journal_without_room_for_the_copy_of_a_torn_tail_is_left_as_it_is() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.commit([(1, b"x" * 1000)])
    journal.close()
    (name,) = [name for name in disk.names if name.endswith("segment")]
    files = {name: disk.snapshot()[name][:1200]}
    disk = SimulatedDisk.holding(files)
    disk.space = 0
    with pytest.raises(JournalFull, match="repair"):
        reopen(disk)
    assert disk.snapshot() == files


def test_damage_says_where() -> None:
    disk = SimulatedDisk()
    journal, _ = reopen(disk)
    journal.commit([(1, b"x" * 1000)])
    journal.close()
    (file,) = [file for name, file in disk.names.items() if name.endswith("segment")]
    file.cached[600] ^= 1
    with pytest.raises(JournalDamaged) as caught:
        reopen(disk)
    assert (caught.value.path, caught.value.offset) == ("journal/000000000001.segment", 512)


def test_the_memory_backend_takes_everything_and_keeps_nothing() -> None:
    disk = SimulatedDisk()
    journal = open_journal(JournalSettings(backend="memory"), b"test", disk, entropy_u64=5)
    assert list(journal.replay()) == []
    journal.prepare_spare()
    journal.commit([(1, b"x" * 100), (2, b"")])
    journal.commit([])
    journal.sync()
    assert (journal.journal_id, journal.commits, journal.bytes, journal.segments) == (5, 1, 128 + 32, 0)
    assert journal.room >= 2**32
    assert not journal.needs_spare
    journal.close()
    assert disk.calls == 0
