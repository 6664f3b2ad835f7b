"""What the entries of orderd's journal say, for people and programs, and whether they follow on each other. Pure.

An entry of a kind that this release does not know, and every entry of another application's journal, is shown as bytes.
"""

import datetime
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Any, Final

import attrs

from orderd.orders import entries
from orderd.orders.entries import EntryError, EntryKind
from orderd.runtime.decimals import DecimalError
from orderd.runtime.fields import FieldError
from orderd.runtime.instruments import Instrument
from orderd.runtime.timestamps import format_time_ns
from orderd.wire.paths import Path
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    FLAG_SELL,
    MASS_ACCOUNT,
    MASS_SIDE,
    RECORD,
    STP_MASK,
    STP_SHIFT,
    TIF_MASK,
    TIF_SHIFT,
    Attribute,
    Kind,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from orderd.wire.reports import RANGE, RANGE_BYTES, ExecType, Report, check_items, iter_items, iter_reports

APPLICATION: Final = b"orderd"
SHOWN_MAX: Final = 4
"""Orders, reports and the like in one line of text; JSON has all."""
_UNSHOWN: Final = frozenset({"records", "ids", "ages", "guards", "batches", "items"})
"""Shown within the orders and reports that they belong to."""

_TEXT_KEYS: Final = (
    *("batch_id", "exec_type", "kind", "attribute", "cl_ord_id", "order_id", "number", "side", "quantity"),
    *("instrument", "price", "count", "last_lots", "last_ticks", "reason", "type", "tif", "orders"),
    *("expire_time", "post_only", "stp"),
)
"""What one of a list shows of itself in a line of text, in this order."""

Fields = dict[str, Any]


def kind_name(application: bytes, kind: int) -> str:
    """The name of a record's kind in orderd's journal, its number in another's."""
    if application == APPLICATION and kind in set(EntryKind):
        return EntryKind(kind).name
    return str(kind)


class Decoder:
    """Reads entries in their order, so that instruments are known when orders name them."""

    def __init__(self, application: bytes) -> None:
        self.application = application
        self._instruments: dict[int, Instrument] = {}

    def fields(self, kind: int, payload: bytes) -> Fields:
        """What an entry says, for JSON. Raises :class:`EntryError` for one of orderd's that cannot be."""
        if self.application != APPLICATION:
            return {"bytes": payload.hex()}
        entry = entries.decode(kind, payload)
        if isinstance(entry, entries.InstrumentEntry):
            self._learn(entry)
        found: Fields = {
            field.name: _plain(getattr(entry, field.name))
            for field in attrs.fields(type(entry))
            if field.name not in _UNSHOWN and getattr(entry, field.name) is not None
        }
        if isinstance(entry, entries.Orders):
            found["batches"] = [_batch(entry, mark) for mark in entry.batches]
            found["orders"] = self._orders(entry)
        elif isinstance(entry, entries.ReportsEntry):
            found["path"] = Path(entry.path).name.lower()
            found["reports"] = list(_reports(entry))
        return found

    def learn(self, kind: int, payload: bytes) -> None:
        """Take note of an entry that is not shown."""
        if self.application == APPLICATION and kind == EntryKind.INSTRUMENT:
            entry = entries.decode(kind, payload)
            assert isinstance(entry, entries.InstrumentEntry)
            self._learn(entry)

    def _learn(self, entry: entries.InstrumentEntry) -> None:
        symbol, tick, lot = [*entry.text.split(" "), "", "", ""][:3]
        try:
            self._instruments[entry.id] = Instrument(symbol, entry.id, tick, lot)
        except (FieldError, DecimalError) as error:
            raise EntryError(f"instrument {entry.id}: {error}") from None

    def _orders(self, group: entries.Orders) -> list[Fields]:
        texts = dict(group.ids)
        ages = {mark.index: mark.maxage_ms for mark in group.ages}
        found = []
        for index, record in enumerate(RECORD.iter_unpack(group.records)):
            order = self._order(group.first + index, texts.get(index), record)
            found.append(order | {"max_age_ms": ages[index]} if index in ages else order)
        for mark in group.guards:
            for order in found[mark.index : mark.index + mark.count]:
                order["guard"] = mark.guard
        return found

    def _order(self, order_id: int, text_id: bytes | None, record: tuple[int, ...]) -> Fields:
        number, price, quantity, instrument_id, account, kind, flags = record
        name = Kind(kind).name if kind in set(Kind) else str(kind)
        found: Fields = {"order_id": order_id, "kind": name}
        if text_id is not None:
            found["cl_ord_id"] = text_id.decode("ascii", "backslashreplace")
        found["number"] = number
        instrument = self._instruments.get(instrument_id)
        if instrument_id:
            found["instrument"] = instrument_id if instrument is None else instrument.symbol
        if kind == Kind.NEW:
            tif = (flags & TIF_MASK) >> TIF_SHIFT
            found["side"] = Side(flags & FLAG_SELL).name
            found["type"] = "MARKET" if flags & FLAG_MARKET else "LIMIT"
            found["tif"] = TimeInForce(tif).name if tif in set(TimeInForce) else str(tif)
            found["account"] = account
            if flags & FLAG_POST_ONLY:
                found["post_only"] = True
            if flags & STP_MASK:
                found["stp"] = SelfTradePrevention(flags >> STP_SHIFT).name
        elif kind == Kind.EXTENSION:
            found["attribute"] = Attribute(flags).name if flags in set(Attribute) else str(flags)
            if flags == Attribute.EXPIRY:
                # Not a quantity, whatever the field is called.
                return found | {"expire_time": format_time_ns(quantity)}
        elif kind == Kind.MASS_CANCEL:
            if flags & MASS_SIDE:
                found["side"] = Side(flags & FLAG_SELL).name
            if flags & MASS_ACCOUNT:
                found["account"] = account
        if quantity:
            found["quantity"] = str(quantity) if instrument is None else instrument.format_quantity(quantity).decode()
        if price:
            found["price"] = str(price) if instrument is None else instrument.format_price(price).decode()
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _batch(group: entries.Orders, mark: entries.BatchMark) -> Fields:
    return {
        "batch_id": mark.batch_id.decode("ascii", "backslashreplace"),
        "first_order_id": group.first + mark.index,
        "orders": mark.count,
        "digest": mark.digest.hex(),
    }


