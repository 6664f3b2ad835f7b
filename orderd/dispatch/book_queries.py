"""Questions about the book that are under way. Pure.

A question travels as a datagram and its answer as one or more; if any is lost, the whole question is asked again, since
the parts of two answers may not fit together.
"""

from collections.abc import Callable
from math import inf
from typing import Final

import attrs

from orderd.orders.errors import Full
from orderd.wire.bodies import BookReply, Level

QUERIES_MAX: Final = 1024


@attrs.define(eq=False)
class Query:
    """One question.

    ``answer`` is there when ``done`` is called: bids and asks, or None for an instrument that the engine lacks.
    """

    instrument: int
    depth: int
    expires_at: float
    done: "Callable[[Query], None]"
    answer: tuple[list[Level], list[Level]] | None = None
    asked_at: float = -inf
    parts: dict[int, BookReply] = attrs.field(factory=dict)


class BookQueries:
    """Questions by the number under which they were asked last."""

    def __init__(self) -> None:
        self._queries: dict[int, Query] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._queries)

    def ask(self, query: Query) -> None:
        """It is sent with the next :meth:`requests`. Raises :class:`~orderd.orders.errors.Full`."""
        if len(self._queries) >= QUERIES_MAX:
            raise Full(f"{QUERIES_MAX} questions about books are under way")
        self._queries[self._number()] = query

    def requests(self, now: float, retry_after: float) -> list[tuple[int, Query]]:
        """Questions to send now, each under a new number; those that nobody waits for any more are dropped."""
        due = [number for number, query in self._queries.items() if query.asked_at + retry_after <= now]
        out = []
        for number in due:
            query = self._queries.pop(number)
            if query.expires_at <= now:
                continue
            query.asked_at = now
            query.parts.clear()
            asked_as = self._number()
            self._queries[asked_as] = query
            out.append((asked_as, query))
        return out

    def wake_at(self, retry_after: float) -> float:
        """When a question has to be asked again."""
        return min((query.asked_at + retry_after for query in self._queries.values()), default=inf)

    def answered(self, reply: BookReply) -> None:
        """A part of an answer."""
        query = self._queries.get(reply.query)
        if query is None or reply.instrument != query.instrument:
            return
        if any(part.parts != reply.parts for part in query.parts.values()):
            return
        query.parts[reply.part] = reply
        if len(query.parts) < reply.parts:
            return
        del self._queries[reply.query]
        if reply.parts:
            parts = [query.parts[i] for i in range(reply.parts)]
            bids = [level for part in parts for level in part.bids]
            query.answer = bids, [level for part in parts for level in part.asks]
        query.done(query)

    def _number(self) -> int:
        self._next = self._next % (2**32 - 1) + 1
        return self._next
