"""Connections of processes that run as another user, as the daemon's kernel sees them.

A short-lived child changes its user, connects, and hands the socket over: whose connection it is was settled by
connect(2).
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.support.needs import missing
from tests.support.resp_client import RespClient

NOBODY: Final = 65534
TIMEOUT_S: Final = 30
_SCRIPT: Final = """
import os, socket, sys
path, there, uid, gid, *groups = sys.argv[1:]
os.setgroups([int(group) for group in groups])
os.setgid(int(gid))
os.setuid(int(uid))
mine = socket.socket(socket.AF_UNIX)
mine.connect(path)
socket.send_fds(socket.socket(fileno=int(there)), [b"x"], [mine.fileno()])
"""


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; those of pytest are for its own user alone."""
    path = Path(tempfile.mkdtemp(prefix="orderd-test-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def connected(path: Path, uid: int = NOBODY, gid: int = NOBODY, groups: Sequence[int] = ()) -> socket.socket:
    """A connection to ``path`` that belongs to another user; the test is skipped where that takes more rights."""
    if os.geteuid() != 0:
        missing("only root can connect as somebody else")
    here, there = socket.socketpair()
    with here, there:
        subprocess.run(
            # It changes its user itself: others may not be able to reach the interpreter.
            [sys.executable, "-I", "-c", _SCRIPT, os.fspath(path), *map(str, (there.fileno(), uid, gid, *groups))],
            pass_fds=(there.fileno(),),
            check=True,
            timeout=TIMEOUT_S,
        )
        _, (descriptor,), _, _ = socket.recv_fds(here, 1, 1)
    return socket.socket(fileno=descriptor)


def client_of(path: Path, uid: int = NOBODY, gid: int = NOBODY, groups: Sequence[int] = ()) -> RespClient:
    """A RESP3 client of another user."""
    return RespClient(path, connected=connected(path, uid, gid, groups))
