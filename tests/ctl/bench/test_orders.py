"""What the bench sends."""

from collections import Counter

import pytest

from orderd.ctl.bench.account import Account, Answer
from orderd.ctl.bench.orders import BatchOrders, Mix, Sent, Source, TextOrders
from orderd.ctl.errors import ReplyError
from orderd.intake.resp import CommandReader
from orderd.wire.records import RECORD, Kind


def words_of(data: bytes) -> list[str]:
    (command,) = CommandReader(query_bytes_max=1 << 20).feed(data)
    return [word.decode("latin-1") for word in command]


def text_orders(share: float = 0.5, mode: str = "") -> TextOrders:
    return TextOrders("run%d.0.", "AAPL", ["0.01", "0.02"], "1", mode, Mix(share))


def sent_commands(source: Source, count: int) -> list[list[str]]:
    """As many, each acknowledged before the next."""
    commands = []
    for _ in range(count):
        data, sent = source.next_command()
        source.mix.note(sent, Answer.TAKEN)
        commands.append(words_of(data))
    return commands


def test_new_orders_have_ids_of_their_own_and_the_lowest_prices() -> None:
    commands = sent_commands(text_orders(0), 3)
    assert commands[0] == ["ORDER.NEW", "run%d.0.0000000000", "AAPL", "BUY", "1", "LIMIT", "0.01"]
    assert [command[1] for command in commands[1:]] == ["run%d.0.0000000001", "run%d.0.0000000002"]
    assert [command[6] for command in commands] == ["0.01", "0.02", "0.01"]


def test_a_mode_goes_along_with_new_orders_and_cancels() -> None:
    commands = sent_commands(text_orders(mode="batch"), 10)
    assert {command[0] for command in commands} == {"ORDER.NEW", "ORDER.CANCEL"}
    assert all(command[-2:] == ["MODE", "batch"] for command in commands)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_cancels_have_their_share_and_go_to_orders_that_are_there_once(share: float) -> None:
    source = text_orders(share)
    commands = sent_commands(source, 1000)
    kinds = Counter(command[0] for command in commands)
    assert abs(kinds["ORDER.CANCEL"] - 1000 * share) <= 2
    cancelled = [command[1] for command in commands if command[0] == "ORDER.CANCEL"]
    placed = [command[1] for command in commands if command[0] == "ORDER.NEW"]
    assert cancelled == placed[: len(cancelled)]
    left = [words for words, _ in source.closing()]
    assert [words[1] for words in left] == placed[len(cancelled) :]
    assert source.newest() == placed[-1]


def test_only_what_was_acknowledged_is_cancelled() -> None:
    source = text_orders()
    for _ in range(20):
        data, sent = source.next_command()
        assert words_of(data)[0] == "ORDER.NEW"
        source.mix.note(sent, Answer.REFUSED)
    assert source.mix.live == ()
    assert list(source.closing()) == []


def test_a_cancel_that_was_refused_is_due_again_and_one_that_found_nothing_is_not() -> None:
    mix = Mix(0.5)
    mix.note(Sent((1, 2, 3), ()), Answer.TAKEN)
    assert [mix.next_cancel() for _ in range(3)] == [None, 1, None]
    mix.note(Sent((), (1,)), Answer.REFUSED)
    assert list(mix.live) == [1, 2, 3]
    assert mix.next_cancel() == 1
    mix.note(Sent((), (1,)), Answer.GONE)
    assert list(mix.live) == [2, 3]


def test_a_batch_is_whole_records_with_numbers_of_its_own_block() -> None:
    source = BatchOrders("r.0.", 10, 5000, 7, "", Mix(0.3))
    commands = sent_commands(source, 20)
    assert [command[:2] for command in commands[:2]] == [["ORDER.BATCH", "r.0.b1"], ["ORDER.BATCH", "r.0.b2"]]
    records = [record for command in commands for record in RECORD.iter_unpack(command[2].encode("latin-1"))]
    new = [record[0] for record in records if record[5] == Kind.NEW]
    cancelled = [record[0] for record in records if record[5] == Kind.CANCEL]
    assert len(records) == 200
    assert new == list(range(5000, 5000 + len(new)))
    assert abs(len(cancelled) - 60) <= 2
    assert cancelled == new[: len(cancelled)]
    assert {record[3] for record in records} == {7}
    assert source.newest() == str(new[-1])
    ((closing, count),) = source.closing()
    closing_records = list(RECORD.iter_unpack(closing[2]))  # type: ignore[arg-type]
    assert [record[0] for record in closing_records] == new[len(cancelled) :]
    assert count == len(closing_records)


def test_answers_are_counted_by_what_they_say() -> None:
    account = Account()

    def answer(reply: object, orders: int = 1, *, is_new: bool = True) -> Answer:
        return account.answer(reply, orders, 1000, is_new=is_new)

    assert answer({"status": "QUEUED", "path": "none"}) is Answer.TAKEN
    assert answer({"status": "NEW", "path": "grpc"}) is Answer.TAKEN
    assert answer({"status": "REJECTED", "path": "udp"}) is Answer.TAKEN
    assert answer({"status": "CANCELED", "path": "udp"}, is_new=False) is Answer.TAKEN
    assert answer({"status": "UNKNOWN", "path": "none"}) is Answer.TAKEN
    assert answer({"status": "DONE", "rejected": "2"}, 10, is_new=False) is Answer.TAKEN
    assert answer(ReplyError("HALTED trading is halted"), 10) is Answer.REFUSED
    assert answer(ReplyError("NOTFOUND x"), is_new=False) is Answer.GONE
    tally = account.cut(1.0)
    assert (tally.queued, tally.outcomes, tally.rejected, tally.unknown) == (1, 13, 3, 1)
    assert (tally.acknowledged, tally.answered) == (14, 26)
    assert tally.paths == {"grpc": 1, "udp": 1}
    assert tally.errors == {"HALTED": 10, "NOTFOUND": 1}
    assert tally.latency.count == 15
    assert (account.total.answered, account.current.answered) == (26, 0)
