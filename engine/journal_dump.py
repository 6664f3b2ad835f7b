"""What the records of an engine's journal say, a line each, for people and programs. Pure.

The order records of an input are shown one by one on request, with prices in ticks and quantities in lots, as the
journal has them.
"""

import datetime
from collections.abc import Iterator
from typing import Any, Final

import attrs

from engine.inputs import Input, InputKind, InstrumentInput, MarketInput, OrdersInput, decode
from orderd.wire.records import FLAG_MARKET, FLAG_SELL, RECORD, RECORD_BYTES, TIF_MASK, TIF_SHIFT, Kind, TimeInForce
from orderd.wire.reports import Reason

_NS_PER_S: Final = 1_000_000_000
_HEX: Final = frozenset({"session", "nonce"})

Facts = dict[str, Any]


def shown_time(time_ns: int) -> str:
    """UTC with nanoseconds, or a dash for none."""
    if not time_ns:
        return "-"
    moment = datetime.datetime.fromtimestamp(time_ns // _NS_PER_S, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % _NS_PER_S:09d}Z"


def facts_of(kind: int, payload: bytes) -> Facts:
    """What a journal record says. Raises :class:`~engine.inputs.InputError`."""
    entry = decode(kind, payload)
    return {"kind": InputKind(kind).name, **_fields(entry)}


def _fields(entry: Input) -> Facts:
    if isinstance(entry, InstrumentInput):
        symbol, tick, lot = entry.text.split(" ")
        return {"id": entry.id, "symbol": symbol, "tick": tick, "lot": lot}
    facts: Facts = {}
    for field in attrs.fields(type(entry)):
        value = getattr(entry, field.name)
        if field.name == "time_ns":
            facts["time"] = shown_time(value)
        elif field.name in _HEX:
            facts[field.name] = f"{value:016x}"
        elif field.name == "reason":
            facts["reason"] = Reason(value).name
        elif isinstance(entry, OrdersInput) and field.name == "records":
            facts["records"] = len(value) // RECORD_BYTES
        elif isinstance(entry, MarketInput) and field.name == "rules":
            facts |= attrs.asdict(value)
        else:
            facts[field.name] = value
    return facts


def orders_of(kind: int, payload: bytes) -> Iterator[Facts]:
    """Each order record of an ORDERS input; nothing for other kinds. Raises :class:`~engine.inputs.InputError`."""
    entry = decode(kind, payload)
    if not isinstance(entry, OrdersInput):
        return
    for sequence, fields in enumerate(RECORD.iter_unpack(entry.records), entry.first):
        number, price, quantity, instrument, account, record_kind, flags = fields
        yield {
            "sequence": sequence,
            "kind": Kind(record_kind).name if record_kind in set(Kind) else record_kind,
            "number": number,
            "instrument": instrument,
            **(_new(flags) if record_kind == Kind.NEW else {"flags": flags} if flags else {}),
            "quantity": quantity,
            "price": price,
            "account": account,
        }


def _new(flags: int) -> Facts:
    time_in_force = (flags & TIF_MASK) >> TIF_SHIFT
    return {
        "side": "SELL" if flags & FLAG_SELL else "BUY",
        "type": "MARKET" if flags & FLAG_MARKET else "LIMIT",
        "tif": TimeInForce(time_in_force).name if time_in_force in set(TimeInForce) else time_in_force,
        "flags": flags,
    }
