"""Real order flow through the matcher: each trade and each checkpoint must be what a price-time book gives."""

import pytest

from engine.matcher import Matcher
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, Report
from tests.support.market_data import FLOWS, Command, ExpectedTrade, read_commands, read_expected_trades
from tests.support.matching import BUY, INSTRUMENT, SELL, Trader, cancel, limit, replace

CHECKPOINT_LEVELS = 5


class Replay:
    """Feeds a flow's commands; its ids become numbers of our own, since they may be negative and takers have none."""

    def __init__(self) -> None:
        self.matcher = Matcher([INSTRUMENT])
        self.trader = Trader(self.matcher, 1)
        self.numbers: dict[int, int] = {}
        self.ids: dict[int, int] = {}
        self.last_number = 0
        self.takers = 0
        self.checkpoints = 0
        self.trades: list[ExpectedTrade] = []

    def number(self, id_: int | None = None) -> int:
        self.last_number += 1
        if id_ is not None:
            self.numbers[id_] = self.last_number
            self.ids[self.last_number] = id_
        return self.last_number

    def run(self, command: Command) -> None:
        side = SELL if command.sell else BUY
        match command.op:
            case "L" | "A":
                number = self.number(command.id)
                self.takers += command.op == "A"
                reports = self.trader.send(limit(number, side, command.quantity, command.price))
            case "T":
                self.takers += 1
                reports = self.trader.send(limit(self.number(), side, command.quantity, command.price, TimeInForce.IOC))
            case "M":
                number = self.numbers[command.id]
                reports = self.trader.send(replace(number, command.quantity, command.price, open_quantity=True))
            case "R":
                order = self.trader.session.live[self.numbers[command.id]]
                left = order.open - command.quantity
                record = replace(order.number, left, order.price, open_quantity=True) if left else cancel(order.number)
                reports = self.trader.send(record)
            case "X":
                reports = self.trader.send(cancel(self.numbers[command.id]))
            case _:
                self.compare_levels(command)
                return
        self.note(command, reports)

    def note(self, command: Command, reports: list[Report]) -> None:
        """Remember the trades, seen from their makers; a flow has no command that is refused."""
        makers = [r for r in reports if r.exec_type is ExecType.TRADE and not r.taker]
        rejects = (ExecType.REJECTED, ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED)
        assert not any(r.exec_type in rejects for r in reports), command
        assert len(makers) == command.trades, command
        assert reports[-1].final
        self.trades += [ExpectedTrade(self.takers, self.ids[r.number], r.last_px, r.last_qty) for r in makers]

    def compare_levels(self, command: Command) -> None:
        self.checkpoints += 1
        bids, asks = self.matcher.book(INSTRUMENT).depth(CHECKPOINT_LEVELS)
        for expected, levels in ((command.bids, bids), (command.asks, asks)):
            assert [(price, quantity) for price, quantity, _ in levels][: len(expected)] == expected
            assert expected or not levels


@pytest.mark.parametrize("flow", FLOWS)
def test_real_flow_gives_every_trade_and_every_checkpoint(flow: str) -> None:
    replay = Replay()
    for command in read_commands(flow):
        replay.run(command)
    replay.matcher.check_invariants()
    assert replay.trades == read_expected_trades(flow)
    assert replay.checkpoints > 0
