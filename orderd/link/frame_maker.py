"""The frames of one connection on their way out: records and questions, sealed under the next counter of their lane."""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from orderd.link.flights import Flight
from orderd.link.handshake import Identity
from orderd.link.lanes import Lane
from orderd.wire import bodies, frames
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path

REPORT_CREDIT_KIB: Final = 1024


class FrameMaker:
    """``fetch(first, count)`` returns the records of journaled sequences."""

    def __init__(self, identity: Identity, fetch: Callable[[int, int], bytes]) -> None:
        self.lanes: dict[Path, Lane] = {}
        """Of the engine's boot that was connected to last; empty before the first."""
        self._identity = identity
        self._fetch = fetch
        self._intakes: deque[tuple[int, float]] = deque()  # (end of sequences, their intake time)

    def taken_in(self, end: int, intake_time: float) -> None:
        """Sequences below ``end`` that are not known yet came in at ``intake_time``."""
        self._intakes.append((end, intake_time))

    def intake_time(self, sequence: int) -> float:
        """When the record came in; infinite if nobody knows any more. Asked for with ascending sequences."""
        while len(self._intakes) > 1 and self._intakes[0][0] <= sequence:
            self._intakes.popleft()
        return self._intakes[0][1] if self._intakes else inf

    def orders(self, path: Path, flight: Flight, journaled: int, now: float) -> bytes:
        """An ORDERS frame. ``journaled``: reports below it are in orderd's journal."""
        age_us = int(min(frames.AGE_US_MAX, max(0.0, (now - flight.intake_time) * 1e6)))
        body = self._fetch(flight.first, flight.count)
        return self._seal(path, FrameType.ORDERS, journaled, flight.first, flight.count, age_us, body)

    def poll(self, path: Path, journaled: int, first: int, missing: int) -> bytes:
        """A POLL that asks for ``missing`` reports from ``first`` on, or for none."""
        return self._seal(path, FrameType.POLL, journaled, first if missing else 0, missing)

    def bye(self, path: Path, journaled: int) -> bytes:
        """The last frame."""
        return self._seal(path, FrameType.BYE, journaled)

    def book_request(self, path: Path, journaled: int, query: int, instrument: int, depth: int) -> bytes:
        """A question about a book."""
        body = bodies.BookRequest(query, instrument, depth).encode()
        return self._seal(path, FrameType.BOOK_REQUEST, journaled, body=body)

    def _seal(
        self,
        path: Path,
        type_: FrameType,
        journaled: int,
        first: int = 0,
        count: int = 0,
        age_us: int = 0,
        body: bytes = b"",
    ) -> bytes:
        lane, identity = self.lanes[path], self._identity
        frame = Frame(
            type_, identity.session, identity.epoch, lane.counter, first, journaled, REPORT_CREDIT_KIB, count, age_us,
            body,
        )  # fmt: skip
        return lane.seal(frame)
