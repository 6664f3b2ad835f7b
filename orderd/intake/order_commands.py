"""Commands about orders, batches and the book. Pure."""

from collections.abc import Generator
from math import inf
from typing import Final

from orderd.intake import order_options, render, replies, words
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Reply
from orderd.intake.context import Context
from orderd.intake.order_replies import (
    BatchReply,
    BookReply,
    ListReply,
    MassCancelReply,
    OrderReply,
    QueuedReply,
    ReserveReply,
    StatusReply,
    is_live,
)
from orderd.intake.pending import Mark
from orderd.orders.errors import BadOrder, NotFound
from orderd.orders.modes import Mode
from orderd.orders.table import unpack
from orderd.wire.records import FLAG_MARKET, VALUE_MAX, Kind, mass_flags

ORDER_ID_MAX: Final = VALUE_MAX
COUNT_MAX: Final = 1000
DEPTH_MAX: Final = 1000
LIST_OPTIONS: Final = {b"SYMBOL": 1, b"ACCOUNT": 1, b"AFTER": 1, b"COUNT": 1, b"POSITION": 0}
RESERVE_MAX: Final = 2**32
WAIT_MS_MAX: Final = 86_400_000


@TABLE.add(
    "ORDER.NEW", -6, role=Role.TRADE, group="orders",
    arguments="cl_ord_id symbol BUY|SELL quantity LIMIT price|MARKET [TIF DAY|GTC|IOC|FOK|GTD] [GTD time] [POSTONLY] "
    "[STP NONE|CANCEL_NEWEST|CANCEL_OLDEST|CANCEL_BOTH] [STOP price] [DISPLAY quantity] [MINQTY quantity] [ACCOUNT n] "
    "[MAXAGE ms] [MODE sync|batch|fire-and-forget]",
    summary="Place an order. The same order again gets the first one's outcome. What each option means, and which do "
    "not go together, is in [What an order may say](#what-an-order-may-say).",
    reply="the order's pairs",
    example="ORDER.NEW a1 AAPL BUY 100 LIMIT 187.25 TIF GTC",
)  # fmt: skip
def order_new(context: Context, args: list[bytes]) -> Reply:
    desk = context.desk
    cl_ord_id = words.cl_ord_id(args[0])
    instrument = words.instrument(args[1], desk.instruments)
    side = words.side(args[2])
    quantity = words.quantity(args[3], instrument)
    order_type = args[4].upper()
    if order_type == b"LIMIT":
        if len(args) < 6:
            raise BadOrder("LIMIT needs a price")
        price, rest, flags = words.price(args[5], instrument), args[6:], int(side)
    elif order_type == b"MARKET":
        price, rest, flags = 0, args[5:], side | FLAG_MARKET
    else:
        raise BadOrder(f"order type {words.shown(args[4])} must be LIMIT or MARKET")
    mode, account, maxage_ms, extensions = context.services.live.mode, 0, 0, b""
    if rest:
        mode, account, flags, maxage_ms, extensions = order_options.parse(rest, instrument, quantity, flags, mode)
    fields = (price, quantity, instrument.id, account, flags)
    end = desk.table.end
    owner = context.client.owner
    order_id = desk.entry.place(cl_ord_id, fields, mode, context.now, context.now_ns, maxage_ms, extensions, owner)
    return _placed(context, order_id, order_id, mode, again=order_id < end)


def _placed(context: Context, order_id: int, row: int, mode: Mode, *, again: bool) -> Reply:
    services, protocol = context.services, context.client.protocol
    if mode is not Mode.FIRE_AND_FORGET:
        return OrderReply(services, protocol, order_id, row, context.deadline)
    if again:
        return StatusReply(services, protocol, order_id, Mark.COMMITTED, row + 1, context.deadline)
    return QueuedReply(services, protocol, order_id, row, context.deadline)


@TABLE.add(
    "ORDER.CANCEL", -2, role=Role.TRADE, group="orders",
    arguments="cl_ord_id [ID request_id] [MODE sync|batch|fire-and-forget]",
    summary="Cancel an order. With ID it may be sent again safely.",
    reply="the order's pairs; too late: its true status and reason TOO_LATE; never seen: -NOTFOUND",
    example="ORDER.CANCEL a1",
)  # fmt: skip
def order_cancel(context: Context, args: list[bytes]) -> Reply:
    request_id, mode, _ = _request_options(context, args[1:], open_too=False)
    return _request(context, args[0], Kind.CANCEL, 0, 0, request_id, mode)


