"""A state that was written down and restored is the state: nothing is forgotten, and what follows is the same."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core import EngineCore
from engine.inputs import Boot, Entry
from engine.snapshot import VERSION, StateError, encode_state, restore_state, state_hash
from orderd.runtime.instruments import InstrumentTable
from tests.support.engine_inputs import INSTRUMENTS, EngineInputs
from tests.support.same_state import differences
from tests.support.scale import examples


def new_core() -> EngineCore:
    return EngineCore(engine_id=7, secret=b"", instruments=InstrumentTable(INSTRUMENTS))


def feed(core: EngineCore, entries: list[Entry]) -> EngineCore:
    for kind, payload in entries:
        core.replay(kind, payload)
    return core


def body_of(core: EngineCore) -> bytes:
    return b"".join(encode_state(core))


def restored(body: bytes) -> EngineCore:
    core = new_core()
    restore_state(core, VERSION, memoryview(body))
    return core


def histories(seed: int, before: int, after: int) -> tuple[list[Entry], list[Entry]]:
    inputs = EngineInputs(seed)
    return inputs.opening() + list(inputs.entries(before)), list(inputs.entries(after))


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_a_restored_state_is_equal_field_by_field_and_so_is_all_that_follows(seed: int, before: int) -> None:
    past, future = histories(seed, before, 60)
    core = feed(new_core(), past)
    again = restored(body_of(core))
    core.matcher.touched.clear()  # a start clears it
    assert differences(core, again) == []
    assert state_hash(again) == state_hash(core)
    assert again.matcher.state_hash() == core.matcher.state_hash()
    feed(core, future)
    feed(again, future)
    core.matcher.touched.clear()
    again.matcher.touched.clear()
    assert differences(core, again) == []
    assert body_of(again) == body_of(core)


def test_what_is_compared_holds_everything_that_orders_can_have() -> None:
    """Else the tests above would prove little."""
    past, _ = histories(5, 1500, 0)
    core = new_core()
    seen: set[tuple[str, bool]] = set()
    for entry in past:
        feed(core, [entry])
        for participant in core._participants.values():
            seen |= {("pending", participant.orders.extension is not None)}
            seen |= {("stops", participant.orders.stops > 2)}
            for order in participant.orders.live.values():
                extras = order.extras
                seen |= {("filled", order.filled > 0), ("replaced", order.replaced), ("plain", extras is None)}
                if extras is not None:
                    seen |= {("hidden", extras.hidden > 0), ("expires", extras.expiry_ns > 0), ("waits", extras.waits)}
                    seen |= {("triggered", extras.is_triggered)}
        for id_ in core._journaled_instruments:
            book = core.matcher.book(id_)
            seen |= {("last", book.last_price > 0), ("low", book.rules.low > 0), ("halted", book.rules.halted)}
    names = (
        "pending",
        "stops",
        "filled",
        "replaced",
        "plain",
        "hidden",
        "expires",
        "waits",
        "triggered",
        "last",
        "low",
        "halted",
    )
    assert seen == {(name, value) for name in names for value in (True, False)}


def test_a_field_that_is_forgotten_would_be_found() -> None:
    past, _ = histories(1, 300, 0)
    for forget in (
        lambda core: setattr(core.matcher, "next_trade_id", 1),
        lambda core: setattr(core.matcher.book(1), "last_price", 1),
        lambda core: setattr(next(iter(core._participants.values())).receiver, "epoch", 0),
        lambda core: next(iter(core._participants.values())).receiver.log.acknowledge(
            next(iter(core._participants.values())).receiver.log.next
        ),
    ):
        core, other = feed(new_core(), past), feed(new_core(), past)
        forget(other)
        assert differences(core, other) != []
        assert state_hash(core) != state_hash(other)


def test_the_same_journal_gives_the_same_bytes_whatever_was_restored_in_between() -> None:
    past, _ = histories(99, 900, 0)
    plain = feed(new_core(), past)
    stepwise = new_core()
    for start in range(0, len(past), 97):
        stepwise = restored(body_of(feed(stepwise, past[start : start + 97])))
    assert body_of(stepwise) == body_of(plain)


def test_a_new_engine_has_a_state_too() -> None:
    core = new_core()
    again = restored(body_of(core))
    assert differences(core, again) == []


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(StateError, match="version 2; this release reads version 1"):
        restore_state(new_core(), 2, memoryview(body_of(new_core())))


def small_state() -> bytes:
    past, _ = histories(3, 12, 0)
    return body_of(feed(new_core(), past))


SMALL = small_state()


def test_every_cut_is_refused() -> None:
    for end in range(len(SMALL)):
        with pytest.raises(StateError):
            restored(SMALL[:end])
    with pytest.raises(StateError):
        restored(SMALL + b"\0")


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_that_were_changed_raise_nothing_but_what_is_promised(changes: list[tuple[int, int]]) -> None:
    body = bytearray(SMALL)
    for at, value in changes:
        body[at] = value
    try:
        core = restored(bytes(body))
    except StateError:
        return
    # It happens to be a state: then it is one that does not contradict itself.
    core.matcher.check_invariants()
    body_of(core)


@given(st.binary(max_size=200))
def test_any_bytes_raise_nothing_but_what_is_promised(body: bytes) -> None:
    with pytest.raises(StateError):
        restored(body)


@pytest.mark.parametrize("count", [2**16, 2**32, 2**63])
def test_a_count_beyond_the_bytes_there_are_takes_no_memory(count: int) -> None:
    with pytest.raises(StateError):
        restored(struct.pack("<QIQQ", 0, 0, 1, 0) + struct.pack("<Q", count))


def test_an_order_refused_for_an_instrument_that_came_later_is_refused_in_a_rerun_too() -> None:
    """Settings that name an instrument do not change what happened before the journal knew it."""
    inputs = EngineInputs(8)
    opening = [entry for entry in inputs.opening() if entry[1][:4] != struct.pack("<I", 2) or entry[0] != 2]
    past = opening + list(inputs.entries(50))
    knows_later = feed(new_core(), past)
    never_knew = EngineCore(engine_id=7, secret=b"", instruments=InstrumentTable(INSTRUMENTS[::2]))
    assert body_of(knows_later) == body_of(feed(never_knew, past))
    assert Boot(1).encode()[0] in {entry[0] for entry in past}
