"""BookQueries: an answer is of one asking, whole or not at all, and what nobody waits for is dropped."""

from itertools import permutations
from math import inf

import attrs

from orderd.dispatch.book_queries import BookQueries, Query
from orderd.wire.bodies import BookReply, BookRequest, Level, book_replies

BIDS: list[Level] = [(100 - i, 5 + i, 1) for i in range(20)]
ASKS: list[Level] = [(101 + i, 5 + i, 2) for i in range(7)]


class Asker:
    def __init__(self) -> None:
        self.queries = BookQueries()
        self.done: list[Query] = []

    def ask(self, expires_at: float = 10.0) -> Query:
        query = Query(1, 50, expires_at, self.done.append)
        self.queries.ask(query)
        return query

    def asked(self, now: float) -> list[int]:
        return [number for number, _ in self.queries.requests(now, 1.0)]


def parts(number: int, bids: list[Level] = BIDS) -> list[BookReply]:
    return book_replies(BookRequest(number, 1, 50), bids, ASKS, 400)


def test_parts_in_any_order_make_the_book() -> None:
    for order in permutations(range(len(parts(1))), 3):
        asker = Asker()
        query = asker.ask()
        (number,) = asker.asked(0)
        replies = parts(number)
        for i in [*order, *(i for i in range(len(replies)) if i not in order)]:
            asker.queries.answered(replies[i])
        assert asker.done == [query]
        assert query.answer == (BIDS, ASKS)
        assert len(asker.queries) == 0


def test_a_question_is_asked_again_under_a_new_number_and_old_parts_do_not_count() -> None:
    asker = Asker()
    query = asker.ask()
    (first,) = asker.asked(0)
    assert asker.asked(0.5) == []
    assert asker.queries.wake_at(1.0) == 1.0
    for reply in parts(first, [(1, 1, 1)] * 20)[:-1]:
        asker.queries.answered(reply)
    (second,) = asker.asked(1.0)
    assert second != first
    asker.queries.answered(parts(first)[-1])
    assert asker.done == []
    for reply in parts(second):
        asker.queries.answered(reply)
    assert query.answer == (BIDS, ASKS)


def test_what_nobody_waits_for_is_dropped() -> None:
    asker = Asker()
    asker.ask(expires_at=2.0)
    asker.asked(0)
    assert asker.asked(2.5) == []
    assert (len(asker.queries), asker.queries.wake_at(1.0)) == (0, inf)


def test_answers_that_do_not_fit_are_passed_over() -> None:
    asker = Asker()
    asker.ask()
    (number,) = asker.asked(0)
    replies = parts(number)
    asker.queries.answered(replies[-1])
    for stray in (
        attrs.evolve(replies[0], query=number + 1),
        attrs.evolve(replies[0], instrument=2),
        attrs.evolve(replies[0], parts=1),
    ):
        asker.queries.answered(stray)
    assert asker.done == []
    for reply in replies:
        asker.queries.answered(reply)
    assert len(asker.done) == 1
    asker.queries.answered(replies[0])
    assert len(asker.done) == 1


def test_an_instrument_that_the_engine_lacks_has_no_book() -> None:
    asker = Asker()
    query = asker.ask()
    (number,) = asker.asked(0)
    asker.queries.answered(BookReply(number, 1, 0, 0, (), ()))
    assert asker.done == [query]
    assert query.answer is None
