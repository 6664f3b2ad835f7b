"""How a journal is opened, or made if there is none."""

from orderd.journal.directory import JournalDirectory
from orderd.journal.disk import NO_SPACE, Disk
from orderd.journal.errors import JournalFailed, JournalFull
from orderd.journal.interface import Journal
from orderd.journal.journal import FileJournal
from orderd.journal.memory import MemoryJournal
from orderd.journal.segment import APPLICATION_BYTES_MAX, Durability, SegmentHeader, round_segment_bytes
from orderd.runtime.journal_settings import JournalSettings

_DURABILITIES = {"commit": Durability.COMMIT, "interval": Durability.INTERVAL, "none": Durability.NONE}


def open_journal(
    settings: JournalSettings, application: bytes, disk: Disk, *, entropy_u64: int, lock_wait_s: float = 0
) -> Journal:
    """Lock the journal in ``settings.directory`` and read its segment headers; the records are read by ``replay``.

    ``application``: up to eight bytes that name whose records these are. ``entropy_u64``: random, the id of the journal
    if a new one is made. ``lock_wait_s``: how long to wait for another process to let go of it.

    Raises :class:`JournalLocked`, :class:`JournalMismatch`, :class:`JournalVersionError`, :class:`JournalDamaged`,
    :class:`JournalFull` if a new one finds no space, :class:`JournalFailed` for other errors of the disk.
    """
    if not 0 < len(application) <= APPLICATION_BYTES_MAX or application.endswith(b"\0"):
        raise ValueError(f"an application is named by 1 to {APPLICATION_BYTES_MAX} bytes")
    if settings.backend == "memory":
        return MemoryJournal(entropy_u64)
    durability = _DURABILITIES[settings.durability]
    files = JournalDirectory(disk, settings.directory)
    try:
        files.open(application, lock_wait_s)
        if not files.headers:
            size = round_segment_bytes(settings.segment_bytes)
            files.create_first(SegmentHeader(application, entropy_u64, 1, size, 1, 0, durability))
    except BaseException as error:
        files.close()
        if not isinstance(error, OSError):
            raise
        failure = JournalFull if error.errno in NO_SPACE else JournalFailed
        why = error.strerror or error
        raise failure(f"journal.directory {settings.directory}: the journal cannot be opened: {why}") from error
    return FileJournal(files, durability, settings.segment_bytes)
