"""How orders, executions, batches and books read in a reply. Pure."""

from functools import lru_cache
from typing import Final

from orderd.intake.replies import array_header, bulk, null, pairs_header
from orderd.orders.batches import Batch
from orderd.orders.desk import Desk
from orderd.orders.executions import Execution
from orderd.orders.table import IS_DONE, unpack
from orderd.runtime.instruments import INSTRUMENTS_MAX, Instrument
from orderd.runtime.timestamps import format_time_ns
from orderd.wire.bodies import Level
from orderd.wire.extensions import values_of
from orderd.wire.paths import Path
from orderd.wire.records import FLAG_SELL, TEXT_NUMBER, Attribute
from orderd.wire.reports import ExecType, OrderStatus, Reason

_SIDES: Final = (bulk(b"BUY"), bulk(b"SELL"))
_PATHS: Final = {int(path): bulk(path.name.lower().encode()) for path in Path}
_STATUSES: Final = {int(s): bulk(s.name.encode()) for s in OrderStatus}
_REASONS: Final = {int(r): bulk(r.name.encode()) for r in Reason}
_KEYS: Final = {
    key: bulk(key.encode())
    for key in (
        *("cl_ord_id", "order_id", "symbol", "side", "status", "quantity", "cum_qty", "leaves_qty", "avg_px", "path"),
        *("reason", "exec_type", "account", "last_qty", "last_px", "liquidity", "trade_id", "transact_time_ns"),
        "exec_id",
        *(
            "batch_id",
            "orders",
            "accepted",
            "rejected",
            "trades",
            "first_order_id",
            "cancelled",
            "bids",
            "asks",
            "id",
            "tick",
            "lot",
        ),
        *("stop_px", "display_qty", "min_qty", "expire_time", "triggered"),
    )
}
_ORDER: Final = b"".join(
    _KEYS[key] + b"%b"
    for key in (
        "cl_ord_id",
        "order_id",
        "symbol",
        "side",
        "status",
        "quantity",
        "cum_qty",
        "leaves_qty",
        "avg_px",
        "path",
    )
)
_ZERO: Final = bulk(b"0")
_EXEC_PUSH: Final = b">3\r\n" + bulk(b"exec")

QUEUED: Final = _STATUSES[OrderStatus.QUEUED]
UNKNOWN: Final = _STATUSES[OrderStatus.UNKNOWN]
FORGOTTEN: Final = bulk(b"FORGOTTEN")
TOO_LATE: Final = _REASONS[Reason.TOO_LATE]


@lru_cache(maxsize=INSTRUMENTS_MAX)
def _symbol(symbol: str) -> bytes:
    return bulk(symbol.encode())


def request_reason(reason: int) -> bytes | None:
    """Why a cancel or replace of an order that was there did not come through; None if it did."""
    if reason == Reason.UNKNOWN_ORDER:
        # The engine no longer knows an order that is done.
        return TOO_LATE
    return _REASONS[reason] if reason else None


def order_pairs(
    desk: Desk, protocol: int, order_id: int, *, status: bytes | None = None, reason: bytes | None = None
) -> bytes:
    """An order's pairs. ``status`` and ``reason``, as bulk strings, are shown in place of the order's own.

    ``order_id`` is 0 as long as the order is not durable: after a crash another one may get that number.
    """
    place = desk.table.locate(order_id)
    if place is None:
        return _forgotten(protocol, order_id)
    page, row = place
    number, _, quantity, instrument_id, _, _, flags = unpack(page, row)
    instrument = desk.instruments.by_id[instrument_id]
    status_byte = page.status[row]
    cum = page.cum_qty[row] if page.cum_qty is not None else 0
    if page.quantity:
        quantity = page.quantity.get(row, quantity)
    if number >= TEXT_NUMBER:
        cl_ord_id = page.ids[row] if page.ids is not None else None
    else:
        cl_ord_id = b"%d" % number
    format_quantity = instrument.format_quantity
    lots, zero, is_done = bulk(format_quantity(quantity)), bulk(format_quantity(0)), IS_DONE[status_byte]
    if cum:
        assert page.notional is not None
        average = bulk(instrument.format_average(page.notional[row], cum))
        filled = bulk(format_quantity(cum))
        left = zero if is_done else bulk(format_quantity(quantity - cum))
    else:
        average, filled, left = _ZERO, zero, zero if is_done else lots
    if reason is None and page.reason[row]:
        reason = _REASONS[page.reason[row]]
    pairs = _ORDER % (
        bulk(cl_ord_id or b""),
        bulk(b"%d" % order_id) if order_id < desk.committed_end else _ZERO,
        _symbol(instrument.symbol),
        _SIDES[flags & FLAG_SELL],
        status or _STATUSES[status_byte],
        lots,
        filled,
        left,
        average,
        _PATHS[page.path[row]],
    )
    count = 10
    if reason is not None:
        count, pairs = 11, pairs + _KEYS["reason"] + reason
    if page.may_be_extended(row) and (extensions := desk.table.extensions(order_id)):
        said = _extension_pairs(extensions, instrument, triggered=row in page.triggered)
        count, pairs = count + len(said), pairs + b"".join(said)
    return pairs_header(count, protocol) + pairs


