"""Set pieces of a world: what a person does to a machine by mistake, or a disk by itself, and what must come of it.

- An older disk under orderd, or under the engine: orderd ends, since one of both has lost what the other relies on.
- An empty disk under the engine: it is another engine, and orderd ends. Under orderd: a new session, nothing else.
- A bit that flips at rest: the daemon ends and says so, or starts with exactly what was there.
- Two daemons on one disk: the second one ends.
- A copy of the disk that runs beside: the engine hears one of both. What the other took in is lost to it, so the world
  ends there.

Each puts things right afterwards, as the person would: the right disk comes back, and the daemon is started.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio

from orderd.journal.errors import JournalError, JournalLocked
from orderd.link.errors import LinkError
from tests.simulation.kernel import Process
from tests.simulation.machine import Gateway, Machine, describe, isinstance_all
from tests.simulation.oracle import Contradiction
from tests.simulation.swarm import DIRECTORY

if TYPE_CHECKING:
    from tests.simulation.world import World

PATIENCE_S = 8.0
LOOK_S = 0.02
PROGRESS_S = 5.0
EPOCHS_S = 20.0


class Incidents:
    """Those that the swarm wants, one after the other."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng("incidents")

    async def run(self) -> None:
        """Until all are over."""
        for name in self._world.swarm.incidents:
            await trio.sleep(self._rng.uniform(0.1, self._world.swarm.duration_s / 2))
            self._world.trace.add(f"{trio.current_time():.6f} incident: {name}")
            await getattr(self, f"_{name}")()

    @property
    def _gateway(self) -> Gateway:
        return self._rng.choice(self._world.gateways)

    # --- older and empty disks ----------------------------------------------------------------------------------------

    async def _older_gateway_disk(self) -> None:
        gateway = self._gateway
        daemon = gateway.daemon
        if daemon is None or not gateway.is_up:
            return
        # A commit may be under way, and be on the disk already: what is older has to lack more than that.
        image, known = gateway.disk.snapshot(), daemon.gateway.desk.table.end
        if not await self._until(lambda: _confirmed(gateway) > known):
            return
        # Clients do not come before a person has seen it start well.
        try:
            async with _Aside(self._world, gateway) as aside:
                gateway.disk.restore(image)
                process = aside.start()
                await self._ends(process, LinkError, "an older disk under orderd")
        finally:
            # What the older disk began has used epochs up; each further start gets one nearer to a new one.
            self._world.keepers[gateway.name].excuse_errors(LinkError, EPOCHS_S)

    async def _empty_gateway_disk(self) -> None:
        gateway = self._gateway
        async with _Aside(self._world, gateway) as aside:
            gateway.disk.restore({})
            process = aside.start()
            with trio.move_on_after(self._rng.uniform(0.1, 2)):
                await process.ended.wait()
            if process.failure is not None and not isinstance_all(process.failure, JournalError, OSError):
                raise Contradiction("new session", f"{process.name}: {describe(process.failure)}")

    async def _older_engine_disk(self) -> None:
        world = self._world
        if len(world.gateways) > 1 or not world.engine.is_up or world.engine.daemon is None:
            return
        gateway, sessions = world.gateways[0], world.engine.daemon.core._participants
        image = world.engine.disk.snapshot()
        known = max((session.receiver.next_sequence for session in sessions.values()), default=1)
        if await self._until(lambda: _confirmed(gateway) > known and _is_settled(gateway)):
            await self._other_engine_disk(gateway, image, "an older disk under the engine")

    async def _empty_engine_disk(self) -> None:
        gateway = self._world.gateways[0]
        if len(self._world.gateways) == 1 and await self._until(
            lambda: _confirmed(gateway) > 1 and _is_settled(gateway)
        ):
            await self._other_engine_disk(gateway, {}, "an empty disk under the engine")

    async def _other_engine_disk(self, gateway: Gateway, image: dict[str, bytes], what: str) -> None:
        world = self._world
        keeper = world.keepers[gateway.name]
        async with _Aside(world, world.engine) as aside:
            world.engine.disk.restore(image)
            aside.start()
            keeper.pause()
            process = gateway.process
            if process is None or not process.alive:
                process = gateway.start()
            keeper.excuse(process)
            await self._ends(process, LinkError, what)
            gateway.kill(power=False)
        keeper.resume()

    # --- damage and doubles -------------------------------------------------------------------------------------------

    async def _flipped_bit(self) -> None:
        machine = self._rng.choice(self._world.machines)
        if machine.last_commit_at is None:
            return
        async with _Aside(self._world, machine) as aside:
            aside.written_up_to = machine.last_commit_at
            place = machine.disk.flip(self._rng, DIRECTORY, machine.last_commit_at)
            self._world.trace.add(f"{trio.current_time():.6f} bit flips at {place}")
            aside.is_silent = False
            process = aside.start()
            with trio.move_on_after(1.0):
                await process.ended.wait()
            if process.failure is not None and not isinstance_all(process.failure, JournalError):
                raise Contradiction("damage", f"{process.name}: {describe(process.failure)}")

    async def _rotten_snapshot(self) -> None:
        engine = self._world.engine
        if not await self._until(lambda: sum(name.endswith(".snapshot") for name in engine.disk.names) > 1):
            return
        # By then what the new one makes superfluous is gone, if nothing has come between.
        await trio.sleep(self._rng.uniform(0, 0.5))
        async with _Aside(self._world, engine) as aside:
            aside.written_up_to, aside.is_silent = engine.last_commit_at, False
            place = engine.disk.flip_in_newest_snapshot(self._rng, DIRECTORY)
            self._world.trace.add(f"{trio.current_time():.6f} bit flips at {place}")
            process = aside.start()
            with trio.move_on_after(1.0):
                await process.ended.wait()
            if process.failure is not None and not engine.disk.troubled:
                # The older one, and the journal behind it, are as good.
                raise Contradiction("damage", f"{process.name}: {describe(process.failure)}, a bit flipped at {place}")

    async def _two_at_once(self) -> None:
        machine = self._rng.choice(self._world.machines)
        if not machine.is_up:
            return
        first = machine.process
        second = machine.start(f"{machine.name}-second")
        with trio.move_on_after(PATIENCE_S):
            await second.ended.wait()
        if second.alive or (second.failure is not None and not isinstance_all(second.failure, JournalLocked)):
            still = first is machine.process and first is not None and first.alive
            if still:
                raise Contradiction("lock", f"{second.name} on the disk of {machine.name}: {describe(second.failure)}")
        second.kill()

    async def _copy_beside(self) -> None:
        world, gateway = self._world, self._gateway
        keeper = world.keepers[gateway.name]
        if not await self._until(lambda: _confirmed(gateway) > 1):
            return
        keeper.pause()
        if self._rng.random() < 0.5:
            # Then both begin the same start: one epoch, and two nonces.
            gateway.kill(power=False)
        twin = Gateway(gateway.name, gateway.ground, type(gateway.disk).holding({}), world.rng("twin"))
        twin.disk.restore(gateway.disk.snapshot())
        twin.settings = twin.file = gateway.settings
        twin.is_silent = True
        # What it says is in no journal that anybody sees: cancels for clients that are gone, for one.
        world.oracle.allow("fork", gateway.name)
        first = gateway.process if gateway.is_up else gateway.start()
        second = twin.start(f"{gateway.name}-copy")
        assert first is not None
        keeper.excuse(first)
        # From now on: phase one may be over before one of both has heard that it is not the only one.
        world.ends_early = True
        await self._until(lambda: not (first.alive and second.alive), PATIENCE_S)
        for process in (first, second):
            if process.failure is not None and not isinstance_all(process.failure, LinkError, JournalError):
                raise Contradiction("copy", f"{process.name}: {describe(process.failure)}")
        world.end_early()

    # --- what they have in common -------------------------------------------------------------------------------------

    async def _until(self, condition: Callable[[], bool], patience_s: float = PROGRESS_S) -> bool:
        """Whether it came to that soon."""
        for _ in range(round(patience_s / LOOK_S)):
            if condition():
                return True
            await trio.sleep(LOOK_S)
        return False

    async def _ends(self, process: Process, error: type[BaseException], what: str) -> None:
        """It must end by ``error``; if the engine cannot be reached it may take longer than anybody waits."""
        with trio.move_on_after(PATIENCE_S):
            await process.ended.wait()
        if process.alive:
            self._world.trace.add(f"{trio.current_time():.6f} {process.name} has not noticed it yet: {what}")
            return
        if process.killed or process.failure is None:
            return  # Somebody was asked to end it before.
        if not isinstance_all(process.failure, error, JournalError, OSError):
            raise Contradiction(what, f"{process.name} ended with {describe(process.failure) or 'nothing to say'}")


