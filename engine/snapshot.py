"""The engine's whole state as bytes: what a snapshot holds, and what a state hash is taken of. Pure.

The state is what a rerun of the journal makes: equal journals give equal bytes, in any process, and a core restored
from them does with every further input what the first one would have done, report bytes included. What belongs to the
process (addresses, keys, packet counters, what is parked and not executed, settings) is no part of it: a start begins
it anew.

In order, packed in columns (:mod:`engine.columns`):

1. last time stamp, boot number, next trade id;
2. the instruments of the journal: id, digest, text, price of the last trade, what the market allows;
3. the sessions in the order of their opening: id, epoch, nonce, next sequence, reports that are not acknowledged, the
   extension that is pending, live orders in the order of their table, and what some of them have that is not plain;
4. for each instrument its orders, by their places in the row of all sessions' orders: each side from the worst level to
   the best and each level by priority, then the stops that wait, in the order in which they would be triggered.

A decoder gets bytes whose checksum was right, and yet believes nothing: whatever they are it raises nothing but
:class:`StateError`, and a state that contradicts itself is refused.

This module and :mod:`engine.core` are one part in two files, so it reaches for what is private there.
"""

import hashlib
import struct
from collections.abc import Iterable
from itertools import chain
from operator import attrgetter
from typing import Final

from engine.columns import I64, U8, U16, U32, U64, Reader, Writer
from engine.core import EngineCore
from engine.extensions import Extension
from engine.inputs import InstrumentInput
from engine.levels import BookSide
from engine.markets import MarketRules
from engine.matcher import Matcher
from engine.orders import Extras, Order, Session
from orderd.link.receiver import SessionReceiver
from orderd.link.report_log import ReportLog

VERSION: Final = 1
"""Of the layout. A newer one is refused."""

_HEAD: Final = struct.Struct("<QIQ")
_COUNT: Final = struct.Struct("<Q")
_INSTRUMENT: Final = struct.Struct("<I8sQBQQ")
_SESSION: Final = struct.Struct("<QQIQ")
_REPORTS: Final = struct.Struct("<QQQ")
_EXTENSION: Final = struct.Struct("<BQIBBQQQQ")
_ALL: Final = 2**63

# One column for each field, in this order; an order's constructor takes the first ones.
_ORDER: Final = (
    ("sequence", U64), ("number", U64), ("price", I64), ("open", U64), ("instrument", U32), ("account", U16),
    ("flags", U8), ("filled", U64), ("replaced", U8),
)  # fmt: skip
_EXTRAS: Final = (("trigger", U64), ("display", U64), ("expiry_ns", U64), ("is_triggered", U8), ("hidden", U64))


class StateError(ValueError):
    """Bytes that are no state of an engine."""


