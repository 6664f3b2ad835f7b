"""Entries of the engine's journal survive a round trip; whatever else is there raises InputError and nothing else."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core import EngineCore
from engine.inputs import (
    AcknowledgedInput,
    Boot,
    CancelAllInput,
    DayEndInput,
    EpochInput,
    ExpireInput,
    Input,
    InputError,
    InstrumentInput,
    MarketInput,
    OrdersInput,
    decode,
)
from engine.markets import MarketRules
from orderd.wire.reports import Reason
from tests.support.virtual_engine import INSTRUMENTS

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
RECORDS = st.integers(0, 5).flatmap(lambda count: st.binary(min_size=count * 32, max_size=count * 32))
RULES = st.builds(
    lambda halted, limits, is_open: MarketRules(halted, min(limits), 0 if is_open else max(limits)),
    st.booleans(),
    st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    st.booleans(),
)
INPUT = st.one_of(
    st.builds(Boot, U32),
    st.builds(InstrumentInput, U32, st.binary(min_size=8, max_size=8), TEXT),
    st.builds(EpochInput, U64, U64, U32),
    st.builds(OrdersInput, U64, U64, U64, U64, RECORDS),
    st.builds(CancelAllInput, U64, U64, st.sampled_from(Reason).map(int)),
    st.builds(ExpireInput, U64),
    st.builds(DayEndInput, U64),
    st.builds(MarketInput, U64, U32, RULES),
    st.builds(AcknowledgedInput, U64, U64),
)


@given(INPUT)
def test_an_entry_survives_a_round_trip(entry: Input) -> None:
    assert decode(*entry.encode()) == entry


@given(st.integers(0, 255), st.binary(max_size=120))
def test_arbitrary_entries_raise_nothing_but_input_errors(kind: int, payload: bytes) -> None:
    with suppress(InputError):
        decode(kind, payload)


@given(
    st.lists(
        st.one_of(INPUT.map(lambda e: e.encode()), st.tuples(st.integers(0, 11), st.binary(max_size=90))), max_size=9
    )
)
def test_a_core_fed_with_them_raises_nothing_but_input_errors(entries: list[tuple[int, bytes]]) -> None:
    core = EngineCore(engine_id=7, secret=b"", instruments=INSTRUMENTS)
    with suppress(InputError):
        for kind, payload in entries:
            core.replay(kind, payload)


@given(INPUT.filter(lambda entry: not isinstance(entry, InstrumentInput)), st.integers(1, 31))
def test_a_cut_or_extended_entry_is_refused(entry: Input, by: int) -> None:
    kind, payload = entry.encode()
    for spoiled in (payload[:-by], payload + bytes(by)):
        with pytest.raises(InputError):
            decode(kind, spoiled)


def test_a_reason_that_does_not_exist_is_refused() -> None:
    kind, payload = CancelAllInput(1, 2, max(Reason) + 1).encode()
    with pytest.raises(InputError, match=f"reason {max(Reason) + 1} does not exist"):
        decode(kind, payload)


@pytest.mark.parametrize(
    ("halted", "low", "high", "problem"),
    [(2, 0, 0, "halted is 2"), (0, 7, 6, "above the high"), (0, 2**63, 0, "possible"), (1, 0, 2**64 - 1, "possible")],
)
def test_rules_that_cannot_be_are_refused(halted: int, low: int, high: int, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        decode(8, struct.pack("<QIBQQ", 1, 1, halted, low, high))


def test_the_layout_of_each_kind_that_time_and_settings_cause_is_fixed() -> None:
    assert ExpireInput(258).encode() == (6, b"\2\1" + bytes(6))
    assert DayEndInput(258).encode() == (7, b"\2\1" + bytes(6))
    rules = MarketRules(True, 3, 4)
    assert MarketInput(1, 2, rules).encode() == (8, struct.pack("<QIBQQ", 1, 2, 1, 3, 4))
    assert AcknowledgedInput(1, 2).encode() == (9, struct.pack("<QQ", 1, 2))


@pytest.mark.parametrize("kind", [0, 10, 255])
def test_a_kind_that_does_not_exist_is_refused(kind: int) -> None:
    with pytest.raises(InputError, match=f"kind {kind}"):
        decode(kind, bytes(32))
