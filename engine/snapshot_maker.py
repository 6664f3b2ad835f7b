"""Makes a snapshot of an engine by rerunning its journal, in a process beside the engine. Blocking.

The engine itself never stops for a snapshot, and its memory is never copied. Whatever it decides follows from its
journal alone, so a process of its own that reads the newest snapshot and the sealed segments behind it comes to the
same state, and writes it down. What that costs is a second execution of each order on another core, and that process's
memory for a while. What it saves: writing a million orders takes seconds, in which an engine that did it itself would
answer nobody; a fork of it would copy most of its pages as it goes on (counters of references are in them), and a fork
of a process with threads may hang. It proves something, too: a snapshot is made of what is on disk, as a restart is.

A snapshot stands before a segment. All segments before that are sealed: whole, durable, and changed by nobody.
"""

import contextlib
import gc
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from engine.offline import NotThere, last_segment, read_position, read_state
from engine.restoring import orders_executed
from engine.snapshot import VERSION, encode_state
from orderd.journal.disk import Disk, RealDisk
from orderd.journal.errors import JournalDamaged
from orderd.journal.segment import segment_name
from orderd.journal.snapshots import write_snapshot
from orderd.runtime.host import stopwatch

REAL: Final = RealDisk()
NICENESS: Final = 19
OOM_SCORE: Final = 1000
"""Where memory runs out the kernel kills the highest first (proc(5), oom_score_adj): never the engine for this."""


@attrs.frozen
class Made:
    """What came of it; its JSON is what the engine reads from the process."""

    index: int
    """Of the segment that the snapshot stands before."""
    base: int | None
    """Index of the snapshot that it was made from, which was read whole; None if it was made from the first record."""
    size_bytes: int
    orders: int
    """Order records that led to it, from the first one on."""
    open: int
    """Orders that are live in it."""
    seconds: float
    unusable: tuple[str, ...] = ()
    """Snapshots that could not be used, and why."""

    def encode(self) -> str:
        """One line."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decode(cls, text: str | bytes) -> "Made":
        """Raises ValueError."""
        try:
            fields = json.loads(text)
            return cls(**{**fields, "unusable": tuple(fields["unusable"])})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not what a snapshot's maker says: {error}") from None


def make_snapshot(
    directory: str,
    before: int | None = None,
    *,
    disk: Disk = REAL,
    token: str = "",
    stopwatch: Callable[[], float] = stopwatch,
) -> Made:
    """Write the snapshot that stands before segment ``before``, the one in use if it is not said.

    ``token`` keeps unfinished files of several makers apart; it is the process id unless given.

    Raises a :class:`~orderd.journal.errors.JournalError`, :class:`~engine.inputs.InputError`, OSError.
    """
    started = stopwatch()
    position = last_segment(directory, disk) if before is None else read_position(directory, before, disk)
    if position.index == 1:
        raise NotThere(f"{directory}: no segment is sealed yet")
    reading = read_state(directory, before=position.index, disk=disk)
    follows = (reading.next_commit, reading.previous_end)
    if follows != (position.first_commit, position.previous_end):
        path = f"{directory}/{segment_name(position.index)}"
        raise JournalDamaged(path, 0, f"it does not follow on commit {follows[0] - 1}, which ends at {follows[1]}")
    core = reading.core
    unfinished = token or str(os.getpid())
    size = write_snapshot(disk, directory, position, VERSION, encode_state(core), token=unfinished)
    return Made(
        index=position.index,
        base=None if reading.start is None else reading.start.index,
        size_bytes=size,
        orders=orders_executed(core),
        open=sum(len(participant.orders.live) for participant in core._participants.values()),
        seconds=round(stopwatch() - started, 3),
        unusable=tuple(f"{damaged.path}: {damaged.why}" for damaged in reading.damaged),
    )


def be_humble() -> None:
    """For a process that makes one snapshot and ends: whatever else wants to run goes first."""
    # A unit may forbid even this; then it is as it is.
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))
    # Orders make no cycles, and the collector would walk all of them again and again.
    gc.disable()


def end_with_parent() -> None:
    """End this process when its standard input ends: whoever wanted the snapshot is gone."""

    def watch() -> None:
        # Not through sys.stdin, whose lock this thread would hold when the interpreter ends.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
