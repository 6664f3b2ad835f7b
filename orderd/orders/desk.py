"""The desk: hands what was taken in to the journal and to the link as groups, and knows how each order came out.

An order id is the sequence of its record in the engine's session: both count journaled records from 1. Three marks move
through them, each never beyond the one before::

    staged (table.end) --commit--> committed_end --reports--> confirmed_end

How orders are taken in is in :mod:`orderd.orders.order_entry`. What is staged goes into the next commit. Nothing at or
behind ``committed_end`` is sent, shown, or answered from.
"""

from collections.abc import Callable, Iterable
from typing import Final

import attrs

from orderd.link.report_intake import Delivery
from orderd.orders import entries
from orderd.orders.ages import Ages
from orderd.orders.batches import BatchLedger
from orderd.orders.entries import Entry
from orderd.orders.errors import Full
from orderd.orders.executions import ExecutionLog
from orderd.orders.guards import Guard, Guards
from orderd.orders.ids import IdIndex
from orderd.orders.journal_index import JournalIndex, Location
from orderd.orders.modes import Mode
from orderd.orders.order_entry import NUMBER_AT, EntryLimits, OrderEntry
from orderd.orders.outcomes import OutcomeCounters, Outcomes
from orderd.orders.restoring import Restored, Restorer, new_instruments
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.positions import Positions
from orderd.orders.shares import Shares, ShareSettings
from orderd.orders.staging import Staging
from orderd.orders.table import OrderTable, is_order, unpack
from orderd.orders.trading import Trading, TradingState
from orderd.orders.withdrawals import Withdrawals
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.paths import Path
from orderd.wire.records import TEXT_NUMBER, Kind

RESERVED_FIRST: Final = 10**12
"""Numbers that orderd gives out begin here, above those that people type."""
RUNS_DROPPED_EVERY: Final = 1 << 16
RUN_ROWS_AT_ONCE: Final = 1024
TRIM_ROWS_AT_ONCE: Final = 1024


@attrs.frozen
class DeskLimits:
    """The meaning of each is that of the setting with its name.

    ``group_bytes_max`` bounds what waits for the next commit. ``executions_in_memory`` is None where executions cannot
    be read from the journal: then all that are kept are in memory.
    """

    orders_unconfirmed_max: int = 1_000_000
    orders_remembered_max: int = 1_000_000
    executions_kept: int = 2_000_000
    group_bytes_max: int = 16 * 2**20
    executions_in_memory: int | None = None
    shares: ShareSettings = attrs.field(factory=ShareSettings)


@attrs.frozen
class CommittedGroup:
    """Orders that became durable: rows below ``end``, with the mode of each run of them as ``(end, mode)``."""

    first: int
    end: int
    modes: list[tuple[int, Mode]]
    intake_time: float


