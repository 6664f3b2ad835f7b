"""Whether a whole batch fits, each record on top of those before it. Pure.

First in bulk, by what the batch adds up to (:mod:`orderd.orders.risk.flow`): additions never make room, so where the
end of the batch is within all limits, every record on the way was. Only where that is not sure the records are looked
at one by one, exactly as orders that come alone are, and the first that does not fit is named. To have less to look at
then, the beginning that surely fits is found in stretches first.

What is checked is added to the positions on trial and taken back. That takes long for a batch with many replaces, each
of which is looked up: it is done in steps then, between which nobody else may place anything, while reports of the
engine still come. Who asks what accounts hold waits for the end of it, too.
"""

from collections.abc import Generator
from typing import Final

from orderd.orders.errors import Halted, Limit
from orderd.orders.risk import rates
from orderd.orders.risk.checks import RiskChecks
from orderd.orders.risk.flow import SMALL, Flow, Group, Replace, flow_of, repeat_key
from orderd.orders.risk.holdings import OrderNow, Position
from orderd.orders.risk.limits import NO_BOUND, Bounds
from orderd.orders.risk.values import NoPrice
from orderd.orders.trading import TradingState
from orderd.wire.records import FLAG_SELL, KIND_OFFSET, RECORD, RECORD_BYTES, Attribute, Kind

STRETCH: Final = 1024
"""So many at a time are looked at in bulk to find the first that does not fit."""
STEP: Final = 64
"""Records that are looked at one by one in about a millisecond."""
REPLACES_AT_ONCE: Final = 4 * STEP
RECORDS_AT_ONCE: Final = 4 * STRETCH
"""More of either take too long to be checked in one go."""

_Steps = Generator[None, None, None]
_Added = dict[tuple[int, int, int], tuple[int, int]]
"""Quantity and number of orders by account, instrument and side."""


def takes_long(checks: RiskChecks, records: bytes, flow: Flow | None) -> bool:
    """Whether the check should be done in steps."""
    if checks.asks_nothing or flow is None:
        return False
    return len(flow.replaces) > REPLACES_AT_ONCE or len(records) > RECORDS_AT_ONCE * RECORD_BYTES


def check_batch(checks: RiskChecks, records: bytes, flow: Flow | None, first: int, now: float) -> None:
    """:func:`check_batch_in_steps` in one go."""
    for _ in check_batch_in_steps(checks, records, flow, first, now):
        pass


def check_batch_in_steps(checks: RiskChecks, records: bytes, flow: Flow | None, first: int, now: float) -> _Steps:
    """Whether well-formed ``records``, to be staged from row ``first`` on, all fit. ``flow`` is theirs, if known.

    Raises :class:`Limit` or :class:`Halted`, naming the first record that does not fit, counted from 0.
    """
    if checks.asks_nothing:
        return
    checks.positions.settle()
    rules = None
    while rules != _rules(checks):
        # What is allowed may be changed while it is checked.
        rules = _rules(checks)
        yield from _Trial(checks, records, first, now).run(flow)


def _rules(checks: RiskChecks) -> tuple[object, ...]:
    return checks.limits, checks.trading.state, dict(checks.trading.accounts)


