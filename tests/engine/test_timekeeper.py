"""Time begins rounds by itself, whichever way the wall clock jumps, and the log hears of what it did."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, time

import pytest
import structlog
import trio
import trio.testing
from structlog.typing import EventDict

from engine.agenda import Expired
from engine.core import EngineCore
from engine.day_end import DayEnd
from engine.inputs import DayEndInput, decode
from engine.markets import MarketRules
from engine.rounds import Rounds
from engine.timekeeper import Timekeeper
from orderd.journal.memory import MemoryJournal
from orderd.journal.record import Payload
from orderd.journal.writer import JournalWriter
from orderd.runtime.journal_settings import JournalSettings
from tests.support.grpc_engine import TABLE
from tests.support.threads import run_here

S = 1_000_000_000
NOON = DayEnd(time(12), UTC)
NOON_NS = 12 * 3600 * S


class JumpyClock:
    """The loop's clock; as wall clock it is ``offset_ns`` ahead."""

    offset_ns = NOON_NS - 10 * S

    def monotonic(self) -> float:
        return trio.current_time()

    def time_ns(self) -> int:
        return int(trio.current_time() * S) + self.offset_ns


class KeepingJournal(MemoryJournal):
    """Knows what it was given."""

    def __init__(self, journal_id: int) -> None:
        super().__init__(journal_id)
        self.entries: list[tuple[int, Payload]] = []

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        self.entries += entries
        super().commit(entries)


class Engine:
    """A core with rounds and a keeper, and no front."""

    def __init__(self, day_end: DayEnd | None, markets: dict[int, MarketRules] | None = None) -> None:
        self.clock = JumpyClock()
        self.clock.offset_ns -= int(trio.current_time() * S)
        self.core = EngineCore(engine_id=7, secret=b"", instruments=TABLE, day_end=day_end, markets=markets)
        self.journal = KeepingJournal(7)
        self.journal.commit(self.core.start())
        writer = JournalWriter(self.journal, JournalSettings(), run_blocking=run_here)
        self.rounds = Rounds(self.core, writer, self.clock)
        self.turns = 0
        self.keeper = Timekeeper(self.core, self.rounds, self.clock, TABLE)
        look = self.rounds.after_round

        def counted() -> None:
            self.turns += 1
            look()

        self.rounds.after_round = counted

    @property
    def day_ends(self) -> list[int]:
        found = (decode(kind, bytes(payload)) for kind, payload in self.journal.entries)
        return [entry.time_ns for entry in found if isinstance(entry, DayEndInput)]


@asynccontextmanager
async def keeping(engine: Engine) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(engine.keeper.run)
        await trio.testing.wait_all_tasks_blocked()
        yield
        nursery.cancel_scope.cancel()


@contextmanager
def heard() -> Iterator[list[EventDict]]:
    """What the keeper logs."""
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_day_ends_when_its_time_comes(autojump_clock: trio.testing.MockClock) -> None:
    engine = Engine(NOON)
    async with keeping(engine):
        await trio.sleep(9.9)
        assert engine.day_ends == []
        await trio.sleep(0.2)
        assert engine.day_ends == [pytest.approx(NOON_NS, abs=S // 100)]
        engine.clock.offset_ns += 86_000 * S
        await trio.sleep(400)
    assert len(engine.day_ends) == 2
    assert engine.turns == 3, "no more rounds than there are things to do, and the first one"


async def test_a_jump_of_the_wall_clock_is_noticed_within_a_second(autojump_clock: trio.testing.MockClock) -> None:
    engine = Engine(NOON)
    async with keeping(engine):
        await trio.sleep(1)
        engine.clock.offset_ns += 3600 * S
        await trio.sleep(1.1)
        assert len(engine.day_ends) == 1
        engine.clock.offset_ns -= 3600 * S
        await trio.sleep(3700)
        assert len(engine.day_ends) == 1


async def test_a_moment_that_a_round_brings_nearer_is_kept(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(None)
    async with keeping(engine):
        await trio.sleep(5)
        turns = engine.turns
        moment = engine.clock.time_ns() + S // 4
        # What an order with an expiry does.
        monkeypatch.setattr(engine.core, "wake_at_ns", lambda: moment if engine.turns == turns + 1 else None)
        await engine.rounds.turn()
        assert engine.turns == turns + 1
        await trio.sleep(0.24)
        assert engine.turns == turns + 1
        await trio.sleep(0.02)
        assert engine.turns == turns + 2


async def test_the_log_hears_of_day_ends_and_rules(autojump_clock: trio.testing.MockClock) -> None:
    with heard() as lines:
        engine = Engine(NOON, {1: MarketRules(True, 100, 20_000), 2: MarketRules(high=5)})
        async with keeping(engine):
            await trio.sleep(11)
    told = [{key: value for key, value in line.items() if key not in ("log_level", "component")} for line in lines]
    assert told == [
        {"event": "market halted", "symbol": "AAPL", "price_low": "1.00", "price_high": "200.00"},
        {"event": "market open", "symbol": "MSFT", "price_low": "none", "price_high": "0.05"},
        {"event": "day ended", "time": "1970-01-01T12:00:00+00:00", "orders_expired": 0},
    ]


async def test_expiries_are_told_in_summary(autojump_clock: trio.testing.MockClock) -> None:
    with heard() as lines:
        engine = Engine(None)
        async with keeping(engine):
            for _ in range(90):
                engine.core.happened.append(Expired(2))
                await engine.rounds.turn()
                await trio.sleep(1)
            assert [line["orders"] for line in lines] == [2, 120]
    assert [line["orders"] for line in lines] == [2, 120, 58], "the rest at the end"
