"""Whether an order may come on top of what its account has: trading states, then limits. Pure.

Asked before anything is changed; :meth:`RiskChecks.took_new` and the like say that it was taken in. A refusal uses
nothing up. What reports tell, and cancels, are never asked about.

An order that is refused is told the limit, the value that it would have led to, and the bound. Checked is what an
order adds: a replace that leaves no more open than before passes whatever the limits are, and so does an order that
brings a position nearer to zero.
"""

from collections.abc import Generator
from typing import Final

from orderd.orders.errors import Halted, Limit
from orderd.orders.risk import rates
from orderd.orders.risk.flow import SMALL, Flow, flow_of, repeat_key
from orderd.orders.risk.holdings import INSTRUMENT_BITS, Account, OrderNow, Position
from orderd.orders.risk.limits import NO_BOUND, Bounds, RiskLimits
from orderd.orders.risk.positions import STEP_REPLACES, Positions
from orderd.orders.risk.refusals import Refusals, of_account
from orderd.orders.risk.values import NoPrice, Values
from orderd.orders.trading import Trading, TradingState
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.records import FLAG_SELL, RECORD, RECORD_BYTES, Kind, Side

BOUNDS_KEPT: Final = 1 << 16
"""Bounds that are remembered ready made."""

Ticket = tuple[Bounds, Position, int, int]
"""What a check found: bounds, position, the key that tells repeats, and the time in nanoseconds."""

_SIDES: Final = (Side.BUY.name, Side.SELL.name)
_HALTED: Final = TradingState.HALTED
_REDUCING: Final = TradingState.REDUCING


