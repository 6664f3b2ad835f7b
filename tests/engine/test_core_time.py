"""What time and settings do to orders is an input: journaled, done once, the same again in a rerun."""

from datetime import UTC, time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import core as core_module
from engine.agenda import Agenda, DayEnded, Expired, MarketChanged
from engine.core import ACKNOWLEDGED_ALONE, ACKNOWLEDGED_STEP, EngineCore
from engine.day_end import DayEnd
from engine.inputs import (
    AcknowledgedInput,
    CancelAllInput,
    DayEndInput,
    Entry,
    EpochInput,
    ExpireInput,
    Input,
    InputError,
    InstrumentInput,
    MarketInput,
    OrdersInput,
    decode,
)
from engine.markets import OPEN_MARKET, MarketRules
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, OrderStatus, Reason
from tests.support.lossy_link import ROUGH, World, mixed_records
from tests.support.matching import BUY, INSTRUMENT, SELL, cancel, limit, new_matcher
from tests.support.scale import examples
from tests.support.timed_orders import expiries, gtd
from tests.support.virtual_engine import INSTRUMENTS, exhaust

S = 1_000_000_000
DAY = 86_400 * S
AT_ONE = DayEnd(time(0, 21), UTC)
"""The world's clock begins 25.4 s before it."""
ONE = 21 * 60 * S
HALTED = MarketRules(True)


def inputs_of(entries: list[Entry]) -> list[Input]:
    return [decode(*entry) for entry in entries]


def core_after(entries: list[Entry], day_end: DayEnd | None = AT_ONE, **more: dict[int, MarketRules]) -> EngineCore:
    """Started on this journal, to which its start is added."""
    core = EngineCore(engine_id=7, secret=b"", instruments=INSTRUMENTS, day_end=day_end, **more)  # type: ignore[arg-type]
    for entry in entries:
        core.replay(*entry)
    entries += core.start()
    return core


def round_at(core: EngineCore, time_ns: int, journal: list[Entry]) -> list[Input]:
    """A round without datagrams; its inputs, which go to ``journal``."""
    exhaust(core.execute(time_ns))
    entries = core.take_entries()
    assert core.answers() == []
    journal += entries
    return inputs_of(entries)


def timed(world: World, *kinds: type) -> list[Input]:
    return [entry for entry in inputs_of(world.engine.durable) if isinstance(entry, kinds)]


def restarted(world: World, seconds: float = 0.0, *, commit_done: bool = False) -> EngineCore:
    """Killed, and started again when so much time has passed."""
    world.engine.crash(commit_done=commit_done)
    world.run(seconds)
    world.engine.start()
    assert world.engine.core is not None
    return world.engine.core


# Day ends


def test_a_day_ends_once_when_its_time_has_come() -> None:
    journal: list[Entry] = []
    core = core_after(journal)
    assert core.wake_at_ns() == 0, "the clock is needed to know when"
    assert round_at(core, ONE - 5, journal) == []
    assert core.wake_at_ns() == ONE
    assert round_at(core, ONE - 1, journal) == []
    assert round_at(core, ONE, journal) == [DayEndInput(ONE)]
    assert core.wake_at_ns() == ONE + DAY
    assert round_at(core, ONE + 1, journal) == []
    assert core.happened == [DayEnded(ONE, 0)]


def test_without_a_day_end_and_gtd_orders_no_round_is_needed() -> None:
    core = core_after([], None)
    assert core.wake_at_ns() is None
    exhaust(core.execute(5 * DAY))
    assert core.take_entries() == []
    assert core.wake_at_ns() is None


def test_a_day_end_that_fell_into_the_time_the_engine_was_down_is_done_at_its_start_and_once() -> None:
    journal: list[Entry] = []
    round_at(core_after(journal), ONE - 5, journal)
    journal.append(ExpireInput(ONE - 5).encode())  # the last stamp that is on disk
    core = core_after(journal)
    assert core.wake_at_ns() == ONE
    assert round_at(core, ONE + 3 * DAY + 7, journal) == [DayEndInput(ONE + 3 * DAY + 7)], (
        "three that were missed are one"
    )
    assert core.wake_at_ns() == ONE + 4 * DAY
    assert round_at(core, ONE + 3 * DAY + 8, journal) == []
    again = core_after(journal)
    assert round_at(again, ONE + 3 * DAY + 7, journal) == []
    assert again.wake_at_ns() == ONE + 4 * DAY


