"""A site under load in a directory of its own, and all that is needed to hurt it, to heal it and to check it."""

import contextlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from orderd.journal.errors import JournalError
from tests.chaos.archive import Archive
from tests.chaos.checks import Evidence, Findings, check
from tests.chaos.commands import Command
from tests.chaos.flow import INSTRUMENTS, Flow
from tests.chaos.load import PROBE_PAUSE_S, LibraryTrader, Prober, Trader, names_of, recovery_s, resolve
from tests.chaos.scorecard import Row
from tests.chaos.watch import Tail
from tests.support.processes import LOG_CHARACTERS_SHOWN, Process, Site, wait_until
from tests.support.resp_client import RespClient
from tests.support.tcp_proxy import TcpProxy
from tests.support.udp_proxy import UdpProxy

ORDERD: Final = {"journal.segment_bytes": 1_048_576, "limits.query_bytes_max": 65_536, "reply_timeout_ms": 3000}
ENGINE: Final = {"journal.segment_bytes": 1_048_576}
SETTLE_S: Final = 60.0
RECOVER_S: Final = 30.0
PROBER: Final = 0
BOOK_DEPTH: Final = 1000
FAILURES: Final = (AssertionError, OSError, EOFError)
"""What talking to a daemon that does not do as it should may raise."""


