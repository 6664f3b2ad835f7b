"""What an order says beyond its record, and which of all that it says goes together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.wire.extensions import (
    CONTRADICTIONS,
    MASK_SHIFT,
    bit,
    expiry_of,
    fault_of_value,
    numbered,
    pack,
    values_of,
)
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    RECORD,
    RECORD_BYTES,
    STP_MASK,
    VALUE_MAX,
    Attribute,
    Kind,
    SelfTradePrevention,
    Side,
    TimeInForce,
    new_flags,
)
from tests.support.scale import examples

VALUES = st.dictionaries(st.sampled_from(Attribute), st.integers(1, VALUE_MAX))


@settings(max_examples=examples(100))
@given(VALUES, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_what_is_packed_is_read_again_under_any_number(
    values: dict[Attribute, int], number: int, instrument: int
) -> None:
    unnumbered = pack(instrument, values.items())
    records = numbered(unnumbered, number)
    assert numbered(records, 0) == unnumbered
    assert values_of(records) == values
    assert expiry_of(records) == values.get(Attribute.EXPIRY, 0)
    attributes = []
    for at in range(0, len(records), RECORD_BYTES):
        of, price, quantity, id_, account, kind, attribute = RECORD.unpack_from(records, at)
        assert (of, id_, kind) == (number, instrument, Kind.EXTENSION)
        assert fault_of_value(attribute, price, quantity, account) == ""
        attributes.append(attribute)
    assert attributes == sorted(values)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ((0, 1, 0, 0), "its attribute does not exist"),
        ((5, 0, 1, 0), "its attribute does not exist"),
        ((Attribute.TRIGGER, 1, 1, 0), "unused fields must be 0"),
        ((Attribute.TRIGGER, 0, 0, 0), "its value must be 1 to 2**63 - 1"),
        ((Attribute.TRIGGER, -1, 0, 0), "its value must be 1 to 2**63 - 1"),
        ((Attribute.DISPLAY, 1, 1, 0), "unused fields must be 0"),
        ((Attribute.DISPLAY, 0, 1, 1), "unused fields must be 0"),
        ((Attribute.MINIMUM, 0, 0, 0), "its value must be 1 to 2**63 - 1"),
        ((Attribute.EXPIRY, 0, 2**63, 0), "its value must be 1 to 2**63 - 1"),
    ],
)
def test_an_extension_that_does_not_fit_by_itself_is_named(fields: tuple[int, int, int, int], why: str) -> None:
    assert fault_of_value(*fields) == why


PAIRS_THAT_CONTRADICT = (
    *(("market", other) for other in ("gtc alone", "gtd alone", "post-only", "display")),
    *(("post-only", other) for other in ("ioc", "fok", "trigger", "minimum")),
    *(("display", other) for other in ("ioc", "fok")),
    *(("minimum", other) for other in ("fok", "trigger")),
    *(("trigger", other) for other in ("ioc", "fok")),
    ("expiry", "not gtd"),
    ("no expiry", "gtd"),
)


def contradicts(flags: int, mask: int) -> bool:
    """As the vocabulary says it, a pair at a time."""
    tif = TimeInForce((flags >> 2) & 7)
    has = {
        "market": bool(flags & FLAG_MARKET),
        "post-only": bool(flags & FLAG_POST_ONLY),
        "trigger": bool(mask & bit(Attribute.TRIGGER)),
        "display": bool(mask & bit(Attribute.DISPLAY)),
        "minimum": bool(mask & bit(Attribute.MINIMUM)),
        "expiry": bool(mask & bit(Attribute.EXPIRY)),
        **{time.name.lower(): tif is time for time in TimeInForce},
    }
    has |= {"not gtd": not has["gtd"], "no expiry": not has["expiry"]}
    has |= {f"{name} alone": has[name] and not has["trigger"] for name in ("gtc", "gtd")}
    return any(has[one] and has[other] for one, other in PAIRS_THAT_CONTRADICT)


def test_what_goes_together_is_what_the_vocabulary_says() -> None:
    assert len(CONTRADICTIONS) == 256 * 16
    for index, why in enumerate(CONTRADICTIONS):
        flags, mask = index & 0xFF, index >> MASK_SHIFT
        if (flags >> 2) & 7 > TimeInForce.GTD:
            assert why == "its time in force does not exist"
        else:
            assert bool(why) == contradicts(flags, mask), (flags, mask, why)
            assert why == CONTRADICTIONS[index & ~STP_MASK & ~1], "side and self-trade prevention go with everything"


def test_all_flags_of_an_order_have_their_place() -> None:
    flags = new_flags(
        Side.SELL,
        market=True,
        time_in_force=TimeInForce.GTD,
        post_only=True,
        self_trade=SelfTradePrevention.CANCEL_BOTH,
    )
    assert flags == 0b1111_0011
