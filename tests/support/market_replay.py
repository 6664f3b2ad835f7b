"""Real order flow as records. A flow's ids become numbers of our own, since they may be negative and takers have none.

A matcher runs along, since a reduction by a quantity needs to know what is open.
"""

from collections.abc import Iterator

import attrs

from engine.matcher import Matcher
from orderd.wire.records import TimeInForce
from orderd.wire.reports import ExecType, Report
from tests.support.market_data import Command, ExpectedTrade, read_commands
from tests.support.matching import BUY, INSTRUMENT, SELL, Trader, cancel, limit, replace


@attrs.frozen
class Checkpoint:
    """What the top of the book must be behind all records before it."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class MarketReplay:
    """Reads a flow; :attr:`trades` are those of the matcher that runs along, until now."""

    def __init__(self, first_number: int = 1) -> None:
        self.matcher = Matcher([INSTRUMENT])
        self.trades: list[ExpectedTrade] = []
        self.ids: dict[int, int] = {}
        """The flow's id of each number."""
        self.takers: dict[int, int] = {}
        """Which of the flow's takers each number is, counted from 1."""
        self._trader = Trader(self.matcher, 1)
        self._numbers: dict[int, int] = {}
        self._next_number = first_number

    def read(self, flow: str) -> Iterator[bytes | Checkpoint]:
        """Each command as a record, and each checkpoint."""
        for command in read_commands(flow):
            if command.op == "B":
                yield Checkpoint(command.bids, command.asks)
                continue
            record = self._record(command)
            self._note(command, self._trader.send(record))
            yield record

    def _record(self, command: Command) -> bytes:
        side = SELL if command.sell else BUY
        match command.op:
            case "L" | "A":
                number = self._new_number(taker=command.op == "A")
                self._numbers[command.id], self.ids[number] = number, command.id
                return limit(number, side, command.quantity, command.price)
            case "T":
                number = self._new_number(taker=True)
                return limit(number, side, command.quantity, command.price, TimeInForce.IOC)
            case "M":
                return replace(self._numbers[command.id], command.quantity, command.price, open_quantity=True)
            case "R":
                order = self._trader.session.live[self._numbers[command.id]]
                left = order.open - command.quantity
                return replace(order.number, left, order.price, open_quantity=True) if left else cancel(order.number)
            case "X":
                return cancel(self._numbers[command.id])
        raise ValueError(f"not a command: {command}")

    def _new_number(self, *, taker: bool) -> int:
        number = self._next_number
        self._next_number += 1
        if taker:
            self.takers[number] = len(self.takers) + 1
        return number

    def _note(self, command: Command, reports: list[Report]) -> None:
        """Remember the trades, seen from their makers; a flow has no command that is refused."""
        makers = [r for r in reports if r.exec_type is ExecType.TRADE and not r.taker]
        rejects = (ExecType.REJECTED, ExecType.CANCEL_REJECTED, ExecType.REPLACE_REJECTED)
        assert not any(r.exec_type in rejects for r in reports), command
        assert len(makers) == command.trades, command
        assert reports[-1].final
        self.trades += [ExpectedTrade(len(self.takers), self.ids[r.number], r.last_px, r.last_qty) for r in makers]
