"""One connection of a simulated client: commands go out in pieces, replies are matched to them in order.

Everything that is said and heard is told to a :class:`Listener`, the oracle. What the client makes of it is for
:mod:`tests.simulation.clients` to say.
"""

import random
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, Protocol

import hiredis
import trio

from tests.simulation.intents import Said, Words, is_farewell

TOO_BIG: Final = "command too big"
"""In the protocol error about a command beyond ``query_bytes_max``."""


class Listener(Protocol):
    """Who is told what clients say and hear; ``now`` is in virtual seconds."""

    def connected(self, site: str, connection: int, now: float) -> None:
        """A connection is there."""
        ...

    def sent(self, site: str, connection: int, number: int, words: Words, now: float) -> None:
        """Bytes of a command are about to be handed over."""
        ...

    def sent_whole(self, site: str, connection: int, number: int) -> None:
        """All of them are."""
        ...

    def told(self, site: str, connection: int, number: int, reply: Any, now: float) -> None:
        """A command was answered."""
        ...

    def pushed(self, site: str, connection: int, message: Any, now: float) -> None:
        """A RESP3 push came."""
        ...

    def ended(self, site: str, connection: int, by: str, now: float) -> None:
        """``by`` is who hung up: ``client`` or ``daemon``."""
        ...


class Stream(Protocol):
    """The client's end: see :class:`tests.simulation.streams.ClientEnd`."""

    async def send(self, data: bytes) -> None:
        """All of it. Raises OSError."""
        ...

    async def receive(self) -> bytes:
        """b"" at the end. Raises OSError."""
        ...

    def half_close(self) -> None:
        """Nothing more will be sent."""
        ...

    def hang_up(self) -> None:
        """Close it."""
        ...


class Misbehaviour(AssertionError):
    """The daemon said something that answers nothing, or took what is wrong in itself."""


class Link:
    """A connection. ``heard(said, reply)`` is called with each answer."""

    def __init__(
        self, site: str, number: int, stream: Stream, listener: Listener, heard: Callable[[Said, Any], None]
    ) -> None:
        self.number = number
        self.said: list[Said] = []
        self.answered = 0
        self.ended = False
        self.farewell = ""
        """Why the daemon hung up, if it said so."""
        self.said_garbage = False
        """What was said last is no command, and is answered by a protocol error."""
        self.saying = trio.CancelScope()
        """Cancelled when the connection is no more."""
        self._site = site
        self._stream = stream
        self._listener = listener
        self._heard = heard
        self._reader = hiredis.Reader()
        self._handing = 0
        """Commands whose last byte is handed over, or is being."""
        self._whole = 0
        self._moved: trio.Event | None = None
        listener.connected(site, number, trio.current_time())

    @property
    def outstanding(self) -> int:
        """Commands that are not answered."""
        return len(self.said) - self.answered

    @property
    def unanswered(self) -> list[Said]:
        """Those."""
        return self.said[self.answered :]

    # --- saying -------------------------------------------------------------------------------------------------------

    async def say(
        self, commands: Sequence[Said], rng: random.Random, *, pieces: int = 1, share: float = 1.0, more: bytes = b""
    ) -> bool:
        """Hand commands over, cut at any byte into ``pieces``; of them all only a ``share``.

        ``more`` are bytes behind them. Whether the connection still takes something.
        """
        encoded = [encode(said.words) for said in commands]
        data = b"".join(encoded) + more
        size = len(data) if share == 1.0 else int(len(data) * share)
        cuts = [*sorted(rng.randint(0, size) for _ in range(pieces - 1)), size]
        ends = list(accumulate(map(len, encoded)))
        start = begun = handed = 0
        self.said_garbage = bool(more)
        for cut in cuts:
            if cut == start:
                continue
            while begun < len(ends) and (ends[begun - 1] if begun else 0) < cut:
                self._note(commands[begun])
                begun += 1
            while handed < begun and ends[handed] <= cut:
                handed += 1
                self._handing += 1
            try:
                await self._stream.send(data[start:cut])
            except (OSError, trio.ClosedResourceError):
                # What has come before that can still be read.
                return False
            self._note_whole(self._handing)
            start = cut
            if cut != size:
                await trio.sleep(rng.choice((0.0, 0.001, 0.02, 0.3)))
        return True

    def _note(self, said: Said) -> None:
        number = len(self.said)
        self.said.append(said)
        for intent in (said.intent,) if said.transaction is None else said.transaction.parts:
            if intent is not None:
                intent.tries += 1
                intent.in_flight += 1
        self._listener.sent(self._site, self.number, number, said.words, trio.current_time())

    def _note_whole(self, end: int) -> None:
        while self._whole < end:
            self._listener.sent_whole(self._site, self.number, self._whole)
            self._whole += 1

    # --- hearing ------------------------------------------------------------------------------------------------------

    async def hear(self, pause: Callable[[], float]) -> None:
        """Until the daemon hangs up. ``pause()`` is for how many seconds nothing is read now."""
        while True:
            seconds = pause()
            if seconds:
                await trio.sleep(seconds)
            try:
                data = await self._stream.receive()
            except trio.ClosedResourceError:
                return
            except OSError:
                data = b""
            if not data:
                self._end("daemon")
                return
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
            if self._moved is not None:
                self._moved.set()

    def _take(self, reply: Any) -> None:
        now = trio.current_time()
        if isinstance(reply, hiredis.PushNotification):
            self._listener.pushed(self._site, self.number, list(reply), now)
            return
        if self.farewell:
            raise Misbehaviour(f"{self._name()}: {shown(reply)} behind {self.farewell}")
        if is_farewell(reply):
            self.farewell = str(reply)
            if self.farewell.startswith("ERR Protocol") and not (self.said_garbage or TOO_BIG in self.farewell):
                raise Misbehaviour(f"{self._name()}: {self.farewell}, and nothing but commands were said")
            return
        number = self.answered
        if number >= self._whole:
            if number >= self._handing:
                raise Misbehaviour(f"{self._name()}: {shown(reply)} answers nothing that was said")
            self._note_whole(number + 1)
        self.answered += 1
        self._listener.told(self._site, self.number, number, reply, now)
        self._heard(self.said[number], reply)

    async def wait(self, seconds: float) -> bool:
        """Until something was heard, at most so long; whether something was."""
        answered = self.answered
        with trio.move_on_after(seconds):
            while self.answered == answered and not self.ended:
                self._moved = trio.Event()
                await self._moved.wait()
        self._moved = None
        return self.answered != answered

    async def drain(self, seconds: float) -> None:
        """Hear what comes, until the end or until nothing has come for so long."""
        while not self.ended and await self.wait(seconds):
            pass

    # --- ending -------------------------------------------------------------------------------------------------------

    def half_close(self) -> None:
        """Nothing more is said; what still comes is heard."""
        if not self.ended:
            self._stream.half_close()

    def hang_up(self) -> None:
        """Now. Nothing more is heard."""
        if not self.ended:
            self._end("client")

    def _end(self, by: str) -> None:
        self.ended = True
        # The oracle hears of it first: what the daemon reads from now on was said before.
        self._listener.ended(self._site, self.number, by, trio.current_time())
        self._stream.hang_up()
        self.saying.cancel()
        if self._moved is not None:
            self._moved.set()

    def _name(self) -> str:
        return f"{self._site}, connection {self.number}, {self.answered} of {len(self.said)} commands answered"


def encode(words: Words) -> bytes:
    """A command as RESP."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def shown(reply: Any) -> str:
    """A reply for people."""
    text = repr(reply)
    return text if len(text) <= 300 else f"{text[:300]}..."
