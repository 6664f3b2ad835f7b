"""The codec of orderd's journal entries: what was written is read, and other bytes are refused as such."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.orders import entries
from orderd.orders.ages import MAXAGE_MS_MAX, AgeMark
from orderd.orders.entries import (
    AGE,
    AGES,
    GUARD,
    GUARDS,
    AnyEntry,
    BatchMark,
    EngineEntry,
    EntryError,
    EntryKind,
    GuardEnd,
    InstrumentEntry,
    Orders,
    ReportsEntry,
    Reserve,
    Start,
    TradingEntry,
)
from orderd.orders.guards import GuardMark
from orderd.orders.trading import TradingState
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import ExecType, Report, encode_full, encode_range

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
item = st.one_of(
    st.builds(encode_range, st.integers(1, 2**40), st.integers(1, 2**20), u64, final=st.booleans()),
    st.builds(
        lambda kind, order, number: encode_full(Report(0, kind, order, 0, False, 1, number=number)),
        st.sampled_from(list(ExecType)[1:]), u64, u64,
    ),
)  # fmt: skip


@st.composite
def orders(draw: st.DrawFn) -> Orders:
    count = draw(st.integers(1, 12))
    records = draw(st.binary(min_size=count * RECORD_BYTES, max_size=count * RECORD_BYTES))
    ids = draw(st.lists(st.tuples(st.integers(0, count - 1), st.binary(max_size=64)), max_size=4))
    marks, at = [], 0
    while at < count and draw(st.booleans()):
        at += draw(st.integers(0, 2))
        if at >= count:
            break
        size = draw(st.integers(1, count - at))
        digest, batch_id = draw(st.binary(min_size=16, max_size=16)), draw(st.binary(max_size=64))
        marks.append(BatchMark(at, size, digest, batch_id))
        at += size
    aged = draw(st.lists(st.integers(0, count - 1), unique=True, max_size=3))
    ages = [AgeMark(index, draw(st.integers(1, MAXAGE_MS_MAX)), draw(u64)) for index in sorted(aged)]
    guards, at = [], 0
    while at < count and draw(st.booleans()):
        at = draw(st.integers(at, count - 1))
        size = draw(st.integers(1, count - at))
        guards.append(GuardMark(at, size, draw(u64)))
        at += size
    return Orders(draw(u64), draw(u64), records, ids, marks, ages, guards)


any_entry: st.SearchStrategy[AnyEntry] = st.one_of(
    st.builds(Start, u32, u64),
    st.builds(InstrumentEntry, u32, st.binary(min_size=8, max_size=8), st.text(st.characters(max_codepoint=127))),
    st.builds(EngineEntry, u64),
    orders(),
    st.builds(ReportsEntry, u64, st.integers(0, 2), st.lists(item, max_size=5).map(b"".join)),
    st.builds(Reserve, u64),
    st.builds(GuardEnd, u64),
    st.builds(
        TradingEntry,
        st.sampled_from(TradingState),
        u64,
        st.text(st.characters(max_codepoint=127)),
        st.one_of(st.none(), st.integers(0, 65535)),
    ),
)


@given(any_entry)
def test_what_was_written_is_read(entry: AnyEntry) -> None:
    assert entries.decode(*entry.encode()) == entry


@given(st.integers(0, 12), st.binary(max_size=200))
def test_any_other_bytes_are_an_entry_error(kind: int, payload: bytes) -> None:
    try:
        entry = entries.decode(kind, payload)
    except EntryError:
        return
    assert entry.encode() == (kind, payload)


@given(any_entry, st.data())
def test_a_changed_length_never_goes_unseen(entry: AnyEntry, data: st.DataObject) -> None:
    kind, payload = entry.encode()
    if kind in (EntryKind.INSTRUMENT, EntryKind.REPORTS, EntryKind.TRADING, EntryKind.ACCOUNT_TRADING):
        return  # they end with something of any length
    with pytest.raises(EntryError):
        entries.decode(kind, payload[: data.draw(st.integers(0, len(payload) - 1))])
    with pytest.raises(EntryError):
        entries.decode(kind, payload + b"\0")


def test_a_group_with_no_ages_is_written_as_ever() -> None:
    group = Orders(7, 9, bytes(RECORD_BYTES), [(0, b"a")], [])
    assert (group.encode()[0], int(EntryKind.ORDERS)) == (EntryKind.ORDERS, 4)
    aged = Orders(7, 9, bytes(RECORD_BYTES), [(0, b"a")], [], [AgeMark(0, 5, 11)])
    assert aged.encode() == (EntryKind.AGED, AGES.pack(1) + AGE.pack(0, 5, 11) + group.encode()[1])


def test_a_guarded_group_is_its_guards_and_then_what_it_would_be_without() -> None:
    group = Orders(7, 9, bytes(2 * RECORD_BYTES), [(0, b"a")], [], [AgeMark(0, 5, 11)])
    guarded = attrs.evolve(group, guards=[GuardMark(1, 1, 2**40)])
    kind, payload = group.encode()
    expected = GUARDS.pack(1) + GUARD.pack(1, 1, 2**40) + bytes((kind,)) + payload
    assert guarded.encode() == (EntryKind.GUARDED, expected)
    with pytest.raises(EntryError, match="of kind 1"):
        entries.decode(EntryKind.GUARDED, GUARDS.pack(1) + GUARD.pack(0, 1, 1) + b"\1" + payload)


def test_a_trading_state_that_does_not_exist_is_refused() -> None:
    with pytest.raises(EntryError, match="trading state 3"):
        entries.decode(EntryKind.TRADING, bytes([3]) + bytes(8))
    with pytest.raises(EntryError, match="trading state 3"):
        entries.decode(EntryKind.ACCOUNT_TRADING, bytes([3]) + bytes(10))


@pytest.mark.parametrize(
    "entry",
    [
        Orders(1, 0, bytes(RECORD_BYTES), [(1, b"a")], []),
        Orders(1, 0, bytes(RECORD_BYTES), [], [BatchMark(0, 2, bytes(16), b"b")]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [BatchMark(1, 1, bytes(16), b"b")]),
        Orders(1, 0, bytes(2 * RECORD_BYTES), [], [BatchMark(0, 2, bytes(16), b"b"), BatchMark(1, 1, bytes(16), b"c")]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [], [AgeMark(1, 5, 0)]),
        Orders(1, 0, bytes(2 * RECORD_BYTES), [], [], [AgeMark(1, 5, 0), AgeMark(0, 5, 0)]),
        Orders(1, 0, bytes(2 * RECORD_BYTES), [], [], [AgeMark(0, 5, 0), AgeMark(0, 5, 0)]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [], [AgeMark(0, 0, 0)]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [], [AgeMark(0, MAXAGE_MS_MAX + 1, 0)]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [], [], [GuardMark(0, 2, 5)]),
        Orders(1, 0, bytes(RECORD_BYTES), [], [], [], [GuardMark(0, 0, 5)]),
        Orders(1, 0, bytes(2 * RECORD_BYTES), [], [], [], [GuardMark(0, 2, 5), GuardMark(1, 1, 6)]),
        ReportsEntry(1, 3, b""),
    ],
)
def test_an_entry_that_names_what_is_not_there_is_refused(entry: AnyEntry) -> None:
    with pytest.raises(EntryError):
        entries.decode(*entry.encode())
