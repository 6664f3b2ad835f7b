"""Orders as records of 32 bytes, for batches. Pure; ``arrays`` makes them of numpy arrays.

A record says what ORDER.NEW says in whole ticks and lots; its number is its ``cl_ord_id``, in decimal. What has no
place in a record (an id as text, a mode, a maximal age) is a ValueError; so is a value that is no whole number of
steps. Records may be joined: ``cancel_record(7, 1) + new_records``.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Final

import attrs

from orderd.client.replies import BatchOutcome, Instrument
from orderd.client.values import NewOrder, TimeInForce, number_text, time_text
from orderd.runtime.decimals import scale
from orderd.wire import extensions, records
from orderd.wire.records import RECORD, Attribute, Kind

RECORDS_MAX: Final = 30_000
"""How many one batch may have with the daemon's default ``query_bytes_max``."""
_NS: Final = 1_000_000_000


@attrs.frozen
class Numbered:
    """A batch whose orders were numbered in their order from ``first_number`` on."""

    outcome: BatchOutcome
    first_number: int

    def cl_ord_id(self, index: int) -> str:
        """The id of the batch's order number ``index``, from 0."""
        return str(self.first_number + index)


def batch_records(orders: Iterable[NewOrder], instruments: Mapping[str, Instrument], first_number: int) -> bytes:
    """The records of ``orders``, numbered from ``first_number``. Raises ValueError, naming the order's index."""
    out = bytearray()
    for index, order in enumerate(orders):
        try:
            out += new_record(order, instruments, first_number + index)
        except ValueError as error:
            raise ValueError(f"order {index}: {error}") from None
    return bytes(out)


def new_record(order: NewOrder, instruments: Mapping[str, Instrument], number: int) -> bytes:
    """One order, after its extensions if it says more than a record holds."""
    instrument = instruments.get(order.symbol)
    if instrument is None:
        raise ValueError(f"symbol {order.symbol!r} does not exist")
    if order.cl_ord_id or order.mode is not None or order.max_age_ms is not None:
        raise ValueError("cl_ord_id, mode and max_age_ms have no place in a record")
    if not 0 <= order.account <= 0xFFFF:
        raise ValueError(f"account {order.account} must be from 0 to 65535")
    more = extensions.pack(instrument.id, _more(order, instrument))
    price = 0 if order.price is None else ticks(order.price, instrument)
    quantity = lots(order.quantity, instrument)
    new = RECORD.pack(number, price, quantity, instrument.id, order.account, Kind.NEW, _flags(order))
    return extensions.numbered(more, number) + new


def cancel_record(number: int, instrument_id: int) -> bytes:
    """The cancel of the order with that number."""
    return RECORD.pack(number, 0, 0, instrument_id, 0, Kind.CANCEL, 0)


def replace_record(number: int, instrument_id: int, quantity_lots: int, price_ticks: int, *, is_open: bool) -> bytes:
    """The replace of the order with that number."""
    kind = Kind.REPLACE_OPEN if is_open else Kind.REPLACE
    return RECORD.pack(number, price_ticks, quantity_lots, instrument_id, 0, kind, 0)


def ticks(price: object, instrument: Instrument) -> int:
    """A price in whole ticks. Raises ValueError if it is none, TypeError for a float."""
    return scale("price", format(instrument.tick, "f")).parse(number_text(price, "price").encode("ascii"))


def lots(quantity: object, instrument: Instrument) -> int:
    """A quantity in whole lots. Raises ValueError if it is none, TypeError for a float."""
    return scale("quantity", format(instrument.lot, "f")).parse(number_text(quantity, "quantity").encode("ascii"))


def price_of(price_ticks: int, instrument: Instrument) -> Decimal:
    """The price that whole ticks are."""
    return price_ticks * instrument.tick


def _more(order: NewOrder, instrument: Instrument) -> Iterable[tuple[Attribute, int]]:
    if order.stop is not None:
        yield Attribute.TRIGGER, ticks(order.stop, instrument)
    if order.display is not None:
        yield Attribute.DISPLAY, lots(order.display, instrument)
    if order.min_qty is not None:
        yield Attribute.MINIMUM, lots(order.min_qty, instrument)
    if order.gtd is not None:
        yield Attribute.EXPIRY, _time_ns(time_text(order.gtd))


def _flags(order: NewOrder) -> int:
    tif = order.tif if order.tif is not None else TimeInForce.DAY if order.gtd is None else TimeInForce.GTD
    stp = "NONE" if order.stp is None else order.stp
    try:
        side, time_in_force = records.Side[order.side.upper()], records.TimeInForce[tif.upper()]
        prevention = records.SelfTradePrevention[stp.upper()]
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is no side, time in force or self-trade prevention") from None
    flags = records.new_flags(side, market=order.price is None, time_in_force=time_in_force)
    return flags | order.post_only * records.FLAG_POST_ONLY | prevention << records.STP_SHIFT


def _time_ns(text: str) -> int:
    if text.isascii() and text.isdigit():
        return int(text) * 1_000_000
    when = datetime.fromisoformat(text)
    offset = when.utcoffset()
    if offset is None:
        raise ValueError(f"gtd {text!r} needs a time zone")
    since = when.replace(tzinfo=None) - offset - datetime(1970, 1, 1)  # noqa: DTZ001
    return (since.days * 86_400 + since.seconds) * _NS + since.microseconds * 1000
