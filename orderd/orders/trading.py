"""Whether trading is open to new orders (FIX tag 340, in spirit). Pure.

HALTED refuses what could trade: new orders, and replaces of either kind. What takes orders away always passes, and so
does the repeat of what was taken in before. What is journaled already goes on its way.

The state holds from the moment it is asked for and is told when it is durable; a restart finds it again.
"""

from enum import IntEnum

import attrs

from orderd.orders.errors import Halted


class TradingState(IntEnum):
    """What clients may do; the values are those of the journal."""

    ACTIVE = 0
    REDUCING = 1
    """Only what makes positions smaller. Not built: no state is ever this."""
    HALTED = 2


@attrs.frozen
class TradingChange:
    """One change, for the log. ``by`` is the client that asked for it."""

    state: TradingState
    by: str


class Trading:
    """The state, and the changes that nobody was told of yet."""

    def __init__(self) -> None:
        self.state = TradingState.ACTIVE
        self.durable_at = 0
        """So many commits must be finished before the state is durable."""
        self._changes: list[TradingChange] = []

    def change(self, state: TradingState, by: str, durable_at: int) -> bool:
        """Make it ``state``; whether it was another."""
        if state is self.state:
            return False
        self.state, self.durable_at = state, durable_at
        self._changes.append(TradingChange(state, by))
        return True

    def take_changes(self) -> list[TradingChange]:
        """The changes since the last call, in order, each given once."""
        changes, self._changes = self._changes, []
        return changes

    def check(self) -> None:
        """Whether something may be taken in that could trade. Raises :class:`~orderd.orders.errors.Halted`."""
        if self.state is TradingState.HALTED:
            raise Halted("trading is halted")
