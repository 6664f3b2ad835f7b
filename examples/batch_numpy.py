"""A ladder of orders out of numpy arrays, as one batch: all are journaled at once, or none.

    python examples/batch_numpy.py --socket PATH --symbol AAPL --mid 187.00 --levels 500

Prices are whole ticks and quantities whole lots, so that no rounding ever comes in.
"""

import argparse
from decimal import Decimal

import numpy as np

from orderd.client import Client, arrays
from orderd.client.records import ticks


def run(client: Client, options: argparse.Namespace) -> None:
    """Places a ladder on both sides, then moves and cancels parts of it."""
    instrument = client.instruments()[options.symbol]
    levels, mid = options.levels, ticks(options.mid, instrument)
    # Numbers are the ids of orders in batches; these were never given out before.
    numbers = client.reserve(2 * levels) + np.arange(2 * levels)
    away = np.tile(np.arange(1, levels + 1), 2)
    is_sell = np.arange(2 * levels) >= levels
    prices = np.where(is_sell, mid + away, mid - away)

    placed = client.batch(arrays.new_records(instrument, numbers, is_sell, 10 + away % 5, prices, tif="GTC"))
    print(f"placed {placed.accepted} of {placed.orders}, {placed.trades} trades")

    # One batch may hold everything: cancel the outer half of both sides, and move the inner half out by one tick.
    outer = away > levels // 2
    moved = np.where(is_sell, prices + 1, prices - 1)
    changes = arrays.cancel_records(instrument, numbers[outer])
    changes += arrays.replace_records(instrument, numbers[~outer], 10, moved[~outer])
    changed = client.batch(changes)
    print(f"changed {changed.accepted} of {changed.orders}")


def main() -> None:
    """Reads the command line and places the ladder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socket", help="default: $ORDERD_SOCKET, or where orderd listens by itself")
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--mid", type=Decimal, required=True, help="the ladder's middle")
    parser.add_argument("--levels", type=int, default=500)
    options = parser.parse_args()
    with Client(options.socket, name="ladder") as client:
        run(client, options)


if __name__ == "__main__":
    main()
