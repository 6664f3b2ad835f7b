"""A disk in memory that does to the journal what a real one does when the power goes.

- What was written and not synced is lost or kept by 512-byte sectors, at random.
- Changes of length, and names in a directory, are lost from some point on, in order; names without any order where a
  test asks for that, as POSIX promises none.
- A failed sync puts some of it on disk and forgets the rest: the page cache still shows it, and the next sync succeeds.
- A process that is killed loses its handles and locks, nothing else.

Each call is counted. ``crash_at`` raises :class:`SimulatedCrash` in place of that call, ``faults`` an OSError, and
``short_writes`` makes a write take that many bytes only. A :class:`Trouble` does such things by chance. All choices
come from one seed.
"""

import errno
import os
import random
import threading
from dataclasses import dataclass, field

import attrs

from orderd.journal.segment import index_of

SECTOR_BYTES = 512
FULL_CALLS_MAX = 6
"""For so many allocations it stays full, at most."""


class SimulatedCrash(BaseException):
    """The process stops here. Nothing may handle it, as with KeyboardInterrupt."""


@attrs.frozen
class Trouble:
    """Chances of one call each that the disk fails it."""

    sync: float = 0.0
    """EIO from a sync, of a file or a directory."""
    write: float = 0.0
    """EIO from a write, of which some was done."""
    read: float = 0.0
    """EIO when a file is opened or read."""
    full: float = 0.0
    """ENOSPC from whatever allocates, now and the next few times."""
    short: float = 0.0
    """A write takes a part; nothing is wrong with that."""
    any_order: bool = False
    """Names become durable in any order."""


@dataclass
class File:
    """What programs see, what is on the disk, and what is on its way: ``(sector, bytes)`` or ``(None, length)``."""

    cached: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int | None, int | bytes]] = field(default_factory=list)

    def resize(self, size: int) -> None:
        _resize(self.cached, size)
        self.pending.append((None, size))

    def write(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        if end > len(self.cached):
            self.resize(end)
        self.cached[offset:end] = data
        for sector in range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)):
            at = sector * SECTOR_BYTES
            self.pending.append((sector, bytes(self.cached[at : at + SECTOR_BYTES])))

    def flush(self, chance: float, rng: random.Random) -> None:
        """Put what is on its way on disk: each sector with this chance, lengths up to some point; forget the rest."""
        sized = True
        for sector, what in self.pending:
            if sector is None:
                assert isinstance(what, int)
                sized = sized and rng.random() < chance
                if sized:
                    _resize(self.durable, what)
            elif rng.random() < chance:
                assert isinstance(what, bytes)
                at = sector * SECTOR_BYTES
                if len(self.durable) < at + len(what):
                    _resize(self.durable, at + len(what))
                self.durable[at : at + len(what)] = what
        self.pending.clear()


def _resize(data: bytearray, size: int) -> None:
    if size < len(data):
        del data[size:]
    else:
        data.extend(bytes(size - len(data)))


