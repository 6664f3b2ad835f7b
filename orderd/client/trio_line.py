"""A line to the daemon for trio: one conversation, over as many connections as it takes. The shell around it."""

import math
import os
from typing import Any, Final, TypeVar

import trio

from orderd.client.conversation import CHUNK_BYTES, WINDOW, Backoff, Conversation, HungUp, Ticket, unsent
from orderd.client.errors import ClientError, ProtocolViolation, Unanswered
from orderd.client.requests import Request
from orderd.client.settings import FIRST_CONNECT_S, Settings

T = TypeVar("T")
CONNECT_S: Final = 5.0
_LARGE_BYTES: Final = 16_384
_LARGE_AT_ONCE: Final = 8


class TrioLine:
    """One conversation, over as many connections as it takes: the shell around it, run by a task of its own."""

    def __init__(self, settings: Settings, *, was_connected: bool = False) -> None:
        self.settings = settings
        self.was_connected = was_connected
        """Whether there was a daemon at that socket, by this line or another."""
        self._conversation = Conversation(timeout_s=settings.timeout_s, name=settings.name)
        self._backoff = Backoff()
        self._problem = "not connected yet"
        self._trying_since = math.inf
        self._wake = trio.Event()
        self._connection = trio.CancelScope()
        self._silence = trio.CancelScope()
        self._room = trio.Semaphore(WINDOW)
        self._large_room = trio.Semaphore(_LARGE_AT_ONCE)
        self.whole = trio.CancelScope()
        """Around :meth:`run`."""

    @property
    def connections(self) -> int:
        """Connections that were made so far."""
        return self._conversation.connections

    def greet_with(self, key: str, request: Request[Any] | None) -> None:
        """What each further connection has set at once."""
        self._conversation.greet_with(key, request)

    async def call(self, request: Request[T]) -> T:
        """The result of one request. Raises :class:`orderd.client.errors.ClientError`."""
        ticket, done = await self._ask(request)
        await self._answered(ticket, done)
        return ticket.result()

    async def call_many(self, many: list[Request[T]]) -> list[T | ClientError]:
        """The results in order, errors among them as values."""
        asked: list[tuple[Ticket[T], trio.Event]] = []
        try:
            for request in many:
                asked.append(await self._ask(request))  # noqa: PERF401 (what is asked counts also after an error)
        except Unanswered:
            pass  # Those that went before may have answers.
        except BaseException:
            self._abandon_all(asked)
            raise
        try:
            for ticket, done in asked:
                await self._answered(ticket, done)
        except Unanswered:
            pass  # Nor will those behind it be waited for.
        finally:
            self._abandon_all(asked)
        outcomes: list[T | ClientError] = [self._outcome(ticket) for ticket, _ in asked]
        return outcomes + [unsent(request, self._problem).outcome() for request in many[len(asked) :]]

    def _outcome(self, ticket: Ticket[Any]) -> Any:
        if ticket.is_settled and not ticket.is_abandoned:
            return ticket.outcome()
        return Unanswered(f"{ticket.request.name}: no answer in time: {self._problem}", ticket.request)

    def _abandon_all(self, asked: list[tuple[Ticket[T], trio.Event]]) -> None:
        for ticket, _ in asked:
            self._abandon(ticket)

    def hang_up(self) -> None:
        """Ends the connection, if there is one; the next request makes another."""
        self._connection.cancel()

    async def _ask(self, request: Request[T]) -> tuple[Ticket[T], trio.Event]:
        rooms = [self._room] if len(request.data) < _LARGE_BYTES else [self._room, self._large_room]
        with trio.move_on_after(self.settings.retry_s) as patience:
            await rooms[0].acquire()
            if rooms[1:]:
                try:
                    await rooms[1].acquire()
                except BaseException:
                    rooms[0].release()
                    raise
        if patience.cancelled_caught:
            raise Unanswered(f"{request.name} was not sent: {self._problem}", request)
        done = trio.Event()

        def settled() -> None:
            done.set()
            for room in rooms:
                room.release()

        ticket = self._conversation.ask(request, trio.current_time())
        ticket.on_settled = settled
        self._work()
        return ticket, done

    async def _answered(self, ticket: Ticket[Any], done: trio.Event) -> None:
        limit_s = self.settings.retry_s + ticket.request.block_s
        try:
            with trio.move_on_after(limit_s):
                await done.wait()
        finally:
            # Cancelled, or out of patience.
            self._abandon(ticket)
        if not done.is_set() or ticket.is_abandoned:
            text = f"{ticket.request.name}: no answer within {limit_s:g} s: {self._problem}"
            raise Unanswered(text, ticket.request)

    def _abandon(self, ticket: Ticket[Any]) -> None:
        if not ticket.is_settled:
            self._conversation.abandon(ticket)

    def _work(self) -> None:
        self._wake.set()
        deadline = self._conversation.deadline
        self._silence.deadline = math.inf if deadline is None else deadline

    # --- the connection -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connects whenever there is something to be said, until it is cancelled."""
        with self.whole:
            while True:
                while not self._conversation.unanswered:
                    self._trying_since = math.inf
                    await self._wake.wait()
                    self._wake = trio.Event()
                self._trying_since = min(self._trying_since, trio.current_time())
                with trio.CancelScope() as self._connection:
                    await self._connect_and_talk()
                await trio.sleep(self._backoff.after(self._conversation.answered))

    async def _connect_and_talk(self) -> None:
        path = os.fspath(self.settings.socket)
        try:
            with trio.fail_after(CONNECT_S):
                connected = await trio.open_unix_socket(path)
        except (OSError, trio.TooSlowError) as error:
            said = "no answer" if isinstance(error, trio.TooSlowError) else error.strerror or error
            self._problem = f"cannot connect to {path}: {said}"
            if not self.was_connected and trio.current_time() >= self._trying_since + FIRST_CONNECT_S:
                self._conversation.give_up(f"no answer within {FIRST_CONNECT_S:g} s: {self._problem}")
            return
        self.was_connected = True
        self._conversation.connected(trio.current_time())
        try:
            async with connected, trio.open_nursery() as nursery:
                nursery.start_soon(self._send, connected)
                nursery.start_soon(self._receive, connected, nursery.cancel_scope)
        finally:
            self._conversation.disconnected(self._problem)

    async def _send(self, connected: trio.SocketStream) -> None:
        conversation = self._conversation
        try:
            while True:
                if data := conversation.output():
                    self._work()
                    await connected.send_all(data)
                    conversation.sent(len(data))
                else:
                    self._wake = trio.Event()
                    await self._wake.wait()
        except trio.BrokenResourceError:
            # It may have said why before it hung up: the other task finds out, and ends both.
            conversation.stop_sending()

    async def _receive(self, connected: trio.SocketStream, both: trio.CancelScope) -> None:
        try:
            while True:
                with trio.CancelScope() as self._silence:
                    self._work()
                    data = await connected.receive_some(CHUNK_BYTES)
                if self._silence.cancelled_caught:
                    raise HungUp(f"silent for {self.settings.timeout_s:g} s")
                if not data:
                    raise HungUp("the daemon closed the connection")
                self._conversation.receive(data, trio.current_time())
        except (HungUp, ProtocolViolation) as error:
            self._problem = str(error)
        except trio.BrokenResourceError as error:
            self._problem = f"the connection broke: {error.__cause__ or error}"
        both.cancel()
