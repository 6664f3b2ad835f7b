"""Reads old executions back from the journal's files: worker threads for the disk, the loop for the rest.

What is to be read, and what it means, is :mod:`orderd.orders.archive`'s business. Questions wait in line; few are
answered at a time, each in many small turns, so that orders hardly notice. Reading never touches what commits use: the
files are opened anew, and what is read was written before.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from orderd.journal.disk import Disk
from orderd.journal.segment import segment_name
from orderd.orders.archive import ArchiveRead, ArchiveReader
from orderd.orders.archive_cursor import ArchiveError, Block
from orderd.runtime.host import RunSync, run_in_thread
from orderd.runtime.log import get_logger

READERS: Final = 2
BUSY: Final = "too many reads are under way"

log = get_logger("archive")


class Archive:
    """``answered`` is called when somebody who asked may go on."""

    def __init__(
        self,
        directory: str,
        reader: ArchiveReader,
        questions_max: int,
        answered: Callable[[], None],
        *,
        disk: Disk,
        run_blocking: RunSync = run_in_thread,
    ) -> None:
        self.executions_read = 0
        """Executions that were read since the start of the process."""
        self._directory = directory
        self._disk = disk
        self._run_blocking = run_blocking
        self._reader = reader
        self._answered = answered
        self._questions_in, self._questions = trio.open_memory_channel[ArchiveRead](questions_max)
        self._limiter = trio.CapacityLimiter(READERS)
        self._told = ""

    def ask(self, question: ArchiveRead) -> None:
        """Answer it when its turn comes."""
        try:
            self._questions_in.send_nowait(question)
        except trio.WouldBlock:
            # Those whose client is gone take room, too.
            question.finish(None, BUSY)

    async def run(self) -> None:
        """Answer questions until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(READERS):
                nursery.start_soon(self._answer_forever)

    async def _answer_forever(self) -> None:
        async for question in self._questions:
            if not question.abandoned:
                await self._answer(question)
                self._answered()

    async def _answer(self, question: ArchiveRead) -> None:
        steps = self._reader.read(question.after, question.count, question.account, question.end)
        answer: bytes | None = None
        try:
            while not question.abandoned:
                block = steps.send(answer)
                answer = None
                if block is None:
                    await trio.lowlevel.checkpoint()
                else:
                    read = partial(read_block, self._disk, self._directory, block)
                    answer = await self._run_blocking(read, limiter=self._limiter)
        except StopIteration as end:
            self.executions_read += len(end.value.found)
            question.finish(end.value)
        except (ArchiveError, OSError) as error:
            why = str(error)
            if why != self._told:
                # However often somebody asks for it.
                self._told = why
                log.error("the journal cannot be read back", reason=why)
            question.finish(None, why)


def read_block(disk: Disk, directory: str, block: Block) -> bytes | None:
    """Bytes of a segment's file, fewer only at its end; None if the file is not there. Raises OSError for the rest."""
    try:
        handle = disk.open(f"{directory}/{segment_name(block.segment)}")
    except FileNotFoundError:
        return None
    try:
        return disk.pread(handle, block.length, block.offset)
    finally:
        disk.close(handle)
