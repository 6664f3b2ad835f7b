"""Who watches a machine's daemon: a service manager that starts it again, and a hand that ends it at bad moments."""

import random
import signal
from collections.abc import Callable
from functools import partial

import trio

from tests.simulation.kernel import Process
from tests.simulation.machine import Machine, describe, isinstance_all

RESTART_MAX = 4.0
FAILURES_MAX = 5
RESTART_LATE = 0.3
"""As service managers do: who fails again and again is started less often."""
POWER_SOON_S = 0.5


class Halted(Exception):
    """A daemon ended by itself though it had no reason to."""


class Keeper:
    """Starts the daemon of a machine again whenever it has ended.

    ``may_fail(error)`` says whether there was a reason to end, such as a disk that is told to fail.
    """

    def __init__(self, machine: Machine, rng: random.Random, may_fail: Callable[[BaseException], bool]) -> None:
        self.machine = machine
        self.paused = False
        """Whether nobody starts it: somebody is at work on the machine."""
        self.pause_mean_s = 0.3
        """How long it is down, on average."""
        self.power = 0.0
        """How often a disk that has failed soon loses power as well: what it did not take may be seen until then."""
        self._rng = rng
        self._may_fail = may_fail
        self._resumed = trio.Event()
        self._pause = trio.CancelScope()
        self._excused: list[Process] = []
        self._excused_errors: type[BaseException] = Halted
        self._excused_until = 0.0

    async def run(self) -> None:
        """Until cancelled. Raises :class:`Halted`."""
        failures = 0
        while True:
            while self.paused:
                self._resumed = trio.Event()
                await self._resumed.wait()
            process = self.machine.process if self.machine.is_up else self.machine.start()
            assert process is not None
            await process.ended.wait()
            self._look(process)
            if process.failure is not None and self.power and self._rng.random() < self.power:
                self.machine.ground.timers.at(self._rng.expovariate(1 / POWER_SOON_S), self._lose_power)
            failures = failures + 1 if process.failure is not None else 0
            with trio.CancelScope() as self._pause:
                seconds = min(self._rng.expovariate(1 / self.pause_mean_s), RESTART_MAX)
                await trio.sleep(seconds if failures < FAILURES_MAX else max(seconds, RESTART_LATE))

    def _lose_power(self) -> None:
        if self.power and not self.paused and self.machine.is_up:
            self.machine.kill(power=True)

    def _look(self, process: Process) -> None:
        error = process.failure
        if error is None or process in self._excused or self._may_fail(error):
            return
        if isinstance_all(error, self._excused_errors) and trio.current_time() < self._excused_until:
            return
        raise Halted(f"{process.name}: {describe(error)}") from error

    def excuse(self, process: Process) -> None:
        """However it ends, there is a reason."""
        self._excused.append(process)

    def excuse_errors(self, kind: type[BaseException], seconds: float) -> None:
        """Such an end has a reason for so long."""
        self._excused_errors, self._excused_until = kind, trio.current_time() + seconds

    def pause(self) -> None:
        """Start nothing until :meth:`resume`."""
        self.paused = True

    def resume(self) -> None:
        """Go on."""
        self.paused = False
        self._resumed.set()

    def hurry(self) -> None:
        """Start it now, and soon from now on."""
        self.pause_mean_s = 0.01
        self.power = 0.0
        self._pause.cancel()
        self.resume()


async def strike(
    machine: Machine, rng: random.Random, mean_s: float, *, power: float, term: float, hangup: float
) -> None:
    """End the daemon again and again, every ``mean_s`` on average, until cancelled.

    ``power`` and ``term`` are how often it is the power that goes, or a SIGTERM that comes, in place of a SIGKILL;
    ``hangup`` how often it is only asked to read its settings.
    """
    while True:
        await trio.sleep(rng.expovariate(1 / mean_s))
        kind = rng.random()
        if not machine.is_up:
            continue
        if kind < power:
            machine.kill(power=True)
        elif kind < power + term:
            machine.send_signal(signal.SIGTERM)
        elif kind < power + term + hangup:
            machine.send_signal(signal.SIGHUP)
        else:
            machine.kill(power=False)


def dies_at_calls(machine: Machine, rng: random.Random, chance: float, power: float) -> Callable[[Process], None]:
    """For :attr:`Machine.arm`: some lives end at a call that is chosen beforehand, early ones more often.

    ``power`` of them end because the whole machine loses power.
    """

    def arm(process: Process) -> None:
        if rng.random() < chance:
            process.kill_at = int(2 ** rng.uniform(0, 13))
            if rng.random() < power:
                process.on_death.append(partial(lose_power, process))

    def lose_power(process: Process) -> None:
        if process.calls == process.kill_at:
            machine.trace("loses power")
            machine.lose_power()

    return arm
