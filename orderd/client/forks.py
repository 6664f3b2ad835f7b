"""A child process begins with a copy of all that its parent has, and must not take it for its own.

Two that read from one connection each hear half of it; two that count on from the same number give different orders the
same id, so that the daemon takes the second for a repeat; and a connection that a child has open is not over when its
parent crashes, so that the parent's guard would wait for the child. So each child lets go right after the fork.
"""

import os
from typing import Final, Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """Something that a child process must not share."""

    def forked(self) -> None:
        """This is a child. No other thread is there, but others may have been amid anything."""


_KNOWN: Final[WeakSet[Forkable]] = WeakSet()


def tell_of_forks(what: Forkable) -> None:
    """Have ``what`` told in each child process, for as long as it lives."""
    _KNOWN.add(what)


def _tell() -> None:
    for known in list(_KNOWN):
        known.forked()


os.register_at_fork(after_in_child=_tell)
