"""The engine's matcher as a candidate of the ``tracebook-conformance`` suite, which drives it as a process.

``python -m tests.conformance.tracebook_adapter`` speaks the suite's protocol, lines of JSON, on standard input and
output. Its events become records of the matcher, its observations are read from the matcher's reports and books.

What is translated, and how:

- *new*: a NEW record; its number is the adapter's own, since the suite uses ids again and counts them per symbol.
  An id that is in use is refused here: the suite's id and the engine's number are not the same thing.
- *cancel*: CANCEL. *reduce*: REPLACE OPEN at the same price, or CANCEL when nothing is left. *clear*: MASS CANCEL of an
  instrument.
- *replace* is the suite's cancel-and-new, which loses its priority even where only the quantity shrinks. So it is a
  CANCEL and a NEW under a new number, not a REPLACE, whose rules are others.
- An *owner* is an account, and the suite's policy the order's STP: CANCEL_RESTING is CANCEL_OLDEST, CANCEL_INCOMING is
  CANCEL_NEWEST. Orders without an owner have no STP.
- *MARKET* is a market order, *IOC* and *FOK* are times in force, *LIMIT* is GTC.
- Prices are rounded to the tick first, and one that becomes zero is refused: the suite does that in the book, orderd
  before it.

What does not apply is named in :data:`LEFT_OUT`.
"""

import os
import sys
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from tracebook.conformance.model import (
    BookSnapshot,
    BookState,
    ConformanceConfig,
    EngineMetadata,
    Observation,
    Outcome,
    RestingOrder,
    TradeFill,
    canonical_decimal,
)
from tracebook.conformance.protocol import serve_stdio
from tracebook.core.order import OrderSide, OrderType, SelfTradePolicy
from tracebook.events import MarketEvent

from engine.levels import BookSide
from engine.matcher import Matcher
from orderd.wire.records import RECORD, STP_SHIFT, Kind, SelfTradePrevention, Side, TimeInForce, new_flags
from orderd.wire.reports import ExecType, Report
from tests.support.matching import Trader, mass_cancel

LEFT_OUT: Final = {
    "pro-rata-allocation": "pro-rata allocation: this engine fills by price, then time",
}
"""Cases of the suite's bundled fixtures that do not apply, and why."""

ACCOUNT_MAX: Final = 65535
_NO_OWNER: Final = -1
_POLICIES: Final = {
    SelfTradePolicy.NONE: SelfTradePrevention.NONE,
    SelfTradePolicy.CANCEL_RESTING: SelfTradePrevention.CANCEL_OLDEST,
    SelfTradePolicy.CANCEL_INCOMING: SelfTradePrevention.CANCEL_NEWEST,
}
_TIMES: Final = {OrderType.IOC: TimeInForce.IOC, OrderType.FOK: TimeInForce.FOK, OrderType.LIMIT: TimeInForce.GTC}


class Refused(Exception):
    """The event is not applied; the text is the suite's reason."""