class RiskChecks:
    """The limits in force, over the positions and the trading states that others keep."""

    def __init__(self, instruments: InstrumentTable, positions: Positions, trading: Trading) -> None:
        self.positions = positions
        self.limits = RiskLimits()
        self.is_off = True
        """Whether no account has any limit."""
        self.refused = 0
        """Orders, replaces and batches that a limit refused since the start of the process."""
        self.values = Values(positions, instruments)
        self.refusals = Refusals(instruments)
        self.trading = trading
        self._instruments = instruments
        self._bounds: dict[int, Bounds] = {}
        self._repeats: dict[int, rates.Repeats] = {}

    def apply(self, limits: RiskLimits) -> None:
        """Have these in force from now on. What was used up of a rate stays so."""
        if limits == self.limits:
            return
        old, self.limits = self.limits, limits
        self.is_off = limits.is_off
        self._bounds.clear()
        for number in [n for n in self._repeats if _window(old, n) != _window(limits, n)]:
            del self._repeats[number]
        self.values.take_references(limits.references)

    @property
    def asks_nothing(self) -> bool:
        """Whether everything passes."""
        return self.is_off and not self.trading.restricts

    # --- questions ----------------------------------------------------------------------------------------------------

    def check_new(
        self, account: int, instrument: int, side: int, price: int, quantity: int, trigger: int, now: float
    ) -> Ticket | None:
        """Whether a new order fits: ``price`` 0 for a market order, ``trigger`` 0 for one that is no stop order.

        Returns what :meth:`took_new` takes as ``ticket``, None if no limit was asked. ``now`` is monotonic, in seconds.
        Raises :class:`Limit` or :class:`Halted`.
        """
        positions = self.positions
        if self.trading.restricts:
            positions.settle()
            self._check_trading(account, instrument, side, quantity)
        if self.is_off:
            return None
        positions.settle()
        key = account << INSTRUMENT_BITS | instrument
        bounds = self._bounds.get(key) or self.bounds(account, instrument)
        if bounds.is_off:
            return None
        position = positions.by_key.get(key) or positions.position(account, instrument)
        repeat = now_ns = 0
        try:
            if trigger or not price or not self._surely_fits(bounds, position, side, price, quantity):
                self._check_sizes(bounds, position, side, price, quantity, trigger)
            if bounds.repeats or bounds.rate:
                now_ns = int(now * 1e9)
                repeat = repeat_key(account, instrument, side, price, quantity) if bounds.repeats else 0
                self._check_rates(bounds, position, repeat, now_ns)
        except Limit:
            self.refused += 1
            positions.forget_flat(position)
            raise
        return bounds, position, repeat, now_ns

    def check_request(self, order_id: int, kind: int, price: int, quantity: int, now: float) -> None:
        """:meth:`check_replace`, by order id."""
        if self.is_off and not self.trading.restricts:
            return
        self.positions.settle()
        order = self.positions.order(order_id)
        if order is None:
            self.trading.check()
        else:
            try:
                self.check_replace(order, kind, price, quantity, order.counted, now)
            except Limit:
                self.refused += 1
                raise

    def check_replace(self, order: OrderNow, kind: int, price: int, quantity: int, counted: int, now: float) -> None:
        """Whether a replace of an order that is not done fits; ``counted`` is what of it counts as open by then.

        Raises :class:`Limit` or :class:`Halted`.
        """
        left = order.left_by(kind, quantity)
        if self.trading.restricts:
            self.trading.check(order.account)
            if left > order.open and self.trading.of(order.account) is _REDUCING:
                lots = self.refusals.lots(order.instrument, left), self.refusals.lots(order.instrument, order.open)
                raise Halted(
                    f"trading is reducing: a replace to {lots[0]} open exceeds {lots[1]}, account {order.account}"
                )
        if self.is_off:
            return
        bounds = self.bounds(order.account, order.instrument)
        if bounds.is_off:
            return
        position = self.positions.position(order.account, order.instrument)
        grows = left > order.open
        if grows and quantity > bounds.quantity:
            raise self.refusals.over_lots("order_quantity_max", quantity, bounds.quantity, position)
        if grows or price != order.price:
            self._check_price(bounds, position, price, left, order.trigger)
        if left > counted:
            self._check_position(bounds, position, order.side, left - counted)
        if bounds.limits.orders_per_second:
            self._check_rates(bounds, position, 0, int(now * 1e9))

    def bounds(self, account: int, instrument: int) -> Bounds:
        """The limits of ``account`` in ``instrument``."""
        key = account << INSTRUMENT_BITS | instrument
        bounds = self._bounds.get(key)
        if bounds is None:
            if len(self._bounds) >= BOUNDS_KEPT:
                self._bounds.clear()
            bounds = self._bounds[key] = Bounds(self.limits.of(account), self._instruments.by_id[instrument])
        return bounds

    def repeats(self, account: int) -> rates.Repeats:
        """What counts repeats of ``account``."""
        number = account if account in self.limits.accounts else -1
        found = self._repeats.get(number)
        if found is None:
            found = self._repeats[number] = rates.Repeats(self.limits.of(account))
        return found

    # --- taken in -----------------------------------------------------------------------------------------------------

    def took_new(
        self, first: int, account: int, instrument: int, side: int, price: int, quantity: int, now: float,
        ticket: Ticket | None = None,
    ) -> None:  # fmt: skip
        """A new order was staged from row ``first`` on; ``ticket`` is what its check, just before, returned."""
        positions = self.positions
        if self.is_off:
            positions.catch_up()
            return
        is_next = positions.counted_end == first
        if ticket is not None:
            bounds, position, repeat, now_ns = ticket
        else:
            bounds, position = self.bounds(account, instrument), positions.position(account, instrument)
            now_ns = int(now * 1e9)
            repeat = repeat_key(account, instrument, side, price, quantity) if bounds.repeats else 0
        if is_next:
            positions.add_new(position, side, quantity, 1)
            positions.taken()
        if repeat:
            (bounds.counter or self._counter(bounds, account)).add(repeat, now_ns)
        if bounds.rate:
            rates.spend(position.account, bounds.limits, 1, now_ns)

    def took_replace(self, row: int, order_id: int, kind: int, quantity: int, now: float) -> None:
        """A replace was staged as ``row``."""
        positions = self.positions
        if self.is_off:
            positions.catch_up()
            return
        if positions.counted_end == row:
            positions.take_replace(row, order_id, kind, quantity)
            positions.taken()
        self._use_up_by_replace(order_id, now)

    def took_batch(self, records: bytes, flow: Flow | None, first: int, now: float) -> None:
        """:meth:`took_batch_in_steps` in one go."""
        for _ in self.took_batch_in_steps(records, flow, first, now):
            pass

    def took_batch_in_steps(
        self, records: bytes, flow: Flow | None, first: int, now: float
    ) -> Generator[None, None, None]:
        """A batch was staged from row ``first`` on; ``flow`` is its sum, if known.

        Nobody else may place anything between two steps.
        """
        if self.is_off:
            return
        if len(records) <= SMALL * RECORD_BYTES:
            is_next = self.positions.counted_end == first
            self._took_few(records, first, now)
            if is_next:
                self.positions.taken()
        else:
            yield from self._took_many(flow or flow_of(records), first, now)

    def _took_many(self, flow: Flow, first: int, now: float) -> Generator[None, None, None]:
        positions, now_ns = self.positions, int(now * 1e9)
        # Many replaces are counted in steps, where somebody else may come first.
        is_next = positions.counted_end == first and len(flow.replaces) < STEP_REPLACES
        for group in flow.groups:
            account = group.account
            if is_next:
                positions.take_new(account, group.instrument, group.side, group.quantity, group.orders)
            bounds = self.bounds(account, group.instrument)
            if bounds.repeats:
                self.repeats(account).add_all(group.keys, now_ns)
            if bounds.rate:
                position = positions.position(account, group.instrument)
                rates.spend(position.account, bounds.limits, group.orders, now_ns)
        for done, replace in enumerate(flow.replaces, 1):
            row = first + replace.at
            order_id = positions.find(replace.number, row)
            if order_id is not None:
                if is_next:
                    positions.take_replace(row, order_id, replace.kind, replace.quantity)
                self._use_up_by_replace(order_id, now)
            if done % STEP_REPLACES == 0:
                yield
        if is_next:
            positions.taken()
        elif flow.replaces:
            yield from positions.settle_in_steps()

    def _took_few(self, records: bytes, first: int, now: float) -> None:
        positions = self.positions
        is_next = positions.counted_end == first
        for row, fields in enumerate(RECORD.iter_unpack(records), first):
            number, price, quantity, instrument, account, kind, flags = fields
            if kind == Kind.NEW:
                side = flags & FLAG_SELL
                if is_next:
                    positions.take_new(account, instrument, side, quantity)
                bounds = self.bounds(account, instrument)
                if bounds.repeats or bounds.rate:
                    key = repeat_key(account, instrument, side, price, quantity)
                    self._use_up(bounds, positions.position(account, instrument).account, key, int(now * 1e9))
            elif kind == Kind.REPLACE or kind == Kind.REPLACE_OPEN:
                order_id = positions.find(number, row)
                if order_id is not None:
                    if is_next:
                        positions.take_replace(row, order_id, kind, quantity)
                    self._use_up_by_replace(order_id, now)

    def _use_up(self, bounds: Bounds, account: Account, key: int, now_ns: int) -> None:
        if bounds.repeats:
            (bounds.counter or self._counter(bounds, account.number)).add(key, now_ns)
        if bounds.rate:
            rates.spend(account, bounds.limits, 1, now_ns)

    def _use_up_by_replace(self, order_id: int, now: float) -> None:
        order = self.positions.order(order_id)
        if order is not None and self.limits.of(order.account).orders_per_second:
            self.spend(self.positions.position(order.account, order.instrument).account, 1, now)

    def spend(self, account: Account, orders: int, now: float) -> None:
        """Take ``orders`` out of the bucket of ``account``."""
        rates.spend(account, self.limits.of(account.number), orders, int(now * 1e9))

    # --- parts --------------------------------------------------------------------------------------------------------

    def _check_trading(self, account: int, instrument: int, side: int, quantity: int) -> None:
        self.trading.check(account)
        if self.trading.of(account) is not _REDUCING:
            return
        position = self.positions.position(account, instrument)
        room = position.net if side == Side.SELL else -position.net
        wanted = position.open[side] + quantity
        if wanted > room:
            net = ("-" if position.net < 0 else "") + self.refusals.lots(instrument, abs(position.net))
            self.positions.forget_flat(position)
            raise Halted(
                f"trading is reducing: {_SIDES[side]} {self.refusals.lots(instrument, wanted)} with what is open "
                f"exceeds the position {net}{self.refusals.about(position)}"
            )

    def _surely_fits(self, bounds: Bounds, position: Position, side: int, price: int, quantity: int) -> bool:
        """Whether a LIMIT order is within all of :meth:`_check_sizes`, found with as few steps as can be."""
        account = position.account
        if quantity > bounds.quantity or price * quantity > bounds.notional or account.orders >= bounds.orders:
            return False
        base = self.positions.last_px.get(position.instrument)
        if base is None:
            base = self.limits.references.get(position.instrument)
        whole = bounds.band_whole
        if whole and (base is None or abs(price - base) * whole > base * bounds.band_share):
            return False
        buy, sell = position.open
        up, down = position.net + buy, sell - position.net
        after = (down if side else up) + quantity
        if after > bounds.position:
            return False
        if bounds.gross == NO_BOUND:
            return True
        if base is None:
            return False
        more = after - max(up, down)
        try:
            total = self.values.total(account)
        except NoPrice:
            return False
        return more <= 0 or total + base * (position.unit or self.values.unit(position)) * more <= bounds.gross

    def _check_sizes(
        self, bounds: Bounds, position: Position, side: int, price: int, quantity: int, trigger: int
    ) -> None:
        if quantity > bounds.quantity:
            raise self.refusals.over_lots("order_quantity_max", quantity, bounds.quantity, position)
        self._check_price(bounds, position, price, quantity, trigger)
        if position.account.orders >= bounds.orders:
            raise Limit(f"open_orders_max {position.account.orders + 1} exceeds {bounds.orders}{of_account(position)}")
        self._check_position(bounds, position, side, quantity)

    def _check_price(self, bounds: Bounds, position: Position, price: int, quantity: int, trigger: int) -> None:
        reference = self.positions.last_px.get(position.instrument)
        if reference is None:
            reference = self.limits.references.get(position.instrument)
        if bounds.notional < NO_BOUND:
            told = price or trigger or reference
            if told is None:
                raise self.refusals.no_price("order_notional_max", position.instrument, position.account.number)
            if told * quantity > bounds.notional:
                value, limit = told * quantity * self.values.unit(position), bounds.limits.order_notional_max
                raise self.refusals.over_money("order_notional_max", value, limit, self.refusals.about(position))
        if bounds.band_whole and price:
            base = trigger or reference
            if base is None:
                raise self.refusals.no_price("price_band", position.instrument, position.account.number)
            if abs(price - base) * bounds.band_whole > base * bounds.band_share:
                raise self.refusals.beyond_band(price, base, bounds, position)

    def _check_position(self, bounds: Bounds, position: Position, side: int, quantity: int) -> None:
        """Whether ``quantity`` more may be open on ``side``."""
        buy, sell = position.open
        up, down = position.net + buy, sell - position.net
        after = (down if side else up) + quantity
        if after > bounds.position:
            raise self.refusals.over_lots("position_max", after, bounds.position, position)
        if bounds.gross == NO_BOUND:
            return
        # The largest of both ends, before and after; the other end of each is nearer to zero.
        before = max(up, down)
        values = self.values
        try:
            total = values.total(position.account)
            if after > before:
                total += values.of(position, after - before)
        except NoPrice as error:
            raise self.refusals.no_price("gross_notional_max", error.instrument, position.account.number) from None
        if total > bounds.gross and after > before:
            limit = bounds.limits.gross_notional_max
            raise self.refusals.over_money("gross_notional_max", total, limit, of_account(position))

    def _check_rates(self, bounds: Bounds, position: Position, key: int, now_ns: int) -> None:
        account = position.account
        if key:
            seen = (bounds.counter or self._counter(bounds, account.number)).seen(key, now_ns)
            if seen >= bounds.repeats:
                raise self.refusals.repeated(bounds.limits, account.number, position.instrument, seen + 1)
        # Up to that time the bucket is not full.
        if bounds.rate and account.spent_ns > now_ns and (left := rates.left(account, bounds.limits, now_ns)) < 1:
            raise self.refusals.too_fast(bounds.limits, account.number, 1, left)

    def _counter(self, bounds: Bounds, account: int) -> rates.Repeats:
        bounds.counter = self.repeats(account)
        return bounds.counter


def _window(limits: RiskLimits, number: int) -> tuple[int, int]:
    of = limits.default if number < 0 else limits.of(number)
    return of.repeats_max, of.repeats_window_ms
