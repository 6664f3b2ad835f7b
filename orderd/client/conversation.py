"""A conversation without a connection: what to send, what an answer belongs to, what to send again. Pure.

The shell around it owns a socket. It hands bytes in (:meth:`Conversation.receive`), sends what
:meth:`Conversation.output` gives, tells when it is connected and when that is over, and does the waiting, until
:attr:`Conversation.deadline`.

Rules:

- Replies come in the order of the requests. Each request has a :class:`Ticket`, which is settled once: with a result,
  with the daemon's refusal, or, if it may not be sent twice and the connection broke, as :class:`Unanswered`.
- A connection begins with the greeting: HELLO 3, and what the connection is to have set, such as cancel on disconnect.
  Nothing else goes out before all of it is answered, so that no order is ever placed without its guard.
- After a break all that is not answered goes out again, in the same order. As few at a time as half of what was on the
  way before, and one more for each answer (as TCP's slow start does, RFC 5681): a line that breaks after so many bytes
  gets some answers back before it does.
- A ticket that nobody waits for any more is abandoned: its answer is read and dropped, and it is not sent again.
- The daemon ends a connection with an error of its own when a bound of the connection is reached; that is no answer to
  a request. It is known by its text.

Standard: RESP3 as in docs/COMMANDS.md. Memory is bounded by who asks (see :attr:`Conversation.has_room`), and by
:data:`REPLY_BYTES_MAX` for a reply that is not complete.
"""

import re
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any, Final, Generic, TypeVar

import attrs
import hiredis

from orderd.client import requests
from orderd.client.errors import (
    ClientError,
    CommandError,
    LimitExceeded,
    ProtocolViolation,
    Refused,
    Unanswered,
    refusal,
)
from orderd.client.replies import MassCancelOutcome
from orderd.client.requests import Request

T = TypeVar("T")

CHUNK_BYTES: Final = 65_536
REPLY_BYTES_MAX: Final = 64 * 1024 * 1024
WINDOW: Final = 1000
"""Requests that may be unanswered at once."""
WINDOW_LEAST: Final = 8
"""However often the connection broke."""
WINDOW_BYTES: Final = 8 * 1024 * 1024
"""What these may have together; one alone may have more."""

_NOTHING: Final = object()
_CONNECTION_BOUNDS: Final = ("clients_max ", "reply_bytes_max ")
_VAST_COUNT: Final = re.compile(rb"\r\n[*%~>|][0-9]{7}")
"""The head of an array that no reply has, behind a line's end; hiredis would make room for it at once."""
_TAIL_BYTES: Final = 9
_LINE_END: Final = b"\r\n"


class HungUp(ClientError):
    """The connection is over, or of no use any more; the shell closes it and may make another."""


@attrs.define(eq=False)
class Ticket(Generic[T]):
    """A request on its way."""

    request: Request[T]
    sends: int = 0
    """How often it was sent."""
    is_settled: bool = False
    is_abandoned: bool = False
    on_settled: Callable[[], object] | None = None
    """Called once, also when the answer to an abandoned ticket was dropped."""
    _value: Any = None
    _error: ClientError | None = None

    def result(self) -> T:
        """The result of a settled ticket. Raises what it was settled with."""
        assert self.is_settled, "there is no answer yet"
        if self._error is not None:
            raise self._error
        value: T = self._value
        return value

    def outcome(self) -> T | ClientError:
        """The result of a settled ticket, or its error as a value."""
        value: T | ClientError = self._value if self._error is None else self._error
        return value

    def settle(self, value: Any, error: ClientError | None = None) -> None:
        """There is an answer."""
        assert not self.is_settled, "it was answered already"
        self.is_settled, self._value, self._error = True, value, error
        if self.on_settled is not None:
            self.on_settled()


def unsent(request: Request[T], reason: str) -> Ticket[T]:
    """A ticket for a request that was given up before it was sent."""
    ticket = Ticket(request)
    ticket.settle(None, Unanswered(f"{request.name} was not sent: {reason}", request))
    return ticket


