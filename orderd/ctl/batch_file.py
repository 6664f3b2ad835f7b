"""Files of orders, cancels and replaces, read into records of 32 bytes. Pure.

Three formats: ``csv`` with a line of column names first, ``jsonl`` with one object a line, and ``records``, which holds
records as they travel. The columns, or keys:

========= ======================================================================================================
kind      NEW (default), CANCEL, REPLACE (to a new total), REPLACE_OPEN (to a new open quantity), MASS_CANCEL
number    below 2**63; names the order. May be missing for NEW: then a number is taken that was never used
symbol    of an instrument; of the order's, for cancels and replaces
side      BUY or SELL; NEW and MASS_CANCEL
type      LIMIT or MARKET; NEW only; default LIMIT with a price, else MARKET
quantity  decimal, whole lots; not for CANCEL
price     decimal, whole ticks; not for MARKET and CANCEL
tif       DAY (default), GTC, IOC, FOK; NEW only
account   0 to 65535; NEW, where the default is 0, and MASS_CANCEL
post_only YES or NO (default); NEW only, as all that follow
stp       NONE (default), CANCEL_NEWEST, CANCEL_OLDEST, CANCEL_BOTH
gtd       when it expires: RFC 3339 with a zone, or milliseconds since 1970 UTC
stop      decimal, whole ticks: the trigger of a stop order
display   decimal, whole lots: how much of it shows
min_qty   decimal, whole lots: how much must trade at once
========= ======================================================================================================

A MASS_CANCEL is for all open orders that have what it has of symbol, side and account. What a kind does not have must
be missing or empty. Prices and quantities are never floats: a number in JSON is taken as
it is written.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from orderd.ctl.errors import InputError
from orderd.orders.checks import check_batch
from orderd.orders.errors import BadOrder
from orderd.runtime.decimals import DecimalError
from orderd.runtime.instruments import Instrument
from orderd.runtime.timestamps import TimestampError, parse_time_ns
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT, bit, fault_of_lots, numbered, pack
from orderd.wire.records import (
    KIND_OFFSET,
    RECORD,
    RECORD_BYTES,
    Attribute,
    Kind,
    SelfTradePrevention,
    Side,
    TimeInForce,
    mass_flags,
    new_flags,
)

COLUMNS: Final = (
    *("kind", "number", "symbol", "side", "type", "quantity", "price", "tif", "account"),
    *("post_only", "stp", "gtd", "stop", "display", "min_qty"),
)
FORMATS: Final = ("csv", "jsonl", "records")
SUFFIXES: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".bin": "records", ".records": "records"}
ACCOUNT_MAX: Final = 65_535
NUMBER_MAX: Final = 2**63 - 1

_TAKEN: Final = (Kind.NEW, Kind.CANCEL, Kind.REPLACE, Kind.REPLACE_OPEN, Kind.MASS_CANCEL)
_KINDS: Final = {kind.name: kind for kind in _TAKEN}
_SIDES: Final = {side.name: side for side in Side}
_TYPES: Final = ("LIMIT", "MARKET")
_TIMES: Final = {time.name: time for time in TimeInForce}
_YES_OR_NO: Final = {"YES": True, "NO": False, "TRUE": True, "FALSE": False}
_SELF_TRADES: Final = {stp.name: stp for stp in SelfTradePrevention}
_USED: Final = {
    Kind.NEW: frozenset(COLUMNS),
    Kind.CANCEL: frozenset({"kind", "number", "symbol"}),
    Kind.REPLACE: frozenset({"kind", "number", "symbol", "quantity", "price"}),
    Kind.REPLACE_OPEN: frozenset({"kind", "number", "symbol", "quantity", "price"}),
    Kind.MASS_CANCEL: frozenset({"kind", "symbol", "side", "account"}),
}
_RECORD_NAMED: Final = re.compile(r"record (\d+): (.*)", re.DOTALL)

Instruments = Mapping[str, Instrument]
Row = dict[str, str]


class _Misfit(ValueError):
    """What is wrong with a row."""


@attrs.frozen
class Parsed:
    """The records of a file, and what each came from: the number of its line, or for ``records`` its place from 1.

    An order's extensions stand before it and come from the same line.
    """

    name: str
    records: bytes
    lines: list[int]
    unnumbered: list[int]
    """Indexes of NEW records that have no number yet."""
    unit: str = "line"

    @property
    def count(self) -> int:
        """How many records there are."""
        return len(self.lines)

    @property
    def orders(self) -> int:
        """How many of them are an order or a request of their own."""
        return self.count - self.records[KIND_OFFSET::RECORD_BYTES].count(Kind.EXTENSION)

    def cuts(self, size: int) -> list[int]:
        """Where to begin batches of at most ``size`` records, and the end: an order goes with its extensions."""
        kinds = self.records[KIND_OFFSET::RECORD_BYTES]
        found = [0]
        while found[-1] < self.count:
            end = min(found[-1] + size, self.count)
            while end > found[-1] and kinds[end - 1] == Kind.EXTENSION:
                end -= 1
            if end == found[-1]:
                # Longer than that: it is for the daemon to say whether it takes so much.
                end = min(end + size, self.count)
                while end < self.count and kinds[end - 1] == Kind.EXTENSION:
                    end += 1
            found.append(end)
        return found

    def place(self, index: int) -> str:
        """Where a record comes from, for people."""
        return f"{self.name}: {self.unit} {self.lines[index]}"

    def numbered(self, first: int) -> bytes:
        """The records, with numbers from ``first`` on for those that have none."""
        filled = bytearray(self.records)
        for number, index in enumerate(self.unnumbered, first):
            at = index * RECORD_BYTES
            filled[at : at + 8] = number.to_bytes(8, "little")
            while at and filled[at - RECORD_BYTES + KIND_OFFSET] == Kind.EXTENSION:
                at -= RECORD_BYTES
                filled[at : at + 8] = number.to_bytes(8, "little")
        return bytes(filled)

    def check(self, records: bytes, instruments: Instruments) -> None:
        """Raises :class:`InputError` for the first record that the daemon would refuse for what it says."""
        try:
            check_batch(records, [instrument.id for instrument in instruments.values()])
        except BadOrder as error:
            raise InputError(self.explain(str(error))) from None

    def explain(self, text: str, offset: int = 0) -> str:
        """An error that names a record, counted from 0 behind ``offset``, in terms of the file."""
        match = _RECORD_NAMED.search(text)
        if match is None or offset + int(match[1]) >= self.count:
            return text
        return f"{text[: match.start()]}{self.place(offset + int(match[1]))}: {match[2]}"


def parse(name: str, data: bytes, format_: str, instruments: Instruments) -> Parsed:
    """Reads all of a file. Raises :class:`InputError`, naming the first line that does not fit."""
    if format_ == "records":
        if not data or len(data) % RECORD_BYTES:
            raise InputError(f"{name}: {len(data)} bytes are not a whole number of records of {RECORD_BYTES}")
        return Parsed(name, data, list(range(1, len(data) // RECORD_BYTES + 1)), [], "record")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}: line {line}: is not UTF-8 text") from None
    rows = _csv_rows(name, text) if format_ == "csv" else _json_rows(name, text)
    packed: list[bytes] = []
    lines: list[int] = []
    unnumbered: list[int] = []
    for line, row in rows:
        try:
            record, has_number = _record(row, instruments)
        except _Misfit as error:
            raise InputError(f"{name}: line {line}: {error}") from None
        lines += [line] * (len(record) // RECORD_BYTES)
        if not has_number:
            unnumbered.append(len(lines) - 1)
        packed.append(record)
    if not lines:
        raise InputError(f"{name}: no orders are in it")
    return Parsed(name, b"".join(packed), lines, unnumbered)


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip().lower() for cell in cells]
                _check_columns(f"{name}: line {line}", header)
                continue
            if len(cells) != len(header):
                raise InputError(f"{name}: line {line}: {len(cells)} values for {len(header)} columns")
            yield line, {key: cell.strip() for key, cell in zip(header, cells, strict=True) if cell.strip()}
    except csv.Error as error:
        raise InputError(f"{name}: line {reader.line_num}: {error}") from None


def _json_rows(name: str, text: str) -> Iterator[tuple[int, Row]]:
    for line, content in enumerate(text.split("\n"), 1):
        if not content.strip():
            continue
        try:
            # Numbers stay text, so that no price goes through a float.
            row = json.loads(content, parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name}: line {line}: not a JSON object: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f"{name}: line {line}: not a JSON object")
        _check_columns(f"{name}: line {line}", list(row))
        yield line, {key: _json_text(f"{name}: line {line}", key, value) for key, value in row.items() if value != ""}


def _json_text(where: str, key: str, value: Any) -> str:
    if key == "post_only" and isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise InputError(f"{where}: {key} must be a string or a number")
    return value


def _check_columns(where: str, names: list[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            raise InputError(f"{where}: there is no column {name!r}; there are {', '.join(COLUMNS)}")
    if len(set(names)) != len(names):
        raise InputError(f"{where}: a column comes twice")


def _record(row: Row, instruments: Instruments) -> tuple[bytes, bool]:
    """A row as a record, with its extensions before it, and whether it has a number. Raises :class:`_Misfit`."""
    kind = _choose(row, "kind", _KINDS, "NEW")
    for key in row:
        if key not in _USED[kind]:
            raise _Misfit(f"a {kind.name} has no {key}")
    if kind == Kind.MASS_CANCEL:
        return _mass_cancel(row, instruments), True
    instrument = _instrument(row, instruments)
    number = _integer(row["number"], "number", NUMBER_MAX) if "number" in row else None
    if number is None and kind != Kind.NEW:
        raise _Misfit(f"a {kind.name} needs the number of an order")
    price = quantity = flags = account = 0
    extensions = b""
    try:
        if kind != Kind.CANCEL:
            quantity = instrument.parse_quantity(_word(row, "quantity").encode())
        if kind == Kind.NEW:
            flags, account, extensions = _new_fields(row, instrument, quantity)
        if kind in (Kind.REPLACE, Kind.REPLACE_OPEN) or "price" in row:
            price = instrument.parse_price(_word(row, "price").encode())
    except DecimalError as error:
        raise _Misfit(str(error)) from None
    record = RECORD.pack(number or 0, price, quantity, instrument.id, account, kind, flags)
    return numbered(extensions, number or 0) + record, number is not None


def _mass_cancel(row: Row, instruments: Instruments) -> bytes:
    instrument = _instrument(row, instruments).id if "symbol" in row else 0
    side = _choose(row, "side", _SIDES) if "side" in row else None
    account = _integer(row.get("account", "0"), "account", ACCOUNT_MAX)
    flags = mass_flags(side, instrument="symbol" in row, account="account" in row)
    return RECORD.pack(0, 0, 0, instrument, account, Kind.MASS_CANCEL, flags)


def _instrument(row: Row, instruments: Instruments) -> Instrument:
    symbol = _word(row, "symbol")
    if symbol not in instruments:
        raise _Misfit(f"symbol {symbol!r} is not an instrument of the daemon")
    return instruments[symbol]


def _new_fields(row: Row, instrument: Instrument, quantity: int) -> tuple[int, int, bytes]:
    """Flags, account and extensions of a NEW. Raises :class:`_Misfit`, or DecimalError."""
    order_type = row.get("type", "LIMIT" if "price" in row else "MARKET").upper()
    if order_type not in _TYPES:
        raise _Misfit(f"type {row['type']!r} must be LIMIT or MARKET")
    if (order_type == "LIMIT") != ("price" in row):
        raise _Misfit("a LIMIT order needs a price" if order_type == "LIMIT" else "a MARKET order has no price")
    said = _said(row, instrument, quantity)
    flags = new_flags(
        _choose(row, "side", _SIDES),
        market=order_type == "MARKET",
        time_in_force=_choose(row, "tif", _TIMES, "GTD" if "gtd" in row else "DAY"),
        post_only=_choose(row, "post_only", _YES_OR_NO, "NO"),
        self_trade=_choose(row, "stp", _SELF_TRADES, "NONE"),
    )
    why = CONTRADICTIONS[sum(map(bit, said)) << MASK_SHIFT | flags]
    if why:
        raise _Misfit(why)
    return flags, _integer(row.get("account", "0"), "account", ACCOUNT_MAX), pack(instrument.id, said.items())


def _said(row: Row, instrument: Instrument, quantity: int) -> dict[Attribute, int]:
    """What the row says of its order beyond a record. Raises as :func:`_new_fields` does."""
    said: dict[Attribute, int] = {}
    if "stop" in row:
        said[Attribute.TRIGGER] = instrument.parse_price(row["stop"].encode())
    for key, attribute in (("display", Attribute.DISPLAY), ("min_qty", Attribute.MINIMUM)):
        if key in row:
            said[attribute] = instrument.parse_quantity(row[key].encode())
            fault = fault_of_lots(attribute, said[attribute], quantity)
            if fault:
                raise _Misfit(f"{key} {row[key]!r} {fault}")
    if "gtd" in row:
        try:
            said[Attribute.EXPIRY] = parse_time_ns(row["gtd"])
        except TimestampError as error:
            raise _Misfit(f"gtd {row['gtd']!r} {error}") from None
    return said


def _choose(row: Row, key: str, choices: Mapping[str, Any], default: str = "") -> Any:
    word = row.get(key, default)
    chosen = choices.get(word.upper())
    if chosen is None:
        raise _Misfit(f"{key} {word!r} must be {', '.join(choices)}" if word else f"a {key} is missing")
    return chosen


def _word(row: Row, key: str) -> str:
    if key not in row:
        raise _Misfit(f"a {key} is missing")
    return row[key]


def _integer(word: str, key: str, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", word) or int(word) > most:
        raise _Misfit(f"{key} {word!r} must be a whole number from 0 to {most}")
    return int(word)
