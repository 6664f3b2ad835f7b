"""The gRPC fallback task: makes the calls that the link wants, one after the other. Decides nothing.

The bridge to asyncio, its thread and the channel come with the first call: where UDP works they are never there.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import trio

from orderd.dispatch.grpc_channel import GrpcChannel, GrpcFailed
from orderd.runtime.addresses import Address
from orderd.runtime.asyncio_bridge import open_bridge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class FrameExchange(Protocol):
    """A channel to the engine. ``exchange`` raises :class:`~orderd.dispatch.grpc_channel.GrpcFailed`."""

    async def exchange(self, frames: Sequence[bytes], timeout_s: float) -> list[bytes]: ...


Connect = Callable[[], AbstractAsyncContextManager[FrameExchange]]
"""Opens the channel; called once, when it is wanted first."""


def channel_to(address: Address) -> Connect:
    """A channel to a real engine."""

    @asynccontextmanager
    async def connect() -> "AsyncIterator[FrameExchange]":
        async with open_bridge() as bridge:
            channel = GrpcChannel(bridge, address)
            try:
                yield channel
            finally:
                await channel.aclose()

    return connect


class GrpcFallback:
    """``answered`` is called with the frames that a call brought, ``failed`` with why it brought none."""

    def __init__(
        self,
        connect: Connect,
        timeout_s: float,
        answered: Callable[[list[bytes]], None],
        failed: Callable[[str], None],
    ) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._answered = answered
        self._failed = failed
        self._frames: list[bytes] = []
        self._wanted = trio.Event()

    def call(self, frames: list[bytes]) -> None:
        """Make a call with ``frames``. The one before is over."""
        assert not self._frames, "one call at a time"
        self._frames = frames
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._wanted.wait()
        async with self._connect() as channel:
            while True:
                await self._wanted.wait()
                self._wanted = trio.Event()
                try:
                    replies = await channel.exchange(self._frames, self._timeout_s)
                except GrpcFailed as error:
                    self._frames = []
                    self._failed(str(error))
                else:
                    self._frames = []
                    self._answered(replies)
