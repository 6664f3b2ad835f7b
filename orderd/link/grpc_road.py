"""What travels over gRPC: one call at a time, which carries many frames and ends with their answers or with none.

A call that ended without an acknowledgement of a frame has lost it: there are no timers here. The first call to
whoever is at the other end carries a HELLO alone: orders follow when its WELCOME shows that it is the same engine.
"""

import attrs

from orderd.link.flights import Flight, FlightBoard
from orderd.link.round_trip import RoundTrip


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

    def begin(self, now: float) -> None:
        """A call goes out."""
        self.calling, self.heard, self.called_at = True, False, now
        self.calls += 1

    def end(self) -> None:
        """The call has ended: what it carried and nobody acknowledged goes with the next one."""
        self.calling = False
        self.enqueue(self.flights.take_all())

    def enqueue(self, flights: list[Flight]) -> None:
        """These go with the next call."""
        if flights:
            self.queue = sorted([*self.queue, *flights], key=lambda flight: flight.first)

    def take_queue(self) -> list[Flight]:
        """What waits for a call, which does not wait any more."""
        queue, self.queue = self.queue, []
        return queue

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
