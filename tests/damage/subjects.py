"""Journals to be damaged: real content of both daemons, 16 KiB each, in one segment and in four.

Where each record is, is found here by counting, from what docs/JOURNAL.md says of lengths, and not by the code that
reads journals.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import attrs

from engine.restoring import APPLICATION as ENGINE
from orderd.ctl.journal_view import APPLICATION as ORDERD
from orderd.journal import open_journal
from orderd.journal.record import Entry
from orderd.runtime.journal_settings import JournalSettings
from tests.support.engine_inputs import EngineInputs
from tests.support.simulated_disk import SimulatedDisk
from tests.support.site import SESSION, Site

DIRECTORY: Final = "journal"
JOURNAL_BYTES: Final = 16384
UNWRITTEN_BYTES: Final = 1024
"""Left at the end of the last segment at least, so that there is something to be flipped there, too."""

Commit = Sequence[Entry]


@attrs.frozen
class Place:
    """Where the record of one entry is: the segment, counted from 0, and its first and last offset."""

    segment: int
    begin: int
    end: int
    commit: int


@attrs.frozen(eq=False)
class Subject:
    """A journal that nothing happened to yet."""

    name: str
    application: bytes
    segment_bytes: int
    files: dict[str, bytes]
    """Segments by path, in order."""
    entries: tuple[Entry, ...]
    places: tuple[Place, ...]
    """Of each entry."""

    @property
    def paths(self) -> list[str]:
        return list(self.files)

    def end_of(self, segment: int) -> int:
        """Offset behind the last record of a segment."""
        return max((place.end for place in self.places if place.segment == segment), default=512)

    def settings(self) -> JournalSettings:
        """To open it with."""
        return JournalSettings(directory=DIRECTORY, segment_bytes=self.segment_bytes)


def orderd_commits() -> Iterator[Commit]:
    """What an orderd that trades with itself journals: orders and batches, named and numbered, and their reports."""
    site = Site()
    told = 0
    client = site.connect()
    number = 0
    while True:
        number += 1
        side = ("BUY", "SELL")[number % 2]
        client.send("ORDER.NEW", f"an-order-{number}", "AAPL", side, 1 + number % 7, "LIMIT", f"{100 + number % 3}.00")
        if number % 5 == 0:
            client.send("ORDER.NEW", str(number), "BTC", side, "0.002", "LIMIT", "40000.5", "MAXAGE", 9000)
        if number % 7 == 0:
            client.send("ORDER.CANCEL", f"an-order-{number - 1}", "ID", f"a-cancel-{number}")
        site.pump()
        client.replies()
        yield from site.journal[told:]
        told = len(site.journal)


def engine_commits() -> Iterator[Commit]:
    """Inputs of every kind, some of them in one commit."""
    inputs = EngineInputs(5)
    yield inputs.opening()
    while True:
        yield list(inputs.entries(inputs.rng.randrange(1, 5)))


def record_bytes(payload: bytes) -> int:
    """Header, payload, at least one byte of pad, up to a multiple of 8."""
    return -(-(24 + len(payload) + 1) // 8) * 8


def write(name: str, application: bytes, commits: Iterator[Commit], segment_bytes: int) -> Subject:
    """A journal that is as full as it can be without growing beyond :data:`JOURNAL_BYTES`."""
    disk = SimulatedDisk()
    settings = JournalSettings(directory=DIRECTORY, segment_bytes=segment_bytes)
    journal = open_journal(settings, application, disk, entropy_u64=SESSION)
    assert list(journal.replay()) == []
    entries: list[Entry] = []
    places: list[Place] = []
    segment, end = 0, 512
    for number, commit in enumerate(commits, 1):
        now: list[Place] = []
        for _, payload in commit:
            size = record_bytes(payload)
            if end + size > segment_bytes:
                segment, end = segment + 1, 512
            now.append(Place(segment, end, end + size, number))
            end += size
        if segment * segment_bytes + end > JOURNAL_BYTES - UNWRITTEN_BYTES:
            break
        journal.commit(commit)
        entries += [(kind, bytes(payload)) for kind, payload in commit]
        places += now
    journal.close()
    files = {path: data for path, data in sorted(disk.snapshot().items()) if path.endswith(".segment")}
    assert sum(map(len, files.values())) == JOURNAL_BYTES
    subject = Subject(name, application, segment_bytes, files, tuple(entries), tuple(places))
    for at, data in enumerate(files.values()):
        assert len(data.rstrip(b"\0")) == subject.end_of(at), "records are where they were counted to be"
    return subject


MAKERS: Final = {
    "orderd, one segment": (ORDERD, orderd_commits, JOURNAL_BYTES),
    "orderd, four segments": (ORDERD, orderd_commits, JOURNAL_BYTES // 4),
    "engine, one segment": (ENGINE, engine_commits, JOURNAL_BYTES),
    "engine, four segments": (ENGINE, engine_commits, JOURNAL_BYTES // 4),
}
NAMES: Final = tuple(MAKERS)


@cache
def subject_of(name: str) -> Subject:
    """The same each time."""
    application, commits, segment_bytes = MAKERS[name]
    return write(name, application, commits(), segment_bytes)
