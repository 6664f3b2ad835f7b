"""The connections of ``orderctl bench`` on the loop: clients that send without waiting, and one that asks for INFO.

Each has a task that reads. Sending is done by whoever has something to send, as far as the socket takes it; what it
does not take the reading task sends later. How much may be unanswered or unsent is bounded; what is due beyond that
stays due, and its latency goes on counting.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from orderd.ctl import output
from orderd.ctl.bench.account import Account
from orderd.ctl.bench.orders import Sent, Source
from orderd.ctl.bench.schedule import Schedule
from orderd.ctl.connection import Connection
from orderd.ctl.errors import CtlError, ReplyError

WINDOW: Final = 50_000
"""Orders of one client that may be unanswered."""
OUT_BYTES_MAX: Final = 1 << 18
"""Bytes of one client that the socket has not taken yet; a command more than that may be added."""
SEND_AGAIN_S: Final = 0.001
TURN_ORDERS: Final = 250
"""Orders sent at most before replies are read again."""
FLUSH_ROUNDS: Final = 8
HOPELESS: Final = frozenset({"ERR", "BADORDER", "DUPLICATE", "NOPERM"})
"""First words of errors that each further order would get, too."""

Clock = Callable[[], int]
"""Nanoseconds, as ``time.monotonic_ns``."""


class Hopeless(CtlError):
    """The daemon does not take such orders from this client."""


class Client:
    """One connection that carries orders. In a closed loop :attr:`refill` sends the next one for each that is answered.

    Methods raise ``Unreachable`` when the daemon is gone and :class:`Hopeless` for an error that will not pass.
    """

    def __init__(self, connection: Connection, source: Source, account: Account, clock: Clock) -> None:
        self.source = source
        self.refill = False
        self._connection = connection
        self._account = account
        self._clock = clock
        self._out = bytearray()
        self._waiting: deque[tuple[int, Sent]] = deque()

    def __len__(self) -> int:
        """Orders that are not answered."""
        return len(self._waiting) * self.source.orders

    @property
    def has_room(self) -> bool:
        """Whether one more command may be sent."""
        return len(self._out) < OUT_BYTES_MAX and (len(self) < WINDOW or not self._waiting)

    def send(self, due_ns: int) -> None:
        """Makes a command that was due then, to go with the next :meth:`flush`."""
        data, sent = self.source.next_command()
        self._account.send(self.source.orders, self._clock() - due_ns)
        self._waiting.append((due_ns, sent))
        self._out += data

    def flush(self) -> None:
        """Sends what the socket takes, and takes in replies that are there."""
        # Bounded, since in a closed loop each reply makes something new to send.
        for _ in range(FLUSH_ROUNDS):
            before = len(self._out)
            replies = self._connection.exchange(self._out, 0.0)
            if replies:
                self._take(replies)
            elif len(self._out) == before:
                return
            if not self._out:
                return

    async def run(self) -> None:
        """Takes in replies as they come, until cancelled."""
        while True:
            with trio.move_on_after(SEND_AGAIN_S if self._out else math.inf):
                await trio.lowlevel.wait_readable(self._connection.fileno())
            self.flush()

    def _take(self, replies: Sequence[Any]) -> None:
        now = self._clock()
        account, source, waiting = self._account, self.source, self._waiting
        mix, orders = source.mix, source.orders
        for reply in replies:
            due_ns, sent = waiting.popleft()
            is_new = orders == 1 and not sent.cancels
            answer = account.answer(reply, orders, now - due_ns, is_new=is_new)
            mix.note(sent, answer)
            if isinstance(reply, ReplyError) and reply.word in HOPELESS:
                raise Hopeless(str(reply))
        if self.refill:
            for _ in replies:
                self.send(self._clock())


class OpenLoop:
    """Hands what is due to the clients in turn."""

    def __init__(self, schedule: Schedule, clients: Sequence[Client], clock: Clock) -> None:
        self.sent = 0
        """Commands."""
        self._schedule = schedule
        self._clients = deque(clients)
        self._clock = clock
        self._start_ns = clock()

    @property
    def due(self) -> int:
        """Commands that were due so far."""
        return self._schedule.due_by(self._clock() - self._start_ns)

    def turn(self) -> int | None:
        """Sends what is due and finds room, up to a bound. Returns when the next turn is; None: that was the last."""
        schedule = self._schedule
        now = self._clock() - self._start_ns
        last = min(schedule.due_by(now), self.sent + max(1, TURN_ORDERS // schedule.orders))
        touched: set[Client] = set()
        full = 0
        while self.sent < last and full < len(self._clients):
            client = self._clients[0]
            self._clients.rotate(-1)
            if client.has_room:
                client.send(self._start_ns + schedule.due_ns(self.sent))
                touched.add(client)
                self.sent += 1
                full = 0
            else:
                # One that does not get rid of its orders holds up nobody else's.
                full += 1
        for client in touched:
            client.flush()
        if now >= schedule.duration_ns or self.sent >= schedule.total:
            return None
        due = self._start_ns + schedule.due_ns(self.sent)
        return max(due, self._clock() + int(SEND_AGAIN_S * 1e9)) if full else due


class InfoWatch:
    """Asks for INFO whenever :meth:`ask` says so; a daemon that does not answer holds up nobody."""

    def __init__(self, connection: Connection) -> None:
        self.values: dict[str, str] = {}
        """The last answer; empty before the first."""
        self.late = False
        """Whether the last question has no answer yet."""
        self._connection = connection
        self._asked = trio.Event()
        self._answered = trio.Event()

    async def ask(self, patience_s: float) -> None:
        """Asks, unless the last question is not answered yet, and waits so long for the answer."""
        if not self.late:
            self.late = True
            self._answered = trio.Event()
            self._asked.set()
        with trio.move_on_after(patience_s):
            await self._answered.wait()

    async def run(self) -> None:
        """Until cancelled. Raises ``Unreachable`` when the daemon is gone."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            out = bytearray(b"*1\r\n$4\r\nINFO\r\n")
            replies = self._connection.exchange(out, 0.0)
            while not replies:
                with trio.move_on_after(SEND_AGAIN_S if out else math.inf):
                    await trio.lowlevel.wait_readable(self._connection.fileno())
                replies = self._connection.exchange(out, 0.0)
            # Who may not ask may still send orders.
            self.values = output.info_values(replies[0]) if isinstance(replies[0], str) else {}
            self.late = False
            self._answered.set()
