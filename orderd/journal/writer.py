"""The journal in a trio program: commits one after the other, in a worker thread or, when that is quicker, in the loop.

- One lock keeps commits in the order in which they were asked for, and makes sure that one thread at a time touches the
  journal.
- A commit that was begun is finished, even if its caller is cancelled; one that is cancelled before that was not taken.
- The hop to a thread and back costs about as much as a sync of a good disk. So a small commit runs in the loop as long
  as recent ones were quick; a slow disk moves all of them to the thread, where they hold nobody else up.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import trio

from orderd.journal.errors import JournalFull
from orderd.journal.interface import Journal
from orderd.journal.record import Payload, record_bytes
from orderd.journal.segment import Position
from orderd.runtime.host import RunSync, run_in_thread, stopwatch
from orderd.runtime.journal_settings import JournalSettings

INLINE_BYTES_MAX: Final = 16 * 1024
INLINE_COMMIT_S_MAX: Final = 0.0005
SPARE_RETRY_S: Final = 1.0
CLOSE_TIMEOUT_S: Final = 30.0

_EWMA_WEIGHT: Final = 1 / 8
_EWMA_START_S: Final = 2 * INLINE_COMMIT_S_MAX


class JournalWriter:
    """Owns ``journal`` from when it was replayed.

    ``clock`` gives seconds and is used to time commits. ``run_blocking`` is what calls functions in a worker thread.
    """

    def __init__(
        self,
        journal: Journal,
        settings: JournalSettings,
        *,
        clock: Callable[[], float] = stopwatch,
        run_blocking: RunSync = run_in_thread,
    ) -> None:
        self.full: str | None = None
        """Why no spare segment could be made, while that is so: ``room`` will not grow. None when all is well."""
        self.commits_inline = 0
        """How many commits ran in the loop."""
        self._journal = journal
        self._clock = clock
        self._needs_sync = settings.backend == "file" and settings.durability == "commit"
        self._sync_interval_s = math.inf
        if settings.backend == "file" and settings.durability == "interval":
            self._sync_interval_s = settings.interval_ms / 1000
        self._lock = trio.Lock()
        self._limiter = trio.CapacityLimiter(1)
        self._run_blocking = run_blocking
        self._spare_wanted = trio.Event()
        self._commit_s = _EWMA_START_S
        self._room = journal.room
        self._pending_bytes = 0

    @property
    def journal_id(self) -> int:
        """64 random bits, made with the journal."""
        return self._journal.journal_id

    @property
    def room(self) -> int:
        """Payload bytes that can surely be committed behind all that ``commit`` was called with; see `Journal.room`."""
        # Not asked of the journal, which a thread may be changing.
        return max(self._room - self._pending_bytes, 0)

    @property
    def failure(self) -> str | None:
        """Why the journal takes nothing more; None while it does."""
        return self._journal.failure

    @property
    def commits(self) -> int:
        """Commits since the journal was opened."""
        return self._journal.commits

    @property
    def segments(self) -> int:
        """Segment files that there are."""
        return self._journal.segments

    @property
    def bytes(self) -> int:
        """Bytes of records written since the journal was opened."""
        return self._journal.bytes

    def commit_at_once(self, entries: Sequence[tuple[int, Payload]]) -> bool:
        """As :meth:`commit`, without a task switch, if it may run in the loop and nobody is before it; else False.

        Then nothing was done. Raises what :meth:`Journal.commit` does.
        """
        size = sum(record_bytes(len(payload)) for _, payload in entries)
        if self._lock.locked() or not self._runs_inline(size):
            return False
        self._commit_inline(entries, size)
        return True

    async def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        """As :meth:`Journal.commit`. Calls take effect in the order in which they were made."""
        size = sum(record_bytes(len(payload)) for _, payload in entries)
        self._pending_bytes += size
        try:
            async with self._lock:
                if self._runs_inline(size):
                    self._commit_inline(entries, size)
                    return
                try:
                    await self._run_blocking(partial(self._commit_timed, entries, size), limiter=self._limiter)
                finally:
                    self._note_room()
        finally:
            self._pending_bytes -= size

    def _commit_inline(self, entries: Sequence[tuple[int, Payload]], size: int) -> None:
        self.commits_inline += 1
        try:
            self._commit_timed(entries, size)
        finally:
            self._note_room()

    def _note_room(self) -> None:
        self._room = self._journal.room
        if self._journal.needs_spare:
            self._spare_wanted.set()

    def _runs_inline(self, size: int) -> bool:
        if size > self._journal.fits_segment:
            return False
        return not self._needs_sync or (size <= INLINE_BYTES_MAX and self._commit_s < INLINE_COMMIT_S_MAX)

    def _commit_timed(self, entries: Sequence[tuple[int, Payload]], size: int) -> None:
        started = self._clock()
        self._journal.commit(entries)
        if size <= INLINE_BYTES_MAX:
            self._commit_s += (self._clock() - started - self._commit_s) * _EWMA_WEIGHT

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a spare segment ready, and sync at the interval that the settings ask for, until cancelled.

        Raises :class:`JournalFailed`; a disk that is full is shown by :attr:`full` and tried again.
        """
        sync_at = trio.current_time() + self._sync_interval_s
        # Before anybody asks for room: a segment that was left nearly full would look like a full disk.
        spare_in_s = await self._prepare_spare()
        task_status.started()
        while True:
            spare_at = trio.current_time() + spare_in_s
            if trio.current_time() >= sync_at:
                await self._run_exclusive(self._journal.sync)
                sync_at = trio.current_time() + self._sync_interval_s
            with trio.move_on_at(min(spare_at, sync_at)):
                if self.full is None:
                    await self._spare_wanted.wait()
                else:
                    await trio.sleep_forever()
            self._spare_wanted = trio.Event()
            spare_in_s = await self._prepare_spare()

    async def _prepare_spare(self) -> float:
        """After how many seconds it has to be tried again."""
        try:
            if self._journal.needs_spare:
                await self._run_exclusive(self._journal.prepare_spare)
        except JournalFull as error:
            self.full = str(error)
            return SPARE_RETRY_S
        self.full = None
        return math.inf

    async def seal(self) -> Position | None:
        """As :meth:`Journal.seal`, behind the commits that were asked for before."""
        sealed: list[Position | None] = []
        await self._run_exclusive(lambda: sealed.append(self._journal.seal()))
        # It has taken the spare, if there was one.
        self._spare_wanted.set()
        return sealed[0]

    async def prune(self, before_index: int) -> int:
        """As :meth:`Journal.prune`; commits go on meanwhile."""
        pruned: list[int] = []
        await self._run_blocking(lambda: pruned.append(self._journal.prune(before_index)))
        return pruned[0]

    async def prove_alive(self) -> None:
        """Have the disk answer, through the lock and the thread that commits use, although nothing may be new.

        Raises :class:`JournalFailed`.
        """
        await self._run_exclusive(self._journal.probe)

    async def _run_exclusive(self, function: Callable[[], None]) -> None:
        async with self._lock:
            try:
                # A limiter of its own: other users of worker threads must not hold a commit up.
                await self._run_blocking(function, limiter=self._limiter)
            finally:
                self._room = self._journal.room

    async def aclose(self) -> None:
        """Sync what is not, and close the journal, even when cancelled; raises :class:`JournalFailed`."""
        # The shield ends by itself: a thread that hangs in a sync holds the lock, and then the process must still end.
        with trio.fail_after(CLOSE_TIMEOUT_S, shield=True):
            await self._run_exclusive(self._journal.close)
