"""Reading the words of a command: each function takes a word as it came and names what is wrong with it. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from orderd.orders import ids
from orderd.orders.errors import BadOrder
from orderd.orders.modes import MODE_NAMES, Mode
from orderd.runtime.decimals import DecimalError
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.timestamps import TimestampError, parse_time_ns
from orderd.wire.records import SelfTradePrevention, Side, TimeInForce

_INTEGER: Final = re.compile(rb"[0-9]{1,19}")
_SIDES: Final = {b"BUY": Side.BUY, b"SELL": Side.SELL}
_TIMES_IN_FORCE: Final = {time.name.encode(): time for time in TimeInForce}
_SELF_TRADES: Final = {stp.name.encode(): stp for stp in SelfTradePrevention}
_MODES: Final = {name.upper().encode(): mode for name, mode in MODE_NAMES.items()}


def shown(word: bytes) -> str:
    """A word in an error text, bounded."""
    text = word[:40].decode("ascii", "backslashreplace")
    return f"'{text}'" if len(word) <= 40 else f"'{text}...'"


def cl_ord_id(word: bytes) -> bytes:
    if not ids.is_valid(word):
        raise BadOrder(f"id {shown(word)} must be 1 to 64 printable ASCII characters without space")
    return word


def instrument(word: bytes, table: InstrumentTable) -> Instrument:
    found = table.by_symbol.get(word)
    if found is None:
        raise BadOrder(f"symbol {shown(word)} does not exist")
    return found


def side(word: bytes) -> Side:
    found = _SIDES.get(word.upper())
    if found is None:
        raise BadOrder(f"side {shown(word)} must be BUY or SELL")
    return found


def quantity(word: bytes, of: Instrument, option: str = "") -> int:
    """``option`` is the option whose value it is, for the error."""
    try:
        return of.parse_quantity(word)
    except DecimalError as error:
        raise BadOrder(f"{option} {error}" if option else str(error)) from None


def price(word: bytes, of: Instrument, option: str = "") -> int:
    """``option`` is the option whose value it is, for the error."""
    try:
        return of.parse_price(word)
    except DecimalError as error:
        raise BadOrder(f"{option} {error}" if option else str(error)) from None


def time_in_force(word: bytes) -> TimeInForce:
    found = _TIMES_IN_FORCE.get(word.upper())
    if found is None:
        raise BadOrder(f"TIF {shown(word)} must be DAY, GTC, IOC, FOK or GTD")
    return found


def self_trade(word: bytes) -> SelfTradePrevention:
    found = _SELF_TRADES.get(word.upper())
    if found is None:
        raise BadOrder(f"STP {shown(word)} must be NONE, CANCEL_NEWEST, CANCEL_OLDEST or CANCEL_BOTH")
    return found


def expiry_ns(word: bytes) -> int:
    """In nanoseconds since 1970 UTC; it may be in the past."""
    try:
        return parse_time_ns(word.decode("ascii", "backslashreplace"))
    except TimestampError as error:
        raise BadOrder(f"GTD {shown(word)} {error}") from None


def mode(word: bytes) -> Mode:
    found = _MODES.get(word.upper())
    if found is None:
        raise BadOrder(f"MODE {shown(word)} must be sync, batch or fire-and-forget")
    return found


def integer(word: bytes, name: str, minimum: int, maximum: int) -> int:
    value = int(word) if _INTEGER.fullmatch(word) else -1
    if not minimum <= value <= maximum:
        raise BadOrder(f"{name} {shown(word)} must be a whole number from {minimum} to {maximum}")
    return value


def options(
    words: list[bytes], arguments: Mapping[bytes, int], unsupported: frozenset[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    """``(name, argument)`` of each option in ``words``; ``arguments`` says how many each takes, 0 or 1."""
    at, seen = 0, set()
    while at < len(words):
        name = words[at].upper()
        if name not in arguments:
            if name in unsupported:
                raise BadOrder(f"{name.decode()} is not supported")
            raise BadOrder(f"option {shown(words[at])} does not exist here")
        if name in seen:
            raise BadOrder(f"option {name.decode()} is there twice")
        seen.add(name)
        if arguments[name] and at + 1 == len(words):
            raise BadOrder(f"option {name.decode()} needs a value")
        yield name, words[at + 1] if arguments[name] else b""
        at += 1 + arguments[name]
