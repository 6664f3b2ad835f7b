"""Durable memory of both daemons: an append-only log of records in segments, with group commit.

A kind is a byte and a payload is bytes; what they mean is the application's business. ``docs/JOURNAL.md`` has the
layout on disk and the rules of recovery.
"""

from orderd.journal.disk import Disk, RealDisk
from orderd.journal.errors import (
    JournalDamaged,
    JournalError,
    JournalFailed,
    JournalFull,
    JournalLocked,
    JournalMismatch,
    JournalVersionError,
    RecordTooLarge,
    SnapshotError,
)
from orderd.journal.interface import Journal
from orderd.journal.opening import open_journal
from orderd.journal.record import Entry, Payload, record_bytes
from orderd.journal.segment import Position
from orderd.journal.writer import JournalWriter

__all__ = [
    "Disk",
    "Entry",
    "Journal",
    "JournalDamaged",
    "JournalError",
    "JournalFailed",
    "JournalFull",
    "JournalLocked",
    "JournalMismatch",
    "JournalVersionError",
    "JournalWriter",
    "Payload",
    "Position",
    "RealDisk",
    "RecordTooLarge",
    "SnapshotError",
    "open_journal",
    "record_bytes",
]