def _reports(entry: entries.ReportsEntry) -> Iterator[Fields]:
    """Each item. A run of accepted orders stays one, with their count: it may stand for any number of reports."""
    number = entry.first
    for offset, length, count in iter_items(entry.items):
        if length == RANGE_BYTES:
            _, _, _, _, order, _ = RANGE.unpack_from(entry.items, offset)
            yield {"report": number, "exec_type": ExecType.NEW.name, "order_id": order, "count": count}
        else:
            yield from map(_report, iter_reports(entry.items[offset : offset + length], number))
        number += count


def _report(report: Report) -> Fields:
    found: Fields = {"report": report.report, "exec_type": report.exec_type.name, "order_id": report.order}
    if report.input != report.order:
        found["input"] = report.input
    if report.last_qty:
        found |= {"last_lots": report.last_qty, "last_ticks": report.last_px, "trade_id": report.trade_id}
    if report.reason:
        found["reason"] = report.reason.name
    return found


def text(found: Fields) -> str:
    """What :meth:`Decoder.fields` found, in one line."""
    parts = []
    for name, value in found.items():
        if name == "bytes":
            parts.append(value if len(value) <= 64 else f"{value[:64]}...")
        elif isinstance(value, list):
            shown = [
                " ".join(key if row[key] is True else str(row[key]) for key in _TEXT_KEYS if key in row)
                for row in value[:SHOWN_MAX]
            ]
            if len(value) > SHOWN_MAX:
                shown.append(f"and {len(value) - SHOWN_MAX} more")
            if shown:
                parts.append(f"{name}={len(value)} ({', '.join(shown)})")
        elif name.endswith("time_ns"):
            at = datetime.datetime.fromtimestamp(value // 10**9, datetime.UTC)
            parts.append(f"{name[:-3]}={at:%Y-%m-%dT%H:%M:%S}.{value % 10**9:09}Z")
        else:
            parts.append(f"{name}={value}")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in "  ".join(parts))


class Continuity:
    """Whether the entries of orderd's journal follow on each other: orders, reports and epochs, in their order."""

    def __init__(self) -> None:
        self.orders_end = 1
        self.reports_end = 1
        self.epoch = 0
        self._unknown: set[type] = set()

    def skip(self) -> None:
        """Entries are missing here, which is told elsewhere: what comes next may be anything."""
        self._unknown = {entries.Orders, entries.ReportsEntry}

    def take(self, kind: int, payload: bytes) -> range:
        """The order ids in an entry. Raises :class:`EntryError` if it cannot come next, and then goes on from it."""
        entry = entries.decode(kind, payload)
        if isinstance(entry, entries.Orders):
            expected, self.orders_end = self.orders_end, entry.first + len(entry.records) // RECORD.size
            self._compare(entry, "order", entry.first, expected)
            return range(entry.first, self.orders_end)
        if isinstance(entry, entries.ReportsEntry):
            expected, self.reports_end = self.reports_end, entry.first + check_items(entry.items)[1]
            self._compare(entry, "report", entry.first, expected)
        elif isinstance(entry, entries.Start):
            before, self.epoch = self.epoch, entry.epoch
            if entry.epoch <= before:
                raise EntryError(f"epoch {entry.epoch} follows {before}")
        return range(0)

    def _compare(self, entry: object, name: str, first: int, expected: int) -> None:
        if first != expected and type(entry) not in self._unknown:
            raise EntryError(f"{name} {first} follows {expected - 1}")
        self._unknown.discard(type(entry))
