"""How long a polite client waits for its orders beside clients that flood the daemon.

Run as ``python -m benchmarks.bench_fairness``. The polite client places one sync order at a time; each flood is a
program of its own that sends as fast as it can: pipelines of text orders, transactions, large batches, orders that it
does not wait for, or questions that are long to answer. What counts is the ratio to the polite client alone on the same
machine; on few cores a flood also takes time that the engine and the daemon would use. ``refused`` is how much of a
flood was answered -THROTTLED or -FULL; the polite client is never.
"""

import argparse
import contextlib
import itertools
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import hiredis

from benchmarks.site import orderd_site
from orderd.ctl.connection import Connection, Stream, Word
from orderd.ctl.errors import CtlError, ReplyError
from orderd.ctl.latency import percentiles_us, shown_us
from orderd.wire.records import RECORD, Kind, Side, TimeInForce, new_flags

SECONDS: Final = 4.0
WARM_UP_S: Final = 3.0
FLOODS: Final = ("text", "transactions", "batches", "fire-and-forget", "questions")
NUMBERS: Final = (1, 4)
ORDER: Final = ("AAPL", "BUY", "1", "LIMIT", "1.00")
BATCH_SIZE: Final = 20_000
TRANSACTION_SIZE: Final = 2_000


def main() -> None:
    """Print a line for each kind and number of floods."""
    print(f"{'one sync order at a time':36} {'p50':>9} {'p99':>9} {'max':>9} {'ratio p50':>9} {'ratio p99':>9}  flood")
    with orderd_site() as site:
        _polite(site, "warm", WARM_UP_S)
        alone = _polite(site, "polite", SECONDS)
        _line("alone", alone, alone, "")
    for kind, number in itertools.product(FLOODS, NUMBERS):
        with orderd_site() as site, contextlib.ExitStack() as stack:
            floods = [stack.enter_context(_flood(kind, site)) for _ in range(number)]
            # What a flood took in while it was alone is to be through before.
            _polite(site, "warm", WARM_UP_S)
            beside = _polite(site, "polite", SECONDS)
            for flood in floods:
                flood.terminate()
            told = [flood.communicate()[0].split() for flood in floods]
        done, refused = (sum(int(words[i]) for words in told) for i in (0, 1))
        _line(f"beside {number} x {kind}", beside, alone, f"{done:,} done, {refused:,} refused")


def _line(what: str, found: dict[str, float], alone: dict[str, float], flood: str) -> None:
    shown = " ".join(f"{shown_us(found[name]):>9}" for name in ("p50", "p99", "max"))
    ratios = " ".join(f"{found[name] / alone[name]:>9.1f}" for name in ("p50", "p99"))
    print(f"{what:36} {shown} {ratios}  {flood}", flush=True)


def _polite(path: Path, name: str, seconds: float) -> dict[str, float]:
    """From the call that sends an order to the one that has its reply, on a bare socket."""
    reader, times = hiredis.Reader(), []
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.settimeout(60)
        end = time.monotonic() + seconds
        number = 0
        while time.monotonic() < end:
            request = hiredis.pack_command(cast("Any", ("ORDER.NEW", f"{name}{number}", *ORDER)))
            number += 1
            before = time.perf_counter_ns()
            client.sendall(request)
            while (reply := reader.gets()) is False:
                reader.feed(client.recv(65536))
            times.append(time.perf_counter_ns() - before)
            if isinstance(reply, hiredis.ReplyError):
                sys.exit(f"the polite client was refused: {reply}")
    return percentiles_us(times)


@contextlib.contextmanager
def _flood(kind: str, path: Path) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "benchmarks.bench_fairness", "--flood", kind, "--socket", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


class _Ended(Exception):
    """The benchmark has seen enough."""


def flood(kind: str, path: Path) -> None:
    """Send as fast as the daemon takes it, until SIGTERM; then print how many commands were done and refused."""

    def end(*_: object) -> None:
        raise _Ended

    signal.signal(signal.SIGTERM, end)
    counts = [0, 0]

    def count(_: None, reply: object, __: int) -> None:
        counts[isinstance(reply, ReplyError)] += 1

    with contextlib.suppress(_Ended, CtlError), Connection(path, 60.0) as connection:
        stream = Stream[None](connection, count, window=8 if kind == "batches" else 20_000)
        for words in _commands(kind, connection):
            stream.send(None, words)
    print(*counts, flush=True)


def _commands(kind: str, connection: Connection) -> Iterator[tuple[Word, ...]]:
    first = int(connection.call("ORDER.RESERVE", str(10**9)))
    flags = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.GTC)
    for number in itertools.count(first):
        if kind == "text":
            yield ("ORDER.NEW", str(number), *ORDER)
        elif kind == "fire-and-forget":
            yield ("ORDER.NEW", str(number), *ORDER, "MODE", "fire-and-forget")
        elif kind == "batches":
            start = first + (number - first) * BATCH_SIZE
            records = b"".join(RECORD.pack(start + i, 100, 1, 1, 0, Kind.NEW, flags) for i in range(BATCH_SIZE))
            yield ("ORDER.BATCH", f"b{start}", records)
        elif kind == "transactions":
            if (number - first) % TRANSACTION_SIZE == 0:
                yield ("MULTI",)
            yield ("ORDER.NEW", str(number), *ORDER)
            if (number - first) % TRANSACTION_SIZE == TRANSACTION_SIZE - 1:
                yield ("EXEC",)
        else:
            yield (("ORDER.LIST", "ALL", "COUNT", "1000"), ("INFO",), ("COMMAND", "DOCS"))[number % 3]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--flood", choices=FLOODS)
    parser.add_argument("--socket", type=Path)
    arguments = parser.parse_args()
    if arguments.flood:
        flood(arguments.flood, arguments.socket)
    else:
        main()
