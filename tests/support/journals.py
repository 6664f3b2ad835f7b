"""Small journals for tests, on the simulated disk."""

from collections.abc import Sequence

from orderd.journal import Disk, Journal, open_journal
from orderd.journal.record import Entry
from orderd.runtime.journal_settings import JournalSettings
from tests.support.simulated_disk import SimulatedDisk

DIRECTORY = "journal"
JOURNAL_ID = 0x0123_4567_89AB_CDEF
SEGMENT_BYTES = 4096
CAPACITY = SEGMENT_BYTES - 512


def small_settings(durability: str = "commit", *, directory: str = DIRECTORY, **other: int) -> JournalSettings:
    """Settings of a journal with the smallest segments there are."""
    other.setdefault("segment_bytes", SEGMENT_BYTES)
    return JournalSettings(directory=directory, durability=durability, **other)  # type: ignore[arg-type]


def reopen(disk: Disk, durability: str = "commit", *, directory: str = DIRECTORY) -> tuple[Journal, list[Entry]]:
    """Open the journal, made if need be, and read all of it."""
    settings = small_settings(durability, directory=directory)
    journal = open_journal(settings, b"test", disk, entropy_u64=JOURNAL_ID)
    try:
        return journal, list(journal.replay())
    except Exception:
        journal.close()
        raise


def files_of(commits: Sequence[Sequence[Entry]], durability: str = "commit") -> dict[str, bytes]:
    """The segment files of a journal with these commits."""
    disk = SimulatedDisk()
    journal, _ = reopen(disk, durability)
    for commit in commits:
        journal.commit(commit)
    journal.close()
    return {name: data for name, data in disk.snapshot().items() if name.endswith(".segment")}


def flatten(commits: Sequence[Sequence[Entry]]) -> list[Entry]:
    """The entries of all commits."""
    return [entry for commit in commits for entry in commit]
