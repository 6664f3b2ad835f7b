"""Snapshots are made while the engine runs, and whatever happens to them never harms it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from engine.offline import read_state
from engine.snapshot import state_hash
from engine.snapshot_child import child_command, make_in_child
from engine.snapshot_keeper import SnapshotKeeper
from engine.snapshot_maker import Made, make_snapshot
from orderd.journal import JournalFull, JournalWriter, Position, RealDisk
from orderd.journal.segment import index_of
from orderd.journal.snapshots import UNFINISHED_SUFFIX, snapshot_indexes, snapshot_name
from tests.support.engine_journal import Grown, settings_of

PATIENCE_S = 60
LOOK_EVERY_S = 0.02


class Engine:
    """A journal that grows, and what an engine tells of it."""

    def __init__(self, directory: Path) -> None:
        self.grown = Grown(directory, 11).grow(40)
        self.directory = directory
        self.orders = 0
        self.journal = self.grown.journal
        self.writer = JournalWriter(self.journal, settings_of(directory))
        self.commands: list[Position] = []

    def work(self, orders: int) -> None:
        """As if so many orders had been executed."""
        self.grown.grow(30)
        self.orders += orders

    def keeper(self, *, behind: int = 0, command: Sequence[str] | None = None, real: bool = False) -> SnapshotKeeper:
        """``real``: the child is the real one. Else it does only what ``command`` does, or tells what was made here."""

        def words(directory: str, position: Position) -> Sequence[str]:
            self.commands.append(position)
            if real:
                return child_command(directory, position)
            if command is not None:
                return command
            made = make_snapshot(directory, position.index)
            return [sys.executable, "-c", f"print({made.encode()!r})"]

        return SnapshotKeeper(
            every=100,
            behind=behind,
            orders=lambda: self.orders,
            writer=self.writer,
            disk=RealDisk(),
            directory=str(self.directory),
            make=partial(make_in_child, command=words),
            look_every_s=LOOK_EVERY_S,
        )

    def snapshots(self) -> list[int]:
        return snapshot_indexes([path.name for path in self.directory.iterdir()])

    def segments(self) -> list[int]:
        return sorted(index for path in self.directory.iterdir() if (index := index_of(path.name)) is not None)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "j")


@asynccontextmanager
async def running(engine: Engine, keeper: SnapshotKeeper) -> AsyncIterator[None]:
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(engine.writer.run)
            nursery.start_soon(keeper.run)
            yield
            nursery.cancel_scope.cancel()
    await engine.writer.aclose()


async def until(condition: Callable[[], bool]) -> None:
    """Or the patience of :func:`running` ends."""
    while True:
        await trio.sleep(0.01)
        if condition():
            return


async def test_two_snapshots_are_kept_and_the_journal_from_the_older_one_on(engine: Engine) -> None:
    keeper = engine.keeper(real=True)
    async with running(engine, keeper):
        for _ in range(3):
            taken = keeper.taken
            engine.work(100)
            await until(partial(lambda before: keeper.taken > before, taken))
    positions = [position.index for position in engine.commands]
    assert engine.snapshots() == [positions[2], positions[1]]
    assert engine.segments()[0] == positions[1]
    found = read_state(str(engine.directory))
    assert found.start is not None and found.start.index == positions[2]
    assert state_hash(found.core) == state_hash(engine.grown.core())


async def test_nothing_is_made_before_enough_orders_have_come(engine: Engine) -> None:
    keeper = engine.keeper(behind=30)
    async with running(engine, keeper):
        engine.orders = 69
        await trio.sleep(10 * LOOK_EVERY_S)
        assert not engine.commands
        engine.orders = 70
        await until(lambda: keeper.taken == 1)


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit(3)",
        "print('nonsense')",
        f"print({Made(99, None, 1, 1, 1, 1.0).encode()!r})",
        "import os; os.kill(os.getpid(), 9)",
        "print('x' * 10**6)",
    ],
)  # fmt: skip
async def test_a_child_that_fails_deletes_nothing_and_is_tried_again_later(engine: Engine, script: str) -> None:
    keeper = engine.keeper(command=[sys.executable, "-c", script])
    async with running(engine, keeper):
        for _ in range(2):
            tries = len(engine.commands)
            engine.work(100)
            await until(partial(lambda before: len(engine.commands) > before, tries))
        await trio.sleep(10 * LOOK_EVERY_S)
        assert len(engine.commands) == 2
    assert keeper.taken == 0
    assert engine.segments()[0] == 1


async def test_a_command_that_does_not_exist_is_no_harm(engine: Engine) -> None:
    keeper = engine.keeper(command=["/nowhere/python"])
    async with running(engine, keeper):
        engine.work(100)
        await until(lambda: len(engine.commands) == 1)
        engine.work(100)
        await until(lambda: len(engine.commands) == 2)


async def test_a_child_under_way_is_killed_with_the_engine(engine: Engine) -> None:
    keeper = engine.keeper(command=[sys.executable, "-c", "import time; time.sleep(3600)"])
    with trio.fail_after(10):
        async with running(engine, keeper):
            engine.work(100)
            await until(lambda: len(engine.commands) == 1)
            await trio.sleep(0.1)


async def test_a_disk_that_is_full_is_no_harm(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = engine.keeper(command=[sys.executable, "-c", "raise SystemExit(3)"])

    def full(_: object) -> object:
        raise JournalFull("no room for a segment")

    async with running(engine, keeper):
        monkeypatch.setattr(type(engine.journal), "seal", full)
        engine.work(100)
        await trio.sleep(10 * LOOK_EVERY_S)
        assert not engine.commands
        monkeypatch.undo()
        engine.work(100)
        await until(lambda: len(engine.commands) == 1)


async def test_a_snapshot_that_cannot_be_used_is_not_counted_on(engine: Engine) -> None:
    """The two that are kept are the new one and the one that it was made from."""
    made = []
    for _ in range(3):
        engine.work(0)
        engine.grown.seal()
        made.append(make_snapshot(str(engine.directory)))
    damaged = engine.directory / snapshot_name(made[2].index)
    damaged.write_bytes(damaged.read_bytes()[:-1])
    keeper = engine.keeper()
    async with running(engine, keeper):
        engine.work(100)
        await until(lambda: keeper.taken == 1)
    newest = engine.commands[0].index
    assert engine.snapshots() == [newest, made[1].index]
    assert engine.segments()[0] == made[1].index


async def test_what_a_killed_child_left_goes_before_the_next_one_begins(engine: Engine) -> None:
    left = engine.directory / f"{snapshot_name(2)}.77{UNFINISHED_SUFFIX}"
    left.write_bytes(b"half")
    keeper = engine.keeper()
    async with running(engine, keeper):
        engine.work(100)
        await until(lambda: keeper.taken == 1)
    assert not left.exists()


async def test_segments_left_by_a_crash_before_pruning_go_with_the_next_snapshot(engine: Engine) -> None:
    """As after a crash between the rename of a snapshot and the pruning behind it."""
    engine.grown.seal()
    first = make_snapshot(str(engine.directory))
    engine.work(0)
    engine.grown.seal()
    make_snapshot(str(engine.directory))
    assert engine.segments()[0] == 1 and first.base is None
    keeper = engine.keeper()
    async with running(engine, keeper):
        engine.work(100)
        await until(lambda: keeper.taken == 1)
    assert len(engine.snapshots()) == 2
    assert engine.segments()[0] == engine.snapshots()[1]


def test_a_child_yields_to_all_others_and_is_the_first_to_go_where_memory_runs_out() -> None:
    program = "import os; from engine.snapshot_maker import be_humble; be_humble(); "
    program += "print(os.nice(0), open('/proc/self/oom_score_adj').read())"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["19", "1000"]