class _Trial:
    """Records of one batch, added on trial."""

    def __init__(self, checks: RiskChecks, records: bytes, first: int, now: float) -> None:
        self._checks = checks
        self._records = records
        self._first = first
        self._now = now
        self._now_ns = int(now * 1e9)
        self._added: _Added = {}
        self._spent: dict[int, int] = {}
        self._keys: dict[int, int] = {}
        self._counted: dict[int, int] = {}
        """What replaces on trial leave open of an order: by order id, or by minus its index in the batch less one."""
        self._own: dict[int, int] | None = None

    def run(self, flow: Flow | None) -> _Steps:
        """As :func:`check_batch_in_steps`."""
        records, positions = self._records, self._checks.positions
        sure = 0
        positions.on_trial = True
        try:
            if len(records) > SMALL * RECORD_BYTES:
                if (yield from self._fits(flow or flow_of(records))):
                    return
                sure = yield from self._beginning()
            yield from self._walk(sure)
        finally:
            self._take_back({})
            positions.on_trial = False

    def _pause(self) -> _Steps:
        """Others have their turn, and reports may come."""
        yield
        self._checks.positions.settle()

    # --- in bulk ------------------------------------------------------------------------------------------------------

    def _beginning(self) -> Generator[None, None, int]:
        """How many records surely fit, in whole stretches; they are added."""
        records, start = self._records, 0
        while start < len(records):
            end = start + STRETCH * RECORD_BYTES
            # An order stays together with what is said about it.
            while end < len(records) and records[end - RECORD_BYTES + KIND_OFFSET] == Kind.EXTENSION:
                end += RECORD_BYTES
            flow = flow_of(records[start:end], start // RECORD_BYTES)
            if not (yield from self._fits(flow)):
                break
            for group in flow.groups:
                if self._checks.limits.of(group.account).repeats_max:
                    for key in group.keys:
                        self._keys[key] = self._keys.get(key, 0) + 1
            start = end
            yield from self._pause()
        return start // RECORD_BYTES

    def _fits(self, flow: Flow) -> Generator[None, None, bool]:
        """Whether all of ``flow`` fits, and is added then; False says only that it has to be looked at one by one."""
        added, spent, counted = dict(self._added), dict(self._spent), dict(self._counted)
        try:
            fits = yield from self._add_flow(flow)
        except (Limit, Halted, NoPrice):
            fits = False
        if not fits:
            self._take_back(added)
            self._spent, self._counted = spent, counted
        return fits

    def _add_flow(self, flow: Flow) -> Generator[None, None, bool]:
        checks = self._checks
        before: dict[int, int] = {}
        sums: list[tuple[Group, Bounds, Position]] = []
        for group in flow.groups:
            number = group.account
            bounds = checks.bounds(number, group.instrument)
            if not self._group_fits(group, bounds):
                return False
            if bounds.gross < NO_BOUND and number not in before:
                before[number] = checks.values.total(checks.positions.position(number, group.instrument).account)
            position = self._add(number, group.instrument, group.side, group.quantity, group.orders)
            self._spent[number] = self._spent.get(number, 0) + group.orders
            sums.append((group, bounds, position))
        for done, replace in enumerate(flow.replaces, 1):
            self._replace(replace)
            if done % STEP == 0:
                yield from self._pause()
        return all(self._sum_fits(*one, before) for one in sums) and self._rates_fit(sums)

    def _group_fits(self, group: Group, bounds: Bounds) -> bool:
        """Whether each order of ``group`` fits by itself."""
        price = self._checks.values.price(group.instrument)
        if group.quantity_max > bounds.quantity:
            return False
        if bounds.notional < NO_BOUND:
            # A little less, since it is compared with a float.
            sure = bounds.notional * (1 - 1e-9)
            if group.notional_max > sure or (group.market_max and (price or sure) * group.market_max > sure):
                return False
            if group.market_max and price is None:
                return False
        share, whole = bounds.band_share, bounds.band_whole
        if whole:
            if group.trigger_gap > share / whole * (1 - 1e-9):
                return False
            if group.price_max:
                if price is None:
                    return False
                reach = price * share
                if (group.price_max - price) * whole > reach or (price - group.price_min) * whole > reach:
                    return False
        return True

    def _sum_fits(self, group: Group, bounds: Bounds, position: Position, before: dict[int, int]) -> bool:
        """Whether what ``group`` is part of fits, with all of the batch on top."""
        checks = self._checks
        account = position.account
        if checks.trading.restricts and (state := checks.trading.of(group.account)) is not TradingState.ACTIVE:
            room = position.net if group.side else -position.net
            if state is TradingState.HALTED or position.open[group.side] > room:
                return False
        if account.orders > bounds.orders or max(position.after(group.side), 0) > bounds.position:
            return False
        if bounds.gross == NO_BOUND:
            return True
        total = checks.values.total(account)
        return total <= bounds.gross or total == before[group.account]

    def _rates_fit(self, sums: list[tuple[Group, Bounds, Position]]) -> bool:
        checks = self._checks
        for number, orders in self._spent.items():
            limits = checks.limits.of(number)
            if limits.orders_per_second:
                account = checks.positions.accounts[number]
                if rates.left(account, limits, self._now_ns) < orders:
                    return False
        return all(
            checks.repeats(group.account).fit(group.keys, self._keys, self._now_ns)
            for group, bounds, _ in sums
            if bounds.repeats
        )

    # --- one by one ---------------------------------------------------------------------------------------------------

    def _walk(self, sure: int) -> _Steps:
        """Look at the records from ``sure`` on, on top of those before, which are added."""
        index, trigger, refused_before = sure, 0, self._checks.refused
        try:
            for index in range(sure, len(self._records) // RECORD_BYTES):
                number, price, quantity, instrument, account, kind, flags = RECORD.unpack_from(
                    self._records, index * RECORD_BYTES
                )
                if kind == Kind.EXTENSION:
                    trigger = price if flags == Attribute.TRIGGER else trigger
                    continue
                if kind == Kind.NEW:
                    self._new(account, instrument, flags & FLAG_SELL, price, quantity, trigger)
                elif kind == Kind.REPLACE or kind == Kind.REPLACE_OPEN:
                    self._replace(Replace(index, number, kind, price, quantity))
                trigger = 0
                if (index - sure) % STEP == STEP - 1:
                    yield from self._pause()
        except (Limit, Halted) as refused:
            self._checks.refused = refused_before + isinstance(refused, Limit)
            raise type(refused)(f"record {index}: {refused}") from None

    def _new(self, account: int, instrument: int, side: int, price: int, quantity: int, trigger: int) -> None:
        checks = self._checks
        checks.check_new(account, instrument, side, price, quantity, trigger, self._now)
        limits = checks.limits.of(account)
        if limits.repeats_max:
            key = repeat_key(account, instrument, side, price, quantity)
            own = self._keys.get(key, 0)
            seen = checks.repeats(account).seen(key, self._now_ns, own) + own
            if seen >= limits.repeats_max:
                raise checks.refusals.repeated(checks.limits.of(account), account, instrument, seen + 1)
            self._keys[key] = self._keys.get(key, 0) + 1
        self._spend(account)
        self._add(account, instrument, side, quantity, 1)

    def _replace(self, replace: Replace) -> None:
        order, known_as = self._target(replace)
        if order is None:
            return
        counted = self._counted.get(known_as, order.counted)
        self._checks.check_replace(order, replace.kind, replace.price, replace.quantity, counted, self._now)
        self._spend(order.account)
        left = order.left_by(replace.kind, replace.quantity)
        if left > counted:
            self._counted[known_as] = left
            self._add(order.account, order.instrument, order.side, left - counted, 0)

    def _target(self, replace: Replace) -> tuple[OrderNow | None, int]:
        positions = self._checks.positions
        order_id = positions.find(replace.number, self._first)
        if order_id is not None:
            return positions.order(order_id), order_id
        if self._own is None:
            records = enumerate(RECORD.iter_unpack(self._records))
            self._own = {number: index for index, (number, *_, kind, _) in records if kind == Kind.NEW}
        index = self._own.get(replace.number)
        if index is None or index > replace.at:
            return None, 0
        _, price, quantity, instrument, account, _, flags = RECORD.unpack_from(self._records, index * RECORD_BYTES)
        order = OrderNow(
            account, instrument, flags & FLAG_SELL, price, self._trigger_before(index), 0, quantity, quantity
        )
        return order, -index - 1

    def _trigger_before(self, index: int) -> int:
        while index and self._records[index * RECORD_BYTES - 2] == Kind.EXTENSION:
            index -= 1
            if self._records[index * RECORD_BYTES + 31] == Attribute.TRIGGER:
                price: int = RECORD.unpack_from(self._records, index * RECORD_BYTES)[1]
                return price
        return 0

    # --- on trial -----------------------------------------------------------------------------------------------------

    def _spend(self, number: int) -> None:
        checks, spent = self._checks, self._spent.get(number, 0) + 1
        self._spent[number] = spent
        limits = checks.limits.of(number)
        if limits.orders_per_second:
            account = checks.positions.accounts[number]
            left = rates.left(account, limits, self._now_ns)
            if left < spent:
                raise checks.refusals.too_fast(checks.limits.of(account.number), account.number, spent, left)

    def _add(self, account: int, instrument: int, side: int, quantity: int, orders: int) -> Position:
        key = account, instrument, side
        known = self._added.get(key)
        self._added[key] = (quantity, orders) if known is None else (known[0] + quantity, known[1] + orders)
        return self._checks.positions.take_new(account, instrument, side, quantity, orders)

    def _take_back(self, added: _Added) -> None:
        """Have no more on trial than ``added``, which was so before."""
        take_new = self._checks.positions.take_new
        for key, tried in self._added.items():
            account, instrument, side = key
            before = added.get(key) if added else None
            if before is None:
                take_new(account, instrument, side, -tried[0], -tried[1])
            elif before != tried:
                take_new(account, instrument, side, before[0] - tried[0], before[1] - tried[1])
        self._added = added
