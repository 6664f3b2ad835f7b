"""What the engine has executed, by its journal, and what must come of it, by the naive book.

Rules: a session's records are executed by sequence, once each; each is what orderd's journal has under that order id,
or its VOID where the order was too old to go; nothing is executed that was not durable at its orderd before; epochs
grow; what is acknowledged is in orderd's journal; time never goes back.
"""

import attrs

from engine.inputs import (
    AcknowledgedInput,
    CancelAllInput,
    DayEndInput,
    EpochInput,
    ExpireInput,
    InstrumentInput,
    MarketInput,
    OrdersInput,
    decode,
)
from orderd.wire.reports import Reason
from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.groups import void_of
from tests.simulation.oracle.limits import Limits
from tests.simulation.oracle.outcomes import take_report
from tests.simulation.oracle.records import Entry, outline, shown_record
from tests.simulation.oracle.said import RECORD_BYTES
from tests.simulation.oracle.site import Site
from tests.support.naive_book import NaiveEngine

Depth = tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]


@attrs.define(eq=False)
class Session:
    """One at the engine. ``site`` is None for an orderd that nobody watches: one on an empty disk."""

    id: int
    site: Site | None
    epoch: int
    nonce: int
    sequence: int = 0
    """The last that was executed."""
    taken: int = 0
    """Reports of the naive book that its site was told of."""
    acknowledged: int = 1

    def __str__(self) -> str:
        return f"session {self.id:016x} ({self.site.name if self.site is not None else 'nobody'})"


