"""Scenarios from the tests of two C++ engines, Liquibook and CppTrader, through the matcher.

How operations become records: ``limit``, ``market``, ``ioc`` and ``fok`` are NEWs. ``modify``, and ``replace`` by a
delta, are REPLACE OPEN, or CANCEL when no quantity is left; a ``replace`` that changes the id, and ``cancel_and_new``,
are CANCEL and NEW. A level of price 0 is how Liquibook says that a place of its depth is empty: nothing to compare.

Left out is the one step that enters a limit order at price 0 (the last of CppTrader's first scenario), with what that
scenario expects after it: prices of zero or less do not exist here.
"""

from collections import Counter
from typing import Any

import pytest

from engine.matcher import Matcher
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, Report
from tests.support.market_data import read_scenarios
from tests.support.matching import BUY, INSTRUMENT, SELL, Trader, cancel, limit, market, replace

SCENARIOS = 38
CHECKS_MIN = 1000
"""Far below this, the adapter would be skipping what it should check."""

TIFS = {"limit": TimeInForce.DAY, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}


class ZeroPrice(Exception):
    """The scenario goes on with a price that does not exist here."""


class Run:
    """One scenario."""

    def __init__(self) -> None:
        self.matcher = Matcher([INSTRUMENT])
        self.trader = Trader(self.matcher, 1)
        self.numbers: dict[object, int] = {}
        self.expected_fills: list[dict[str, Any]] = []
        self.checks = 0

    def step(self, step: dict[str, Any]) -> None:
        if "expect" in step:
            self.expect(step)
        elif "op" in step and step["op"] != "note":
            reports = self.trader.send(*self.records(step))
            self.check_fills(step, reports)
            self.matcher.check_invariants()

    def number(self, id_: object) -> int:
        return self.numbers.setdefault(id_, len(self.numbers) + 1)

    def records(self, step: dict[str, Any]) -> list[bytes]:
        match step["op"]:
            case "limit" | "market" | "ioc" | "fok" as op:
                return [self.new(op, step["id"], SELL if step["side"] == "sell" else BUY, step)]
            case "cancel":
                return [cancel(self.number(step["id"]))]
            case "cancel_and_new":
                if int(step["px"]) == 0:
                    raise ZeroPrice
                side = SELL if step["side"] == "sell" else BUY
                return [cancel(self.number(step["id"])), self.new("limit", step["new_id"], side, step)]
            case "modify":
                id_, price, quantity = step["args"]
                return [replace(self.number(id_), quantity, price, open_quantity=True)]
            case "replace" if "args" in step:
                id_, new_id, price, quantity = step["args"]
                side = SELL if self.trader.session.live[self.number(id_)].sell else BUY
                return [cancel(self.number(id_)), limit(self.number(new_id), side, quantity, price)]
            case "replace":
                return [self.replace_by_deltas(step)]
        raise ValueError(f"not an operation: {step}")

    def new(self, op: str, id_: object, side: Any, step: dict[str, Any]) -> bytes:
        if op == "market":
            return market(self.number(id_), side, int(step["qty"]))
        return limit(self.number(id_), side, int(step["qty"]), int(step["px"]), TIFS[op])

    def replace_by_deltas(self, step: dict[str, Any]) -> bytes:
        order = self.trader.session.live[self.number(step["id"])]
        delta = 0 if step["qty_delta"] == "SIZE_UNCHANGED" else int(step["qty_delta"])
        price = order.price if step["px"] in (None, "PRICE_UNCHANGED") else int(step["px"])
        if order.open + delta <= 0:
            return cancel(order.number)
        return replace(order.number, order.open + delta, price, open_quantity=True)

    def check_fills(self, step: dict[str, Any], reports: list[Report]) -> None:
        quantity: Counter[int] = Counter()
        cost: Counter[int] = Counter()
        for report in reports:
            if report.exec_type is ExecType.TRADE:
                quantity[report.number] += report.last_qty
                cost[report.number] += report.last_qty * report.last_px
        for expected in self.expected_fills:
            number = self.number(expected["id"])
            assert (quantity[number], cost[number]) == (expected["qty"], expected["cost"]), expected
            self.checks += 1
        self.expected_fills.clear()
        if "expect_match" in step:
            assert bool(quantity) == step["expect_match"], step
            filled = quantity[self.number(step["id"])]
            assert (filled == int(step["qty"])) == step["expect_complete"], step
            self.checks += 2

    def expect(self, step: dict[str, Any]) -> None:
        bids, asks = self.matcher.book(INSTRUMENT).depth(1000)
        levels = bids if "bid" in str(step.get("side")) else asks
        match step["expect"]:
            case "fill_of_next_step":
                self.expected_fills.append(step)
                return
            case "orders":
                assert [sum(n for _, _, n in bids), sum(n for _, _, n in asks)] == [step["bid"], step["ask"]], step
            case "volume":
                assert [sum(q for _, q, _ in bids), sum(q for _, q, _ in asks)] == [step["bid"], step["ask"]], step
            case "order_count":
                assert sum(n for _, _, n in levels) == step["n"], step
            case "first":
                book = self.matcher.book(INSTRUMENT)
                best = next(iter(book.bids if levels is bids else book.asks))
                assert best.head is not None
                assert best.head.number == self.number(step["id"]), step
            case "level" if int(step["px"]) == 0:
                return
            case "level":
                found = [(n, q) for price, q, n in levels if price == int(step["px"])]
                assert (found or [(0, 0)]) == [(int(step["orders"]), int(step["qty"]))], step
            case _:
                raise ValueError(f"not an expectation: {step}")
        self.checks += 1


def run(scenario: dict[str, Any]) -> int:
    """Run one scenario; how many of its expectations were checked."""
    current = Run()
    for step in scenario["steps"]:
        try:
            current.step(step)
        except ZeroPrice:
            break
    assert not current.expected_fills
    return current.checks


def test_every_scenario_of_other_engines_holds() -> None:
    scenarios = read_scenarios()
    assert len(scenarios) == SCENARIOS
    checks = 0
    for scenario in scenarios:
        try:
            checks += run(scenario)
        except AssertionError as error:
            pytest.fail(f"{scenario['source']}: {scenario['name']}: {error}")
    assert checks > CHECKS_MIN
