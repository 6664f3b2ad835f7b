"""The listening socket of clients: one that was inherited, or one of our own at a path in the file system.

A name in the file system belongs to whoever made it. So the name of a socket of our own is taken away at the end, and
that of an inherited one is left alone: its owner goes on listening, and a client that connects meanwhile waits in its
backlog for the next start.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

BACKLOG: Final = 512


class CannotListen(Exception):
    """No socket can be made at that path. One line that names it."""


class SocketInUse(CannotListen):
    """Another process listens there, or the name is taken by something else."""


@contextlib.contextmanager
def listening_socket(path: str, mode: int, inherited: socket.socket | None) -> Iterator[socket.socket]:
    """The ``inherited`` socket if there is one, else one made by :func:`bind`; closed at the end.

    Raises :class:`CannotListen`.
    """
    if inherited is not None:
        with inherited:
            inherited.setblocking(False)
            yield inherited
        return
    listening = bind(path, mode)
    try:
        yield listening
    finally:
        unbind(listening, path)


def bind(path: str, mode: int) -> socket.socket:
    """A listening socket at ``path``, which only a dead one may occupy. Raises :class:`CannotListen`.

    Directories above it are made as need be. ``mode`` is that of the socket, as chmod takes it.
    """
    try:
        return _bind(path, mode)
    except OSError as error:
        raise CannotListen(f"listen.socket: cannot listen on {path}: {error.strerror or error}") from None


def _bind(path: str, mode: int) -> socket.socket:
    Path(path).parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if os.path.lexists(path):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise SocketInUse(f"listen.socket: {path} is not a socket")
        _remove_dead(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        # Nobody connects before the mode is right: the socket does not listen yet.
        listening.bind(path)
        os.chmod(path, mode)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _remove_dead(path: str) -> None:
    """Take the name of a socket away that nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as probe:
        # Without blocking: a daemon whose backlog is full is there, too.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            pass
    raise SocketInUse(f"listen.socket: another process listens on {path}")


def unbind(listening: socket.socket, path: str) -> None:
    """Close the socket that :func:`bind` made, and take its name away."""
    # While it still listens, so that nobody else's can have the name.
    Path(path).unlink(missing_ok=True)
    listening.close()


def name_of(listening: socket.socket) -> str:
    """Where it listens: its path, or its name with ``@`` in front for one outside the file system (unix(7))."""
    name = listening.getsockname()
    return f"@{os.fsdecode(name[1:])}" if isinstance(name, bytes) else str(name)
