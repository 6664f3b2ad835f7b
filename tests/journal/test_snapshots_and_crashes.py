"""Snapshots, pruning and commits together, on a disk that loses what was not synced: whatever is left is a prefix.

The state here is the list of all entries so far, which a snapshot writes down as it is.
"""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.journal import Entry, Journal, SnapshotError, open_journal
from orderd.journal.snapshots import (
    read_snapshot,
    remove_all_but,
    remove_unfinished,
    snapshot_indexes,
    write_snapshot,
)
from tests.support.journals import DIRECTORY, JOURNAL_ID, small_settings
from tests.support.scale import examples
from tests.support.simulated_disk import SimulatedCrash, SimulatedDisk


class Life:
    """One process: restores, then commits, seals, makes snapshots and prunes as it is told."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk
        self.journal: Journal = open_journal(small_settings(), b"test", disk, entropy_u64=JOURNAL_ID)
        self.state: list[Entry] = []
        self.base: int | None = None
        start = None
        for index in snapshot_indexes(disk.list(DIRECTORY)):
            with contextlib.suppress(SnapshotError):
                snapshot = read_snapshot(disk, DIRECTORY, index)
                self.state = [(kind, bytes.fromhex(text)) for kind, text in json.loads(bytes(snapshot.body))]
                start, self.base = snapshot.position, index
                break
        self.state += self.journal.replay(start)

    def commit(self, entry: Entry) -> None:
        self.state.append(entry)
        self.journal.commit([entry])

    def snapshot(self) -> None:
        """As the engine and its child do it."""
        position = self.journal.seal()
        assert position is not None
        if position.index == 1 or position.index == self.base:
            return
        remove_unfinished(self.disk, DIRECTORY)
        body = json.dumps([(kind, payload.hex()) for kind, payload in self.state]).encode()
        write_snapshot(self.disk, DIRECTORY, position, 1, [body], token="1")
        remove_all_but(self.disk, DIRECTORY, {position.index} if self.base is None else {position.index, self.base})
        if self.base is not None:
            self.journal.prune(self.base)
        self.base = position.index


def live(life: Life, steps: str, returned: list[Entry]) -> None:
    for step in steps:
        if step == "s":
            life.snapshot()
        else:
            entry = (len(life.state) % 200, step.encode() * (len(life.state) * 97 % 1500))
            life.commit(entry)
            returned.append(entry)


def check(life: Life, attempted: list[Entry], returned: list[Entry]) -> None:
    assert life.state == attempted[: len(life.state)]
    assert len(life.state) >= len(returned)


STEPS = "ccsccccscsccccccscccs"


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_at_any_call_loses_nothing_that_was_committed(seed: int) -> None:
    clean = SimulatedDisk()
    whole: list[Entry] = []
    live(Life(clean), STEPS, whole)
    assert len(snapshot_indexes(clean.list(DIRECTORY))) == 2
    for crash_at in range(1, clean.calls + 1):
        disk = SimulatedDisk(seed * 10_000 + crash_at)
        disk.crash_at = crash_at
        returned: list[Entry] = []
        with contextlib.suppress(SimulatedCrash):
            live(Life(disk), STEPS, returned)
        (disk.lose_power if seed else disk.kill)()
        life = Life(disk)
        check(life, whole, returned)
        # And it goes on, with all that it does.
        before = list(life.state)
        more: list[Entry] = []
        live(life, "ccsccs", more)
        disk.kill()
        assert Life(disk).state == before + more


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.tuples(st.text("ccs", min_size=1, max_size=12), st.integers(1, 90), st.booleans()), max_size=5),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_any_series_of_lives_and_crashes_leaves_a_prefix(
    lives: list[tuple[str, int, bool]], seed: int, damage: bool
) -> None:
    disk = SimulatedDisk(seed)
    attempted: list[Entry] = []
    returned: list[Entry] = []
    for steps, crash_after, power in lives:
        disk.crash_at = disk.calls + crash_after
        with contextlib.suppress(SimulatedCrash):
            life = Life(disk)
            check(life, attempted, returned)
            attempted, returned = life.state, list(life.state)
            live(life, steps, returned)
        (disk.lose_power if power else disk.kill)()
    indexes = snapshot_indexes(disk.list(DIRECTORY))
    disk.kill()
    if damage and len(indexes) > 1:
        name = next(name for name in disk.names if name.endswith(f"{indexes[0]:012d}.snapshot"))
        disk.names[name].cached[-1] ^= 1
    check(Life(disk), attempted, returned)
