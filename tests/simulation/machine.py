"""Computers of a simulated world: a disk, a wall clock that may be wrong, and one daemon that is started and killed.

What runs on them are the daemons as they are. A :class:`Machine` gives each life of its daemon a :class:`Process`, and
tells the oracle what its journal took and gave back.
"""

import random
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import trio

from engine.config import EngineSettings
from engine.daemon import EngineDaemon, open_core
from engine.restoring import APPLICATION as ENGINE_APPLICATION
from engine.snapshot_child import ChildFailed
from engine.snapshot_maker import Made, make_snapshot
from orderd.config import Settings
from orderd.daemon import APPLICATION, Daemon
from orderd.dispatch.dispatcher import Roads
from orderd.journal import open_journal
from orderd.journal.interface import Journal
from orderd.journal.record import Entry, Payload
from orderd.journal.segment import Position
from orderd.runtime.host import Host
from tests.simulation.disk import ProcessDisk
from tests.simulation.kernel import Process, Timers, Trace
from tests.simulation.network import Network
from tests.simulation.streams import Streams
from tests.support.simulated_disk import SimulatedDisk

if TYPE_CHECKING:
    from engine.config import EngineSource

EPOCH_NS = 1_700_000_000_000_000_000
"""Where wall clocks begin."""
ENGINE = "engine"
ENGINE_UDP, ENGINE_GRPC = "engine:9001", "engine:50051"


class Witness(Protocol):
    """Who is told what journals do: the oracle."""

    def committed(self, who: str, entries: list[Entry], now: float) -> None: ...
    def replayed(self, who: str, first: int, entries: list[Entry], now: float) -> None: ...
    def daemon_started(self, who: str, now: float) -> None: ...
    def daemon_ended(self, who: str, how: str, error: BaseException | None, now: float) -> None: ...
    def sigterm(self, who: str, now: float) -> None: ...


class WitnessedJournal:
    """A journal whose every commit and replay somebody sees. All else is the journal's own."""

    def __init__(self, inner: Journal, machine: "Machine") -> None:
        self._inner = inner
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def replay(self, start: Position | None = None) -> Iterator[Entry]:
        """As the journal's; what came of it is told at its end."""
        read: list[Entry] = []
        for kind, payload in self._inner.replay(start):
            read.append((kind, bytes(payload)))
            yield kind, payload
        self._machine.note_replay(1 if start is None else start.first_commit, self._last_commit, read)

    @property
    def _last_commit(self) -> int:
        number: int = getattr(self._inner, "_next_commit", 1)
        return number - 1

    def commit(self, entries: Sequence[tuple[int, Payload]]) -> None:
        """As the journal's; told when it has returned."""
        taken = [(kind, bytes(payload)) for kind, payload in entries]
        self._inner.commit(entries)
        self._machine.note_commit(self._last_commit, taken, self._inner.location)


class _Clock:
    def __init__(self, machine: "Machine") -> None:
        self._machine = machine

    def monotonic(self) -> float:
        return trio.current_time()

    def time_ns(self) -> int:
        return self._machine.time_ns()


class _Entropy:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def u64(self) -> int:
        return self._rng.getrandbits(64)