class Conversation:
    """Requests and answers over any number of connections, one after the other. ``timeout_s``: of silence."""

    def __init__(self, *, timeout_s: float, name: str = "") -> None:
        self.answered = 0
        """Answers so far, greetings left out."""
        self.connections = 0
        """Connections that were greeted, so far."""
        self._timeout_s = timeout_s
        self._greeting: dict[str, Request[Any]] = {"HELLO": requests.hello(name)}
        self._greeting_waits: deque[Request[Any]] = deque()
        self._queue: deque[Ticket[Any]] = deque()
        """Not sent on this connection."""
        self._waiting: deque[Ticket[Any]] = deque()
        """Sent on this connection."""
        self._sent_max = WINDOW
        """How many may be sent and not answered."""
        self._bytes = 0
        self._out = bytearray()
        self._is_connected = False
        self._is_sending = True
        self._heard = 0.0
        """When the daemon last said something, or got something to answer."""
        self._tail = _LINE_END
        self._reader = self._new_reader()

    @staticmethod
    def _new_reader() -> Any:
        return hiredis.Reader(encoding="utf-8", errors="backslashreplace", replyError=refusal, notEnoughData=_NOTHING)  # type: ignore[call-overload, unused-ignore]

    def anew(self) -> "Conversation":
        """One of which nothing was said yet, with the same greeting."""
        other = Conversation(timeout_s=self._timeout_s)
        other._greeting = dict(self._greeting)
        return other

    # --- asking -------------------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Tickets that are not settled."""
        return len(self._queue) + len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether another request keeps within the bounds; who asks is to wait for that."""
        return self.unanswered < WINDOW and self._bytes < WINDOW_BYTES

    def ask(self, request: Request[T], now: float) -> Ticket[T]:
        """Puts a request behind the others."""
        ticket = Ticket(request)
        if not self.unanswered:
            self._heard = now
        self._queue.append(ticket)
        self._bytes += len(request.data)
        return ticket

    def abandon(self, ticket: Ticket[Any]) -> None:
        """Nobody waits for it any more. What was not sent never will be."""
        ticket.is_abandoned = True
        if ticket in self._queue:
            self._queue.remove(ticket)
            self._settle(ticket, None)

    def greet_with(self, key: str, request: Request[Any] | None) -> None:
        """From the next connection on ``request`` is said first; None: not any more."""
        if request is None:
            self._greeting.pop(key, None)
        else:
            self._greeting[key] = request

    # --- the connection -----------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When the silence has lasted too long; None while nothing is to be answered."""
        if self._greeting_waits:
            return self._heard + self._timeout_s
        head = self._waiting[0] if self._waiting else None
        if head is None and not (self._is_connected and self._queue):
            return None
        return self._heard + self._timeout_s + (head.request.block_s if head is not None else 0.0)

    def connected(self, now: float) -> None:
        """There is a connection, on which nothing was said yet."""
        assert not self._is_connected, "there is a connection already"
        self._is_connected, self._heard = True, now
        self._greeting_waits.extend(self._greeting.values())
        self._out += b"".join(request.data for request in self._greeting_waits)

    def disconnected(self, reason: str) -> None:
        """The connection is over. What may be sent again waits for the next one; the rest is settled."""
        self._is_connected, self._is_sending = False, True
        self._out.clear()
        self._greeting_waits.clear()
        self._reader, self._tail = self._new_reader(), _LINE_END
        if self._waiting:
            self._sent_max = max(WINDOW_LEAST, len(self._waiting) // 2)
        unanswered = list(chain(self._waiting, self._queue))
        self._waiting.clear()
        self._queue.clear()
        for ticket in unanswered:
            if ticket.is_abandoned:
                self._settle(ticket, None)
            elif ticket.sends and not ticket.request.is_repeatable:
                text = f"{ticket.request.name} may have been done or not: {reason}"
                self._settle(ticket, None, Unanswered(text, ticket.request))
            else:
                self._queue.append(ticket)

    def give_up(self, reason: str) -> None:
        """Settles all that is not answered as :class:`Unanswered`. Only without a connection."""
        assert not self._is_connected, "an answer may still come"
        while self._queue:
            ticket = self._queue.popleft()
            self._settle(ticket, None, Unanswered(f"{ticket.request.name}: {reason}", ticket.request))

    def output(self) -> bytes:
        """What is to be sent next; empty if there is nothing, or if the greeting must be answered first."""
        if not self._is_sending:
            return b""
        if self._is_connected and not self._greeting_waits:
            while self._queue and len(self._waiting) < self._sent_max and len(self._out) < CHUNK_BYTES:
                ticket = self._queue.popleft()
                ticket.sends += 1
                self._waiting.append(ticket)
                self._out += ticket.request.data
        return bytes(memoryview(self._out)[:CHUNK_BYTES])

    def sent(self, count: int) -> None:
        """So many bytes of the output are sent."""
        del self._out[:count]

    def stop_sending(self) -> None:
        """The other side takes nothing any more; what it has said already may still be received."""
        self._is_sending = False

    def receive(self, data: bytes, now: float) -> None:
        """Takes in what the daemon sent. Raises :class:`HungUp` or :class:`ProtocolViolation`: hang up then."""
        self._heard = now
        self._check_counts(data)
        try:
            self._reader.feed(data)
        except hiredis.HiredisError as error:
            raise ProtocolViolation(f"not RESP: {error}") from None
        while (value := self._next()) is not _NOTHING:
            if not isinstance(value, hiredis.PushNotification):
                self._take(value)
        if self._reader.len() > REPLY_BYTES_MAX:
            raise ProtocolViolation(f"a reply is longer than {REPLY_BYTES_MAX} bytes")

    def _check_counts(self, data: bytes) -> None:
        seen = self._tail + data
        if _VAST_COUNT.search(seen):
            raise ProtocolViolation("an array of more than 999999 elements is no reply")
        self._tail = seen[-_TAIL_BYTES:]

    def _next(self) -> Any:
        try:
            return self._reader.gets()
        except Exception as error:  # noqa: BLE001
            # Not only ProtocolError: hiredis lets TypeError through for a map whose key is an array.
            raise ProtocolViolation(f"not a reply in RESP: {error}") from None

    def _take(self, value: Any) -> None:
        if isinstance(value, LimitExceeded) and value.text.startswith(_CONNECTION_BOUNDS):
            raise HungUp(str(value))
        if self._greeting_waits:
            self._take_greeting(value)
            return
        if not self._waiting:
            raise HungUp(str(value)) if isinstance(value, Refused) else ProtocolViolation("a reply to nothing")
        ticket = self._waiting.popleft()
        self.answered += 1
        self._sent_max = min(WINDOW, self._sent_max + 1)
        if ticket.is_abandoned:
            self._settle(ticket, None)
        elif isinstance(value, Refused):
            self._settle(ticket, None, value)
        else:
            self._read(ticket, value)
        if isinstance(value, CommandError) and value.text.startswith("Protocol error"):
            raise HungUp(str(value))

    def _take_greeting(self, value: Any) -> None:
        request = self._greeting_waits.popleft()
        if isinstance(value, Refused):
            raise HungUp(f"{request.name}: {value}")
        request.read(value)
        if not self._greeting_waits:
            self.connections += 1

    def _read(self, ticket: Ticket[Any], value: Any) -> None:
        try:
            result = ticket.request.read(value)
        except ProtocolViolation as error:
            self._settle(ticket, None, error)
            raise
        except ClientError as error:
            self._settle(ticket, None, error)
        else:
            if isinstance(result, MassCancelOutcome) and ticket.sends > 1:
                result = attrs.evolve(result, repeated=True)
            self._settle(ticket, result)

    def _settle(self, ticket: Ticket[Any], value: Any, error: ClientError | None = None) -> None:
        self._bytes -= len(ticket.request.data)
        ticket.settle(value, error)


class Backoff:
    """How long to wait before the next attempt to connect: not at all, then longer each time, up to a bound."""

    FIRST_S: Final = 0.02
    MOST_S: Final = 1.0

    def __init__(self) -> None:
        self._next_s = 0.0
        self._answered = -1

    def after(self, answered: int) -> float:
        """The pause in seconds; ``answered`` are the answers so far, of which any new one is a new beginning."""
        pause_s = 0.0 if answered != self._answered else self._next_s
        self._next_s = min(max(2 * pause_s, self.FIRST_S), self.MOST_S)
        self._answered = answered
        return pause_s