def queued_pairs(desk: Desk, protocol: int, order_id: int) -> bytes:
    """The pairs of an order that is durable, as they were when it became so."""
    place = desk.table.locate(order_id)
    if place is None:
        return _forgotten(protocol, order_id)
    page, row = place
    number, _, quantity, instrument_id, _, _, flags = unpack(page, row)
    instrument = desk.instruments.by_id[instrument_id]
    cl_ord_id = (page.ids[row] if page.ids is not None else None) if number >= TEXT_NUMBER else b"%d" % number
    lots = bulk(instrument.format_quantity(quantity))
    pairs = _ORDER % (
        bulk(cl_ord_id or b""),
        bulk(b"%d" % order_id),
        _symbol(instrument.symbol),
        _SIDES[flags & FLAG_SELL],
        QUEUED,
        lots,
        bulk(instrument.format_quantity(0)),
        lots,
        _ZERO,
        _PATHS[int(Path.NONE)],
    )
    if not page.may_be_extended(row):
        return pairs_header(10, protocol) + pairs
    said = _extension_pairs(desk.table.extensions(order_id), instrument, triggered=False)
    return pairs_header(10 + len(said), protocol) + pairs + b"".join(said)


def _extension_pairs(extensions: bytes, instrument: Instrument, *, triggered: bool) -> list[bytes]:
    """Keys with their values of what an order says beyond its record; of a stop also whether it was triggered."""
    said = values_of(extensions)
    pairs = []
    for attribute, value in said.items():
        if attribute is Attribute.TRIGGER:
            pairs.append(_KEYS["stop_px"] + bulk(instrument.format_price(value)))
        elif attribute is Attribute.EXPIRY:
            pairs.append(_KEYS["expire_time"] + bulk(format_time_ns(value).encode()))
        else:
            key = _KEYS["display_qty" if attribute is Attribute.DISPLAY else "min_qty"]
            pairs.append(key + bulk(instrument.format_quantity(value)))
    if Attribute.TRIGGER in said:
        pairs.append(_KEYS["triggered"] + bulk(b"1" if triggered else b"0"))
    return pairs


def _forgotten(protocol: int, order_id: int) -> bytes:
    # More orders were done behind it than orderd remembers, before its client's turn to hear of it came.
    return (
        pairs_header(3, protocol) + _KEYS["order_id"] + bulk(b"%d" % order_id) + _KEYS["status"] + UNKNOWN
        + _KEYS["reason"] + FORGOTTEN
    )  # fmt: skip


def mass_cancel_pairs(desk: Desk, protocol: int, order_id: int, *, unknown: bytes | None) -> bytes:
    """How many orders a mass cancel cancelled; ``unknown``, a bulk string, is why that is not known."""
    place = desk.table.locate(order_id)
    if unknown is None and place is None:
        unknown = FORGOTTEN
    if unknown is not None or place is None:
        status, reason, cancelled = UNKNOWN, unknown or FORGOTTEN, null(protocol)
    else:
        page, row = place
        cancelled = bulk(b"%d" % page.cancelled.get(row, 0))
        if page.status[row] != OrderStatus.REJECTED:
            return pairs_header(1, protocol) + _KEYS["cancelled"] + cancelled
        status, reason = _STATUSES[OrderStatus.REJECTED], _REASONS[page.reason[row]]
    values = {"cancelled": cancelled, "status": status, "reason": reason}
    return pairs_header(len(values), protocol) + b"".join(_KEYS[key] + value for key, value in values.items())


