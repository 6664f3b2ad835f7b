"""What a machine can run out of, done to one process or one directory: descriptors, file size, space."""

import contextlib
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.processes import Process

BALLAST: Final = "ballast"
MOUNT_TIMEOUT_S: Final = 10


def set_limit(process: Process, what: int, value: int) -> None:
    """Another soft limit for a running process, such as ``resource.RLIMIT_FSIZE``; the hard one stays."""
    pid = process.popen.pid
    _, hard = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def lift_limit(process: Process, what: int) -> None:
    """The soft limit as high as the hard one."""
    _, hard = resource.prlimit(process.popen.pid, what)
    resource.prlimit(process.popen.pid, what, (hard, hard))


def descriptors_of(process: Process) -> int:
    """Highest file descriptor that it has open."""
    return max(int(name) for name in os.listdir(f"/proc/{process.popen.pid}/fd"))


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[str]:
    """A file system of ``size`` bytes at ``path``, as long as it is open; or why there is none."""
    path.mkdir(parents=True)
    if os.geteuid() != 0:
        yield "only root may mount a small file system"
        return
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "chaos", str(path)]
    mounted = subprocess.run(words, capture_output=True, text=True, timeout=MOUNT_TIMEOUT_S, check=False)
    if mounted.returncode != 0:
        yield f"cannot mount a small file system: {mounted.stderr.strip()}"
        return
    try:
        yield ""
    finally:
        # Lazily: whoever still has a file of it open does not keep it.
        subprocess.run(["umount", "-l", str(path)], timeout=MOUNT_TIMEOUT_S, check=True)


@contextlib.contextmanager
def filled(path: Path) -> Iterator[None]:
    """The file system at ``path`` has no space left."""
    ballast = path / BALLAST
    try:
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 65_536):
                pass
        yield
    finally:
        ballast.unlink()
