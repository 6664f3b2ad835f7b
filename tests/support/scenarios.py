"""Scenarios from the tests of two C++ engines, Liquibook and CppTrader, for whatever executes records.

How operations become records: ``limit``, ``market``, ``ioc`` and ``fok`` are NEWs. ``modify``, and ``replace`` by a
delta, are REPLACE OPEN, or CANCEL when no quantity is left; a ``replace`` that changes the id, and ``cancel_and_new``,
are CANCEL and NEW. A level of price 0 is how Liquibook says that a place of its depth is empty: nothing to compare.

Left out is the one step that enters a limit order at price 0 (the last of CppTrader's first scenario), with what that
scenario expects after it: prices of zero or less do not exist here.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Protocol

from engine.matcher import Matcher
from engine.orders import Order
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType
from tests.support.matching import BUY, INSTRUMENT, SELL, Trader, cancel, limit, market, replace

Fill = tuple[int, int, int]
"""Number, lots and price: one side of a trade."""
Levels = list[tuple[int, int, int]]
"""Price, quantity and number of orders, best first."""

TIFS: Final = {"limit": TimeInForce.DAY, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}


class ZeroPrice(Exception):
    """The scenario goes on with a price that does not exist here."""


class Venue(Protocol):
    """Where a scenario runs."""

    def execute(self, records: Sequence[bytes]) -> list[Fill]:
        """Execute ``records``; the fills that they caused, both sides of each."""

    def depth(self) -> tuple[Levels, Levels]:
        """Bids and asks."""

    def first(self, *, bids: bool) -> int | None:
        """Number of the first order of the best level; None where that does not show."""


class MatcherVenue:
    """The matcher itself."""

    def __init__(self) -> None:
        self.matcher = Matcher([INSTRUMENT])
        self.trader = Trader(self.matcher, 1)

    def execute(self, records: Sequence[bytes]) -> list[Fill]:
        reports = self.trader.send(*records)
        self.matcher.check_invariants()
        return [(r.number, r.last_qty, r.last_px) for r in reports if r.exec_type is ExecType.TRADE]

    def depth(self) -> tuple[Levels, Levels]:
        return self.matcher.book(INSTRUMENT).depth(1000)

    def first(self, *, bids: bool) -> int | None:
        book = self.matcher.book(INSTRUMENT)
        head = next(iter(book.bids if bids else book.asks)).head
        assert head is not None
        return head.number


class ScenarioRun:
    """One scenario. ``first_number``: orders get numbers from there on."""

    def __init__(self, venue: Venue, first_number: int = 1) -> None:
        self.checks = 0
        self.unseen = 0
        """Expectations of what does not show at this venue."""
        self.next_number = first_number
        self._venue = venue
        # What is asked of an order to make a record of it: the same records run here, too.
        self._model = venue if isinstance(venue, MatcherVenue) else MatcherVenue()
        self._numbers: dict[object, int] = {}
        self._expected_fills: list[dict[str, Any]] = []

    def run(self, scenario: dict[str, Any]) -> None:
        """Raises AssertionError where the venue differs from the scenario."""
        for step in scenario["steps"]:
            try:
                self._step(step)
            except ZeroPrice:
                break
        assert not self._expected_fills

    def _step(self, step: dict[str, Any]) -> None:
        if "expect" in step:
            self._expect(step)
        elif "op" in step and step["op"] != "note":
            records = self._records(step)
            fills = self._venue.execute(records)
            if self._model is not self._venue:
                self._model.execute(records)
            self._check_fills(step, fills)

    def _number(self, id_: object) -> int:
        if id_ not in self._numbers:
            self._numbers[id_] = self.next_number
            self.next_number += 1
        return self._numbers[id_]

    def _order(self, id_: object) -> Order:
        return self._model.trader.session.live[self._number(id_)]

    def _records(self, step: dict[str, Any]) -> list[bytes]:
        match step["op"]:
            case "limit" | "market" | "ioc" | "fok" as op:
                return [self._new(op, step["id"], SELL if step["side"] == "sell" else BUY, step)]
            case "cancel":
                return [cancel(self._number(step["id"]))]
            case "cancel_and_new":
                if int(step["px"]) == 0:
                    raise ZeroPrice
                side = SELL if step["side"] == "sell" else BUY
                return [cancel(self._number(step["id"])), self._new("limit", step["new_id"], side, step)]
            case "modify":
                id_, price, quantity = step["args"]
                return [replace(self._number(id_), quantity, price, open_quantity=True)]
            case "replace" if "args" in step:
                id_, new_id, price, quantity = step["args"]
                side = SELL if self._order(id_).sell else BUY
                return [cancel(self._number(id_)), limit(self._number(new_id), side, quantity, price)]
            case "replace":
                return [self._replace_by_deltas(step)]
        raise ValueError(f"not an operation: {step}")

    def _new(self, op: str, id_: object, side: Any, step: dict[str, Any]) -> bytes:
        if op == "market":
            return market(self._number(id_), side, int(step["qty"]))
        return limit(self._number(id_), side, int(step["qty"]), int(step["px"]), TIFS[op])

    def _replace_by_deltas(self, step: dict[str, Any]) -> bytes:
        order = self._order(step["id"])
        delta = 0 if step["qty_delta"] == "SIZE_UNCHANGED" else int(step["qty_delta"])
        price = order.price if step["px"] in (None, "PRICE_UNCHANGED") else int(step["px"])
        if order.open + delta <= 0:
            return cancel(order.number)
        return replace(order.number, order.open + delta, price, open_quantity=True)

    def _check_fills(self, step: dict[str, Any], fills: list[Fill]) -> None:
        quantity: Counter[int] = Counter()
        cost: Counter[int] = Counter()
        for number, lots, price in fills:
            quantity[number] += lots
            cost[number] += lots * price
        for expected in self._expected_fills:
            number = self._number(expected["id"])
            assert (quantity[number], cost[number]) == (expected["qty"], expected["cost"]), expected
            self.checks += 1
        self._expected_fills.clear()
        if "expect_match" in step:
            assert bool(quantity) == step["expect_match"], step
            filled = quantity[self._number(step["id"])]
            assert (filled == int(step["qty"])) == step["expect_complete"], step
            self.checks += 2

    def _expect(self, step: dict[str, Any]) -> None:
        bids, asks = self._venue.depth()
        of_bids = "bid" in str(step.get("side"))
        levels = bids if of_bids else asks
        match step["expect"]:
            case "fill_of_next_step":
                self._expected_fills.append(step)
                return
            case "orders":
                assert [sum(n for _, _, n in bids), sum(n for _, _, n in asks)] == [step["bid"], step["ask"]], step
            case "volume":
                assert [sum(q for _, q, _ in bids), sum(q for _, q, _ in asks)] == [step["bid"], step["ask"]], step
            case "order_count":
                assert sum(n for _, _, n in levels) == step["n"], step
            case "first":
                first = self._venue.first(bids=of_bids)
                if first is None:
                    self.unseen += 1
                    return
                assert first == self._number(step["id"]), step
            case "level" if int(step["px"]) == 0:
                return
            case "level":
                found = [(n, q) for price, q, n in levels if price == int(step["px"])]
                assert (found or [(0, 0)]) == [(int(step["orders"]), int(step["qty"]))], step
            case _:
                raise ValueError(f"not an expectation: {step}")
        self.checks += 1
