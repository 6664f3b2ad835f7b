"""The limits as docs/RISK.md says them, order by order and from scratch each time: what the quick checks must equal."""

from collections import Counter
from copy import deepcopy
from fractions import Fraction

import attrs

from orderd.orders.risk.limits import AccountLimits, RiskLimits
from orderd.orders.trading import TradingState
from orderd.runtime.instruments import InstrumentTable


@attrs.define
class Open:
    """An order that is not done."""

    account: int
    instrument: int
    side: int
    price: int
    trigger: int
    quantity: int
    filled: int = 0
    asked: list[tuple[bool, int]] = attrs.field(factory=list)
    """Replaces that are not answered: whether it is of the open quantity, and to how much."""

    @property
    def open(self) -> int:
        return self.quantity - self.filled

    @property
    def counted(self) -> int:
        return max([self.open, *(left if of_open else left - self.filled for of_open, left in self.asked)])


@attrs.define
class Naive:
    """Everything by account; ``refusal_*`` answers the first word of the refusal, or None."""

    instruments: InstrumentTable
    limits: RiskLimits
    states: dict[int | None, TradingState]
    orders: dict[int, Open] = attrs.field(factory=dict)
    net: Counter[tuple[int, int]] = attrs.field(factory=Counter)
    last: dict[int, int] = attrs.field(factory=dict)
    taken: list[tuple[Fraction, int, tuple[int, ...] | None]] = attrs.field(factory=list)
    """When, by which account, and what makes it equal to others, for new orders."""

    def copy(self) -> "Naive":
        return Naive(
            self.instruments, self.limits, self.states, deepcopy(self.orders), self.net.copy(), dict(self.last),
            list(self.taken),
        )  # fmt: skip

    # --- what there is ------------------------------------------------------------------------------------------------

    def open(self, account: int, instrument: int, side: int) -> int:
        return sum(
            o.counted for o in self.orders.values() if (o.account, o.instrument, o.side) == (account, instrument, side)
        )

    def price(self, instrument: int) -> int | None:
        return self.last.get(instrument, self.limits.references.get(instrument))

    def money(self, instrument: int, ticks: int, lots: int) -> Fraction:
        of = self.instruments.by_id[instrument]
        return Fraction(of.tick) * ticks * Fraction(of.lot) * lots

    def worst(self, account: int, instrument: int) -> int:
        net = self.net[account, instrument]
        return max(abs(net + self.open(account, instrument, 0)), abs(net - self.open(account, instrument, 1)))

    def gross(self, account: int) -> Fraction | None:
        total = Fraction(0)
        for instrument in self.instruments.by_id:
            if worst := self.worst(account, instrument):
                price = self.price(instrument)
                if price is None:
                    return None
                total += self.money(instrument, price, worst)
        return total

    def tokens(self, account: int, limits: AccountLimits, now: Fraction) -> Fraction:
        left, at = Fraction(limits.orders_burst), Fraction(0)
        for time, number, _ in self.taken:
            if number == account:
                left = min(Fraction(limits.orders_burst), left + (time - at) * limits.orders_per_second) - 1
                at = time
        return min(Fraction(limits.orders_burst), left + (now - at) * limits.orders_per_second)

    # --- verdicts -----------------------------------------------------------------------------------------------------

    def refusal_of_new(self, order: Open, now: Fraction) -> str | None:
        limits = self.limits.of(order.account)
        state = max(self.states.get(None, 0), self.states.get(order.account, 0))
        signed = self.net[order.account, order.instrument] * (1 if order.side else -1)
        wanted = self.open(order.account, order.instrument, order.side) + order.quantity
        if state == TradingState.HALTED or (state == TradingState.REDUCING and wanted > signed):
            return "HALTED"
        first = self._refusal_of_size(limits, order, grows=True) or self._refusal_of_price(limits, order, order.price)
        if first:
            return first
        count = sum(o.account == order.account for o in self.orders.values())
        if limits.open_orders_max and count + 1 > limits.open_orders_max:
            return "open_orders_max"
        return self._refusal_of_position(limits, order, order.quantity) or self._refusal_of_rate(limits, order, now)

    def refusal_of_replace(self, number: int, of_open: bool, price: int, quantity: int, now: Fraction) -> str | None:
        order = self.orders[number]
        limits = self.limits.of(order.account)
        left = quantity if of_open else max(0, quantity - order.filled)
        grows = left > order.open
        state = max(self.states.get(None, 0), self.states.get(order.account, 0))
        if state == TradingState.HALTED or (state == TradingState.REDUCING and grows):
            return "HALTED"
        if grows and limits.order_quantity_max is not None and self._lots(order, quantity) > limits.order_quantity_max:
            return "order_quantity_max"
        if grows or price != order.price:
            changed = attrs.evolve(order, price=price, quantity=left, filled=0, asked=[])
            first = self._refusal_of_notional(limits, changed) or self._refusal_of_price(limits, changed, price)
            if first:
                return first
        more = left - order.counted
        return (self._refusal_of_position(limits, order, more) if more > 0 else None) or self._refusal_of_rate(
            limits, None, now, order.account
        )

    def _lots(self, order: Open, lots: int) -> Fraction:
        return Fraction(self.instruments.by_id[order.instrument].lot) * lots

    def _refusal_of_size(self, limits: AccountLimits, order: Open, *, grows: bool) -> str | None:
        most = limits.order_quantity_max
        if grows and most is not None and self._lots(order, order.quantity) > most:
            return "order_quantity_max"
        return self._refusal_of_notional(limits, order)

    def _refusal_of_notional(self, limits: AccountLimits, order: Open) -> str | None:
        if limits.order_notional_max is None:
            return None
        price = order.price or order.trigger or self.price(order.instrument)
        if price is None or self.money(order.instrument, price, order.quantity) > limits.order_notional_max:
            return "order_notional_max"
        return None

    def _refusal_of_price(self, limits: AccountLimits, order: Open, price: int) -> str | None:
        if limits.price_band is None or not price:
            return None
        base = order.trigger or self.price(order.instrument)
        return "price_band" if base is None or abs(price - base) > limits.price_band * base else None

    def _refusal_of_position(self, limits: AccountLimits, order: Open, more: int) -> str | None:
        account, instrument, side = order.account, order.instrument, order.side
        after = self.net[account, instrument] * (-1 if side else 1) + self.open(account, instrument, side) + more
        if limits.position_max is not None and self._lots(order, after) > limits.position_max:
            return "position_max"
        if limits.gross_notional_max is None:
            return None
        before = self.gross(account)
        then = self.copy()
        then.orders[-1] = Open(account, instrument, side, 0, 0, more)
        total = then.gross(account)
        if before is None or total is None:
            return "gross_notional_max"
        grew = then.worst(account, instrument) > self.worst(account, instrument)
        return "gross_notional_max" if grew and total > limits.gross_notional_max else None

    def _refusal_of_rate(
        self, limits: AccountLimits, order: Open | None, now: Fraction, account: int = 0
    ) -> str | None:
        if order is not None and limits.repeats_max:
            since = now - Fraction(limits.repeats_window_ms, 1000)
            same = sum(key == equal_of(order) and time > since for time, _, key in self.taken)
            if same + 1 > limits.repeats_max:
                return "repeats_max"
        number = account if order is None else order.account
        if limits.orders_per_second and self.tokens(number, limits, now) < 1:
            return "orders_per_second"
        return None


def equal_of(order: Open) -> tuple[int, ...]:
    return order.account, order.instrument, order.side, order.price, order.quantity
