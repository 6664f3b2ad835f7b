"""Replies that have to wait, and who is woken when. Pure.

Each reply waits for one mark to reach a value, until a deadline. Since a client gets its replies in the order of its
requests, only the first one that it waits for is registered: a mark that moves wakes each client once, however many of
its replies become ready.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sized
from enum import Enum, IntEnum
from math import inf
from typing import Final

MARKS: Final = 6
COMPACT_AFTER: Final = 4096


class Mark(IntEnum):
    """What a reply may wait for."""

    COMMITTED = 0
    """Order ids below the value are durable."""
    CONFIRMED = 1
    """Order ids below the value are confirmed by the engine."""
    JOURNALED = 2
    """Reports below the value are in the journal."""
    EXECUTED = 3
    """Executions below the value are readable."""
    COMMITS = 4
    """So many commits were finished."""
    NEVER = 5
    """Something else will settle it."""


class Unfinished(Enum):
    """Why a reply goes out although what it waited for did not come."""

    TIMEOUT = "timeout"
    JOURNAL = "journal"
    SHUTDOWN = "shutdown"


class Opening(bytes):
    """The beginning of a reply that is made of the next :attr:`parts` replies: nothing else may come in between."""

    parts: int

    @classmethod
    def of(cls, data: bytes, parts: int) -> "Opening":
        """``data`` announces so many parts."""
        opening = cls(data)
        opening.parts = parts
        return opening


class Pending:
    """One reply that waits. Subclasses say how it reads."""

    __slots__ = ("deadline", "mark", "protocol", "value")

    def __init__(self, protocol: int, mark: Mark, value: int, deadline: float = inf) -> None:
        self.protocol = protocol
        self.mark = mark
        self.value = value
        self.deadline = deadline

    def settle(self) -> bool:
        """The mark was reached: whether the reply can be given. If not, mark and value say what it waits for now."""
        return True

    def render(self, unfinished: Unfinished | None) -> bytes:
        """The reply; ``unfinished`` is None when what it waited for has come."""
        raise NotImplementedError

    def abandon(self) -> None:
        """Nobody waits for it any more; called only of the one whose turn it was."""


class DuplicateReply(Pending):
    """An error about what another row is, once that row is durable; until then it may never have been there."""

    __slots__ = ("_error", "_otherwise")

    def __init__(self, protocol: int, row: int, deadline: float, error: bytes, otherwise: bytes) -> None:
        super().__init__(protocol, Mark.COMMITTED, row + 1, deadline)
        self._error = error
        self._otherwise = otherwise

    def render(self, unfinished: Unfinished | None) -> bytes:
        return self._error if unfinished is None else self._otherwise


class Waiter:
    """The replies that one client waits for, in order: bytes are ready, :class:`Pending` may not be."""

    __slots__ = ("has_more", "held_bytes", "parts_left", "registration", "replies")

    def __init__(self) -> None:
        self.replies: deque[bytes | Pending] = deque()
        self.held_bytes = 0
        """Size of those that are ready but stand behind one that is not."""
        self.registration = 0
        """Number of the current registration; older ones in the lists mean nothing."""
        self.has_more = False
        """Whether replies were left although they may be ready."""
        self.parts_left = 0
        """How many of the next replies belong to one that was begun."""

    def add(self, reply: bytes | Pending) -> None:
        self.replies.append(reply)
        if isinstance(reply, bytes):
            self.held_bytes += len(reply)

    def clear(self) -> None:
        """Nobody waits for any of them any more."""
        if self.replies and isinstance(self.replies[0], Pending):
            self.replies[0].abandon()
        self.replies.clear()
        self.held_bytes = 0


class WaitList:
    """Who waits for what. ``marks[m]`` is how far each mark has come; the owner moves it."""

    def __init__(self) -> None:
        self.marks = [1, 1, 1, 1, 0, -1]
        self._by_mark: list[list[tuple[int, int, Waiter]]] = [[] for _ in range(MARKS)]
        self._by_deadline: list[tuple[float, int, Waiter]] = []
        self._registrations = 0
        self._compact_at = COMPACT_AFTER
        self.turns: Sized = ()
        """Not empty while something else is to be done as soon as others had their turn."""
        self.reads_along: Callable[[], bool] = lambda: False
        """Whether somebody else, who can wait for a moment, wants to read reports once they are in the journal."""

    def collect(self, waiter: Waiter, now: float, bytes_max: int) -> bytes:
        """The replies of ``waiter`` that are ready, in order, until they are ``bytes_max`` bytes or more.

        It is registered for the first that is not ready.
        """
        out: list[bytes] = []
        size = 0
        replies = waiter.replies
        waiter.has_more = False
        while replies:
            if size >= bytes_max:
                waiter.has_more = True
                break
            reply = replies[0]
            if isinstance(reply, bytes):
                out.append(reply)
                waiter.held_bytes -= len(reply)
            elif self._is_ready(reply):
                out.append(reply.render(None))
            elif reply.deadline <= now:
                out.append(reply.render(Unfinished.TIMEOUT))
            else:
                self._register(waiter, reply)
                break
            size += len(out[-1])
            replies.popleft()
            if waiter.parts_left:
                waiter.parts_left -= 1
            if type(reply) is Opening:
                waiter.parts_left = reply.parts
        else:
            waiter.registration = 0
        return b"".join(out)

    def give_up(self, waiter: Waiter, unfinished: Unfinished) -> bytes:
        """All replies of ``waiter``, whether they are ready or not."""
        out = []
        for reply in waiter.replies:
            if isinstance(reply, bytes):
                out.append(reply)
            else:
                out.append(reply.render(None if self._is_ready(reply) else unfinished))
        waiter.clear()
        return b"".join(out)

    def ready(self, now: float) -> list[Waiter]:
        """Waiters whose mark was reached or whose deadline passed, each once."""
        found: list[Waiter] = []
        for mark, heap in zip(self.marks, self._by_mark, strict=True):
            while heap and heap[0][0] <= mark:
                _, registration, waiter = heapq.heappop(heap)
                if waiter.registration == registration:
                    waiter.registration = 0
                    found.append(waiter)
        heap_of_deadlines = self._by_deadline
        while heap_of_deadlines and heap_of_deadlines[0][0] <= now:
            _, registration, waiter = heapq.heappop(heap_of_deadlines)
            if waiter.registration == registration:
                waiter.registration = 0
                found.append(waiter)
        return found

    @property
    def awaits_reports(self) -> bool:
        """Whether somebody wants to read reports as soon as they are in the journal."""
        return bool(self._by_mark[Mark.JOURNALED] or self._by_mark[Mark.EXECUTED])

    def next_deadline(self) -> float:
        """When somebody's patience ends; infinite if nobody's does, minus infinity if somebody can go on at once."""
        if self.turns or any(heap and heap[0][0] <= mark for mark, heap in zip(self.marks, self._by_mark, strict=True)):
            return -inf
        heap = self._by_deadline
        while heap and heap[0][2].registration != heap[0][1]:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def _is_ready(self, reply: Pending) -> bool:
        while self.marks[reply.mark] >= reply.value:
            value, mark = reply.value, reply.mark
            if reply.settle():
                return True
            if (reply.value, reply.mark) == (value, mark):
                return False
        return False

    def _register(self, waiter: Waiter, reply: Pending) -> None:
        self._registrations += 1
        waiter.registration = self._registrations
        if reply.mark is not Mark.NEVER:
            heapq.heappush(self._by_mark[reply.mark], (reply.value, self._registrations, waiter))
        if reply.deadline < inf:
            heapq.heappush(self._by_deadline, (reply.deadline, self._registrations, waiter))
        if self._registrations >= self._compact_at:
            self._compact()

    def _compact(self) -> None:
        """Each waiter has one registration that counts; drop what is left of others."""
        for heap in self._by_mark:
            heap[:] = [entry for entry in heap if entry[2].registration == entry[1]]
            heapq.heapify(heap)
        self._by_deadline = [entry for entry in self._by_deadline if entry[2].registration == entry[1]]
        heapq.heapify(self._by_deadline)
        self._compact_at = self._registrations + COMPACT_AFTER + 2 * sum(map(len, self._by_mark))
