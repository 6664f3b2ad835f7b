"""What :mod:`orderd.orders.outcomes` does with reports, for many journal entries at once: at a start alone. Pure.

The outcome is that of one report after the other, to the last number. Where that is not sure, because the reports are
not what an engine says or something old is in the way, nothing is changed and the caller does it one by one.

Rows at or behind the table's base are changed in bulk; they are all in pages and not counted into positions yet
(:mod:`orderd.orders.risk.positions` counts later, and comes to the same). Of the others there are few.

What is forgotten depends on the order in which rows became done before the table's base has passed them. So a part is
only taken up to the first row that would be passed by the base, and became done, in the same part: see :meth:`_limit`.
"""

from typing import Final

import attrs
import numpy as np

from orderd.orders.batches import BatchLedger
from orderd.orders.outcomes import (
    EXPIRED,
    MASS_CANCELED,
    REJECTED,
    REPLACED,
    REQUEST_REJECTED,
    TRADE,
    TRIGGERED,
    VOIDED,
    Outcomes,
)
from orderd.orders.page_window import PageWindow
from orderd.orders.report_columns import Column, Items
from orderd.orders.risk.positions import Positions
from orderd.orders.risk.uncounted import FILL, FILL_DTYPE
from orderd.orders.table import ANSWERED, IS_DONE, IS_OPEN, NEW, PAGE_MASK, PAGE_SHIFT, OrderTable, Page
from orderd.wire.paths import Path
from orderd.wire.records import VALUE_MAX, Kind
from orderd.wire.reports import FLAG_TAKER, Reason

SUM_MAX: Final = 1 << 62
_DONE: Final = np.frombuffer(IS_DONE, np.bool_)
_OPEN: Final = np.frombuffer(IS_OPEN, np.bool_)
_ORDER: Final = int(Kind.NEW)


class NotInBulk(Exception):
    """This has to be done one by one; nothing was changed."""


@attrs.frozen
class Cut(Exception):
    """Only the entries before ``entry`` can be done together; nothing was changed."""

    entry: int


@attrs.frozen(eq=False)
class Run:
    """Items of consecutive entries, with what is known of the entries; ``items.entry`` is an index into these."""

    items: Items
    path: Column
    """What carried the reports of an entry."""
    sent_end: Column
    """The end of the table when an entry was journaled."""


@attrs.define(eq=False)
class _Plan:
    """What a run does, found out before anything is changed."""

    window: PageWindow
    status: Column
    is_new: Column
    """Items about an order, of a row at or behind the base."""
    is_old: Column
    """Items about an order before the base."""
    at: Column
    """Of those that are new: where their rows are in the window."""
    accepted: Column
    """Where the rows of ranges are, in order."""
    ends: Column
    """Items that end an input which is no order."""
    ends_at: Column
    forgets: int
    forgotten_before: int
    """No row from here on is forgotten by this run."""
    confirmed_end: int

    def places(self, wanted: Column, at: Column) -> list[tuple[Page, int]]:
        """Page and row of those of ``at`` that are ``wanted``."""
        return [(self.window.pages[i >> PAGE_SHIFT], i & PAGE_MASK) for i in at[wanted].tolist()]


