"""Net positions and open orders by account and instrument. Pure.

A position's *net* is what was bought less what was sold, as the engine's TRADE reports tell. An order is *open* here
from the moment it is taken in until it is done: an order on its way may trade as well as one that rests. What of it is
open is its quantity less what was filled. While replaces of it are unanswered, it is as much as the largest of them
would leave open, since any of them may have happened already.

What an order adds to its position is at every moment a function of its row in the table and of its unanswered
replaces, so a restart, which puts both back, comes to the same numbers whatever order things came in. So does counting
late: rows from :attr:`Positions.counted_end` on are counted, in bulk and as they stand by then, when somebody asks.
Most of them are done before that, or cost a hundredth of what they would have cost one by one.

Fills that are on their way when a REPLACE with OPEN is taken in come on top of the open quantity that it asks for; how
many they are, nobody can know before they arrive. A REPLACE of the total cannot overfill.
"""

import struct
from collections.abc import Generator, Sequence
from typing import Final

from orderd.orders.ids import IdIndex
from orderd.orders.risk.holdings import INSTRUMENT_BITS, Account, OrderNow, Position, key_of, trigger_of
from orderd.orders.risk.uncounted import FILL, FILL_HEAD, fill_sums, open_sums, pack_fill, replaces_in
from orderd.orders.table import IS_DONE, OrderTable, Page
from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, TEXT_NUMBER, Kind
from orderd.wire.reports import ExecType

FLAT_KEPT: Final = 4096
"""Above so many positions one that comes to hold nothing and have nothing open is forgotten at once."""
LATER_ROWS: Final = 1 << 16
"""So many rows may wait to be counted: all of them take about a millisecond."""
STEP_REPLACES: Final = 256
"""So many are counted in about a millisecond."""
FEW: Final = 32
"""So many are counted one by one in less time than in bulk."""
FILLS_BYTES: Final = 4096 * FILL.size
"""So many fills wait to be counted at most: they take a tenth of a millisecond."""

_QUANTITY_AT: Final = 16
_FIELDS: Final = struct.Struct("<QIHBB")
"""Quantity, instrument, account, kind and flags of a record, from :data:`_QUANTITY_AT` on."""
_unpack: Final = _FIELDS.unpack_from
_NEW: Final = int(Kind.NEW)
_TRADE: Final = int(ExecType.TRADE)
_REPLACED: Final = int(ExecType.REPLACED)
_REPLACE: Final = int(Kind.REPLACE)
_OPEN: Final = int(Kind.REPLACE_OPEN)
_CHANGES_KEPT: Final = 1024


