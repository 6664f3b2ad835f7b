"""A start from the newest snapshot that can be used, and what the journal holds behind it. Blocking.

Two snapshots are kept, and the journal from the older one on. So one that cannot be used, for whatever reason, costs
time: the older one is taken and more is rerun. It stays where it is; the next snapshot is made from what could be used,
and then it goes.

Where no snapshot can be used the journal is rerun from its first record. If that is gone, the journal says so
(:class:`~orderd.journal.errors.JournalDamaged`): nothing is ever begun in the middle.
"""

from collections.abc import Callable
from typing import Final

import attrs

from engine.core import EngineCore
from engine.snapshot import VERSION, StateError, restore_state
from orderd.journal.disk import Disk
from orderd.journal.errors import JournalVersionError, SnapshotError
from orderd.journal.interface import Journal
from orderd.journal.segment import Position
from orderd.journal.snapshots import read_snapshot, snapshot_indexes, snapshot_name
from orderd.runtime.log import get_logger

APPLICATION: Final = b"engine"

log = get_logger("engine")

MakeCore = Callable[[], EngineCore]


@attrs.frozen
class Damaged:
    """A snapshot that cannot be used."""

    path: str
    why: str


@attrs.frozen
class Restored:
    """A core as its snapshot left it, with nothing rerun yet."""

    core: EngineCore
    position: Position | None
    """Where the rerun has to begin; None is the first record of all."""
    damaged: tuple[Damaged, ...] = ()
    """Newer snapshots that could not be used."""


def restore_newest(
    disk: Disk,
    directory: str,
    journal_id: int,
    make_core: MakeCore,
    *,
    before: int | None = None,
    to_commit: int | None = None,
) -> Restored:
    """From the newest snapshot that can be used; a new core if there is none.

    Only from those before the boundary ``before``, which a new one there can be made from, and not behind the commit
    ``to_commit``. Raises :class:`~orderd.journal.errors.JournalVersionError` for a snapshot of a newer release.
    """
    damaged: list[Damaged] = []
    for index in snapshot_indexes(disk.list(directory)):
        if before is not None and index >= before:
            continue
        path = f"{directory}/{snapshot_name(index)}"
        try:
            snapshot = read_snapshot(disk, directory, index)
            position = snapshot.position
            if (position.application, position.journal_id) != (APPLICATION, journal_id):
                raise SnapshotError(path, "this snapshot is of another journal")
            if snapshot.body_version > VERSION:
                raise JournalVersionError(
                    f"{path}: state of version {snapshot.body_version}; this release reads up to {VERSION}"
                )
            if to_commit is not None and position.first_commit > to_commit:
                continue
            core = make_core()
            restore_state(core, snapshot.body_version, snapshot.body)
        except SnapshotError as error:
            damaged.append(Damaged(path, error.why))
        except (StateError, OSError) as error:
            damaged.append(Damaged(path, str(error)))
        else:
            return Restored(core, position, tuple(damaged))
    return Restored(make_core(), None, tuple(damaged))


@attrs.frozen
class Start:
    """What the daemon starts with."""

    core: EngineCore
    snapshot: Position | None
    """Of the snapshot that the start was made from."""
    orders_behind: int
    """Order records that had to be rerun."""


def start_engine(journal: Journal, disk: Disk, directory: str | None, make_core: MakeCore) -> Start:
    """Do again what the journal holds, from the newest snapshot on, and commit the boot.

    ``directory`` is None for a journal that is not on disk. Raises a :class:`~orderd.journal.errors.JournalError`,
    :class:`~engine.inputs.InputError`, :class:`~engine.core.InstrumentsChanged`.
    """
    if directory is None:
        restored = Restored(make_core(), None)
    else:
        restored = restore_newest(disk, directory, journal.journal_id, make_core)
    for damaged in restored.damaged:
        log.warning("snapshot cannot be used", path=damaged.path, why=damaged.why)
    core = restored.core
    orders = orders_executed(core)
    entries = 0
    for kind, payload in journal.replay(restored.position):
        core.replay(kind, payload)
        entries += 1
    behind = orders_executed(core) - orders
    journal.commit(core.start())
    snapshot = 0 if restored.position is None else restored.position.index
    log.info(
        "journal read", entries=entries, orders=behind, snapshot=snapshot, boot=core.boot,
        engine=f"{core.engine_id:016x}",
    )  # fmt: skip
    return Start(core, restored.position, behind)


def orders_executed(core: EngineCore) -> int:
    """Order records that led to the state of ``core``, from the first one on."""
    return sum(participant.receiver.next_sequence - 1 for participant in core._participants.values())
