"""Executes order records against the books and tells every session concerned.

A pure state machine: the same inputs in the same order give the same report bytes, trade ids and state hash, which is
what recovery by replay rests on. It never fails on a record: whatever a record holds, it uses its sequence up and has
exactly one final report, so nothing stalls.

Rules of the reports:

- Each accepted order has one NEW first. If it only rests or waits, that NEW is final; the NEWs of consecutive plain
  records are one range item. An order that acts at once has a NEW of its own, not final, and its last immediate report
  is final (:mod:`engine.taking`).
- Each fill is one TRADE per side with the same trade id, at the maker's price, the maker's before the taker's.
- ``input`` of a report is 0 when another session or the engine caused it; such a report is never final.
- A mass cancel has a CANCELED for each order, not final, and then its own MASS_CANCELED (:mod:`engine.mass_cancel`).
- An extension has EXTENDED (:mod:`engine.extensions`).
- A stop order that is triggered has TRIGGERED, and then what it causes (:mod:`engine.execution`).

Long work comes in steps: :meth:`Matcher.apply_in_steps` and its like yield before they hold the caller for too long.
Nothing else may happen to the matcher at a yield.

Its state, for snapshots: :attr:`Matcher.next_trade_id`, the books, the sessions. All else follows from these.
"""

import hashlib
import struct
from collections.abc import Generator, Iterable, Iterator
from itertools import chain
from typing import Final

from engine.book import Book
from engine.entry import REMAINDERS, refusal
from engine.execution import RESTS, Execution, Work, opposite
from engine.expiries import EXPIRE_STEP, Expiries, expire, expire_day_orders, is_live
from engine.extensions import extend
from engine.levels import remove
from engine.markets import OPEN_MARKET, MarketRules
from engine.mass_cancel import cancel_all, mass_cancel
from engine.orders import Fields, Order, Session
from engine.outcomes import refuse, tell_canceled
from engine.replacing import replace
from orderd.link.report_log import ReportLog
from orderd.wire.records import FLAG_POST_ONLY, FLAG_SELL, RECORD, TIF_SHIFT, VALUE_MAX, Kind, TimeInForce
from orderd.wire.reports import FLAG_FINAL, ExecType, Reason

_NEW: Final = int(Kind.NEW)
_CANCEL: Final = int(Kind.CANCEL)
_REPLACE: Final = int(Kind.REPLACE)
_REPLACE_OPEN: Final = int(Kind.REPLACE_OPEN)
_GTC_FLAG: Final = TimeInForce.GTC << TIF_SHIFT
_NOT_PLAIN: Final = 0xFF & ~(FLAG_SELL | _GTC_FLAG)
"""Flags that a plain order, a limit order for the day or until cancelled, has not."""
_FOK: Final = Reason.FOK
_NO_BOOKS: Final[dict[int, Book]] = {}


class UnknownInstrument(LookupError):
    """A caller asked for the book of an instrument that the engine does not have."""