class Positions:
    """Kept true by :meth:`take_new`, :meth:`take_replace`, :meth:`report` and :meth:`answered`."""

    def __init__(self, table: OrderTable, ids: IdIndex | None = None) -> None:
        self.by_key: dict[int, Position] = {}
        self.accounts: dict[int, Account] = {}
        self.last_px: dict[int, int] = {}
        """Price of the last trade of each instrument that a report told of, in ticks."""
        self.price_changes: list[int] = []
        """Instruments whose last price became another, in order; the last of them."""
        self.fills: Final = bytearray()
        """Fills that are not counted yet (:data:`~orderd.orders.risk.uncounted.FILL`)."""
        self.prices_end = 1
        """How often a last price became another."""
        self.counted_end = table.end
        """Rows below it are counted, each later one is when :meth:`settle` is called."""
        self.prices: dict[int, int] = {}
        """Price in force by order id, where a replace changed it."""
        self.on_trial = False
        """Whether something is added that may be taken back."""
        self._logs_prices = False
        self._answered = 0
        self._table = table
        self._ids = ids
        self._replaces: dict[int, dict[int, tuple[int, int]]] = {}  # order id: row of the replace: kind and quantity
        self._targets: dict[int, int] = {}  # row of an unanswered replace: order id

    def position(self, account: int, instrument: int) -> Position:
        """The position, which is there from now on."""
        key = account << INSTRUMENT_BITS | instrument
        position = self.by_key.get(key)
        if position is None:
            owner = self.accounts.get(account)
            if owner is None:
                owner = self.accounts[account] = Account(account)
            position = self.by_key[key] = owner.held[instrument] = Position(owner, instrument)
        return position

    # --- taken in -----------------------------------------------------------------------------------------------------

    def take_new(self, account: int, instrument: int, side: int, quantity: int, orders: int = 1) -> Position:
        """``orders`` orders of ``quantity`` in all; negative ones take back what was taken in by mistake."""
        position = self.by_key.get(account << INSTRUMENT_BITS | instrument) or self.position(account, instrument)
        self.add_new(position, side, quantity, orders)
        if orders < 0:
            self.forget_flat(position)
        return position

    def add_new(self, position: Position, side: int, quantity: int, orders: int) -> None:
        """:meth:`take_new`, where the position is at hand."""
        position.open[side] += quantity
        position.orders += orders
        account = position.account
        account.orders += orders
        if not position.is_changed:
            position.is_changed = True
            account.changed[position.instrument] = position

    def taken(self) -> None:
        """All rows from :attr:`counted_end` on were counted one by one."""
        self.counted_end = self._table.end

    def settle(self) -> None:
        """Count what waits to be counted; to be called before any quantity or price is looked at."""
        if self.fills:
            self._count_fills()
        while self.counted_end < self._table.end:
            self._count()

    def settle_in_steps(self) -> Generator[None, None, None]:
        """The same with pauses in which others may have their turn."""
        while self.counted_end < self._table.end:
            self._count()
            yield
        self.settle()

    def catch_up(self) -> None:
        """Count some of what waits if it is much. To be called with each order, so that it never becomes more."""
        if self._table.end - self.counted_end > LATER_ROWS:
            self._count()

    def bound_fills(self) -> None:
        """Count all fills if they are many. To be called with each delivery."""
        if len(self.fills) >= FILLS_BYTES:
            self._count_fills()

    def count_before(self, row: int) -> None:
        """Count all rows below ``row``, which may be forgotten after that."""
        while self.counted_end < row:
            self._count(row)

    def catch_up_in_steps(self) -> Generator[None, None, None]:
        """Count until it is not much any more that waits."""
        while self._table.end - self.counted_end > LATER_ROWS:
            self._count()
            yield

    def _count(self, before: int | None = None) -> None:
        """Count the next rows, none from ``before`` on: in no more than about a millisecond."""
        first = self.counted_end
        page, start, end = self._table.stretch(first, before or self._table.end)
        if page is None or end - start <= FEW:
            self._count_few(first, first + end - start)
            return
        replaces = [row for row in replaces_in(page, start, end) if first + row - start > self._answered]
        if len(replaces) > STEP_REPLACES:
            end = replaces[STEP_REPLACES]
            del replaces[STEP_REPLACES:]
        for account, instrument, side, quantity, orders in open_sums(page, start, end):
            self.take_new(account, instrument, side, quantity, orders)
        self.counted_end = first + end - start
        for row in replaces:
            self._take_row(first + row - start, page, row)

    def _count_fills(self) -> None:
        fills = bytes(self.fills)
        self.fills.clear()
        if len(fills) <= FEW * FILL.size:
            for _, instrument, account, kind, flags, quantity, price in FILL.iter_unpack(fills):
                if kind == _NEW:
                    self._fill(account, instrument, flags & FLAG_SELL, quantity)
                    if self.last_px.get(instrument) != price:
                        self._note_price(instrument, price)
            return
        sums, prices = fill_sums(fills)
        for account, instrument, side, quantity, _ in sums:
            self._fill(account, instrument, side, quantity)
        for instrument, price in prices:
            if self.last_px.get(instrument) != price:
                self._note_price(instrument, price)

    def _fill(self, account: int, instrument: int, side: int, quantity: int) -> None:
        position = self.by_key.get(account << INSTRUMENT_BITS | instrument) or self.position(account, instrument)
        position.net += -quantity if side else quantity
        position.changes()
        if len(self.by_key) > FLAT_KEPT:
            self.forget_flat(position)

    def _count_few(self, first: int, end: int) -> None:
        for order_id in range(first, end):
            place = self._table.locate(order_id)
            self.counted_end = order_id + 1
            if place is not None and not IS_DONE[place[0].status[place[1]]]:
                self._take_row(order_id, *place)

    def _take_row(self, order_id: int, page: Page, row: int) -> None:
        number, _, quantity, instrument, account, kind, flags = RECORD.unpack_from(page.records, row * RECORD_BYTES)
        if kind == _NEW:
            self.take_new(account, instrument, flags & FLAG_SELL, self._counted(order_id, page, row))
        elif (kind == _REPLACE or kind == _OPEN) and order_id > self._answered:
            self.take_numbered(order_id, number, kind, quantity)

    def take_numbered(self, row: int, number: int, kind: int, quantity: int) -> int | None:
        """:meth:`take_replace` of the order of that number, if there is one; its order id."""
        order_id = self.find(number, row)
        if order_id is not None:
            self.take_replace(row, order_id, kind, quantity)
        return order_id

    def take_replace(self, row: int, order_id: int, kind: int, quantity: int) -> None:
        """A replace was staged as ``row``."""
        place = self._table.locate(order_id)
        if place is None:
            return
        before = self._counted(order_id, *place)
        self._replaces.setdefault(order_id, {})[row] = (kind, quantity)
        self._targets[row] = order_id
        self._grow(place, self._counted(order_id, *place) - before)

    def find(self, number: int, row: int) -> int | None:
        """The order of that number which the request in ``row`` is about, if there is one."""
        if number >= TEXT_NUMBER:
            order_id: int | None = number - TEXT_NUMBER
        else:
            order_id = self._ids.find_number(number) if self._ids is not None else None
        if order_id is None or order_id >= row:
            return None
        place = self._table.locate(order_id)
        if place is None:
            return None
        found, _, _, _, _, kind, _ = RECORD.unpack_from(place[0].records, place[1] * RECORD_BYTES)
        return order_id if kind == _NEW and (found == number or number < TEXT_NUMBER) else None

    # --- reported -----------------------------------------------------------------------------------------------------

    def report(
        self,
        order_id: int,
        page: Page,
        row: int,
        exec_type: int,
        status: int,
        last_qty: int,
        last_px: int,
        total: int,
        input_: int,
    ) -> None:
        """A report on an order in ``row`` of ``page``, before it changes anything there.

        ``total`` is the sum of its cumulative and its leaves quantity, ``input_`` the row of what caused it.
        """
        if exec_type == _TRADE:
            end = (row + 1) * RECORD_BYTES
            self.fills.extend(pack_fill(page.records[end - FILL_HEAD : end], last_qty, last_px))
        elif exec_type == _REPLACED:
            self.note_replaced(order_id, input_)
        was_done, is_done = IS_DONE[page.status[row]], IS_DONE[status]
        if is_done and self.prices:
            self.prices.pop(order_id, None)
        if order_id >= self.counted_end:
            return
        quantity, instrument, account, kind, flags = _unpack(page.records, row * RECORD_BYTES + _QUANTITY_AT)
        if kind != _NEW:
            return
        position = self.by_key.get(account << INSTRUMENT_BITS | instrument) or self.position(account, instrument)
        if page.quantity:
            quantity = page.quantity.get(row, quantity)
        filled = page.cum_qty[row] if page.cum_qty is not None else 0
        replaces = self._replaces.get(order_id) if self._replaces else None
        if was_done:
            more = 0
        else:
            more = -_open(quantity, filled, replaces) if replaces else filled - quantity if quantity > filled else 0
        if exec_type == _TRADE:
            filled += last_qty
        elif exec_type == _REPLACED:
            quantity = total
        if not is_done:
            more += _open(quantity, filled, replaces) if replaces else quantity - filled if quantity > filled else 0
        position.open[flags & FLAG_SELL] += more
        if not position.is_changed:
            position.changes()
        if is_done != was_done:
            position.orders += was_done - is_done
            position.account.orders += was_done - is_done
            if len(self.by_key) > FLAT_KEPT:
                self.forget_flat(position)

    def answered(self, input_: int) -> None:
        """The engine has told all that the row ``input_`` causes; what it was is no concern of the caller.

        Rows are answered in their order.
        """
        self._answered = input_
        if not self._targets or (order_id := self._targets.pop(input_, None)) is None:
            return
        place = self._table.locate(order_id)
        before = 0 if place is None else self._counted(order_id, *place)
        replaces = self._replaces[order_id]
        del replaces[input_]
        if not replaces:
            del self._replaces[order_id]
        if place is not None:
            self._grow(place, self._counted(order_id, *place) - before)

    def answered_all(self, inputs: Sequence[int]) -> None:
        """:meth:`answered` for each of them, in their order."""
        if self._targets:
            for input_ in inputs:
                self.answered(input_)
        elif inputs:
            self._answered = inputs[-1]

    # --- questions ----------------------------------------------------------------------------------------------------

    def order(self, order_id: int) -> OrderNow | None:
        """How an order stands; None if it is done or forgotten."""
        place = self._table.locate(order_id)
        if place is None or IS_DONE[place[0].status[place[1]]]:
            return None
        page, row = place
        _, price, quantity, instrument, account, kind, flags = RECORD.unpack_from(page.records, row * RECORD_BYTES)
        if kind != _NEW:
            return None
        quantity = page.quantity.get(row, quantity)
        filled = page.cum_qty[row] if page.cum_qty is not None else 0
        return OrderNow(
            account,
            instrument,
            flags & FLAG_SELL,
            self.prices.get(order_id, price),
            trigger_of(self._table.extensions(order_id)) if row not in page.triggered else 0,
            filled,
            _open(quantity, filled, None),
            self._counted(order_id, page, row),
        )

    # --- parts --------------------------------------------------------------------------------------------------------

    def _counted(self, order_id: int, page: Page, row: int) -> int:
        if IS_DONE[page.status[row]]:
            return 0
        quantity, *_ = _FIELDS.unpack_from(page.records, row * RECORD_BYTES + _QUANTITY_AT)
        filled = page.cum_qty[row] if page.cum_qty is not None else 0
        return _open(page.quantity.get(row, quantity), filled, self._replaces.get(order_id))

    def _grow(self, place: tuple[Page, int], quantity: int) -> None:
        if quantity:
            page, row = place
            _, instrument, account, _, flags = _FIELDS.unpack_from(page.records, row * RECORD_BYTES + _QUANTITY_AT)
            position = self.position(account, instrument)
            position.open[flags & FLAG_SELL] += quantity
            position.changes()

    def note_replaced(self, order_id: int, input_: int) -> None:
        """The price of the order is that of the replace in row ``input_`` from now on."""
        place = self._table.locate(input_) if input_ else None
        if place is not None:
            page, row = place
            self.prices[order_id] = RECORD.unpack_from(page.records, row * RECORD_BYTES)[1]

    def log_prices(self) -> None:
        """Keep :attr:`price_changes` from now on; before, it counts as too short."""
        if not self._logs_prices:
            self._logs_prices = True
            self.prices_end += 1

    def _note_price(self, instrument: int, price: int) -> None:
        self.last_px[instrument] = price
        if not self._logs_prices:
            return
        self.price_changes.append(instrument)
        self.prices_end += 1
        if len(self.price_changes) >= 2 * _CHANGES_KEPT:
            del self.price_changes[:_CHANGES_KEPT]

    def forget_flat(self, position: Position) -> None:
        """Forget it if there is nothing in it."""
        if position.is_empty:
            account = position.account
            account.value -= position.value
            del account.held[position.instrument]
            account.changed.pop(position.instrument, None)
            del self.by_key[key_of(position.account.number, position.instrument)]


def _open(quantity: int, filled: int, replaces: dict[int, tuple[int, int]] | None) -> int:
    """What may be open of an order that is not done."""
    found = quantity - filled
    if replaces:
        for kind, asked in replaces.values():
            found = max(found, asked if kind == _OPEN else asked - filled)
    return max(found, 0)
