"""What an order says beyond its 32 bytes, and what of all that it says goes together. Pure.

An order's extensions are records of kind EXTENSION right before its NEW, one for each :class:`Attribute`, ascending
(:mod:`orderd.wire.records`). *Unnumbered* extensions have number 0: what they say does not hang on the number under
which their order travels, so equal orders have equal unnumbered extensions.

What contradicts itself is one table for all who judge orders, by the flags of the NEW and the set of its attributes
(its *mask*: bit ``attribute - 1``). The names are the option words of ``ORDER.NEW``.
"""

from collections.abc import Iterable
from typing import Final

from orderd.wire.records import (
    DISPLAY_SLICES_MAX,
    FLAG_MARKET,
    FLAG_POST_ONLY,
    RECORD,
    RECORD_BYTES,
    TIF_MASK,
    TIF_SHIFT,
    VALUE_MAX,
    Attribute,
    Kind,
    TimeInForce,
)

NUMBER_BYTES: Final = 8
MASK_SHIFT: Final = 8
"""Of an attribute mask in the index of :data:`CONTRADICTIONS`; the flags of the NEW are below it."""
OPTIONS: Final = {
    Attribute.TRIGGER: "STOP",
    Attribute.DISPLAY: "DISPLAY",
    Attribute.MINIMUM: "MINQTY",
    Attribute.EXPIRY: "GTD",
}
"""The option word that sets each attribute."""


def bit(attribute: int) -> int:
    """Of an attribute within a mask."""
    return 1 << attribute - 1


def pack(instrument: int, values: Iterable[tuple[Attribute, int]]) -> bytes:
    """Unnumbered extensions of an order in ``instrument``; attributes in any order, each at most once."""
    return b"".join(
        RECORD.pack(0, value, 0, instrument, 0, Kind.EXTENSION, attribute)
        if attribute is Attribute.TRIGGER
        else RECORD.pack(0, 0, value, instrument, 0, Kind.EXTENSION, attribute)
        for attribute, value in sorted(values)
    )


def numbered(extensions: bytes, number: int) -> bytes:
    """``extensions`` under the number of their order."""
    head = number.to_bytes(NUMBER_BYTES, "little")
    return b"".join(
        head + extensions[at + NUMBER_BYTES : at + RECORD_BYTES] for at in range(0, len(extensions), RECORD_BYTES)
    )


def values_of(extensions: bytes) -> dict[Attribute, int]:
    """What extensions that fit say: prices in ticks, quantities in lots, the expiry in ns since 1970 UTC."""
    return {
        Attribute(attribute): price or quantity
        for _, price, quantity, _, _, _, attribute in RECORD.iter_unpack(extensions)
    }


def expiry_of(extensions: bytes) -> int:
    """When an order with these extensions expires, in ns since 1970 UTC; 0 if they do not say."""
    # The attributes ascend, and this is the last.
    if extensions and extensions[-1] == Attribute.EXPIRY:
        quantity: int = RECORD.unpack_from(extensions, len(extensions) - RECORD_BYTES)[2]
        return quantity
    return 0


def fault_of_value(attribute: int, price: int, quantity: int, account: int) -> str:
    """What is wrong with an extension that has these fields by itself, or an empty text."""
    if attribute not in OPTIONS:
        return "its attribute does not exist"
    used, unused = (price, quantity) if attribute == Attribute.TRIGGER else (quantity, price)
    if unused or account:
        return "unused fields must be 0"
    return "" if 0 < used <= VALUE_MAX else "its value must be 1 to 2**63 - 1"


def fault_of_lots(attribute: int, lots: int, quantity: int) -> str:
    """What is wrong with ``lots`` to be shown or traded at once of an order of ``quantity``, or an empty text."""
    if lots > quantity:
        return "is above the order's quantity"
    if attribute == Attribute.DISPLAY and lots * DISPLAY_SLICES_MAX < quantity:
        return f"is less than the order's quantity divided by {DISPLAY_SLICES_MAX}"
    return ""


_NOW: Final = ("TIF IOC", "TIF FOK")
_RULES: Final = (
    ("MARKET", ("POSTONLY", "DISPLAY"), "a market order never rests"),
    ("POSTONLY", _NOW, "what must not trade at once could only be cancelled"),
    ("POSTONLY", ("STOP",), "a triggered order is there to trade"),
    ("POSTONLY", ("MINQTY",), "what must not trade at once has no least quantity to trade at once"),
    ("DISPLAY", _NOW, "it never rests"),
    ("MINQTY", ("TIF FOK",), "all of it is filled, or nothing"),
    ("MINQTY", ("STOP",), "it does not trade at once"),
    ("STOP", _NOW, "a stop order waits for its trigger"),
)
"""One word, what it does not go with, and why."""


def _words(flags: int, mask: int) -> set[str]:
    """What an order has, as its options say it."""
    words = {OPTIONS[attribute] for attribute in Attribute if mask & bit(attribute)}
    words.add(f"TIF {TimeInForce((flags & TIF_MASK) >> TIF_SHIFT).name}")
    words |= {"MARKET"} if flags & FLAG_MARKET else set()
    words |= {"POSTONLY"} if flags & FLAG_POST_ONLY else set()
    return words


def _contradiction(flags: int, mask: int) -> str:
    tif = (flags & TIF_MASK) >> TIF_SHIFT
    if tif > TimeInForce.GTD:
        return "its time in force does not exist"
    has_expiry, has_trigger = mask & bit(Attribute.EXPIRY), mask & bit(Attribute.TRIGGER)
    if has_expiry and tif != TimeInForce.GTD:
        return f"GTD does not go with TIF {TimeInForce(tif).name}: an order has one time in force"
    if flags & FLAG_MARKET and not has_trigger and tif in (TimeInForce.GTC, TimeInForce.GTD):
        return f"MARKET takes TIF DAY, IOC or FOK, not {TimeInForce(tif).name}"
    if tif == TimeInForce.GTD and not has_expiry:
        return "TIF GTD needs the time when the order expires: GTD time"
    words = _words(flags, mask)
    for one, others, why in _RULES:
        for other in others:
            if one in words and other in words:
                return f"{one} does not go with {other}: {why}"
    return ""


CONTRADICTIONS: Final = tuple(
    _contradiction(index & 0xFF, index >> MASK_SHIFT) for index in range(1 << MASK_SHIFT + len(Attribute))
)
"""Why what an order says does not go together, or an empty text: by ``mask << MASK_SHIFT | flags`` of its NEW."""