class SimulatedDisk:
    """A Disk for the journal. Paths are only names: the part up to the last slash is the directory."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.calls = 0
        self.log: list[str] = []
        self.crash_at: int | None = None
        self.faults: dict[int, int] = {}
        self.fail_names: dict[str, int] = {}
        """Errno for every call of this name."""
        self.orders_names = True
        """Whether changes of names become durable in their order."""
        self.short_writes: dict[int, int] = {}
        self.trouble: Trouble | None = None
        self.troubled = False
        """Whether a trouble has failed a call since the lock was last taken."""
        self._full_calls = 0
        self.space: int | None = None
        """Bytes that files may take up together."""
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.name_changes: list[tuple[str, File | None]] = []
        self.handles: dict[int, File] = {}
        self.locks: dict[int, str] = {}
        self._next_handle = 3

    # What happens to it.

    def kill(self) -> None:
        """The process ends; the page cache lives on."""
        self.handles.clear()
        self.locks.clear()
        self.crash_at = None

    def lose_power(self) -> None:
        """Only what is on disk is left, and some of what was on its way."""
        self.kill()
        kept = self.rng.randint(0, len(self.name_changes))
        if not self.orders_names or (self.trouble is not None and self.trouble.any_order):
            self.rng.shuffle(self.name_changes)
        self._settle_names(kept)
        # Each file once, in the order of names, so that a seed is always the same loss.
        for file in {id(file): file for file in self.durable_names.values()}.values():
            file.flush(self.rng.choice((0.0, 0.1, 0.5, 0.9, 1.0)), self.rng)
            file.cached = bytearray(file.durable)
        self.names = dict(self.durable_names)

    def snapshot(self) -> dict[str, bytes]:
        """All files as programs see them."""
        return {name: bytes(file.cached) for name, file in self.names.items()}

    image = snapshot

    def restore(self, files: dict[str, bytes]) -> None:
        """Another disk takes its place, which has these files, durably. Whoever had some open has lost them."""
        self.kill()
        self.names = {name: File(bytearray(data), bytearray(data)) for name, data in files.items()}
        self.durable_names = dict(self.names)
        self.name_changes.clear()

    def flip(self, rng: random.Random, directory: str, last_commit_at: tuple[int, int]) -> str | None:
        """A bit of a segment or a snapshot changes at rest; where, or None if there is no such file.

        Not in the last commit, which begins in that segment at that offset: damage there may look as a torn write does
        (docs/JOURNAL.md). But before it, and behind it, where nothing was written.
        """
        paths = [path for path in self.names if path.startswith(f"{directory}/")]
        rng.shuffle(paths)
        for path in paths:
            if not path.endswith((".segment", ".snapshot")):
                continue
            file = self.names[path]
            written = len(file.cached.rstrip(b"\0"))
            position = (index_of(path.rpartition("/")[2]) or 0, 0)
            # Behind the last commit there may be one that nobody was told of.
            surely = written if position[0] < last_commit_at[0] else max(last_commit_at[1], 512)
            if position[0] > last_commit_at[0]:
                continue
            if written < len(file.cached) and rng.random() < 0.15:
                offset = rng.randrange(written, len(file.cached))
            else:
                offset = rng.randrange(min(surely, written))
            return f"{self._flip_at(rng, path, offset)}, {written} written"
        return None

    def flip_in_newest_snapshot(self, rng: random.Random, directory: str) -> str | None:
        """The same anywhere in the engine's newest snapshot, if there is one."""
        paths = [path for path in self.names if path.startswith(f"{directory}/") and path.endswith(".snapshot")]
        if not paths:
            return None
        return self._flip_at(rng, max(paths), rng.randrange(len(self.names[max(paths)].cached)))

    def _flip_at(self, rng: random.Random, path: str, offset: int) -> str:
        file, bit = self.names[path], rng.randrange(8)
        for data in (file.cached, file.durable):
            if offset < len(data):
                data[offset] ^= 1 << bit
        return f"{path}, offset {offset}, bit {bit}"

    @classmethod
    def holding(cls, files: dict[str, bytes]) -> "SimulatedDisk":
        """A disk that has these files, durably."""
        disk = cls()
        disk.restore(files)
        return disk

    def _settle_names(self, count: int) -> None:
        for path, file in self.name_changes[:count]:
            if file is None:
                self.durable_names.pop(path, None)
            else:
                self.durable_names[path] = file
        self.name_changes.clear()

    def _change_names(self, *changes: tuple[str, File | None]) -> None:
        for path, file in changes:
            if file is None:
                del self.names[path]
            else:
                self.names[path] = file
        self.name_changes += changes

    def _step(self, name: str) -> None:
        self.calls += 1
        self.log.append(name)
        if self.calls == self.crash_at:
            raise SimulatedCrash
        code = self.faults.get(self.calls) or self.fail_names.get(name)
        if code:
            raise OSError(code, os.strerror(code))
        if self.trouble is not None:
            self._fail_by_chance(name, self.trouble)

    def _fail_by_chance(self, name: str, trouble: Trouble) -> None:
        if name in {"create", "preallocate", "copy"}:
            if not self._full_calls and self.rng.random() < trouble.full:
                self._full_calls = self.rng.randint(1, FULL_CALLS_MAX)
            if self._full_calls:
                self._full_calls -= 1
                self._fail(errno.ENOSPC)
        elif name == "fdatasync":
            if self.rng.random() < trouble.sync:
                self._fail(errno.EIO)
        elif name == "fsync_directory":
            # There are few of these.
            if self.rng.random() < 5 * trouble.sync:
                self._fail(errno.EIO)
        elif name in {"open", "pread"} and self.rng.random() < trouble.read:
            self._fail(errno.EIO)

    def _fail(self, code: int) -> None:
        self.troubled = True
        raise OSError(code, os.strerror(code))

    def _handle(self, file: File) -> int:
        self._next_handle += 1
        self.handles[self._next_handle] = file
        return self._next_handle

    def _find(self, path: str) -> File:
        if path not in self.names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self.names[path]

    def _check_space(self, more: int) -> None:
        if self.space is not None and sum(len(f.cached) for f in self.names.values()) + more > self.space:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The seam.

    def make_directory(self, path: str) -> None:
        self._step("make_directory")

    def lock(self, path: str, wait_s: float) -> int:
        self._step("lock")
        if path in self.locks.values():
            raise BlockingIOError
        handle = self._handle(File())
        self.locks[handle] = path
        self.troubled = False
        return handle

    def list(self, directory: str) -> list[str]:
        self._step("list")
        return [name.rpartition("/")[2] for name in self.names if name.rpartition("/")[0] == directory]

    def create(self, path: str, size: int) -> int:
        self._step("create")
        if path in self.names:
            raise FileExistsError(path)
        self._check_space(size)
        file = File()
        file.resize(size)
        self._change_names((path, file))
        return self._handle(file)

    def open(self, path: str) -> int:
        self._step("open")
        return self._handle(self._find(path))

    def close(self, handle: int) -> None:
        self._step("close")
        del self.handles[handle]
        self.locks.pop(handle, None)

    def size(self, handle: int) -> int:
        self._step("size")
        return len(self.handles[handle].cached)

    def preallocate(self, handle: int, size: int) -> None:
        self._step("preallocate")
        file = self.handles[handle]
        if size > len(file.cached):
            self._check_space(size - len(file.cached))
            file.resize(size)

    def pread(self, handle: int, length: int, offset: int) -> bytes:
        self._step("pread")
        return bytes(self.handles[handle].cached[offset : offset + length])

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        self._step("pwrite")
        taken = min(len(data), self.short_writes.get(self.calls, len(data)))
        trouble = self.trouble
        failed = trouble is not None and self.rng.random() < trouble.write
        if trouble is not None and taken > 1 and (failed or self.rng.random() < trouble.short):
            taken = self.rng.randrange(1, taken)
        self.handles[handle].write(bytes(data[:taken]), offset)
        if failed:
            self._fail(errno.EIO)
        return taken

    def fdatasync(self, handle: int) -> None:
        file = self.handles[handle]
        try:
            self._step("fdatasync")
        except OSError:
            file.flush(self.rng.choice((0.0, 0.5, 0.9)), self.rng)
            raise
        file.flush(1.0, self.rng)

    def truncate(self, handle: int, size: int) -> None:
        self._step("truncate")
        self.handles[handle].resize(size)

    def rename(self, old: str, new: str) -> None:
        self._step("rename")
        # One entry of the file system's own log: both names change, or none.
        file = self._find(old)
        self._change_names((new, file), (old, None))

    def unlink(self, path: str) -> None:
        self._step("unlink")
        self._find(path)
        self._change_names((path, None))

    def copy(self, source: str, target: str, length: int) -> None:
        self._step("copy")
        self._check_space(length)
        data = bytes(self._find(source).cached[:length])
        self._change_names((target, File(bytearray(data), bytearray(data))))

    def fsync_directory(self, path: str) -> None:
        self._step("fsync_directory")
        self._settle_names(len(self.name_changes))


class BlockedDisk(SimulatedDisk):
    """Each sync waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.syncing = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.blocked = False
        self.threads: set[int] = set()

    def fdatasync(self, handle: int) -> None:
        self.threads.add(threading.get_ident())
        if self.blocked:
            self.syncing.release()
            assert self.go.acquire(timeout=30)
        super().fdatasync(handle)
