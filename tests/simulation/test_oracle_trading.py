"""The oracle finds orders that a state of trading forbids, and lets those pass that it allows."""

import pytest

from orderd.orders import entries
from orderd.orders.trading import TradingState
from tests.simulation.oracle.rows import CANCELED, FILLED, PARTIALLY_FILLED, REPLACED, Row, State
from tests.simulation.oracle.trading import HALTED, KNOWN_AFTER, REDUCING, TradingRules
from tests.simulation.stories import BUY, SELL, Story, broken, new, order


@pytest.fixture
def story() -> Story:
    return Story()


class Rules:
    """Orders of 5 lots, one commit after the other."""

    def __init__(self) -> None:
        self.rules = TradingRules()
        self.commits = self.order_id = 0

    def commit(self) -> None:
        self.commits += 1
        self.rules.begin(self.commits)

    def say(self, state: int, account: int | None = None) -> None:
        self.commit()
        self.rules.said(account, state)

    def place(self, side: bytes) -> Row:
        self.commit()
        self.order_id += 1
        row = Row(self.order_id, new(self.order_id, side, b"1.00"), b"t")
        self.rules.check(row, "an order")
        self.rules.end()
        return row

    def hear(self, row: Row, state: State) -> None:
        self.commit()
        self.rules.heard(row, row.states[-1], state)
        row.states.append(state)


@pytest.fixture
def long() -> Rules:
    """Who has bought 5 lots, long ago."""
    found = Rules()
    found.hear(found.place(BUY), State(FILLED, 5, 5, 500))
    for _ in range(KNOWN_AFTER):
        found.commit()
    return found


def test_while_trading_is_halted_no_order_is_taken(story: Story) -> None:
    halt, go_on = (
        entries.TradingEntry(state, 1, "me").encode() for state in (TradingState.HALTED, TradingState.ACTIVE)
    )
    story.say(*order(b"t1", BUY, b"1.00"))
    # What was taken in before may be in the same commit.
    story.gateway([halt, entries.Orders(1, 1, new(1, BUY, b"1.00"), [(0, b"t1")], []).encode()])
    story.rows.append(new(1, BUY, b"1.00"))
    story.gateway([go_on])
    story.place(b"t2", BUY, b"1.00")
    story.gateway([halt])
    with broken("halted"):
        story.place(b"t3", BUY, b"1.00")


def test_a_halt_of_one_account_is_for_that_account() -> None:
    rules = Rules()
    rules.say(HALTED, 7)
    rules.place(BUY)
    rules.say(HALTED, 0)
    with broken("halted"):
        rules.place(BUY)


def test_while_trading_reduces_a_position_can_only_become_smaller(long: Rules) -> None:
    long.say(REDUCING)
    long.place(SELL)
    with broken("reducing"):
        long.place(BUY)


def test_while_trading_reduces_what_is_open_counts(long: Rules) -> None:
    long.say(REDUCING)
    first = long.place(SELL)
    with broken("reducing"):
        long.place(SELL)
    # A fill changes the position and what is open alike.
    long.hear(first, State(PARTIALLY_FILLED, 5, 2, 200))
    with broken("reducing"):
        long.place(SELL)


def test_what_is_cancelled_may_be_placed_again(long: Rules) -> None:
    long.say(REDUCING)
    first = long.place(SELL)
    long.hear(first, State(CANCELED, 5))
    long.place(SELL)


@pytest.mark.parametrize("later", [1, KNOWN_AFTER])
def test_what_was_so_a_moment_ago_may_have_been_all_that_was_known(long: Rules, later: int) -> None:
    long.hear(long.place(BUY), State(FILLED, 5, 5, 500))
    first = long.place(SELL)
    long.say(REDUCING)
    long.hear(first, State(REPLACED, 10))
    for _ in range(1, later):
        long.commit()
    if later == 1:
        long.place(SELL)
    else:
        with broken("reducing"):
            long.place(SELL)


def test_a_state_that_was_changed_in_the_same_commit_binds_nobody_in_it(long: Rules) -> None:
    long.say(REDUCING)
    long.rules.said(None, REDUCING)
    long.rules.check(Row(9, new(9, BUY, b"1.00"), b"t"), "an order")
    long.rules.end()


def test_what_is_heard_in_the_same_commit_may_have_been_heard_before(long: Rules) -> None:
    long.say(REDUCING)
    first = long.place(SELL)
    long.commit()
    long.rules.check(Row(9, new(9, SELL, b"1.00"), b"t"), "an order")
    long.rules.heard(first, first.states[-1], State(CANCELED, 5))
    long.rules.end()
