"""Net positions and open orders by account and instrument. Pure.

A position's *net* is what was bought less what was sold, as the engine's TRADE reports tell. An order is *open* here
from the moment it is taken in until it is done: an order on its way may trade as well as one that rests. What of it is
open is its quantity less what was filled. While replaces of it are unanswered, it is as much as the largest of them
would leave open, since any of them may have happened already.

What an order adds to its position is at every moment a function of its row in the table and of its unanswered
replaces, so a restart, which puts both back, comes to the same numbers whatever order things came in.

Fills that are on their way when a REPLACE with OPEN is taken in come on top of the open quantity that it asks for; how
many they are, nobody can know before they arrive. A REPLACE of the total cannot overfill.
"""

import struct
from collections import deque
from collections.abc import Generator
from typing import Final

from orderd.orders.ids import IdIndex
from orderd.orders.risk.flow import SMALL, Replace, flow_of
from orderd.orders.risk.holdings import INSTRUMENT_BITS, Account, OrderNow, Position, key_of, trigger_of
from orderd.orders.table import IS_DONE, OrderTable, Page
from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, TEXT_NUMBER, Kind
from orderd.wire.reports import ExecType

FLAT_KEPT: Final = 4096
"""Above so many positions one that comes to hold nothing and have nothing open is forgotten at once."""
STEP_REPLACES: Final = 256
"""So many are counted in about a millisecond."""

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
        self.prices_end = 0
        """How often a last price became another."""
        self.waiting: deque[tuple[int, list[Replace]]] = deque()
        """Replaces that are not counted yet: the first row of their batch, and they."""
        self._answered = 0
        self._table = table
        self._ids = ids
        self._replaces: dict[int, dict[int, tuple[int, int]]] = {}  # order id: row of the replace: kind and quantity
        self._targets: dict[int, int] = {}  # row of an unanswered replace: order id
        self._prices: dict[int, int] = {}  # order id: price in force, where a replace changed it

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
        position.open[side] += quantity
        position.orders += orders
        position.account.orders += orders
        if not position.is_changed:
            position.changes()
        if orders < 0:
            self.forget_flat(position)
        return position

    def take_records(self, records: bytes, first: int) -> None:
        """Records that are in the table from row ``first`` on, at a start; their ids are known."""
        if len(records) <= SMALL * RECORD_BYTES:
            for row, (number, _, quantity, instrument, account, kind, flags) in enumerate(
                RECORD.iter_unpack(records), first
            ):
                if kind == _NEW:
                    self.take_new(account, instrument, flags & FLAG_SELL, quantity)
                elif kind == _REPLACE or kind == _OPEN:
                    self.take_numbered(row, number, kind, quantity)
            return
        flow = flow_of(records, detailed=False)
        for group in flow.groups:
            self.take_new(group.account, group.instrument, group.side, group.quantity, group.orders)
        self.take_later(first, flow.replaces)

    def take_later(self, first: int, replaces: list[Replace]) -> None:
        """Replaces of a batch from row ``first`` on: counted by :meth:`settle`, if they are not answered before.

        Each has to be looked up, and mostly nobody asks before the engine has answered.
        """
        if replaces:
            self.waiting.append((first, replaces))

    def settle(self) -> None:
        """Count what waits to be counted; to be called before any open quantity is looked at."""
        for _ in self.settle_in_steps():
            pass

    def settle_in_steps(self) -> Generator[None, None, None]:
        """The same with pauses in which others may have their turn."""
        while self.waiting:
            first, replaces = self.waiting.popleft()
            if len(replaces) > STEP_REPLACES:
                self.waiting.appendleft((first, replaces[STEP_REPLACES:]))
                replaces = replaces[:STEP_REPLACES]
            for replace in replaces:
                if first + replace.index > self._answered:
                    self.take_numbered(first + replace.index, replace.number, replace.kind, replace.quantity)
            yield

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
        quantity, instrument, account, kind, flags = _unpack(page.records, row * RECORD_BYTES + _QUANTITY_AT)
        if kind != _NEW:
            return
        position = self.by_key.get(account << INSTRUMENT_BITS | instrument) or self.position(account, instrument)
        was_done, is_done = IS_DONE[page.status[row]], IS_DONE[status]
        if page.quantity:
            quantity = page.quantity.get(row, quantity)
        filled = page.cum_qty[row] if page.cum_qty is not None else 0
        side = flags & FLAG_SELL
        replaces = self._replaces.get(order_id) if self._replaces else None
        if was_done:
            more = 0
        else:
            more = -_open(quantity, filled, replaces) if replaces else filled - quantity if quantity > filled else 0
        if exec_type == _TRADE:
            filled += last_qty
            position.net += -last_qty if side else last_qty
            if self.last_px.get(instrument) != last_px:
                self._note_price(instrument, last_px)
        elif exec_type == _REPLACED:
            quantity = total
            self._note_replaced(order_id, input_)
        if not is_done:
            more += _open(quantity, filled, replaces) if replaces else quantity - filled if quantity > filled else 0
        position.open[side] += more
        if not position.is_changed:
            position.changes()
        if is_done != was_done:
            self._note_end(order_id, position, was_done - is_done)

    def _note_end(self, order_id: int, position: Position, orders: int) -> None:
        position.orders += orders
        position.account.orders += orders
        if self._prices:
            self._prices.pop(order_id, None)
        if len(self.by_key) > FLAT_KEPT:
            self.forget_flat(position)

    def answered(self, input_: int) -> None:
        """The engine has told all that the row ``input_`` causes; what it was is no concern of the caller.

        Rows are answered in their order.
        """
        self._answered = input_
        while self.waiting and self.waiting[0][0] + self.waiting[0][1][-1].index <= input_:
            self.waiting.popleft()
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
            self._prices.get(order_id, price),
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

    def _note_replaced(self, order_id: int, input_: int) -> None:
        place = self._table.locate(input_) if input_ else None
        if place is not None:
            page, row = place
            self._prices[order_id] = RECORD.unpack_from(page.records, row * RECORD_BYTES)[1]

    def _note_price(self, instrument: int, price: int) -> None:
        self.last_px[instrument] = price
        self.price_changes.append(instrument)
        self.prices_end += 1
        if len(self.price_changes) >= 2 * _CHANGES_KEPT:
            del self.price_changes[:_CHANGES_KEPT]

    def forget_flat(self, position: Position) -> None:
        """Forget it if there is nothing in it."""
        if position.is_empty and not position.value:
            del position.account.held[position.instrument]
            position.account.changed.pop(position.instrument, None)
            del self.by_key[key_of(position.account.number, position.instrument)]


def _open(quantity: int, filled: int, replaces: dict[int, tuple[int, int]] | None) -> int:
    """What may be open of an order that is not done."""
    found = quantity - filled
    if replaces:
        for kind, asked in replaces.values():
            found = max(found, asked if kind == _OPEN else asked - filled)
    return max(found, 0)
