"""A large order in equal slices over time (TWAP), which may be stopped and started again.

    python examples/twap.py --socket PATH --id parent-1 BUY 1000 AAPL --limit 187.30 --slices 10 --every 2

Nothing is kept in a file: slice number 3 of parent-1 is always the order ``parent-1.3``, and orderd knows what became
of it. Start the same command again after a crash, and it goes on where it stopped; no slice is ever placed twice.
"""

import argparse
import time
from decimal import Decimal

from orderd.client import Client, NewOrder, NotFound, Order


def known_slice(client: Client, cl_ord_id: str) -> Order | None:
    """What became of a slice, if an earlier run has placed it."""
    try:
        return client.resolve(cl_ord_id)
    except NotFound:
        return None


def run(client: Client, options: argparse.Namespace) -> Decimal:
    """Works the order; returns what was filled."""
    instrument = client.instruments()[options.symbol]
    filled = Decimal(0)
    for index in range(options.slices):
        cl_ord_id = f"{options.id}.{index}"
        order = known_slice(client, cl_ord_id)
        if order is None:
            # What earlier slices could not get is spread over those that are left, in whole lots.
            left = (options.quantity - filled) / (options.slices - index)
            quantity = (left / instrument.lot).to_integral_value() * instrument.lot
            if not quantity:
                continue
            order = client.place(
                NewOrder(options.symbol, options.side, quantity, options.limit, cl_ord_id=cl_ord_id, tif="IOC")
            )
            # A reply that was not there in time: the order lives on, so wait for its outcome.
            order = order if order.status.is_confirmed else client.resolve(order)
            print(f"{cl_ord_id}: {order.status} {order.cum_qty} of {order.quantity} at {order.avg_px}", flush=True)
            if index + 1 < options.slices:
                time.sleep(options.every)
        filled += order.cum_qty
    return filled


def main() -> None:
    """Reads the command line and works the order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=("BUY", "SELL"))
    parser.add_argument("quantity", type=Decimal)
    parser.add_argument("symbol")
    parser.add_argument("--socket", help="default: $ORDERD_SOCKET, or where orderd listens by itself")
    parser.add_argument("--id", required=True, help="of the whole order; the same one goes on with it")
    parser.add_argument("--limit", type=Decimal, required=True, help="no slice pays more, or gets less")
    parser.add_argument("--slices", type=int, default=10)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between slices")
    options = parser.parse_args()
    with Client(options.socket, name="twap") as client:
        filled = run(client, options)
    print(f"filled {filled} of {options.quantity}")


if __name__ == "__main__":
    main()
