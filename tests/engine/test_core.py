"""A round of the engine: what it executes, journals and answers; a rerun of its journal gives the same again."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import SLICE_RECORDS, EngineCore, EngineLimits, InstrumentsChanged
from engine.inputs import CancelAllInput, EpochInput, InputError, InstrumentInput, OrdersInput, decode
from orderd.link.report_log import ReportLog
from orderd.link.terms import SenderSettings
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire import frames
from orderd.wire.bodies import Reports
from orderd.wire.errors import WireError
from orderd.wire.frames import FrameType
from orderd.wire.reports import ExecType, OrderStatus, Reason, iter_items
from tests.support.lossy_link import ROUGH, World, is_type, mixed_records
from tests.support.matching import BUY, SELL, cancel, limit
from tests.support.scale import examples
from tests.support.virtual_engine import INSTRUMENTS, rerun


def new_core(instruments: InstrumentTable = INSTRUMENTS, limits: EngineLimits | None = None) -> EngineCore:
    return EngineCore(engine_id=7, secret=b"", instruments=instruments, limits=limits)


def core_of(world: World) -> EngineCore:
    assert world.engine.core is not None
    return world.engine.core


def rebuilt(world: World) -> EngineCore:
    core = new_core(limits=world.engine.limits)
    for kind, payload in world.engine.durable:
        core.replay(kind, payload)
    return core


@settings(max_examples=examples(25))
@given(st.integers(0, 2**32), st.sampled_from([EngineLimits(), EngineLimits(reports_max=50)]))
def test_a_rerun_of_the_journal_gives_the_same_state_and_the_same_reports(seed: int, limits: EngineLimits) -> None:
    world = World(seed, ROUGH, sessions=2, limits=limits)
    for start in range(1, 900, 90):
        for offset, end in enumerate(world.ends):
            end.place(*mixed_records(world.rng, 45, start + 45 * offset))
        world.run(0.002)
    world.settle()
    core, again = core_of(world), rebuilt(world)
    assert again.matcher.state_hash() == core.matcher.state_hash()
    again.matcher.check_invariants()
    assert again.boot == core.boot
    for end in world.ends:
        log, log_again = (c.matcher._sessions[end.session].reports for c in (core, again))
        assert log_again.next == log.next
        assert log_again.acknowledged <= log.acknowledged
        assert log_again.read(log.acknowledged, 2**60) == log.read(log.acknowledged, 2**60)
        receiver, receiver_again = (c._participants[end.session].receiver for c in (core, again))
        assert receiver_again.next_sequence == receiver.next_sequence
        assert (receiver_again.epoch, receiver_again.nonce) == (receiver.epoch, receiver.nonce)


@settings(max_examples=examples(10))
@given(st.integers(0, 2**32))
def test_nothing_is_told_before_what_caused_it_is_on_disk(seed: int) -> None:
    world = World(seed, ROUGH, sessions=2)

    def on_disk(datagram: bytes) -> bool:
        if not is_type(datagram, FrameType.REPORTS):
            return True
        frame = frames.parse(datagram)
        logs, executed = rerun(world.engine.durable)
        if frame.session in logs:
            assert Reports.parse(frame).report_next <= logs[frame.session].next
        assert frame.ack <= len(executed.get(frame.session, b"")) // 32 + 1
        return True

    world.seen = on_disk
    for start in range(1, 120, 20):
        for offset, end in enumerate(world.ends):
            end.place(*mixed_records(world.rng, 10, start + 10 * offset))
        world.run(0.002)
    world.settle()


def test_a_round_has_no_answers_of_its_own_accord() -> None:
    world = World()
    core = core_of(world)
    world.run(0.1)
    world.engine.crash()
    datagrams: list[bytes] = []
    world.engine.arrive = lambda datagram, sender: datagrams.append(datagram)  # type: ignore[method-assign]
    world.end.place(limit(1, BUY, 1, 100))
    world.run(0.0002)
    core.receive(datagrams[0], "here")
    assert core.take_entries() == []
    for _ in core.execute(5):
        pass
    ((kind, payload),) = core.take_entries()
    entry = decode(kind, payload)
    assert isinstance(entry, OrdersInput)
    assert (entry.first, entry.records, entry.time_ns) == (1, limit(1, BUY, 1, 100), max(5, entry.time_ns))
    ((address, datagram),) = core.answers()
    assert (address, datagram[3]) == ("here", FrameType.REPORTS)
    assert core.answers() == []
    assert core.take_entries() == []


@settings(max_examples=examples(30))
@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=60))
def test_whatever_a_record_holds_its_sequence_is_used_up_and_reported(records: list[bytes]) -> None:
    world = World()
    world.end.place(*records)
    world.settle(1.0)
    assert sum(report.final for report in world.end.told) == len(records)


def test_a_record_that_makes_no_sense_is_rejected_and_the_next_one_is_not() -> None:
    world = World()
    world.end.place(
        limit(1, BUY, 0, 100), limit(2, BUY, 1, 100, instrument=77), bytes([1] * 30) + b"\x63\x00", bytes(32)
    )
    world.end.place(limit(3, BUY, 1, 100))
    world.settle()
    outcomes = [(report.exec_type, report.reason) for report in world.end.told]
    assert outcomes == [
        (ExecType.REJECTED, Reason.BAD_RECORD),
        (ExecType.REJECTED, Reason.UNKNOWN_INSTRUMENT),
        (ExecType.REJECTED, Reason.BAD_RECORD),
        (ExecType.VOIDED, Reason.NONE),
        (ExecType.NEW, Reason.NONE),
    ]


def test_two_sessions_trade_and_both_are_told() -> None:
    world = World(sessions=2)
    maker, taker = world.ends
    maker.place(limit(1, BUY, 3, 100))
    world.settle()
    taker.place(limit(1, SELL, 2, 99))
    assert world.run(0.01, lambda: len(maker.told) == 2 and len(taker.told) == 2)
    (_, sold), (_, bought) = taker.told, maker.told
    assert (bought.last_px, bought.last_qty, bought.leaves_qty, bought.taker, bought.input) == (100, 2, 1, False, 0)
    assert (sold.last_px, sold.last_qty, sold.leaves_qty, sold.taker, sold.final) == (100, 2, 0, True, True)
    assert bought.trade_id == sold.trade_id == 1


def test_a_session_that_does_not_take_its_reports_loses_its_resting_orders() -> None:
    world = World(sessions=2, limits=EngineLimits(reports_max=20))
    maker, taker = world.ends
    maker.place(*[limit(number, BUY, 10, 100) for number in range(1, 4)])
    world.run(1.0)
    world.seen = lambda datagram: int.from_bytes(datagram[8:16], "little") != maker.session
    number = 100
    while core_of(world).matcher._sessions[maker.session].live:
        number += 1
        assert number < 140
        taker.place(limit(number, SELL, 1, 100))
        world.run(0.01)
    (entry,) = [e for e in (decode(*pair) for pair in world.engine.durable) if isinstance(e, CancelAllInput)]
    assert (entry.session, entry.reason) == (maker.session, Reason.REPORTS_FULL)
    world.settle()
    canceled = [report for report in maker.told if report.exec_type is ExecType.CANCELED]
    assert [(r.reason, r.status, r.input, r.final) for r in canceled[:1]] == [
        (Reason.REPORTS_FULL, OrderStatus.CANCELED, 0, False)
    ]
    maker.place(limit(50, BUY, 1, 90))
    world.settle()


def test_a_session_full_of_resting_orders_can_still_cancel_them() -> None:
    world = World(limits=EngineLimits(reports_max=30))
    world.end.place(*[limit(number, BUY, 1, 100) for number in range(1, 60)])
    world.settle()
    assert len(world.end.open) == 59
    world.end.place(*[cancel(number) for number in range(1, 60)])
    world.settle()
    assert not world.end.open


def test_a_deep_book_comes_in_parts() -> None:
    world = World(settings=SenderSettings(datagram_bytes_max=512))
    world.end.place(*[limit(number, BUY, number, number) for number in range(1, 61)])
    world.end.place(*[limit(100 + number, SELL, number, 100 + number) for number in range(1, 31)])
    world.settle()
    world.end.ask_book(5, 1, 50)
    world.run(0.01)
    parts = world.end.books
    assert len(parts) == parts[0].parts > 5
    bids = [level for part in parts for level in part.bids]
    asks = [level for part in parts for level in part.asks]
    assert bids == [(price, price, 1) for price in range(60, 10, -1)]
    assert asks == [(100 + n, n, 1) for n in range(1, 31)]


def test_time_stamps_never_go_back() -> None:
    world = World()
    world.end.place(limit(1, BUY, 1, 100))
    world.settle()
    execute = core_of(world).execute
    core_of(world).execute = lambda now_ns: execute(5)  # type: ignore[method-assign]
    world.end.place(limit(2, BUY, 1, 100))
    world.settle()
    first, second = world.end.told
    assert second.transact_time_ns >= first.transact_time_ns > 5


@settings(max_examples=examples(200))
@given(st.binary(max_size=200), st.integers(1, 11))
def test_arbitrary_datagrams_raise_nothing_but_wire_errors(noise: bytes, type_: int) -> None:
    core = new_core()
    core.start()
    for datagram in (noise, b"\x64\x4f\x01" + bytes([type_]) + noise + bytes(64)):
        with pytest.raises(WireError):
            core.receive(datagram, "here")
    assert core.answers() == []


def test_instruments_are_journaled_once_and_may_be_added_but_not_changed() -> None:
    aapl, msft = Instrument("AAPL", 1, "0.01", "1"), Instrument("MSFT", 2, "0.01", "1")
    journal = new_core(InstrumentTable([aapl])).start()
    assert [kind for kind, _ in journal] == [2, 1]
    more = new_core(InstrumentTable([aapl, msft]))
    for entry in journal:
        more.replay(*entry)
    journal += more.start()
    assert [kind for kind, _ in journal] == [2, 1, 2, 1]
    assert more.boot == 2
    for changed in ([aapl], [aapl, Instrument("MSFT", 2, "0.05", "1")]):
        core = new_core(InstrumentTable(changed))
        for entry in journal:
            core.replay(*entry)
        with pytest.raises(InstrumentsChanged, match="instrument 2 is MSFT 0.01 1 in the journal"):
            core.start()


def test_a_large_group_is_executed_whole_and_a_slice_at_a_time() -> None:
    core = new_core()
    core.replay(*InstrumentInput(1, INSTRUMENTS.digest(1), "AAPL 0.01 1").encode())
    core.replay(*EpochInput(9, 1, 1).encode())
    orders = b"".join(limit(number, BUY, 1, 100) for number in range(1, 1501))
    core.replay(*OrdersInput(1, 9, 1, 1, orders).encode())
    participant = core._participants[9]
    assert list(participant.orders.live) == list(range(1, 1501))
    assert list(iter_counts(participant.receiver.log)) == [SLICE_RECORDS, SLICE_RECORDS, 1500 - 2 * SLICE_RECORDS]
    core.matcher.check_invariants()


def test_a_start_keeps_room_for_the_reports_of_live_orders() -> None:
    """Before anything else of their session happens: the credit that WELCOME tells is made of it."""
    world = World()
    world.end.place(*(limit(number, BUY, 1, 99) for number in range(1, 9)), cancel(8))
    world.settle()
    core = rebuilt(world)
    core.start()
    (participant,) = core._participants.values()
    assert participant.receiver.reserved == participant.orders.reserved == 7


def iter_counts(log: ReportLog) -> Iterator[int]:
    """How many reports each item stands for."""
    _, _, data = log.read(1, 2**60)
    return (count for _, _, count in iter_items(data))


def test_a_journal_that_contradicts_itself_is_an_input_error() -> None:
    core = new_core()
    orders = OrdersInput(1, 9, 2, 1, limit(1, BUY, 1, 100)).encode()
    with pytest.raises(InputError, match="was never opened"):
        core.replay(*orders)
    with pytest.raises(InputError, match="was never opened"):
        core.replay(*CancelAllInput(1, 9, Reason.REPORTS_FULL).encode())
    core.replay(3, b"\x09" + bytes(19))
    with pytest.raises(InputError, match="sequence 2 follows 0"):
        core.replay(*orders)
    core.replay(*InstrumentInput(1, INSTRUMENTS.digest(1), "AAPL 0.01 1").encode())
