"""Both roads to the engine: how quick each is, and how long orders wait when one breaks and when it is mended.

Run as ``python -m benchmarks.bench_roads``. UDP is the yardstick of gRPC: the same orders, one after the other and in
batches, over the one and then over the other. The switch is measured under load, at a client: from the moment at which
a proxy swallows all datagrams to the first order that was sent afterwards and is confirmed, and from the moment at
which it lets them through to the state that INFO tells.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.load import Load, records
from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient
from tests.support.udp_proxy import UdpProxy

SINGLE_ORDERS: Final = 2_000
BATCH_SIZE: Final = 10_000
BATCHES: Final = 30
SWITCHES: Final = 5


def main() -> None:
    """Print the figures."""
    print(f"{'':44} {'udp':>14} {'grpc':>14} {'ratio':>7}")
    with _site("udp-only") as udp, _site("grpc-only") as grpc, udp.client() as over_udp, grpc.client() as over_grpc:
        clients = (over_udp, over_grpc)
        figures = [_latency_us(client) for client in clients]
        _line("sync, one at a time, p50", figures[0], figures[1], "us")
        rates = [_batch_rate(client) for client in clients]
        _line(f"ORDER.BATCH of {BATCH_SIZE}, confirmed", rates[0], rates[1], "/s")
    _switches()


def _line(what: str, udp: float, grpc: float, unit: str) -> None:
    print(f"{what:44} {udp:>11,.0f} {unit} {grpc:>11,.0f} {unit} {grpc / udp:>7.2f}", flush=True)


@contextlib.contextmanager
def _site(transport: str) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="orderd-bench-") as directory:
        site = Site(Path(directory), orderd={"engine.transport": transport})
        try:
            site.start_engine()
            site.start_orderd()
            with site.client() as client:
                wait_until(lambda: client.info()["transport_state"] != "ENGINE_DOWN", "the engine answers")
            yield site
        finally:
            _close(site)


def _close(site: Site) -> None:
    with contextlib.redirect_stdout(io.StringIO()):  # It shows the logs, for tests.
        site.close()


def _latency_us(client: RespClient) -> float:
    times = []
    for number in range(SINGLE_ORDERS):
        before = time.perf_counter_ns()
        client.call("ORDER.NEW", f"s{number}", "AAPL", "BUY", 1, "LIMIT", "1.00")
        times.append(time.perf_counter_ns() - before)
    return statistics.median(times[SINGLE_ORDERS // 2 :]) / 1000


def _batch_rate(client: RespClient) -> float:
    commands = [("ORDER.BATCH", f"b{i}", records(1 + i * BATCH_SIZE, BATCH_SIZE)) for i in range(BATCHES)]
    before = time.perf_counter()
    replies = client.pipeline(commands)
    elapsed = time.perf_counter() - before
    assert all(reply["status"] == "DONE" for reply in replies)
    return BATCHES * BATCH_SIZE / elapsed


def _switches() -> None:
    away: list[float] = []
    back: list[float] = []
    with tempfile.TemporaryDirectory(prefix="orderd-bench-") as directory:
        site = Site(Path(directory))
        with UdpProxy(site.engine_port) as proxy, contextlib.ExitStack() as stack:
            stack.callback(_close, site)
            site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
            site.start()
            loads = [Load(site.socket_path, number) for number in range(2)]
            for load in loads:
                load.start()
            with site.client() as client:
                for number in range(SWITCHES):
                    time.sleep(0.5)
                    proxy.set(black_hole=1)
                    before = time.perf_counter()
                    order = client.call("ORDER.NEW", f"x{number}", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "sync")
                    away.append(time.perf_counter() - before)
                    assert order["path"] == "grpc"
                    wait_until(lambda: client.info()["transport_state"] == "GRPC_FALLBACK", "the fallback")
                    time.sleep(0.5)
                    proxy.heal()
                    before = time.perf_counter()
                    wait_until(lambda: client.info()["transport_state"] == "UDP_ENABLED", "UDP again")
                    back.append(time.perf_counter() - before)
            for load in loads:
                load.finish()
    for what, times in (("from a blackout to the first order over gRPC", away), ("from its end to UDP again", back)):
        print(f"{what:44} {statistics.median(times) * 1000:>11,.0f} ms   at most {max(times) * 1000:,.0f} ms")


if __name__ == "__main__":
    main()