@attrs.define
class _Aside:
    """A machine taken out of service: nobody starts it, nobody finds it, and its right disk comes back at the end."""

    world: "World"
    machine: Machine
    is_silent: bool = True
    """Whether what its journal does is nobody's business."""
    written_up_to: tuple[int, int] | None = None
    """Where its last commit was, if a daemon that comes up with what it finds may go on with it."""
    right: dict[str, bytes] = attrs.field(factory=dict)

    async def __aenter__(self) -> "_Aside":
        self.world.keepers[self.machine.name].pause()
        self.machine.kill(power=False)
        self.right = self.machine.disk.snapshot()
        return self

    def start(self) -> Process:
        """With whatever disk is in it now."""
        self.machine.is_silent = self.is_silent
        process = self.machine.start()
        self.world.keepers[self.machine.name].excuse(process)
        return process

    async def __aexit__(self, *_: object) -> None:
        goes_on = self.written_up_to is not None and (
            self.machine.is_up or self.machine.last_commit_at != self.written_up_to
        )
        if not goes_on:
            self.machine.kill(power=False)
            self.machine.disk.restore(self.right)
        self.machine.is_silent = False
        self.world.keepers[self.machine.name].resume()


def _confirmed(gateway: Gateway) -> int:
    if gateway.daemon is None or not gateway.is_up:
        return 0
    return gateway.daemon.gateway.desk.outcomes.confirmed_end


def _is_settled(gateway: Gateway) -> bool:
    return gateway.daemon is not None and gateway.is_up and gateway.daemon.gateway.desk.is_settled