class Signals:
    """What :func:`trio.open_signal_receiver` is to a process of the world."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._open: list[tuple[frozenset[int], trio.MemorySendChannel[int]]] = []

    @contextmanager
    def receiver(self, *numbers: int) -> Iterator[AsyncIterator[int]]:
        """As a daemon opens it."""
        send, receive = trio.open_memory_channel[int](1000)
        self._open.append((frozenset(numbers), send))
        yield receive

    def send(self, number: int) -> bool:
        """Whether anybody waits for it; else it ends the process, as signals do."""
        heard = False
        for numbers, channel in self._open:
            if number in numbers:
                channel.send_nowait(number)
                heard = True
        return heard


@attrs.define(eq=False)
class Ground:
    """What all machines of a world stand on."""

    timers: Timers
    trace: Trace
    network: Network
    streams: Streams
    witness: Witness
    nursery: trio.Nursery
    seed: object
    processes: list[Process] = attrs.field(factory=list)
    """All that ever were."""

    def process(self, name: str) -> Process:
        """A new one."""
        made = Process(name, random.Random(f"{self.seed}/{name}"), self.timers, self.trace)
        self.processes.append(made)
        return made

    def end(self) -> None:
        """Nothing of it does anything any more."""
        for process in self.processes:
            process.on_death.clear()
            process.kill()


class Machine:
    """One computer. Subclasses say what runs on it."""

    kind = ""

    def __init__(self, name: str, ground: Ground, disk: SimulatedDisk, rng: random.Random) -> None:
        self.name = name
        self.ground = ground
        self.disk = disk
        self.rng = rng
        self.process: Process | None = None
        self.signals: Signals | None = None
        self.lives = 0
        self.endings: list[str] = []
        """How each of them ended: killed, stopped or failed."""
        self.clock_offset_ns = 0
        self.thread_mean_s = 0.0001
        """What threads of its processes take, before and after what they do."""
        self.quick_disk = 0.5
        """How often a commit looks so quick that the next ones are done in the loop."""
        self.arm: Callable[[Process], None] = lambda process: None
        """Called with each new process before it runs: it may be told when to die."""
        self.is_silent = False
        """Whether nobody is told what its journal does: its disk is not the right one."""
        self.last_commit_at: tuple[int, int] | None = None
        """Segment and offset where its journal's last commit begins."""
        self._ends: dict[int, int] = {0: 0}
        """By commit, how many entries there are up to it and with it."""
        self._entries = 0

    # --- clocks and journals ------------------------------------------------------------------------------------------

    def time_ns(self) -> int:
        """By its wall clock."""
        return EPOCH_NS + round(trio.current_time() * 1e9) + self.clock_offset_ns

    def note_commit(self, commit: int, entries: list[Entry], location: tuple[int, int] | None) -> None:
        """Its journal has taken these for good."""
        if self.is_silent:
            return
        self.last_commit_at = location
        self._entries += len(entries)
        self._ends[commit] = self._entries
        self.trace(f"commit {len(entries)}")
        self.ground.witness.committed(self.name, entries, trio.current_time())

    def note_replay(self, first_commit: int, last_commit: int, entries: list[Entry]) -> None:
        """Its journal has given these back, from that commit on."""
        if self.is_silent:
            return
        before = self._ends[first_commit - 1] if first_commit > 1 else 0
        # Whole records of a commit that was never finished stay, and count before the next one.
        self._entries = self._ends[last_commit] = before + len(entries)
        self.trace(f"replay from {before} of {len(entries)}")
        self.ground.witness.replayed(self.name, before, entries, trio.current_time())

    def trace(self, text: str) -> None:
        """One line about it."""
        self.ground.trace.add(f"{trio.current_time():.6f} {self.name} {text}")

    # --- lives --------------------------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.alive

    def start(self, name: str = "") -> Process:
        """A new life of its daemon; ``name`` is of one that runs beside it."""
        self.lives += 1
        is_beside = bool(name) or self.is_silent
        life = f"{name or self.name}#{self.lives}"
        process = self.ground.process(life)
        process.thread_mean_s = self.thread_mean_s
        signals = Signals(process)
        if not name:
            self.process, self.signals = process, signals
        self.trace(f"starts as {life}")
        # Whoever looks at the end hears of it last, when sockets are closed and locks are given back.
        process.on_death.append(partial(self._ended, process, is_beside))
        if not is_beside:
            self.arm(process)
            self.ground.witness.daemon_started(self.name, trio.current_time())
        self.ground.nursery.start_soon(process.run, partial(self.main, process, signals))
        return process

    def _ended(self, process: Process, is_beside: bool) -> None:
        how = "killed" if process.killed else "failed" if process.failure is not None else "stopped"
        self.trace(f"{process.name} {how} {describe(process.failure)}")
        if not is_beside:
            self.endings.append(how)
            self.ground.witness.daemon_ended(self.name, how, process.failure, trio.current_time())

    async def main(self, process: Process, signals: Signals) -> None:
        """What the daemon's own entry does, with the seams of this machine."""
        raise NotImplementedError

    def kill(self, *, power: bool) -> None:
        """SIGKILL; with ``power`` the whole machine goes, and what its disk had not synced."""
        self.trace("loses power" if power else "is killed")
        if self.process is not None:
            self.process.kill()
        if power:
            self.lose_power()

    def lose_power(self) -> None:
        """Whatever runs ends, and what the disk had not synced goes."""
        if self.process is not None:
            self.process.kill()
        self.disk.lose_power()

    def send_signal(self, number: int) -> None:
        """To the daemon, if it runs."""
        if self.signals is None or not self.is_up:
            return
        self.trace(f"gets {signal.Signals(number).name}")
        if number != signal.SIGHUP:
            self.ground.witness.sigterm(self.name, trio.current_time())
        if not self.signals.send(number):
            self.kill(power=False)

    def _host(self, process: Process, signals: Signals) -> Host:
        slow = self.rng.random() >= self.quick_disk
        ticks = iter(range(1 << 62))
        return Host(
            clock=_Clock(self),
            entropy=_Entropy(process.rng),
            run_sync=process.run_sync,
            signals=signals.receiver,
            stopwatch=(lambda: float(next(ticks))) if slow else lambda: 0.0,
            process_id=100 + self.lives,
        )


