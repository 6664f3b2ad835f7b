"""Has snapshots made while the engine runs, and the journal pruned behind them. A task; decides when, and no more.

After every so many order records the segment in use is sealed, and a child process makes the snapshot that stands
before the next one (:mod:`engine.snapshot_maker`). Two snapshots are kept: the new one, and the one it was made from,
which the child has just read whole. All others go, and then the segments before the older one. So whatever becomes of
the newest snapshot, the other one and the journal behind it give the same state.

Nothing of this harms the engine. A child that fails is told in one line, and the next one is due after as many orders
again. It is killed when the engine ends, and ends by itself when the engine is killed; what it leaves is an unfinished
file that goes before the next one is made. What is deleted goes one by one, oldest first, after the new snapshot is
durable: a crash in between leaves more than is needed, which the next snapshot's turn removes.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from engine.snapshot_child import ChildFailed, make_in_child
from engine.snapshot_maker import Made
from orderd.journal.disk import Disk
from orderd.journal.errors import JournalFull
from orderd.journal.segment import Position
from orderd.journal.snapshots import remove_all_but, remove_unfinished
from orderd.journal.writer import JournalWriter
from orderd.runtime.host import RunSync, run_in_thread
from orderd.runtime.log import get_logger

LOOK_EVERY_S: Final = 0.25

log = get_logger("snapshot")


class SnapshotKeeper:
    """Owns the snapshot files in the journal's directory while the engine runs."""

    def __init__(
        self,
        *,
        every: int,
        behind: int,
        orders: Callable[[], int],
        writer: JournalWriter,
        disk: Disk,
        directory: str,
        make: Callable[[str, Position], Awaitable[Made]] = make_in_child,
        run_blocking: RunSync = run_in_thread,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        """``every``: order records from one snapshot to the next, from 1. ``behind``: how many lay behind the snapshot
        that the engine was started with. ``orders``: how many were executed since that start. ``make``: writes the
        snapshot at that place in the journal in that directory, or raises :class:`ChildFailed` or OSError."""
        self.taken = 0
        """Snapshots since the start."""
        self._every = every
        self._orders = orders
        self._due_at = every - behind
        self._writer = writer
        self._disk = disk
        self._directory = directory
        self._make = make
        self._run_blocking = run_blocking
        self._look_every_s = look_every_s

    async def run(self) -> None:
        """Until cancelled. Raises :class:`~orderd.journal.errors.JournalFailed` when the journal does."""
        while True:
            await trio.sleep(self._look_every_s)
            if self._orders() < self._due_at:
                continue
            self._due_at = self._orders() + self._every
            try:
                await self._turn()
            except JournalFull as error:
                log.warning("no snapshot: the disk is full", why=str(error), next_after_orders=self._every)
            except (ChildFailed, OSError) as error:
                log.warning("no snapshot", why=str(error), next_after_orders=self._every)

    async def _turn(self) -> None:
        position = await self._writer.seal()
        if position is None or position.index == 1:
            return
        started = trio.current_time()
        # What an earlier child has left, if it was killed.
        await self._run_blocking(remove_unfinished, self._disk, self._directory)
        made = await self._make(self._directory, position)
        for why in made.unusable:
            log.warning("an older snapshot cannot be used", why=why)
        log.info(
            "snapshot made", before_segment=made.index, bytes=made.size_bytes, orders_open=made.open,
            seconds=round(trio.current_time() - started, 3), segments_deleted=await self._clean_up(made),
        )  # fmt: skip
        self.taken += 1

    async def _clean_up(self, made: Made) -> int:
        """Delete what the new snapshot makes superfluous; how many segments that were."""
        kept = {made.index} if made.base is None else {made.index, made.base}
        try:
            await self._run_blocking(remove_all_but, self._disk, self._directory, kept)
            return await self._writer.prune(made.base) if made.base is not None else 0
        except OSError as error:
            log.warning("what is not needed any more cannot be deleted", why=str(error))
            return 0
