"""How orders, requests and batches are taken in: checked against what is known, bounded, staged for the next commit.

All that may refuse something is asked before anything is changed, so a refused command leaves nothing behind. What was
taken in before is answered before any check of what is allowed now: a repeat must hear of the first one's fate.
"""

from collections.abc import Callable, Generator
from typing import Final

import attrs

from orderd.orders import entries
from orderd.orders.ages import Ages
from orderd.orders.batches import Batch, BatchLedger, digest_of
from orderd.orders.checks import CheckedBatch, check_batch
from orderd.orders.errors import BadOrder, Duplicate, Full
from orderd.orders.guards import Guards
from orderd.orders.ids import IdIndex, as_number
from orderd.orders.mass_cancels import MassCancels
from orderd.orders.modes import Mode
from orderd.orders.outcomes import Outcomes
from orderd.orders.risk.batches import check_batch_in_steps as check_risk
from orderd.orders.risk.batches import takes_long
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.flow import SMALL, Flow, flow_in_steps
from orderd.orders.risk.holdings import trigger_of
from orderd.orders.risk.positions import LATER_ROWS
from orderd.orders.shares import Owner, Shares
from orderd.orders.staging import Staging
from orderd.orders.table import OrderTable, unpack
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.extensions import expiry_of, numbered
from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, TEXT_NUMBER, Kind

NUMBER_AT: Final = 8


@attrs.frozen
class EntryLimits:
    """The meaning of the first is that of the setting with its name.

    ``group_bytes_max`` bounds what waits for the next commit, ``room_reserved`` is for cancels alone;
    ``journal_room()`` tells how many bytes the journal can surely take.
    """

    orders_unconfirmed_max: int
    group_bytes_max: int
    room_reserved: int
    journal_room: Callable[[], int]


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
    flow: Flow | None = None
    """What it comes to; None as long as nobody has added it up."""


