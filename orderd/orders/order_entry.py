"""How orders, requests and batches are taken in: checked against what is known, bounded, staged for the next commit.

All that may refuse something is asked before anything is changed, so a refused command leaves nothing behind. What was
taken in before is answered before any check of what is allowed now: a repeat must hear of the first one's fate.
"""

from collections.abc import Callable
from typing import Final

import attrs

from orderd.orders import entries
from orderd.orders.ages import Ages
from orderd.orders.batches import Batch, BatchLedger, digest_of
from orderd.orders.checks import CheckedBatch, check_batch
from orderd.orders.errors import Duplicate, Full
from orderd.orders.ids import IdIndex, as_number
from orderd.orders.mass_cancels import MassCancels
from orderd.orders.modes import Mode
from orderd.orders.outcomes import Outcomes
from orderd.orders.staging import Staging
from orderd.orders.table import OrderTable, unpack
from orderd.orders.trading import Trading
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.records import RECORD, RECORD_BYTES, TEXT_NUMBER, Kind

NUMBER_AT: Final = 8
CANCELS_SPARE_SHARE: Final = 16
CANCELS_SPARE_MIN: Final = 64
"""Beyond ``orders_unconfirmed_max`` there is room for one cancel in so many orders, and for so many at least."""


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
        trading: Trading,
        ages: Ages,
    ) -> None:
        self.received = 0
        """Records that were taken in since the start of the process."""
        self._instruments = instruments
        self._limits = limits
        self._table = table
        self._ids = ids
        self._batches = batches
        self._outcomes = outcomes
        self._staging = staging
        self._trading = trading
        self._ages = ages
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
    ) -> int:
        """A new order; returns its order id.

        ``fields`` are price, quantity, instrument, account and flags of its record; ``maxage_ms`` is how long it may
        wait to be sent, 0 for ever. The same order again gets the first one's order id. Raises :class:`Duplicate`,
        :class:`~orderd.orders.errors.Halted` or :class:`Full`.
        """
        price, quantity, instrument, account, flags = fields
        number = as_number(cl_ord_id)
        known = self._ids.find(cl_ord_id)
        if number is None:
            number = TEXT_NUMBER + self._table.end
        record = RECORD.pack(number, price, quantity, instrument, account, Kind.NEW, flags)
        if known is not None:
            if self._content(known)[NUMBER_AT:] != record[NUMBER_AT:]:
                raise Duplicate(f"{cl_ord_id.decode()} is another order", known)
            return known
        self._trading.check()
        age_bytes = entries.AGE.size if maxage_ms else 0
        self._check_room(RECORD_BYTES + len(cl_ord_id) + entries.TEXT_ID.size + age_bytes)
        order_id = self._stage(record, mode, now, now_ns)
        if number >= TEXT_NUMBER:
            self._staging.add_id(order_id, cl_ord_id)
            self._table.set_id(order_id, cl_ord_id)
        if maxage_ms:
            self._staging.add_age(order_id, maxage_ms, now_ns)
            self._ages.add(order_id, maxage_ms, now)
        self._ids.add(cl_ord_id, order_id)
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
        place = self._table.locate(order_id)
        assert place is not None, "the caller has looked the order up"
        number, _, _, instrument, _, _, _ = unpack(*place)
        record = RECORD.pack(number, price, quantity, instrument, 0, kind, 0)
        if request_id is not None:
            known = self._ids.find(request_id)
            if known is not None:
                if self._content(known) != record:
                    raise Duplicate(f"{request_id.decode()} is another order or request", known)
                return Request(known, order_id)
        if kind is not Kind.CANCEL:
            self._trading.check()
        self._check_room(RECORD_BYTES + len(request_id or b"") + entries.TEXT_ID.size, cancels=kind is Kind.CANCEL)
        row = self._stage(record, mode, now, now_ns)
        if request_id is not None:
            self._staging.add_id(row, request_id)
            self._table.set_id(row, request_id)
            self._ids.add(request_id, row)
        return Request(row, order_id)

    def mass_cancel(self, instrument: int, account: int, flags: int, now: float, now_ns: int) -> int:
        """A cancel of all open orders that ``flags`` pick (:func:`~orderd.wire.records.mass_flags`); returns its row.

        Raises :class:`Full`.
        """
        self._mass_cancels.check(1, self._table.open + self.unconfirmed, self._outcomes.confirmed_end)
        self._check_room(RECORD_BYTES, cancels=True)
        record = RECORD.pack(TEXT_NUMBER + self._table.end, 0, 0, instrument, account, Kind.MASS_CANCEL, flags)
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
        if self._batches.find(draft.batch_id) is None:
            draft.checked = check_batch(draft.records, self._instruments.by_id)

    def place_draft(self, draft: BatchDraft, mode: Mode, now: float, now_ns: int) -> Batch:
        """The last step. Raises :class:`Duplicate`, :class:`~orderd.orders.errors.Halted` or :class:`Full`."""
        known = self._batches.find(draft.batch_id)
        if known is not None:
            if known.digest != draft.digest:
                raise Duplicate(f"batch {draft.batch_id.decode()} is another batch", known.end - 1)
            return known
        checked = draft.checked or check_batch(draft.records, self._instruments.by_id)
        if checked.may_trade:
            self._trading.check()
        at = self._ids.knows_any(checked.numbers, consecutive=checked.consecutive) if checked.numbers else None
        if at is not None:
            index, number = at if checked.indexes is None else checked.indexes[at], checked.numbers[at]
            raise Duplicate(f"record {index}: number {number} is known", self._ids.find_number(number) or 0)
        self._mass_cancels.check(
            checked.mass_cancels,
            self._table.open + self.unconfirmed + len(checked.numbers),
            self._outcomes.confirmed_end,
        )
        size = len(draft.records) + entries.BATCH.size + len(draft.batch_id)
        self._check_room(size, records=checked.count, cancels=not checked.may_trade)
        batch = Batch(draft.batch_id, draft.digest, self._stage(draft.records, mode, now, now_ns), checked.count)
        self._mass_cancels.add(batch.end, checked.mass_cancels)
        self._staging.add_batch(batch)
        self._ids.add_batch(checked, batch.first)
        self._batches.add(batch)
        return batch

    def _stage(self, records: bytes, mode: Mode, now: float, now_ns: int) -> int:
        first = self._staging.add_records(records, mode, now, now_ns)
        self.received += self._table.end - first
        return first

    def _check_room(self, size: int, *, records: int = 1, cancels: bool = False) -> None:
        """In every bound room stays reserved for cancels; whatever may trade, replaces included, cannot use it up."""
        limit = self._limits.orders_unconfirmed_max
        spare = max(CANCELS_SPARE_MIN, limit // CANCELS_SPARE_SHARE) if cancels else 0
        if self.unconfirmed + records > limit + spare:
            raise Full(f"orders_unconfirmed_max is reached: {self.unconfirmed} of {limit}")
        staged = self._staging.size_bytes
        if staged + size > self._limits.group_bytes_max * (2 if cancels else 1):
            raise Full(f"the journal cannot keep up: {staged} bytes wait for the next commit")
        room = self._limits.journal_room() - (0 if cancels else self._limits.room_reserved)
        if staged + size > room:
            raise Full("the journal's disk is full")

    def _content(self, order_id: int) -> bytes:
        place = self._table.locate(order_id)
        assert place is not None, "ids name rows that are there"
        return place[0].record(place[1])
