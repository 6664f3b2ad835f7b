"""The bench's end: what it takes to know that all is confirmed and nothing is left open."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orderd.ctl.bench.account import Account
from orderd.ctl.bench.closing import Closing, close
from orderd.ctl.bench.orders import BatchOrders, Mix, Source, TextOrders
from orderd.ctl.connection import Connection
from tests.support.fake_orderd import FakeOrderd, Refusal


class Moody(FakeOrderd):
    """Answers cancels with what ``moods`` say, one after the other, then as usual."""

    moods: list[str] = []  # noqa: RUF012 - each test sets its own
    status: str = ""
    """That ORDER.WAIT tells, if not the true one."""

    def do_order_cancel(self, cl_ord_id: str, *options: str) -> Any:
        mood = self.moods.pop(0) if self.moods else ""
        if mood == "UNKNOWN":
            return {**self._pairs(self._find(cl_ord_id)), "status": mood, "reason": "SENT"}
        if mood:
            raise Refusal(mood, "no")
        return super().do_order_cancel(cl_ord_id, *options)

    def do_order_wait(self, cl_ord_id: str, ms: str) -> Any:
        pairs = super().do_order_wait(cl_ord_id, ms)
        return {**pairs, "status": self.status or pairs["status"]}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Moody]:
    with Moody(tmp_path / "s") as daemon:
        assert isinstance(daemon, Moody)
        yield daemon


def place(connection: Connection, source: Source, commands: int) -> None:
    account = Account()
    for _ in range(commands):
        data, sent = source.next_command()
        replies: list[Any] = []
        out = bytearray(data)
        while not replies:
            replies = connection.exchange(out, 1.0)
        answer = account.answer(replies[0], source.orders, 0, is_new=False)
        source.mix.note(sent, answer)


@pytest.fixture
def closed(daemon: Moody) -> Callable[..., Closing]:
    """Places five orders and closes, with these moods."""

    def run(*moods: str, timeout_s: float = 5.0, trade: bool = False) -> Closing:
        with Connection(daemon.path) as connection:
            source = TextOrders("r.0.", "AAPL", ["0.01"], "1", "", Mix(0.0))
            place(connection, source, 5)
            if trade:
                connection.call("ORDER.NEW", "taker", "AAPL", "SELL", "5", "LIMIT", "0.01")
            daemon.moods = list(moods)
            waits: list[int] = []
            closing = close(connection, [source], timeout_s, waits.append)
            assert len(waits) <= 1
        return closing

    return run


def test_all_are_cancelled_and_so_all_is_confirmed(closed: Callable[..., Closing], daemon: Moody) -> None:
    closing = closed()
    assert (closing.cancelled, closing.left_open, closing.confirmed) == (5, 0, True)
    assert closing.info["orders_open"] == "0"
    assert daemon.resting == []


def test_an_unknown_outcome_is_asked_for_again(closed: Callable[..., Closing], daemon: Moody) -> None:
    closing = closed(*["UNKNOWN"] * 7, "FULL")
    assert (closing.cancelled, closing.left_open, closing.confirmed) == (5, 0, True)
    cancels = [words for words in daemon.commands if words[0] == "ORDER.CANCEL"]
    assert len(cancels) == 13
    assert len({tuple(words) for words in cancels}) == 5, "the same request with the same id"


def test_what_stays_unknown_is_told(closed: Callable[..., Closing]) -> None:
    closing = closed(*["UNKNOWN"] * 1000, timeout_s=0.1)
    assert (closing.cancelled, closing.left_open, closing.confirmed) == (0, 5, False)


def test_a_refusal_that_will_not_pass_leaves_orders_open(closed: Callable[..., Closing]) -> None:
    closing = closed("NOPERM", "NOPERM")
    assert (closing.cancelled, closing.left_open, closing.confirmed) == (3, 2, True)
    assert closing.last_error == "NOPERM no"


def test_an_order_that_is_forgotten_is_not_open(closed: Callable[..., Closing]) -> None:
    closing = closed("NOTFOUND")
    assert (closing.cancelled, closing.left_open) == (4, 0)


def test_where_no_cancel_found_its_order_the_newest_is_asked_for(closed: Callable[..., Closing]) -> None:
    closing = closed(trade=True)
    assert (closing.left_open, closing.confirmed) == (0, True)


def test_an_unconfirmed_newest_order_is_no_proof(closed: Callable[..., Closing], daemon: Moody) -> None:
    daemon.status = "QUEUED"
    assert not closed(trade=True).confirmed


def test_batches_are_cancelled_by_batches(daemon: Moody) -> None:
    with Connection(daemon.path) as connection:
        source = BatchOrders("r.0.", 50, 1000, 1, "", Mix(0.2))
        place(connection, source, 50)
        left = len(source.mix.live)
        closing = close(connection, [source], 5.0, lambda _: None)
    assert (closing.cancelled, closing.left_open, closing.confirmed) == (left, 0, True)
    assert left > 1000
    assert daemon.resting == []
    assert [words[1] for words in daemon.commands if words[0] == "ORDER.BATCH"][-2:] == ["r.0.x0", "r.0.x1000"]
