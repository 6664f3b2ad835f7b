"""The whole way, socket to book and back, with every order on disk on both sides before it is acknowledged.

Run as ``python -m benchmarks.bench_site``. Each figure has a yardstick that runs beside it on the same machine: Redis
with ``appendfsync always`` doing one SET where orderd does one order. An order is synced twice, by orderd and by the
engine, and matched, so Redis is not a rival but a measure of the machine: the ratio is what to compare.
"""

import csv
import io
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import hiredis

from benchmarks.site import orderd_site, redis_site
from orderd.ctl.connection import Connection, Stream
from orderd.ctl.latency import percentiles_us
from orderd.wire.records import RECORD, Kind, Side, TimeInForce, new_flags

SINGLE_ORDERS: Final = 4_000
WARM_UP_ORDERS: Final = 2_000
"""Of the single ones, not measured."""
TEXT_ORDERS: Final = 100_000
BATCH_ORDERS: Final = 1_000_000
BATCH_SIZE: Final = 30_000
BATCHES_AHEAD: Final = 8
ORDER: Final = ("ORDER.NEW", "r__rand_int__", "AAPL", "BUY", "1", "LIMIT", "1.00")
SET: Final = ("SET", "r__rand_int__", "AAPL-BUY-1-LIMIT-1.00")


def main() -> None:
    """Print a line for each way of sending."""
    if shutil.which("redis-benchmark") is None or shutil.which("redis-server") is None:
        sys.exit("redis-benchmark and redis-server are needed: apt-get install redis-tools redis-server")
    print(f"{'':44} {'orderd':>14} {'redis SET':>14} {'ratio':>7}")
    with redis_site() as redis, orderd_site() as orderd:
        set_us = _latency_us(redis, lambda i: ("SET", f"k{i}", "v"))
        order_us = _latency_us(orderd, lambda i: ("ORDER.NEW", f"s{i}", "AAPL", "BUY", "1", "LIMIT", "1.00"))
        for name in ("p50", "p99"):
            _line(f"sync, one at a time, {name}", order_us[name], set_us[name], "us")
        for mode in ("sync", "batch", "fire-and-forget"):
            for clients, pipeline in ((50, 16), (1, 500)):
                rate = _rate(orderd, clients, pipeline, *ORDER, "MODE", mode)
                yardstick = _rate(redis, clients, pipeline, *SET)
                _line(f"{mode}, {clients} clients, pipeline {pipeline}", rate, yardstick, "/s")
        yardstick = _rate(redis, 1, 1000, *SET)
        _line(f"ORDER.BATCH of {BATCH_SIZE}, confirmed", _batch_rate(orderd), yardstick, "/s")


def _line(what: str, value: float, yardstick: float, unit: str) -> None:
    print(f"{what:44} {value:>11,.0f} {unit} {yardstick:>11,.0f} {unit} {value / yardstick:>7.2f}", flush=True)


def _latency_us(path: Path, command: Callable[[int], tuple[str, ...]]) -> dict[str, float]:
    """From the call that sends a command to the one that has its reply, on a bare socket."""
    requests = [hiredis.pack_command(command(i)) for i in range(SINGLE_ORDERS)]  # type: ignore[arg-type]
    reader, times = hiredis.Reader(), []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        for request in requests:
            before = time.perf_counter_ns()
            client.sendall(request)
            reader.feed(client.recv(65536))
            times.append(time.perf_counter_ns() - before)
            assert reader.gets() is not False, "a reply of this size comes in one piece"
    return percentiles_us(times[WARM_UP_ORDERS:])


def _rate(path: Path, clients: int, pipeline: int, *words: str) -> float:
    """Answers a second, as redis-benchmark counts them."""
    command = ["redis-benchmark", "-s", str(path), "-r", "1000000000", "-n", str(TEXT_ORDERS)]
    command += ["-c", str(clients), "-P", str(pipeline), "--csv", *words]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(next(csv.DictReader(io.StringIO(out)))["rps"])


def _batch_rate(path: Path) -> float:
    connection = Connection(path)
    first = connection.call("ORDER.RESERVE", str(BATCH_ORDERS))
    flags = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.GTC)
    batches = [
        b"".join(RECORD.pack(n, 100, 1, 1, 0, Kind.NEW, flags) for n in range(start, min(start + BATCH_SIZE, end)))
        for end in [first + BATCH_ORDERS]
        for start in range(first, end, BATCH_SIZE)
    ]
    confirmed = []

    def count(_: None, reply: Any, __: int) -> None:
        if reply["status"] == "DONE":
            confirmed.append(int(reply["accepted"]))

    stream = Stream[None](connection, count, window=BATCHES_AHEAD)
    before = time.perf_counter()
    for number, batch in enumerate(batches):
        stream.send(None, ("ORDER.BATCH", f"b{first}.{number}", batch))
    stream.drain(wait_s=60.0)
    elapsed = time.perf_counter() - before
    if sum(confirmed) != BATCH_ORDERS:
        sys.exit(f"only {sum(confirmed)} of {BATCH_ORDERS} orders were confirmed")
    connection.close()
    return BATCH_ORDERS / elapsed


if __name__ == "__main__":
    main()
