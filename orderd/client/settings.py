"""Where a client finds its daemon, and how patient it is."""

import os
import secrets
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final

import attrs

from orderd.client.forks import tell_of_forks
from orderd.runtime.places import runtime_directory

SYSTEM_SOCKET: Final = Path("/run/orderd/orderd.sock")
FIRST_CONNECT_S: Final = 5.0
"""How long a client that was never connected tries to be, if ``retry_s`` is not less. A daemon that was there and is
gone will be started again; where none ever was it is mostly the path that is wrong."""


def default_socket(environ: Mapping[str, str] = os.environ) -> Path:
    """``$ORDERD_SOCKET``; else where a daemon without settings listens; the system's daemon if only that is there."""
    if named := environ.get("ORDERD_SOCKET"):
        return Path(named)
    own = runtime_directory(environ, "orderd") / "orderd.sock"
    return SYSTEM_SOCKET if SYSTEM_SOCKET.exists() and not own.exists() else own


@attrs.frozen
class Settings:
    """What both clients are made with."""

    socket: Path
    name: str = ""
    """Shown by CLIENT LIST."""
    timeout_s: float = 10.0
    """Silence, while something is to be answered, after which the connection counts as dead. Longer than the daemon's
    ``reply_timeout_ms``, or every order that the engine is slow with is sent twice; harmless, but of no use."""
    retry_s: float = 30.0
    """How long a request is tried without any answer before it is :class:`orderd.client.errors.Unanswered`; at most
    :data:`FIRST_CONNECT_S` while there was no connection yet."""

    @classmethod
    def make(cls, socket: str | os.PathLike[str] | None, name: str, timeout_s: float, retry_s: float) -> "Settings":
        """Raises ValueError for spans that are not above zero."""
        if not (timeout_s > 0 and retry_s > 0):
            raise ValueError("timeout_s and retry_s must be above zero")
        return cls(default_socket() if socket is None else Path(socket), name, timeout_s, retry_s)


class Ids:
    """Ids that are used nowhere else: a random beginning for each client, and a number.

    With a ``prefix`` that is the beginning; in child processes there is something random behind it.
    """

    def __init__(self, prefix: str | None = None) -> None:
        self._given = prefix
        self._prefix = secrets.token_hex(8) if prefix is None else prefix
        self._numbers = count(1)
        tell_of_forks(self)

    def new(self) -> str:
        """Another one. Not a plain decimal, which would be the name of an order in a batch."""
        return f"{self._prefix}-{next(self._numbers)}"

    def forked(self) -> None:
        """See :class:`orderd.client.forks.Forkable`: the parent counts on, too."""
        self._prefix = secrets.token_hex(8) if self._given is None else f"{self._given}-{secrets.token_hex(4)}"