class Desk:
    """``journal_room()`` tells how many bytes the journal can surely take."""

    def __init__(
        self, instruments: InstrumentTable, limits: DeskLimits, journal_room: Callable[[], int], room_reserved: int = 0
    ) -> None:
        self.instruments = instruments
        self.limits = limits
        self.batches = BatchLedger()
        self.table = OrderTable(limits.orders_remembered_max, self._forgotten, self.batches.keep)
        self.ids = IdIndex(self.table.remembers)
        self.positions = Positions(self.table, self.ids)
        self.outcomes = Outcomes(self.table, self.batches, self.positions)
        in_memory = limits.executions_in_memory
        index = JournalIndex() if in_memory is not None else None
        self.executions = ExecutionLog(limits.executions_kept, in_memory, index)
        self.committed_end = 1
        self.reports_next = 1
        """Number of the next report that :meth:`apply` expects."""
        self.reports_journaled = 1
        self.epoch = 0
        self.engine = 0
        self.engine_is_journaled = False
        self.trading = Trading()
        self.risk = RiskChecks(instruments, self.positions, self.trading)
        self._ages = Ages()
        self._staging = Staging(self.table)
        self.guards = Guards(self.table)
        self.shares = Shares(limits.orders_unconfirmed_max, limits.shares)
        self.entry = OrderEntry(
            instruments,
            EntryLimits(limits.orders_unconfirmed_max, limits.group_bytes_max, room_reserved, journal_room),
            self.table,
            self.ids,
            self.batches,
            self.outcomes,
            self._staging,
            self.risk,
            self._ages,
            self.guards,
            self.shares,
        )
        self.withdrawals = Withdrawals(self.guards, self.table, self.outcomes, self.entry, self._staging)
        self._known_instruments: dict[int, entries.InstrumentEntry] = {}
        self._reserved_next = RESERVED_FIRST
        self._runs_dropped_at = 1

    # --- start --------------------------------------------------------------------------------------------------------

    def restore(self, kind: int, payload: bytes) -> None:
        """:meth:`restore_all` for one entry."""
        self.restore_all([(kind, payload)])

    def restore_all(
        self, journal: Iterable[Entry], location: Callable[[], Location | None] = lambda: None, **bounds: int
    ) -> None:
        """Do again what journal entries say; ``location`` tells where the last one that was asked for is.

        Raises :class:`~orderd.orders.entries.EntryError`, :class:`~orderd.orders.errors.ReportMismatch`; the desk is of
        no use then.
        """
        parts = Restored(
            self.table, self.ids, self.batches, self.positions, self.outcomes, self.executions, self._ages, self.guards,
            self._restore_other, lambda: self._trim(2 * self.table.end),
        )  # fmt: skip
        restorer = Restorer(parts, self.reports_next, **bounds)
        for kind, payload in journal:
            restorer.take(kind, payload, location())
        restorer.finish()
        self.reports_next = self.reports_journaled = restorer.reports_next
        self.committed_end = self.table.end
        self._staging.restart()

    def _restore_other(self, entry: entries.AnyEntry) -> None:
        if isinstance(entry, entries.Start):
            self.epoch = entry.epoch
        elif isinstance(entry, entries.EngineEntry):
            self.engine, self.engine_is_journaled = entry.engine, True
        elif isinstance(entry, entries.Reserve):
            self._reserved_next = entry.next
        elif isinstance(entry, entries.TradingEntry):
            self.trading.restore(entry.state, entry.account)
        else:
            assert isinstance(entry, entries.InstrumentEntry)
            self._known_instruments[entry.id] = entry

    def start(self, nonce: int) -> list[Entry]:
        """After the journal was read: what to commit before the first HELLO.

        Raises :class:`~orderd.orders.errors.InstrumentsChanged`.
        """
        out = new_instruments(self._known_instruments, self.instruments)
        self.outcomes.counters = OutcomeCounters()
        self.epoch += 1
        self.guards.start(self.epoch)
        out.append(entries.Start(self.epoch, nonce).encode())
        return out

    # --- what else is journaled ---------------------------------------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        """Records that were taken in and not confirmed yet."""
        return self.table.end - self.outcomes.confirmed_end

    def reserve(self, count: int) -> int:
        """Numbers from the returned one on, never given out before; tell them after the next commit only."""
        first = self._reserved_next
        if first + count > TEXT_NUMBER:
            raise Full("all numbers are given out")
        self._reserved_next = first + count
        self._staging.add_entry(entries.Reserve(self._reserved_next).encode())
        return first

    def set_trading(self, state: TradingState, by: str, now_ns: int, account: int | None = None) -> None:
        """Trading, of ``account`` or of all, is in ``state`` from now on, because the client ``by`` said so.

        Tell it after its commit only.
        """
        if self.trading.change(state, by, self.commits_wanted, account):
            entry = entries.TradingEntry(state, now_ns, by, account).encode()
            self._staging.add_entry(entry, 0 if account is None else account)

    def release(self, guard: Guard) -> bool:
        """The orders in it, if there are any, stay whatever becomes of their client; tell it after the next commit."""
        is_used = self.guards.release(guard)
        if is_used:
            self._staging.add_guard_end(guard.id)
        return is_used

    def hold(self, *, held: bool) -> None:
        """Whether nothing is committed for now, so that what is staged meanwhile becomes one journal record."""
        self._staging.is_held = held

    def note_engine(self, engine: int) -> None:
        """The first WELCOME came from this engine."""
        if engine != self.engine:
            self.engine, self.engine_is_journaled = engine, False
            self._staging.add_entry(entries.EngineEntry(engine).encode())

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
    def commits_for_all(self) -> int:
        """Once so many commits were finished, all that was taken in and reported until now is durable."""
        return self._staging.commits_wanted - (not self._staging.has_anything)

    @property
    def has_orders_staged(self) -> bool:
        """Whether somebody waits for the next commit."""
        return self._staging.has_orders and not self._staging.is_held

    @property
    def has_anything_staged(self) -> bool:
        """Whether a commit may be made, and would have anything to do."""
        return self._staging.has_anything and not self._staging.is_held

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
        """Forget what is beyond the bounds; call it after those who waited for the last reports were told.

        Many open orders in a row, which are gone through and stay, take several calls.
        """
        self._trim(TRIM_ROWS_AT_ONCE + 4 * max(0, self.table.done - self.table.remembered_max))

    def _trim(self, rows: int) -> None:
        before = self.table.base
        self.table.trim(self.outcomes.confirmed_end, rows)
        self.batches.forget(self.table.base)
        if self.table.base - self._runs_dropped_at >= RUNS_DROPPED_EVERY:
            self.ids.drop_runs(self.table.base)
            self._runs_dropped_at = self.table.base
        # More than become too many meanwhile.
        self.ids.drop_some(max(RUN_ROWS_AT_ONCE, 2 * (self.table.base - before)))

    def _forgotten(self, order_id: int, record: bytes, text: bytes | None) -> None:
        number, kind = int.from_bytes(record[:NUMBER_AT], "little"), record[30]
        if text is not None or kind == Kind.NEW:
            self.ids.forget(order_id, number, text)
            self.batches.forgotten(order_id)

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