def test_a_clock_that_is_put_back_ends_no_day_twice() -> None:
    journal: list[Entry] = []
    core = core_after(journal)
    round_at(core, ONE - 5, journal)
    round_at(core, ONE + 5, journal)
    assert round_at(core, ONE - 5, journal) == []
    assert round_at(core, ONE + 1, journal) == []
    again = core_after(journal)
    assert round_at(again, ONE - 5, journal) == []
    assert round_at(again, ONE, journal) == []
    assert again.wake_at_ns() == ONE + DAY


@pytest.mark.parametrize(
    "entry", [CancelAllInput(ONE + 5, 9, Reason.REPORTS_FULL), OrdersInput(ONE + 5, 9, 1, 1, limit(1, BUY, 1, 100))]
)
def test_every_stamp_of_the_journal_counts(entry: CancelAllInput | OrdersInput) -> None:
    """A day end before it was done, and no later stamp is below it."""
    journal = [InstrumentInput(1, INSTRUMENTS.digest(1), "AAPL 0.01 1").encode(), EpochInput(9, 1, 1).encode()]
    core = core_after([*journal, entry.encode()])
    assert core.wake_at_ns() == ONE + DAY
    core.agenda.want({1: HALTED})
    assert round_at(core, ONE - 5, []) == [MarketInput(ONE + 5, 1, HALTED)]


def test_day_orders_expire_at_the_day_end_and_others_stay() -> None:
    world = World(sessions=2)
    world.engine.day_end = AT_ONE
    restarted(world)
    maker, other = world.ends
    maker.place(limit(1, BUY, 5, 100), limit(2, BUY, 5, 99, TimeInForce.GTC), limit(3, BUY, 5, 98))
    other.place(limit(1, SELL, 5, 101), *gtd(2, SELL, 5, 102, ONE + 60 * S), limit(4, SELL, 2, 100))
    world.settle()
    assert timed(world, DayEndInput) == []
    world.run(30)
    world.settle()
    (entry,) = timed(world, DayEndInput)
    assert isinstance(entry, DayEndInput)
    assert ONE <= entry.time_ns < ONE + S
    assert expiries(maker.told) == [(1, "DAY_END"), (3, "DAY_END")]
    assert expiries(other.told) == [(1, "DAY_END")]
    last = maker.told[-2]
    assert (last.status, last.cum_qty, last.transact_time_ns) == (OrderStatus.EXPIRED, 2, entry.time_ns)
    assert (sorted(maker.open), sorted(other.open)) == ([2], [3])


# GTD


def test_a_gtd_order_expires_without_any_traffic() -> None:
    world = World()
    due = int(world.now * S) + 5 * S
    world.end.place(*gtd(1, BUY, 5, 100, due), *gtd(2, BUY, 5, 99, due + 9 * S), limit(3, BUY, 5, 98))
    world.settle()
    world.run(4)
    assert world.end.open
    assert timed(world, ExpireInput) == []
    world.run(2)
    world.settle()
    assert expiries(world.end.told) == [(1, "EXPIRED")]
    (entry,) = timed(world, ExpireInput)
    assert isinstance(entry, ExpireInput)
    assert due <= entry.time_ns < due + S // 100
    world.run(10)
    world.settle()
    assert expiries(world.end.told) == [(1, "EXPIRED"), (2, "EXPIRED")]
    core = world.engine.core
    assert core is not None
    assert core.wake_at_ns() is None
    assert core.happened == [Expired(1), Expired(1)]


def test_what_is_due_is_done_before_the_orders_of_its_round() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    due = int(world.now * S) + 10 * S
    maker.place(*gtd(1, BUY, 5, 100, due))
    world.settle()
    world.engine.crash()
    taker.place(limit(1, SELL, 5, 100))
    world.run(20)
    world.engine.start()
    world.settle()
    kinds = [type(entry) for entry in timed(world, ExpireInput, OrdersInput)]
    assert kinds == [OrdersInput, ExpireInput, OrdersInput]
    assert expiries(maker.told) == [(1, "EXPIRED")]
    assert [report.exec_type for report in taker.told] == [ExecType.NEW]


