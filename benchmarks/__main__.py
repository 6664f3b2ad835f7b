"""All benchmarks, one after the other."""

import os
import platform
import sys

from benchmarks import (
    bench_client,
    bench_executions,
    bench_fairness,
    bench_intake,
    bench_matcher,
    bench_restart,
    bench_risk,
    bench_roads,
    bench_site,
    bench_snapshot,
)


def main() -> None:
    """Name the machine, then measure."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    print(f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}")
    for title, module in (
        ("The whole way", bench_site),
        ("Both roads to the engine", bench_roads),
        ("A polite client beside floods", bench_fairness),
        ("The execution stream", bench_executions),
        ("orderd's client", bench_client),
        ("Text orders through intake and desk, without sockets and disk", bench_intake),
        ("Risk checks alone", bench_risk),
        ("The matcher alone", bench_matcher),
        ("Snapshots of the engine", bench_snapshot),
        ("Restarts", bench_restart),
    ):
        print(f"\n{title}")
        sys.stdout.flush()
        module.main()


main()