@TABLE.add(
    "ORDER.REPLACE", -4, role=Role.TRADE, group="orders",
    arguments="cl_ord_id quantity price [OPEN] [ID request_id] [MODE sync|batch|fire-and-forget]",
    summary="Give an order another quantity and price. Without OPEN the quantity is the new total, what was filled "
    "counts; with OPEN it is the new open quantity. Without ID a retry of OPEN is not safe.",
    reply="the order's pairs; too late: its true status and reason TOO_LATE; never seen: -NOTFOUND",
    example="ORDER.REPLACE a1 80 187.30",
)  # fmt: skip
def order_replace(context: Context, args: list[bytes]) -> Reply:
    request_id, mode, open_quantity = _request_options(context, args[3:], open_too=True)
    order_id = _find(context, args[0])
    place = context.desk.table.locate(order_id)
    assert place is not None, "the order was found"
    instrument = context.desk.instruments.by_id[unpack(*place)[3]]
    quantity, price = words.quantity(args[1], instrument), words.price(args[2], instrument)
    kind = Kind.REPLACE_OPEN if open_quantity else Kind.REPLACE
    return _request(context, args[0], kind, price, quantity, request_id, mode)


def _request_options(context: Context, rest: list[bytes], *, open_too: bool) -> tuple[bytes | None, Mode, bool]:
    request_id, mode, open_quantity = None, context.services.live.mode, False
    arguments = {b"ID": 1, b"MODE": 1, b"OPEN": 0} if open_too else {b"ID": 1, b"MODE": 1}
    for name, value in words.options(rest, arguments, frozenset()):
        if name == b"ID":
            request_id = words.cl_ord_id(value)
        elif name == b"MODE":
            mode = words.mode(value)
        else:
            open_quantity = True
    return request_id, mode, open_quantity


def _request(
    context: Context, cl_ord_id: bytes, kind: Kind, price: int, quantity: int, request_id: bytes | None, mode: Mode
) -> Reply:
    services, desk, protocol = context.services, context.desk, context.client.protocol
    order_id = _find(context, cl_ord_id)
    known = request_id is not None and desk.ids.find(request_id) is not None
    if not known and kind is not Kind.CANCEL:
        desk.entry.check_halted(order_id)
    if not known and not is_live(services, order_id):
        return StatusReply(services, protocol, order_id, Mark.COMMITTED, order_id + 1, inf, render.TOO_LATE)
    owner = context.client.owner
    request = desk.entry.request(order_id, kind, price, quantity, request_id, mode, context.now, context.now_ns, owner)
    return _placed(context, order_id, request.row, mode, again=known)


def _find(context: Context, cl_ord_id: bytes) -> int:
    order_id = context.desk.find(words.cl_ord_id(cl_ord_id))
    if order_id is None:
        raise NotFound(f"{cl_ord_id.decode()} is not an order that is remembered")
    return order_id


@TABLE.add(
    "ORDER.MASSCANCEL", -1, role=Role.TRADE, group="orders", arguments="[SYMBOL s] [SIDE BUY|SELL] [ACCOUNT n]",
    summary="Cancel all open orders of this daemon, or those of a symbol, a side, an account, that were placed before. "
    "Each has a CANCELED of its own among the executions. Waits for the engine whatever the mode is.",
    reply="pairs cancelled (how many); not confirmed in time: cancelled is null, with status UNKNOWN and a reason",
    example="ORDER.MASSCANCEL SYMBOL AAPL SIDE BUY",
)  # fmt: skip
def order_masscancel(context: Context, args: list[bytes]) -> Reply:
    instrument, side, account = None, None, None
    for name, value in words.options(args, {b"SYMBOL": 1, b"SIDE": 1, b"ACCOUNT": 1}, frozenset()):
        if name == b"SYMBOL":
            instrument = words.instrument(value, context.desk.instruments)
        elif name == b"SIDE":
            side = words.side(value)
        else:
            account = words.integer(value, "ACCOUNT", 0, order_options.ACCOUNT_MAX)
    flags = mass_flags(side, instrument=instrument is not None, account=account is not None)
    instrument_id = instrument.id if instrument is not None else 0
    now, now_ns = context.now, context.now_ns
    row = context.desk.entry.mass_cancel(instrument_id, account or 0, flags, now, now_ns, context.client.owner)
    return MassCancelReply(context.services, context.client.protocol, row, context.deadline)


@TABLE.add(
    "ORDER.STATUS", 2, role=Role.READ, group="orders", arguments="cl_ord_id",
    summary="How an order stands.", reply="the order's pairs", example="ORDER.STATUS a1",
)  # fmt: skip
def order_status(context: Context, args: list[bytes]) -> Reply:
    order_id = _find(context, args[0])
    return StatusReply(
        context.services, context.client.protocol, order_id, Mark.COMMITTED, order_id + 1, context.deadline
    )


@TABLE.add(
    "ORDER.WAIT", 3, role=Role.READ, group="orders", arguments="cl_ord_id ms",
    summary="Wait until an order, or the request with this id, is confirmed, at most so many milliseconds.",
    reply="the order's pairs as they are then", example="ORDER.WAIT a1 1000",
)  # fmt: skip
def order_wait(context: Context, args: list[bytes]) -> Reply:
    order_id = _find(context, args[0])
    row = context.desk.ids.find(args[0]) or order_id
    deadline = context.now + words.integer(args[1], "ms", 0, WAIT_MS_MAX) / 1000
    return StatusReply(context.services, context.client.protocol, order_id, Mark.CONFIRMED, row + 1, deadline)


