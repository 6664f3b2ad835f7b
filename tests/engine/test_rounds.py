"""A round answers after its commit and never before, takes from both roads, and is the last one if its commit fails."""

import pytest
import trio
import trio.testing

from engine import rounds as rounds_module
from engine.rounds import REPLY_FRAMES_MAX, Call, RoundCounters
from orderd.journal.errors import JournalFailed
from orderd.link.errors import ReplayedFrame, StrayFrame
from orderd.wire.errors import FrameError, ReportError, TagError, VersionError
from tests.support.frame_client import FrameClient
from tests.support.grpc_engine import GrpcEngine
from tests.support.matching import BUY, SELL, limit

Answers = list[list[bytes]]


async def call(engine: GrpcEngine, *frames: bytes) -> list[bytes]:
    """One call, in rounds of its own."""
    got: Answers = []
    engine.rounds.submit(Call(frames, got.append))
    await engine.rounds.turn()
    (answers,) = got
    return answers


async def connect(engine: GrpcEngine, session: int = 9) -> FrameClient:
    client = engine.client(session)
    (welcome,) = await call(engine, client.hello())
    client.welcome(welcome)
    return client


async def test_a_hello_is_welcomed_and_an_order_reported() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    (answer,) = await call(engine, client.orders(limit(1, BUY, 5, 100)))
    (report,) = client.reports(answer)
    assert (report.order, report.exec_type.name) == (1, "NEW")
    assert engine.rounds.counters.received == 2
    assert engine.rounds.counters.rejected == 0


async def test_nothing_is_answered_before_the_commit() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    engine.hold_commits()
    got: Answers = []
    asked: list[int] = []
    engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], got.append))
    engine.rounds.ask(lambda: asked.append(engine.journal.entries))
    before = engine.journal.entries
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.rounds.turn)
        await engine.committing.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert (got, asked, engine.journal.entries) == ([], [], before)
        engine.may_commit.set()
    assert len(got) == 1
    assert asked == [before + 1]


async def test_calls_that_come_together_share_a_round_and_a_commit() -> None:
    engine = GrpcEngine()
    clients = [await connect(engine, session) for session in (1, 2, 3)]
    commits = engine.journal.commits
    got: list[Answers] = [[], [], []]
    for number, client in enumerate(clients):
        engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], got[number].append))
    await engine.rounds.turn()
    assert engine.journal.commits == commits + 1
    for client, ((answer,),) in zip(clients, got, strict=True):
        assert len(client.reports(answer)) == 1


async def test_a_round_takes_so_many_frames_and_leaves_the_rest_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds_module, "CALL_FRAMES_PER_ROUND", 4)
    engine = GrpcEngine()
    got: Answers = []
    for _ in range(3):
        engine.rounds.submit(Call([b"x"] * 3, got.append))
    await engine.rounds.turn()
    assert len(got) == 2
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(engine.rounds.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert len(got) == 3
    assert engine.rounds.counters.bad_shape == 9


async def test_what_comes_during_a_commit_is_in_the_next_round() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    engine.hold_commits()
    first: Answers = []
    second: Answers = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.rounds.run)
        engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], first.append))
        await engine.committing.wait()
        engine.rounds.submit(Call([client.orders(limit(2, BUY, 5, 100))], second.append))
        await trio.testing.wait_all_tasks_blocked()
        assert (first, second) == ([], [])
        engine.may_commit.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [len(client.reports(answers[0])) for (answers,) in (first, second)] == [1, 1]


async def test_those_that_begin_rounds_have_them_one_after_the_other() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    engine.hold_commits()
    ended: list[int] = []

    async def turn(number: int) -> None:
        await engine.rounds.turn()
        ended.append(number)

    got: Answers = []
    engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], got.append))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turn, 1)
        await engine.committing.wait()
        nursery.start_soon(turn, 2)
        nursery.start_soon(turn, 3)
        await trio.testing.wait_all_tasks_blocked()
        assert ended == []
        engine.may_commit.set()
    assert ended[0] == 1
    assert sorted(ended) == [1, 2, 3]


async def test_a_round_is_finished_though_its_task_is_cancelled() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    engine.hold_commits()
    got: Answers = []
    engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], got.append))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.rounds.run)
        await engine.committing.wait()
        nursery.cancel_scope.cancel()
        engine.may_commit.set()
    assert len(got) == 1


async def test_after_a_failed_commit_nobody_is_answered_and_there_is_no_other_round() -> None:
    engine = GrpcEngine()
    client = await connect(engine)
    engine.journal.fails = True
    got: Answers = []
    engine.rounds.submit(Call([client.orders(limit(1, BUY, 5, 100))], got.append))
    with pytest.raises(JournalFailed):
        await engine.rounds.turn()
    engine.journal.fails = False
    with trio.move_on_after(0.01) as waiting:
        await engine.rounds.turn()
    assert waiting.cancelled_caught
    assert got == []


async def test_what_a_later_round_tells_an_ended_call_is_dropped_and_can_be_asked_for() -> None:
    engine = GrpcEngine()
    maker = await connect(engine, 1)
    taker = await connect(engine, 2)
    await call(engine, maker.orders(limit(1, BUY, 5, 100)))
    await call(engine, taker.orders(limit(1, SELL, 5, 100)))
    answers = await call(engine, maker.poll())
    assert [report.exec_type.name for answer in answers for report in maker.reports(answer)] == ["TRADE"]


async def test_a_reply_has_a_bound() -> None:
    got: Answers = []
    ended = Call([], got.append)
    for _ in range(REPLY_FRAMES_MAX + 10):
        ended.add(b"x")
    ended.end()
    ended.add(b"late")
    assert [len(answers) for answers in got] == [REPLY_FRAMES_MAX]
    large = Call([], got.append)
    for _ in range(200):
        large.add(bytes(65507))
    large.end()
    assert sum(map(len, got[1])) < 8 * 2**20 < sum(map(len, got[1])) + 3 * 65507


def test_dropped_frames_are_counted_by_cause() -> None:
    counters = RoundCounters()
    for error in (TagError, FrameError, ReportError, VersionError, StrayFrame, ReplayedFrame):
        counters.reject(error("x"))
    assert counters == RoundCounters(bad_tag=1, bad_shape=2, bad_version=1, stray=1, replayed=1)
    assert counters.rejected == 6