class BulkReports:
    """Changes what is handed to it."""

    def __init__(self, table: OrderTable, batches: BatchLedger, positions: Positions, outcomes: Outcomes) -> None:
        self._table = table
        self._batches = batches
        self._positions = positions
        self._outcomes = outcomes

    def apply(self, run: Run) -> int:
        """Do what the reports say. Returns the row before which rows may have to be forgotten now, 0 for none.

        Raises :class:`NotInBulk` or :class:`Cut`.
        """
        plan = self._plan(run)
        items, path = run.items, run.path[run.items.entry]
        is_range = items.is_range
        status, paths, reasons = plan.status, plan.window.load("path"), plan.window.load("reason")
        was_done, was_open = int(_DONE[status].sum()), int(_OPEN[status].sum())
        # Ranges come before anything else about their orders.
        status[plan.accepted] = NEW
        paths[plan.accepted] = np.repeat(path[is_range], items.count[is_range])
        new = plan.is_new
        status[plan.at] = _status_after(items)[new]
        _first_path(paths, plan.at, path[new])
        keeps_reason = (items.exec_type == TRADE) | (items.exec_type == REPLACED)
        gets_reason = new & ~keeps_reason
        reason = np.where(items.exec_type == VOIDED, np.uint8(Reason.MAXAGE), items.reason)
        reasons[plan.at[gets_reason[new]]] = reason[gets_reason]
        status[plan.ends_at] = ANSWERED
        _first_path(paths, plan.ends_at, path[plan.ends])
        reasons[plan.ends_at] = np.where(_rejected(items), items.reason, 0)[plan.ends]
        for name, column in (("status", status), ("path", paths), ("reason", reasons)):
            plan.window.store(name, column)
        self._table.done += int(_DONE[status].sum()) - was_done
        self._table.open += int(_OPEN[status].sum()) - was_open
        self._rare(items, plan)
        self._fills(items, plan, self._old(run, plan))
        self._count_batches(items)
        self._outcomes.confirmed_end = plan.confirmed_end
        if plan.forgets <= 0:
            return 0
        return plan.forgotten_before

    # --- before anything is changed -----------------------------------------------------------------------------------

    def _plan(self, run: Run) -> _Plan:
        items, table, confirmed = run.items, self._table, self._outcomes.confirmed_end
        if self._positions.counted_end > table.base:
            raise NotInBulk
        is_range, final = items.is_range, items.is_final
        ends = items.order + items.count
        confirmed_before = np.append(confirmed, np.where(is_range, ends, items.input + 1)[final])
        follows = confirmed_before[np.cumsum(final) - final]
        if (items.input != follows)[is_range | final].any():
            raise NotInBulk
        sent_end = run.sent_end[items.entry]
        if (np.where(is_range, ends, np.maximum(items.order, items.input) + 1) > sent_end).any():
            raise NotInBulk
        if not run.path[items.entry].all() or (np.diff(items.input[_counted(items)]) < 0).any():
            raise NotInBulk
        about = ~is_range & (items.order != 0) & ~np.isin(items.exec_type, REQUEST_REJECTED)
        is_old = about & (items.order < table.base)
        is_new = about & ~is_old
        self._check_order(items, is_range, about)
        answers = final & ~is_range & (items.input != items.order)
        firsts, counts = items.order[is_range], items.count[is_range]
        accepted = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
        window = PageWindow(table, np.concatenate((accepted, items.order[is_new], items.input[answers])))
        kinds, at = window.kinds(), window.at(items.order[is_new])
        answers[answers] = kinds[window.at(items.input[answers])] != _ORDER
        if answers.any() and (kinds[at] != _ORDER).any():
            raise NotInBulk
        plan = _Plan(
            window, window.load("status"), is_new, is_old, at, window.at(accepted), answers,
            window.at(items.input[answers]), 0, 0, int(confirmed_before[-1]),
        )  # fmt: skip
        self._check_status(items, plan)
        self._check_sums(items, plan)
        self._limit(items, plan, confirmed)
        return plan

    @staticmethod
    def _check_order(items: Items, is_range: Column, about: Column) -> None:
        """Nothing is told of an order before it is accepted, and each is accepted once."""
        firsts, ends = items.order[is_range], (items.order + items.count)[is_range]
        if (firsts[1:] < ends[:-1]).any():
            raise NotInBulk
        at, told = np.flatnonzero(is_range), np.flatnonzero(about)
        following = np.searchsorted(at, told)
        has_one = following < len(at)
        if (firsts[following[has_one]] <= items.order[told[has_one]]).any():
            raise NotInBulk

    def _check_status(self, items: Items, plan: _Plan) -> None:
        """Rows go from queued over open to done, and stay so."""
        status = plan.status
        if status[plan.accepted].any() or status[plan.ends_at].any() or _DONE[status[plan.at]].any():
            raise NotInBulk
        done = _DONE[_status_after(items)[plan.is_new]]
        place = np.arange(len(plan.at))
        last = np.zeros(len(status), np.int64)
        last[plan.at] = place
        if (last[plan.at[done]] != place[done]).any():
            raise NotInBulk

    def _check_sums(self, items: Items, plan: _Plan) -> None:
        """What is added up in 64 bits fits."""
        trades = plan.is_new & (items.exec_type == TRADE)
        if trades.any():
            quantity, prices = int(items.last_qty[trades].max()), items.last_px[trades]
            if int(prices.min()) < 0 or quantity * max(int(prices.max()), 1) * len(items) >= SUM_MAX:
                raise NotInBulk
        if len(items) and int((items.cum_qty | items.leaves_qty).max()) > VALUE_MAX:
            raise NotInBulk

    def _limit(self, items: Items, plan: _Plan, confirmed: int) -> None:
        """How many rows are to be forgotten by this run, and whether they are the same as one by one.

        They are if none of the rows that the base passes became done in this run: one by one the base might have passed
        such a row before that, which then would be remembered for longer.
        """
        table = self._table
        done = _DONE[_status_after(items)]
        became = (plan.is_new | plan.is_old) & done
        plan.forgets = table.done + int(became.sum()) + len(plan.ends_at) - table.remembered_max
        if plan.forgets <= 0:
            return
        bound = self._behind_done(plan.forgets, confirmed)
        if bound is None:
            raise NotInBulk
        early = plan.is_new & done & (items.order < bound)
        if early.any():
            raise Cut(int(items.entry[early.argmax()]))
        plan.forgotten_before = bound

    def _behind_done(self, count: int, end: int) -> int | None:
        """The row behind the next ``count`` done ones from the base on; None if there are not so many before ``end``.

        Late ones, which are forgotten in between, make it less.
        """
        row = self._table.base
        while row < end:
            page, a, b = self._table.stretch(row, end)
            assert page is not None
            done = _DONE[np.frombuffer(page.status, np.uint8)[a:b]]
            here = int(done.sum())
            if here >= count:
                return row + int(np.flatnonzero(done)[count - 1]) + 1
            count -= here
            row += b - a
        return None

    # --- what is rare, and what is added up ---------------------------------------------------------------------------

    def _rare(self, items: Items, plan: _Plan) -> None:
        exec_type, prices = items.exec_type, self._positions.prices
        replaced = plan.is_new & (exec_type == REPLACED)
        totals = (items.cum_qty + items.leaves_qty)[replaced].tolist()
        for place, total in zip(plan.places(replaced[plan.is_new], plan.at), totals, strict=True):
            place[0].quantity[place[1]] = total
        for order_id, input_ in zip(items.order[replaced].tolist(), items.input[replaced].tolist(), strict=True):
            self._positions.note_replaced(order_id, input_)
        for page, row in plan.places((exec_type == TRIGGERED)[plan.is_new], plan.at):
            page.triggered.add(row)
        cancelled = plan.ends & (exec_type == MASS_CANCELED) & (items.cum_qty != 0)
        counts = items.cum_qty[cancelled].tolist()
        for place, count in zip(plan.places(cancelled[plan.ends], plan.ends_at), counts, strict=True):
            place[0].cancelled[place[1]] = count
        if prices:
            done = plan.is_new & _DONE[_status_after(items)]
            for order_id in items.order[done].tolist():
                prices.pop(order_id, None)
        is_range = items.is_range
        self._positions.answered_all(items.input[items.is_final & ~is_range & (items.input != items.order)].tolist())

    def _old(self, run: Run, plan: _Plan) -> dict[int, bytes]:
        """Rows before the base, one by one; returns their fills, by item, in the form of ``Positions.fills``."""
        items, table, positions = run.items, self._table, self._positions
        status_after = _status_after(items)
        fills: dict[int, bytes] = {}
        for i in np.flatnonzero(plan.is_old).tolist():
            order_id = int(items.order[i])
            place = table.locate(order_id)
            if place is None:
                continue
            exec_type, total = int(items.exec_type[i]), int(items.cum_qty[i]) + int(items.leaves_qty[i])
            last_qty, last_px, input_ = int(items.last_qty[i]), int(items.last_px[i]), int(items.input[i])
            status = int(status_after[i])
            before = len(positions.fills)
            # What it does to the position is told by how the row stands before.
            positions.report(order_id, *place, exec_type, int(items.status[i]), last_qty, last_px, total, input_)
            fills[i] = bytes(positions.fills[before:])
            del positions.fills[before:]
            self._outcomes.change(*place, exec_type, int(items.reason[i]), last_qty, last_px, total)
            entry = int(items.entry[i])
            table.told_end = int(run.sent_end[entry])
            table.set_status_at(order_id, *place, status, Path(int(run.path[entry])))
        table.told_end = 0
        return fills

    def _fills(self, items: Items, plan: _Plan, old: dict[int, bytes]) -> None:
        trades = np.flatnonzero((plan.is_new | plan.is_old) & (items.exec_type == TRADE))
        if not len(trades):
            return
        is_new = plan.is_new[trades]
        at = plan.at[np.flatnonzero(items.exec_type[plan.is_new] == TRADE)]
        self._add_up(items, trades[is_new], at, plan.window)
        records = plan.window.records(at)
        found = np.zeros(len(trades), FILL_DTYPE)
        for name, of_record in FILL_HEAD_NAMES:
            found[name][is_new] = records[of_record]
        found["quantity"], found["price"] = items.last_qty[trades], items.last_px[trades]
        there = np.ones(len(trades), np.bool_)
        for place in np.flatnonzero(~is_new).tolist():
            fill = old.get(int(trades[place]))
            there[place] = fill is not None
            if fill is not None:
                found[place : place + 1] = np.frombuffer(fill, FILL_DTYPE)
        self._positions.fills.extend(found[there].tobytes())
        self._positions.bound_fills()

    @staticmethod
    def _add_up(items: Items, trades: Column, at: Column, window: PageWindow) -> None:
        """What was filled of each order, and for how much."""
        lots, notional = np.zeros(len(window), np.int64), np.zeros(len(window), np.int64)
        quantity = items.last_qty[trades].astype(np.int64)
        np.add.at(lots, at, quantity)
        np.add.at(notional, at, quantity * items.last_px[trades])
        rows = np.flatnonzero(lots)
        numbers, starts = np.unique(rows >> PAGE_SHIFT, return_index=True)
        for number, some in zip(numbers.tolist(), np.split(rows, starts[1:]), strict=False):
            window.pages[number].add_fills((some & PAGE_MASK).tolist(), lots[some].tolist(), notional[some].tolist())

    def _count_batches(self, items: Items) -> None:
        if not self._batches.counts:
            return
        counted, rejected = _counted(items), _rejected(items)
        self._batches.count_all(items.input[counted & ~rejected], items.input[counted & rejected])


FILL_HEAD_NAMES: Final = (
    ("_", "quantity"), ("instrument", "instrument"), ("account", "account"), ("kind", "kind"), ("flags", "flags"),
)  # fmt: skip
assert FILL_DTYPE.itemsize == FILL.size


def _status_after(items: Items) -> Column:
    """What an order has become by each item; VOIDED is told otherwise than it is kept."""
    status: Column = np.where(items.exec_type == VOIDED, np.uint8(EXPIRED), items.status)
    return status


def _rejected(items: Items) -> Column:
    rejected: Column = (items.exec_type == REJECTED) | np.isin(items.exec_type, REQUEST_REJECTED)
    return rejected


def _counted(items: Items) -> Column:
    """What a batch may count: it was rejected, or traded as the taker. These come in the order of their inputs."""
    traded = (items.exec_type == TRADE) & (items.flags & FLAG_TAKER != 0)
    counted: Column = (items.input != 0) & (traded | _rejected(items))
    return counted


def _first_path(paths: Column, at: Column, path: Column) -> None:
    """Rows that have none yet get the first one."""
    fresh = paths[at] == 0
    # Of several for one place the last one counts.
    paths[at[fresh][::-1]] = path[fresh][::-1]
