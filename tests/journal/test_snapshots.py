"""Snapshot files: whole or refused, whatever happens while they are written and whatever becomes of their bytes."""

import contextlib
import errno
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.journal import JournalFull, JournalVersionError, Position, SnapshotError
from orderd.journal.snapshots import (
    decode_snapshot,
    encode_snapshot,
    read_snapshot,
    remove_all_but,
    remove_unfinished,
    snapshot_indexes,
    snapshot_name,
    write_snapshot,
)
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk

POSITION = Position(b"test", 0x0123_4567_89AB_CDEF, 12, 345, 4000)
BODY = [b"first", b"", b"second" * 40]
FILE = b"".join(encode_snapshot(POSITION, 3, BODY))


def position(index: int) -> Position:
    return Position(b"test", 1, index, index * 10, 512)


def write(disk: SimulatedDisk, index: int, body: bytes = b"body", token: str = "1") -> int:
    return write_snapshot(disk, "j", position(index), 1, [body], token=token)


def test_what_is_read_is_what_was_written() -> None:
    disk = SimulatedDisk()
    size = write_snapshot(disk, "j", POSITION, 3, BODY, token="77")
    found = read_snapshot(disk, "j", 12)
    assert (found.position, found.body_version, bytes(found.body)) == (POSITION, 3, b"".join(BODY))
    assert size == len(FILE) and disk.snapshot() == {"j/000000000012.snapshot": FILE}


def test_every_flipped_bit_is_refused() -> None:
    for at in range(len(FILE)):
        for bit in range(8):
            damaged = bytearray(FILE)
            damaged[at] ^= 1 << bit
            with pytest.raises(SnapshotError):
                decode_snapshot(bytes(damaged), "f")


def test_every_cut_and_every_addition_is_refused() -> None:
    for end in range(len(FILE)):
        with pytest.raises(SnapshotError):
            decode_snapshot(FILE[:end], "f")
    with pytest.raises(SnapshotError):
        decode_snapshot(FILE + b"\0", "f")


@given(st.binary(max_size=300))
def test_any_bytes_raise_nothing_but_what_is_promised(data: bytes) -> None:
    with contextlib.suppress(SnapshotError, JournalVersionError):
        decode_snapshot(data, "f")


def test_a_newer_format_is_told_from_damage() -> None:
    newer = bytearray(FILE[:-32])
    newer[8:10] = (2).to_bytes(2, "little")
    whole = bytes(newer) + hashlib.blake2b(newer, digest_size=32).digest()
    with pytest.raises(JournalVersionError, match="format version 2; this release reads up to 1"):
        decode_snapshot(whole, "f")


def test_a_snapshot_under_another_name_is_refused() -> None:
    disk = SimulatedDisk()
    write(disk, 5)
    disk.rename("j/" + snapshot_name(5), "j/" + snapshot_name(6))
    with pytest.raises(SnapshotError, match="before segment 5 under another name"):
        read_snapshot(disk, "j", 6)


def test_only_names_of_snapshots_count() -> None:
    names = [snapshot_name(3), snapshot_name(20), "3.snapshot", snapshot_name(4) + ".1.unfinished", "lock"]
    assert snapshot_indexes(names) == [20, 3]


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_at_any_call_leaves_the_old_and_the_new_one_whole_or_not_there(seed: int) -> None:
    clean = SimulatedDisk()
    write(clean, 5)
    calls = clean.calls
    write(clean, 9, b"new" * 1000)
    for crash_at in range(calls + 1, clean.calls + 2):
        for lose in (SimulatedDisk.kill, SimulatedDisk.lose_power):
            disk = SimulatedDisk(seed * 1000 + crash_at)
            write(disk, 5)
            disk.crash_at = crash_at
            returned = False
            with contextlib.suppress(SimulatedCrash):
                write(disk, 9, b"new" * 1000)
                returned = True
            lose(disk)
            assert bytes(read_snapshot(disk, "j", 5).body) == b"body"
            there = snapshot_indexes(disk.list("j"))
            assert there == ([9, 5] if returned else there)
            if 9 in there:
                assert bytes(read_snapshot(disk, "j", 9).body) == b"new" * 1000
            remove_unfinished(disk, "j")
            assert set(disk.list("j")) == {snapshot_name(index) for index in there}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_call_leaves_no_half_snapshot_and_the_next_try_succeeds(code: int) -> None:
    clean = SimulatedDisk()
    write(clean, 9)
    for fail_at in range(1, clean.calls + 1):
        disk = SimulatedDisk(fail_at)
        disk.faults = {fail_at: code}
        with pytest.raises(JournalFull if code == errno.ENOSPC else OSError):
            write(disk, 9)
        for index in snapshot_indexes(disk.list("j")):
            assert bytes(read_snapshot(disk, "j", index).body) == b"body"
        write(disk, 9, token="2")
        assert bytes(read_snapshot(disk, "j", 9).body) == b"body"


def test_a_disk_without_room_is_told_before_anything_is_written() -> None:
    disk = SimulatedDisk()
    disk.space = 1000
    with pytest.raises(JournalFull, match="no room for a snapshot of 5096 bytes"):
        write(disk, 9, bytes(5000))
    assert disk.snapshot() == {}


def test_a_short_write_is_followed_by_the_rest() -> None:
    disk = SimulatedDisk()
    disk.short_writes = {2: 7, 3: 20, 4: 1}
    write(disk, 9, b"body" * 100)
    assert bytes(read_snapshot(disk, "j", 9).body) == b"body" * 100


def test_one_whose_file_was_taken_away_while_it_was_written_fails() -> None:
    class Taken(SimulatedDisk):
        def rename(self, old: str, new: str) -> None:
            remove_unfinished(self, "j")
            if old not in self.names:
                raise FileNotFoundError(old)
            super().rename(old, new)

    with pytest.raises(FileNotFoundError):
        write(Taken(), 9)


def test_all_but_the_kept_ones_go() -> None:
    disk = SimulatedDisk()
    for index in (2, 5, 9, 12):
        write(disk, index)
    remove_all_but(disk, "j", {5, 12})
    assert snapshot_indexes(disk.list("j")) == [12, 5]
