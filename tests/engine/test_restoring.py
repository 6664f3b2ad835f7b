"""A start from a snapshot and what is behind it is a start from the first record, whatever became of the files."""

import random
from pathlib import Path

import pytest

from engine.core import EngineCore
from engine.offline import NotThere, read_position, read_state
from engine.restoring import Start, orders_executed, start_engine
from engine.snapshot import VERSION, encode_state, state_hash
from engine.snapshot_maker import Made, make_snapshot
from orderd.journal import JournalDamaged, JournalError, JournalVersionError, Position, RealDisk
from orderd.journal.segment import segment_name
from orderd.journal.snapshots import read_snapshot, snapshot_name, write_snapshot
from tests.support.engine_journal import ENGINE_ID, Grown, new_core, open_it
from tests.support.same_state import differences


def start(directory: Path) -> Start:
    journal = open_it(directory)
    try:
        return start_engine(journal, RealDisk(), str(directory), new_core)
    finally:
        journal.close()


def reports(core: EngineCore) -> list[bytes]:
    return [p.receiver.log.read(1, 2**63)[2] for p in core._participants.values()]


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    """Three snapshots' worth, and a tail."""
    grown = Grown(tmp_path / "j", 42)
    for _ in range(3):
        grown.grow(150).seal()
    return grown.grow(80).close()


def snapshots(grown: Grown, *which: int) -> list[Made]:
    return [make_snapshot(str(grown.directory), grown.boundaries[at][0].index) for at in which]


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(bytes(data))


def path_of(grown: Grown, made: Made) -> Path:
    return grown.directory / snapshot_name(made.index)


def test_a_start_from_a_snapshot_is_a_start_from_the_first_record_and_so_is_all_that_follows(grown: Grown) -> None:
    first = start(grown.directory)
    assert first.snapshot is None
    snapshots(grown, 0, 2)
    again = start(grown.directory)
    assert again.snapshot == grown.boundaries[2][0]
    assert again.orders_behind == orders_executed(grown.core()) - orders_executed(grown.core(grown.boundaries[2][1]))
    # Each start is a boot of its own.
    first.core.boot = again.core.boot
    assert differences(first.core, again.core) == []
    assert state_hash(again.core) == state_hash(first.core)
    for kind, payload in grown.inputs.entries(100):
        first.core.replay(kind, payload)
        again.core.replay(kind, payload)
        assert reports(again.core) == reports(first.core)
    assert state_hash(again.core) == state_hash(first.core)


def test_each_snapshot_is_made_from_the_one_before_and_is_the_state_at_its_boundary(grown: Grown) -> None:
    made = snapshots(grown, 0, 1, 2)
    indexes = [boundary[0].index for boundary in grown.boundaries]
    assert [m.index for m in made] == indexes
    assert [m.base for m in made] == [None, *indexes[:-1]]
    for (position, entries), m in zip(grown.boundaries, made, strict=True):
        core = grown.core(entries)
        again = read_snapshot(RealDisk(), str(grown.directory), position.index)
        assert bytes(again.body) == b"".join(encode_state(core))
        assert m.orders == orders_executed(core)
        assert m.size_bytes == path_of(grown, m).stat().st_size


def test_one_that_is_made_again_at_the_same_boundary_is_not_made_from_itself(grown: Grown) -> None:
    """Else only one would be kept, and the journal before it would be deleted."""
    made = snapshots(grown, 0, 1, 1)
    assert made[2].base == made[1].base == made[0].index
    assert made[2].index == made[1].index


def test_a_snapshot_in_the_middle_of_a_commit_is_as_good_as_any(tmp_path: Path) -> None:
    """Segments that fill up end within commits."""
    grown = Grown(tmp_path / "j", 7)
    grown.inputs.records_max = 150
    grown.grow(110).close()
    expected = state_hash(grown.core())
    segments = sorted(int(path.stem) for path in (tmp_path / "j").glob("*.segment"))
    assert len(segments) > 3
    for index in segments[1:]:
        make_snapshot(str(tmp_path / "j"), index)
        assert state_hash(read_state(str(tmp_path / "j")).core) == expected
        # And none is taken for a commit before the one that it has a part of.
        within = read_position(str(tmp_path / "j"), index).first_commit
        for commit in (within - 1, within):
            plain = read_state(str(tmp_path / "j"), to_commit=commit, from_start=True)
            assert state_hash(read_state(str(tmp_path / "j"), to_commit=commit).core) == state_hash(plain.core)


@pytest.mark.parametrize("pruned", [False, True])
def test_a_damaged_newest_snapshot_costs_time_and_nothing_else(grown: Grown, pruned: bool) -> None:
    older, newer = snapshots(grown, 0, 2)
    if pruned:
        for index in range(1, older.index):
            (grown.directory / segment_name(index)).unlink()
    expected = state_hash(grown.core())
    for at in random.Random(1).sample(range(newer.size_bytes), 8):
        path = path_of(grown, newer)
        whole = path.read_bytes()
        flip(path, at, at % 8)
        found = read_state(str(grown.directory))
        assert found.start == grown.boundaries[0][0]
        assert [damaged.path for damaged in found.damaged] == [str(path)]
        assert state_hash(found.core) == expected
        path.write_bytes(whole)
    flip(path_of(grown, newer), 100)
    assert start(grown.directory).snapshot == grown.boundaries[0][0]


