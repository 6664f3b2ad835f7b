"""Reading executions back from a journal that is a list of commits: each commit is a segment of its own."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from orderd.journal.record import LAST, encode_records
from orderd.journal.segment import SEGMENT_HEADER_BYTES, Durability, SegmentHeader, encode_segment_header
from orderd.orders.archive import ArchiveRead, ArchiveReader
from orderd.orders.archive_cursor import ArchiveError, Block, Steps
from orderd.orders.entries import Entry
from orderd.orders.journal_index import Location

T = TypeVar("T")


def drive(steps: Steps[T], read: Callable[[Block], bytes | None]) -> T:
    """What ``steps`` come to when each block is ``read`` at once."""
    answer: bytes | None = None
    while True:
        try:
            block = steps.send(answer)
        except StopIteration as end:
            found: T = end.value
            return found
        answer = read(block) if block is not None else None


class MemoryArchive:
    """Locations in such a journal, and questions about it, which are answered when the test says so."""

    def __init__(self, journal: Sequence[Sequence[Entry]], journal_id: int) -> None:
        self.location: Location | None = None
        self.reader: ArchiveReader
        self.executions_read = 0
        self.gone_below = 0
        """Segments below it are not there any more."""
        self._journal = journal
        self._journal_id = journal_id
        self._asked: list[ArchiveRead] = []

    def replay(self) -> Iterator[Entry]:
        """All entries, with the location of each."""
        for segment, commit in enumerate(list(self._journal), 1):
            for entry in commit:
                self.location = segment, SEGMENT_HEADER_BYTES
                yield entry

    def note_commit(self) -> None:
        """The journal's last commit is new."""
        self.location = len(self._journal), SEGMENT_HEADER_BYTES

    def ask(self, question: ArchiveRead) -> None:
        self._asked.append(question)

    def answer(self) -> bool:
        """Answer all that was asked; whether there was anything."""
        asked, self._asked = self._asked, []
        for question in asked:
            steps = self.reader.read(question.after, question.count, question.account, question.end)
            try:
                page = drive(steps, self._read)
                self.executions_read += len(page.found)
                question.finish(page)
            except ArchiveError as error:
                question.finish(None, str(error))
        return bool(asked)

    def _read(self, block: Block) -> bytes | None:
        if block.segment < self.gone_below:
            return None
        end = len(self._segment(block.segment - 1, 0)) if block.segment > 1 else 0
        data = self._segment(block.segment, end)
        return data[block.offset : block.offset + block.length]

    def _segment(self, index: int, previous_end: int) -> bytes:
        header = SegmentHeader(b"orderd", self._journal_id, index, 2**20, index, previous_end, Durability.COMMIT)
        records = encode_records(self._journal[index - 1], index, SEGMENT_HEADER_BYTES, header.seed, LAST)
        return encode_segment_header(header) + b"".join(records)
