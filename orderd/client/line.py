"""A blocking line to the daemon: one conversation, over as many connections as it takes. The shell around it."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

from orderd.client.conversation import CHUNK_BYTES, Backoff, Conversation, HungUp, Ticket, unsent
from orderd.client.errors import ProtocolViolation
from orderd.client.forks import tell_of_forks
from orderd.client.requests import Request
from orderd.client.settings import FIRST_CONNECT_S, Settings

T = TypeVar("T")
CONNECT_S: Final = 5.0
"""For connecting alone, which a daemon that is overrun may keep waiting."""


class Line:
    """Requests, and their answers as they come. Threads take turns: one exchange goes on at a time.

    It connects with the first request, and again with the next one after a break.
    """

    def __init__(self, settings: Settings, *, was_connected: bool = False) -> None:
        self.settings = settings
        self.was_connected = was_connected
        """Whether there was a daemon at that socket, by this line or another."""
        self._conversation = Conversation(timeout_s=settings.timeout_s, name=settings.name)
        self._backoff = Backoff()
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._pause_until = 0.0
        self._problem = ""
        self._lock = threading.Lock()
        tell_of_forks(self)

    @property
    def connections(self) -> int:
        """Connections that were made so far."""
        return self._conversation.connections

    def close(self) -> None:
        """Hangs up. What was sent stays sent; the next request connects again."""
        with self._lock:
            self._hang_up("closed")

    def greet_with(self, key: str, request: Request[Any] | None) -> None:
        """What each further connection has set at once."""
        self._conversation.greet_with(key, request)

    def call(self, request: Request[T]) -> T:
        """The result of one request. Raises :class:`orderd.client.errors.ClientError`."""
        (ticket,) = self.exchange((request,))
        return ticket.result()

    def exchange(self, requests: Iterable[Request[T]]) -> list[Ticket[T]]:
        """Sends requests back to back, a bounded number unanswered at once. All tickets are settled, in order."""
        with self._lock:
            try:
                return self._exchange(iter(requests))
            except BaseException:
                # Interrupted somewhere: what is still to be answered must not be taken for the next request's answer.
                self._hang_up("interrupted")
                self._conversation.give_up("interrupted")
                raise

    def _exchange(self, source: Iterator[Request[T]]) -> list[Ticket[T]]:
        conversation = self._conversation
        tickets: list[Ticket[T]] = []
        limit_s, since, answered = self.settings.retry_s, time.monotonic(), conversation.answered
        now = since
        while True:
            while conversation.has_room and (request := next(source, None)) is not None:
                tickets.append(conversation.ask(request, now))
                limit_s = max(limit_s, self.settings.retry_s + request.block_s)
            if not conversation.unanswered:
                return tickets
            self._step(since + self._patience_s(limit_s))
            now = time.monotonic()
            if conversation.answered != answered:
                answered, since = conversation.answered, now
            elif now >= since + (patience_s := self._patience_s(limit_s)):
                problem = f"no answer within {patience_s:g} s: {self._problem}"
                self._hang_up(problem)
                conversation.give_up(problem)
                tickets += [unsent(request, problem) for request in source]

    def _patience_s(self, limit_s: float) -> float:
        return limit_s if self.was_connected else min(limit_s, FIRST_CONNECT_S)

    # --- one step -----------------------------------------------------------------------------------------------------

    def _step(self, until: float) -> None:
        """Gets on with it, and waits until ``until`` at most."""
        now = time.monotonic()
        if self._socket is None:
            if now < self._pause_until:
                time.sleep(max(0.0, min(self._pause_until, until) - now))
            else:
                self._connect(until - now)
            return
        try:
            self._carry(self._socket, until, now)
        except (HungUp, ProtocolViolation) as error:
            self._hang_up(str(error))
        except OSError as error:
            self._hang_up(error.strerror or str(error))

    def _carry(self, connected: socket.socket, until: float, now: float) -> None:
        conversation = self._conversation
        out = conversation.output()
        deadline = conversation.deadline
        until = until if deadline is None else min(until, deadline)
        self._poll.modify(connected, select.POLLIN | (select.POLLOUT if out else 0))
        ready = self._poll.poll(max(0, int((until - now) * 1000 + 0.999)))
        events = ready[0][1] if ready else 0
        if events & select.POLLOUT:
            try:
                conversation.sent(connected.send(out))
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                # It may have said why before it hung up.
                events |= select.POLLIN
                conversation.stop_sending()
        if events & ~select.POLLOUT:
            data = connected.recv(CHUNK_BYTES)
            if not data:
                raise HungUp("the daemon closed the connection")
            conversation.receive(data, time.monotonic())
        elif not events and deadline is not None and time.monotonic() >= deadline:
            raise HungUp(f"silent for {self.settings.timeout_s:g} s")

    def _connect(self, within_s: float) -> None:
        connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connecting.settimeout(max(0.001, min(CONNECT_S, within_s)))
            connecting.connect(os.fspath(self.settings.socket))
            connecting.setblocking(False)
        except OSError as error:
            connecting.close()
            self._pause(f"cannot connect to {self.settings.socket}: {error.strerror or error}")
            return
        except BaseException:
            connecting.close()
            raise
        self._socket, self.was_connected = connecting, True
        self._poll.register(connecting)
        self._conversation.connected(time.monotonic())

    def _hang_up(self, reason: str) -> None:
        if self._socket is not None:
            self._poll.unregister(self._socket)
            self._socket.close()
            self._socket = None
            self._conversation.disconnected(reason)
            self._pause(reason)

    def _pause(self, reason: str) -> None:
        self._problem = reason
        self._pause_until = time.monotonic() + self._backoff.after(self._conversation.answered)

    def forked(self) -> None:
        """See :class:`orderd.client.forks.Forkable`. The next request connects, and is greeted as before."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._poll = None, select.poll()
        self._conversation, self._lock = self._conversation.anew(), threading.Lock()
