"""What a command says, read by a parser of the oracle's own from docs/COMMANDS.md. Pure.

A command that changes something has an *origin*: a key that equal commands share, and that the journal's record of it
leads back to (:mod:`tests.simulation.oracle.rows`). A command that cannot be read has none, and must be refused.
"""

from calendar import timegm
from datetime import datetime
from decimal import Decimal
from typing import Final

import attrs

from tests.simulation.oracle.market import BY_SYMBOL, Market, number

Words = tuple[bytes, ...]
Key = tuple[object, ...]

NEW, CANCEL, REPLACE, REPLACE_OPEN, MASS_CANCEL, EXTENSION = range(1, 7)
"""Kinds of records, docs/PROTOCOL.md."""
RECORD_BYTES: Final = 32
GTD: Final = 4
TIFS: Final = {b"DAY": 0, b"GTC": 1, b"IOC": 2, b"FOK": 3, b"GTD": GTD}
STPS: Final = {b"NONE": 0, b"CANCEL_NEWEST": 1, b"CANCEL_OLDEST": 2, b"CANCEL_BOTH": 3}
SIDES: Final = {b"BUY": 0, b"SELL": 1}
MODES: Final = (b"SYNC", b"BATCH", b"FIRE-AND-FORGET")
ARGUMENTS: Final = {
    b"TIF": 1, b"ACCOUNT": 1, b"MODE": 1, b"STP": 1, b"MAXAGE": 1, b"POSTONLY": 0, b"GTD": 1, b"STOP": 1,
    b"DISPLAY": 1, b"MINQTY": 1, b"ID": 1, b"OPEN": 0, b"SYMBOL": 1, b"SIDE": 1, b"COUNT": 1, b"AFTER": 1, b"BLOCK": 1,
    b"POSITION": 0, b"DEPTH": 1,
}  # fmt: skip


@attrs.frozen
class Said:
    """One command, read. ``key`` is None for what changes nothing of orders."""

    name: bytes
    key: Key | None = None
    target: bytes = b""
    """The id that it speaks of: of an order, a request, a batch."""
    mode: bytes = b""
    """In which it is to be answered, if it says so."""
    maxage_ms: int = 0
    options: dict[bytes, bytes] = attrs.field(factory=dict)
    is_wrong: bool = False


def read(words: Words) -> Said:
    """What it says; :attr:`Said.is_wrong` if it cannot be read."""
    name = words[0].upper()
    reader = _READERS.get(name)
    if reader is None:
        return Said(name)
    try:
        return reader(name, words[1:])
    except (ValueError, LookupError, OverflowError):
        return Said(name, is_wrong=True)


def _options(words: Words) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(words):
        name = words[at].upper()
        takes = ARGUMENTS[name]
        if name in found:
            raise ValueError(name)
        found[name] = words[at + takes] if takes else b""
        at += 1 + takes
    if found.get(b"MODE", b"SYNC").upper() not in MODES:
        raise ValueError(found[b"MODE"])
    return found


def _mode(options: dict[bytes, bytes]) -> bytes:
    return options.get(b"MODE", b"").upper()


def _new(name: bytes, args: Words) -> Said:
    cl_ord_id, symbol, side, quantity, kind = args[:5]
    market = BY_SYMBOL[symbol]
    is_market = kind.upper() == b"MARKET"
    if not is_market and kind.upper() != b"LIMIT":
        raise ValueError(kind)
    price = 0 if is_market else market.ticks(args[5])
    options = _options(args[5 if is_market else 6 :])
    lots = market.lots(quantity)
    said = _extensions(options, market)
    tif = TIFS[options[b"TIF"].upper()] if b"TIF" in options else GTD if b"GTD" in options else 0
    flags = SIDES[side.upper()] | is_market << 1 | tif << 2 | (b"POSTONLY" in options) << 5
    flags |= STPS[options.get(b"STP", b"NONE").upper()] << 6
    content = (price, lots, market.id, int(options.get(b"ACCOUNT", b"0")), flags, said)
    maxage_ms = int(options.get(b"MAXAGE", b"0"))
    return Said(name, (NEW, cl_ord_id, content), cl_ord_id, _mode(options), maxage_ms, options)


