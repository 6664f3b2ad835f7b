"""The disk of a simulated machine as one of its processes has it.

The disk itself is :class:`tests.support.simulated_disk.SimulatedDisk`: what it loses with the power is its business. A
:class:`ProcessDisk` is one process's way to it. A process may die at any call; a write that it dies in may have been
done in part, as nobody takes back what is in the page cache. Its handles and locks go with it.
"""

from tests.simulation.kernel import Process
from tests.support.simulated_disk import SimulatedDisk


class ProcessDisk:
    """A :class:`orderd.journal.disk.Disk` for ``process``. Several processes may use one disk."""

    def __init__(self, disk: SimulatedDisk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._touch = process.touch
        self._handles: dict[int, None] = {}
        process.on_death.append(self._let_go)

    def make_directory(self, path: str) -> None:
        self._touch("make_directory")
        self._disk.make_directory(path)

    def lock(self, path: str, wait_s: float) -> int:
        self._touch("lock")
        return self._own(self._disk.lock(path, wait_s))

    def list(self, directory: str) -> list[str]:
        self._touch("list")
        return self._disk.list(directory)

    def create(self, path: str, size: int) -> int:
        self._touch("create")
        return self._own(self._disk.create(path, size))

    def open(self, path: str) -> int:
        self._touch("open")
        return self._own(self._disk.open(path))

    def close(self, handle: int) -> None:
        self._touch("close")
        del self._handles[handle]
        self._disk.close(handle)

    def size(self, handle: int) -> int:
        self._touch("size")
        return self._disk.size(handle)

    def preallocate(self, handle: int, size: int) -> None:
        self._touch("preallocate")
        self._disk.preallocate(handle, size)

    def pread(self, handle: int, length: int, offset: int) -> bytes:
        self._touch("pread")
        return self._disk.pread(handle, length, offset)

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        process = self._process
        if process.alive and process.calls + 1 == process.kill_at:
            done = process.rng.randrange(len(data) + 1)
            self._disk.handles[handle].write(bytes(data[:done]), offset)
        self._touch("pwrite")
        return self._disk.pwrite(handle, data, offset)

    def fdatasync(self, handle: int) -> None:
        self._touch("fdatasync")
        self._disk.fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        self._touch("truncate")
        self._disk.truncate(handle, size)

    def rename(self, old: str, new: str) -> None:
        self._touch("rename")
        self._disk.rename(old, new)

    def unlink(self, path: str) -> None:
        self._touch("unlink")
        self._disk.unlink(path)

    def copy(self, source: str, target: str, length: int) -> None:
        self._touch("copy")
        self._disk.copy(source, target, length)

    def fsync_directory(self, path: str) -> None:
        self._touch("fsync_directory")
        self._disk.fsync_directory(path)

    def _own(self, handle: int) -> int:
        self._handles[handle] = None
        return handle

    def _let_go(self) -> None:
        for handle in self._handles:
            self._disk.handles.pop(handle, None)
            self._disk.locks.pop(handle, None)
        self._handles.clear()