class Matcher:
    """All books of an engine, and the sessions whose orders are in them."""

    def __init__(self, instruments: Iterable[int]) -> None:
        self._execution = Execution()
        self._books: dict[int, Book] = {}
        self._plain: dict[int, Book] = {}  # those whose market has no rules
        self._sessions: dict[int, Session] = {}
        self._expiries = Expiries()
        for instrument in instruments:
            self.add_instrument(instrument)

    @property
    def next_trade_id(self) -> int:
        """What the next trade will get."""
        return self._execution.trades.next_id

    @next_trade_id.setter
    def next_trade_id(self, trade_id: int) -> None:
        self._execution.trades.next_id = trade_id

    @property
    def touched(self) -> dict[Session, None]:
        """Sessions that got reports which no input of theirs caused, since the caller last cleared this; in order."""
        return self._execution.trades.touched

    def add_instrument(self, instrument: int) -> None:
        """Open an empty book; nothing happens if there is one."""
        if instrument not in self._books:
            self._books[instrument] = self._plain[instrument] = Book(instrument)

    def book(self, instrument: int) -> Book:
        """The book of ``instrument``. Raises :class:`UnknownInstrument`."""
        book = self._books.get(instrument)
        if book is None:
            raise UnknownInstrument(instrument)
        return book

    def set_market(self, instrument: int, rules: MarketRules) -> None:
        """From now on ``rules`` hold for an instrument; orders that rest stay. Raises :class:`UnknownInstrument`."""
        book = self.book(instrument)
        if rules == OPEN_MARKET:
            book.rules = OPEN_MARKET
            self._plain[instrument] = book
        else:
            book.rules = rules
            self._plain.pop(instrument, None)

    def open_session(self, session_id: int, reports: ReportLog) -> Session:
        """Admit a session, with no orders; its reports go to ``reports``."""
        assert session_id not in self._sessions
        session = self._sessions[session_id] = Session(session_id, reports)
        return session

    def close_session(self, session: Session) -> None:
        """Forget a session that has no live orders."""
        assert not session.live
        self.touched.pop(session, None)
        del self._sessions[session.id]

    def restore_order(self, order: Order) -> None:
        """Put back a live order that a snapshot kept, with its extras, and in ``live`` of its session already.

        To be called for all orders of a book in the order of :meth:`Book.orders`, and then of :attr:`Book.stops`.
        """
        self.book(order.instrument).restore(order)
        if order.extras is not None and order.extras.expiry_ns:
            self._expiries.add(order, order.extras.expiry_ns)

    # --- records ------------------------------------------------------------------------------------------------------

    def apply(self, session: Session, first: int, records: bytes | memoryview, now_ns: int) -> None:
        """Execute whole records of ``session``, which have the sequences from ``first`` on."""
        for _ in self.apply_in_steps(session, first, records, now_ns):
            pass

    def apply_in_steps(self, session: Session, first: int, records: bytes | memoryview, now_ns: int) -> Iterator[None]:
        """As :meth:`apply`, the same reports in the same items, with yields within and behind long work."""
        live, plain = session.live, self._plain
        cross, trades = self._execution.cross, self._execution.trades
        # A plain order that an extension is about is not plain; neither is one in a market with rules.
        books = plain if session.extension is None else _NO_BOOKS
        run = 0  # plain NEWs just before `sequence` that no report tells yet
        sequence = first - 1
        for fields in RECORD.iter_unpack(records):
            sequence += 1
            number, price, quantity, instrument, account, kind, flags = fields
            # The common case is decided and done right here: a plain order, which is a limit order for the day or until
            # cancelled that crosses nothing. One that crosses goes the shorter of two ways.
            if (
                kind == _NEW
                and not flags & _NOT_PLAIN
                and price > 0
                and 0 < quantity <= VALUE_MAX
                and number not in live
                and instrument in books
            ):
                book = books[instrument]
                order = Order(session, sequence, number, price, quantity, instrument, account, flags)
                if flags & FLAG_SELL:
                    own, other, limit = book.asks, book.bids, price
                else:
                    own, other, limit = book.bids, book.asks, -price
                if other.best < limit:
                    live[number] = order
                    own.rest(order, -limit)
                    run += 1
                    continue
                if run:
                    session.reports.add_range(sequence - run, run, now_ns, final=True)
                    run = 0
                work = cross(book, order, own, other, limit, now_ns)
            else:
                if run:
                    session.reports.add_range(sequence - run, run, now_ns, final=True)
                    run = 0
                if kind == _CANCEL:
                    _cancel(session, sequence, fields, now_ns)
                    books = plain
                    continue
                if kind == _NEW:
                    work = self._new(session, sequence, fields, now_ns)
                else:
                    work = self._act(session, sequence, fields, now_ns)
                books = plain if session.extension is None else _NO_BOOKS
            if work is not None:
                yield from work
                yield
            elif trades.has_done_much():
                yield
        if run:
            session.reports.add_range(sequence - run + 1, run, now_ns, final=True)

    def _new(self, session: Session, sequence: int, fields: Fields, now_ns: int) -> Work:
        """A NEW that is not plain, is refused, or acts at once. Returns what is left to do, in steps."""
        number, price, quantity, instrument, account, _, flags = fields
        execution, extension = self._execution, session.extension
        if extension is not None:
            session.extension = None
            if not extension.is_about(fields):
                extension = None
        book = self._books.get(instrument)
        if book is None:
            reason = Reason.UNKNOWN_INSTRUMENT
        elif number in session.live:
            reason = Reason.DUPLICATE_NUMBER
        else:
            reason = refusal(fields, extension, book.rules, now_ns)
        if book is None or reason:
            refuse(session, ExecType.REJECTED, sequence, sequence, fields, reason, now_ns)
            return None
        order = Order(session, sequence, number, price, quantity, instrument, account, flags)
        other, limit = opposite(book, order)
        crosses = other.best >= limit
        if crosses and flags & FLAG_POST_ONLY:
            refuse(session, ExecType.REJECTED, sequence, sequence, fields, Reason.POST_ONLY, now_ns)
            return None
        remainder, needed = REMAINDERS[flags], 0
        if remainder is _FOK:
            needed = quantity
        elif extension is not None:
            needed = extension.minimum
            order.extras = extension.extras()
            if extension.expiry_ns:
                self._expiries.add(order, extension.expiry_ns)
            if extension.trigger:
                return execution.wait(book, order, now_ns)
        rests = remainder is RESTS and not crosses and not needed
        session.reports.add_range(sequence, 1, now_ns, final=rests)
        if needed:
            return execution.enter_if(book, order, needed, remainder, now_ns)
        return execution.enter(book, order, other, limit, remainder, sequence, now_ns)

    def _act(self, session: Session, sequence: int, fields: Fields, now_ns: int) -> Work:
        """Any record but a NEW or a CANCEL. Returns what is left to do, in steps."""
        number, _, _, instrument, _, kind, _ = fields
        if kind == _REPLACE or kind == _REPLACE_OPEN:
            session.extension = None
            order = session.live.get(number)
            if order is not None and order.instrument == instrument:
                return replace(self._execution, self._books[instrument], order, sequence, fields, now_ns)
            refuse(session, ExecType.REPLACE_REJECTED, 0, sequence, fields, Reason.UNKNOWN_ORDER, now_ns)
            return None
        if kind == Kind.EXTENSION:
            extend(session, sequence, fields, now_ns)
            return None
        session.extension = None
        if kind == Kind.MASS_CANCEL:
            return mass_cancel(session, sequence, fields, now_ns)
        if kind == Kind.VOID:
            refuse(session, ExecType.VOIDED, sequence, sequence, fields, Reason.NONE, now_ns)
        else:
            refuse(session, ExecType.REJECTED, sequence, sequence, fields, Reason.BAD_RECORD, now_ns)
        return None

    # --- what the engine does by itself -------------------------------------------------------------------------------

    def cancel_session(self, session: Session, reason: Reason, now_ns: int) -> Iterator[None]:
        """Cancel all live orders of ``session``, oldest first, in steps.

        No input of it asked for this: each has CANCELED, input 0, never final.
        """
        if session.live:
            self.touched[session] = None
            yield from cancel_all(session, reason, now_ns)

    @property
    def next_expiry_ns(self) -> int | None:
        """When the next GTD order expires, in ns since 1970 UTC; None without any. It may have been done meanwhile."""
        return self._expiries.next_ns

    def expire(self, time_ns: int) -> Generator[None, None, int]:
        """Expire all GTD orders whose time is at or before ``time_ns``, in steps; reports carry ``time_ns``.

        They go by expiry, then session id, then sequence, each with EXPIRED, reason EXPIRED, input 0. Returns how many
        there were.
        """
        done = expired = 0
        while (order := self._expiries.pop(time_ns)) is not None:
            if is_live(order):
                expire(order, Reason.EXPIRED, time_ns)
                self.touched[order.session] = None
                expired += 1
            done += 1
            if done % EXPIRE_STEP == 0:
                yield
        return expired

    def end_day(self, time_ns: int) -> Generator[None, None, int]:
        """Expire all DAY orders, in steps; reports carry ``time_ns``.

        They go by session id, then sequence, each with EXPIRED, reason DAY_END, input 0. Returns how many there were.
        """
        expired = 0
        for session_id in sorted(self._sessions):
            session = self._sessions[session_id]
            count = yield from expire_day_orders(session, time_ns)
            if count:
                self.touched[session] = None
            expired += count
        return expired

    # --- checks -------------------------------------------------------------------------------------------------------

    def state_hash(self) -> bytes:
        """16 bytes over books, live orders, counters and how many reports each session has had."""
        digest = hashlib.blake2b(struct.pack("<Q", self.next_trade_id), digest_size=16)
        for instrument in sorted(self._books):
            digest.update(struct.pack("<Q", instrument) + self._books[instrument].state_hash())
        for session_id in sorted(self._sessions):
            session = self._sessions[session_id]
            digest.update(struct.pack("<QQQ", session_id, len(session.live), session.reports.next))
            if session.extension is not None:
                digest.update(session.extension.canonical())
        return digest.digest()

    def check_invariants(self) -> None:
        """Raise AssertionError if books and sessions contradict themselves or each other. Walks everything."""
        orders = 0
        expiring = self._expiries.orders()
        for book in self._books.values():
            book.check_invariants()
            _require(not book.stops.has_heard, "stop orders have not heard of a trade")
            _require((book.rules == OPEN_MARKET) == (book.instrument in self._plain), "rules of a market are lost")
            for order in chain(book.orders(), book.stops):
                orders += 1
                _require(is_live(order), f"order {order.number} and its session disagree")
                _require(order.leaves + order.filled <= VALUE_MAX, f"order {order.number} is too large")
                extras = order.extras
                due = extras is not None and extras.expiry_ns > 0
                _require(not due or order in expiring, f"order {order.number} would never expire")
        for session in self._sessions.values():
            live = session.live.values()
            orders -= len(live)
            _require(session.stops == sum(order.waits for order in live), "stop orders are not counted right")
            sequences = [order.sequence for order in live]
            _require(sequences == sorted(sequences), "live orders are not in the order of their sequences")
        _require(orders == 0, "a session has an order that is in no book")


def _cancel(session: Session, sequence: int, fields: Fields, now_ns: int) -> None:
    """A CANCEL."""
    session.extension = None
    number = fields[0]
    order = session.live.get(number)
    if order is None or order.instrument != fields[3]:
        refuse(session, ExecType.CANCEL_REJECTED, 0, sequence, fields, Reason.UNKNOWN_ORDER, now_ns)
        return
    remove(order)
    del session.live[number]
    tell_canceled(order, Reason.NONE, sequence, FLAG_FINAL, now_ns)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)