@attrs.define(eq=False)
class Engine:
    """All of it."""

    limits: Limits
    sites: dict[str, Site]
    book: NaiveEngine = attrs.field(factory=lambda: NaiveEngine([]))
    sessions: dict[int, Session] = attrs.field(factory=dict)
    time_ns: int = 0
    records: int = 0
    boots: int = 0
    is_booted: bool = False
    """Whether this life of it has said which boot it is."""

    def take(self, entries: list[Entry], tick: int, now: float) -> None:
        """These are durable now."""
        for kind, payload in entries:
            entry = decode(kind, payload)
            if isinstance(entry, OrdersInput):
                self._orders(entry, tick, now)
            elif isinstance(entry, EpochInput):
                self._epoch(entry, now)
            elif isinstance(entry, AcknowledgedInput):
                self._acknowledge(self._session(entry.session, now), entry.acknowledged, now)
            elif isinstance(entry, InstrumentInput):
                self.book.instruments.append(entry.id)
            elif isinstance(entry, CancelAllInput):
                self._cancel_all(entry, now)
            elif isinstance(entry, (ExpireInput, DayEndInput)):
                self._check_time(entry.time_ns, now)
                act = self.book.expire if isinstance(entry, ExpireInput) else self.book.end_day
                act(entry.time_ns)
            elif isinstance(entry, MarketInput):
                self._check_time(entry.time_ns, now)
                rules = entry.rules
                self.book.rules[entry.instrument] = rules.halted, rules.low, rules.high
            else:
                self.boots += 1
                self.is_booted = True
                if entry.boot != self.boots:
                    raise Contradiction("boot", f"the engine starts as boot {entry.boot}, this is its {self.boots}.")
        for session in self.sessions.values():
            self._tell(session, tick)

    def depth(self, instrument: int) -> Depth:
        """The book as it is."""
        return self.book.depth(instrument)

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _session(self, id_: int, now: float) -> Session:
        session = self.sessions.get(id_)
        if session is None:
            raise Contradiction("session", f"the engine speaks of session {id_:016x} at {now:.6f}, never opened")
        return session

    def _epoch(self, entry: EpochInput, now: float) -> None:
        if not self.is_booted:
            raise Contradiction("boot", f"the engine opens a session at {now:.6f}, and has not journaled its start")
        site = next((one for one in self.sites.values() if entry.nonce in one.nonces), None)
        session = self.sessions.get(entry.session)
        what = f"the engine opens session {entry.session:016x} at {now:.6f} with epoch {entry.epoch}"
        if site is not None and site.nonces[entry.nonce] != entry.epoch:
            raise Contradiction("epoch", f"{what}; {site.name} began that start as {site.nonces[entry.nonce]}")
        if session is None:
            others = [one.id for one in self.sessions.values() if site is not None and one.site is site]
            if others:
                raise Contradiction("session", f"{what}; {site.name if site else ''} has {others[0]:016x} already")
            self.sessions[entry.session] = Session(entry.session, site, entry.epoch, entry.nonce)
            return
        if entry.epoch <= session.epoch and (entry.epoch, entry.nonce) != (session.epoch, session.nonce):
            raise Contradiction("epoch", f"{what}, nonce {entry.nonce:x}; it had {session.epoch}, {session.nonce:x}")
        if site is not None and session.site is not site:
            raise Contradiction("session", f"{what} for {site.name}; it is {session}")
        session.epoch, session.nonce = entry.epoch, entry.nonce

    def _acknowledge(self, session: Session, acknowledged: int, now: float) -> None:
        site = session.site
        if site is not None and acknowledged > site.journaled + 1 and not site.is_loose:
            raise Contradiction(
                "acknowledged",
                f"the engine was told by {session} that reports below {acknowledged} need not be kept, at {now:.6f}; "
                f"its journal has them to {site.journaled}",
            )
        if acknowledged < session.acknowledged:
            raise Contradiction("acknowledged", f"{session}: {acknowledged} after {session.acknowledged}")
        session.acknowledged = acknowledged

    # --- inputs -------------------------------------------------------------------------------------------------------

    def _check_time(self, time_ns: int, now: float) -> None:
        if time_ns < self.time_ns:
            raise Contradiction("time", f"the engine's input at {now:.6f} is of {time_ns}, behind {self.time_ns}")
        self.time_ns = time_ns

    def _orders(self, entry: OrdersInput, tick: int, now: float) -> None:
        session = self._session(entry.session, now)
        self._check_time(entry.time_ns, now)
        self._acknowledge(session, entry.acknowledged, now)
        if entry.first != session.sequence + 1:
            raise Contradiction(
                "sequence", f"the engine executes {session} from {entry.first} on at {now:.6f}, "
                f"the last was {session.sequence}"
            )  # fmt: skip
        for at in range(0, len(entry.records), RECORD_BYTES):
            session.sequence += 1
            record = entry.records[at : at + RECORD_BYTES]
            self._check_record(session, record, tick, now)
            self.book.execute(session.id, session.sequence, record, entry.time_ns)
            self.records += 1

    def _check_record(self, session: Session, record: bytes, tick: int, now: float) -> None:
        site, sequence = session.site, session.sequence
        if site is not None and site.is_loose:
            return
        what = f"the engine executes {session} {sequence} at {now:.6f}: {shown_record(record)}"
        row = site.rows_at(sequence) if site is not None else None
        is_copy = site is not None and session.nonce not in site.nonces
        if site is not None and is_copy and (row is None or (not row.applied_tick and row.record != record)):
            # A copy of its disk runs beside, and has gone on by itself.
            site.is_loose = True
            return
        if site is None or row is None:
            raise Contradiction("invented", f"{what}; that is in no journal of an orderd")
        row.applied_tick = tick
        if session.epoch < row.epoch and not is_copy:
            raise Contradiction("epoch", f"{what}; {site.name} took it in as {row.epoch}, a start that nobody opened")
        if record == row.record:
            return
        said = f"{site.name} has {shown_record(row.record)}, since {row.committed_at:.6f}"
        if record != void_of(row.record):
            raise Contradiction("content", f"{what}; {said}")
        if not row.maxage_ms:
            raise Contradiction("void", f"{what}; {said}, and it has no MAXAGE")
        if row.life == site.life and now - self._said_at(site, row.name) < row.maxage_ms / 1000:
            raise Contradiction("void", f"{what}; {said}, MAXAGE {row.maxage_ms}, which is not over")
        row.is_void = True

    def _said_at(self, site: Site, name: bytes) -> float:
        """When it was said first, at the earliest."""
        found = [one.at for origin in site.talk.origins.values() if origin.key[1] == name for one in origin.attempts]
        return min(found, default=0.0)

    def _cancel_all(self, entry: CancelAllInput, now: float) -> None:
        session = self._session(entry.session, now)
        self._check_time(entry.time_ns, now)
        told = len(self.book.reports.get(session.id, ()))
        if entry.reason != Reason.REPORTS_FULL or told - (session.acknowledged - 1) < self.limits.reports_max:
            raise Contradiction("cancel all", f"{session} at {now:.6f}: {told} reports, {session.acknowledged} known")
        self.book.cancel_session(session.id, Reason(entry.reason), entry.time_ns)

    def _tell(self, session: Session, tick: int) -> None:
        """What the book told since the last time, to the one whose it is."""
        reports = self.book.reports.get(session.id)
        if reports is None or session.taken == len(reports):
            return
        if session.site is not None:
            for report in reports[session.taken :]:
                take_report(session.site, outline(report))
        session.taken = len(reports)
