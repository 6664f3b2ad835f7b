"""A person at a host's console: asks its daemon one thing at a time, and waits for the answer."""

from typing import TYPE_CHECKING, Any

import hiredis
import trio

from orderd.intake.access import Peer
from tests.support.site import encode

if TYPE_CHECKING:
    from tests.simulation.streams import Streams

ROOT = Peer(1, 0, frozenset({0}))
PATIENCE_S = 10.0


class NoAnswer(Exception):
    """The daemon is down, went down, or takes too long."""


class Console:
    """One connection, made when it is wanted and made anew after each failure."""

    def __init__(self, streams: "Streams", name: str) -> None:
        self._streams = streams
        self._name = name
        self._stream: Any = None
        self._reader = hiredis.Reader()

    async def ask(self, *words: bytes | str | int) -> Any:
        """The reply; an error is a :class:`hiredis.ReplyError`. Raises :class:`NoAnswer`."""
        try:
            with trio.fail_after(PATIENCE_S):
                if self._stream is None:
                    self._reader = hiredis.Reader()
                    self._stream = await self._streams.connect(self._name, ROOT)
                await self._stream.send(encode(words))
                while (reply := self._reader.gets()) is False:
                    data = await self._stream.receive()
                    if not data:
                        raise ConnectionResetError
                    self._reader.feed(data)
        except (OSError, trio.TooSlowError) as error:
            self.close()
            raise NoAnswer(str(error)) from None
        except trio.Cancelled:
            # The reply that nobody waits for any more would be taken for the next one's.
            self.close()
            raise
        return reply

    def close(self) -> None:
        """Hang up."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.hang_up()


class Auditor:
    """Reads all executions of a host from the first one on, again and again, and tells the oracle."""

    def __init__(self, streams: "Streams", name: str, oracle: Any) -> None:
        self._console = Console(streams, name)
        self._name = name
        self._oracle = oracle
        self._after = 0

    async def read(self, count: int = 1000) -> bool:
        """Some more; whether there was more. Raises :class:`NoAnswer`."""
        reply = await self._console.ask("EXEC.READ", self._after, "COUNT", count)
        if isinstance(reply, hiredis.ReplyError):
            self._note_error(str(reply))
            return True
        found = [(int(exec_id), pairs_of(pairs)) for exec_id, pairs in reply]
        self._oracle.audited(self._name, found, trio.current_time())
        if found:
            self._after = found[-1][0]
        return bool(found)

    def _note_error(self, text: str) -> None:
        if not text.startswith("TRIMMED"):
            raise NoAnswer(text)
        # Those before are gone; that it may say so is the oracle's business.
        self._after = int(text.split()[1]) - 1

    def start_anew(self) -> None:
        """From the first one that is kept."""
        self._after = 0

    async def read_all(self) -> None:
        """To the end. Raises :class:`NoAnswer`."""
        while await self.read():
            pass

    def close(self) -> None:
        """Hang up."""
        self._console.close()


def pairs_of(reply: Any) -> dict[str, str]:
    """Pairs in either protocol, as text."""
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {key.decode(): value.decode() for key, value in items}