def _extensions(options: dict[bytes, bytes], market: Market) -> tuple[tuple[int, int], ...]:
    """What the order says beyond its record: attribute and value, ascending."""
    said = []
    if b"STOP" in options:
        said.append((1, market.ticks(options[b"STOP"])))
    if b"DISPLAY" in options:
        said.append((2, market.lots(options[b"DISPLAY"])))
    if b"MINQTY" in options:
        said.append((3, market.lots(options[b"MINQTY"])))
    if b"GTD" in options:
        said.append((4, time_ns(options[b"GTD"])))
    return tuple(said)


def time_ns(text: bytes) -> int:
    """Milliseconds since 1970, or RFC 3339 in UTC. Raises ValueError."""
    if text.isdigit():
        return int(text) * 10**6
    whole, _, fraction = text.decode("ascii").removesuffix("Z").partition(".")
    seconds = timegm(datetime.fromisoformat(whole).timetuple())
    return seconds * 10**9 + int(fraction.ljust(9, "0"))


def _cancel(name: bytes, args: Words) -> Said:
    options = _options(args[1:])
    return Said(name, request_key(CANCEL, options.get(b"ID"), args[0]), args[0], _mode(options), 0, options)


def _replace(name: bytes, args: Words) -> Said:
    options = _options(args[3:])
    kind = REPLACE_OPEN if b"OPEN" in options else REPLACE
    key = request_key(kind, options.get(b"ID"), args[0], number(args[1]), number(args[2]))
    return Said(name, key, args[0], _mode(options), 0, options)


def request_key(
    kind: int, request_id: bytes | None, target: bytes, quantity: Decimal = Decimal(0), price: Decimal = Decimal(0)
) -> Key:
    """Of a cancel or replace; quantity and price as numbers, since they do not say of what instrument."""
    return (kind, request_id, target, quantity, price)


def _mass(name: bytes, args: Words) -> Said:
    options = _options(args)
    flags = instrument = account = 0
    if b"SIDE" in options:
        flags |= 2 | SIDES[options[b"SIDE"].upper()]
    if b"SYMBOL" in options:
        flags, instrument = flags | 4, BY_SYMBOL[options[b"SYMBOL"]].id
    if b"ACCOUNT" in options:
        flags, account = flags | 8, int(options[b"ACCOUNT"])
    return Said(name, (MASS_CANCEL, flags, instrument, account), options=options)


def _batch(name: bytes, args: Words) -> Said:
    batch_id, records = args[:2]
    if not records or len(records) % RECORD_BYTES:
        raise ValueError("no whole records")
    options = _options(args[2:])
    return Said(name, (b"batch", batch_id, records), batch_id, _mode(options), 0, options)


def _about(name: bytes, args: Words) -> Said:
    return Said(name, target=args[0])


def _list(name: bytes, args: Words) -> Said:
    which = args[0].upper() if args and args[0].upper() in (b"OPEN", b"ALL") else b""
    return Said(name, target=which or b"OPEN", options=_options(args[bool(which) :]))


def _book(name: bytes, args: Words) -> Said:
    BY_SYMBOL[args[0]]
    return Said(name, target=args[0], options=_options(args[1:]))


def _executions(name: bytes, args: Words) -> Said:
    return Said(name, target=args[0], options=_options(args[1:]))


def _positions(name: bytes, args: Words) -> Said:
    return Said(name, options=_options(args))


_READERS: Final = {
    b"ORDER.NEW": _new, b"ORDER.CANCEL": _cancel, b"ORDER.REPLACE": _replace, b"ORDER.MASSCANCEL": _mass,
    b"ORDER.BATCH": _batch, b"ORDER.STATUS": _about, b"ORDER.WAIT": _about, b"ORDER.LIST": _list, b"BOOK": _book,
    b"EXEC.READ": _executions, b"EXEC.SUBSCRIBE": _executions, b"POSITIONS": _positions,
    b"ORDER.RESERVE": _about,
}  # fmt: skip
