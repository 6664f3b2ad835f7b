"""Runs worlds with a bug in them, each in a process that is thrown away: a bug may spoil whatever it likes.

The parent has imported everything, so that a child costs little more than its worlds. Children are given a time by the
real clock: a bug may hang, too.
"""

import json
import os
import selectors
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Final

import attrs

from tests.simulation.oracle import Contradiction
from tests.simulation.planted.catalogue import Planted
from tests.simulation.planted.planting import planted_here
from tests.simulation.world import Failure, run_seed

HANGS_AFTER_S: Final = 60.0
HANGS: Final = "hangs"
DIES: Final = "dies"


@attrs.frozen
class Tried:
    """What came of a world: ``rule`` is the one that it broke, None if it kept them all."""

    name: str
    seed: int
    rule: str | None
    text: str = ""


@attrs.frozen
class Task:
    """Seeds to run with a bug, in order, until ``caught_max`` of them have caught it; without one: all of them."""

    bug: Planted | None
    seeds: Sequence[int]
    caught_max: int = 1

    @property
    def name(self) -> str:
        return "" if self.bug is None else self.bug.name


def attempt(seed: int) -> tuple[str | None, str]:
    """The rule that the world of ``seed`` broke, and what is to be said about it."""
    try:
        run_seed(seed)
    except Failure as failure:
        cause = failure.__cause__
        # What ended a daemon tells more than that it ended.
        found = list(_causes(cause)) if cause is not None else []
        rules = [error.rule for error in found if isinstance(error, Contradiction)]
        return (rules or [type(error).__name__ for error in found] or [failure.rule])[-1], str(failure)
    return None, ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and what led to it, without groups; the first cause comes last."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _causes(one)
        return
    yield error
    if error.__cause__ is not None:
        yield from _causes(error.__cause__)


def in_children(tasks: Iterable[Task], jobs: int) -> Iterator[Tried]:
    """What came of each world, as soon as it is known."""
    waiting = iter(tasks)
    children: dict[int, _Child] = {}
    with selectors.SelectSelector() as selector:
        while True:
            while len(children) < jobs and (task := next(waiting, None)) is not None:
                child = _Child(task)
                children[child.handle] = child
                selector.register(child.handle, selectors.EVENT_READ)
            if not children:
                return
            timeout = max(0.0, min(child.deadline for child in children.values()) - time.monotonic())
            for key, _ in selector.select(timeout):
                child = children[key.fd]
                yield from child.read()
                if child.is_over:
                    selector.unregister(key.fd)
                    yield from children.pop(key.fd).end()
            for child in list(children.values()):
                if time.monotonic() >= child.deadline:
                    selector.unregister(child.handle)
                    yield children.pop(child.handle).give_up()


class _Child:
    """A process that does a task, and tells of it line by line."""

    def __init__(self, task: Task) -> None:
        self.is_over = False
        self._task = task
        self._told = 0
        self._rest = b""
        self.handle, theirs = os.pipe()
        sys.stdout.flush()
        self._pid = os.fork()
        if not self._pid:
            os.close(self.handle)
            _work(task, theirs)
        os.close(theirs)
        self._expect()

    def _expect(self) -> None:
        self.deadline = time.monotonic() + HANGS_AFTER_S

    def read(self) -> Iterator[Tried]:
        """What it has told since."""
        data = os.read(self.handle, 1 << 16)
        self.is_over = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._told += 1
            self._expect()
            yield Tried(self._task.name, **json.loads(line))

    def end(self) -> Iterator[Tried]:
        """It has nothing more to tell: whether it ended as it should."""
        os.close(self.handle)
        status = os.waitpid(self._pid, 0)[1]
        if status:
            yield Tried(self._task.name, self._seed, DIES, f"wait status {status}")

    def give_up(self) -> Tried:
        """It has taken too long."""
        os.kill(self._pid, signal.SIGKILL)
        os.close(self.handle)
        os.waitpid(self._pid, 0)
        return Tried(self._task.name, self._seed, HANGS, f"no answer for {HANGS_AFTER_S:g} s")

    @property
    def _seed(self) -> int:
        """The one that it is at."""
        return self._task.seeds[min(self._told, len(self._task.seeds) - 1)]


def _work(task: Task, handle: int) -> None:
    """The child's whole life. Does not return."""
    code = 1
    try:
        caught = 0
        with nullcontext() if task.bug is None else planted_here(task.bug), os.fdopen(handle, "w") as told:
            for seed in task.seeds:
                rule, text = attempt(seed)
                told.write(json.dumps({"seed": seed, "rule": rule, "text": text}) + "\n")
                told.flush()
                caught += rule is not None
                if caught >= task.caught_max and task.bug is not None:
                    break
        code = 0
    finally:
        # Without the parent's handlers and buffers.
        os._exit(code)