def test_without_any_good_snapshot_the_first_record_is_begun_with_or_nothing(grown: Grown) -> None:
    for made in snapshots(grown, 0, 2):
        flip(path_of(grown, made), 70)
    assert start(grown.directory).snapshot is None
    (grown.directory / segment_name(1)).unlink()
    with pytest.raises(JournalDamaged, match=r"000000000001.segment: .* missing"):
        start(grown.directory)
    with pytest.raises(JournalDamaged, match="missing"):
        read_state(str(grown.directory))


def test_a_segment_missing_behind_the_snapshot_is_damage(grown: Grown) -> None:
    (made,) = snapshots(grown, 2)
    (grown.directory / segment_name(made.index)).unlink()
    with pytest.raises(JournalDamaged, match="missing"):
        start(grown.directory)
    with pytest.raises(JournalError):
        read_state(str(grown.directory))


def test_a_snapshot_of_a_newer_release_refuses_the_start(grown: Grown) -> None:
    position = grown.boundaries[1][0]
    write_snapshot(RealDisk(), str(grown.directory), position, VERSION + 1, [b"?"], token="1")
    with pytest.raises(JournalVersionError, match="state of version 2; this release reads up to 1"):
        start(grown.directory)


def test_a_snapshot_of_another_journal_is_not_used(grown: Grown) -> None:
    (made,) = snapshots(grown, 1)
    position = grown.boundaries[1][0]
    stranger = Position(b"engine", ENGINE_ID + 1, made.index, position.first_commit, position.previous_end)
    body = encode_state(grown.core())
    write_snapshot(RealDisk(), str(grown.directory), stranger, VERSION, body, token="1")
    found = start(grown.directory)
    assert found.snapshot is None


def test_a_snapshot_at_another_place_of_this_journal_is_damage(grown: Grown) -> None:
    (made,) = snapshots(grown, 1)
    position = grown.boundaries[1][0]
    moved = Position(b"engine", ENGINE_ID, made.index, position.first_commit + 1, position.previous_end)
    write_snapshot(RealDisk(), str(grown.directory), moved, VERSION, encode_state(grown.core()), token="1")
    with pytest.raises(JournalDamaged, match="does not follow on the snapshot"):
        start(grown.directory)


def test_damage_in_a_sealed_segment_makes_no_snapshot(grown: Grown) -> None:
    flip(grown.directory / segment_name(2), 700)
    with pytest.raises(JournalDamaged):
        make_snapshot(str(grown.directory))
    assert not list(grown.directory.glob("*.snapshot*"))


def test_a_sealed_segment_that_is_gone_makes_no_snapshot(grown: Grown) -> None:
    (grown.directory / segment_name(grown.boundaries[1][0].index)).unlink()
    with pytest.raises(JournalDamaged):
        make_snapshot(str(grown.directory))


def test_there_is_nothing_to_be_made_before_a_segment_is_sealed(tmp_path: Path) -> None:
    Grown(tmp_path / "j", 1).grow(5).close()
    with pytest.raises(NotThere, match="no segment is sealed yet"):
        make_snapshot(str(tmp_path / "j"))
    with pytest.raises(NotThere, match="no such segment"):
        make_snapshot(str(tmp_path / "j"), 9)
    (tmp_path / "k").mkdir()
    with pytest.raises(NotThere, match="no journal is there"):
        make_snapshot(str(tmp_path / "k"))


def test_a_part_of_the_journal_gives_the_state_at_that_commit(grown: Grown) -> None:
    whole = read_state(str(grown.directory), from_start=True)
    assert whole.start is None and whole.entries == len(grown.entries)
    snapshots(grown, 0, 1)
    for commit in range(1, whole.commit + 1, 41):
        part = read_state(str(grown.directory), to_commit=commit)
        plain = read_state(str(grown.directory), to_commit=commit, from_start=True)
        assert part.commit == plain.commit == commit
        assert state_hash(part.core) == state_hash(plain.core)
    with pytest.raises(NotThere, match=f"ends with commit {whole.commit}"):
        read_state(str(grown.directory), to_commit=whole.commit + 1)


def test_what_a_maker_says_is_understood_or_refused() -> None:
    made = Made(3, None, 1, 2, 3, 0.5, ("x",))
    assert Made.decode(made.encode()) == made
    for text in ("", "{}", "[]", '{"index": 1}', "null", made.encode()[:-1]):
        with pytest.raises(ValueError):  # noqa: PT011 - JSON's own among them
            Made.decode(text)
