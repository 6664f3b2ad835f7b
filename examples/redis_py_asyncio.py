"""orderd through redis-py in asyncio: one task reads executions while others place orders.

python examples/redis_py_asyncio.py --socket PATH --symbol AAPL --price 187.25 --orders 50
"""

import argparse
import asyncio
import uuid

from redis import asyncio as redis


async def read_executions(orderd: "redis.Redis", after: int, run: str, count: int) -> None:
    """Follows the stream from ``after`` on until ``count`` of this run's orders are done."""
    while count:
        # Waits at most a second for the next; null if there was none. The position is the last id that was seen.
        entries = await orderd.execute_command("EXEC.READ", after, "COUNT", 250, "BLOCK", 1000)
        for exec_id, execution in entries or []:
            after = int(exec_id)
            ours = execution["cl_ord_id"].startswith(run)
            count -= ours and execution["status"] in ("FILLED", "CANCELED", "REJECTED", "EXPIRED")
    print(f"all are done, by execution {after}")


async def place_and_cancel(orderd: "redis.Redis", cl_ord_id: str, symbol: str, price: str) -> None:
    """One order's life."""
    await orderd.execute_command("ORDER.NEW", cl_ord_id, symbol, "BUY", 1, "LIMIT", price, "MODE", "batch")
    await orderd.execute_command("ORDER.CANCEL", cl_ord_id, "ID", f"{cl_ord_id}.c", "MODE", "batch")


async def main() -> None:
    """Reads the command line, places orders at the same time, and hears of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--socket", required=True)
    parser.add_argument("--symbol", default="AAPL")
    parser.add_argument("--price", required=True)
    parser.add_argument("--orders", type=int, default=50)
    options = parser.parse_args()
    run = uuid.uuid4().hex
    async with redis.Redis(
        unix_socket_path=options.socket, protocol=3, decode_responses=True, socket_timeout=15
    ) as orderd:
        after = int((await orderd.info("executions"))["executions_last_id"])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_executions(orderd, after, run, options.orders))
            for number in range(options.orders):
                tasks.create_task(place_and_cancel(orderd, f"{run}-{number}", options.symbol, options.price))


if __name__ == "__main__":
    asyncio.run(main())
