"""Intake: from a client's bytes to staged orders and replies. Pure; the listener is the shell around it.

A chunk is processed at once, without waiting for anything: each command of it is checked and staged, and its reply is
either ready or waits its turn. Orders count only when their command is complete; one cut off by a hang-up never becomes
an order.
"""

from collections.abc import Callable, Generator, Iterable

import attrs

from orderd.intake import (
    execution_commands,
    guard_commands,
    order_commands,
    replies,
    server_commands,
    trading_commands,
    transaction_commands,
    words,
)
from orderd.intake.access import Peer, Role
from orderd.intake.command_table import TABLE, Command, Reply, Steps, not_permitted, run
from orderd.intake.context import Client, Context, Services
from orderd.intake.pending import Mark, Unfinished, Waiter, WaitList
from orderd.intake.resp import CommandReader
from orderd.intake.subscriptions import PUSH_BYTES
from orderd.intake.turns import Turn, Turned, Turns

OUT_BYTES = 32 * 1024
"""Replies are made this far ahead of what a client reads, in one turn: half a millisecond or so."""
REPLY_BYTES = 320
"""What a reply that is not made yet counts: an order's pairs."""
TRANSACTION_QUERIES = 16
"""Commands that wait for EXEC may be so many times as large as one command."""
WORD_BYTES = 64
"""What holding a word takes besides its bytes."""
ANSWERED_BY_EXEC_MAX = 1024
"""Commands in one transaction whose replies EXEC makes on the spot, which takes time and room: in one piece, too."""
ANSWERED_LATER = frozenset({"orders", "executions"})
"""Groups of commands whose replies are made when the client reads them."""
REPLIES_MAX = 1_000_000
"""Replies that one client may wait for while it reads all that it is given, whatever ``reply_bytes_max`` says."""
COMMANDS_AT_ONCE = 64
"""Of one client, before others have their turn: well below a millisecond."""
ONE_AT_A_TIME = "server"
"""Commands of this group tell much, so others have their turn after each."""
COMMAND_MODULES = (
    execution_commands,
    guard_commands,
    order_commands,
    server_commands,
    trading_commands,
    transaction_commands,
)
"""They fill the table as they are imported."""


@attrs.frozen
class IntakeLimits:
    """The meaning of each is that of the setting with its name."""

    clients_max: int = 1024
    query_bytes_max: int = 1048576
    reply_bytes_max: int = 8388608


@attrs.define(eq=False)
class Connection:
    """A client and what is on its way to it."""

    client: Client
    reader: CommandReader
    out: bytearray = attrs.field(factory=bytearray)
    """Replies to be written."""
    overflowed: bool = False


