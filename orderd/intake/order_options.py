"""The options of ORDER.NEW: what a text order says beyond side, quantity, type and price. Pure.

They are read for every order, and a plain one has few of them: each costs a few comparisons, and whether all of them go
together is one look into a table (:data:`orderd.wire.extensions.CONTRADICTIONS`).
"""

from typing import Final

from orderd.intake import words
from orderd.orders.ages import MAXAGE_MS_MAX
from orderd.orders.errors import BadOrder
from orderd.orders.modes import Mode
from orderd.runtime.instruments import Instrument
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT, bit, fault_of_lots, pack
from orderd.wire.records import FLAG_POST_ONLY, STP_SHIFT, TIF_SHIFT, Attribute, TimeInForce

ARGUMENTS: Final = {
    b"TIF": 1, b"ACCOUNT": 1, b"MODE": 1, b"STP": 1, b"MAXAGE": 1, b"POSTONLY": 0, b"GTD": 1, b"STOP": 1,
    b"DISPLAY": 1, b"MINQTY": 1,
}  # fmt: skip
"""Each option, and how many words it takes."""
ACCOUNT_MAX: Final = 65_535

_NOT_SUPPORTED: Final = frozenset[bytes]()
_GTD_FLAG: Final = TimeInForce.GTD << TIF_SHIFT

OrderOptions = tuple[Mode, int, int, int, bytes]
"""Mode, account, flags, MAXAGE in milliseconds (0: none), and unnumbered extensions."""


def parse(rest: list[bytes], instrument: Instrument, quantity: int, flags: int, mode: Mode) -> OrderOptions:
    """The options in ``rest``, the words behind the price, for an order of ``quantity`` lots.

    ``flags`` are those of side and type; ``mode`` is the one if none is asked for. Raises
    :class:`~orderd.orders.errors.BadOrder`. Whether an expiry is over is not asked here.
    """
    account = maxage_ms = mask = 0
    time_in_force: TimeInForce | None = None
    said: list[tuple[Attribute, int]] | None = None
    for name, value in words.options(rest, ARGUMENTS, _NOT_SUPPORTED):
        if name == b"TIF":
            time_in_force = words.time_in_force(value)
            flags |= time_in_force << TIF_SHIFT
        elif name == b"ACCOUNT":
            account = words.integer(value, "ACCOUNT", 0, ACCOUNT_MAX)
        elif name == b"MODE":
            mode = words.mode(value)
        elif name == b"MAXAGE":
            maxage_ms = words.integer(value, "MAXAGE", 1, MAXAGE_MS_MAX)
        elif name == b"STP":
            flags |= words.self_trade(value) << STP_SHIFT
        elif name == b"POSTONLY":
            flags |= FLAG_POST_ONLY
        else:
            attribute, amount = _attribute(name, value, instrument, quantity)
            mask |= bit(attribute)
            said = [*(said or ()), (attribute, amount)]
    if time_in_force is None and mask & bit(Attribute.EXPIRY):
        flags |= _GTD_FLAG
    why = CONTRADICTIONS[mask << MASK_SHIFT | flags]
    if why:
        raise BadOrder(why)
    return mode, account, flags, maxage_ms, pack(instrument.id, said) if said else b""


def _attribute(name: bytes, value: bytes, instrument: Instrument, quantity: int) -> tuple[Attribute, int]:
    if name == b"STOP":
        return Attribute.TRIGGER, words.price(value, instrument, "STOP")
    if name == b"GTD":
        return Attribute.EXPIRY, words.expiry_ns(value)
    lots = words.quantity(value, instrument, name.decode())
    attribute = Attribute.DISPLAY if name == b"DISPLAY" else Attribute.MINIMUM
    fault = fault_of_lots(attribute, lots, quantity)
    if fault:
        raise BadOrder(f"{name.decode()} {words.shown(value)} {fault}")
    return attribute, lots
