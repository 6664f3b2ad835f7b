"""The backend "memory": a journal that keeps nothing, for trials and for measuring what the disk costs."""

from collections.abc import Iterator, Sequence
from typing import Final

from orderd.journal.record import Entry, Payload, record_bytes
from orderd.journal.segment import Position

_ROOM: Final = 2**40


class MemoryJournal:
    """Takes everything, remembers nothing but counts. Its journal is a new one at each start."""

    def __init__(self, journal_id: int) -> None:
        self.journal_id = journal_id
        self.commits = 0
        self.bytes = 0
        self.failure: str | None = None
        self.location: tuple[int, int] | None = None

    @property
    def segments(self) -> int:
        return 0

    @property
    def room(self) -> int:
        return _ROOM

    @property
    def fits_segment(self) -> int:
        return _ROOM

    @property
    def needs_spare(self) -> bool:
        return False

    def replay(self, start: Position | None = None) -> Iterator[Entry]:
        return iter(())

    def seal(self) -> Position | None:
        return None

    def prune(self, before_index: int) -> int:
        return 0

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        if entries:
            self.commits += 1
            self.bytes += sum(record_bytes(len(payload)) for _, payload in entries)

    def sync(self) -> None:
        pass

    def probe(self) -> None:
        pass

    def prepare_spare(self) -> None:
        pass

    def close(self) -> None:
        pass
