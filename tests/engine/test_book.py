"""The book by itself: priority, levels, sums, hash, and the check of its invariants."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book import Book
from engine.levels import ANY_PRICE, FILLS_STEP, BookSide, reduce, reduce_iceberg, remove
from engine.markets import OPEN_MARKET, MarketRules
from engine.orders import Extras, Order, Session
from orderd.link.report_log import ReportLog
from orderd.wire.records import VALUE_MAX

SESSION = Session(5, ReportLog())


def rest(book: Book, sequence: int, price: int, quantity: int, *, sell: bool = False) -> Order:
    order = Order(SESSION, sequence, 1000 + sequence, price, quantity, book.instrument, 0, int(sell))
    (book.asks if sell else book.bids).rest(order, -price if sell else price)
    return order


def stop(book: Book, sequence: int, trigger: int, *, sell: bool = False) -> Order:
    order = Order(SESSION, sequence, 1000 + sequence, 100, 5, book.instrument, 0, int(sell))
    order.extras = Extras(trigger=trigger)
    book.stops.wait(order, order.extras)
    return order


def sequences(side: BookSide) -> list[int]:
    return [order.sequence for level in side for order in level]


def test_levels_are_listed_best_first_on_both_sides() -> None:
    book = Book(1)
    for sequence, price in enumerate((100, 98, 99), start=1):
        rest(book, sequence, price, 10 * sequence)
    for sequence, price in enumerate((103, 101, 102, 101), start=4):
        rest(book, sequence, price, 10 * sequence, sell=True)
    book.check_invariants()
    assert book.depth(10) == (
        [(100, 10, 1), (99, 30, 1), (98, 20, 1)],
        [(101, 50 + 70, 2), (102, 60, 1), (103, 40, 1)],
    )
    assert book.depth(1) == ([(100, 10, 1)], [(101, 120, 2)])
    assert book.depth(0) == ([], [])


def test_a_level_fills_oldest_first_and_the_maker_names_the_price() -> None:
    book = Book(1)
    first, second, third = (rest(book, sequence, 100, 10) for sequence in (1, 2, 3))
    assert book.bids.match(90, 15) == [(first, 10), (second, 5)]
    assert (first.open, first.filled, second.open, second.filled) == (0, 10, 5, 5)
    book.check_invariants()
    assert sequences(book.bids) == [2, 3]
    assert book.bids.match(90, 5) == [(second, 5)]
    assert book.depth(9) == ([(100, 10, 1)], [])
    assert book.bids.match(100, 99) == [(third, 10)]
    assert book.depth(9) == ([], [])
    book.check_invariants()


def test_matching_stops_at_the_limit() -> None:
    book = Book(1)
    for sequence, price in enumerate((101, 102, 103), start=1):
        rest(book, sequence, price, 10, sell=True)
    assert [lots for _, lots in book.asks.match(-102, 100)] == [10, 10]
    assert book.depth(9) == ([], [(103, 10, 1)])
    assert book.asks.match(-102, 100) == []
    assert [lots for _, lots in book.asks.match(ANY_PRICE, 4)] == [4]
    assert book.depth(9) == ([], [(103, 6, 1)])


@pytest.mark.parametrize("gone", [1, 2, 3])
def test_an_order_leaves_a_level_from_anywhere(gone: int) -> None:
    book = Book(1)
    orders = {sequence: rest(book, sequence, 100, sequence) for sequence in (1, 2, 3)}
    remove(orders[gone])
    book.check_invariants()
    assert sequences(book.bids) == [sequence for sequence in (1, 2, 3) if sequence != gone]
    assert book.depth(1)[0] == [(100, 6 - gone, 2)]


def test_a_level_emptied_by_a_cancel_is_not_best_any_more() -> None:
    book = Book(1)
    best = rest(book, 1, 100, 5)
    rest(book, 2, 99, 5)
    remove(best)
    assert book.bids.best == 99
    assert book.bids.match(100, 5) == []
    book.check_invariants()


def test_a_level_emptied_in_the_middle_is_gone_and_comes_back_at_its_place() -> None:
    book = Book(1)
    orders = [rest(book, sequence, price, 5) for sequence, price in enumerate((100, 99, 98), start=1)]
    remove(orders[1])
    book.check_invariants()
    assert [price for price, _, _ in book.depth(9)[0]] == [100, 98]
    rest(book, 4, 99, 5)
    book.check_invariants()
    assert [price for price, _, _ in book.depth(9)[0]] == [100, 99, 98]


def test_a_reduced_order_keeps_its_place() -> None:
    book = Book(1)
    first = rest(book, 1, 100, 10)
    rest(book, 2, 100, 10)
    reduce(first, 3)
    book.check_invariants()
    assert sequences(book.bids) == [1, 2]
    assert book.depth(1)[0] == [(100, 13, 2)]


def test_a_level_shows_what_may_show_and_knows_what_hides() -> None:
    book = Book(1)
    rest(book, 1, 100, 10)
    iceberg = Order(SESSION, 2, 1002, 100, 10, 1, 0, 0)
    iceberg.extras = Extras(display=4)
    book.bids.rest_iceberg(iceberg, iceberg.extras, 100)
    book.check_invariants()
    assert book.depth(1)[0] == [(100, 14, 2)]
    assert (iceberg.open, iceberg.extras.hidden, iceberg.leaves, book.bids.levels[100].hidden) == (4, 6, 10, 6)
    reduce_iceberg(iceberg, iceberg.extras, 7)
    assert (iceberg.open, iceberg.extras.hidden, iceberg.leaves, book.bids.levels[100].hidden) == (4, 3, 7, 3)
    reduce_iceberg(iceberg, iceberg.extras, 3)
    assert (iceberg.open, iceberg.extras.hidden, iceberg.leaves, book.bids.levels[100].hidden) == (3, 0, 3, 0)
    book.check_invariants()
    remove(iceberg)
    book.check_invariants()


def test_matching_stops_at_an_iceberg_that_shows_its_next_slice_and_goes_to_the_back() -> None:
    book = Book(1)
    iceberg = Order(SESSION, 1, 1001, 100, 10, 1, 0, 0)
    iceberg.extras = Extras(display=4)
    book.bids.rest_iceberg(iceberg, iceberg.extras, 100)
    plain = rest(book, 2, 100, 3)
    assert book.bids.match(100, 20) == [(iceberg, 4)]
    book.check_invariants()
    assert sequences(book.bids) == [2, 1]
    assert book.bids.match(100, 16) == [(plain, 3), (iceberg, 4)]
    assert book.bids.match(100, 9) == [(iceberg, 2)]
    assert book.depth(1) == ([], [])
    book.check_invariants()


def test_sums_of_a_level_and_prices_reach_beyond_63_bits() -> None:
    book = Book(1)
    for sequence in (1, 2, 3):
        rest(book, sequence, VALUE_MAX, VALUE_MAX)
    assert book.depth(1)[0] == [(VALUE_MAX, 3 * VALUE_MAX, 3)]
    assert len(book.bids.match(ANY_PRICE, VALUE_MAX)) == 1
    book.check_invariants()


def test_a_long_level_can_be_eaten_front_to_back_in_steps_and_dropped() -> None:
    book = Book(1)
    for sequence in range(1, 2001):
        rest(book, sequence, 100, 1)
    assert len(book.bids.match(100, 1000)) == FILLS_STEP
    book.check_invariants()
    assert book.depth(1)[0] == [(100, 2000 - FILLS_STEP, 2000 - FILLS_STEP)]
    assert book.bids.match(100, 1)[0][0].sequence == FILLS_STEP + 1
    while book.bids.match(100, 10_000):
        book.check_invariants()
    assert book.depth(1) == ([], [])


def test_many_levels_are_eaten_in_steps_too() -> None:
    book = Book(1)
    for sequence in range(1, 2001):
        rest(book, sequence, sequence, 1)
    assert len(book.bids.match(ANY_PRICE, 1000)) == FILLS_STEP
    assert book.bids.best == 2000 - FILLS_STEP
    book.check_invariants()


def build(moves: list[tuple[bool, int, int]]) -> Book:
    book = Book(1)
    for sequence, (sell, away, quantity) in enumerate(moves, start=1):
        rest(book, sequence, 1000 + away if sell else 1000 - away, quantity, sell=sell)
    return book


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9), st.integers(1, 9)), max_size=30))
def test_hash_is_of_the_content_and_not_of_how_it_came_about(moves: list[tuple[bool, int, int]]) -> None:
    book, detour = build(moves), build(moves)
    passing = [rest(detour, 900 + price, price, 1) for price in (1, 995, 999)]
    assert detour.state_hash() != book.state_hash()
    for order in passing:
        remove(order)
    assert detour.state_hash() == book.state_hash()
    for order in list(book.orders())[:1]:
        order.open += 1
        assert detour.state_hash() != book.state_hash()
        order.open -= 1
    detour.last_price = 100
    assert detour.state_hash() != book.state_hash()
    detour.last_price, detour.rules = 0, MarketRules(low=5)
    assert detour.state_hash() != book.state_hash()
    detour.rules = OPEN_MARKET
    stop(detour, 950, 100)
    assert detour.state_hash() != book.state_hash()


PRINT_HASH = """
import sys
sys.path[:0] = sys.argv[1:]
from engine.book import Book
from engine.orders import Order, Session
from orderd.link.report_log import ReportLog
book = Book(1)
book.bids.rest(Order(Session(5, ReportLog()), 1, 1001, 100, 7, 1, 0, 0), 100)
print(book.state_hash().hex())
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_hash_is_the_same_in_every_process(seed: str) -> None:
    book = Book(1)
    rest(book, 1, 100, 7)
    command = [sys.executable, "-c", PRINT_HASH, *sys.path]
    done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True)
    assert done.stdout.strip() == book.state_hash().hex()


