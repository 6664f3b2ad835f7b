"""What trading states allow, of one orderd: while trading is halted no order is journaled; while it only reduces, none
that, with all that is open of its side, is larger than the position that it is against.

A state binds what is journaled from the second commit after its own on: what is in the next one may have been taken in
before. Likewise for positions: whoever checked an order knew what was heard before, of a commit or a few more. So the
most that was possible meanwhile is allowed.

For an order to sell, the position that may be sold is ``net - open[sell]``; a fill of a sell order changes both alike.
What reports do to it and what orders take of it are summed up apart, since an order surely knows of those before it.
"""

from typing import Final

import attrs

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.rows import Row, State

REDUCING, HALTED = 1, 2
KNOWN_AFTER: Final = 3
"""Commits within which everything that was heard counts for what is checked."""
SELL: Final = 1

Key = tuple[int, int, int]
"""Account, instrument and side."""


@attrs.define(eq=False)
class Room:
    """How much may be bought, or sold, of one account's position."""

    taken: int = 0
    """By orders, when they were journaled."""
    given: int = 0
    """By reports: what others made of the position, and what is open no more without a fill."""
    seen: list[tuple[int, int]] = attrs.field(factory=lambda: [(0, 0)])
    """By commit, the most that was given until its end, at the last few."""

    def give(self, commit: int, lots: int) -> None:
        """A report has changed it."""
        before = self.given
        self.given += lots
        if self.seen[-1][0] != commit:
            # What there was before this commit may still be all that was known.
            self.seen.append((commit, before))
        self.seen[-1] = commit, max(self.seen[-1][1], self.given)
        while len(self.seen) > 1 and self.seen[1][0] <= commit - KNOWN_AFTER:
            del self.seen[0]

    def most(self, commit: int) -> int:
        """That others had made of it, for one who was checked since the last few commits."""
        found = [given for at, given in self.seen if at > commit - KNOWN_AFTER]
        return max(found, default=self.given)


class TradingRules:
    """Of one orderd."""

    def __init__(self) -> None:
        self._said: dict[int | None, int] = {}
        """By account, None for all: the last state that is journaled."""
        self._sure: dict[int | None, int] = {}
        """The mildest that may have held for what is journaled now."""
        self._rooms: dict[Key, Room] = {}
        self._reduces: list[tuple[Room, int, int, str]] = []
        """Orders that have to: the room, all that was taken of it with them, and their lots."""
        self._commit = 0

    def begin(self, commit: int) -> None:
        """What follows is of the next commit."""
        self._commit = commit
        self._sure.update(self._said)

    def said(self, account: int | None, state: int) -> None:
        """It is journaled that this is the state of ``account``, or of all."""
        self._said[account] = state
        # It may have been another one in between: of what changes before a commit only the last is journaled.
        self._sure[account] = 0

    def check(self, row: Row, what: str) -> None:
        """A new order is journaled. Raises :class:`Contradiction`."""
        _, _, lots, instrument, account, _, flags = row.fields
        state = max(self._sure.get(None, 0), self._sure.get(account, 0))
        if state == HALTED:
            raise Contradiction("halted", f"{what} although trading was halted by a commit before the last one")
        room = self._room((account, instrument, flags & SELL))
        room.taken += lots
        if state == REDUCING:
            self._reduces.append((room, room.taken, lots, what))

    def end(self) -> None:
        """The commit is over: what it has heard may have come before its orders. Raises :class:`Contradiction`."""
        reduces, self._reduces = self._reduces, []
        for room, taken, lots, what in reduces:
            most = room.most(self._commit) - (taken - lots)
            if lots > most:
                raise Contradiction("reducing", f"{what}: {lots} lots, of at most {most} that reduced the position")

    def heard(self, row: Row, old: State, new: State) -> None:
        """A report about an order is journaled."""
        _, _, _, instrument, account, _, flags = row.fields
        side, filled = flags & SELL, new.cum - old.cum
        left = _left(old) - filled - _left(new)
        if left:
            # It is open no more, or was replaced, and its side may take as much.
            self._room((account, instrument, side)).give(self._commit, left)
        if filled:
            self._room((account, instrument, 1 - side)).give(self._commit, filled)

    def _room(self, key: Key) -> Room:
        room = self._rooms.get(key)
        if room is None:
            room = self._rooms[key] = Room()
        return room


def _left(state: State) -> int:
    return 0 if state.is_done else state.total - state.cum
