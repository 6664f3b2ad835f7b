"""Daemons that stand still for a while, and daemons that are told to end, or to read their settings, under load."""

import signal
import time
from typing import Final

from tests.chaos.site import Arena
from tests.chaos.stage import Stage
from tests.support.resp_client import RespError, pack

LAST_COMMANDS: Final = 100
STILL_S: Final = (0.5, 3.0)
SHUTDOWN_S: Final = 4.0
SHUTDOWN: Final = {"shutdown_timeout_ms": int(SHUTDOWN_S * 1000)}
END_SLACK_S: Final = 2.0
"""For what comes behind the bound: the last lines of a process, on a machine that has other things to do."""


def still(stage: Stage) -> None:
    """SIGSTOP and SIGCONT of orderd, of the engine, of both."""
    with stage.arena() as arena:
        arena.load(2)
        while stage.goes_on():
            victims = arena.random.choice((("orderd",), ("engine",), ("orderd", "engine")))
            with arena.fault():
                for victim in victims:
                    arena.process(victim).popen.send_signal(signal.SIGSTOP)
                stage.sleep(arena.random.uniform(*STILL_S))
                for victim in victims:
                    arena.process(victim).popen.send_signal(signal.SIGCONT)
            arena.wait_recovered()
            stage.sleep(arena.random.uniform(0.0, 0.3))


def terminate(stage: Stage) -> None:
    """SIGTERM under load, with SIGHUPs before it: exit code 0 in time, and all that was read is answered."""
    slowest_s = 0.0
    ends = 0
    with stage.arena(orderd=SHUTDOWN, engine=SHUTDOWN) as arena:
        arena.load(3)
        while stage.goes_on():
            victim = arena.random.choice(("orderd", "orderd", "engine"))
            for _ in range(arena.random.randrange(4)):
                arena.process(arena.random.choice(("orderd", "engine"))).popen.send_signal(signal.SIGHUP)
                stage.sleep(arena.random.uniform(0.0, 0.1))
            with arena.fault():
                last_words = LastWords(arena) if victim == "orderd" else None
                slowest_s = max(slowest_s, _end(arena, victim))
                ends += 1
            arena.over_at.pop()
            arena.launch(victim)
            arena.wait_recovered()
            if last_words is not None:
                last_words.check()
            stage.sleep(arena.random.uniform(0.0, 0.3))
    stage.row.notes.append(f"{ends} ended in at most {slowest_s:.2f} s")


def _end(arena: Arena, victim: str) -> float:
    process = arena.process(victim)
    started = time.monotonic()
    code = process.terminate()
    took_s = time.monotonic() - started
    if code != 0:
        arena.problems.append(f"end: {victim} ended with {code} on SIGTERM: {process.log[-300:]}")
    if took_s > SHUTDOWN_S + END_SLACK_S:
        arena.problems.append(f"end: {victim} took {took_s:.1f} s")
    return took_s


class LastWords:
    """Commands that are on their way when orderd is told to end: what it reads it answers, and takes nothing else."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        flow = arena.flow()
        self._commands = [flow.next() for _ in range(LAST_COMMANDS)]
        arena.others.append(self._commands)
        self._client = arena.site.client()
        self._client.send(b"".join(pack(*command.words) for command in self._commands))

    def check(self) -> None:
        """When orderd is there again."""
        with self._client:
            replies = self._client.replies_until_closed()
        for command, reply in zip(self._commands, replies, strict=False):
            command.note(reply)
        unanswered = [command for command in self._commands[len(replies) :] if command.places]
        with self._arena.site.client() as client:
            statuses = client.pipeline([("ORDER.STATUS", command.name) for command in unanswered])
        taken = [reply for reply in statuses if not isinstance(reply, RespError)]
        if taken:
            self._arena.problems.append(f"end: {len(taken)} orders were taken and not answered: {taken[0]}")
