"""A full disk, files that may not grow, no descriptors left. Errors at once, nothing lost, and all is well afterwards.

A disk that is full is found where space is set aside, before anything is written: ``-FULL``, and the daemon goes on. A
write that fails in the middle is final: the daemon ends with what it knows, and the next start finds out the rest.
"""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.chaos.faults import descriptors_of, filled, lift_limit, set_limit, small_disk
from tests.chaos.load import Trader
from tests.chaos.site import Arena
from tests.chaos.stage import Stage
from tests.support.processes import wait_until
from tests.support.resp_client import RespClient

SEGMENT_BYTES: Final = 262_144
DISK_BYTES: Final = 12 * 2**20
SMALL: Final = {"journal.segment_bytes": SEGMENT_BYTES, "limits.query_bytes_max": 16_384}
FULL_S: Final = (0.1, 0.8)
FELT_S_MAX: Final = 5.0
FAST_PER_S: Final = 1000.0
REFUSALS: Final = ("FULL", "THROTTLED")
DESCRIPTORS_MORE: Final = 3
JOURNAL_FAILED: Final = 3


def full_disk(victim: str) -> Callable[[Stage], None]:
    """No space left on the device that has the journal of ``victim``."""

    def play(stage: Stage) -> None:
        disk = stage.directory / "disk"
        with small_disk(disk, DISK_BYTES) as problem:
            if problem:
                stage.row.skipped = problem
                return
            _play_full_disk(stage, victim, disk)
        disk.rmdir()

    return play


def _play_full_disk(stage: Stage, victim: str, disk: Path) -> None:
    settings: dict[str, dict[str, object]] = {"orderd": dict(SMALL), "engine": {}}
    settings[victim] |= {"journal.directory": str(disk / "j"), "journal.segment_bytes": SEGMENT_BYTES}
    ended = 0
    with stage.arena(**settings, refusals=REFUSALS) as arena:
        arena.load(3, rate_per_s=FAST_PER_S)
        while stage.goes_on():
            before = _refused(arena)
            with arena.fault(), filled(disk):
                _wait_felt(arena, victim, lambda before=before: _refused(arena) > before)  # type: ignore[misc]
            ended += _revive(arena, victim)
            arena.wait_recovered()
            stage.sleep(0.3)
        stage.row.notes.append(f"{_refused(arena)} commands refused, {ended} ended")


def _refused(arena: Arena) -> int:
    return sum(trader.refused for trader in arena.traders)


def file_size(victim: str) -> Callable[[Stage], None]:
    """RLIMIT_FSIZE in the middle of a segment: a write is cut short, and the next one fails."""

    def play(stage: Stage) -> None:
        ended = 0
        settings: dict[str, dict[str, object]] = {
            "orderd": dict(SMALL),
            "engine": {"journal.segment_bytes": SEGMENT_BYTES},
        }
        with stage.arena(**settings, refusals=REFUSALS) as arena:
            arena.load(3, rate_per_s=FAST_PER_S)
            while stage.goes_on():
                process = arena.process(victim)
                with arena.fault():
                    set_limit(process, resource.RLIMIT_FSIZE, arena.random.randrange(4096, SEGMENT_BYTES))
                    _wait_felt(arena, victim, lambda: False)
                if process.running:
                    lift_limit(process, resource.RLIMIT_FSIZE)
                    arena.over()
                ended += _revive(arena, victim)
                arena.wait_recovered()
        stage.row.notes.append(f"{ended} ended on a failed write")

    return play


def _wait_felt(arena: Arena, victim: str, is_felt: Callable[[], bool]) -> None:
    """Until it is felt and a while longer, or the victim has ended."""
    more_s = arena.random.uniform(*FULL_S)
    until = time.monotonic() + FELT_S_MAX
    while time.monotonic() < until and arena.process(victim).running:
        if is_felt() and until > time.monotonic() + more_s:
            until = time.monotonic() + more_s
        time.sleep(0.01)


def _revive(arena: Arena, victim: str) -> int:
    """Start the victim again if it ended, which it does with one line and the code for a failed journal."""
    process = arena.process(victim)
    if process.running:
        return 0
    last = process.log.strip().splitlines()[-1]
    if process.popen.returncode != JOURNAL_FAILED or ("journal" not in last.lower() and "segment" not in last):
        arena.problems.append(f"end: {victim} ended with {process.popen.returncode}: {last}")
    arena.launch(victim)
    return 1


def descriptors(stage: Stage) -> None:
    """EMFILE at orderd: who is connected goes on, who connects waits."""
    waited: list[RespClient] = []
    with stage.arena(orderd=SMALL, refusals=REFUSALS) as arena:
        arena.load(3, rate_per_s=FAST_PER_S)
        while stage.goes_on():
            wait_until(lambda: arena.answered > 0, "orders flow")
            with arena.fault():
                set_limit(
                    arena.site.orderd, resource.RLIMIT_NOFILE, descriptors_of(arena.site.orderd) + DESCRIPTORS_MORE
                )
                # They are connected by the kernel, whether orderd accepts them or not.
                waited += [RespClient(arena.site.socket_path, protocol=0) for _ in range(2 * DESCRIPTORS_MORE)]
                before = [trader.answered for trader in arena.traders]
                stage.sleep(arena.random.uniform(*FULL_S))
                _check_progress(arena, before)
                lift_limit(arena.site.orderd, resource.RLIMIT_NOFILE)
            for client in waited:
                assert client.call("PING") == "PONG"
                client.socket.close()
            waited.clear()
            arena.wait_recovered()


def _check_progress(arena: Arena, before: list[int]) -> None:
    traders: list[Trader] = arena.traders
    stuck = [trader.name for trader, answered in zip(traders, before, strict=True) if trader.answered == answered]
    if stuck:
        arena.problems.append(f"stuck: {stuck} got no answers while descriptors were short")