@TABLE.add(
    "ORDER.LIST", -1, role=Role.READ, group="orders",
    arguments="[OPEN|ALL] [SYMBOL s] [ACCOUNT n] [AFTER order_id] [COUNT n] [POSITION]",
    summary="Orders by ascending order_id, at most COUNT (100, up to 1000). OPEN, the default, are those that may "
    "still trade. With POSITION the reply also says from where on the executions go on from this list: see "
    "[EXECUTIONS.md](EXECUTIONS.md#beginning-anew).",
    reply="array of orders' pairs; with POSITION pairs exec_id and orders",
    example="ORDER.LIST OPEN SYMBOL AAPL COUNT 10",
)  # fmt: skip
def order_list(context: Context, args: list[bytes]) -> Reply:
    open_only, instrument, account, after, count, position = True, None, None, 0, 100, False
    if args and args[0].upper() in (b"OPEN", b"ALL"):
        open_only = args[0].upper() == b"OPEN"
        args = args[1:]
    for name, value in words.options(args, LIST_OPTIONS, frozenset()):
        if name == b"POSITION":
            position = True
        elif name == b"SYMBOL":
            instrument = words.instrument(value, context.desk.instruments)
        elif name == b"ACCOUNT":
            account = words.integer(value, "ACCOUNT", 0, order_options.ACCOUNT_MAX)
        elif name == b"AFTER":
            after = words.integer(value, "AFTER", 0, ORDER_ID_MAX)
        else:
            count = words.integer(value, "COUNT", 1, COUNT_MAX)
    return ListReply(
        context.services, context.client.protocol, after=after, count=count, open_only=open_only, instrument=instrument,
        account=account, position=position,
    )  # fmt: skip


@TABLE.add(
    "ORDER.BATCH", -3, role=Role.TRADE, group="orders",
    arguments="batch_id records [MODE sync|batch|fire-and-forget]",
    summary="Place many orders, cancels, replaces and mass cancels as records of 32 bytes; all are journaled at once, "
    "or none. An order's extensions stand right before it and count as no orders. The records are described in "
    "[PROTOCOL.md](PROTOCOL.md#records).",
    reply="pairs batch_id, orders, status (QUEUED, DONE, UNKNOWN), accepted, rejected, trades, first_order_id (that of "
    "record 0; record i has first_order_id + i); with UNKNOWN also reason",
)  # fmt: skip
def order_batch(context: Context, args: list[bytes]) -> Generator[bool | None, None, Reply]:
    batch_id = words.cl_ord_id(args[0])
    mode = context.services.live.mode
    for _, value in words.options(args[2:], {b"MODE": 1}, frozenset()):
        mode = words.mode(value)
    draft = context.desk.entry.draft_batch(batch_id, args[1])
    yield False
    context.desk.entry.check_draft(draft)
    yield False
    yield from context.desk.entry.add_up_draft(draft)
    entry, owner = context.desk.entry, context.client.owner
    in_one_piece = entry.takes_long(draft)
    yield in_one_piece
    if in_one_piece:
        batch = yield from entry.place_draft_in_steps(draft, mode, context.now, context.now_ns, owner)
    else:
        batch = entry.place_draft(draft, mode, context.now, context.now_ns, owner)
    queued = mode is Mode.FIRE_AND_FORGET
    return BatchReply(context.services, context.client.protocol, batch, context.deadline, queued=queued)


@TABLE.add(
    "ORDER.RESERVE", 2, role=Role.TRADE, group="orders", arguments="count",
    summary="A block of numbers for batches that was never given out before.",
    reply="integer: the first number", example="ORDER.RESERVE 1000",
)  # fmt: skip
def order_reserve(context: Context, args: list[bytes]) -> Reply:
    count = words.integer(args[0], "count", 1, RESERVE_MAX)
    first = context.desk.reserve(count)
    return ReserveReply(context.services, context.client.protocol, first, context.deadline)


@TABLE.add(
    "BOOK", -2, role=Role.READ, group="market", arguments="symbol [DEPTH n]",
    summary="The engine's book, at most DEPTH levels of each side (10, up to 1000), best first.",
    reply="pairs symbol, bids, asks; each an array of [price, quantity, orders]", example="BOOK AAPL DEPTH 5",
)  # fmt: skip
def book(context: Context, args: list[bytes]) -> Reply:
    instrument = words.instrument(args[0], context.desk.instruments)
    depth = 10
    for _, value in words.options(args[1:], {b"DEPTH": 1}, frozenset()):
        depth = words.integer(value, "DEPTH", 1, DEPTH_MAX)
    return BookReply(
        context.services, context.client.protocol, instrument, depth, context.deadline, context.settle_later
    )


@TABLE.add(
    "INSTRUMENTS", 1, role=Role.READ, group="market", summary="What can be traded.",
    reply="array of pairs symbol, id, tick, lot", example="INSTRUMENTS",
)  # fmt: skip
def instruments(context: Context, _: list[bytes]) -> Reply:
    table = context.desk.instruments
    pairs = [render.instrument_pairs(context.client.protocol, instrument) for instrument in table]
    return replies.array_header(len(pairs)) + b"".join(pairs)
