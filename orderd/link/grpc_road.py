"""What travels over gRPC: one call at a time, which carries many frames and ends with their answers or with none.

A call that ended without an acknowledgement of a frame has lost it: there are no timers here. The first call to
whoever is at the other end carries a HELLO alone: orders follow when its WELCOME shows that it is the same engine.
"""

from typing import Final

import attrs

from orderd.link.flights import Flight, FlightBoard
from orderd.link.round_trip import RoundTrip

CALL_FRAMES_MAX: Final = 512
CALL_BYTES_MAX: Final = 3 * 2**20
CALL_BOOKS_MAX: Final = 96
"""Together they keep a call below the 1,024 frames and 4 MiB that an engine takes."""


def call_frames_max(datagram_bytes_max: int) -> int:
    """How many ORDERS frames of that size a call may carry."""
    return min(CALL_FRAMES_MAX, CALL_BYTES_MAX // datagram_bytes_max)


@attrs.define(eq=False)
class GrpcRoad:
    """The state of one link's gRPC."""

    flights: FlightBoard = attrs.field(factory=FlightBoard)
    """In the call that is under way."""
    queue: list[Flight] = attrs.field(factory=list)
    """Frames that go with the next call, by sequence: UDP gave them up, or a call lost them."""
    books: list[tuple[int, int, int]] = attrs.field(factory=list)
    """Book requests that go with the next call: query, instrument, depth."""
    calling: bool = False
    greeted: bool = False
    """The engine answered a HELLO here since the last failure."""
    heard: bool = False
    """Something of this engine's came with the call that is under way."""
    called_at: float = 0.0
    round_trip: RoundTrip = attrs.field(factory=lambda: RoundTrip(0.0, 0.0))
    calls: int = 0
    failures: int = 0
    _refusal: str = ""
    _told: str = ""

    def begin(self, now: float) -> None:
        """A call goes out."""
        self.calling, self.heard, self._refusal, self.called_at = True, False, "", now
        self.calls += 1

    def greet(self) -> None:
        """The call was answered with a WELCOME of this engine."""
        self.greeted = self.heard = True
        self._told = ""

    def refused(self, reason: str) -> bool:
        """It was answered with ``reason``, for people, in place of that. Whether that is news."""
        is_news = reason != self._told
        self._refusal = self._told = reason
        return is_news

    @property
    def silence(self) -> str:
        """Of a call that was answered and brought nothing: why, as far as can be known, for people."""
        if self._refusal or self.greeted:
            return self._refusal or "answered, but with nothing that this engine says"
        return "answered, but not to HELLO; has the engine the same key?"

    def end(self, next_sequence: int = 0) -> None:
        """The call has ended: what it carried goes with the next one, but for what the engine has executed by now."""
        self.calling = False
        self.enqueue(self.flights.take_all())
        self.acknowledge(next_sequence)

    def enqueue(self, flights: list[Flight]) -> None:
        """These go with the next call."""
        if flights:
            self.queue = sorted([*self.queue, *flights], key=lambda flight: flight.first)

    def take_queue(self, frames_max: int | None = None) -> list[Flight]:
        """What waits for a call, or the first of it, which does not wait any more."""
        if frames_max is None:
            frames_max = len(self.queue)
        queue, self.queue = self.queue[:frames_max], self.queue[frames_max:]
        return queue

    def ask(self, query: int, instrument: int, depth: int) -> None:
        """A book request for the next call, or lost if that has enough of them: the asker asks again."""
        if len(self.books) < CALL_BOOKS_MAX:
            self.books.append((query, instrument, depth))

    def take_books(self) -> list[tuple[int, int, int]]:
        """The book requests, which do not wait any more."""
        books, self.books = self.books, []
        return books

    def acknowledge(self, next_sequence: int) -> None:
        """The engine has executed all below ``next_sequence``."""
        if self.queue:
            self.queue = [flight for flight in self.queue if flight.first + flight.count > next_sequence]

    def clear(self) -> None:
        """Forget all that is under way; a call that is may still end."""
        self.flights.clear()
        self.queue.clear()
        self.books.clear()

    def __len__(self) -> int:
        """ORDERS frames that are under way or wait for a call."""
        return len(self.flights) + len(self.queue)