def describe(error: BaseException | None) -> str:
    """In one line; a group by what is in it."""
    if error is None:
        return ""
    if isinstance(error, BaseExceptionGroup):
        return " and ".join(describe(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


def isinstance_all(error: BaseException | None, *kinds: type[BaseException]) -> bool:
    """Whether it, or each one in it, is of these kinds."""
    if isinstance(error, BaseExceptionGroup):
        return all(isinstance_all(one, *kinds) for one in error.exceptions)
    return isinstance(error, kinds)


class Gateway(Machine):
    """A host with orderd."""

    kind = "orderd"
    settings: Settings
    file: Settings
    """What a reload finds."""
    daemon: Daemon | None = None

    async def main(self, process: Process, signals: Signals) -> None:
        settings, host = self.settings, self._host(process, signals)
        disk = ProcessDisk(self.disk, process)
        inner = open_journal(settings.journal, APPLICATION, disk, entropy_u64=host.entropy.u64())
        try:
            journal: Any = WitnessedJournal(inner, self)
            # Nobody finds one that runs beside it, or with a disk that is not the right one.
            is_found = process is self.process and not self.is_silent
            listening = self.ground.streams.listen(process, self.name if is_found else process.name)
            sock = self.ground.network.socket(process, f"{self.name}:{process.name}", ENGINE_UDP)
            roads = Roads(
                sock,
                self.ground.network.calls.connect(process, ENGINE_GRPC),
                ENGINE_UDP,
                ENGINE_GRPC,
                settings.grpc.timeout_ms / 1000,
            )
            try:
                daemon = Daemon(settings, journal, roads, b"", host=host, disk=disk, source=_File(self))
                if process is self.process:
                    self.daemon = daemon
                await daemon.run(listening)
            finally:
                sock.close()
        finally:
            inner.close()


@attrs.frozen
class _File:
    """The settings file of a machine."""

    machine: Gateway
    place: str = "memory"

    def load(self) -> Settings:
        return self.machine.file


@attrs.frozen
class _EngineFile:
    settings: EngineSettings
    place: str = "memory"

    def load(self) -> EngineSettings:
        return self.settings


class EngineHost(Machine):
    """The host with the engine, and with the child that makes its snapshots."""

    kind = "engine"
    settings: EngineSettings
    daemon: EngineDaemon | None = None
    child: Process | None = None
    children = 0

    def lose_power(self) -> None:
        if self.child is not None:
            self.child.kill()
        super().lose_power()

    async def main(self, process: Process, signals: Signals) -> None:
        settings, host = self.settings, self._host(process, signals)
        disk = ProcessDisk(self.disk, process)
        source: EngineSource = _EngineFile(settings)  # type: ignore[assignment]
        with signals.receiver(signal.SIGHUP) as hangups:
            inner = open_journal(settings.journal, ENGINE_APPLICATION, disk, entropy_u64=host.entropy.u64())
            try:
                journal: Any = WitnessedJournal(inner, self)
                start = open_core(settings, journal, disk, b"")
                sock = self.ground.network.socket(process, ENGINE_UDP)
            except BaseException:
                inner.close()
                raise
            daemon = EngineDaemon(
                settings, source, journal, start, host=host, disk=disk, has_key=False,
                make_snapshot=partial(self._make_snapshot, process),
            )  # fmt: skip
            if process is self.process:
                self.daemon = daemon
            await daemon.run(sock, self._serve(process), hangups)

    def _serve(self, process: Process) -> Any:
        return self.ground.network.calls.serve(process, ENGINE_GRPC)

    async def _make_snapshot(self, parent: Process, directory: str, position: Position) -> Made:
        """In a process of its own, which can be killed alone and dies soon after its parent."""
        self.children += 1
        name = f"{self.name}-child#{self.children}"
        child = self.child = self.ground.process(name)
        self.arm(child)
        disk = ProcessDisk(self.disk, child)
        made: list[Made] = []

        async def work() -> None:
            await child.pause(child.rng.expovariate(1 / 0.05))
            made.append(make_snapshot(directory, position.index, disk=disk, token=name, stopwatch=lambda: 0.0))
            await child.pause(child.rng.expovariate(1 / 0.01))

        def end_with_parent() -> None:
            self.ground.timers.at(child.rng.expovariate(1 / 0.01), child.kill)

        parent.on_death.append(end_with_parent)
        self.ground.nursery.start_soon(child.run, work)
        await child.ended.wait()
        parent.touch("child")
        if not made or child.killed:
            raise ChildFailed(describe(child.failure) or "its process was killed")
        return made[0]
