"""A walk through the executions, from memory or from the journal, in steps that hold nobody up. Pure.

Who walks asks for the next step until it has what it wants. A step that needs the journal comes back empty-handed, and
``wake`` is called when it is worth asking again.
"""

from collections.abc import Callable
from enum import Enum

from orderd.orders.archive import ArchiveRead
from orderd.orders.executions import Execution, ExecutionLog


class Progress(Enum):
    """What a step came to."""

    FOUND = "found"
    END = "end"
    """All that there is was looked through."""
    LOOKING = "looking"
    """Nothing yet; go on when others had their turn."""
    ASKED = "asked"
    """The journal is being read; ``wake`` is called when it was."""
    TRIMMED = "trimmed"
    """The position is gone."""
    FAILED = "failed"
    """The journal cannot be read."""


class Walk:
    """Behind :attr:`after`, through all executions or those of one account."""

    def __init__(
        self,
        log: ExecutionLog,
        read_archive: Callable[[ArchiveRead], None],
        after: int,
        account: int | None,
        wake: Callable[[], None],
    ) -> None:
        """``after`` 0 is the first one kept, whichever that is when it is looked at."""
        self.after = after
        """Up to this id all was looked through."""
        self.error = ""
        self._log = log
        self._read_archive = read_archive
        self._account = account
        self._wake = wake
        self._is_at_first = after == 0
        self._asked: ArchiveRead | None = None

    def step(self, count: int) -> tuple[Progress, list[Execution]]:
        """Up to ``count`` executions, if the progress is FOUND."""
        if self._asked is not None:
            if self._asked.page is None and not self._asked.error:
                return Progress.ASKED, []
            return self._take_answer(self._asked)
        log = self._log
        if self.after + 1 < log.first:
            if not self._is_at_first:
                return Progress.TRIMMED, []
            self.after = log.first - 1
        if self.after + 1 < log.first_in_memory:
            asked = self._asked = ArchiveRead(self.after, count, self._account, log.first_in_memory, self._answered)
            self._read_archive(asked)
            return Progress.ASKED, []
        if self._account is None:
            found = log.read(self.after, count)
            if not found:
                return Progress.END, []
            self.after = found[-1].exec_id
        else:
            found, self.after = log.look(self.after, count, self._account)
            if not found:
                return (Progress.END if self.after >= log.last else Progress.LOOKING), []
        self._is_at_first = False
        return Progress.FOUND, found

    def advance(self, after: int) -> None:
        """Somebody else has told what there is up to ``after``: what comes behind it must not be left out."""
        self.after = after
        self._is_at_first = False

    def skip_to(self, after: int) -> None:
        """Somebody else knows that there is nothing up to ``after``."""
        self.after = max(self.after, after)

    def drop(self) -> None:
        """Nobody wants to know any more."""
        if self._asked is not None:
            self._asked.abandoned = True

    def _answered(self, _: ArchiveRead) -> None:
        self._wake()

    def _take_answer(self, answer: ArchiveRead) -> tuple[Progress, list[Execution]]:
        self._asked = None
        page = answer.page
        if page is None:
            self.error = answer.error
            return Progress.FAILED, []
        if page.trimmed:
            if self.after + 1 >= self._log.first:
                self.error = f"execution {self.after + 1} is not where it has to be"
                return Progress.FAILED, []
            return (Progress.LOOKING if self._is_at_first else Progress.TRIMMED), []
        self.after = page.looked
        if not page.found:
            return Progress.LOOKING, []
        self._is_at_first = False
        return Progress.FOUND, page.found


class ExecutionFeed:
    """Where walks begin. ``read_archive`` answers what is in memory no more."""

    def __init__(self, log: ExecutionLog, read_archive: Callable[[ArchiveRead], None] | None) -> None:
        self.log = log
        self._read_archive = read_archive or _no_archive

    def walk(self, after: int, account: int | None, wake: Callable[[], None]) -> Walk:
        """A walk behind ``after``."""
        return Walk(self.log, self._read_archive, after, account, wake)


def _no_archive(_: ArchiveRead) -> None:
    raise AssertionError("without an archive all executions that can be read are in memory")
