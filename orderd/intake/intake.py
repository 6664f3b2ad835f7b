"""Intake: from a client's bytes to staged orders and replies. Pure; the listener is the shell around it.

A chunk is processed at once, without waiting for anything: each command of it is checked and staged, and its reply is
either ready or waits its turn. Orders count only when their command is complete; one cut off by a hang-up never becomes
an order.
"""

from collections.abc import Iterable, Iterator

import attrs

from orderd.intake import order_commands, replies, server_commands, trading_commands, transaction_commands, words
from orderd.intake.access import Peer
from orderd.intake.command_table import TABLE, Command, Steps, not_permitted, run
from orderd.intake.context import Client, Context, Services
from orderd.intake.pending import Mark, Unfinished, Waiter, WaitList
from orderd.intake.resp import CommandReader

OUT_BYTES = 256 * 1024
"""Replies are made this far ahead of what a client reads."""
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
COMMAND_MODULES = (order_commands, server_commands, trading_commands, transaction_commands)
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
        self.update_marks()

    def __len__(self) -> int:
        return len(self._connections)

    # --- connections --------------------------------------------------------------------------------------------------

    def connect(self, peer: Peer, now: float) -> Connection | bytes:
        """A new connection, or what to tell it before it is closed."""
        if len(self._connections) >= self._limits.clients_max:
            return replies.error("LIMIT", f"clients_max {self._limits.clients_max} is reached")
        self.connections_total += 1
        client = Client(self.connections_total, Waiter(), peer, self._services.live.access.role_of(peer), now)
        connection = Connection(client, CommandReader(query_bytes_max=self._limits.query_bytes_max))
        self._connections[client.id] = connection
        self._clients[client.id] = client
        self._by_waiter[client.waiter] = connection
        return connection

    def disconnect(self, connection: Connection) -> None:
        """It is gone. What it was told, or had sent completely, stands."""
        client = connection.client
        client.waiter.clear()
        client.waiter.registration = 0
        self._connections.pop(client.id, None)
        self._clients.pop(client.id, None)
        self._by_waiter.pop(client.waiter, None)

    def update_roles(self) -> None:
        """The rules of access changed: they hold for those who are connected, too."""
        for client in self._clients.values():
            client.role = self._services.live.access.role_of(client.peer)

    def feed(self, connection: Connection, chunk: bytes, now: float, now_ns: int) -> None:
        """Process what a client sent, in one go."""
        for _ in self.feed_in_steps(connection, chunk, now, now_ns):
            pass

    def feed_in_steps(self, connection: Connection, chunk: bytes, now: float, now_ns: int) -> Iterator[None]:
        """Process what a client sent; others may have their turn at each yield, but not this client."""
        client, reader = connection.client, connection.reader
        context = Context(
            self._services, client, self._clients, now, now_ns, lambda _: self._settled.append(connection)
        )
        for index, request in enumerate(reader.feed(chunk), 1):
            if client.closing:
                break
            steps = self._process(context, request)
            if steps is not None:
                for reply in (yield from steps):
                    client.waiter.add(reply)
            elif index % COMMANDS_AT_ONCE == 0:
                yield
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
        self.update_marks()
        woken = {self._by_waiter[w]: None for w in self.wait_list.ready(now) if w in self._by_waiter}
        if self._settled:
            woken.update(dict.fromkeys(self._settled))
            self._settled.clear()
        for connection in woken:
            self.collect(connection, now)
        return woken

    def give_up(self, unfinished: Unfinished) -> Iterable[Connection]:
        """Answer all that waits: what has come as it is, the rest as UNKNOWN."""
        self.update_marks()
        for connection in self._connections.values():
            connection.out += self.wait_list.give_up(connection.client.waiter, unfinished)
        return self._connections.values()

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

    # --- commands -----------------------------------------------------------------------------------------------------

    def _process(self, context: Context, request: list[bytes]) -> Steps | None:
        """Do one command; if it takes long, only begin."""
        client = context.client
        client.commands += 1
        self.commands_total += 1
        found = TABLE.find(request)
        args = request[found[1] :] if found is not None else []
        objection = _objection(found, request) or (not_permitted(found[0], args, client.role) if found else None)
        queueing = client.transaction
        if objection is not None or found is None:
            client.transaction_failed = queueing is not None
            client.waiter.add(objection or b"")
        elif queueing is not None and not found[0].immediate:
            client.waiter.add(self._queue(client, found[0], args, request))
        else:
            self._kill = self._kill or found[0].name in ("CLIENT KILL", "EXEC")
            outcome = run(context, found[0], args)
            if not isinstance(outcome, list):
                return outcome
            for reply in outcome:
                client.waiter.add(reply)
        return None

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


def _objection(found: tuple[Command, int] | None, request: list[bytes]) -> bytes | None:
    """Why a request is none of the commands that exist."""
    if found is None:
        if request[0].upper() == b"WATCH":
            return replies.error("ERR", "WATCH is not supported: orders are not keys")
        return replies.error("ERR", f"unknown command {words.shown(request[0])}")
    command = found[0]
    if not command.takes(len(request)):
        return replies.error("ERR", f"wrong number of arguments for '{command.name.lower()}' command")
    return None
