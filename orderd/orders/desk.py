"""The desk: takes orders in, hands them to the journal and to the link as groups, and knows how each came out.

An order id is the sequence of its record in the engine's session: both count journaled records from 1. Three marks move
through them, each never beyond the one before::

    staged (table.end) --commit--> committed_end --reports--> confirmed_end

What is staged goes into the next commit. Nothing at or behind ``committed_end`` is sent, shown, or answered from.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final

import attrs

from orderd.link.report_intake import Delivery
from orderd.orders import entries
from orderd.orders.ages import Ages
from orderd.orders.batches import Batch, BatchLedger, digest_of
from orderd.orders.checks import CheckedBatch, check_batch
from orderd.orders.entries import Entry
from orderd.orders.errors import Duplicate, Full
from orderd.orders.executions import ExecutionLog
from orderd.orders.ids import IdIndex, as_number
from orderd.orders.mass_cancels import MassCancels
from orderd.orders.outcomes import OutcomeCounters, Outcomes
from orderd.orders.restoring import new_instruments, restore_orders
from orderd.orders.staging import Staging
from orderd.orders.table import OrderTable, is_order, unpack
from orderd.orders.trading import Trading, TradingState
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, RECORD_BYTES, TEXT_NUMBER, Kind
from orderd.wire.reports import check_items

RESERVED_FIRST: Final = 10**12
"""Numbers that orderd gives out begin here, above those that people type."""
NUMBER_AT: Final = 8
CANCELS_SPARE_SHARE: Final = 16
CANCELS_SPARE_MIN: Final = 64
"""Beyond ``orders_unconfirmed_max`` there is room for one cancel in so many orders, and for so many at least."""
RUNS_DROPPED_EVERY: Final = 1 << 16


class Mode(IntEnum):
    """When a client hears of its order, and how long the order may wait for company."""

    SYNC = 0
    BATCH = 1
    FIRE_AND_FORGET = 2


MODE_NAMES: Final = {"sync": Mode.SYNC, "batch": Mode.BATCH, "fire-and-forget": Mode.FIRE_AND_FORGET}


@attrs.frozen
class DeskLimits:
    """The meaning of each is that of the setting with its name.

    ``group_bytes_max`` bounds what waits for the next commit.
    """

    orders_unconfirmed_max: int = 1_000_000
    orders_remembered_max: int = 1_000_000
    executions_kept: int = 2_000_000
    group_bytes_max: int = 16 * 2**20


@attrs.frozen
class CommittedGroup:
    """Orders that became durable: rows below ``end``, with the mode of each run of them as ``(end, mode)``."""

    first: int
    end: int
    modes: list[tuple[int, Mode]]
    intake_time: float


@attrs.frozen
class Request:
    """A cancel or replace: its own row, and the order it is about."""

    row: int
    order_id: int


@attrs.define
class BatchDraft:
    """A batch on its way in; ``checked`` is None as long as its records are not checked."""

    batch_id: bytes
    records: bytes
    digest: bytes
    checked: CheckedBatch | None = None


class Desk:
    """``journal_room()`` tells how many bytes the journal can surely take."""

    def __init__(
        self, instruments: InstrumentTable, limits: DeskLimits, journal_room: Callable[[], int], room_reserved: int = 0
    ) -> None:
        self.instruments = instruments
        self.limits = limits
        self.table = OrderTable(limits.orders_remembered_max, self._forgotten)
        self.ids = IdIndex(self.table.remembers)
        self.batches = BatchLedger()
        self.outcomes = Outcomes(self.table, self.batches)
        self.executions = ExecutionLog(limits.executions_kept)
        self.committed_end = 1
        self.reports_next = 1
        """Number of the next report that :meth:`apply` expects."""
        self.reports_journaled = 1
        self.epoch = 0
        self.engine = 0
        self.engine_is_journaled = False
        self.received = 0
        self.trading = Trading()
        self._ages = Ages()
        self._mass_cancels = MassCancels()
        self._staging = Staging(self.table)
        self._journal_room = journal_room
        self._room_reserved = room_reserved
        self._known_instruments: dict[int, entries.InstrumentEntry] = {}
        self._reserved_next = RESERVED_FIRST
        self._runs_dropped_at = 1

    # --- start --------------------------------------------------------------------------------------------------------

    def restore(self, kind: int, payload: bytes) -> None:
        """Do again what a journal entry says. Raises :class:`~orderd.orders.entries.EntryError`."""
        entry = entries.decode(kind, payload)
        if isinstance(entry, entries.Orders):
            restore_orders(entry, self.table, self.ids, self.batches, self._known_instruments)
            for mark in entry.ages:
                self._ages.restore(entry.first + mark.index, mark)
            self.committed_end = self.table.end
            self._staging.restart()
        elif isinstance(entry, entries.ReportsEntry):
            reports = check_items(entry.items)[1]
            if entry.first != self.reports_next:
                raise entries.EntryError(f"report {entry.first} follows {self.reports_next - 1}")
            chunk = self.outcomes.apply(Delivery(entry.first, entry.items, reports), Path(entry.path), self.table.end)
            self.reports_next = self.reports_journaled = entry.first + reports
            self._ages.confirm(self.outcomes.confirmed_end)
            self.executions.append(chunk)
            self.trim()
        elif isinstance(entry, entries.Start):
            self.epoch = entry.epoch
        elif isinstance(entry, entries.EngineEntry):
            self.engine, self.engine_is_journaled = entry.engine, True
        elif isinstance(entry, entries.Reserve):
            self._reserved_next = entry.next
        elif isinstance(entry, entries.TradingEntry):
            self.trading.state = entry.state
        else:
            self._known_instruments[entry.id] = entry

    def start(self, nonce: int) -> list[Entry]:
        """After the journal was read: what to commit before the first HELLO.

        Raises :class:`~orderd.orders.errors.InstrumentsChanged`.
        """
        out = new_instruments(self._known_instruments, self.instruments)
        self.outcomes.counters = OutcomeCounters()
        self.epoch += 1
        out.append(entries.Start(self.epoch, nonce).encode())
        return out

    # --- taking orders in ---------------------------------------------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        """Records that were taken in and not confirmed yet."""
        return self.table.end - self.outcomes.confirmed_end

    def place(
        self,
        cl_ord_id: bytes,
        fields: tuple[int, int, int, int, int],
        mode: Mode,
        now: float,
        now_ns: int,
        maxage_ms: int = 0,
    ) -> int:
        """A new order; returns its order id.

        ``fields`` are price, quantity, instrument, account and flags of its record; ``maxage_ms`` is how long it may
        wait to be sent, 0 for ever. The same order again gets the first one's order id. Raises :class:`Duplicate`,
        :class:`~orderd.orders.errors.Halted` or :class:`Full`.
        """
        price, quantity, instrument, account, flags = fields
        number = as_number(cl_ord_id)
        known = self.ids.find(cl_ord_id)
        if number is None:
            number = TEXT_NUMBER + self.table.end
        record = RECORD.pack(number, price, quantity, instrument, account, Kind.NEW, flags)
        if known is not None:
            if self._content(known)[NUMBER_AT:] != record[NUMBER_AT:]:
                raise Duplicate(f"{cl_ord_id.decode()} is another order", known)
            return known
        self.trading.check()
        age_bytes = entries.AGE.size if maxage_ms else 0
        self._check_room(RECORD_BYTES + len(cl_ord_id) + entries.TEXT_ID.size + age_bytes)
        order_id = self._stage(record, mode, now, now_ns)
        if number >= TEXT_NUMBER:
            self._staging.add_id(order_id, cl_ord_id)
            self.table.set_id(order_id, cl_ord_id)
        if maxage_ms:
            self._staging.add_age(order_id, maxage_ms, now_ns)
            self._ages.add(order_id, maxage_ms, now)
        self.ids.add(cl_ord_id, order_id)
        return order_id

    def request(
        self,
        order_id: int,
        kind: Kind,
        price: int,
        quantity: int,
        request_id: bytes | None,
        mode: Mode,
        now: float,
        now_ns: int,
    ) -> Request:
        """A cancel or replace of an order that is there.

        Raises :class:`Duplicate`, :class:`~orderd.orders.errors.Halted` (replaces alone) or :class:`Full`.
        """
        place = self.table.locate(order_id)
        assert place is not None, "the caller has looked the order up"
        number, _, _, instrument, _, _, _ = unpack(*place)
        record = RECORD.pack(number, price, quantity, instrument, 0, kind, 0)
        if request_id is not None:
            known = self.ids.find(request_id)
            if known is not None:
                if self._content(known) != record:
                    raise Duplicate(f"{request_id.decode()} is another order or request", known)
                return Request(known, order_id)
        if kind is not Kind.CANCEL:
            self.trading.check()
        self._check_room(RECORD_BYTES + len(request_id or b"") + entries.TEXT_ID.size, cancels=kind is Kind.CANCEL)
        row = self._stage(record, mode, now, now_ns)
        if request_id is not None:
            self._staging.add_id(row, request_id)
            self.table.set_id(row, request_id)
            self.ids.add(request_id, row)
        return Request(row, order_id)

    def mass_cancel(self, instrument: int, account: int, flags: int, now: float, now_ns: int) -> int:
        """A cancel of all open orders that ``flags`` pick (:func:`~orderd.wire.records.mass_flags`); returns its row.

        Raises :class:`Full`.
        """
        self._mass_cancels.check(1, self.table.open + self.unconfirmed, self.outcomes.confirmed_end)
        self._check_room(RECORD_BYTES, cancels=True)
        record = RECORD.pack(TEXT_NUMBER + self.table.end, 0, 0, instrument, account, Kind.MASS_CANCEL, flags)
        row = self._stage(record, Mode.SYNC, now, now_ns)
        self._mass_cancels.add(row + 1, 1)
        return row

    def draft_batch(self, batch_id: bytes, records: bytes) -> BatchDraft:
        """A client's batch, in three steps, since a large one takes about a millisecond for each.

        The same batch again gets the first outcome.
        """
        return BatchDraft(batch_id, records, digest_of(records))

    def check_draft(self, draft: BatchDraft) -> None:
        """The second step, which asks only what never changes. Raises :class:`~orderd.orders.errors.BadOrder`."""
        if self.batches.find(draft.batch_id) is None:
            draft.checked = check_batch(draft.records, self.instruments.by_id)

    def place_draft(self, draft: BatchDraft, mode: Mode, now: float, now_ns: int) -> Batch:
        """The last step. Raises :class:`Duplicate`, :class:`~orderd.orders.errors.Halted` or :class:`Full`."""
        known = self.batches.find(draft.batch_id)
        if known is not None:
            if known.digest != draft.digest:
                raise Duplicate(f"batch {draft.batch_id.decode()} is another batch", known.end - 1)
            return known
        checked = draft.checked or check_batch(draft.records, self.instruments.by_id)
        if checked.may_trade:
            self.trading.check()
        at = self.ids.knows_any(checked.numbers, consecutive=checked.consecutive) if checked.numbers else None
        if at is not None:
            index, number = at if checked.indexes is None else checked.indexes[at], checked.numbers[at]
            raise Duplicate(f"record {index}: number {number} is known", self.ids.find_number(number) or 0)
        self._mass_cancels.check(
            checked.mass_cancels, self.table.open + self.unconfirmed + len(checked.numbers), self.outcomes.confirmed_end
        )
        size = len(draft.records) + entries.BATCH.size + len(draft.batch_id)
        self._check_room(size, records=checked.count, cancels=not checked.may_trade)
        batch = Batch(draft.batch_id, draft.digest, self._stage(draft.records, mode, now, now_ns), checked.count)
        self._mass_cancels.add(batch.end, checked.mass_cancels)
        self._staging.add_batch(batch)
        self.ids.add_batch(checked, batch.first)
        self.batches.add(batch)
        return batch

    def reserve(self, count: int) -> int:
        """Numbers from the returned one on, never given out before; tell them after the next commit only."""
        first = self._reserved_next
        if first + count > TEXT_NUMBER:
            raise Full("all numbers are given out")
        self._reserved_next = first + count
        self._staging.add_entry(entries.Reserve(self._reserved_next).encode())
        return first

    def set_trading(self, state: TradingState, by: str, now_ns: int) -> None:
        """Trading is in ``state`` from now on, because the client ``by`` said so; tell it after its commit only."""
        if self.trading.change(state, by, self.commits_wanted):
            self._staging.add_entry(entries.TradingEntry(state, now_ns, by).encode())

    def note_engine(self, engine: int) -> None:
        """The first WELCOME came from this engine."""
        if engine != self.engine:
            self.engine, self.engine_is_journaled = engine, False
            self._staging.add_entry(entries.EngineEntry(engine).encode())

    def _stage(self, records: bytes, mode: Mode, now: float, now_ns: int) -> int:
        first = self._staging.add_records(records, mode, now, now_ns)
        self.received += self.table.end - first
        return first

    def _check_room(self, size: int, *, records: int = 1, cancels: bool = False) -> None:
        """In every bound room stays reserved for cancels; whatever may trade, replaces included, cannot use it up."""
        limit = self.limits.orders_unconfirmed_max
        spare = max(CANCELS_SPARE_MIN, limit // CANCELS_SPARE_SHARE) if cancels else 0
        if self.unconfirmed + records > limit + spare:
            raise Full(f"orders_unconfirmed_max is reached: {self.unconfirmed} of {limit}")
        staged = self._staging.size_bytes
        if staged + size > self.limits.group_bytes_max * (2 if cancels else 1):
            raise Full(f"the journal cannot keep up: {staged} bytes wait for the next commit")
        room = self._journal_room() - (0 if cancels else self._room_reserved)
        if staged + size > room:
            raise Full("the journal's disk is full")

    def _content(self, order_id: int) -> bytes:
        place = self.table.locate(order_id)
        assert place is not None, "ids name rows that are there"
        return place[0].record(place[1])

    # --- commits ------------------------------------------------------------------------------------------------------

    @property
    def commits(self) -> int:
        """Commits that were finished."""
        return self._staging.commits

    @property
    def commits_wanted(self) -> int:
        """Once so many commits were finished, all that is staged now is durable."""
        return self._staging.commits_wanted

    @property
    def has_orders_staged(self) -> bool:
        """Whether somebody waits for the next commit."""
        return self._staging.has_orders

    @property
    def has_anything_staged(self) -> bool:
        """Whether a commit would have anything to do."""
        return self._staging.has_anything

    @property
    def is_idle(self) -> bool:
        """Whether no commit is under way and nothing that is durable waits for its confirmation."""
        return self._staging.committing is None and self.committed_end == self.outcomes.confirmed_end

    @property
    def is_settled(self) -> bool:
        """Whether all that was taken in is durable."""
        return not self._staging.has_anything and self._staging.committing is None

    def take_entries(self) -> list[Entry]:
        """All that is staged, as journal entries. Commit them, then call :meth:`committed`; one commit at a time."""
        return self._staging.take(self.reports_next)

    def committed(self) -> CommittedGroup | None:
        """What :meth:`take_entries` gave is durable."""
        done = self._staging.finish()
        for chunk in done.chunks:
            self.executions.append(chunk)
        self.reports_journaled = done.reports_next
        self.engine_is_journaled = self.engine_is_journaled or done.has_engine
        group = done.group
        if group is None:
            return None
        self.committed_end = done.group_end
        return CommittedGroup(group.first, done.group_end, group.modes, group.intake_time)

    def outgoing(self, first: int, count: int, now: float, now_ns: int) -> bytes:
        """The records of sequences that are about to be sent, as they have to go.

        An order whose ``MAXAGE`` is over goes as a VOID; what goes for the first time is decided now and stays so
        (:mod:`orderd.orders.ages`). ``now`` is on the clock of its intake, in seconds; ``now_ns`` since 1970 UTC.
        """
        records = self.table.records(first, count)
        return records if self._ages.is_empty else self._ages.outgoing(records, first, now, now_ns)

    # --- reports ------------------------------------------------------------------------------------------------------

    def apply(self, delivery: Delivery, path: Path) -> None:
        """Reports from the engine, in order. Raises :class:`~orderd.orders.errors.ReportMismatch`."""
        chunk = self.outcomes.apply(delivery, path, self.committed_end)
        self.reports_next = delivery.first + delivery.reports
        if not self._ages.is_empty:
            self._ages.confirm(self.outcomes.confirmed_end)
        self._staging.add_reports(entries.ReportsEntry(delivery.first, path, delivery.items).encode(), chunk)

    def trim(self) -> None:
        """Forget what is beyond the bounds; call it after those who waited for the last reports were told."""
        self.table.trim(self.outcomes.confirmed_end)
        self.batches.forget(self.table.base)
        if self.table.base - self._runs_dropped_at >= RUNS_DROPPED_EVERY:
            self.ids.drop_runs(self.table.base)
            self._runs_dropped_at = self.table.base

    def _forgotten(self, order_id: int, record: bytes, text: bytes | None) -> None:
        number, kind = int.from_bytes(record[:NUMBER_AT], "little"), record[30]
        if text is not None or kind == Kind.NEW:
            self.ids.forget(order_id, number, text)

    # --- questions ----------------------------------------------------------------------------------------------------

    def find(self, cl_ord_id: bytes) -> int | None:
        """Order id of the order with this client order id, or of the order that a request of this id is about."""
        order_id = self.ids.find(cl_ord_id)
        place = self.table.locate(order_id) if order_id is not None else None
        if order_id is None or place is None or is_order(*place):
            return order_id
        return self.target(order_id)

    def target(self, row: int) -> int | None:
        """The order that the request in ``row`` is about, if it is remembered."""
        place = self.table.locate(row)
        if place is None:
            return None
        number = unpack(*place)[0]
        if number >= TEXT_NUMBER:
            return number - TEXT_NUMBER if self.table.remembers(number - TEXT_NUMBER) else None
        found = self.ids.find_number(number)
        # The number may have been forgotten since, and stand for something newer.
        there = self.table.locate(found) if found is not None and found < row else None
        return found if there is not None and is_order(*there) else None
