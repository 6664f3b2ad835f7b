"""What a start may make of a damaged journal, and whether it did (docs/JOURNAL.md, "Recovery"). Durability "commit".

- A flipped bit in a record, a segment's header, or anywhere in an earlier segment is refused. There is one exception
  that no program can see: the only bit that is set in its sector, in the last commit; the sector is then as one that
  was never written.
- A flipped bit behind the last record is refused or costs nothing.
- A journal whose last segment ends at some offset, or has zeros from there on, has the records before it, each of them
  and no other. One whose earlier segments do, or whose header is cut, is refused.
- What is refused is left as it is, byte for byte, and the message names the file, a place no later than the damage, and
  a reason. What is cut off is part of one commit, in a copy; what is left can be read again and goes on.
- Who reads without opening comes to the same.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from orderd.journal import JournalDamaged, JournalVersionError, open_journal
from orderd.journal.reading import read_segments
from orderd.journal.record import Entry
from tests.damage.subjects import DIRECTORY, Subject
from tests.support.simulated_disk import SimulatedDisk

HEADER_BYTES: Final = 512
SECTOR_BYTES: Final = 512
VERSION_BYTES: Final = (8, 9)

REFUSED: Final = "refused"
NEWER: Final = "refused as a newer format"
WHOLE: Final = "nothing is lost"
CUT: Final = "torn tail cut off, all before it kept"
UNSEEN: Final = "torn tail cut off for a flipped bit"


@attrs.frozen
class Flip:
    """One bit of a segment."""

    segment: int
    bit: int

    @property
    def offset(self) -> int:
        return self.bit // 8

    def apply(self, data: bytes) -> bytes:
        changed = bytearray(data)
        changed[self.offset] ^= 1 << self.bit % 8
        return bytes(changed)


@attrs.frozen
class Cut:
    """A segment that ends at an offset, or has zeros from there on."""

    segment: int
    offset: int
    zeros: bool

    def apply(self, data: bytes) -> bytes:
        return data[: self.offset].ljust(len(data) if self.zeros else 0, b"\0")


Damage = Flip | Cut


def flips(subject: Subject, step: int = 1, first: int = 0) -> Iterator[Damage]:
    """Every bit of every segment, or one in ``step`` from the ``first`` on."""
    bits = subject.segment_bytes * 8
    for at in range(first, len(subject.files) * bits, step):
        yield Flip(*divmod(at, bits))


def cuts(subject: Subject, step: int = 1, first: int = 0) -> Iterator[Damage]:
    """Every offset of every segment, both ways, or one in ``step`` from the ``first`` on."""
    offsets = subject.segment_bytes + 1
    for at in range(first, len(subject.files) * offsets * 2, step):
        place, zeros = divmod(at, 2)
        yield Cut(*divmod(place, offsets), zeros=bool(zeros))


def files_after(subject: Subject, damage: Damage) -> dict[str, bytes]:
    """The journal's files with one of them damaged."""
    path = subject.paths[damage.segment]
    return {**subject.files, path: damage.apply(subject.files[path])}


def judge(subject: Subject, damage: Damage) -> str:
    """What a start made of it. Raises AssertionError if it may not."""
    files = files_after(subject, damage)
    disk = SimulatedDisk.holding(files)
    problem, found = _open(subject, disk)
    _check_reader(files, problem, found)
    if problem is not None:
        assert REFUSED in allowed(subject, damage), f"refused though it must not be: {problem}"
        assert disk.snapshot() == files, "what is refused is left as it is"
        assert not disk.handles, "a start that refuses lets go of everything"
        if isinstance(problem, JournalVersionError):
            assert isinstance(damage, Flip) and damage.offset in VERSION_BYTES, problem
            return NEWER
        _check_message(subject, damage, problem)
        return REFUSED
    assert found == list(subject.entries[: len(found)]), "never is told what was not written"
    assert len(found) in allowed(subject, damage), f"{len(found)} of {len(subject.entries)} entries"
    _check_files(subject, damage, disk, files, len(found))
    _check_it_goes_on(subject, disk, found)
    if isinstance(damage, Flip) and len(found) < len(subject.entries):
        return UNSEEN
    return WHOLE if len(found) == len(subject.entries) else CUT


