"""One seeded history of orderd and its engine: a phase in which things break, one in which all heals, a judgement.

:func:`run_seed` is a function of its arguments alone. What it finds wrong is a :class:`Failure`.
"""

import contextlib
import random
import signal
import traceback
from collections import Counter
from functools import partial
from typing import Any, Final

import attrs
import hiredis
import structlog
import trio

from tests.simulation import kernel
from tests.simulation.clients import Clients
from tests.simulation.console import Auditor, Console, NoAnswer, pairs_of
from tests.simulation.incidents import Incidents
from tests.simulation.keeper import Halted, Keeper, dies_at_calls, strike
from tests.simulation.kernel import Timers, Trace
from tests.simulation.machine import ENGINE, EngineHost, Gateway, Ground, Machine, describe
from tests.simulation.network import Network
from tests.simulation.oracle import Contradiction, Limits, Oracle
from tests.simulation.streams import Streams
from tests.simulation.swarm import Swarm
from tests.support.simulated_disk import SimulatedDisk

HEAL_MAX_S: Final = 60.0
"""Virtual time that everything may take to be confirmed once nothing breaks any more."""
STOP_MAX_S: Final = 30.0
BOOK_MAX_S: Final = 5.0
AUDIT_EVERY_S: Final = 1.0


class Failure(Exception):
    """A world went wrong."""

    def __init__(self, seed: int, rule: str, text: str, trace: list[str]) -> None:
        super().__init__(f"seed {seed}: {rule}: {text}")
        self.seed = seed
        self.rule = rule
        self.trace = trace


@attrs.frozen
class Outcome:
    """What came of a world that kept every rule."""

    digest: str
    """Of its whole trace."""
    figures: dict[str, int]
    trace: list[str]


class NotHealed(Exception):
    """Something is not done although nothing hinders it any more."""


def run_seed(seed: int, swarm: Swarm | None = None, *, trace_kept: int = 200) -> Outcome:
    """One world. Raises :class:`Failure`."""
    trace = Trace(trace_kept)
    world = World(seed, swarm or Swarm.of(seed), trace)
    with structlog.testing.capture_logs() as logs:
        world.logs = logs
        try:
            kernel.run(seed, world.run)
        except BaseException as error:
            found = world.broken or _first(error)
            if isinstance(found, KeyboardInterrupt):
                raise
            rule = found.rule if isinstance(found, Contradiction) else type(found).__name__
            raise Failure(seed, rule, _text_of(found), trace.lines) from error
    return Outcome(trace.digest, {"worlds": 1, **world.figures()}, trace.lines)


