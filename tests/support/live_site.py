"""A site behind a real Unix socket, on the loop's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import trio

from orderd.intake.binding import bind
from orderd.intake.client_sockets import UnixListeningSocket
from orderd.intake.listener import Listener
from tests.support.site import Site, encode


class LiveSite(Site):
    """Time passes by itself, and what a client sends is seen to at once."""

    listener: Listener | None = None

    @property
    def now(self) -> float:
        return trio.current_time()

    @now.setter
    def now(self, value: float) -> None:
        pass

    def stir(self) -> None:
        """All that can happen, and the replies of it."""
        self.pump()
        assert self.listener is not None
        # What was woken within is written with the next wake.
        for connection in list(self.intake._connections.values()):
            self.listener._write(connection)
        self.listener.wake()


class Peer:
    """A client's end of a real connection."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._reader = hiredis.Reader()

    async def send(self, *words: bytes | str | int) -> None:
        await self.stream.send_all(encode(words))

    async def reply(self) -> Any:
        """The next reply; :class:`EOFError` at the end."""
        while (found := self._reader.gets()) is False:
            data = await self.stream.receive_some(1 << 20)
            if not data:
                raise EOFError
            self._reader.feed(data)
        return found

    async def call(self, *words: bytes | str | int) -> Any:
        await self.send(*words)
        return await self.reply()

    async def ended(self) -> bool:
        """Whether the other end closed the connection, with nothing more to read."""
        try:
            await self.reply()
        except (EOFError, trio.BrokenResourceError):
            return True
        return False


_open: list[Peer] = []


async def connect(path: Path) -> Peer:
    """A new client. It is closed with the site."""
    peer = Peer(await trio.open_unix_socket(path))
    _open.append(peer)
    return peer


def close_clients() -> None:
    """Hang up for all of them."""
    while _open:
        _open.pop().stream.socket.close()


@asynccontextmanager
async def serving(site: LiveSite, path: Path) -> AsyncIterator[Listener]:
    """``site`` behind a socket at ``path``; ends within ten seconds, come what may."""
    listening = bind(str(path), 0o600)
    try:
        with trio.fail_after(10), listening:
            async with trio.open_nursery() as nursery:
                site.listener = Listener(site.intake, UnixListeningSocket(listening), site, site.stir)
                await nursery.start(site.listener.run)
                yield site.listener
                nursery.cancel_scope.cancel()
    finally:
        close_clients()
