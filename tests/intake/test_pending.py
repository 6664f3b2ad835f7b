"""Replies that wait: each client gets them in the order of its requests, once, and nothing is left behind."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from orderd.intake import pending
from orderd.intake.pending import DuplicateReply, Mark, Pending, Unfinished, Waiter, WaitList

ALL = 2**40


class Numbered(Pending):
    """Says its number, and whether it is whole."""

    __slots__ = ("number", "steps")

    def __init__(self, number: int, mark: Mark, value: int, deadline: float = inf, steps: int = 0) -> None:
        super().__init__(2, mark, value, deadline)
        self.number = number
        self.steps = steps

    def settle(self) -> bool:
        self.steps -= 1
        return self.steps < 0

    def render(self, unfinished: Unfinished | None) -> bytes:
        return b"%d%s;" % (self.number, b"" if unfinished is None else b"-" + unfinished.value[:1].encode())


MARKS = st.sampled_from(list(Mark)[:5])
DEADLINES = st.sampled_from([5.0, 9.0, inf])
replies = st.lists(
    st.one_of(st.none(), st.tuples(MARKS, st.integers(1, 20), DEADLINES, st.integers(0, 2))), max_size=15
)
moves = st.lists(st.tuples(MARKS, st.integers(0, 6), st.floats(0, 2)), max_size=25)


@given(st.lists(replies, min_size=1, max_size=4), moves)
def test_replies_come_in_order_once_and_as_soon_as_they_can(clients: list[list[object]], steps: list[object]) -> None:
    waiting, now = WaitList(), 0.0
    waiters, got, models = [], [], []
    for listed in clients:
        waiter = Waiter()
        model: list[Numbered | None] = []
        for number, reply in enumerate(listed):
            made = None if reply is None else Numbered(number, *reply)  # type: ignore[misc]
            model.append(made and Numbered(number, *reply))  # type: ignore[misc]
            waiter.add(b"%d;" % number if made is None else made)
        waiters.append(waiter)
        models.append(model)
        got.append(waiting.collect(waiter, now, ALL))
    for mark, by, later in steps:  # type: ignore[misc]
        waiting.marks[mark] += by  # type: ignore[has-type]
        now += later  # type: ignore[has-type]
        for _ in range(64):
            for waiter in waiting.ready(now):
                got[waiters.index(waiter)] += waiting.collect(waiter, now, ALL)
        assert waiting.next_deadline() > now
        for waiter, text, model in zip(waiters, got, models, strict=True):
            numbers = [int(part.split(b"-")[0]) for part in text.split(b";")[:-1]]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) + len(waiter.replies) == len(model)
            if waiter.replies:
                first = waiter.replies[0]
                assert isinstance(first, Pending)
                assert first.deadline > now
                assert waiting.marks[first.mark] < first.value
    for waiter, text in zip(waiters, got, strict=True):
        rest = waiting.give_up(waiter, Unfinished.SHUTDOWN)
        assert (text + rest).count(b";") == len(clients[waiters.index(waiter)])
        assert not waiter.replies
        assert waiter.held_bytes == 0


def test_what_ran_out_of_time_says_so_and_the_next_go_on() -> None:
    waiting, waiter = WaitList(), Waiter()
    for reply in (Numbered(0, Mark.CONFIRMED, 9, 5.0), b"1;", Numbered(2, Mark.COMMITTED, 3)):
        waiter.add(reply)
    assert waiting.collect(waiter, 0, ALL) == b""
    assert waiting.next_deadline() == 5.0
    assert waiting.ready(4.9) == []
    assert waiting.ready(5.0) == [waiter]
    assert waiting.collect(waiter, 5.0, ALL) == b"0-t;1;"
    assert waiting.next_deadline() == inf
    waiting.marks[Mark.COMMITTED] = 3
    assert waiting.next_deadline() == -inf
    assert waiting.ready(6) == [waiter]
    assert waiting.collect(waiter, 6, ALL) == b"2;"


def test_a_client_is_woken_once_however_many_of_its_replies_are_ready() -> None:
    waiting, waiter = WaitList(), Waiter()
    for number in range(1000):
        waiter.add(Numbered(number, Mark.CONFIRMED, number + 2))
    waiting.collect(waiter, 0, ALL)
    waiting.marks[Mark.CONFIRMED] = 901
    assert waiting.ready(0) == [waiter]
    assert waiting.collect(waiter, 0, ALL).count(b";") == 900


def test_replies_are_made_no_further_ahead_than_asked() -> None:
    waiting, waiter = WaitList(), Waiter()
    for number in range(10):
        waiter.add(Numbered(number, Mark.COMMITS, 0))
    assert waiting.collect(waiter, 0, 4) == b"0;1;"
    assert waiter.has_more
    assert waiting.collect(waiter, 0, ALL) == b"2;3;4;5;6;7;8;9;"
    assert not waiter.has_more


def test_what_is_left_of_registrations_is_cleared_away() -> None:
    """Clients that come and go, and those that wait for a book, which no mark announces, leave nothing behind."""
    waiting = WaitList()
    for number in range(3 * pending.COMPACT_AFTER):
        waiter = Waiter()
        waiter.add(Numbered(number, (Mark.NEVER, Mark.CONFIRMED)[number % 2], 10**9, 10**9))
        waiting.collect(waiter, 0, ALL)
        waiter.clear()
        waiter.registration = 0
    assert len(waiting._by_mark[Mark.NEVER]) == 0
    assert len(waiting._by_deadline) + len(waiting._by_mark[Mark.CONFIRMED]) < 3 * pending.COMPACT_AFTER
    assert waiting.next_deadline() == inf


def test_what_stands_behind_something_is_counted() -> None:
    waiting, waiter = WaitList(), Waiter()
    waiter.add(Numbered(0, Mark.CONFIRMED, 9))
    waiter.add(b"x" * 100)
    waiting.collect(waiter, 0, ALL)
    assert waiter.held_bytes == 100
    waiting.marks[Mark.CONFIRMED] = 9
    waiting.collect(waiter, 0, ALL)
    assert waiter.held_bytes == 0


def test_an_error_about_an_undurable_row_waits_for_it() -> None:
    waiting, waiter = WaitList(), Waiter()
    waiter.add(DuplicateReply(2, 7, inf, b"-DUPLICATE\r\n", b"-UNAVAILABLE\r\n"))
    assert waiting.collect(waiter, 0, ALL) == b""
    waiting.marks[Mark.COMMITTED] = 8
    assert waiting.collect(waiter, 0, ALL) == b"-DUPLICATE\r\n"
    waiter.add(DuplicateReply(2, 8, inf, b"-DUPLICATE\r\n", b"-UNAVAILABLE\r\n"))
    assert waiting.give_up(waiter, Unfinished.JOURNAL) == b"-UNAVAILABLE\r\n"
