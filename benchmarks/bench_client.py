"""How many orders a second ``orderd.client`` places, beside redis-py and orderctl's own connection.

Run as ``python -m benchmarks.bench_client``. Client, orderd and engine share the machine. Where many orders are under
way they go in mode ``batch``, so that they travel together.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import redis
import trio

from benchmarks.site import orderd_site
from orderd.client import Client, NewOrder, Order, arrays
from orderd.client.trio import TrioClient
from orderd.ctl.connection import Connection

ONE_AT_A_TIME: Final = 1000
PIPELINED: Final = 10_000
BATCHED: Final = 20_000
ROUNDS: Final = 3
TASKS: Final = 50

_names = itertools.count()


def main() -> None:
    """Print orders a second of each way."""
    with orderd_site("batch.linger_ms=0.5") as socket, Client(socket) as client:
        _warm(client)
        _show("one at a time", _rates(ONE_AT_A_TIME, _ways(socket, client, one=True), client))
        _show("pipelined", _rates(PIPELINED, _ways(socket, client, one=False), client))
        batches = {"Client.batch of arrays": _of_arrays(client), "Client.batch_of orders": _of_orders(client)}
        _show("ORDER.BATCH", _rates(BATCHED, batches, client))


def _ways(socket: Path, client: Client, *, one: bool) -> dict[str, Callable[[int], None]]:
    ready = Connection(socket)
    with_redis: Any = redis.Redis(unix_socket_path=str(socket), protocol=3, decode_responses=True)

    def prepared(count: int) -> None:
        words = [_words() for _ in range(count)]
        replies = [ready.call(*each) for each in words] if one else ready.pipeline(words)
        assert len(replies) == count

    def by_redis(count: int) -> None:
        if one:
            for _ in range(count):
                with_redis.execute_command(*_words())
            return
        pipeline = with_redis.pipeline(transaction=False)
        for _ in range(count):
            pipeline.execute_command(*_words())
        pipeline.execute()

    def blocking(count: int) -> None:
        orders = [NewOrder("AAPL", "BUY", 1, "1.00", mode="sync" if one else "batch") for _ in range(count)]
        if one:
            for order in orders:
                client.place(order)
        else:
            assert all(isinstance(outcome, Order) for outcome in client.place_many(orders))

    def tasks(count: int) -> None:
        trio.run(_tasks, socket, 1 if one else TASKS, count)

    def _words() -> tuple[Any, ...]:
        words = ("ORDER.NEW", f"w{next(_names)}", "AAPL", "BUY", "1", "LIMIT", "1.00", "MODE")
        return (*words, "sync" if one else "batch")

    return {
        "orderctl's connection": prepared,
        "redis-py": by_redis,
        "Client": blocking,
        "TrioClient" if one else f"TrioClient, {TASKS} tasks": tasks,
    }


async def _tasks(socket: Path, tasks: int, count: int) -> None:
    async with TrioClient(socket) as client:

        async def place(many: int) -> None:
            for _ in range(many):
                await client.limit("AAPL", "BUY", 1, "1.00", mode="sync" if tasks == 1 else "batch")

        async with trio.open_nursery() as nursery:
            for _ in range(tasks):
                nursery.start_soon(place, count // tasks)


def _of_arrays(client: Client) -> Callable[[int], None]:
    instrument = client.instruments()["AAPL"]

    def place(count: int) -> None:
        numbers = client.reserve(count) + np.arange(count)
        assert client.batch(arrays.new_records(instrument, numbers, [False], 1, 100)).accepted == count

    return place


def _of_orders(client: Client) -> Callable[[int], None]:
    return lambda count: _accepted(client.batch_of([NewOrder("AAPL", "BUY", 1, "1.00")] * count).outcome.accepted)


def _accepted(count: int) -> None:
    assert count, "none was accepted"


def _warm(client: Client) -> None:
    client.place_many([NewOrder("AAPL", "BUY", 1, "1.00") for _ in range(500)])
    client.mass_cancel()


def _rates(count: int, ways: dict[str, Callable[[int], None]], client: Client) -> dict[str, float]:
    """Orders a second, the middle one of some rounds that take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            before = time.perf_counter()
            way(count)
            seconds[name].append(time.perf_counter() - before)
            client.mass_cancel()
    return {name: count / statistics.median(found) for name, found in seconds.items()}


def _show(title: str, rates: dict[str, float]) -> None:
    yardstick = next(iter(rates.values()))
    print(title)
    for name, rate in rates.items():
        print(f"  {name:26} {rate:9,.0f} orders/s, {rate / yardstick:5.2f} times {next(iter(rates))}")


if __name__ == "__main__":
    main()
