"""The check of a whole batch against one that looks at a record at a time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.orders.checks import check_batch
from orderd.orders.errors import BadOrder
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT, bit, fault_of_lots, fault_of_value
from orderd.wire.records import RECORD, TEXT_NUMBER, VALUE_MAX, Attribute, Kind
from tests.support.scale import examples

INSTRUMENTS = [1, 7]
Fields = tuple[int, int, int, int, int, int, int]


def faults(batch: list[Fields], index: int) -> set[str]:
    """All that is wrong with one record of a batch, as the error texts say it."""
    fields = batch[index]
    if fields[5] == Kind.EXTENSION:
        return faults_by_itself(fields, 0) | faults_of_place(batch, index)
    mask = 0
    while index and batch[index - 1][5] == Kind.EXTENSION:
        index -= 1
        mask |= bit(batch[index][6]) if 1 <= batch[index][6] <= 4 else 0
    return faults_by_itself(fields, mask)


def faults_of_place(batch: list[Fields], index: int) -> set[str]:
    """What is wrong with an extension among its neighbours."""
    found = set()
    own, end = batch[index], index + 1
    after = batch[end] if end < len(batch) else None
    if after is None or after[5] not in (Kind.NEW, Kind.EXTENSION) or (after[0], after[3]) != (own[0], own[3]):
        found.add("it stands before no order of its number and instrument")
    if index and batch[index - 1][5] == Kind.EXTENSION and batch[index - 1][6] >= own[6]:
        found.add("its attribute is said already, or must stand before the last one")
    while end < len(batch) and batch[end][5] == Kind.EXTENSION:
        end += 1
    if own[6] in (Attribute.DISPLAY, Attribute.MINIMUM) and end < len(batch):
        found |= {f"it {fault}" for fault in [fault_of_lots(own[6], own[2], batch[end][2])] if fault}
    return found


def faults_by_itself(fields: Fields, mask: int) -> set[str]:
    """``mask`` is what its extensions say."""
    number, price, quantity, instrument, account, kind, flags = fields
    found = set()
    if not Kind.NEW <= kind <= Kind.EXTENSION:
        found.add("its kind does not exist")
    if number >= TEXT_NUMBER:
        found.add("its number must be below 2**63")
    if instrument not in INSTRUMENTS and not (kind == Kind.MASS_CANCEL and not flags & 4):
        found.add("its instrument does not exist")
    quantity_is_bad = not 1 <= quantity <= VALUE_MAX
    if kind == Kind.NEW:
        market = flags >> 1 & 1
        found |= {CONTRADICTIONS[mask << MASK_SHIFT | flags]} - {""}
        found |= {"the price of a MARKET order must be 0"} if market and price != 0 else set()
        found |= {"its price must be above 0"} if not market and price <= 0 else set()
        found |= {"its quantity must be 1 to 2**63 - 1"} if quantity_is_bad else set()
    elif kind == Kind.MASS_CANCEL:
        found |= {"its flags do not exist"} if flags >> 4 else set()
        by_side, by_instrument, by_account = flags & 2, flags & 4, flags & 8
        unused = (flags & 1 and not by_side) or (instrument and not by_instrument) or (account and not by_account)
        found |= {"unused fields must be 0"} if number or price or quantity or unused else set()
    elif kind == Kind.EXTENSION:
        found |= {fault_of_value(flags, price, quantity, account)} - {""}
    else:
        found |= {"unused fields must be 0"} if flags or account else set()
        if kind == Kind.CANCEL:
            found |= {"unused fields must be 0"} if price or quantity else set()
        elif kind in (Kind.REPLACE, Kind.REPLACE_OPEN):
            found |= {"its price must be above 0"} if price <= 0 else set()
            found |= {"its quantity must be 1 to 2**63 - 1"} if quantity_is_bad else set()
    return found


good_new = st.tuples(
    st.integers(0, 40), st.integers(1, 9), st.one_of(st.integers(1, 9), st.sampled_from([1000, 1001, 2001])),
    st.sampled_from(INSTRUMENTS), st.integers(0, 65535), st.just(1), st.sampled_from([0, 1, 4, 5, 8, 12]),
)  # fmt: skip
good_cancel = st.tuples(
    st.integers(0, 40), st.just(0), st.just(0), st.sampled_from(INSTRUMENTS), st.just(0), st.just(2), st.just(0)
)


@st.composite
def good_extended(draw: st.DrawFn) -> list[Fields]:
    """An order that its extensions fit, unless they contradict each other or the flags."""
    number, price, quantity, instrument, account, kind, _ = draw(good_new)
    flags = draw(st.sampled_from([0, 1, 4, 16, 17, 32, 64, 128, 16, 24]))
    attributes = draw(st.sets(st.sampled_from(Attribute)))
    if flags & 16:
        attributes.add(Attribute.EXPIRY)
    values = [(a, draw(st.integers(1, min(9, quantity) if a in (2, 3) else 9))) for a in sorted(attributes)]
    records: list[Fields] = [
        (number, value, 0, instrument, 0, 6, a) if a == 1 else (number, 0, value, instrument, 0, 6, a)
        for a, value in values
    ]
    return [*records, (number, price, quantity, instrument, account, kind, flags)]


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


def packed(batch: list[Fields]) -> bytes:
    return b"".join(RECORD.pack(*fields) for fields in batch)


def one(fields: st.SearchStrategy[Fields]) -> st.SearchStrategy[list[Fields]]:
    return fields.map(lambda record: [record])


blocks = st.one_of(one(good_new), one(good_cancel), one(good_mass), good_extended(), good_extended(), one(any_fields))
batches = st.lists(blocks, min_size=1, max_size=6).map(lambda found: [record for block in found for record in block])


@st.composite
def nearly_good(draw: st.DrawFn) -> list[Fields]:
    """A batch that may be good, with perhaps one record taken out, doubled, or another in one field."""
    batch = draw(batches)
    at = draw(st.integers(0, len(batch) - 1))
    if draw(st.booleans()):
        return batch
    field, value = draw(
        st.sampled_from([(0, 7), (1, 0), (1, 3), (2, 0), (2, 3), (3, 7), (4, 1), (5, 1), (6, 2), (6, 4)])
    )
    record = batch[at]
    changed: Fields = (*record[:field], value, *record[field + 1 :])
    return draw(st.sampled_from([batch[:at] + batch[at + 1 :] or batch, batch[:at] + batch[at - 1 :],
        [*batch[:at], changed, *batch[at + 1 :]]]))  # fmt: skip


@settings(max_examples=examples(400))
@given(nearly_good())
def test_a_batch_is_taken_exactly_if_each_record_fits_and_no_new_number_comes_twice(batch: list[Fields]) -> None:
    data = packed(batch)
    wrong = [faults(batch, index) for index in range(len(batch))]
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
            assert index == next(i for i, found in enumerate(wrong) if found)
            assert why in wrong[index]
        return
    assert not any(wrong)
    assert len(set(numbers)) == len(numbers)
    assert (checked.count, checked.numbers) == (len(batch), numbers)
    assert checked.may_trade == any(fields[5] in (1, 3, 4) for fields in batch)
    assert checked.extensions == sum(fields[5] == Kind.EXTENSION for fields in batch)
    expiries = [(fields[2], i) for i, fields in enumerate(batch) if fields[5:] == (Kind.EXTENSION, Attribute.EXPIRY)]
    assert checked.expires_first == min(expiries, default=None)
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


@settings(max_examples=examples(200))
@given(
    st.one_of(
        st.binary(max_size=200), st.lists(any_fields, max_size=5).map(lambda f: b"".join(RECORD.pack(*r) for r in f))
    )
)
def test_any_bytes_are_a_batch_or_a_bad_order(data: bytes) -> None:
    try:
        checked = check_batch(data, INSTRUMENTS)
    except BadOrder:
        return
    assert checked.count * 32 == len(data)
