"""The seam between the journal and the operating system.

The journal does everything to files through a :class:`Disk`, so that tests can put a disk below it that loses what was
not synced. A disk decides nothing: an OSError passes through unchanged, a short write is reported and not repaired.

After a failed sync the kernel counts the pages as clean, and a later sync that succeeds proves nothing (Rebello et al.,
"Can Applications Recover from fsync Failures?", USENIX ATC 2020). Nobody above this seam may repeat one.
"""

import contextlib
import errno
import fcntl
import os
import time
from typing import Final, Protocol

_LOCK_RETRY_S: Final = 0.01
_COPY_BYTES: Final = 1 << 20
_READ_BYTES: Final = 1 << 30
"""Less than what one call may be asked for (read(2))."""


class Disk(Protocol):
    """File operations with the meaning POSIX gives them. Handles are small integers; all of them raise OSError."""

    def make_directory(self, path: str) -> None:
        """Make ``path`` and its parents, mode 0700, durably; no error if it is there."""

    def lock(self, path: str, wait_s: float) -> int:
        """Lock the file ``path``, made if need be, for this handle alone; BlockingIOError if that takes too long."""

    def list(self, directory: str) -> list[str]:
        """Names of the files in ``directory``."""

    def create(self, path: str, size: int) -> int:
        """A new file of ``size`` zero bytes whose blocks are allocated; FileExistsError if there is one."""

    def open(self, path: str) -> int:
        """An existing file, to read and to write."""

    def close(self, handle: int) -> None:
        """Give the handle, and a lock held by it, back."""

    def size(self, handle: int) -> int:
        """Length in bytes."""

    def preallocate(self, handle: int, size: int) -> None:
        """Make the file at least ``size`` bytes long, new bytes zero, all blocks allocated."""

    def pread(self, handle: int, length: int, offset: int) -> bytes:
        """``length`` bytes from ``offset`` on, fewer only at the end of the file."""

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        """Write at ``offset``; how many bytes were taken, which may be fewer than given."""

    def fdatasync(self, handle: int) -> None:
        """Make content and length durable."""

    def truncate(self, handle: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def rename(self, old: str, new: str) -> None:
        """Give a file another name in the same directory; durable with the next :meth:`fsync_directory`."""

    def unlink(self, path: str) -> None:
        """Remove a file."""

    def copy(self, source: str, target: str, length: int) -> None:
        """Make ``target``, a durable copy of the first ``length`` bytes of ``source``."""

    def fsync_directory(self, path: str) -> None:
        """Make names in the directory durable."""


class RealDisk:
    """The operating system's files.

    Who holds the lock of a directory keeps the directory open, so that its names can be made durable even when the
    process has no descriptor left: a commit that begins a segment must not fail for that.
    """

    def __init__(self) -> None:
        self._locked: dict[int, tuple[str, int]] = {}
        """By the handle of a lock: its directory, and a handle of that."""

    def make_directory(self, path: str) -> None:
        path = os.path.abspath(path)
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self.make_directory(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        self.fsync_directory(parent)

    def lock(self, path: str, wait_s: float) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_s
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= deadline:
                        raise
                time.sleep(_LOCK_RETRY_S)
            directory = os.path.dirname(path)
            self._locked[handle] = directory, _open_directory(directory)
            return handle
        except BaseException:
            os.close(handle)
            raise

    def list(self, directory: str) -> list[str]:
        return os.listdir(directory)

    def create(self, path: str, size: int) -> int:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.preallocate(handle, size)
        except BaseException:
            os.close(handle)
            os.unlink(path)
            raise
        return handle

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def close(self, handle: int) -> None:
        if handle in self._locked:
            os.close(self._locked.pop(handle)[1])
        os.close(handle)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def preallocate(self, handle: int, size: int) -> None:
        os.posix_fallocate(handle, 0, size)

    def pread(self, handle: int, length: int, offset: int) -> bytes:
        pieces = []
        while length > 0:
            piece = os.pread(handle, min(length, _READ_BYTES), offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pwrite(self, handle: int, data: bytes | memoryview, offset: int) -> int:
        return os.pwrite(handle, data, offset)

    def fdatasync(self, handle: int) -> None:
        os.fdatasync(handle)

    def truncate(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def copy(self, source: str, target: str, length: int) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(source, "rb") as reader, open(os.open(target, flags, 0o600), "wb") as writer:
            try:
                while length > 0 and (piece := reader.read(min(length, _COPY_BYTES))):
                    writer.write(piece)
                    length -= len(piece)
                writer.flush()
                os.fsync(writer.fileno())
            except BaseException:
                os.unlink(target)
                raise

    def fsync_directory(self, path: str) -> None:
        for directory, handle in self._locked.values():
            if directory == path:
                os.fsync(handle)
                return
        handle = _open_directory(path)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _open_directory(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def write_whole(disk: Disk, handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of it; a short write is followed by the rest, an OSError ends it."""
    left = data
    while left:
        written = disk.pwrite(handle, left, offset)
        if written <= 0:
            raise OSError(f"a write at {offset} took nothing")
        offset += written
        left = memoryview(left)[written:]


class ReadOnlyDisk(RealDisk):
    """For those who do not own the journal: files are opened to be read, and nothing else is asked of it."""

    def open(self, path: str) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


READ_ONLY: Final = ReadOnlyDisk()

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE})
"""Errors of making a file that say "not now" and nothing about the health of the disk."""
