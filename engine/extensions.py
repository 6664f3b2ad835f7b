"""What extension records say, kept until the order that they are about comes with the next record. Pure.

An extension (:class:`orderd.wire.records.Attribute`) has a final report of its own, EXTENDED, whatever it holds. What
it says is judged with its NEW. That is the record that follows directly, with the same number and instrument; anything
else that follows drops it. So a session has at most one :class:`Extension`, made of all the extension records of one
order that came so far.
"""

import struct
from typing import Final

from engine.orders import Extras, Fields, Session
from engine.outcomes import tell_extended
from orderd.wire.extensions import bit, fault_of_value
from orderd.wire.records import Attribute

_CANONICAL: Final = struct.Struct("<QIB?QQQQ")


class Extension:
    """What was said of the order that may come next. Plain values; a snapshot holds all of them."""

    __slots__ = ("display", "expiry_ns", "instrument", "is_bad", "last", "minimum", "number", "trigger")

    def __init__(self, number: int, instrument: int) -> None:
        self.number = number
        self.instrument = instrument
        self.last = 0
        """The attribute that was said last: the next one must be above it."""
        self.is_bad = False
        """One of the records does not fit, so the order is refused."""
        self.trigger = 0
        """Ticks; 0 if it was not said, as for the others."""
        self.display = 0
        """Lots."""
        self.minimum = 0
        """Lots."""
        self.expiry_ns = 0
        """Since 1970 UTC."""

    @property
    def mask(self) -> int:
        """The set of its attributes, as :mod:`orderd.wire.extensions` has it."""
        return (
            (bit(Attribute.TRIGGER) if self.trigger else 0)
            | (bit(Attribute.DISPLAY) if self.display else 0)
            | (bit(Attribute.MINIMUM) if self.minimum else 0)
            | (bit(Attribute.EXPIRY) if self.expiry_ns else 0)
        )

    def is_about(self, fields: Fields) -> bool:
        """Whether the record with these fields has the number and instrument that it names."""
        return fields[0] == self.number and fields[3] == self.instrument

    def extras(self) -> Extras | None:
        """What its order keeps of it: all but a minimum, which is over once the order has come in."""
        if self.trigger or self.display or self.expiry_ns:
            return Extras(self.trigger, self.display, self.expiry_ns)
        return None

    def add(self, fields: Fields) -> None:
        """One more record of the same order; one that does not fit makes all of it bad."""
        _, price, quantity, _, account, _, attribute = fields
        if attribute <= self.last or fault_of_value(attribute, price, quantity, account):
            self.is_bad = True
            return
        self.last = attribute
        if attribute == Attribute.TRIGGER:
            self.trigger = price
        elif attribute == Attribute.DISPLAY:
            self.display = quantity
        elif attribute == Attribute.MINIMUM:
            self.minimum = quantity
        else:
            self.expiry_ns = quantity

    def canonical(self) -> bytes:
        """Its whole content in a fixed layout, for state hashes."""
        return _CANONICAL.pack(
            self.number, self.instrument, self.last, self.is_bad, self.trigger, self.display, self.minimum,
            self.expiry_ns,
        )  # fmt: skip


def extend(session: Session, sequence: int, fields: Fields, now_ns: int) -> None:
    """Execute the extension record ``sequence``."""
    extension = session.extension
    if extension is None or not extension.is_about(fields):
        extension = session.extension = Extension(fields[0], fields[3])
    extension.add(fields)
    tell_extended(session, sequence, fields, now_ns)