def allowed(subject: Subject, damage: Damage) -> set[object]:
    """Refusal, or how many entries may be told."""
    path = subject.paths[damage.segment]
    data, end = subject.files[path], subject.end_of(damage.segment)
    is_last = damage.segment == len(subject.files) - 1
    everything = len(subject.entries)
    changed = damage.apply(data)
    if changed == data:
        return {everything}
    if not is_last or len(changed) < HEADER_BYTES or changed[:HEADER_BYTES] != data[:HEADER_BYTES]:
        return {REFUSED}
    if isinstance(damage, Cut):
        gone = (place.segment == damage.segment and place.end > damage.offset for place in subject.places)
        return {everything - sum(gone)}
    if damage.offset >= end:
        return {REFUSED, everything}
    return {REFUSED} | _lone_bit(subject, damage, data)


def _lone_bit(subject: Subject, damage: Flip, data: bytes) -> set[object]:
    """Before which record the journal may end, if the bit is the only one of its sector and in the last commit."""
    at = next(
        i for i, p in enumerate(subject.places) if p.segment == damage.segment and p.begin <= damage.offset < p.end
    )
    place = subject.places[at]
    start = max(damage.offset - damage.offset % SECTOR_BYTES, place.begin)
    rest = bytearray(data[start : damage.offset - damage.offset % SECTOR_BYTES + SECTOR_BYTES])
    rest[damage.offset - start] ^= 1 << damage.bit % 8
    return {at} if place.commit == subject.places[-1].commit and not any(rest) else set()


def _open(subject: Subject, disk: SimulatedDisk) -> tuple[JournalDamaged | JournalVersionError | None, list[Entry]]:
    journal = None
    try:
        journal = open_journal(subject.settings(), subject.application, disk, entropy_u64=1)
        return None, list(journal.replay())
    except (JournalDamaged, JournalVersionError) as problem:
        return problem, []
    finally:
        if journal is not None:
            journal.close()


def _check_reader(files: dict[str, bytes], problem: Exception | None, found: list[Entry]) -> None:
    disk = SimulatedDisk.holding(files)
    told: list[Entry] = []
    try:
        for segment in read_segments(DIRECTORY, pause=lambda _: None, disk=disk):
            told += [(record.kind, record.payload) for record in segment.records()]
            if segment.problem is not None:
                assert problem is not None, f"a reader sees damage where a start saw none: {segment.problem}"
                return
    except JournalVersionError:
        assert isinstance(problem, JournalVersionError)
        return
    assert problem is None, f"a reader sees nothing of this: {problem}"
    assert told == found


def _check_message(subject: Subject, damage: Damage, problem: Exception) -> None:
    assert isinstance(problem, JournalDamaged)
    segment = subject.paths.index(problem.path)
    # What ends too early, and with a whole record, shows where the next segment does not follow on it.
    assert segment == damage.segment or (segment, problem.offset) == (damage.segment + 1, 0), problem
    assert segment > damage.segment or problem.offset <= damage.offset, problem
    assert problem.why, problem


def _check_files(subject: Subject, damage: Damage, disk: SimulatedDisk, before: dict[str, bytes], count: int) -> None:
    """What is there now: the records that were told, zeros behind them, and a copy of what was cut off."""
    path = subject.paths[damage.segment]
    last = subject.paths[-1]
    after = disk.snapshot()
    kept = [p.end for p in subject.places[:count] if p.segment == len(subject.files) - 1]
    end = max(kept, default=HEADER_BYTES)
    assert after[last] == subject.files[last][:end].ljust(len(subject.files[last]), b"\0")
    assert {p: after[p] for p in subject.paths[:-1]} == {p: subject.files[p] for p in subject.paths[:-1]}
    content = before[path].rstrip(b"\0")
    copies = {name: data for name, data in after.items() if ".torn-" in name}
    assert copies == ({f"{path}.torn-1": content} if path == last and len(content) > end else {})


def _check_it_goes_on(subject: Subject, disk: SimulatedDisk, found: list[Entry]) -> None:
    journal = open_journal(subject.settings(), subject.application, disk, entropy_u64=1)
    assert list(journal.replay()) == found, "a second start comes to the same"
    journal.commit([(99, b"more")])
    journal.close()
    problem, again = _open(subject, disk)
    assert problem is None and again == [*found, (99, b"more")]
