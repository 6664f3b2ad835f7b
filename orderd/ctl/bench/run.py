"""One run of ``orderctl bench``: sends for a while, tells about each second, waits for the answers.

Its tasks: one reads for each client, one asks for INFO, one tells once a second, one waits for Ctrl-C, and the main one
sends. The first error ends all of them; what was counted up to then stays.
"""

import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Final

import attrs
import trio

from orderd.ctl.bench.account import Account, Tally
from orderd.ctl.bench.client import Client, InfoWatch, OpenLoop
from orderd.ctl.bench.schedule import SECOND_NS, Schedule
from orderd.ctl.bench.timer import Timer
from orderd.ctl.errors import CtlError, Unreachable

INFO_PATIENCE_S: Final = 0.5
DRAIN_POLL_S: Final = 0.002
SHOWN_FROM_S: Final = 0.1


@attrs.frozen
class Plan:
    """What is asked for. ``rate`` is orders a second in all; None is a closed loop."""

    symbol: str
    mode: str
    """That goes along with each order; "" leaves it to the daemon."""
    rate: int | None
    duration_s: float
    clients: int
    cancel_share: float
    batch: int | None
    """Records in an ORDER.BATCH; None: ORDER.NEW and ORDER.CANCEL."""
    pipeline: int
    """Commands that a client of a closed loop has unanswered."""

    @property
    def loop(self) -> str:
        """In words."""
        return "closed" if self.rate is None else "open"


@attrs.frozen
class Second:
    """What is told about one second."""

    at_s: float
    """From the start to its end."""
    tally: Tally
    info: Mapping[str, str]
    """INFO's values at its end; empty when there was no answer."""
    confirmed_by_path: Mapping[str, int]
    """Orders that the daemon says were confirmed since the second before, everybody's; empty when not known."""


def confirmed_totals(info: Mapping[str, str]) -> dict[str, int]:
    """Orders confirmed since the daemon's start, by path, as INFO says; everybody's orders."""
    keys = {path: f"orders_confirmed_{path}_total" for path in ("udp", "grpc")}
    return {path: int(info[key]) for path, key in keys.items() if key in info}


class Run:
    """``on_second`` gets each second when it is over."""

    def __init__(
        self,
        plan: Plan,
        clients: Sequence[Client],
        account: Account,
        watch: InfoWatch,
        on_second: Callable[[Second], object],
        timeout_s: float,
    ) -> None:
        self.due = 0
        """Orders that were due; 0 in a closed loop."""
        self.sending_s = 0.0
        """For how long it sent."""
        self.seconds = 0.0
        """Until the last answer."""
        self.interrupted = False
        self.abandoned = False
        """Interrupted once more while it waited for answers."""
        self.error: CtlError | None = None
        """What ended it early."""
        self.confirmed_before: dict[str, int] = {}
        """What INFO said about confirmed orders at the start, by path."""
        self._plan = plan
        self._clients = clients
        self._account = account
        self._watch = watch
        self._on_second = on_second
        self._timeout_s = timeout_s
        self._sending = trio.CancelScope()
        self._cut_ns = 0
        self._started_ns = 0
        self._confirmed: dict[str, int] = {}

    @property
    def unanswered(self) -> int:
        """Orders that were sent and have no answer."""
        return sum(map(len, self._clients))

    async def run(self) -> None:
        """To the end, which is told by the attributes."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._watch_signals, nursery.cancel_scope)
            nursery.start_soon(self._guard, nursery, self._watch.run)
            await self._watch.ask(self._timeout_s)
            self._note_confirmed()
            self.confirmed_before = self._confirmed
            for client in self._clients:
                nursery.start_soon(self._guard, nursery, client.run)
            self._started_ns = self._cut_ns = time.monotonic_ns()
            nursery.start_soon(self._tell)
            await self._guard(nursery, self._work)
            nursery.cancel_scope.cancel()
        self.seconds = self.seconds or self._elapsed_s()
        self._cut()

    async def _guard(self, nursery: trio.Nursery, work: Callable[[], Awaitable[None]]) -> None:
        """An error ends the run in good order."""
        try:
            await work()
        except CtlError as error:
            self.error = self.error or error
            nursery.cancel_scope.cancel()

    async def _watch_signals(
        self, everything: trio.CancelScope, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if self.interrupted:
                    # Twice: not even what was sent is waited for.
                    self.abandoned = True
                    everything.cancel()
                self.interrupted = True
                self._sending.cancel()

    async def _work(self) -> None:
        try:
            with self._sending:
                await (self._send_closed() if self._plan.rate is None else self._send_open(self._plan.rate))
        finally:
            self.sending_s = self._elapsed_s()
        for client in self._clients:
            client.refill = False
        await self._drain()
        self.seconds = self._elapsed_s()
        await self._watch.ask(INFO_PATIENCE_S)

    async def _send_open(self, rate: int) -> None:
        orders = self._plan.batch or 1
        loop = OpenLoop(
            Schedule(rate, orders, int(self._plan.duration_s * SECOND_NS)), self._clients, time.monotonic_ns
        )
        try:
            with Timer() as timer:
                while (due_ns := loop.turn()) is not None:
                    await timer.sleep_until(due_ns)
        finally:
            self.due = loop.due * orders

    async def _send_closed(self) -> None:
        for client in self._clients:
            client.refill = True
            for _ in range(self._plan.pipeline):
                client.send(time.monotonic_ns())
            client.flush()
        await trio.sleep(self._plan.duration_s)

    async def _drain(self) -> None:
        """Until all is answered. Raises :class:`Unreachable` when no more answers come."""
        answered = self._account.answered
        patience = trio.current_time() + self._timeout_s
        while self.unanswered:
            await trio.sleep(DRAIN_POLL_S)
            if self._account.answered != answered:
                answered, patience = self._account.answered, trio.current_time() + self._timeout_s
            elif trio.current_time() >= patience:
                raise Unreachable(f"no answer within {self._timeout_s:g} s")

    async def _tell(self) -> None:
        begun = trio.current_time()
        for number in count(1):
            await trio.sleep_until(begun + number)
            await self._watch.ask(INFO_PATIENCE_S)
            self._cut()

    def _cut(self) -> None:
        """Ends a second and tells it."""
        now = time.monotonic_ns()
        tally = self._account.cut((now - self._cut_ns) / SECOND_NS)
        self._cut_ns = now
        if tally.seconds < SHOWN_FROM_S:
            # What comes in behind the last full second counts, but has no rate worth telling.
            return
        confirmed = {} if self._watch.late else self._note_confirmed()
        info = {} if self._watch.late else self._watch.values
        self._on_second(Second(self._elapsed_s(), tally, info, confirmed))

    def _note_confirmed(self) -> dict[str, int]:
        before, self._confirmed = self._confirmed, confirmed_totals(self._watch.values)
        return {path: total - before[path] for path, total in self._confirmed.items() if path in before}

    def _elapsed_s(self) -> float:
        return (time.monotonic_ns() - self._started_ns) / SECOND_NS if self._started_ns else 0.0