class MatcherAdapter:
    """One run of the suite: a matcher with a session, and the suite's names for what is in it."""

    def __init__(self, config: ConformanceConfig) -> None:
        if config.matching_algorithm != "fifo":
            raise ValueError(LEFT_OUT["pro-rata-allocation"])
        self.metadata = EngineMetadata("orderd engine", "0.1", "Python")
        self._config = config
        self._tick = Decimal(canonical_decimal(config.tick_size))
        self._lot = Decimal(1).scaleb(-config.quantity_decimal_places)
        self._matcher = Matcher([])
        self._trader = Trader(self._matcher, 1)
        self._instruments: dict[str, int] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._ids: dict[int, int] = {}
        self._owners: dict[int, int] = {}
        self._accounts: dict[int, int] = {}
        self._next_number = 1

    def apply(self, event: MarketEvent, index: int) -> Observation:
        """Do what ``event`` says."""
        trades: list[TradeFill] = []
        try:
            if event.op not in ("new", "clear") and event.symbol not in self._instruments:
                raise Refused("ORDER_NOT_ACTIVE")
            instrument = self._instrument(event.symbol)
            trades = self._take(event.symbol, self._trader.send(*self._records(event, instrument)))
            outcome = Outcome("applied")
        except Refused as refused:
            outcome = Outcome("rejected", str(refused))
        self._matcher.check_invariants()
        state = self.snapshot()
        return Observation(index, outcome, tuple(trades), state.digest(), state.order_count)

    def snapshot(self) -> BookState:
        """Everything that rests, by priority."""
        books = []
        for symbol in sorted(self._instruments):
            book = self._matcher.book(self._instruments[symbol])
            books.append(BookSnapshot(symbol, self._resting(book.bids), self._resting(book.asks)))
        return BookState(tuple(books))

    def close(self) -> None:
        """There is nothing to close."""

    # --- events -------------------------------------------------------------------------------------------------------

    def _instrument(self, symbol: str) -> int:
        if symbol not in self._instruments:
            self._instruments[symbol] = len(self._instruments) + 1
            self._matcher.add_instrument(self._instruments[symbol])
        return self._instruments[symbol]

    def _records(self, event: MarketEvent, instrument: int) -> list[bytes]:
        if event.op == "clear":
            return [mass_cancel(instrument=instrument)]
        assert event.order_id is not None
        number = self._numbers.get((event.symbol, event.order_id))
        if event.op == "new":
            if number is not None:
                raise Refused("DUPLICATE_ORDER_ID")
            assert event.side is not None
            side = Side.BUY if event.side is OrderSide.BUY else Side.SELL
            price = 0 if event.order_type is OrderType.MARKET else self._ticks(event.price, "INVALID_ORDER")
            lots = self._lots(event.quantity, "INVALID_ORDER")
            return [self._new(event.symbol, event.order_id, side, event.order_type, price, lots, event.owner)]
        if number is None:
            raise Refused("ORDER_NOT_ACTIVE")
        order = self._trader.session.live[number]
        cancel = RECORD.pack(number, 0, 0, instrument, 0, Kind.CANCEL, 0)
        if event.op == "cancel":
            return [cancel]
        if event.op == "reduce":
            left = order.open - self._lots(event.quantity, "INVALID_ORDER")
            if left < 0:
                raise Refused("INVALID_ORDER")
            return [RECORD.pack(number, order.price, left, instrument, 0, Kind.REPLACE_OPEN, 0)] if left else [cancel]
        price = order.price if event.price is None else self._ticks(event.price, "INVALID_REPLACEMENT")
        lots = order.open if event.quantity is None else self._lots(event.quantity, "INVALID_REPLACEMENT")
        side = Side.SELL if order.sell else Side.BUY
        return [
            cancel,
            self._new(event.symbol, event.order_id, side, OrderType.LIMIT, price, lots, self._owners[number]),
        ]

    def _new(
        self, symbol: str, order_id: int, side: Side, order_type: OrderType, price: int, lots: int, owner: int
    ) -> bytes:
        number = self._next_number
        self._next_number = number + 1
        self._numbers[symbol, order_id] = number
        self._ids[number] = order_id
        self._owners[number] = owner
        market = order_type is OrderType.MARKET
        flags = new_flags(side, market=market, time_in_force=TimeInForce.DAY if market else _TIMES[order_type])
        if owner != _NO_OWNER:
            flags |= _POLICIES[self._config.self_trade_policy] << STP_SHIFT
        return RECORD.pack(number, price, lots, self._instruments[symbol], self._account(owner), Kind.NEW, flags)

    def _account(self, owner: int) -> int:
        account = self._accounts.setdefault(owner, len(self._accounts))
        if account > ACCOUNT_MAX:
            raise ValueError(f"more than {ACCOUNT_MAX} owners")
        return account

    def _ticks(self, price: float | None, reason: str) -> int:
        if price is None:
            raise Refused(reason)
        ticks = int((Decimal(str(price)) / self._tick).quantize(Decimal(1), ROUND_HALF_EVEN))
        if ticks <= 0:
            raise Refused(reason)
        return ticks

    def _lots(self, quantity: float | None, reason: str) -> int:
        if quantity is None:
            raise Refused(reason)
        lots = int((Decimal(str(quantity)) / self._lot).quantize(Decimal(1), ROUND_HALF_EVEN))
        if lots <= 0:
            raise Refused(reason)
        return lots

    # --- what came of it ----------------------------------------------------------------------------------------------

    def _take(self, symbol: str, reports: list[Report]) -> list[TradeFill]:
        trades: list[TradeFill] = []
        makers: dict[int, Report] = {}
        for report in reports:
            if report.exec_type is ExecType.TRADE and report.taker:
                maker = makers.pop(report.trade_id)
                buyer, seller = (maker, report) if report.sell else (report, maker)
                trades.append(
                    TradeFill(
                        symbol,
                        self._ids[buyer.number],
                        self._ids[seller.number],
                        canonical_decimal(report.last_px * self._tick),
                        canonical_decimal(report.last_qty * self._lot),
                    )
                )
            elif report.exec_type is ExecType.TRADE:
                makers[report.trade_id] = report
            elif report.exec_type in (ExecType.REJECTED, ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED):
                raise AssertionError(f"the engine refused what the suite may ask for: {report}")
        live = self._trader.session.live
        for key in [key for key, number in self._numbers.items() if number not in live]:
            del self._numbers[key]
        return trades

    def _resting(self, side: BookSide) -> tuple[RestingOrder, ...]:
        return tuple(
            RestingOrder(
                self._ids[order.number],
                canonical_decimal(order.price * self._tick),
                canonical_decimal(order.open * self._lot),
                self._owners[order.number],
            )
            for level in side
            for order in level
        )


if __name__ == "__main__":
    code = serve_stdio(MatcherAdapter)
    sys.stdout.flush()
    # At once: who runs it gives it half a second, which a busy machine may need to take a whole interpreter down.
    os._exit(code)
