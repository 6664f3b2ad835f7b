"""Journals of an engine in real files, made of random inputs, sealed now and then."""

from pathlib import Path

from engine.core import EngineCore
from engine.inputs import Entry
from engine.restoring import APPLICATION
from orderd.journal import Journal, Position, RealDisk, open_journal
from orderd.runtime.instruments import InstrumentTable
from orderd.runtime.journal_settings import JournalSettings
from tests.support.engine_inputs import INSTRUMENTS, EngineInputs

ENGINE_ID = 0xE1


def settings_of(directory: Path) -> JournalSettings:
    """Segments of 64 KiB; synced by nobody, since no power is lost here."""
    return JournalSettings(directory=str(directory), durability="none", segment_bytes=65_536)


def open_it(directory: Path) -> Journal:
    """Made if need be. Not replayed."""
    return open_journal(settings_of(directory), APPLICATION, RealDisk(), entropy_u64=ENGINE_ID)


def new_core() -> EngineCore:
    """As the daemon makes it, and with the journal's id."""
    return EngineCore(engine_id=ENGINE_ID, secret=b"", instruments=InstrumentTable(INSTRUMENTS))


class Grown:
    """A journal that grows by random inputs, some of them in one commit, and can be sealed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.inputs = EngineInputs(seed)
        self.entries: list[Entry] = []
        self.boundaries: list[tuple[Position, int]] = []
        """And how many entries are before each."""
        self.journal = open_it(directory)
        assert list(self.journal.replay()) == []
        self._commit(self.inputs.opening())

    def grow(self, count: int) -> "Grown":
        """So many entries more."""
        while count > 0:
            some = list(self.inputs.entries(min(count, self.inputs.rng.randrange(1, 5))))
            self._commit(some)
            count -= len(some)
        return self

    def seal(self) -> "Grown":
        """Begin the next segment."""
        position = self.journal.seal()
        assert position is not None
        self.boundaries.append((position, len(self.entries)))
        return self

    def close(self) -> "Grown":
        """Give the lock back."""
        self.journal.close()
        return self

    def _commit(self, entries: list[Entry]) -> None:
        self.journal.commit(entries)
        self.entries += entries

    def core(self, upto: int | None = None) -> EngineCore:
        """The state that the first entries lead to."""
        core = new_core()
        for kind, payload in self.entries[:upto]:
            core.replay(kind, payload)
        core.matcher.touched.clear()
        return core
