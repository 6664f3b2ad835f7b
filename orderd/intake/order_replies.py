"""The replies to commands about orders, batches and the book.

What each waits for, and how it reads. Pure.
"""

from collections.abc import Callable
from typing import Final

from orderd.intake import render, replies
from orderd.intake.context import BookQuery, Services
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.orders.batches import Batch
from orderd.orders.table import IS_OPEN, unpack
from orderd.runtime.instruments import Instrument
from orderd.wire.reports import OrderStatus

SHOWN_AT_ONCE: Final = 128
"""Of ORDER.LIST, before others have their turn."""
_REASONS: Final = {name: replies.bulk(name.encode()) for name in ("NOT_SENT", "SENT", "JOURNAL")}


def _unknown_reason(services: Services, row: int, unfinished: Unfinished) -> bytes:
    if unfinished is Unfinished.JOURNAL and row >= services.desk.committed_end:
        return _REASONS["JOURNAL"]
    return _REASONS["SENT" if row < services.sent_end() else "NOT_SENT"]


class OrderReply(Pending):
    """The order's pairs once row ``row`` is confirmed: that of the order itself, or of a cancel or replace of it."""

    __slots__ = ("_order_id", "_row", "_services")

    def __init__(self, services: Services, protocol: int, order_id: int, row: int, deadline: float) -> None:
        super().__init__(protocol, Mark.CONFIRMED, row + 1, deadline)
        self._services = services
        self._order_id = order_id
        self._row = row

    def render(self, unfinished: Unfinished | None) -> bytes:
        desk = self._services.desk
        if unfinished is not None:
            why = _unknown_reason(self._services, self._row, unfinished)
            return render.order_pairs(desk, self.protocol, self._order_id, status=render.UNKNOWN, reason=why)
        reason = None
        if self._row != self._order_id:
            place = desk.table.locate(self._row)
            reason = render.request_reason(place[0].reason[place[1]]) if place is not None else None
        return render.order_pairs(desk, self.protocol, self._order_id, reason=reason)


class QueuedReply(Pending):
    """``QUEUED`` once row ``row`` is durable."""

    __slots__ = ("_order_id", "_row", "_services")

    def __init__(self, services: Services, protocol: int, order_id: int, row: int, deadline: float) -> None:
        super().__init__(protocol, Mark.COMMITTED, row + 1, deadline)
        self._services = services
        self._order_id = order_id
        self._row = row

    def render(self, unfinished: Unfinished | None) -> bytes:
        desk = self._services.desk
        if unfinished is not None:
            reason = _unknown_reason(self._services, self._row, unfinished)
            return render.order_pairs(desk, self.protocol, self._order_id, status=render.UNKNOWN, reason=reason)
        if self._row == self._order_id:
            return render.queued_pairs(desk, self.protocol, self._order_id)
        return render.order_pairs(desk, self.protocol, self._order_id, status=render.QUEUED)


class StatusReply(Pending):
    """The order's pairs as they are, once ``mark`` reaches ``value`` or the time is over."""

    __slots__ = ("_order_id", "_reason", "_services")

    def __init__(
        self,
        services: Services,
        protocol: int,
        order_id: int,
        mark: Mark,
        value: int,
        deadline: float,
        reason: bytes | None = None,
    ) -> None:
        super().__init__(protocol, mark, value, deadline)
        self._services = services
        self._order_id = order_id
        self._reason = reason

    def render(self, unfinished: Unfinished | None) -> bytes:
        desk = self._services.desk
        row = self.value - 1
        if row >= desk.committed_end:
            reason = _unknown_reason(self._services, row, unfinished or Unfinished.TIMEOUT)
            return render.order_pairs(desk, self.protocol, self._order_id, status=render.UNKNOWN, reason=reason)
        return render.order_pairs(desk, self.protocol, self._order_id, reason=self._reason)


class MassCancelReply(Pending):
    """How many orders the mass cancel in row ``row`` cancelled, once it is confirmed."""

    __slots__ = ("_row", "_services")

    def __init__(self, services: Services, protocol: int, row: int, deadline: float) -> None:
        super().__init__(protocol, Mark.CONFIRMED, row + 1, deadline)
        self._services = services
        self._row = row

    def render(self, unfinished: Unfinished | None) -> bytes:
        why = None if unfinished is None else _unknown_reason(self._services, self._row, unfinished)
        return render.mass_cancel_pairs(self._services.desk, self.protocol, self._row, unknown=why)


