"""All segments of an engine's journal, also those that the engine deletes because a snapshot stands in for them.

Each gets a second name as soon as it has its first one, so that at the end the journal can be read from its first
record on.
"""

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

from engine.inputs import Input, decode
from engine.offline import read_records, read_state
from engine.snapshot import state_hash

LOOK_S: Final = 0.02


class Archive(threading.Thread):
    """Follows the journal in ``source``, on the same file system."""

    def __init__(self, source: Path, target: Path) -> None:
        super().__init__(name="archive", daemon=True)
        target.mkdir()
        self.directory = target
        self._source = source
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self.look()

    def finish(self) -> None:
        """End it; it has all that is there."""
        self._stopping.set()
        self.join()
        self.look()

    def look(self) -> None:
        """Take in what is new."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._source):
                if name.endswith(".segment") and not (self.directory / name).exists():
                    # It may be deleted this very moment, but then it was here the last time.
                    with contextlib.suppress(FileNotFoundError):
                        os.link(self._source / name, self.directory / name)

    def inputs(self) -> list[Input]:
        """The whole journal. Raises a JournalError if it is damaged, or a part of it is missing."""
        return [decode(record.kind, record.payload) for record in read_records(str(self.directory))]

    def states_agree(self) -> bool:
        """Whether the newest snapshot and what is behind it are the state that the first record leads to."""
        whole = read_state(str(self.directory), from_start=True)
        return state_hash(whole.core) == state_hash(read_state(str(self._source)).core)
