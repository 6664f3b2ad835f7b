"""What a journal offers to its owner, whatever keeps it."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from orderd.journal.record import Entry, Payload
from orderd.journal.segment import Position


class Journal(Protocol):
    """What both backends offer. Blocking, and for one thread at a time."""

    journal_id: int
    """64 random bits, made with the journal."""
    commits: int
    """Commits since it was opened."""
    bytes: int
    """Bytes of records written since it was opened."""
    failure: str | None
    """Why the journal takes nothing more; None while it does."""
    location: tuple[int, int] | None
    """Segment index and offset of the entry that ``replay`` gave last, or at which the last commit begins.

    Its first record may also be the first one of the next segment. None if nothing is kept.
    """

    @property
    def segments(self) -> int:
        """Segment files that there are."""

    @property
    def room(self) -> int:
        """Payload bytes of one entry that can surely be committed now without allocating.

        Several entries surely fit as well if their ``record_bytes`` add up to no more than this.
        """

    @property
    def fits_segment(self) -> int:
        """Like ``room``, for the segment in use alone: up to here a commit costs one write and one sync."""

    @property
    def needs_spare(self) -> bool:
        """``prepare_spare`` would have something to do."""

    def replay(self, start: Position | None = None) -> Iterator[Entry]:
        """All entries in order, from ``start`` on. Must be exhausted before the first commit; can be called once.

        Raises :class:`JournalDamaged` also if the segment at ``start``, or without one the first of all, is missing.
        """

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        """Append all ``entries``, in this order; with durability "commit" they are durable on return.

        Raises :class:`RecordTooLarge` or :class:`JournalFull` before anything is written, :class:`JournalFailed` when
        it is not known what was.
        """

    def sync(self) -> None:
        """Make durable what was committed and is not yet; nothing to do with durability "commit"."""

    def probe(self) -> None:
        """Sync though nothing may be new: returns once the disk has answered. Raises :class:`JournalFailed`."""

    def prepare_spare(self) -> None:
        """Allocate the next segment if that has not been done. Raises :class:`JournalFull`; it can be tried again."""

    def seal(self) -> Position | None:
        """Begin the next segment if the one in use holds a record: the boundary that all commits so far are before.

        None if nothing is kept on disk. Raises :class:`JournalFull`, which can be tried again, and
        :class:`JournalFailed`.
        """

    def prune(self, before_index: int) -> int:
        """Delete the segments below an index, but not the last one; how many. May run in another thread than the rest.

        Raises OSError. The journal is good after that, with whatever segments are left.
        """

    def close(self) -> None:
        """Sync what is not, and give the lock back. A second call does nothing."""
