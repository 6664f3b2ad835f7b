"""An engine's journal with two snapshots, of which the newer one is damaged.

Its checksum is over all of it, so whatever changed is seen, and a start comes to the same state without it: from the
older snapshot, or where that is gone from the first record.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

import attrs

from engine.restoring import APPLICATION, start_engine
from engine.snapshot import state_hash
from engine.snapshot_maker import make_snapshot
from orderd.journal import open_journal
from orderd.journal.errors import SnapshotError
from orderd.journal.snapshots import read_snapshot, snapshot_name
from orderd.runtime.journal_settings import JournalSettings
from tests.damage.rules import Cut, Damage, Flip
from tests.support.engine_inputs import EngineInputs
from tests.support.engine_journal import new_core
from tests.support.simulated_disk import SimulatedDisk

DIRECTORY: Final = "journal"
SETTINGS: Final = JournalSettings(directory=DIRECTORY, segment_bytes=65_536)
OLDER, NEWER = 2, 3
"""The segments that they stand before."""
REFUSED: Final = "not used, the older one is"
UNCHANGED: Final = "unchanged"


@attrs.frozen(eq=False)
class Subject:
    """A journal of three segments, with a snapshot before the second and the third."""

    files: dict[str, bytes]
    state: bytes
    """Hash of what a start comes to."""

    @property
    def path(self) -> str:
        """Of the newer snapshot."""
        return f"{DIRECTORY}/{snapshot_name(NEWER)}"

    @property
    def snapshot(self) -> bytes:
        return self.files[self.path]


@cache
def subject() -> Subject:
    """The same each time."""
    disk = SimulatedDisk()
    inputs = EngineInputs(9)
    journal = open_journal(SETTINGS, APPLICATION, disk, entropy_u64=0xE1)
    assert list(journal.replay()) == []
    journal.commit(inputs.opening())
    for count in (40, 40, 10):
        for entry in inputs.entries(count):
            journal.commit([entry])
        if count == 40:
            journal.seal()
    journal.close()
    for index in (OLDER, NEWER):
        make_snapshot(DIRECTORY, index, disk=disk, token="test")
    files = {path: data for path, data in disk.snapshot().items() if not path.endswith(".spare")}
    state, begun_from = start(files)
    assert begun_from == NEWER
    return Subject(files, state)


def flips(snapshot: bytes, step: int = 1, first: int = 0) -> Iterator[Damage]:
    """Every bit, or one in ``step`` from the ``first`` on."""
    return (Flip(0, bit) for bit in range(first, len(snapshot) * 8, step))


def cuts(snapshot: bytes, step: int = 1, first: int = 0) -> Iterator[Damage]:
    """Every offset, with the file ending there and with zeros behind it, or one in ``step`` from the ``first`` on."""
    return (Cut(0, at // 2, zeros=bool(at % 2)) for at in range(first, len(snapshot) * 2 + 2, step))


def start(files: dict[str, bytes]) -> tuple[bytes, int]:
    """Hash of the state that a start comes to, but for its boot, and the snapshot it began with; 0 for none."""
    disk = SimulatedDisk.holding(files)
    journal = open_journal(SETTINGS, APPLICATION, disk, entropy_u64=1)
    try:
        started = start_engine(journal, disk, DIRECTORY, new_core)
    finally:
        journal.close()
    return state_hash(started.core), 0 if started.snapshot is None else started.snapshot.index


def judge(damage: Damage, *, whole_start: bool) -> str:
    """What became of the newer snapshot; with ``whole_start`` also of a start. Raises AssertionError if it may not."""
    whole = subject()
    data = damage.apply(whole.snapshot)
    files = {**whole.files, whole.path: data}
    disk = SimulatedDisk.holding({whole.path: data})
    problem: SnapshotError | None
    try:
        read_snapshot(disk, DIRECTORY, NEWER)
    except SnapshotError as error:
        verdict, problem = REFUSED, error
    else:
        verdict, problem = UNCHANGED, None
    assert problem is None or (problem.path == whole.path and problem.why)
    assert (verdict == UNCHANGED) == (data == whole.snapshot), "whatever changed is seen, and nothing else"
    if whole_start:
        assert start(files) == (whole.state, OLDER if verdict == REFUSED else NEWER)
        del files[f"{DIRECTORY}/{snapshot_name(OLDER)}"]
        assert start(files) == (whole.state, 0 if verdict == REFUSED else NEWER)
    return verdict
