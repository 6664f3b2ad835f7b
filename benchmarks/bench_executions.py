"""What the execution stream costs: orders while many read along, and reading from memory and from the journal.

Run as ``python -m benchmarks.bench_executions``. Subscribers are connections of another process that reads and throws
away. Blocked readers wait for accounts that never trade: what they cost each order is what waking nobody costs.
"""

import contextlib
import multiprocessing
import os
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import hiredis

from benchmarks.site import orderd_site
from orderd.ctl.connection import Connection, Stream
from orderd.ctl.latency import percentiles_us
from orderd.wire.records import RECORD, Kind

SUBSCRIBERS: Final = (0, 1, 10, 100)
BLOCKED: Final = 1000
SINGLE_ORDERS: Final = 2000
PIPELINED_ORDERS: Final = 30_000
PIPELINE: Final = 500
READ_EXECUTIONS: Final = 100_000
BATCH_SIZE: Final = 10_000
QUIET_S: Final = 0.5
FILES_WANTED: Final = 4096


def main() -> None:
    """Print how orders do beside readers, then how fast old executions are read."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_WANTED, hard), hard))
    print(f"{'':24} {'p50':>9} {'p99':>9} {'pipelined':>12} {'pushed':>12}")
    with orderd_site("listen.clients_max=2000") as path:
        _orders(path, "warm-up", 0)
        for count in SUBSCRIBERS:
            _orders(path, f"{count} subscribers", count)
        with contextlib.ExitStack() as stack:
            for i in range(BLOCKED):
                connection = stack.enter_context(closing(_connected(path)))
                connection.sendall(_packed("EXEC.READ", "$", "BLOCK", "0", "ACCOUNT", str(1000 + i)))
            _orders(path, f"{BLOCKED} blocked readers", 0)
    for name, in_memory in (("memory", 2 * READ_EXECUTIONS), ("the journal", 1000)):
        with orderd_site(f"executions.in_memory={in_memory}", "limits.orders_remembered_max=1000") as path:
            print(f"EXEC.READ from {name:12} {_read_rate(path):>12,.0f} executions/s", flush=True)


def _orders(path: Path, what: str, subscribers: int) -> None:
    pushed = multiprocessing.Value("q", 0)
    with _subscribed(path, subscribers, pushed):
        before, started = pushed.value, time.perf_counter()
        latency = _latency_us(path)
        rate = _rate(path)
        while True:
            seen = pushed.value
            time.sleep(QUIET_S)
            if pushed.value == seen:
                break
        seconds = time.perf_counter() - started - QUIET_S
        megabytes = (pushed.value - before) / 2**20 / seconds
    print(
        f"{what:24} {latency['p50']:>6,.0f} us {latency['p99']:>6,.0f} us {rate:>10,.0f}/s {megabytes:>7,.1f} MiB/s",
        flush=True,
    )


def _packed(*words: str) -> bytes:
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


@contextlib.contextmanager
def _subscribed(path: Path, count: int, pushed: "multiprocessing.sharedctypes.Synchronized[int]") -> Iterator[None]:
    """``count`` connections in another process that read all that is pushed, and count its bytes."""
    ready = multiprocessing.Event()
    process = multiprocessing.Process(target=_drain, args=(path, count, pushed, ready), daemon=True)
    process.start()
    ready.wait()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _drain(
    path: Path,
    count: int,
    pushed: "multiprocessing.sharedctypes.Synchronized[int]",
    ready: "multiprocessing.synchronize.Event",
) -> None:
    os.nice(5)
    selector = selectors.DefaultSelector()
    for _ in range(count):
        connection = _connected(path)
        connection.sendall(_packed("HELLO", "3") + _packed("EXEC.SUBSCRIBE", "$"))
        selector.register(connection, selectors.EVENT_READ)
    time.sleep(QUIET_S)
    ready.set()
    while True:
        for key, _ in selector.select():
            assert isinstance(key.fileobj, socket.socket)
            pushed.value += len(key.fileobj.recv(1 << 18))


def _order(name: str) -> tuple[str, ...]:
    return ("ORDER.NEW", name, "AAPL", "BUY", "1", "LIMIT", "1.00")


_names = iter(range(1 << 62))


def _latency_us(path: Path) -> dict[str, float]:
    """Of orders one at a time, in mode sync."""
    times = []
    with closing(_connected(path)) as connection:
        for _ in range(SINGLE_ORDERS):
            request = _packed(*_order(f"s{next(_names)}"))
            before = time.perf_counter_ns()
            connection.sendall(request)
            connection.recv(65536)
            times.append(time.perf_counter_ns() - before)
    return percentiles_us(times)


def _rate(path: Path) -> float:
    """Orders a second of one client that is always ``PIPELINE`` ahead."""
    with closing(Connection(path)) as connection:
        stream = Stream[None](connection, lambda *_: None, window=PIPELINE)
        started = time.perf_counter()
        for _ in range(PIPELINED_ORDERS):
            stream.send(None, _order(f"p{next(_names)}"))
        stream.drain()
        return PIPELINED_ORDERS / (time.perf_counter() - started)


def _read_rate(path: Path) -> float:
    """Executions a second of one client that reads from the first to the last."""
    with closing(Connection(path)) as connection:
        for first in range(1, READ_EXECUTIONS, BATCH_SIZE):
            records = b"".join(RECORD.pack(first + i, 100, 1, 1, 0, Kind.NEW, 0) for i in range(BATCH_SIZE))
            connection.call("ORDER.BATCH", f"B{first}", records)
        connection.call("EXEC.READ", "$")
        started, after = time.perf_counter(), 0
        while page := connection.call("EXEC.READ", after, "COUNT", 250):
            after = int(page[-1][0])
        assert after == READ_EXECUTIONS
        return READ_EXECUTIONS / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
