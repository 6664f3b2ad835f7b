"""The check of a whole batch against one that looks at a record at a time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.orders.checks import check_batch
from orderd.orders.errors import BadOrder
from orderd.wire.records import RECORD, TEXT_NUMBER, VALUE_MAX, Kind

INSTRUMENTS = [1, 7]
Fields = tuple[int, int, int, int, int, int, int]


def faults(fields: Fields) -> set[str]:
    """All that is wrong with one record by itself, as the error texts say it."""
    number, price, quantity, instrument, account, kind, flags = fields
    found = set()
    if kind == Kind.EXTENSION:
        found.add("its kind is not supported")
    elif not Kind.NEW <= kind <= Kind.MASS_CANCEL:
        found.add("its kind does not exist")
    if number >= TEXT_NUMBER:
        found.add("its number must be below 2**63")
    if instrument not in INSTRUMENTS and not (kind == Kind.MASS_CANCEL and not flags & 4):
        found.add("its instrument does not exist")
    quantity_is_bad = not 1 <= quantity <= VALUE_MAX
    if kind == Kind.NEW:
        market, tif = flags >> 1 & 1, flags >> 2 & 7
        found |= {"POSTONLY is not supported"} if flags >> 5 & 1 else set()
        found |= {"STP is not supported"} if flags >> 6 else set()
        found |= {"TIF GTD is not supported"} if tif == 4 else set()
        found |= {"its time in force does not exist"} if tif > 4 else set()
        found |= {"MARKET takes TIF DAY, IOC or FOK"} if market and tif == 1 else set()
        found |= {"the price of a MARKET order must be 0"} if market and price != 0 else set()
        found |= {"its price must be above 0"} if not market and price <= 0 else set()
        found |= {"its quantity must be 1 to 2**63 - 1"} if quantity_is_bad else set()
    elif kind == Kind.MASS_CANCEL:
        found |= {"its flags do not exist"} if flags >> 4 else set()
        by_side, by_instrument, by_account = flags & 2, flags & 4, flags & 8
        unused = (flags & 1 and not by_side) or (instrument and not by_instrument) or (account and not by_account)
        found |= {"unused fields must be 0"} if number or price or quantity or unused else set()
    else:
        found |= {"unused fields must be 0"} if flags or account else set()
        if kind == Kind.CANCEL:
            found |= {"unused fields must be 0"} if price or quantity else set()
        elif kind in (Kind.REPLACE, Kind.REPLACE_OPEN):
            found |= {"its price must be above 0"} if price <= 0 else set()
            found |= {"its quantity must be 1 to 2**63 - 1"} if quantity_is_bad else set()
    return found


good_new = st.tuples(
    st.integers(0, 40), st.integers(1, 9), st.integers(1, 9), st.sampled_from(INSTRUMENTS), st.integers(0, 65535),
    st.just(1), st.sampled_from([0, 1, 4, 5, 8, 12]),
)  # fmt: skip
good_cancel = st.tuples(
    st.integers(0, 40), st.just(0), st.just(0), st.sampled_from(INSTRUMENTS), st.just(0), st.just(2), st.just(0)
)
good_mass = st.tuples(
    st.just(0), st.just(0), st.just(0), st.sampled_from([0, 1, 2]), st.sampled_from([0, 7]), st.just(5),
    st.sampled_from([0, 2, 3, 4, 8, 6, 15]),
)  # fmt: skip
any_fields = st.tuples(
    st.sampled_from([0, 5, 2**63 - 1, 2**63, 2**64 - 1]),
    st.sampled_from([-(2**63), -1, 0, 1, 2**63 - 1]),
    st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]),
    st.sampled_from([0, 1, 2, 7, 2**32 - 1]),
    st.sampled_from([0, 0, 1, 65535]),
    st.integers(0, 8),
    st.one_of(st.just(0), st.integers(0, 255)),
)


@given(st.lists(st.one_of(good_new, good_new, good_cancel, good_mass, any_fields), min_size=1, max_size=8))
def test_a_batch_is_taken_exactly_if_each_record_fits_and_no_new_number_comes_twice(batch: list[Fields]) -> None:
    data = b"".join(RECORD.pack(*fields) for fields in batch)
    wrong = [faults(fields) for fields in batch]
    numbers = [fields[0] for fields in batch if fields[5] == Kind.NEW]
    try:
        checked = check_batch(data, INSTRUMENTS)
    except BadOrder as error:
        match = re.fullmatch(r"record (\d+): (.*)", str(error))
        assert match is not None
        index, why = int(match[1]), match[2]
        if why == "its number is repeated in the batch":
            assert not any(wrong)
            repeated = [
                i for i, f in enumerate(batch) if f[5] == Kind.NEW and any(
                    g[5] == Kind.NEW and g[0] == f[0] for g in batch[:i]
                )
            ]  # fmt: skip
            assert index == repeated[0]
        else:
            assert index == next(i for i, found in enumerate(wrong) if why in found)
        return
    assert not any(wrong)
    assert len(set(numbers)) == len(numbers)
    assert (checked.count, checked.numbers) == (len(batch), numbers)
    assert checked.may_trade == any(fields[5] in (1, 3, 4) for fields in batch)
    assert checked.indexes in (None, [i for i, fields in enumerate(batch) if fields[5] == Kind.NEW])
    assert (checked.indexes is None) == (len(numbers) == len(batch))
    if checked.consecutive:
        assert numbers == list(range(numbers[0], numbers[0] + len(batch)))


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(33)])
def test_a_batch_is_whole_records(data: bytes) -> None:
    with pytest.raises(BadOrder, match="whole number of 32 bytes"):
        check_batch(data, INSTRUMENTS)


def test_numbers_at_the_far_end_are_no_run_beyond_it() -> None:
    data = b"".join(RECORD.pack(2**63 - 1 - i, 1, 1, 1, 0, 1, 0) for i in range(3))
    checked = check_batch(data, INSTRUMENTS)
    assert (checked.numbers, checked.consecutive) == ([2**63 - 1, 2**63 - 2, 2**63 - 3], False)
