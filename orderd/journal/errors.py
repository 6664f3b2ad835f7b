"""What the journal raises. Misuse by our own code is a RuntimeError and not listed here."""


class JournalError(Exception):
    """Any trouble with the journal."""


class JournalLocked(JournalError):
    """Another process has the journal open."""


class JournalMismatch(JournalError):
    """The journal in the directory was made by another application."""


class JournalVersionError(JournalError):
    """The journal was written by a newer release, in a format that this one does not know."""


class JournalDamaged(JournalError):
    """Bytes on disk changed in a way that no crash explains. Nothing was altered; a person must decide."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        super().__init__(f"{path}: damaged at offset {offset}: {why}")
        self.path = path
        self.offset = offset
        self.why = why


class SnapshotError(JournalError):
    """A snapshot file that cannot be used. Nothing was altered; there may be an older one."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


class JournalFull(JournalError):
    """There is no space for another segment. Nothing was written; it can be tried again later."""


class RecordTooLarge(JournalError):
    """A payload that does not fit in a segment. Nothing was written."""


class JournalFailed(JournalError):
    """A write or a sync failed, so what is on disk is not known. Final: the journal takes nothing more."""
