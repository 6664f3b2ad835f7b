"""The listening socket that a service manager passes, by the protocol of sd_listen_fds(3).

Descriptors 3, 4, ... are passed, ``LISTEN_FDS`` says how many and ``LISTEN_PID`` to which process. The variables are
removed once they are read, and the descriptors closed on exec, so that no child takes them for its own.
"""

import fcntl
import os
import socket
import stat
from collections.abc import MutableMapping
from typing import Final

from orderd.runtime.notify import number_of

FIRST_DESCRIPTOR: Final = 3
"""SD_LISTEN_FDS_START."""
DESCRIPTORS_MAX: Final = 1024
VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


class ActivationError(Exception):
    """What was passed is not one listening Unix stream socket. One line that says what it is."""


def take_socket(
    environ: MutableMapping[str, str] = os.environ, *, first_descriptor: int = FIRST_DESCRIPTOR
) -> socket.socket | None:
    """The listening socket that this process was started with, or None if there is none.

    To be called once, before there are other threads or children. Raises :class:`ActivationError`; what was passed is
    closed then.
    """
    values = {name: environ.pop(name, "") for name in VARIABLES}
    # Those of a parent that did not clean up are meant for the parent.
    if values["LISTEN_PID"] != str(os.getpid()):
        return None
    count = number_of(values["LISTEN_FDS"])
    if count is None or count > DESCRIPTORS_MAX:
        raise ActivationError(f"LISTEN_FDS is not a number from 0 to {DESCRIPTORS_MAX}")
    descriptors = range(first_descriptor, first_descriptor + count)
    if count == 0:
        return None
    try:
        for descriptor in descriptors:
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        if count > 1:
            raise ActivationError(f"{count} sockets were passed, where one Unix stream socket is wanted")
        _check(first_descriptor)
        return socket.socket(fileno=first_descriptor)
    except OSError as error:
        raise ActivationError(f"the descriptors that LISTEN_FDS={count} tells of: {error.strerror}") from None
    except ActivationError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise


def _check(descriptor: int) -> None:
    """Raises :class:`ActivationError` if it is another kind of thing, OSError if it is nothing at all."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        raise ActivationError(f"descriptor {descriptor} was passed to listen on and is not a socket")
    # A socket object of its own, which does not close the descriptor.
    passed = socket.socket(fileno=os.dup(descriptor))
    with passed:
        if passed.family != socket.AF_UNIX:
            raise ActivationError(f"the socket that was passed is {_name(passed.family)}, where AF_UNIX is wanted")
        if passed.type != socket.SOCK_STREAM:
            raise ActivationError(f"the socket that was passed is {_name(passed.type)}, where SOCK_STREAM is wanted")
        if not passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ActivationError("the socket that was passed does not listen")


def _name(number: int) -> str:
    return str(getattr(number, "name", number))
