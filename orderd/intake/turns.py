"""Who has its turn: a long transaction goes in one piece although others are served meanwhile. Pure.

While the *piece* of one client is handed over, in steps, commands of others that may place something wait in line, and
nothing is committed; all else goes on. A piece begins only when nobody waits in line before it, so that one client's
transactions, however many, never keep others out for longer than one of them takes.
"""

from collections import deque
from collections.abc import Callable, Generator
from enum import Enum, auto

from orderd.intake.command_table import Reply, Steps, finish
from orderd.intake.context import Client


class Turn(Enum):
    """Why a client's commands pause."""

    OTHERS = auto()
    """Others have their turn; it may go on after that."""
    LINE = auto()
    """It waits in line: it may go on when :attr:`Turns.is_free`."""
    AHEAD = auto()
    """Much of it goes before others already: it may go on when something was confirmed, or nothing is for a while."""
    PIECE = auto()
    """Others read meanwhile; it must go on."""


Turned = Generator[Turn, None, list[Reply]]


class Turns:
    """``hold(held)`` is told when nothing may be committed, and when that is over."""

    def __init__(self, hold: Callable[[bool], None]) -> None:
        self._hold = hold
        self.is_free = True
        """Whether no piece is being handed over."""
        self._line: deque[Client] = deque()

    def wait(self, client: Client, *, alone: bool) -> Generator[Turn, None, None]:
        """Wait in line; ``alone``: for a piece."""
        if self.is_free and not (alone and self._line):
            return
        self._line.append(client)
        try:
            while not self.is_free or (alone and self._line[0] is not client):
                yield Turn.LINE
        finally:
            self._line.remove(client)

    def in_one_piece(self, client: Client, steps: Steps) -> Turned:
        """Do ``steps``. If it is given up halfway, the rest is done at once: no part of it must be missing."""
        yield from self.wait(client, alone=True)
        self.is_free = False
        self._hold(True)
        try:
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    found: list[Reply] = end.value
                    return found
                yield Turn.PIECE
        except GeneratorExit:
            finish(steps)
            raise
        finally:
            self.is_free = True
            self._hold(False)
