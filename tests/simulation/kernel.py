"""The ground of a simulated world: virtual time, a seeded scheduler, and processes that can die at any call.

Everything in a world runs in one trio loop on a clock that jumps when all tasks wait. The loop's own choices (which of
the tasks that are ready goes first) come from the seed, so that a seed is a history: the same in every process, bit for
bit (:func:`run`). Nothing in a world may ask for the real time, real randomness, a thread or a file.

A :class:`Process` is what a kill ends. All that a daemon does to the machine below it goes through a seam, and each
seam calls :meth:`Process.touch` first; that is where a process dies (:class:`Killed`), before the call has done
anything, and where code that still runs afterwards, such as a ``finally``, is kept from doing anything at all.
"""

import hashlib
import heapq
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import outcome
import trio
import trio.testing

T = TypeVar("T")


class Killed(BaseException):
    """The process is dead. Nobody may handle it, as with KeyboardInterrupt."""


class Trace:
    """What has happened, as lines; only their hash is kept, and the last ones for people."""

    def __init__(self, kept: int) -> None:
        self.lines: list[str] = []
        self.count = 0
        self._kept = kept
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, line: str) -> None:
        """One more thing that happened."""
        self.count += 1
        self._hash.update(line.encode("utf-8", "backslashreplace") + b"\n")
        self.lines.append(line)
        if len(self.lines) > 2 * self._kept:
            del self.lines[: -self._kept]

    @property
    def digest(self) -> str:
        """Of all lines so far."""
        return self._hash.hexdigest()


class Bell:
    """What tasks of processes wait for. A wait ends with the ring, or with the death of its process."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[trio.lowlevel.Task, Process | None] = {}

    def ring(self) -> None:
        """Wake all who wait now."""
        waiting, self._waiting = self._waiting, {}
        for task, process in waiting.items():
            if process is not None:
                del process.waits[task]
            trio.lowlevel.reschedule(task)

    async def wait(self, process: "Process | None" = None) -> None:
        """Until it rings. Raises :class:`Killed` as soon as ``process`` dies, in a shield, too."""
        task = trio.lowlevel.current_task()
        if process is not None:
            process.touch("wait")
            process.waits[task] = self
        self._waiting[task] = process

        def abort(_: object) -> trio.lowlevel.Abort:
            self.forget(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def forget(self, task: trio.lowlevel.Task) -> None:
        """It waits no more."""
        process = self._waiting.pop(task)
        if process is not None:
            del process.waits[task]


class Timers:
    """Calls of functions at their times, in the order in which they were asked for where times are equal."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._scope = trio.CancelScope()

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Call it that much later. It must not raise."""
        self._serial += 1
        at = trio.current_time() + delay_s
        heapq.heappush(self._heap, (at, self._serial, action))
        if self._heap[0][1] == self._serial:
            self._scope.deadline = at

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                heapq.heappop(self._heap)[2]()
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else float("inf")) as self._scope:
                await trio.sleep_forever()


@attrs.define(eq=False)
class Process:
    """One life of a program: from its start to its end, by itself or by a kill."""

    name: str
    rng: random.Random
    """For what seams decide: how long a thread takes, how much of a write is done."""
    timers: Timers
    trace: Trace
    alive: bool = True
    killed: bool = False
    calls: int = 0
    """Seam calls so far."""
    kill_at: int | None = None
    """The seam call that it dies at."""
    thread_mean_s: float = 0.0001
    """How long a thread takes before it does what it was called for, and after it, on average."""
    on_death: list[Callable[[], None]] = attrs.field(factory=list)
    """Called once when it is dead, however it came to that, the last one first: sockets close, locks go."""
    waits: dict[trio.lowlevel.Task, Bell] = attrs.field(factory=dict)
    failure: BaseException | None = None
    """What ended it, if it was not killed; None after a clean end."""
    ended: trio.Event = attrs.field(factory=trio.Event)
    """Set when it is dead. Code of it may still run after that, and does nothing any more."""
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    def touch(self, what: str) -> None:
        """A seam is called. Raises :class:`Killed`."""
        if not self.alive:
            raise Killed
        self.calls += 1
        if self.calls == self.kill_at:
            self.trace.add(f"{trio.current_time():.6f} {self.name} dies at call {self.calls}, {what}")
            self.kill()
            raise Killed

    def kill(self) -> None:
        """SIGKILL: nothing of it does anything to the world from now on."""
        if not self.alive:
            return
        self.killed = True
        self._die()
        waits, self.waits = self.waits, {}
        for task, bell in waits.items():
            bell._waiting.pop(task, None)
            trio.lowlevel.reschedule(task, outcome.Error(Killed()))
        self._scope.cancel()

    def _die(self) -> None:
        self.alive = False
        for action in reversed(self.on_death):
            action()
        self.ended.set()

    async def pause(self, seconds: float) -> None:
        """A wait that only time and death end: a cancelled scope does not."""
        bell = Bell()
        self.timers.at(seconds, bell.ring)
        with trio.CancelScope(shield=True):
            await bell.wait(self)

    async def run_sync(
        self,
        function: Callable[..., T],
        /,
        *args: object,
        abandon_on_cancel: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> T:
        """As :func:`trio.to_thread.run_sync`, in virtual time: a while passes before the call and after it."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self.pause(self.rng.expovariate(1 / self.thread_mean_s))
        try:
            result = function(*args)
        except OSError:
            await self.pause(self.rng.expovariate(1 / self.thread_mean_s))
            raise
        await self.pause(self.rng.expovariate(1 / self.thread_mean_s))
        return result

    async def run(self, main: Callable[[], Awaitable[None]]) -> None:
        """Its whole life. Raises nothing: :attr:`failure` tells how it ended."""
        try:
            with self._scope:
                await main()
        except BaseException as error:
            if not self.killed:
                self.failure = error
            elif _is_ours(error):
                # The end of the world is not the process's.
                raise
        if self.alive:
            self._die()


def _is_ours(error: BaseException) -> bool:
    """Whether a dead process's error is one of the world itself: an assertion, a cancellation."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_ours(one) for one in error.exceptions)
    return isinstance(error, trio.Cancelled)


def virtual_clock() -> trio.testing.MockClock:
    """A clock that stands still, and jumps to the next deadline when all tasks wait.

    Trio's own, which nobody may derive from, with what it asks of the real clock at each step left out.
    """
    clock: Any = trio.testing.MockClock(autojump_threshold=0)
    now = 0.0

    def jump() -> None:
        nonlocal now
        runner: Any = trio._core._run.GLOBAL_RUN_CONTEXT.runner
        deadline = runner.deadlines.next_deadline()
        if deadline == float("inf"):
            raise RuntimeError("everything waits, and for nothing that will ever come")
        now = max(now, deadline)

    clock.current_time = lambda: now
    clock.deadline_to_sleep_time = lambda deadline: 0.0 if deadline <= now else 1e9
    clock._autojump = jump
    made: trio.testing.MockClock = clock
    return made


def run(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """``main()`` in a loop whose clock is virtual and whose choices are those of ``seed``."""
    # Private names of trio, which has no public way to it; its own tests use them so.
    internals: Any = trio._core._run
    internals._ALLOW_DETERMINISTIC_SCHEDULING = True
    internals._r.seed(seed)
    return trio.run(main, clock=virtual_clock())
