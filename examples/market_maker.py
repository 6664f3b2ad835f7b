"""A market maker: one quote on each side of a price, moved against its own position.

    python examples/market_maker.py --socket PATH --symbol AAPL --mid 187.00

Quotes are POSTONLY, so they never pay the spread, and guarded: if this program ends, crashes or is cut off, orderd
cancels them. What happened to them comes from the stream of executions, not from the replies alone. Ctrl-C ends it.
"""

import argparse
import time
from decimal import Decimal

from orderd.client import Client, ExecType, Execution, Order, Side, Status

SIDES = {Side.BUY: -1, Side.SELL: 1}


class MarketMaker:
    """Keeps one open quote on each side, ``spread`` apart, around ``mid`` less what the position weighs."""

    def __init__(self, client: Client, options: argparse.Namespace) -> None:
        self.client = client
        self.symbol: str = options.symbol
        self.quantity: Decimal = options.quantity
        self.mid: Decimal = options.mid
        self.tick = client.instruments()[options.symbol].tick
        self.half_spread: Decimal = options.spread / 2
        self.position = Decimal(0)
        self.trades = 0
        self.mine: dict[str, Side] = {}
        """All orders of which something may still be heard, by id."""
        self.quotes: dict[Side, tuple[str, Decimal]] = {}
        """Of each side: id and price of the open quote."""

    def price(self, side: Side) -> Decimal:
        """Where the side's quote belongs: a tick lower for each quote's worth that was bought, or higher."""
        wanted = self.mid + SIDES[side] * self.half_spread - self.position / self.quantity * self.tick
        return (wanted / self.tick).to_integral_value() * self.tick

    def quote(self) -> None:
        """Brings both quotes to where they belong."""
        for side in SIDES:
            wanted = self.price(side)
            if side not in self.quotes:
                cl_ord_id = self.client.new_id()
                self.mine[cl_ord_id] = side
                order = self.client.limit(self.symbol, side, self.quantity, wanted, cl_ord_id=cl_ord_id, post_only=True)
            elif self.quotes[side][1] != wanted:
                # The new open quantity, whatever was filled meanwhile. Same id.
                order = self.client.replace(self.quotes[side][0], self.quantity, wanted, is_open=True)
            else:
                continue
            self.placed(side, order, wanted)

    def placed(self, side: Side, order: Order, price: Decimal) -> None:
        """A quote was placed or moved, or it was not."""
        if order.status is Status.UNKNOWN:
            # The engine does not answer. The order lives on: find out what became of it before doing more.
            order = self.client.resolve(order)
        if order.is_done:
            # REJECTED, reason POST_ONLY: it would have traded. The next round tries again.
            self.quotes.pop(side, None)
        elif order.reason is None:
            self.quotes[side] = (order.cl_ord_id, price)

    def hear(self, execution: Execution) -> None:
        """Something happened, perhaps to one of our orders."""
        side = self.mine.get(execution.cl_ord_id)
        if side is None:
            return
        if execution.exec_type is ExecType.TRADE:
            self.trades += 1
            self.position -= SIDES[side] * execution.last_qty
            print(f"{side} {execution.last_qty} at {execution.last_px}, position {self.position}", flush=True)
        if execution.status.is_done:
            del self.mine[execution.cl_ord_id]
            if self.quotes.get(side, ("",))[0] == execution.cl_ord_id:
                del self.quotes[side]


def run(client: Client, options: argparse.Namespace) -> MarketMaker:
    """Quotes for ``options.seconds``."""
    client.cancel_on_disconnect()
    maker = MarketMaker(client, options)
    ends = time.monotonic() + options.seconds
    with client.executions() as executions:
        while time.monotonic() < ends:
            maker.quote()
            for execution in executions.read(timeout_s=0.1):
                maker.hear(execution)
    return maker


def main() -> None:
    """Reads the command line and quotes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socket", help="default: $ORDERD_SOCKET, or where orderd listens by itself")
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--mid", type=Decimal, required=True, help="the price to quote around")
    parser.add_argument("--spread", type=Decimal, default=Decimal("0.10"))
    parser.add_argument("--quantity", type=Decimal, default=Decimal(10))
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    with Client(options.socket, name="market-maker") as client:
        try:
            maker = run(client, options)
            print(f"{maker.trades} trades, position {maker.position}")
        except KeyboardInterrupt:
            pass
    # Here the connection is closed, and orderd cancels what was open.


if __name__ == "__main__":
    main()