def batch_pairs(
    protocol: int, batch: Batch, status: bytes, *, reason: bytes | None = None, is_durable: bool = True
) -> bytes:
    """A batch's pairs; ``status`` is ``QUEUED``, ``DONE`` or ``UNKNOWN``, which has a ``reason``, a bulk string.

    ``first_order_id`` is 0 as long as the batch is not durable: after a crash another record may get that number.
    """
    values = {
        "batch_id": batch.batch_id,
        "orders": b"%d" % batch.orders,
        "status": status,
        "accepted": b"%d" % (batch.orders - batch.rejected if status == b"DONE" else 0),
        "rejected": b"%d" % batch.rejected,
        "trades": b"%d" % batch.trades,
        "first_order_id": b"%d" % (batch.first if is_durable else 0),
    }
    pairs = b"".join(_KEYS[key] + bulk(value) for key, value in values.items())
    if reason is None:
        return pairs_header(len(values), protocol) + pairs
    return pairs_header(len(values) + 1, protocol) + pairs + _KEYS["reason"] + reason


def execution(desk: Desk, protocol: int, found: Execution) -> bytes:
    """``[exec_id, pairs]``."""
    return array_header(2) + _numbered_execution(desk, protocol, found)


def execution_push(desk: Desk, found: Execution) -> bytes:
    """``> exec exec_id pairs``, which only RESP3 has."""
    return _EXEC_PUSH + _numbered_execution(desk, 3, found)


def _numbered_execution(desk: Desk, protocol: int, found: Execution) -> bytes:
    report = found.report
    instrument = desk.instruments.by_id.get(report.instrument)
    values = {
        "exec_type": report.exec_type.name.encode(),
        "cl_ord_id": found.cl_ord_id,
        "order_id": b"%d" % report.order,
    }
    if instrument is not None:
        values["symbol"] = instrument.symbol.encode()
        values["side"] = b"SELL" if report.sell else b"BUY"
        values["account"] = b"%d" % report.account
        values["last_qty"] = instrument.format_quantity(report.last_qty)
        values["last_px"] = instrument.format_price(report.last_px)
        values["cum_qty"] = instrument.format_quantity(report.cum_qty)
        values["leaves_qty"] = instrument.format_quantity(report.leaves_qty)
    values["status"] = report.status.name.encode()
    if report.exec_type is ExecType.TRADE:
        values["liquidity"] = b"TAKER" if report.taker else b"MAKER"
        values["trade_id"] = b"%d" % report.trade_id
    values["transact_time_ns"] = b"%d" % report.transact_time_ns
    if report.reason:
        values["reason"] = report.reason.name.encode()
    pairs = pairs_header(len(values), protocol) + b"".join(_KEYS[key] + bulk(value) for key, value in values.items())
    return bulk(b"%d" % found.exec_id) + pairs


def positioned_orders(protocol: int, exec_id: int, orders: bytes) -> bytes:
    """``exec_id`` and ``orders``, an array that is rendered already."""
    return pairs_header(2, protocol) + _KEYS["exec_id"] + bulk(b"%d" % exec_id) + _KEYS["orders"] + orders


def book(protocol: int, instrument: Instrument, bids: list[Level], asks: list[Level]) -> bytes:
    """``symbol``, ``bids``, ``asks``."""
    sides = _KEYS["bids"] + _levels(instrument, bids) + _KEYS["asks"] + _levels(instrument, asks)
    return pairs_header(3, protocol) + _KEYS["symbol"] + bulk(instrument.symbol.encode()) + sides


def _levels(instrument: Instrument, levels: list[Level]) -> bytes:
    rows = (
        array_header(3) + bulk(instrument.format_price(px)) + bulk(instrument.format_quantity(qty)) + bulk(b"%d" % n)
        for px, qty, n in levels
    )
    return array_header(len(levels)) + b"".join(rows)


def instrument_pairs(protocol: int, instrument: Instrument) -> bytes:
    """``symbol``, ``id``, ``tick``, ``lot``."""
    values = {"symbol": instrument.symbol, "id": str(instrument.id), "tick": instrument.tick, "lot": instrument.lot}
    return pairs_header(len(values), protocol) + b"".join(_KEYS[k] + bulk(v.encode()) for k, v in values.items())
