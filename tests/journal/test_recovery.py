"""Torn tail or damage: what happens to a journal whose bytes were lost, cut or changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.journal import JournalDamaged
from orderd.journal import recovery as pure
from orderd.journal.record import LAST, MORE, Entry, encode_records, record_bytes
from tests.support.journals import SEGMENT_BYTES, files_of, flatten, reopen
from tests.support.simulated_disk import SECTOR_BYTES, SimulatedDisk

FIRST = "journal/000000000001.segment"
SECOND = "journal/000000000002.segment"
SEED = 99

Commits = list[list[Entry]]

payloads = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda a, n, b: a + bytes(n) + b, st.binary(max_size=60), st.integers(0, 1300), st.binary(max_size=60)),
)
commits = st.lists(st.lists(st.tuples(st.integers(0, 255), payloads), min_size=1, max_size=4), min_size=1, max_size=5)

SMALL: Commits = [
    [(1, b"first")],
    [(0, b""), (2, bytes(30)), (255, b"\x01" + bytes(700) + b"\x80" * 40)],
    [(3, b"x" * 200)],
    [(4, b"the last"), (5, bytes(520)), (6, b"of all" * 12)],
]


def image_of(given_commits: Commits) -> tuple[bytes, list[int]]:
    """A segment with these commits behind 512 bytes of header, and the offset behind each."""
    data, ends = bytes(512), []
    for number, commit in enumerate(given_commits, 1):
        data += b"".join(encode_records(commit, number, len(data), SEED, LAST))
        ends.append(len(data))
    return data.ljust(-(-len(data) // 4096 + 1) * 4096, b"\0"), ends


def judge(data: bytes, *, one_unsynced: bool = True) -> tuple[pure.Torn | pure.Damage | None, list[Entry]]:
    found = pure.scan(data, 512, SEED, 1)
    verdict = pure.judge_tail(data, found, SEED, one_unsynced=one_unsynced)
    return verdict, list(pure.entries(data, 512, found.end))


@given(commits)
def test_a_whole_segment_is_read_as_it_was_written(given_commits: Commits) -> None:
    data, _ = image_of(given_commits)
    assert judge(data) == (None, flatten(given_commits))


@given(commits, st.data())
def test_any_sectors_missing_from_the_last_commit_are_a_torn_tail(given_commits: Commits, draw: st.DataObject) -> None:
    data, ends = image_of(given_commits)
    begin = ends[-2] if len(ends) > 1 else 512
    lost = draw.draw(st.sets(st.integers(begin // SECTOR_BYTES, (ends[-1] - 1) // SECTOR_BYTES)))
    image = bytearray(data)
    for sector in lost:
        at = max(sector * SECTOR_BYTES, begin)
        after = (sector + 1) * SECTOR_BYTES
        image[at:after] = bytes(after - at)
    verdict, found = judge(bytes(image))
    everything = flatten(given_commits)
    assert not isinstance(verdict, pure.Damage)
    assert found == everything[: len(found)]
    assert len(found) >= len(flatten(given_commits[:-1]))
    assert found == everything or lost


@given(commits, st.data())
def test_a_record_whose_bytes_were_changed_is_never_dropped(given_commits: Commits, draw: st.DataObject) -> None:
    data, ends = image_of(given_commits)
    at = draw.draw(st.integers(512, ends[-1] - 1))
    image = bytearray(data)
    image[at] = draw.draw(st.integers(1, 255).filter(lambda new: new != data[at]))
    verdict, _ = judge(bytes(image))
    assert isinstance(verdict, pure.Damage)


@given(commits.filter(lambda c: len(c) > 1), st.data())
def test_a_sector_lost_from_an_earlier_commit_is_damage(given_commits: Commits, draw: st.DataObject) -> None:
    data, ends = image_of(given_commits)
    last = ends[-2]
    sector = draw.draw(st.integers(1, (last - 1) // SECTOR_BYTES))
    image = bytearray(data)
    after = min((sector + 1) * SECTOR_BYTES, last)
    image[sector * SECTOR_BYTES : after] = bytes(after - sector * SECTOR_BYTES)
    verdict, found = judge(bytes(image))
    assert isinstance(verdict, pure.Damage) or found == flatten(given_commits)


@given(commits, st.data())
def test_without_sync_the_journal_ends_at_the_first_bad_record(given_commits: Commits, draw: st.DataObject) -> None:
    data, ends = image_of(given_commits)
    image = bytearray(data)
    for sector in draw.draw(st.sets(st.integers(1, (ends[-1] - 1) // SECTOR_BYTES))):
        image[sector * SECTOR_BYTES : (sector + 1) * SECTOR_BYTES] = bytes(SECTOR_BYTES)
    verdict, found = judge(bytes(image), one_unsynced=False)
    assert not isinstance(verdict, pure.Damage)
    assert found == flatten(given_commits)[: len(found)]


def test_payloads_that_look_like_later_commits_do_not_turn_a_torn_tail_into_damage() -> None:
    number = (3).to_bytes(8, "little")
    data, ends = image_of([[(1, b"one")], [(2, b"\xff" * 700), (3, number * 200)]])
    image = bytearray(data)
    image[ends[0] : 1024] = bytes(1024 - ends[0])
    verdict, found = judge(bytes(image))
    assert verdict == pure.Torn(ends[0])
    assert found == [(1, b"one")]


def test_a_commit_number_out_of_order_is_damage_in_every_mode() -> None:
    data = bytes(512)
    for number in (1, 3):
        data += b"".join(encode_records([(0, b"x")], number, len(data), SEED, LAST))
    for one_unsynced in (True, False):
        verdict, _ = judge(data.ljust(4096, b"\0"), one_unsynced=one_unsynced)
        assert verdict == pure.Damage(544, "a record of commit 3 where commit 2 has to be")


def test_a_commit_that_was_torn_goes_on_under_its_number() -> None:
    data = bytes(512)
    data += b"".join(encode_records([(0, b"kept")], 1, len(data), SEED, MORE))
    data += b"".join(encode_records([(0, b"added")], 1, len(data), SEED, LAST))
    data += b"".join(encode_records([(0, b"next")], 2, len(data), SEED, LAST))
    assert judge(data.ljust(4096, b"\0")) == (None, [(0, b"kept"), (0, b"added"), (0, b"next")])


@pytest.mark.parametrize("durability", ["commit", "none"])
def test_a_journal_cut_at_any_offset_holds_a_prefix_and_goes_on(durability: str) -> None:
    name, data = next(iter(files_of(SMALL, durability).items()))
    everything = flatten(SMALL)
    for cut in range(512, SEGMENT_BYTES + 1):
        disk = SimulatedDisk.holding({name: data[:cut]})
        journal, found = reopen(disk, durability)
        assert found == everything[: len(found)]
        if cut % 16 == 0:
            journal.commit([(9, b"more")])
            journal.close()
            _, again = reopen(disk, durability)
            assert again == [*found, (9, b"more")]
        assert len(disk.names[FIRST].cached) == SEGMENT_BYTES


def test_a_journal_cut_within_its_segment_header_is_refused() -> None:
    name, data = next(iter(files_of(SMALL).items()))
    for cut in range(512):
        with pytest.raises(JournalDamaged, match="too short"):
            reopen(SimulatedDisk.holding({name: data[:cut]}))


def test_any_flipped_bit_is_refused_or_harmless() -> None:
    """Harmless: a bit in the part that was never written, which costs no record. A copy of the file is kept."""
    name, data = next(iter(files_of(SMALL).items()))
    everything = flatten(SMALL)
    end = pure.end_of_content(data)
    for bit in [*range(512 * 8, end * 8 + 256), *range(end * 8 + 256, len(data) * 8, 61)]:
        image = bytearray(data)
        image[bit // 8] ^= 1 << bit % 8
        disk = SimulatedDisk.holding({name: bytes(image)})
        try:
            _, found = reopen(disk)
        except JournalDamaged:
            assert disk.snapshot() == {name: bytes(image)}, "what is refused is left as it is"
        else:
            assert bit // 8 >= end
            assert found == everything
            assert f"{FIRST}.torn-1" in disk.names


def test_the_one_flip_that_looks_like_a_torn_write_takes_the_last_commit_and_keeps_a_copy() -> None:
    """A sector of the last commit with a single bit set, which is what is flipped."""
    lone = bytes(600) + b"\x01" + bytes(700)
    name, data = next(iter(files_of([[(1, b"one")], [(2, lone)]]).items()))
    image = data.replace(b"\x01" + bytes(700), bytes(701))
    assert image != data
    disk = SimulatedDisk.holding({name: image})
    _, found = reopen(disk)
    assert found == [(1, b"one")]
    assert bytes(disk.names[f"{FIRST}.torn-1"].cached) == image[: pure.end_of_content(image)]


def test_a_torn_tail_is_copied_before_it_is_cut_and_every_copy_is_kept() -> None:
    name, data = next(iter(files_of(SMALL).items()))
    disk = SimulatedDisk.holding({name: data[:2000], f"{name}.torn-1": b"an older one"})
    reopen(disk)
    assert bytes(disk.names[f"{name}.torn-2"].cached) == data[:2000].rstrip(b"\0")
    assert bytes(disk.names[f"{name}.torn-1"].cached) == b"an older one"


LONG: Commits = [[(i, bytes([i]) * 900)] for i in range(12)]


def damaged(files: dict[str, bytes], match: str) -> None:
    disk = SimulatedDisk.holding(files)
    with pytest.raises(JournalDamaged, match=match):
        reopen(disk)
    assert disk.snapshot() == files
    assert not disk.handles


def test_a_missing_segment_is_damage() -> None:
    files = files_of(LONG)
    assert len(files) == 4
    for name in list(files)[:-1]:
        damaged({k: v for k, v in files.items() if k != name}, f"{name}.*missing")


def test_an_earlier_segment_must_be_whole_to_its_end() -> None:
    files = files_of(LONG)
    whole = files[FIRST]
    end = pure.end_of_content(whole)
    for cut in (600, end - 1, end, SEGMENT_BYTES - 1):
        damaged(files | {FIRST: whole[:cut]}, "cut short")
    last_record = end - record_bytes(900)
    damaged(files | {FIRST: whole[:last_record].ljust(SEGMENT_BYTES, b"\0")}, "the segment before")
    damaged(files | {FIRST: whole[:1800] + b"?" + whole[1801:]}, "not the last segment")
    damaged(files | {FIRST: whole[:-1] + b"\1"}, "not the last segment")


def test_a_lost_record_within_a_commit_that_two_segments_share_is_damage() -> None:
    files = files_of([[(i, bytes([i + 1]) * 900) for i in range(6)]])
    cut = files[FIRST][: 512 + 2 * record_bytes(900)].ljust(SEGMENT_BYTES, b"\0")
    damaged(files | {FIRST: cut}, "the segment before")


def test_a_segment_of_another_journal_or_under_another_name_is_damage() -> None:
    files = files_of(LONG)
    damaged(files | {SECOND: files[FIRST]}, "another name")
    damaged(files | {FIRST: files[FIRST] + b"\0"}, "longer than its header says")