class Intake:
    """All connections. ``wake`` returns those that have something to be written."""

    def __init__(self, services: Services, limits: IntakeLimits) -> None:
        self.wait_list = WaitList()
        self.connections_total = 0
        self.commands_total = 0
        self._services = services
        self._limits = limits
        self._connections: dict[int, Connection] = {}
        self._clients: dict[int, Client] = {}
        self._by_waiter: dict[Waiter, Connection] = {}
        self._settled: list[Connection] = []
        self._kill = False
        self.turns = Turns(lambda held: services.desk.hold(held=held))
        self.guarding = services.guarding
        self._shares = services.desk.shares
        self._subscriptions = services.subscriptions
        self.wait_list.turns = self._subscriptions.ready
        self.wait_list.reads_along = lambda: self._subscriptions.await_executions
        self.update_marks()

    def __len__(self) -> int:
        return len(self._connections)

    # --- connections --------------------------------------------------------------------------------------------------

    def connect(self, peer: Peer, now: float) -> Connection | bytes:
        """A new connection, or what to tell it before it is closed."""
        if len(self._connections) >= self._limits.clients_max:
            return replies.error("LIMIT", f"clients_max {self._limits.clients_max} is reached")
        self.connections_total += 1
        role, owner = self._services.live.access.role_of(peer), self._services.desk.shares.join(peer.pid)
        client = Client(self.connections_total, Waiter(), peer, role, now, owner=owner)
        connection = Connection(client, CommandReader(query_bytes_max=self._limits.query_bytes_max))
        self._connections[client.id] = connection
        self._clients[client.id] = client
        self._by_waiter[client.waiter] = connection
        return connection

    def disconnect(self, connection: Connection) -> None:
        """It is gone. What it was told, or had sent completely, stands."""
        client, desk = connection.client, self._services.desk
        self.hang_up(connection)
        client.waiter.clear()
        client.waiter.registration = 0
        self._subscriptions.end(client)
        if self._connections.pop(client.id, None) is not None:
            desk.shares.leave(client.peer.pid, client.owner, desk.outcomes.confirmed_end)
        self._clients.pop(client.id, None)
        self._by_waiter.pop(client.waiter, None)

    def hang_up(self, connection: Connection) -> None:
        """No more commands come from it, although it may still read: its guarded orders are to be cancelled."""
        self.guarding.end(connection.client)

    def hang_up_all(self) -> None:
        """The daemon comes to its end, and no connection survives that."""
        for client in self._clients.values():
            if client.is_busy and client.owner.guard is not None:
                # What it places still is in a guard that ends with its reading.
                self.guarding.fire(client)
            else:
                self.guarding.end(client)

    def update_roles(self) -> None:
        """The rules of access changed: they hold for those who are connected, too."""
        for client in self._clients.values():
            client.role = self._services.live.access.role_of(client.peer)

    def feed(self, connection: Connection, chunk: bytes, now: float, now_ns: int) -> None:
        """Process what a client sent, in one go."""
        for _ in self.feed_in_steps(connection, chunk, now, now_ns):
            pass

    def feed_in_steps(
        self, connection: Connection, chunk: bytes, now: float, now_ns: int
    ) -> Generator[Turn, None, None]:
        """Process what a client sent; others may have their turn at each yield, but not this client."""
        client, reader = connection.client, connection.reader
        context = Context(
            self._services, client, self._clients, now, now_ns, lambda _: self._settled.append(connection)
        )
        requests = reader.feed(chunk)
        if requests:
            self._hear(client, now)
        client.is_busy, at_once = True, 0
        try:
            for request in requests:
                if client.closing:
                    break
                at_once += 1
                steps = self._process(context, request)
                if steps is not None:
                    at_once = 0
                    for reply in (yield from steps):
                        client.waiter.add(reply)
                if at_once >= COMMANDS_AT_ONCE or client.has_told_much:
                    at_once, client.has_told_much = 0, False
                    yield Turn.OTHERS
        finally:
            client.is_busy = False
        if reader.error is not None and not client.closing:
            client.waiter.add(replies.error("ERR", f"Protocol error: {reader.error}"))
            client.closing = True
        self.collect(connection, now)

    # --- waking -------------------------------------------------------------------------------------------------------

    def update_marks(self) -> None:
        """Take over how far the desk has come."""
        desk, marks = self._services.desk, self.wait_list.marks
        marks[Mark.COMMITTED] = desk.committed_end
        marks[Mark.CONFIRMED] = min(desk.outcomes.confirmed_end, desk.committed_end)
        marks[Mark.JOURNALED] = desk.reports_journaled
        marks[Mark.EXECUTED] = desk.executions.next
        marks[Mark.COMMITS] = desk.commits

    def wake(self, now: float) -> Iterable[Connection]:
        """Collect the replies that have become ready; the connections that have something to be written."""
        woken = self.woken(now)
        for connection in woken:
            self.collect(connection, now)
        return woken

    def woken(self, now: float, more: Iterable[Connection] = ()) -> list[Connection]:
        """The connections whose replies may have become ready, and ``more``; those that wait for few come first.

        Those that wait for no reply, and are there for what is pushed to them, come last.
        """
        self.update_marks()
        woken = dict.fromkeys(more)
        woken.update({self._by_waiter[w]: None for w in self.wait_list.ready(now) if w in self._by_waiter})
        if self._settled:
            woken.update(dict.fromkeys(self._settled))
            self._settled.clear()
        for client in self._subscriptions.take_ready():
            if client.id in self._connections:
                woken[self._connections[client.id]] = None
        return sorted(woken, key=lambda connection: len(connection.client.waiter.replies) or REPLIES_MAX)

    def give_up(self, unfinished: Unfinished) -> Iterable[Connection]:
        """Answer all that waits: what has come as it is, the rest as UNKNOWN."""
        self.update_marks()
        for connection in self._connections.values():
            connection.out += self.wait_list.give_up(connection.client.waiter, unfinished)
        return self._connections.values()

    @property
    def confirmed(self) -> int:
        """Rows below it are confirmed, as far as clients were told."""
        return self.wait_list.marks[Mark.CONFIRMED]

    @property
    def patience(self) -> float:
        """How long a reply may take, in seconds."""
        return self._services.live.reply_timeout

    def take_killed(self) -> list[Connection]:
        """Connections that a client asked to close."""
        if not self._kill:
            return []
        self._kill = False
        return [connection for connection in self._connections.values() if connection.client.killed]

    def collect(self, connection: Connection, now: float) -> None:
        """Add the replies that are ready to what is to be written.

        While a client does not read, its replies stay what they are: a few words each, and not bytes.
        """
        waiter = connection.client.waiter
        if connection.overflowed:
            waiter.clear()
            return
        if len(connection.out) < OUT_BYTES:
            connection.out += self.wait_list.collect(waiter, now, OUT_BYTES)
            # Orders that wait are bounded elsewhere; these stand behind something that waits.
            unread = waiter.held_bytes
            if len(waiter.replies) > REPLIES_MAX:
                unread = max(unread, len(waiter.replies) * REPLY_BYTES)
        else:
            waiter.has_more = True
            unread = len(connection.out) + max(waiter.held_bytes, len(waiter.replies) * REPLY_BYTES)
        if unread > self._limits.reply_bytes_max:
            # Said in its place behind the replies that are whole; the orders whose replies are not given live on.
            bound = f"reply_bytes_max {self._limits.reply_bytes_max}"
            connection.out += replies.error("LIMIT", f"{bound}: about {unread} bytes of replies are not read")
            waiter.clear()
            connection.overflowed = connection.client.closing = True
        elif not waiter.parts_left and connection.client in self._subscriptions:
            self._push(connection)

    def _push(self, connection: Connection) -> None:
        """Add executions that the client subscribed to, while little waits to be written."""
        waiter = connection.client.waiter
        if len(connection.out) >= PUSH_BYTES:
            waiter.has_more = True
            return
        pushes, has_more = self._subscriptions.pull(connection.client)
        connection.out += pushes
        if has_more and connection.out:
            waiter.has_more = True
        elif has_more:
            self._subscriptions.ready.append(connection.client)

    # --- time ---------------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When to call :meth:`wake`, and to look who is silent; minus infinity for at once."""
        return min(self.wait_list.next_deadline(), self.guarding.next_deadline())

    def _hear(self, client: Client, now: float) -> None:
        client.heard_at = now
        if client.is_silent:
            self.guarding.arm(client, now)

    def fire_silent(self, now: float, has_unread: Callable[[Client], bool] = lambda _: False) -> bool:
        """Whether there are orders to be cancelled, of clients that have sent no command for too long.

        ``has_unread`` tells whether there is something from a client that was not read yet.
        """
        found = False
        for client in self.guarding.silent(now):
            if has_unread(client):
                self.guarding.hear(client, now)
            else:
                found = self.guarding.fire(client) or found
        return found

    # --- commands -----------------------------------------------------------------------------------------------------

    def _process(self, context: Context, request: list[bytes]) -> Turned | None:
        """Do one command; if it takes long, only begin."""
        client = context.client
        client.commands += 1
        self.commands_total += 1
        found = TABLE.find(request)
        if found is None or not found[0].takes(len(request)):
            self._refuse(client, _objection(found, request))
            return None
        command, args = found[0], request[found[1] :]
        objection = not_permitted(command, args, client.role)
        if objection is not None:
            self._refuse(client, objection)
        elif client.transaction is not None and not command.immediate:
            client.waiter.add(self._queue(client, command, args, request))
        else:
            self._kill = self._kill or command.may_close
            client.has_told_much = command.group == ONE_AT_A_TIME
            if command.takes_turns and (not self.turns.is_free or self._is_ahead(client, context.now)):
                return self._later(context, command, args)
            outcome = run(context, command, args)
            if not isinstance(outcome, list):
                return self._in_turns(client, command, outcome)
            for reply in outcome:
                client.waiter.add(reply)
        return None

    def _refuse(self, client: Client, objection: bytes) -> None:
        client.transaction_failed = client.transaction is not None
        client.waiter.add(objection)

    def _later(self, context: Context, command: Command, args: list[bytes]) -> Turned:
        """Do ``command`` when it is its client's turn, and nobody's piece is being handed over."""
        client = context.client
        while self._is_ahead(client, context.now):
            confirmed = self.confirmed
            yield Turn.AHEAD
            if self.confirmed == confirmed:
                client.gave_up_at = confirmed
        yield from self.turns.wait(context.client, alone=False)
        outcome = run(context, command, args)
        return outcome if isinstance(outcome, list) else (yield from self._in_turns(context.client, command, outcome))

    def _is_ahead(self, client: Client, now: float) -> bool:
        """Whether it has to let others go first; not while the engine is away, as nothing would change."""
        if not self._shares.others_trade(client.owner, now) or client.gave_up_at == self.confirmed:
            return False
        desk = self._services.desk
        return desk.shares.is_ahead(client.owner, desk.outcomes.confirmed_end, now) and self._services.is_confirming()

    def _in_turns(self, client: Client, command: Command, steps: Steps) -> Turned:
        if command.name == "EXEC":
            return (yield from self.turns.in_one_piece(client, steps))
        while True:
            try:
                in_one_piece = next(steps)
            except StopIteration as end:
                found: list[Reply] = end.value
                return found
            if in_one_piece:
                return (yield from self.turns.in_one_piece(client, steps))
            yield Turn.OTHERS
            if command.role is Role.TRADE:
                yield from self.turns.wait(client, alone=False)

    def _queue(self, client: Client, command: Command, args: list[bytes], request: list[bytes]) -> bytes:
        """Keep a command until EXEC; beyond a bound refuse it, so that EXEC answers EXECABORT."""
        assert client.transaction is not None
        client.transaction_bytes += sum(map(len, request)) + WORD_BYTES * len(request)
        client.transaction_answers += command.group not in ANSWERED_LATER
        query_bytes_max = self._limits.query_bytes_max
        if client.transaction_bytes > query_bytes_max * TRANSACTION_QUERIES:
            bound = f"query_bytes_max {query_bytes_max}: {client.transaction_bytes} bytes in a transaction, "
            bound += f"at most {TRANSACTION_QUERIES} times as much"
        elif client.transaction_answers > ANSWERED_BY_EXEC_MAX:
            bound = f"at most {ANSWERED_BY_EXEC_MAX} commands in a transaction that are not about orders or executions"
        else:
            client.transaction.append((command, args))
            return replies.QUEUED
        client.transaction.clear()
        client.transaction_failed = True
        return replies.error("LIMIT", bound)


def _objection(found: tuple[Command, int] | None, request: list[bytes]) -> bytes:
    """Why a request is none of the commands that exist."""
    if found is None:
        if request[0].upper() == b"WATCH":
            return replies.error("ERR", "WATCH is not supported: orders are not keys")
        return replies.error("ERR", f"unknown command {words.shown(request[0])}")
    return replies.error("ERR", f"wrong number of arguments for '{found[0].name.lower()}' command")