def _first(error: BaseException) -> BaseException:
    """The most telling one of a group."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = [_first(one) for one in error.exceptions]
    ranked = sorted(found, key=lambda one: not isinstance(one, Contradiction))
    return ranked[0]


def _text_of(error: BaseException) -> str:
    if isinstance(error, (Contradiction, Halted, NotHealed)):
        cause = "".join(traceback.format_exception(error.__cause__)) if error.__cause__ else ""
        return f"{error}\n{cause}" if cause else str(error)
    return "".join(traceback.format_exception(error))


class World:
    """All of it. Made for one :meth:`run`."""

    def __init__(self, seed: int, swarm: Swarm, trace: Trace) -> None:
        self.seed = seed
        self.swarm = swarm
        self.trace = trace
        self.logs: list[Any] = []
        self.gateways: list[Gateway] = []
        self.keepers: dict[str, Keeper] = {}
        self.clients: list[Clients] = []
        self.auditors: list[Auditor] = []
        self.is_healed = False
        self.ends_early = False
        self.over = trio.Event()
        """Set when phase one ends before its time."""

    def rng(self, part: str) -> random.Random:
        """Randomness of one part, which no other part disturbs."""
        return random.Random(f"{self.seed}/{part}")

    async def run(self) -> None:
        """The whole history."""
        async with trio.open_nursery() as nursery:
            self._build(nursery)
            try:
                await self._live(nursery)
            finally:
                self.ground.end()
                nursery.cancel_scope.cancel()

    async def _live(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self.timers.run)
        async with trio.open_nursery() as hands:
            await self._break(hands, nursery)
            await self._trade()
            hands.cancel_scope.cancel()
        if not self.ends_early:
            await self._heal()
            await self._settle()
            await self._judge()
            await self._stop()

    # --- what there is ------------------------------------------------------------------------------------------------

    def _build(self, nursery: trio.Nursery) -> None:
        swarm = self.swarm
        self.timers = Timers()
        self.network = Network(self.timers, self.rng("network"), self.trace)
        self.streams = Streams(self.rng("streams"), self.trace)
        gateway_settings = {name: swarm.gateway_settings(name) for name in swarm.sites}
        limits = Limits.of_settings(gateway_settings, swarm.engine_settings())
        self.oracle = Oracle(limits, swarm.sites)
        self.ground = Ground(self.timers, self.trace, self.network, self.streams, self.oracle, nursery, self.seed)
        disk = SimulatedDisk(self.rng("engine disk").getrandbits(32))
        self.engine = EngineHost(ENGINE, self.ground, disk, self.rng("engine"))
        self.engine.settings = swarm.engine_settings()
        self.engine.clock_offset_ns = round(swarm.clock_offset_s * 1e9)
        for name in swarm.sites:
            disk = SimulatedDisk(self.rng(f"{name} disk").getrandbits(32))
            gateway = Gateway(name, self.ground, disk, self.rng(name))
            gateway.settings = gateway.file = gateway_settings[name]
            gateway.clock_offset_ns = self.engine.clock_offset_ns
            self.gateways.append(gateway)
            clients = Clients(
                self.rng(f"{name} clients"), swarm.workload, self.streams, self.oracle, name, name, gateway.time_ns
            )
            self.clients.append(clients)
            self.auditors.append(Auditor(self.streams, name, self.oracle))

    @property
    def broken(self) -> Contradiction | None:
        """What the oracle found in the call of a daemon, whatever that made of it."""
        oracle: Oracle | None = getattr(self, "oracle", None)
        return oracle.broken if oracle is not None else None

    @property
    def machines(self) -> list[Machine]:
        return [self.engine, *self.gateways]

    async def _break(self, hands: trio.Nursery, nursery: trio.Nursery) -> None:
        """Start everything, and everything that harms it."""
        swarm = self.swarm
        hands.start_soon(self.network.run, swarm.network)
        for machine in self.machines:
            faults = swarm.engine_faults if machine is self.engine else swarm.gateway_faults
            rng = self.rng(f"{machine.name} keeper")
            keeper = Keeper(machine, rng, partial(self._may_fail, machine))
            keeper.pause_mean_s, keeper.power = faults.pause_mean_s, faults.power
            self.keepers[machine.name] = keeper
            machine.arm = dies_at_calls(machine, self.rng(f"{machine.name} calls"), faults.dies_at_call, faults.power)
            machine.quick_disk = faults.quick_disk
            machine.thread_mean_s = faults.thread_mean_s
            machine.disk.trouble = faults.disk_trouble
            nursery.start_soon(keeper.run)
            if faults.kill_mean_s is not None:
                hand = partial(strike, power=faults.power, term=faults.term, hangup=faults.hangup)
                hands.start_soon(hand, machine, self.rng(f"{machine.name} kills"), faults.kill_mean_s)
            if faults.clock_jump_mean_s is not None:
                hands.start_soon(self._turn_clock, machine, faults.clock_jump_mean_s)
        for gateway, auditor in zip(self.gateways, self.auditors, strict=True):
            hands.start_soon(self._audit, auditor)
            if swarm.transports:
                hands.start_soon(self._change_roads, gateway)
        hands.start_soon(Incidents(self).run)

    def _may_fail(self, machine: Machine, error: BaseException) -> bool:
        """Whether its disk has been told to fail in this life."""
        return machine.disk.troubled and _is_of_disk(error)

    async def _turn_clock(self, machine: Machine, mean_s: float) -> None:
        rng = self.rng(f"{machine.name} clock")
        while True:
            await trio.sleep(rng.expovariate(1 / mean_s))
            jump = round(rng.choice((-1, 1)) * 10 ** rng.uniform(-3, 4) * 1e9)
            machine.clock_offset_ns += jump
            machine.trace(f"clock jumps by {jump} ns")

    async def _change_roads(self, gateway: Gateway) -> None:
        """Another transport in the settings file, one after the other, and a reload each time."""
        rng = self.rng(f"{gateway.name} roads")
        for name in self.swarm.transports:
            transport: Any = name
            await trio.sleep(rng.uniform(0, self.swarm.duration_s / len(self.swarm.transports)))
            if rng.random() < 0.5:
                await self._until_in_flight(gateway)
            settings = gateway.file
            gateway.file = attrs.evolve(settings, engine=attrs.evolve(settings.engine, transport=transport))
            gateway.trace(f"its file says {transport}")
            gateway.send_signal(signal.SIGHUP)

    async def _until_in_flight(self, gateway: Gateway) -> None:
        """Soon there may be something under way that a reload could lose."""
        for _ in range(200):
            if gateway.daemon is not None and gateway.is_up and gateway.daemon.gateway.link.in_flight:
                return
            await trio.sleep(0.002)

    async def _audit(self, auditor: Auditor) -> None:
        rng = self.rng("audits")
        while True:
            await trio.sleep(rng.expovariate(1 / AUDIT_EVERY_S))
            if rng.random() < 0.3:
                auditor.start_anew()
            with contextlib.suppress(NoAnswer):
                await auditor.read(rng.randint(1, 50))

    # --- the phases ---------------------------------------------------------------------------------------------------

    async def _trade(self) -> None:
        """Phase one, until clients have said what they had to, or time is over."""
        self.timers.at(self.swarm.duration_s, self.over.set)
        async with trio.open_nursery() as nursery:
            for clients in self.clients:
                nursery.start_soon(clients.run, self.over)
        self.ended_at = trio.current_time()

    async def _heal(self) -> None:
        """Phase two begins: nothing breaks any more."""
        self.trace.add(f"{trio.current_time():.6f} all heals")
        self.network.heal()
        for machine in self.machines:
            machine.arm = lambda process: None
            if machine.process is not None:
                machine.process.kill_at = None
            machine.disk.trouble = None
            self.keepers[machine.name].hurry()
        if self.engine.child is not None:
            self.engine.child.kill_at = None
        self.is_healed = True

    async def _settle(self) -> None:
        try:
            with trio.fail_after(HEAL_MAX_S):
                async with trio.open_nursery() as nursery:
                    for clients in self.clients:
                        nursery.start_soon(clients.finish)
                for gateway in self.gateways:
                    await self._until_quiet(gateway)
        except trio.TooSlowError:
            raise NotHealed(self._state()) from None

    async def _until_quiet(self, gateway: Gateway) -> None:
        """Until nothing is unconfirmed, staged or withdrawn."""
        console = Console(self.streams, gateway.name)
        quiet = 0
        while quiet < 3:
            await trio.sleep(0.05)
            try:
                info = fields_of(await console.ask("INFO"))
            except NoAnswer:
                continue
            desk = gateway.daemon.gateway.desk if gateway.daemon is not None else None
            idle = info["orders_queued"] == info["orders_unconfirmed"] == "0" and info["guards_withdrawing"] == "no"
            idle = idle and info["transport_state"] != "ENGINE_DOWN"
            idle = idle and self.oracle.settled(gateway.name) is not None
            quiet = quiet + 1 if idle and desk is not None and desk.is_settled else 0
        console.close()

    async def _judge(self) -> None:
        for gateway, auditor in zip(self.gateways, self.auditors, strict=True):
            while not await self._judge_one(gateway, auditor):
                # An order expired meanwhile, or a day ended.
                for one in self.gateways:
                    await self._until_quiet(one)
        self.oracle.verdict()

    async def _judge_one(self, gateway: Gateway, auditor: Auditor) -> bool:
        """Whether all that it shows is of one moment, so that it could be judged."""
        settled = self._all_settled()
        auditor.close()  # A connection of before may be broken.
        await auditor.read_all()
        auditor.start_anew()
        await auditor.read_all()
        console = Console(self.streams, gateway.name)
        orders = await self._list_all(console)
        positions = await console.ask("POSITIONS")
        books = {i.symbol: await self._book_of(console, i.symbol) for i in gateway.settings.instrument}
        info = fields_of(await console.ask("INFO"))
        console.close()
        auditor.close()
        if None in settled or self._all_settled() != settled:
            return False
        self.oracle.final(gateway.name, orders, positions, books, info)
        return True

    def _all_settled(self) -> list[int | None]:
        """Of each site, since books are of all: the reports that there are, None if some are on their way."""
        return [self.oracle.settled(gateway.name) for gateway in self.gateways]

    async def _book_of(self, console: Console, symbol: str) -> Any:
        """An engine that was started again while nothing was under way is found to have been by asking it."""
        reply: Any = hiredis.ReplyError("UNAVAILABLE for too long")
        with trio.move_on_after(BOOK_MAX_S):
            while True:
                reply = await console.ask("BOOK", symbol, "DEPTH", 100)
                if not (isinstance(reply, hiredis.ReplyError) and str(reply).startswith("UNAVAILABLE")):
                    return reply
                await trio.sleep(0.05)
        return reply

    async def _list_all(self, console: Console) -> list[dict[str, str]]:
        found: list[dict[str, str]] = []
        while True:
            after = found[-1]["order_id"] if found else "0"
            page = [pairs_of(one) for one in await console.ask("ORDER.LIST", "ALL", "AFTER", after, "COUNT", 1000)]
            found += page
            if not page:
                return found

    async def _stop(self) -> None:
        """SIGTERM for all, orderd first: each ends by itself, cleanly and soon."""
        for machine in (*self.gateways, self.engine):
            self.keepers[machine.name].pause()
            process = machine.process
            assert process is not None
            machine.send_signal(signal.SIGTERM)
            with trio.move_on_after(STOP_MAX_S):
                await process.ended.wait()
            if process.alive or process.killed or process.failure is not None:
                raise NotHealed(f"{process.name} did not stop cleanly: {describe(process.failure)}")

    def _state(self) -> str:
        lines = [f"{HEAL_MAX_S:g} s after all had healed"]
        for gateway in self.gateways:
            up = "up" if gateway.is_up else "down"
            lines.append(f"  {gateway.name} is {up}")
            if gateway.daemon is not None and gateway.is_up:
                desk, link = gateway.daemon.gateway.desk, gateway.daemon.gateway.link
                lines.append(
                    f"    unconfirmed {desk.unconfirmed}, settled {desk.is_settled}, {link.health.state.value}: "
                    f"{link.health.reason}, next {link.next_sequence}, acknowledged {link.acknowledged}, "
                    f"in flight {link.in_flight}"
                )
        lines += [f"  {waiting}" for clients in self.clients for waiting in clients.waiting()]
        return "\n".join(lines)

    def figures(self) -> dict[str, int]:
        """Counts of what happened."""
        sent, lost = self.network.figures
        ends = Counter(f"{one.kind}_{how}" for one in self.machines for how in one.endings)
        return {
            "seconds_virtual": round(self.ended_at),
            "datagrams": sent,
            "datagrams_lost": lost,
            **ends,
            **self.oracle.figures(),
        }

    ended_at = 0.0

    def end_early(self) -> None:
        """Nothing more can be promised: what has been seen until now is judged, and no more."""
        self.ends_early = True
        self.over.set()


def fields_of(info: bytes) -> dict[str, str]:
    """INFO by name."""
    return dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)


def _is_of_disk(error: BaseException) -> bool:
    from orderd.journal.errors import JournalError

    if isinstance(error, BaseExceptionGroup):
        return all(_is_of_disk(one) for one in error.exceptions)
    return isinstance(error, (JournalError, OSError))