def state_hash(core: EngineCore) -> bytes:
    """16 bytes over the whole state; equal for equal states, in any process and however they came to be."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in encode_state(core):
        digest.update(piece)
    return digest.digest()


def encode_state(core: EngineCore) -> list[bytes]:
    """The body of a snapshot, in pieces. Between two inputs only."""
    assert not core._entries, "a round is under way"
    out, matcher = Writer(), core.matcher
    out.row(_HEAD, core._last_time_ns, core.boot, matcher.next_trade_id)
    instruments = core._journaled_instruments
    out.row(_COUNT, len(instruments))
    for id_, entry in instruments.items():
        book = matcher.book(id_)
        rules = book.rules
        out.row(_INSTRUMENT, id_, entry.digest, book.last_price, rules.halted, rules.low, rules.high)
        out.data(entry.text.encode("ascii"))
    out.row(_COUNT, len(core._participants))
    places: dict[Order, int] = {}
    for participant in core._participants.values():
        _write_session(out, participant.receiver, participant.orders)
        places.update(zip(participant.orders.live.values(), range(len(places), 2**62), strict=False))
    for id_ in instruments:
        book = matcher.book(id_)
        for orders in (_worst_first(book.bids), _worst_first(book.asks), book.stops):
            out.column(U32, map(places.__getitem__, orders))
    return out.pieces


def _worst_first(side: BookSide) -> Iterable[Order]:
    return chain.from_iterable(side.levels[key] for key in side.keys)


def _write_session(out: Writer, receiver: SessionReceiver, session: Session) -> None:
    out.row(_SESSION, receiver.session, receiver.nonce, receiver.epoch, receiver.next_sequence)
    log = receiver.log
    first, _, items = log.read(log.acknowledged, _ALL)
    out.row(_REPORTS, first, log.next, log.acknowledged)
    out.data(items)
    e = session.extension or Extension(0, 0)
    out.row(
        _EXTENSION, session.extension is not None, e.number, e.instrument, e.last, e.is_bad,
        e.trigger, e.display, e.minimum, e.expiry_ns,
    )  # fmt: skip
    orders = session.live.values()
    for name, code in _ORDER:
        out.column(code, map(attrgetter(name), orders))
    out.column(U32, [place for place, order in enumerate(orders) if order.extras is not None])
    special = [order.extras for order in orders if order.extras is not None]
    for name, code in _EXTRAS:
        out.column(code, map(attrgetter(name), special))


def restore_state(core: EngineCore, version: int, body: memoryview) -> None:
    """Bring a new core to the state that ``body`` holds. Raises :class:`StateError`; then the core is of no use."""
    if version != VERSION:
        raise StateError(f"state of version {version}; this release reads version {VERSION}")
    try:
        source = Reader(body)
        _read_state(core, source)
        source.end()
        core.matcher.check_invariants()
    except (ValueError, LookupError, OverflowError, struct.error, AssertionError) as error:
        raise StateError(f"no state of an engine: {str(error) or type(error).__name__}") from error


def _read_state(core: EngineCore, source: Reader) -> None:
    matcher = core.matcher
    core._last_time_ns, core.boot, matcher.next_trade_id = source.row(_HEAD)
    for _ in range(*source.row(_COUNT)):
        id_, digest, last_price, halted, low, high = source.row(_INSTRUMENT)
        core._journaled_instruments[id_] = InstrumentInput(id_, bytes(digest), source.data().decode("ascii"))
        matcher.add_instrument(id_)
        matcher.book(id_).last_price = last_price
        matcher.set_market(id_, MarketRules(bool(halted), low, high))
    orders: list[Order] = []
    for _ in range(*source.row(_COUNT)):
        orders += _read_session(core, source)
    placed = bytearray(len(orders))
    for id_ in core._journaled_instruments:
        _read_book(matcher, id_, source, orders, placed)
    if not all(placed):
        raise StateError("an order is in no book")


def _read_session(core: EngineCore, source: Reader) -> list[Order]:
    session_id, nonce, epoch, next_sequence = source.row(_SESSION)
    participant = core._add_participant(session_id)
    receiver, session = participant.receiver, participant.orders
    receiver.nonce, receiver.epoch, receiver.next_sequence = nonce, epoch, next_sequence
    _read_reports(receiver.log, source)
    is_there, number, instrument, *rest = source.row(_EXTENSION)
    if is_there:
        session.extension = extension = Extension(number, instrument)
        extension.last, is_bad, extension.trigger, extension.display, extension.minimum, extension.expiry_ns = rest
        extension.is_bad = bool(is_bad)
    sequences = source.column(U64)
    columns = [source.column(code, len(sequences)) for _, code in _ORDER[1:]]
    orders: list[Order] = []
    for *plain, filled, replaced in zip(sequences, *columns, strict=True):
        order = Order(session, *plain)
        order.filled, order.replaced = filled, bool(replaced)
        orders.append(order)
    places = source.column(U32)
    for place, *values in zip(places, *(source.column(code, len(places)) for _, code in _EXTRAS), strict=True):
        trigger, display, expiry_ns, is_triggered, hidden = values
        orders[place].extras = extras = Extras(trigger, display, expiry_ns)
        extras.is_triggered, extras.hidden = bool(is_triggered), hidden
    session.live.update(zip((order.number for order in orders), orders, strict=True))
    if len(session.live) != len(orders):
        raise StateError("a session has two orders of one number")
    return orders


def _read_reports(log: ReportLog, source: Reader) -> None:
    first, next_, acknowledged = source.row(_REPORTS)
    log.restore(first, source.data(), next_, acknowledged)


def _read_book(matcher: Matcher, instrument: int, source: Reader, orders: list[Order], placed: bytearray) -> None:
    for _ in ("bids", "asks", "stops"):
        for place in source.column(U32):
            if placed[place]:
                raise StateError("an order is in two places")
            placed[place] = True
            if orders[place].instrument != instrument:
                raise StateError("an order is in the wrong book")
            matcher.restore_order(orders[place])