@pytest.mark.parametrize(
    ("expiry_ns", "told"),
    [(ONE - 1, [(1, "EXPIRED"), (2, "DAY_END")]), (ONE + 1, [(2, "DAY_END"), (1, "EXPIRED")])],
)
def test_what_is_due_in_the_same_round_goes_by_its_time(expiry_ns: int, told: list[tuple[int, str]]) -> None:
    matcher, trader, _ = new_matcher()
    trader.send(*gtd(1, BUY, 5, 100, expiry_ns), limit(2, BUY, 5, 99), now_ns=ONE - S)
    trader.read()
    agenda = Agenda(matcher, [INSTRUMENT], AT_ONE)
    agenda.begin(ONE - S)
    for due in agenda.due(ONE + S):
        exhaust(agenda.execute(due))
    assert expiries(trader.read()) == told
    assert list(agenda.due(ONE + S)) == []


@pytest.mark.parametrize("commit_done", [False, True])
def test_an_engine_that_is_killed_while_it_commits_an_expiry_expires_once(commit_done: bool) -> None:
    world = World()
    world.end.place(*gtd(1, BUY, 5, 100, int(world.now * S) + 5 * S), limit(2, BUY, 5, 99))
    world.engine.day_end = AT_ONE
    world.settle()
    restarted(world)
    assert world.run(30, lambda: world.engine._round is not None and any(k == 6 for k, _ in world.engine._round))
    restarted(world, 1.0, commit_done=commit_done)
    world.settle()
    assert world.run(40, lambda: world.engine._round is not None and any(k == 7 for k, _ in world.engine._round))
    restarted(world, 1.0, commit_done=commit_done)
    world.settle()
    world.run(5)
    assert len(timed(world, ExpireInput)) == len(timed(world, DayEndInput)) == 1
    assert expiries(world.end.told) == [(1, "EXPIRED"), (2, "DAY_END")]


# Markets


def test_a_change_of_rules_is_an_input_and_the_same_rules_are_none() -> None:
    journal: list[Entry] = []
    core = core_after(journal, None, markets={1: HALTED})
    assert core.wake_at_ns() == 0
    assert round_at(core, 5, journal) == [MarketInput(5, 1, HALTED)]
    assert core.wake_at_ns() is None
    core.agenda.want({1: HALTED, 2: MarketRules(low=5)})
    assert core.wake_at_ns() == 0
    assert round_at(core, 6, journal) == [MarketInput(6, 2, MarketRules(low=5))]
    assert core.happened == [MarketChanged(1, HALTED), MarketChanged(2, MarketRules(low=5))]
    again = core_after(journal, None, markets={1: HALTED, 2: MarketRules(low=5)})
    assert round_at(again, 7, journal) == []
    changed = core_after(journal, None, markets={2: MarketRules(low=6)})
    expected: list[Input] = [MarketInput(8, 1, OPEN_MARKET), MarketInput(8, 2, MarketRules(low=6))]
    assert round_at(changed, 8, journal) == expected
    tool = core_after(journal, None)
    assert round_at(tool, 9, journal) == [], "who names no markets has those of the journal"
    assert tool.matcher.book(2).rules == MarketRules(low=6)


def test_a_market_of_an_instrument_that_was_never_named_is_an_input_error() -> None:
    core = EngineCore(engine_id=7, secret=b"", instruments=INSTRUMENTS)
    with pytest.raises(InputError, match="instrument 1 has a market"):
        core.replay(*MarketInput(1, 1, HALTED).encode())


def test_orders_are_refused_while_their_instrument_is_halted_and_cancels_pass() -> None:
    world = World()
    world.end.place(limit(1, BUY, 5, 100), limit(2, BUY, 5, 100))
    world.settle()
    world.engine.markets = {1: HALTED}
    restarted(world)
    world.end.place(limit(3, BUY, 5, 100), cancel(1), limit(4, BUY, 5, 100, instrument=2))
    world.settle()
    told = [(report.exec_type.name, report.reason.name) for report in world.end.told[2:]]
    assert told == [("REJECTED", "HALTED"), ("CANCELED", "NONE"), ("NEW", "NONE")]
    restarted(world)
    world.end.place(limit(5, BUY, 5, 100))
    world.settle()
    assert world.end.told[-1].reason.name == "HALTED"
    world.engine.markets = {}
    restarted(world)
    world.end.place(limit(6, SELL, 5, 100))
    world.settle()
    assert world.end.told[-1].exec_type is ExecType.TRADE
    assert len(timed(world, MarketInput)) == 2


