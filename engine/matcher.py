"""Executes order records against the books and tells every session concerned.

A pure state machine: the same inputs in the same order give the same report bytes, trade ids and state hash, which is
what recovery by replay rests on. It never fails on a record: whatever a record holds, it uses its sequence up and has
exactly one final report, so nothing stalls.

Rules of the reports:

- Each accepted order has one NEW first. If it only rests, that NEW is final; the NEWs of consecutive such records are
  one range item. An order that acts at once has a NEW of its own, not final, and its last immediate report is final.
- Each fill is one TRADE per side with the same trade id, at the maker's price, the maker's before the taker's. Only the
  taker's can be final: the maker's belongs to another input.
- ``input`` of a report is 0 when another session or the engine caused it.
- A mass cancel has a CANCELED for each order, not final, and then its own MASS_CANCELED (:mod:`engine.mass_cancel`).
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from engine.book import ANY_PRICE, Book, BookSide, reduce, remove
from engine.mass_cancel import Fields, mass_cancel
from engine.orders import Order, Session
from engine.outcomes import refuse, tell_canceled, tell_replaced, tell_trade
from orderd.link.report_log import ReportLog
from orderd.wire.records import (
    FLAG_MARKET,
    FLAG_POST_ONLY,
    FLAG_SELL,
    KIND_OFFSET,
    RECORD,
    RECORD_BYTES,
    STP_MASK,
    TIF_MASK,
    TIF_SHIFT,
    VALUE_MAX,
    Kind,
    TimeInForce,
)
from orderd.wire.reports import FLAG_FINAL, FLAG_TAKER, ExecType, Reason

_NEW: Final = int(Kind.NEW)
_CANCEL: Final = int(Kind.CANCEL)
_REPLACE: Final = int(Kind.REPLACE)
_REPLACE_OPEN: Final = int(Kind.REPLACE_OPEN)
_MASS_CANCEL: Final = int(Kind.MASS_CANCEL)
_GTC_FLAG: Final = TimeInForce.GTC << TIF_SHIFT
_NOT_PLAIN: Final = 0xFF & ~(FLAG_SELL | _GTC_FLAG)
"""Flags that a plain order, a limit order for the day or until cancelled, has not."""

_RESTS: Final = Reason.NONE
_FOK: Final = Reason.FOK


def _remainder(flags: int) -> Reason:
    """Why what a NEW with these flags leaves unfilled is cancelled, or NONE: it rests."""
    time_in_force = (flags & TIF_MASK) >> TIF_SHIFT
    if time_in_force == TimeInForce.FOK:
        return Reason.FOK
    if flags & FLAG_MARKET:
        return Reason.NO_LIQUIDITY
    return Reason.IOC if time_in_force == TimeInForce.IOC else _RESTS


def _refusal(flags: int) -> Reason:
    """Why a NEW with these flags is refused whatever its other fields say, or NONE."""
    time_in_force = (flags & TIF_MASK) >> TIF_SHIFT
    if time_in_force > TimeInForce.GTD:
        return Reason.BAD_RECORD
    if flags & FLAG_MARKET and time_in_force in (TimeInForce.GTC, TimeInForce.GTD):
        return Reason.BAD_RECORD
    if time_in_force == TimeInForce.GTD or flags & (FLAG_POST_ONLY | STP_MASK):
        return Reason.NOT_SUPPORTED
    return Reason.NONE


_REMAINDERS: Final = tuple(_remainder(flags) for flags in range(256))
_REFUSALS: Final = tuple(_refusal(flags) for flags in range(256))


class UnknownInstrument(LookupError):
    """A caller asked for the book of an instrument that the engine does not have."""


class Matcher:
    """All books of an engine, and the sessions whose orders rest in them."""

    def __init__(self, instruments: Iterable[int]) -> None:
        self.next_trade_id = 1
        self.touched: dict[Session, None] = {}
        """Sessions that got reports which no input of theirs caused, since the caller last cleared this; in order."""
        self._books: dict[int, Book] = {}
        self._sessions: dict[int, Session] = {}
        for instrument in instruments:
            self.add_instrument(instrument)

    def add_instrument(self, instrument: int) -> None:
        """Open an empty book; nothing happens if there is one."""
        self._books.setdefault(instrument, Book(instrument))

    def book(self, instrument: int) -> Book:
        """The book of ``instrument``. Raises :class:`UnknownInstrument`."""
        book = self._books.get(instrument)
        if book is None:
            raise UnknownInstrument(instrument)
        return book

    def open_session(self, session_id: int, reports: ReportLog) -> Session:
        """Admit a session, with no orders; its reports go to ``reports``."""
        assert session_id not in self._sessions
        session = self._sessions[session_id] = Session(session_id, reports)
        return session

    def close_session(self, session: Session) -> None:
        """Forget a session that has no resting orders."""
        assert not session.live
        self.touched.pop(session, None)
        del self._sessions[session.id]

    def apply(self, session: Session, first: int, records: bytes | memoryview, now_ns: int) -> None:
        """Execute whole records of ``session``, which have the sequences from ``first`` on."""
        books = self._books
        live = session.live
        run = 0  # plain NEWs just before `sequence` that no report tells yet
        sequence = first - 1
        for fields in RECORD.iter_unpack(records):
            sequence += 1
            number, price, quantity, instrument, account, kind, flags = fields
            # The common case, a plain order that crosses nothing, is decided and done right here.
            if (
                kind == _NEW
                and not flags & _NOT_PLAIN
                and price > 0
                and 0 < quantity <= VALUE_MAX
                and number not in live
                and instrument in books
            ):
                book = books[instrument]
                if flags & FLAG_SELL:
                    own, other, limit = book.asks, book.bids, price
                else:
                    own, other, limit = book.bids, book.asks, -price
                if other.best < limit:
                    order = Order(session, sequence, number, price, quantity, instrument, account, flags)
                    live[number] = order
                    own.rest(order, -limit)
                    run += 1
                    continue
            if run:
                session.reports.add_range(sequence - run, run, now_ns, final=True)
                run = 0
            if kind == _NEW:
                self._new(session, sequence, fields, now_ns)
            else:
                self._act(session, sequence, fields, now_ns)
        if run:
            session.reports.add_range(sequence - run + 1, run, now_ns, final=True)

    def apply_in_steps(self, session: Session, first: int, records: memoryview, now_ns: int) -> Iterator[None]:
        """As :meth:`apply`, the same reports in the same items, with yields within and behind each mass cancel."""
        kinds = bytes(records[KIND_OFFSET::RECORD_BYTES])
        done = 0
        while (at := kinds.find(_MASS_CANCEL, done)) >= 0:
            self.apply(session, first + done, records[done * RECORD_BYTES : at * RECORD_BYTES], now_ns)
            fields = RECORD.unpack_from(records, at * RECORD_BYTES)
            yield from mass_cancel(session, first + at, fields, now_ns)
            yield
            done = at + 1
        self.apply(session, first + done, records[done * RECORD_BYTES :], now_ns)

    def cancel_session(self, session: Session, reason: Reason, now_ns: int) -> None:
        """Cancel all that rests of ``session``, oldest first. No input of it asked for this: input 0, never final."""
        for order in session.live.values():
            remove(order)
            tell_canceled(order, reason, 0, 0, now_ns)
        if session.live:
            session.live.clear()
            self.touched[session] = None

    def state_hash(self) -> bytes:
        """16 bytes over books, resting orders, counters and how many reports each session has had."""
        digest = hashlib.blake2b(struct.pack("<Q", self.next_trade_id), digest_size=16)
        for instrument in sorted(self._books):
            digest.update(struct.pack("<Q", instrument) + self._books[instrument].state_hash())
        for session_id in sorted(self._sessions):
            session = self._sessions[session_id]
            digest.update(struct.pack("<QQQ", session_id, len(session.live), session.reports.next))
        return digest.digest()

    def check_invariants(self) -> None:
        """Raise AssertionError if books and sessions contradict themselves or each other. Walks everything."""
        resting = 0
        for book in self._books.values():
            book.check_invariants()
            for order in book.orders():
                resting += 1
                if order.session.live.get(order.number) is not order or order.open + order.filled > VALUE_MAX:
                    raise AssertionError(f"order {order.number} and its session disagree")
        if resting != sum(len(session.live) for session in self._sessions.values()):
            raise AssertionError("a session has an order that rests nowhere")

    def _new(self, session: Session, sequence: int, fields: Fields, now_ns: int) -> None:
        """A NEW that is refused or acts at once."""
        number, price, quantity, instrument, account, _, flags = fields
        book = self._books.get(instrument)
        if book is None:
            reason = Reason.UNKNOWN_INSTRUMENT
        elif number in session.live:
            reason = Reason.DUPLICATE_NUMBER
        elif not 0 < quantity <= VALUE_MAX or (price != 0 if flags & FLAG_MARKET else price <= 0):
            reason = Reason.BAD_RECORD
        else:
            reason = _REFUSALS[flags]
        if book is None or reason:
            refuse(session, ExecType.REJECTED, sequence, sequence, fields, reason, now_ns)
            return
        order = Order(session, sequence, number, price, quantity, instrument, account, flags)
        session.reports.add_range(sequence, 1, now_ns, final=False)
        own, other, limit = _sides(book, order)
        if flags & FLAG_MARKET:
            limit = ANY_PRICE
        remainder = _REMAINDERS[flags]
        if remainder is not _FOK or other.can_fill(limit, quantity):
            self._take(order, other, limit, remainder is _RESTS, sequence, now_ns)
        if order.open:
            if remainder is _RESTS:
                session.live[number] = order
                own.rest(order, -limit)
            else:
                tell_canceled(order, remainder, sequence, FLAG_FINAL, now_ns)

    def _take(self, taker: Order, other: BookSide, limit: int, rests: bool, sequence: int, now_ns: int) -> None:
        """Trade ``taker`` against ``other``. The last TRADE is final if nothing is left, or if what is left rests."""
        session = taker.session
        fills = other.match(limit, taker.open)
        last = len(fills)
        for maker, lots in fills:
            last -= 1
            taker.open -= lots
            taker.filled += lots
            trade_id = self.next_trade_id
            self.next_trade_id = trade_id + 1
            maker_session = maker.session
            if maker_session is session:
                tell_trade(maker, lots, maker.price, trade_id, sequence, 0, now_ns)
            else:
                tell_trade(maker, lots, maker.price, trade_id, 0, 0, now_ns)
                self.touched[maker_session] = None
            if not maker.open:
                del maker_session.live[maker.number]
            final = FLAG_FINAL if last == 0 and (rests or not taker.open) else 0
            tell_trade(taker, lots, maker.price, trade_id, sequence, FLAG_TAKER | final, now_ns)

    def _act(self, session: Session, sequence: int, fields: Fields, now_ns: int) -> None:
        """Any record but a NEW."""
        number, _, _, instrument, _, kind, _ = fields
        if kind == _CANCEL or kind == _REPLACE or kind == _REPLACE_OPEN:
            order = session.live.get(number)
            if order is None or order.instrument != instrument:
                rejected = ExecType.CANCEL_REJECTED if kind == _CANCEL else ExecType.REPLACE_REJECTED
                refuse(session, rejected, 0, sequence, fields, Reason.UNKNOWN_ORDER, now_ns)
            elif kind == _CANCEL:
                self._cancel(order, Reason.NONE, sequence, now_ns)
            else:
                self._replace(order, sequence, fields, now_ns)
        elif kind == _MASS_CANCEL:
            for _ in mass_cancel(session, sequence, fields, now_ns):
                pass
        elif kind == Kind.VOID:
            refuse(session, ExecType.VOIDED, sequence, sequence, fields, Reason.NONE, now_ns)
        else:
            reason = Reason.NOT_SUPPORTED if kind == Kind.EXTENSION else Reason.BAD_RECORD
            refuse(session, ExecType.REJECTED, sequence, sequence, fields, reason, now_ns)

    def _cancel(self, order: Order, reason: Reason, sequence: int, now_ns: int) -> None:
        """Cancel a resting order because the input ``sequence`` of its own session said so."""
        remove(order)
        del order.session.live[order.number]
        tell_canceled(order, reason, sequence, FLAG_FINAL, now_ns)

    def _replace(self, order: Order, sequence: int, fields: Fields, now_ns: int) -> None:
        """Give a resting order another price or quantity: by total quantity, or (REPLACE_OPEN) by open quantity."""
        _, price, quantity, _, _, kind, _ = fields
        leaves = quantity if kind == _REPLACE_OPEN else quantity - order.filled
        if price <= 0 or not 0 < quantity <= VALUE_MAX or leaves + order.filled > VALUE_MAX:
            tell_replaced(order, ExecType.REPLACE_REJECTED, Reason.BAD_RECORD, sequence, FLAG_FINAL, now_ns)
            return
        if leaves <= 0:
            self._cancel(order, Reason.REPLACED_BELOW_FILLED, sequence, now_ns)
            return
        order.replaced = True
        if price == order.price and leaves <= order.open:
            reduce(order, leaves)
            tell_replaced(order, ExecType.REPLACED, Reason.NONE, sequence, FLAG_FINAL, now_ns)
            return
        remove(order)
        order.price = price
        order.open = leaves
        own, other, limit = _sides(self._books[order.instrument], order)
        crosses = other.best >= limit
        tell_replaced(order, ExecType.REPLACED, Reason.NONE, sequence, 0 if crosses else FLAG_FINAL, now_ns)
        if crosses:
            self._take(order, other, limit, True, sequence, now_ns)
        if order.open:
            own.rest(order, -limit)
        else:
            del order.session.live[order.number]


def _sides(book: Book, order: Order) -> tuple[BookSide, BookSide, int]:
    """An order's own side, the other side, and its limit there."""
    if order.flags & FLAG_SELL:
        return book.asks, book.bids, order.price
    return book.bids, book.asks, -order.price
