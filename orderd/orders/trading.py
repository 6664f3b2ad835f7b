"""Whether trading is open to new orders (FIX tag 340, in spirit): for all, and for each account. Pure.

Of the state of all and that of an account the stricter one holds for it. HALTED refuses what could trade: new orders,
and replaces of either kind. REDUCING takes only what makes a position smaller (:mod:`orderd.orders.risk.checks`). What
takes orders away always passes, and so does the repeat of what was taken in before. What is journaled already goes on
its way.

A state holds from the moment it is asked for and is told when it is durable; a restart finds it again.
"""

from enum import IntEnum

import attrs

from orderd.orders.errors import Halted


class TradingState(IntEnum):
    """What clients may do, the stricter the higher; the values are those of the journal."""

    ACTIVE = 0
    REDUCING = 1
    """Only what makes positions smaller."""
    HALTED = 2


@attrs.frozen
class TradingChange:
    """One change, for the log. ``by`` is the client that asked for it; ``account`` is None for all."""

    state: TradingState
    by: str
    account: int | None = None


class Trading:
    """The states, and the changes that nobody was told of yet."""

    def __init__(self) -> None:
        self.state = TradingState.ACTIVE
        """Of all accounts."""
        self.accounts: dict[int, TradingState] = {}
        """Accounts with a state of their own that is not ACTIVE."""
        self.restricts = False
        """Whether anything is not ACTIVE."""
        self.durable_at = 0
        """So many commits must be finished before the states are durable."""
        self._changes: list[TradingChange] = []

    def change(self, state: TradingState, by: str, durable_at: int, account: int | None = None) -> bool:
        """Make it ``state``, of ``account`` or of all; whether it was another."""
        if state is (self.state if account is None else self.accounts.get(account, TradingState.ACTIVE)):
            return False
        self.restore(state, account)
        self.durable_at = durable_at
        self._changes.append(TradingChange(state, by, account))
        return True

    def restore(self, state: TradingState, account: int | None = None) -> None:
        """It was changed before this start."""
        if account is None:
            self.state = state
        elif state is TradingState.ACTIVE:
            self.accounts.pop(account, None)
        else:
            self.accounts[account] = state
        self.restricts = self.state is not TradingState.ACTIVE or bool(self.accounts)

    def of(self, account: int) -> TradingState:
        """What holds for ``account``."""
        return max(self.state, self.accounts.get(account, TradingState.ACTIVE))

    def take_changes(self) -> list[TradingChange]:
        """The changes since the last call, in order, each given once."""
        changes, self._changes = self._changes, []
        return changes

    def check(self, account: int | None = None) -> None:
        """Whether something may be taken in that could trade, for ``account`` if one is given.

        Raises :class:`~orderd.orders.errors.Halted`.
        """
        if self.state is TradingState.HALTED:
            raise Halted("trading is halted")
        if account is not None and self.accounts.get(account) is TradingState.HALTED:
            raise Halted(f"trading is halted for account {account}")