# Acknowledgements


def test_what_a_maker_acknowledges_reaches_the_journal_though_it_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_module, "ACKNOWLEDGED_STEP", 100)
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(limit(1, BUY, 10**6, 100))
    for start in range(1, 200, 20):
        taker.place(*[limit(number, SELL, 1, 100) for number in range(start, start + 20)])
        world.settle()
        world.run(0.1)
    (told, *_) = timed(world, AcknowledgedInput)
    assert isinstance(told, AcknowledgedInput)
    assert told.session == maker.session
    assert 100 < told.acknowledged - 1 <= 200
    again = restarted(world)
    log = again.matcher._sessions[maker.session].reports
    assert log.acknowledged == told.acknowledged
    world.settle()


def test_acknowledgements_alone_are_worth_a_commit_only_when_they_are_many() -> None:
    journal: list[Entry] = [INSTRUMENT_ENTRY, EPOCH_ENTRY]
    core = core_after(journal, None)
    participant = core._participants[9]
    log = participant.receiver.log
    log.add_range(1, 3 * ACKNOWLEDGED_ALONE, 1, final=True)

    def acknowledge(upto: int) -> list[Input]:
        log.acknowledge(upto)
        core._active[9] = participant
        return round_at(core, 5, journal)

    assert acknowledge(ACKNOWLEDGED_STEP + 1) == []
    assert acknowledge(ACKNOWLEDGED_ALONE + 1) == []
    assert acknowledge(ACKNOWLEDGED_ALONE + 2) == [AcknowledgedInput(9, ACKNOWLEDGED_ALONE + 2)]
    assert acknowledge(2 * ACKNOWLEDGED_ALONE + 2) == []
    core.agenda.want({1: HALTED})
    expected: list[Input] = [MarketInput(5, 1, HALTED), AcknowledgedInput(9, 2 * ACKNOWLEDGED_ALONE + 2)]
    assert round_at(core, 5, journal) == expected, "along with another entry, though the session says nothing"


INSTRUMENT_ENTRY: Entry = (2, (1).to_bytes(4, "little") + INSTRUMENTS.digest(1) + b"AAPL 0.01 1")
EPOCH_ENTRY: Entry = (3, (9).to_bytes(8, "little") + bytes(8) + (1).to_bytes(4, "little"))


# All of it


@settings(max_examples=examples(8))
@given(st.integers(0, 2**32))
def test_a_rerun_gives_the_same_state_and_the_same_reports(seed: int) -> None:
    world = World(seed, ROUGH, sessions=2)
    rng = world.rng
    for start in range(1, 300, 50):
        world.engine.day_end = rng.choice([None, AT_ONE, DayEnd(time(0, 20), UTC), DayEnd(time(0, 22), UTC)])
        world.engine.markets = {1: MarketRules(rng.random() < 0.2, rng.choice([0, 98]), rng.choice([0, 103]))}
        if rng.random() < 0.5:
            restarted(world, rng.choice([0.0, 20.0]), commit_done=rng.random() < 0.5)
        for end in world.ends:
            now_ns = int(world.now * S)
            for number in range(start, start + 50, 5):
                end.place(*gtd(10_000 + number, rng.choice([BUY, SELL]), 2, 100, now_ns + rng.randrange(-S, 5 * S)))
                end.place(*mixed_records(rng, 5, number))
        world.run(rng.choice([0.002, 3.0]))
    world.settle(30.0)
    core = world.engine.core
    assert core is not None
    again = EngineCore(engine_id=7, secret=b"", instruments=INSTRUMENTS)
    for kind, payload in world.engine.durable:
        again.replay(kind, payload)
    assert again.matcher.state_hash() == core.matcher.state_hash()
    again.matcher.check_invariants()
    for end in world.ends:
        assert len(end.told) == again.matcher._sessions[end.session].reports.next - 1
