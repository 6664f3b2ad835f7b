"""A journal read by one who does not own it: damage, torn tails, and what is being written meanwhile."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.journal import JournalVersionError
from orderd.journal.reading import LOOKS_STEADY, Segment, read_segments
from orderd.journal.segment import SEGMENT_HEADER_BYTES
from tests.support.journals import files_of, flatten
from tests.support.scale import examples

COMMITS = [[(1, bytes([n]) * (100 + 40 * n)), (2, b"x" * n)] for n in range(1, 25)]


def no_pause(_: float) -> None:
    pass


def lay_out(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(exist_ok=True)
    for name, data in files.items():
        (directory / Path(name).name).write_bytes(data)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A journal of several segments."""
    lay_out(tmp_path / "j", files_of(COMMITS))
    return tmp_path / "j"


def read(directory: Path, pause: Callable[[float], object] = no_pause) -> list[Segment]:
    return list(read_segments(str(directory), pause=pause))


def segments_in(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.segment"))


def change(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int, bit: int = 0) -> None:
    change(path, offset, bytes([path.read_bytes()[offset] ^ 1 << bit]))


def test_all_records_come_in_order_with_their_places(directory: Path) -> None:
    found = read(directory)
    assert len(found) > 2
    records = [record for segment in found for record in segment.records()]
    assert [(record.kind, record.payload) for record in records] == flatten(COMMITS)
    assert [record.commit for record in records] == [n for n in range(1, 25) for _ in range(2)]
    assert records[0].offset == SEGMENT_HEADER_BYTES
    assert all(segment.problem is None and segment.tail is None for segment in found)


def test_nothing_is_locked_made_or_changed(directory: Path) -> None:
    (directory / "7.spare").write_bytes(b"spare")
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    read(directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert "lock" not in before


def test_a_torn_tail_is_no_damage(directory: Path) -> None:
    last = segments_in(directory)[-1]
    whole = read(directory)[-1]
    end = whole.end
    *_, record = whole.records()
    # The write stopped in the middle of the last record.
    change(last, record.offset + 30, bytes(end - record.offset - 30))
    found = read(directory)[-1]
    assert found.problem is None
    assert found.tail is not None
    assert (found.tail.offset, found.tail.being_written) == (record.offset, False)
    assert 0 < found.tail.length <= 30
    assert len(list(found.records())) == len(list(whole.records())) - 1


def test_a_flipped_bit_is_damage_and_the_segments_behind_it_are_read(directory: Path) -> None:
    first = segments_in(directory)[0]
    records = list(read(directory)[0].records())
    flip(first, records[4].offset + 40)
    found = read(directory)
    assert found[0].problem is not None
    assert (found[0].problem.path, found[0].problem.offset) == (str(first), records[4].offset)
    assert list(found[0].records()) == records[:4]
    assert all(segment.problem is None for segment in found[1:])


def test_a_flipped_bit_in_the_last_segment_is_damage(directory: Path) -> None:
    last = segments_in(directory)[-1]
    record = next(read(directory)[-1].records())
    flip(last, record.offset + 40)
    problem = read(directory)[-1].problem
    assert problem is not None
    assert problem.offset == record.offset


@given(data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_a_flipped_bit_costs_records_only_together_with_a_word_about_it(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = files_of(COMMITS[:6])
    directory = tmp_path_factory.mktemp("flip")
    lay_out(directory, files)
    name = data.draw(st.sampled_from(sorted(Path(name).name for name in files)))
    path = directory / name
    flip(path, data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7)))
    try:
        found = read(directory)
    except JournalVersionError:
        return  # The version is checked before the CRC that covers it: a newer layout has another one.
    entries = [(record.kind, record.payload) for segment in found for record in segment.records()]
    told = any(segment.problem is not None or segment.tail is not None for segment in found)
    assert entries == flatten(COMMITS[:6]) or told
    assert entries == [entry for entry in flatten(COMMITS[:6]) if entry in entries]


def test_a_missing_segment_is_damage(directory: Path) -> None:
    second = segments_in(directory)[1]
    second.unlink()
    found = read(directory)
    assert found[1].problem is not None
    assert "missing" in found[1].problem.why
    assert found[1].header is None
    assert found[2].problem is None


def test_a_segment_of_another_journal_or_place_is_damage(directory: Path, tmp_path: Path) -> None:
    first, second, third = segments_in(directory)[:3]
    third.write_bytes(second.read_bytes())
    problem = read(directory)[2].problem
    assert problem is not None
    assert "under another name" in problem.why
    lay_out(directory, files_of(COMMITS))
    first.write_bytes(first.read_bytes()[: SEGMENT_HEADER_BYTES - 1])
    problem = read(directory)[0].problem
    assert problem is not None
    assert "too short" in problem.why


def test_an_earlier_segment_that_is_cut_short_is_damage(directory: Path) -> None:
    first = segments_in(directory)[0]
    os.truncate(first, first.stat().st_size - 8)
    problem = read(directory)[0].problem
    assert problem is not None
    assert "cut short" in problem.why


def test_what_is_whole_at_a_second_look_is_neither_torn_nor_damaged(directory: Path) -> None:
    last = segments_in(directory)[-1]
    whole = last.read_bytes()
    *_, one, two = read(directory)[-1].records()
    # As if the pages of the later record had been written before those of the one before it were read.
    change(last, one.offset, bytes(two.offset - one.offset))
    looks = []

    def finish(_: float) -> None:
        looks.append(1)
        last.write_bytes(whole)

    found = read(directory, finish)[-1]
    assert len(looks) == 1
    assert found.problem is None and found.tail is None
    assert list(found.records())[-1] == two


def test_bytes_that_keep_changing_are_being_written(directory: Path) -> None:
    last = segments_in(directory)[-1]
    end = read(directory)[-1].end
    written = 0

    def write_on(_: float) -> None:
        nonlocal written
        written += 8
        change(last, end, b"\x99" * written)

    write_on(0)
    found = read(directory, write_on)[-1]
    assert found.problem is None
    assert found.tail is not None
    assert (found.tail.offset, found.tail.length, found.tail.being_written) == (end, written, True)
    assert written // 8 > LOOKS_STEADY


def test_a_directory_without_a_journal_has_no_segments(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