class Arena:
    """One site of a scenario. Open it with ``with``: at the end it is healed, brought to rest, and checked."""

    def __init__(
        self,
        directory: Path,
        row: Row,
        is_ready: Callable[[], None] = lambda: None,
        *,
        orderd: Mapping[str, object] | None = None,
        engine: Mapping[str, object] | None = None,
        proxies: bool = False,
        refusals: Sequence[str] = (),
        probe_pause_s: float = PROBE_PAUSE_S,
    ) -> None:
        """``proxies``: put both roads through one. ``refusals``: first words of errors that are no surprise here."""
        self.row = row
        self._is_ready = is_ready
        self.random = random.Random(f"{row.scenario} {row.seed} {row.sites}")
        self.traders: list[Trader] = []
        self.others: list[list[Command]] = []
        """What is sent beside them; what is not answered is asked for at the end."""
        self.problems: list[str] = []
        self.over_at: list[float] = []
        """When nothing stood in the way any more, after each fault."""
        self.evidence: Evidence | None = None
        """What was found at the end."""
        self._flows = 0
        self._directory = directory
        self._refusals = refusals
        self._stack = contextlib.ExitStack()
        self.site = Site(directory, orderd={**ORDERD, **(orderd or {})}, engine={**ENGINE, **(engine or {})})
        self.udp: UdpProxy | None = None
        self.grpc: TcpProxy | None = None
        if proxies:
            self.udp = self._stack.enter_context(UdpProxy(self.site.engine_port, seed=self.random.getrandbits(32)))
            address = self.site.grpc_address
            self.grpc = self._stack.enter_context(TcpProxy(address.host, address.port))
            self.site.orderd_settings |= {"engine.udp": f"127.0.0.1:{self.udp.port}", "engine.grpc": self.grpc.address}
        self._fault_starts: list[float] = []
        journal = Path(str(self.site.engine_settings["journal.directory"]))
        self.archive = Archive(journal, journal.parent / "archive")
        self.tail = Tail(self.site.socket_path)
        self.prober = Prober(self.site.socket_path, self._flow(PROBER), pause_s=probe_pause_s, refusals=refusals)

    def __enter__(self) -> Self:
        try:
            self.site.start_engine(wait=False)
            self.site.start_orderd()
            self.site.engine.wait_for_log("ready")
            self.site.wait_connected()
        except BaseException:
            self._close()
            raise
        for thread in (self.archive, self.tail, self.prober):
            thread.start()
        self._is_ready()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None or isinstance(error, FAILURES):
                if error is not None:
                    self.problems.append(f"while it was played: {error!r}")
                self.row.add(self._settled())
        finally:
            self._close()
        if isinstance(error, FAILURES):
            raise SceneFailed(str(error)) from error

    # --- the load -----------------------------------------------------------------------------------------------------

    def load(self, count: int = 2, **how: Any) -> None:
        """Start so many clients; the last of several goes through orderd.client."""
        for number in range(count):
            kind = LibraryTrader if count > 1 and number == count - 1 else Trader
            self.add(kind(self.site.socket_path, self.flow(), refusals=self._refusals, **how))

    def add(self, trader: Trader) -> None:
        """Start a client."""
        self.traders.append(trader)
        trader.start()

    def flow(self) -> Flow:
        """For one more client; no other has the same."""
        self._flows += 1
        return self._flow(self._flows)

    def _flow(self, number: int) -> Flow:
        return Flow(number, f"{self.row.scenario} {self.row.seed} {self.row.sites}")

    @property
    def answered(self) -> int:
        """Commands that were answered without an error."""
        return sum(trader.answered for trader in self.traders)

    # --- faults -------------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """SIGKILL orderd or engine, which must be running."""
        process = self.process(name)
        self._begin()
        if not process.running:
            self._ended(process)
        else:
            process.kill()
        setattr(self.row, f"kills_{name}", getattr(self.row, f"kills_{name}") + 1)

    def launch(self, name: str) -> None:
        """Start it again; whether it gets ready is seen by what follows."""
        if name == "engine":
            self.site.start_engine(wait=False)
        else:
            self.site.launch_orderd()
        self.over()

    def process(self, name: str) -> Process:
        """orderd or engine."""
        process: Process = getattr(self.site, name)
        return process

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """What is done inside stands in the way; behind it nothing does."""
        self._begin()
        yield
        self.over()

    def _begin(self) -> None:
        self._fault_starts.append(time.monotonic())
        self.row.faults += 1

    def over(self) -> None:
        """Nothing stands in the way any more."""
        self.over_at.append(time.monotonic())

    def wait_recovered(self, timeout_s: float = RECOVER_S) -> None:
        """Until an order that was new after the last fault is confirmed. Fails after ``timeout_s``."""
        over_at, samples, seen = self.over_at[-1], self.prober.samples, len(self.prober.samples)

        def is_back() -> bool:
            nonlocal seen
            fresh, seen = samples[seen:], len(samples)
            assert self.prober.is_alive(), self.prober.problems
            return any(sample.is_confirmed and sample.sent >= over_at for sample in fresh)

        wait_until(is_back, "a new order is confirmed after a fault", timeout_s)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _settled(self) -> Findings:
        """Heal, wait until everything is confirmed, and check."""
        try:
            self._heal()
            for trader in [*self.traders, self.prober]:
                trader.stop()
            for trader in [*self.traders, self.prober]:
                trader.finish()
                self.problems += trader.problems
            self.site.wait_confirmed(SETTLE_S)
            self.evidence = evidence = self._collect()
            self._stop()
            evidence.inputs = self.archive.inputs()
            if not self.archive.states_agree():
                self.problems.append("state: the snapshot's is not the one that the first record leads to")
            findings = check(evidence)
        except (*FAILURES, JournalError) as error:
            findings = Findings()
            self.problems.append(f"it did not come to rest: {error!r}")
        findings.problems = self.problems + findings.problems
        self._measure()
        self.row.retransmits += self.tail.counters["udp_retransmits_total"]
        return findings

    def _heal(self) -> None:
        if self.udp is not None and self.grpc is not None:
            self.udp.heal()
            self.grpc.mood = "pass"
        for name in ("engine", "orderd"):
            process = self.process(name)
            if process.running:
                process.popen.send_signal(signal.SIGCONT)
            else:
                self.launch(name)
        self.site.engine.wait_for_log("ready")
        self.site.wait_ready()

    def _collect(self) -> Evidence:
        clients = [*(trader.commands for trader in [*self.traders, self.prober]), *self.others]
        with self.site.client() as client:
            resolved = sum(resolve(client, commands) for commands in clients)
            names = [name for commands in clients for name in names_of(commands)]
            statuses = dict(zip(names, client.pipeline([("ORDER.STATUS", n) for n in names]), strict=True))
            executions = client.executions()
            books = {symbol: client.call("BOOK", symbol, "DEPTH", BOOK_DEPTH) for symbol, _ in INSTRUMENTS}
            positions = client.call("POSITIONS", "COUNT", 1000)
        self.tail.finish()
        for exec_id, pairs in executions:
            self.tail.show(exec_id, pairs)
        return Evidence(clients, [], executions, statuses, books, positions, self.tail.changed, resolved)

    def _stop(self) -> None:
        for name in ("orderd", "engine"):
            if (code := self.process(name).terminate()) != 0:
                self.problems.append(f"end: {name} ended with {code} on SIGTERM")
        self.archive.finish()

    def _measure(self) -> None:
        """How long it took to recover from each fault before the next one began."""
        for over_at in self.over_at:
            until = next((start for start in self._fault_starts if start > over_at), float("inf"))
            took = recovery_s(self.prober.samples, over_at, until)
            if took is not None:
                self.row.recoveries_s.append(took)

    def _ended(self, process: Process) -> None:
        self.problems.append(
            f"end: {process.name} ended by itself with {process.popen.returncode}: {process.log[-500:]}"
        )

    def _close(self) -> None:
        for process in (self.site.orderd, self.site.engine):
            process.clean_up()
            if process.log_path.exists() and "Traceback" in process.log_path.read_text("utf-8", "replace"):
                self.row.problems.append(f"traceback: {process.log_path}")
        for trader in [*self.traders, self.prober]:
            trader.stop()
        self.tail.finish() if self.tail.is_alive() else None
        self.archive.finish() if self.archive.is_alive() else None
        self.site.udp.close()
        self.site.grpc.close()
        self._stack.close()
        if self.row.is_good:
            shutil.rmtree(self._directory, ignore_errors=True)


class SceneFailed(Exception):
    """A scenario could not be played to its end; why is in its row."""


def tail_of(process: Process) -> str:
    """The end of its log."""
    return process.log[-LOG_CHARACTERS_SHOWN:]


def answers(path: Path) -> bool:
    """Whether orderd answers."""
    with contextlib.suppress(OSError, EOFError), RespClient(path, timeout_s=2) as client:
        return bool(client.call("PING") == "PONG")
    return False