class BatchReply(Pending):
    """A batch's pairs: ``QUEUED`` once it is durable, or ``DONE`` once it is confirmed."""

    __slots__ = ("_batch", "_services", "_status")

    def __init__(self, services: Services, protocol: int, batch: Batch, deadline: float, *, queued: bool) -> None:
        super().__init__(protocol, Mark.COMMITTED if queued else Mark.CONFIRMED, batch.end, deadline)
        self._services = services
        self._batch = batch
        self._status = b"QUEUED" if queued else b"DONE"

    def render(self, unfinished: Unfinished | None) -> bytes:
        desk, batch = self._services.desk, self._batch
        if unfinished is not None:
            # NOT_SENT says that nothing of it was.
            why = _unknown_reason(self._services, batch.first, unfinished)
            is_durable = batch.first < desk.committed_end
            return render.batch_pairs(self.protocol, batch, b"UNKNOWN", reason=why, is_durable=is_durable)
        done = desk.outcomes.confirmed_end >= batch.end
        return render.batch_pairs(self.protocol, batch, b"DONE" if done else self._status)


class ReserveReply(Pending):
    """The first number of a block, once it is durable that the block was given out."""

    __slots__ = ("_first",)

    def __init__(self, services: Services, protocol: int, first: int, deadline: float) -> None:
        super().__init__(protocol, Mark.COMMITS, services.commits_wanted(), deadline)
        self._first = first

    def render(self, unfinished: Unfinished | None) -> bytes:
        if unfinished is not None:
            return replies.error("UNAVAILABLE", "the journal did not take the block of numbers in time")
        return replies.integer(self._first)


class ListReply(Pending):
    """An array of orders' pairs. A page of the table is looked through at a time, and so many are made.

    ``position``: together with the id of the newest execution when the looking began. Nothing up to that execution is
    missing in what is looked through afterwards, and orders that come too late to be looked through have their NEW
    behind it.
    """

    __slots__ = (
        "_account", "_count", "_found", "_instrument", "_is_looked_through", "_position", "_scan", "_services",
        "_shown",
    )  # fmt: skip

    def __init__(
        self, services: Services, protocol: int, *, after: int, count: int, open_only: bool, instrument: Instrument |
        None, account: int | None, position: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(protocol, Mark.COMMITS, 0)
        self._position = services.desk.executions.last if position else None
        self._services = services
        self._instrument = instrument
        self._account = account
        self._count = count
        self._found: list[int] = []
        self._is_looked_through = False
        self._shown: list[bytes] = []
        self._scan = services.desk.table.scan(after, services.desk.committed_end, open_only=open_only)

    def settle(self) -> bool:
        if not self._is_looked_through:
            self._is_looked_through = self._look()
            return self._is_looked_through and self._render(SHOWN_AT_ONCE)
        return self._render(SHOWN_AT_ONCE)

    def _render(self, count: int) -> bool:
        desk, start = self._services.desk, len(self._shown)
        self._shown += [render.order_pairs(desk, self.protocol, i) for i in self._found[start : start + count]]
        return len(self._shown) == len(self._found)

    def _look(self) -> bool:
        block = next(self._scan, None)
        if block is None:
            return True
        page, rows = block
        for order_id, row in rows:
            _, _, _, instrument, account, kind, _ = unpack(page, row)
            if kind != 1 or (self._instrument is not None and instrument != self._instrument.id):
                continue
            if self._account is None or account == self._account:
                self._found.append(order_id)
                if len(self._found) == self._count:
                    return True
        return False

    def render(self, unfinished: Unfinished | None) -> bytes:
        self._render(len(self._found))
        listed = replies.array_header(len(self._shown)) + b"".join(self._shown)
        return listed if self._position is None else render.positioned_orders(self.protocol, self._position, listed)


class BookReply(Pending):
    """The book, once the engine has answered."""

    __slots__ = ("_instrument", "_query", "_settle_later")

    def __init__(
        self,
        services: Services,
        protocol: int,
        instrument: Instrument,
        depth: int,
        deadline: float,
        settle_later: Callable[[Pending], None],
    ) -> None:
        super().__init__(protocol, Mark.NEVER, 0, deadline)
        self._instrument = instrument
        self._query: BookQuery | None = None
        self._settle_later = settle_later
        services.ask_book(instrument.id, depth, self._answered)

    def _answered(self, query: BookQuery) -> None:
        self._query = query
        # Any mark that is always reached will do.
        self.mark = Mark.COMMITS
        self._settle_later(self)

    def render(self, unfinished: Unfinished | None) -> bytes:
        if self._query is None:
            return replies.error("UNAVAILABLE", "the engine does not answer")
        if self._query.answer is None:
            return replies.error("BADORDER", f"the engine does not have {self._instrument.symbol}")
        return render.book(self.protocol, self._instrument, *self._query.answer)


def is_live(services: Services, order_id: int) -> bool:
    """Whether a cancel or replace may still find the order: it is open, or its outcome is not known yet."""
    place = services.desk.table.locate(order_id)
    if place is None:
        return False
    status = place[0].status[place[1]]
    return status == OrderStatus.QUEUED or bool(IS_OPEN[status])
