"""Records are 32 bytes with each field in its place."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from orderd.wire import records
from orderd.wire.records import KIND_OFFSET, RECORD, RECORD_BYTES, Kind, Side, TimeInForce, mass_flags, new_flags

FIELDS = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 255),
    st.integers(0, 255),
)


@given(FIELDS)
def test_fields_lie_where_the_table_says(fields: tuple[int, ...]) -> None:
    data = RECORD.pack(*fields)
    places = zip((0, 8, 16, 24, 28, 30, 31), "QqQIHBB", fields, strict=True)
    assert len(data) == RECORD_BYTES == 32
    assert all(struct.unpack_from("<" + code, data, offset) == (value,) for offset, code, value in places)


def test_each_combination_of_side_type_and_time_in_force_has_flags_of_its_own() -> None:
    seen = set()
    for side in Side:
        for market in (False, True):
            for tif in TimeInForce:
                flags = new_flags(side, market=market, time_in_force=tif)
                assert bool(flags & records.FLAG_SELL) == (side is Side.SELL)
                assert bool(flags & records.FLAG_MARKET) == market
                assert (flags & records.TIF_MASK) >> records.TIF_SHIFT == tif
                assert not flags & (records.FLAG_POST_ONLY | records.STP_MASK)
                seen.add(flags)
    assert len(seen) == 20


def test_each_choice_of_a_mass_cancel_has_flags_of_its_own() -> None:
    seen = set()
    for side in (None, *Side):
        for instrument in (False, True):
            for account in (False, True):
                flags = mass_flags(side, instrument=instrument, account=account)
                assert bool(flags & records.MASS_SIDE) == (side is not None)
                assert bool(flags & records.FLAG_SELL) == (side is Side.SELL)
                assert bool(flags & records.MASS_INSTRUMENT) == instrument
                assert bool(flags & records.MASS_ACCOUNT) == account
                assert not flags & ~records.MASS_FLAGS
                seen.add(flags)
    assert len(seen) == 12


def test_the_kind_can_be_read_and_changed_by_itself() -> None:
    record = bytearray(RECORD.pack(1, 2, 3, 4, 5, Kind.CANCEL, 6))
    assert record[KIND_OFFSET] == Kind.CANCEL
    record[KIND_OFFSET] = Kind.VOID
    assert RECORD.unpack(record) == (1, 2, 3, 4, 5, Kind.VOID, 6)
