"""What one connection may hold: floods are throttled, and there is room for who comes next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.errors import Full, Throttled
from orderd.orders.shares import TRADES_S, Owner, Shares, ShareSettings, Tally

MAX = 1000


class Line:
    """All records of a daemon, one after the other."""

    def __init__(self, settings: ShareSettings | None = None) -> None:
        self.shares = Shares(MAX, settings or ShareSettings())
        self.end = self.confirmed_end = 1
        self.now = 100.0

    def place(self, owner: Owner, records: int = 1, *, cancels: bool = False) -> None:
        orders = 0 if cancels else records
        self.shares.check(owner, records, orders, self.end - self.confirmed_end, self.confirmed_end, self.now)
        first, self.end = self.end, self.end + records
        self.shares.take(owner, first, self.end, orders, self.now)

    def flood(self, owner: Owner, *, cancels: bool = False) -> str:
        """Until it is refused."""
        while True:
            try:
                self.place(owner, cancels=cancels)
            except (Full, Throttled) as refused:
                return refused.word


def test_alone_a_connection_may_use_all_that_there_is() -> None:
    line, owner = Line(), Owner()
    assert line.flood(owner) == "FULL"
    assert owner.unconfirmed(line.confirmed_end) == MAX
    assert line.flood(owner, cancels=True) == "FULL"
    assert owner.unconfirmed(line.confirmed_end) == MAX + line.shares.cancels_spare, "cancels have room beyond"


def test_while_others_trade_a_connection_has_its_share() -> None:
    line, flood, polite = Line(), Owner(), Owner()
    line.place(polite)
    assert line.flood(flood) == "THROTTLED"
    assert flood.unconfirmed(line.confirmed_end) == MAX // 4
    line.place(polite)
    assert line.flood(flood, cancels=True) == "THROTTLED"
    line.now += TRADES_S + 0.1
    assert line.flood(flood) == "FULL", "the others have stopped"


def test_what_a_flood_filled_alone_keeps_nobody_out() -> None:
    line, flood, polite = Line(), Owner(), Owner()
    line.flood(flood)
    for _ in range(20):
        line.place(polite)
    with pytest.raises(Throttled, match=r"client_share_percent 25 is reached: 1000 orders of this connection are"):
        line.place(flood)
    line.place(flood, cancels=True)
    line.confirmed_end += 900
    line.place(flood)


def test_who_cannot_be_told_apart_takes_nothing_over() -> None:
    """Processes of other pid namespaces all are 0."""
    shares = Shares(100, ShareSettings())
    flood = shares.join(0)
    shares.take(flood, 1, 91, 90, 0.0)
    shares.leave(0, flood, 1)
    assert not shares.join(0).unconfirmed(1)


@given(st.integers(1, 12), st.booleans())
def test_with_any_number_of_floods_there_is_room_for_who_comes_next(floods: int, alone_first: bool) -> None:
    line = Line()
    owners = [Owner() for _ in range(floods)]
    if not alone_first:
        line.place(Owner())
    for _ in range(3):
        for owner in owners:
            line.flood(owner)
    if line.end - line.confirmed_end < MAX + MAX // 16:
        line.place(Owner())
    assert line.end - line.confirmed_end <= MAX + MAX // 16


def test_a_large_command_passes_if_nothing_of_its_connection_is_unconfirmed() -> None:
    line, large, polite = Line(), Owner(), Owner()
    line.place(polite)
    line.place(large, 600)
    with pytest.raises(Throttled):
        line.place(large)


def test_a_share_of_all_is_no_share() -> None:
    line, flood = Line(ShareSettings(client_share_percent=100)), Owner()
    line.place(Owner())
    assert line.flood(flood) == "FULL"


def test_the_rate_is_that_of_the_setting_with_a_second_of_burst() -> None:
    line, owner, other = Line(ShareSettings(client_orders_per_second=10)), Owner(), Owner()
    for _ in range(10):
        line.place(owner)
    with pytest.raises(Throttled, match=r"^client_orders_per_second 10 is reached: there is room in 10\d ms$"):
        line.place(owner)
    line.place(owner, cancels=True)
    line.place(other)
    line.now += 0.11
    line.place(owner)
    line.now += 100
    line.place(owner, 25)
    line.now += 1.4
    with pytest.raises(Throttled):
        line.place(owner)
    line.now += 0.21
    line.place(owner)
    line.shares.apply(ShareSettings(client_orders_per_second=0))
    for _ in range(50):
        line.place(owner)


def test_leaving_is_no_way_out() -> None:
    line, flood = Line(), Owner()
    line.place(Owner())
    line.flood(flood)
    line.shares.leave(77, flood, line.confirmed_end)
    assert line.shares.join(78) is not flood
    assert line.shares.join(77) is flood
    line.shares.leave(77, flood, line.confirmed_end)
    line.confirmed_end = line.end
    line.shares.leave(79, Owner(), line.confirmed_end)
    assert line.shares.join(77) is not flood, "what is confirmed is forgotten"


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 1), st.integers(0, 40)), max_size=50))
def test_a_tally_counts_exactly_what_is_unconfirmed(history: list[tuple[int, int, int]]) -> None:
    tallies, rows, end, confirmed = [Tally(), Tally()], [set[int](), set[int]()], 1, 1
    for count, whose, progress in history:
        tallies[whose].add(end, end + count)
        rows[whose] |= set(range(end, end + count))
        end += count
        confirmed = min(end, confirmed + progress)
        for tally, mine in zip(tallies, rows, strict=True):
            assert tally.unconfirmed(confirmed) == sum(row >= confirmed for row in mine)
