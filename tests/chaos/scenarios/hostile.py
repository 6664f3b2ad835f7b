"""Forged datagrams, 50,000 a second, at the engine's port and then at orderd's: none is answered, and honest orders
take at most twice as long.

Quiet and flooded stretches take turns, so that both see the same machine.
"""

import os
import secrets
import socket
import statistics
import time
from pathlib import Path
from typing import Final

import attrs

from tests.chaos.flood import Flood
from tests.chaos.site import Arena
from tests.chaos.stage import Stage
from tests.support.processes import Process

RATE: Final = 50_000
STRETCH_S: Final = 1.0
SETTLE_S: Final = 0.1
RATE_MIN: Final = 0.8
"""Of the rate that was wanted; a slower flood proves nothing."""
SERIES_MAX: Final = 3
FACTOR_MAX: Final = 2.0
NOISE_MS: Final = 1.0
"""That a p99 may be larger by whatever the factor is: of a machine with two cores, one of which floods."""


def at_engine(stage: Stage) -> None:
    """From a stranger's port, also with the session and epoch of the orderd that is served."""
    _play(stage, to_engine=True)


def at_orderd(stage: Stage) -> None:
    """Forged from the engine's address: any other sender the kernel drops."""
    if os.geteuid() != 0:
        stage.row.skipped = "only root may forge a sender's address"
        return
    _play(stage, to_engine=False)


@attrs.define
class Series:
    """Quiet and flooded stretches in turns, and what came of them."""

    quiet: list[list[float]] = attrs.field(factory=list)
    """Of each stretch, how long its orders took, in milliseconds."""
    flooded: list[list[float]] = attrs.field(factory=list)
    sent: float = 0.0
    answered: float = 0.0
    seconds: float = 0.0
    busy_s: list[float] = attrs.field(factory=lambda: [0.0, 0.0])
    """What the victim used of a core, without and with the flood."""

    @property
    def rate(self) -> float:
        """Forged datagrams a second."""
        return self.sent / max(self.seconds, 0.001)

    @property
    def p99_ms(self) -> tuple[float, float]:
        """Of honest orders, without and with the flood: the median of the stretches, as a moment may stall any."""
        before, during = (
            statistics.median([statistics.quantiles(took, n=100)[98] for took in stretches if len(took) > 1] or [0.0])
            for stretches in (self.quiet, self.flooded)
        )
        return before, during

    @property
    def quiet_ms(self) -> list[float]:
        """Of all stretches without the flood."""
        return [took for stretch in self.quiet for took in stretch]

    @property
    def flooded_ms(self) -> list[float]:
        """Of all with it."""
        return [took for stretch in self.flooded for took in stretch]

    @property
    def is_slow(self) -> bool:
        """Whether honest orders take too long in it."""
        before, during = self.p99_ms
        return during > max(FACTOR_MAX * before, before + NOISE_MS)


def _play(stage: Stage, *, to_engine: bool) -> None:
    key = stage.directory / "key"
    key.touch(mode=0o600)
    key.write_text(secrets.token_hex(32))
    with stage.arena(orderd={"engine.key_file": str(key)}, engine={"key_file": str(key)}, probe_pause_s=0.0) as arena:
        count = max(1, int(stage.left_s / (2 * STRETCH_S + SETTLE_S)))
        series = _series(arena, count, to_engine=to_engine)
        # A machine that is busy with other things for a moment looks the same.
        for _ in range(SERIES_MAX - 1):
            if series.is_slow:
                series = _series(arena, count, to_engine=to_engine)
        arena.wait_recovered()
    key.unlink()
    _judge(stage, series, "engine" if to_engine else "orderd")


def _series(arena: Arena, count: int, *, to_engine: bool) -> Series:
    series = Series()
    victim = arena.process("engine" if to_engine else "orderd")
    for _ in range(count):
        started = cpu_s(victim)
        series.quiet.append(_stretch(arena))
        series.busy_s[0] += cpu_s(victim) - started
        flood = _flood(arena, to_engine=to_engine)
        with arena.fault():
            time.sleep(SETTLE_S)
            started = cpu_s(victim)
            series.flooded.append(_stretch(arena))
            series.busy_s[1] += cpu_s(victim) - started
            found = flood.end()
        series.sent += found["sent"]
        series.answered += found["answered"]
        series.seconds += found["seconds"]
        time.sleep(SETTLE_S)
    return series


def _stretch(arena: Arena) -> list[float]:
    """How long the orders of a stretch took, in milliseconds."""
    first = len(arena.prober.samples)
    time.sleep(STRETCH_S)
    return [(s.answered - s.sent) * 1000 for s in arena.prober.samples[first:] if s.is_confirmed]


def _flood(arena: Arena, *, to_engine: bool) -> Flood:
    with arena.site.client() as client:
        info = client.info()
    about = {"session": int(info["journal_session"], 16), "epoch": int(info["journal_epoch"])}
    port = arena.site.engine_port
    if to_engine:
        return Flood(port=port, rate=RATE, seed=arena.random.getrandbits(32), **about)
    pid = arena.site.orderd.popen.pid
    return Flood(port=port_of(pid, port), source_port=port, rate=RATE, seed=arena.random.getrandbits(32), **about)


def port_of(pid: int, peer_port: int) -> int:
    """The UDP port from which process ``pid`` talks to ``peer_port`` on this host."""
    for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
        local, remote = line.split()[1:3]
        if remote == f"{socket.inet_aton('127.0.0.1')[::-1].hex().upper()}:{peer_port:04X}":
            return int(local.partition(":")[2], 16)
    raise AssertionError(f"process {pid} has no socket that is connected to port {peer_port}")


def cpu_s(process: Process) -> float:
    """Seconds of a core that a process has used so far."""
    fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _judge(stage: Stage, series: Series, victim: str) -> None:
    (before, during), rate = series.p99_ms, series.rate
    medians = [statistics.median(took) if took else 0.0 for took in (series.quiet_ms, series.flooded_ms)]
    stage.row.notes += [
        f"{rate:.0f} forged a second, {series.answered:.0f} answered",
        f"honest p99 {before:.2f} ms without and {during:.2f} ms with them",
        f"p50 {medians[0]:.2f} and {medians[1]:.2f} ms, {len(series.quiet_ms)} and {len(series.flooded_ms)} orders",
        f"{victim} used {series.busy_s[0]:.2f} and {series.busy_s[1]:.2f} s of a core",
    ]
    if series.answered:
        stage.row.problems.append(f"answered: {series.answered:.0f} forged datagrams were answered")
    if rate < RATE_MIN * RATE:
        stage.row.skipped = f"proves nothing, since only {rate:.0f} datagrams a second could be sent here"
    elif series.is_slow:
        stage.row.problems.append(f"slow: honest p99 {before:.2f} ms became {during:.2f} ms")
