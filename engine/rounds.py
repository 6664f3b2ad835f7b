"""Rounds of the engine: take in what has come over both roads, execute, commit, answer. Decides nothing.

One round at a time owns the core, whichever road has begun it, and takes from both. It is not cancelled: it ends with
its commit and its answers, or with an error, and then it was the last, so that nothing of it is ever answered.

- UDP begins rounds in its own task, without a task switch: see :class:`engine.udp_server.UdpServer`.
- A gRPC call waits in a queue for the next round. Its reply is what that round has to tell to the call, after the
  commit. What a later round would tell it is dropped, as a datagram may be: orderd asks again.
- Time begins rounds, too: see :class:`engine.timekeeper.Timekeeper`.
- Questions about books and counters are answered between rounds, so that nothing shows before it is on disk.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs
import trio

from engine.core import EngineCore
from orderd.journal.writer import JournalWriter
from orderd.link.errors import ReplayedFrame, StrayFrame
from orderd.runtime.clock import Clock
from orderd.runtime.datagrams import DatagramSocket
from orderd.wire.errors import TagError, VersionError, WireError
from orderd.wire.paths import Path

CALL_FRAMES_PER_ROUND: Final = 64
"""Calls are taken into a round up to this; as many as UDP may bring, so that neither road keeps the other waiting."""
CALL_BYTES_PER_ROUND: Final = 2**20
REPLY_FRAMES_MAX: Final = 1024
REPLY_BYTES_MAX: Final = 8 * 2**20 - 2**16
"""With the field tags around its frames, a reply stays below 8 MiB."""


@attrs.define
class RoundCounters:
    """Frames over both roads since the start of the process; those that were dropped by their cause."""

    received: int = 0
    datagrams_sent: int = 0
    bad_tag: int = 0
    bad_shape: int = 0
    bad_version: int = 0
    stray: int = 0
    replayed: int = 0

    @property
    def rejected(self) -> int:
        """All that were dropped."""
        return self.bad_tag + self.bad_shape + self.bad_version + self.stray + self.replayed

    def reject(self, error: WireError) -> None:
        """One more was dropped because of ``error``."""
        if isinstance(error, TagError):
            self.bad_tag += 1
        elif isinstance(error, StrayFrame):
            self.stray += 1
        elif isinstance(error, ReplayedFrame):
            self.replayed += 1
        elif isinstance(error, VersionError):
            self.bad_version += 1
        else:
            self.bad_shape += 1


class Call:
    """A gRPC call: where its frames say they come from, so that answers find their way back to it."""

    __slots__ = ("_answers", "_bytes", "_done", "frames")

    def __init__(self, frames: Sequence[bytes], done: Callable[[list[bytes]], None]) -> None:
        """``done`` gets the answers after the commit, once, in trio's thread."""
        self.frames = frames
        self._done = done
        self._answers: list[bytes] | None = []
        self._bytes = 0

    def add(self, datagram: bytes) -> None:
        """An answer. It is lost when the call has ended, or its reply is full."""
        if self._answers is None or len(self._answers) == REPLY_FRAMES_MAX:
            return
        if self._bytes + len(datagram) > REPLY_BYTES_MAX:
            return
        self._bytes += len(datagram) + 4  # Around each: a tag, and a length of up to three bytes.
        self._answers.append(datagram)

    def end(self) -> None:
        """The round that took its frames is over."""
        answers, self._answers = self._answers, None
        self.frames = ()
        assert answers is not None, "ended once"
        self._done(answers)


class Rounds:
    """Owns the core. A failed commit is the end: what its round would have covered is never answered."""

    def __init__(self, core: EngineCore, writer: JournalWriter, clock: Clock) -> None:
        self.counters = RoundCounters()
        self.datagrams: DatagramSocket | None = None
        self.after_round: Callable[[], None] = lambda: None
        """Called when the answers of a round have left; must not raise."""
        self._core = core
        self._writer = writer
        self._clock = clock
        self._calls: deque[Call] = deque()
        self._questions: deque[Callable[[], None]] = deque()
        self._asked = trio.Event()
        self._under_way = False
        self._turn = trio.lowlevel.ParkingLot()

    # --- what comes in ------------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """The next round takes it, or one soon after."""
        self._calls.append(call)
        self._asked.set()

    def ask(self, question: Callable[[], None]) -> None:
        """Have it called when the next round is over; it must not raise."""
        self._questions.append(question)
        self._asked.set()

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Rounds for what :meth:`submit` and :meth:`ask` brought, until cancelled.

        Raises :class:`~orderd.journal.errors.JournalError`.
        """
        while True:
            await self._asked.wait()
            await self.turn()

    async def turn(self) -> None:
        """One round, after the one that may be under way. Raises :class:`~orderd.journal.errors.JournalError`."""
        while self._under_way:
            await self._turn.park()
        self._under_way = True
        with trio.CancelScope(shield=True):
            await self._round()
        # Not after an error: there is no next one.
        self._under_way = False
        if self._turn:
            self._turn.unpark()

    async def _round(self) -> None:
        core, socket = self._core, self.datagrams
        if socket is not None:
            self._take_datagrams(socket.receive())
        calls = self._take_calls() if self._calls else None
        for _ in core.execute(self._clock.time_ns()):
            await trio.lowlevel.checkpoint()
        entries = core.take_entries()
        if entries and not self._writer.commit_at_once(entries):
            await self._writer.commit(entries)
        sent = 0
        for address, datagram in core.answers():
            if type(address) is Call:
                address.add(datagram)
            elif socket is not None:
                sent += socket.send(datagram, address)
        self.counters.datagrams_sent += sent
        if calls or self._questions:
            self._settle(calls or [])
        self.after_round()

    def _take_datagrams(self, arrived: list[tuple[bytes, Any]]) -> None:
        receive = self._core.receive
        for datagram, address in arrived:
            try:
                receive(datagram, address)
            except WireError as error:
                self.counters.reject(error)
        self.counters.received += len(arrived)

    def _take_calls(self) -> list[Call]:
        calls: list[Call] = []
        frames = size = 0
        while self._calls and frames < CALL_FRAMES_PER_ROUND and size < CALL_BYTES_PER_ROUND:
            call = self._calls.popleft()
            calls.append(call)
            for frame in call.frames:
                try:
                    self._core.receive(frame, call, Path.GRPC)
                except WireError as error:
                    self.counters.reject(error)
                size += len(frame)
            frames += len(call.frames)
            self.counters.received += len(call.frames)
        return calls

    def _settle(self, calls: list[Call]) -> None:
        for call in calls:
            call.end()
        while self._questions:
            self._questions.popleft()()
        if not self._calls:
            self._asked = trio.Event()
