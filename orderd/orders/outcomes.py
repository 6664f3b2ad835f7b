"""What the engine's reports do to the table, and what is confirmed by them."""

from typing import Final

import attrs

from orderd.link.report_intake import Delivery
from orderd.orders.batches import BatchLedger
from orderd.orders.errors import ReportMismatch
from orderd.orders.executions import Chunk
from orderd.orders.risk.positions import Positions
from orderd.orders.risk.uncounted import FILL_HEAD, pack_fill
from orderd.orders.table import ANSWERED, OrderTable, Page, is_order
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES, TEXT_NUMBER
from orderd.wire.reports import (
    FLAG_FINAL,
    FLAG_TAKER,
    FULL,
    FULL_BYTES,
    HIDDEN,
    RANGE,
    RANGE_BYTES,
    ExecType,
    OrderStatus,
    Reason,
)

NEW: Final = int(ExecType.NEW)
TRADE: Final = int(ExecType.TRADE)
REPLACED: Final = int(ExecType.REPLACED)
REJECTED: Final = int(ExecType.REJECTED)
REQUEST_REJECTED: Final = (int(ExecType.CANCEL_REJECTED), int(ExecType.REPLACE_REJECTED))
VOIDED: Final = int(ExecType.VOIDED)
MASS_CANCELED: Final = int(ExecType.MASS_CANCELED)
TRIGGERED: Final = int(ExecType.TRIGGERED)
EXTENDED: Final = int(ExecType.EXTENDED)
EXPIRED: Final = int(OrderStatus.EXPIRED)


@attrs.define
class OutcomeCounters:
    """Totals since the start of the process."""

    confirmed: dict[Path, int] = attrs.field(factory=lambda: dict.fromkeys(Path, 0))
    rejected: int = 0


class Outcomes:
    """Applies deliveries in order.

    Rows below :attr:`confirmed_end` are confirmed: all that they caused at once has been told.
    """

    def __init__(self, table: OrderTable, batches: BatchLedger, positions: Positions | None = None) -> None:
        self.confirmed_end = 1
        self.counters = OutcomeCounters()
        self._table = table
        self._batches = batches
        self._positions = positions if positions is not None else Positions(table)
        self._fills = self._positions.fills

    def apply(self, delivery: Delivery, path: Path, sent_end: int) -> Chunk:
        """Raises :class:`ReportMismatch` for a report on an order that was not sent.

        Rows from ``sent_end`` on were not.
        """
        items, table = delivery.items, self._table
        records: list[bytes] = []
        names: list[bytes | None] = []  # grows only once there is a text id: bulk flow has numbers
        offset = told = hidden = 0
        while offset < len(items):
            if items[offset] == NEW:
                first, count = self._range(items, offset, path, sent_end)
                records.append(table.records(first, count))
                texts = table.text_ids(first, count)
                if texts is not None:
                    names += [None] * (told - len(names)) + texts
                offset += RANGE_BYTES
                told += count
            else:
                number = self._full(items, offset, path, sent_end)
                if number >= TEXT_NUMBER:
                    names += [None] * (told - len(names))
                    names.append(self._name(number))
                hidden += items[offset] in HIDDEN
                offset += FULL_BYTES
                told += 1
        self._positions.bound_fills()
        ids = names + [None] * (told - len(names)) if any(names) else None
        return Chunk(delivery.first, items, b"".join(records), ids, told - hidden)

    def _range(self, items: bytes, offset: int, path: Path, sent_end: int) -> tuple[int, int]:
        _, flags, _, count, first, _ = RANGE.unpack_from(items, offset)
        if not self.confirmed_end == first <= first + count <= sent_end:
            raise ReportMismatch(
                f"NEW for orders {first} to {first + count - 1}, expected from {self.confirmed_end} on"
            )
        self._table.accept(first, count, path)
        if flags & FLAG_FINAL:
            self._confirm(first + count, path)
        return first, count

    def _full(self, items: bytes, offset: int, path: Path, sent_end: int) -> int:
        number: int
        (
            exec_type, flags, status, reason, _, _, _, _, order, input_, number, last_qty, last_px, cum_qty, leaves_qty,
            _, _,
        ) = FULL.unpack_from(items, offset)  # fmt: skip
        if order >= sent_end or input_ >= sent_end:
            raise ReportMismatch(
                f"{ExecType(exec_type).name} for order {order} by input {input_}, sent up to {sent_end - 1}"
            )
        place = self._table.locate(order) if order else None
        if place is not None and exec_type not in REQUEST_REJECTED:
            page, row = place
            positions = self._positions
            if exec_type == TRADE and order >= positions.counted_end and not positions.prices:
                # That it is so much is all there is to it; what is open of it is counted later.
                end = (row + 1) * RECORD_BYTES
                self._fills += pack_fill(page.records[end - FILL_HEAD : end], last_qty, last_px)
            else:
                # What it does to the position is told by how the row stands before.
                positions.report(order, page, row, exec_type, status, last_qty, last_px, cum_qty + leaves_qty, input_)
            self.change(page, row, exec_type, reason, last_qty, last_px, cum_qty + leaves_qty)
            self._table.set_status_at(order, page, row, status if exec_type != VOIDED else EXPIRED, path)
        rejected = exec_type == REJECTED or exec_type in REQUEST_REJECTED
        if rejected:
            self.counters.rejected += 1
        if input_ and (rejected or (exec_type == TRADE and flags & FLAG_TAKER)):
            self._batches.count(input_, rejected=rejected)
        if flags & FLAG_FINAL and input_:
            # Each input has one final report, in the order of the inputs.
            if input_ != self.confirmed_end:
                raise ReportMismatch(f"final report of input {input_}, expected that of {self.confirmed_end}")
            if input_ != order:
                self._positions.answered(input_)
                self._answer(input_, reason if rejected else 0, path, cum_qty if exec_type == MASS_CANCELED else 0)
            self._confirm(input_ + 1, path, orders=exec_type != EXTENDED)
        return number

    @staticmethod
    def change(page: Page, row: int, exec_type: int, reason: int, last_qty: int, last_px: int, total: int) -> None:
        """What a report does to the row of its order, but for the status. ``total`` is its cumulative and leaves."""
        if exec_type == TRADE:
            page.add_fill(row, last_qty, last_px)
        elif exec_type == REPLACED:
            page.quantity[row] = total
        elif exec_type == VOIDED:
            # The engine knows no more than that orderd withdrew it, and there is one reason why orderd does.
            page.reason[row] = Reason.MAXAGE
        else:
            page.reason[row] = reason
            if exec_type == TRIGGERED:
                page.triggered.add(row)

    def _answer(self, input_: int, reason: int, path: Path, cancelled: int) -> None:
        place = self._table.locate(input_)
        if place is not None and not is_order(*place):
            page, row = place
            page.reason[row] = reason
            if cancelled:
                page.cancelled[row] = cancelled
            self._table.set_status(input_, ANSWERED, path)

    def _confirm(self, end: int, path: Path, *, orders: bool = True) -> None:
        if orders:
            self.counters.confirmed[path] += end - self.confirmed_end
        self.confirmed_end = end

    def _name(self, number: int) -> bytes | None:
        """The text id of an order that travels under ``number``, if it is remembered."""
        place = self._table.locate(number - TEXT_NUMBER)
        if place is None or place[0].ids is None:
            return None
        return place[0].ids[place[1]]