def break_sum(book: Book) -> None:
    book.bids.levels[100].quantity += 1


def break_best(book: Book) -> None:
    book.bids.best = 99


def break_link(book: Book) -> None:
    head = book.bids.levels[100].head
    assert head is not None
    head.next = None


def break_price(book: Book) -> None:
    head = book.bids.levels[100].head
    assert head is not None
    head.price = 99


def leave_an_empty_level(book: Book) -> None:
    level = book.bids.levels[100]
    level.head = level.tail = None


def cross(book: Book) -> None:
    rest(book, 9, 100, 1, sell=True)


def hide_more(book: Book) -> None:
    book.bids.levels[100].hidden += 1


def show_too_much(book: Book) -> None:
    order = book.bids.levels[98].head
    assert order is not None
    order.open += 1
    order.level.quantity += 1


def trigger(book: Book) -> None:
    for order in book.stops:
        assert order.extras is not None
        order.extras.is_triggered = True


def print_a_trade(book: Book) -> None:
    book.last_price = 110


@pytest.mark.parametrize(
    "damage",
    [
        break_sum, break_best, break_link, break_price, leave_an_empty_level, cross, hide_more, show_too_much, trigger,
        print_a_trade,
    ],
)  # fmt: skip
def test_the_check_of_invariants_sees_damage(damage: Callable[[Book], None]) -> None:
    book = Book(1)
    for sequence in (1, 2):
        rest(book, sequence, 100, 5)
    rest(book, 3, 99, 5)
    stop(book, 4, 110)
    iceberg = Order(SESSION, 5, 1005, 98, 5, 1, 0, 0)
    iceberg.extras = Extras(display=2)
    book.bids.rest_iceberg(iceberg, iceberg.extras, 98)
    book.check_invariants()
    damage(book)
    with pytest.raises(AssertionError):
        book.check_invariants()