class OrderEntry:
    """The way in. The parts are the desk's, and belong to it."""

    def __init__(
        self,
        instruments: InstrumentTable,
        limits: EntryLimits,
        table: OrderTable,
        ids: IdIndex,
        batches: BatchLedger,
        outcomes: Outcomes,
        staging: Staging,
        risk: RiskChecks,
        ages: Ages,
        guards: Guards,
        shares: Shares,
    ) -> None:
        self.shares = shares
        self.received = 0
        """Orders and requests that were taken in since the start of the process."""
        self._instruments = instruments
        self._limits = limits
        self._table = table
        self._ids = ids
        self._batches = batches
        self._outcomes = outcomes
        self._staging = staging
        self._risk = risk
        self._ages = ages
        self._guards = guards
        self._mass_cancels = MassCancels()

    @property
    def unconfirmed(self) -> int:
        """Records that were taken in and not confirmed yet."""
        return self._table.end - self._outcomes.confirmed_end

    def place(
        self,
        cl_ord_id: bytes,
        fields: tuple[int, int, int, int, int],
        mode: Mode,
        now: float,
        now_ns: int,
        maxage_ms: int = 0,
        extensions: bytes = b"",
        owner: Owner | None = None,
    ) -> int:
        """A new order; returns its order id. ``owner`` is the connection that places it, as in all that follow.

        ``fields`` are price, quantity, instrument, account and flags of its record, ``extensions`` what it says beyond
        these, unnumbered (:mod:`orderd.wire.extensions`); ``maxage_ms`` is how long it may wait to be sent, 0 for ever.
        The same order again gets the first one's order id. Raises :class:`Duplicate`,
        :class:`~orderd.orders.errors.Halted`, :class:`Full`, or :class:`BadOrder` if it has expired already.
        """
        price, quantity, instrument, account, flags = fields
        number = as_number(cl_ord_id)
        known = self._ids.find(cl_ord_id)
        before = len(extensions) // RECORD_BYTES if extensions else 0
        if number is None:
            number = TEXT_NUMBER + self._table.end + before
        record = RECORD.pack(number, price, quantity, instrument, account, Kind.NEW, flags)
        if known is not None:
            said = numbered(self._table.extensions(known), 0)
            if self._content(known)[NUMBER_AT:] != record[NUMBER_AT:] or said != extensions:
                raise Duplicate(f"{cl_ord_id.decode()} is another order", known)
            return known
        trigger = 0
        if before:
            if 0 < expiry_of(extensions) <= now_ns:
                raise BadOrder("GTD is in the past")
            trigger = trigger_of(extensions)
            record = numbered(extensions, number) + record
        risk, ticket = self._risk, None
        if not risk.is_off or risk.trading.restricts:
            ticket = risk.check_new(account, instrument, flags & FLAG_SELL, price, quantity, trigger, now)
        age_bytes = entries.AGE.size if maxage_ms else 0
        size = len(record) + len(cl_ord_id) + entries.TEXT_ID.size + age_bytes
        self._check_room(size, now, owner, records=1 + before)
        first = order_id = self._stage(record, mode, now, now_ns, owner, guarded=True)
        if before:
            # Those stand first; what is counted is orders.
            order_id += before
            self.received -= before
        if number >= TEXT_NUMBER:
            self._staging.add_id(order_id, cl_ord_id)
            self._table.set_id(order_id, cl_ord_id)
        if maxage_ms:
            self._staging.add_age(order_id, maxage_ms, now_ns)
            self._ages.add(order_id, maxage_ms, now)
        self._ids.add(cl_ord_id, order_id)
        if not risk.is_off:
            risk.took_new(first, account, instrument, flags & FLAG_SELL, price, quantity, now, ticket)
        elif first - risk.positions.counted_end > LATER_ROWS:
            risk.positions.catch_up()
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
        owner: Owner | None = None,
    ) -> Request:
        """A cancel or replace of an order that is there.

        Raises :class:`Duplicate`, :class:`~orderd.orders.errors.Halted` (replaces alone) or :class:`Full`.
        """
        place = self._table.locate(order_id)
        assert place is not None, "the caller has looked the order up"
        number, _, _, instrument, _, _, _ = unpack(*place)
        record = RECORD.pack(number, price, quantity, instrument, 0, kind, 0)
        if request_id is not None:
            known = self._ids.find(request_id)
            if known is not None:
                # One that is older than its order was about another one of that number, which is forgotten.
                if known < order_id or self._content(known) != record:
                    raise Duplicate(f"{request_id.decode()} is another order or request", known)
                return Request(known, order_id)
        if kind is not Kind.CANCEL:
            self._risk.check_request(order_id, kind, price, quantity, now)
        orders = 0 if kind is Kind.CANCEL else 1
        self._check_room(RECORD_BYTES + len(request_id or b"") + entries.TEXT_ID.size, now, owner, orders=orders)
        row = self._stage(record, mode, now, now_ns, owner, orders=orders)
        if request_id is not None:
            self._staging.add_id(row, request_id)
            self._table.set_id(row, request_id)
            self._ids.add(request_id, row)
        if kind is not Kind.CANCEL:
            self._risk.took_replace(row, order_id, kind, quantity, now)
        return Request(row, order_id)

    def check_halted(self, order_id: int) -> None:
        """Whether a change of an order that is there may be asked for. Raises :class:`~orderd.orders.errors.Halted`."""
        place = self._table.locate(order_id)
        self._risk.trading.check(None if place is None else unpack(*place)[4])

    def mass_cancel(
        self, instrument: int, account: int, flags: int, now: float, now_ns: int, owner: Owner | None = None
    ) -> int:
        """A cancel of all open orders that ``flags`` pick (:func:`~orderd.wire.records.mass_flags`); returns its row.

        Raises :class:`Full`.
        """
        self._mass_cancels.check(1, self._table.open + self.unconfirmed, self._outcomes.confirmed_end)
        self._check_room(RECORD_BYTES, now, owner, orders=0)
        record = RECORD.pack(TEXT_NUMBER + self._table.end, 0, 0, instrument, account, Kind.MASS_CANCEL, flags)
        row = self._stage(record, Mode.SYNC, now, now_ns, owner, orders=0)
        self._mass_cancels.add(row + 1, 1)
        return row

    def draft_batch(self, batch_id: bytes, records: bytes) -> BatchDraft:
        """A client's batch, in three steps, since a large one takes about a millisecond for each.

        The same batch again gets the first outcome.
        """
        return BatchDraft(batch_id, records, digest_of(records))

    def check_draft(self, draft: BatchDraft) -> None:
        """The second step, which asks only what never changes. Raises :class:`~orderd.orders.errors.BadOrder`."""
        if self._batches.find(draft.batch_id) is None:
            draft.checked = check_batch(draft.records, self._instruments.by_id)

    def add_up_draft(self, draft: BatchDraft) -> Generator[None, None, None]:
        """The third, in steps: what the batch comes to, for the risk checks."""
        if self._risk.asks_nothing:
            yield from self._risk.positions.catch_up_in_steps()
        elif draft.checked is not None and draft.checked.may_trade and draft.checked.count > SMALL:
            draft.flow = yield from flow_in_steps(draft.records)

    def takes_long(self, draft: BatchDraft) -> bool:
        """Whether the last step should be done in smaller ones, between which nobody else places anything."""
        checked = draft.checked
        return checked is not None and checked.may_trade and takes_long(self._risk, draft.records, draft.flow)

    def place_draft(self, draft: BatchDraft, mode: Mode, now: float, now_ns: int, owner: Owner | None = None) -> Batch:
        """:meth:`place_draft_in_steps` in one go."""
        steps = self.place_draft_in_steps(draft, mode, now, now_ns, owner)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                batch: Batch = end.value
                return batch

    def place_draft_in_steps(
        self, draft: BatchDraft, mode: Mode, now: float, now_ns: int, owner: Owner | None
    ) -> Generator[None, None, Batch]:
        """The last step, which only pauses if it :meth:`takes_long`. Raises as :meth:`place` does."""
        known = self._batches.find(draft.batch_id)
        if known is not None:
            if known.digest != draft.digest:
                raise Duplicate(f"batch {draft.batch_id.decode()} is another batch", known.end - 1)
            return known
        checked = draft.checked or check_batch(draft.records, self._instruments.by_id)
        if checked.expires_first is not None and checked.expires_first[0] <= now_ns:
            raise BadOrder(f"record {checked.expires_first[1]}: its expiry is in the past")
        if checked.may_trade:
            self._risk.trading.check()
        at = self._ids.knows_any(checked.numbers, consecutive=checked.consecutive) if checked.numbers else None
        if at is not None:
            index, number = at if checked.indexes is None else checked.indexes[at], checked.numbers[at]
            raise Duplicate(f"record {index}: number {number} is known", self._ids.find_number(number) or 0)
        if checked.may_trade:
            yield from check_risk(self._risk, draft.records, draft.flow, self._table.end, now)
        self._mass_cancels.check(
            checked.mass_cancels,
            self._table.open + self.unconfirmed + len(checked.numbers),
            self._outcomes.confirmed_end,
        )
        size = len(draft.records) + entries.BATCH.size + len(draft.batch_id)
        orders = checked.count - checked.extensions if checked.may_trade else 0
        self._check_room(size, now, owner, records=checked.count, orders=orders)
        first = self._stage(draft.records, mode, now, now_ns, owner, orders=orders, guarded=bool(checked.numbers))
        batch = Batch(draft.batch_id, draft.digest, first, checked.count)
        batch.extensions = checked.extensions
        self.received -= checked.extensions
        self._mass_cancels.add(batch.end, checked.mass_cancels)
        self._staging.add_batch(batch)
        self._ids.add_batch(checked, batch.first)
        self._batches.add(batch)
        if checked.may_trade:
            yield from self._risk.took_batch_in_steps(draft.records, draft.flow, batch.first, now)
        return batch

    # --- cancels for those who are gone -------------------------------------------------------------------------------

    def room_to_withdraw(self) -> int:
        """How many cancels :meth:`withdraw` may take; half of what is reserved for cancels stays free for clients."""
        limit = self._limits.orders_unconfirmed_max
        staged = self._staging.size_bytes
        room = min(self._limits.group_bytes_max * 3 // 2, self._limits.journal_room()) - staged
        return min(limit + self.shares.cancels_spare // 2 - self.unconfirmed, room // RECORD_BYTES)

    def withdraw(self, records: bytes, now: float, now_ns: int) -> None:
        """Cancels that nobody waits for (:mod:`orderd.orders.withdrawals`), within the room that there is."""
        self._stage(records, Mode.SYNC, now, now_ns, None)

    def _stage(
        self, records: bytes, mode: Mode, now: float, now_ns: int, owner: Owner | None, *, orders: int = 1,
        guarded: bool = False,
    ) -> int:  # fmt: skip
        first = self._staging.add_records(records, mode, now, now_ns)
        end = self._table.end
        self.received += end - first
        if owner is not None:
            self.shares.take(owner, first, end, orders, now)
            if guarded and owner.guard is not None:
                self._guards.add(owner.guard, first, end)
                self._staging.add_guard(first, owner.guard.id)
        return first

    def _check_room(self, size: int, now: float, owner: Owner | None, *, records: int = 1, orders: int = 1) -> None:
        """In every bound room stays reserved for cancels (0 ``orders``), and some for those who hold little.

        Whatever may trade, replaces included, cannot use it up.
        """
        confirmed_end = self._outcomes.confirmed_end
        few = self.shares.check(owner, records, orders, self._table.end - confirmed_end, confirmed_end, now)
        staged = self._staging.size_bytes
        halves = 4 if not orders else 3 if few else 2
        if staged + size > self._limits.group_bytes_max * halves // 2:
            raise Full(f"the journal cannot keep up: {staged} bytes wait for the next commit")
        room = self._limits.journal_room() - (self._limits.room_reserved if orders else 0)
        if staged + size > room:
            raise Full("the journal's disk is full")

    def _content(self, order_id: int) -> bytes:
        place = self._table.locate(order_id)
        assert place is not None, "ids name rows that are there"
        return place[0].record(place[1])
