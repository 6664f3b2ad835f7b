"""Clients that do not read what they asked for, and clients that send as fast as they can, beside honest ones."""

import contextlib
import socket
import statistics
import threading
from typing import Any, Final

from tests.chaos.load import Sample, Trader
from tests.chaos.site import Arena
from tests.chaos.stage import Stage
from tests.support.resp_client import pack

FLOOD_COMMANDS_MAX: Final = 12_000
"""Of all flooding clients: a naive book has to follow."""
FLOODERS: Final = 4
DEAF: Final = 6
ASKED: Final = (("ORDER.LIST", "ALL", "COUNT", 1000), ("EXEC.READ", 0, "COUNT", 250), ("ECHO", "x" * 8192), ("INFO",))
BOUND_MS: Final = 2000.0
"""No honest order may take longer than that because of others."""


def slow(stage: Stage) -> None:
    """They ask for megabytes and never read a byte; some are closed by orderd for that."""
    deaf: list[socket.socket] = []
    with stage.arena() as arena:
        arena.load(2)
        stage.sleep(stage.left_s / 3)
        quiet = len(arena.prober.samples)
        with arena.fault():
            for number in range(DEAF):
                deaf.append(_deaf_client(arena, number))
                stage.sleep(stage.left_s / (DEAF + 2))
            # One that trades, and reads nothing of it until the end.
            late = _LateReader(arena)
            stage.sleep(stage.left_s / 2)
            late.read()
        _compare(stage, arena, quiet)
        for sock in deaf:
            sock.close()
        arena.wait_recovered()


def _deaf_client(arena: Arena, number: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(arena.site.socket_path))
    sock.setblocking(False)
    words = ASKED[number % len(ASKED)]
    with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        for _ in range(20_000):
            sock.send(pack(*words))
    return sock


class _LateReader:
    """Sends orders, and reads the replies when it likes."""

    def __init__(self, arena: Arena) -> None:
        flow = arena.flow()
        self._commands = [flow.next() for _ in range(500)]
        arena.others.append(self._commands)
        self._client = arena.site.client()
        data = b"".join(pack(*command.words) for command in self._commands)
        self._thread = threading.Thread(target=self._client.send, args=(data,), daemon=True)
        self._thread.start()

    def read(self) -> None:
        """Now."""
        with self._client:
            for command in self._commands:
                command.note(self._client.reply())
        self._thread.join()


def flood(stage: Stage) -> None:
    """They send orders as fast as they can; what is too much is refused at once, and honest ones have their turns."""
    refusals = ("FULL", "THROTTLED", "LIMIT")
    settings: dict[str, Any] = {"limits.orders_unconfirmed_max": 600, "limits.client_share_percent": 25}
    with stage.arena(orderd=settings, refusals=refusals) as arena:
        arena.load(2)
        stage.sleep(stage.left_s / 3)
        quiet = len(arena.prober.samples)
        flooders = [Flooder(arena, refusals) for _ in range(FLOODERS)]
        with arena.fault():
            for flooder in flooders:
                arena.add(flooder)
            while stage.goes_on() and sum(len(flooder.commands) for flooder in flooders) < FLOOD_COMMANDS_MAX:
                stage.sleep(0.05)
            for flooder in flooders:
                flooder.stop()
        _compare(stage, arena, quiet)
        arena.wait_recovered()
        sent = sum(len(flooder.commands) for flooder in flooders)
        stage.row.notes.append(f"{sent} commands of a flood, {sum(f.refused for f in flooders)} refused")


class Flooder(Trader):
    """Large pipelines without a pause."""

    def __init__(self, arena: Arena, refusals: tuple[str, ...]) -> None:
        super().__init__(arena.site.socket_path, arena.flow(), rate_per_s=1e9, window=500, refusals=refusals)


def _compare(stage: Stage, arena: Arena, quiet: int) -> None:
    """The time that honest orders took before and during the fault."""
    samples = list(arena.prober.samples)
    before, during = p99_ms(samples[:quiet]), p99_ms(samples[quiet:])
    stage.row.notes.append(f"honest p99 {before:.1f} ms, then {during:.1f} ms")
    if during > BOUND_MS:
        arena.problems.append(f"slow: an honest order in a hundred took {during:.0f} ms")


def p99_ms(samples: list[Sample]) -> float:
    """The 99th percentile of how long confirmed orders took."""
    took = [(sample.answered - sample.sent) * 1000 for sample in samples if sample.is_confirmed]
    return statistics.quantiles(took, n=100)[98] if len(took) > 1 else 0.0
