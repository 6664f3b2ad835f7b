"""Readiness is told when orders can flow, or after a while anyway; each change of the road is a status."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
import trio.testing
from trio_util import AsyncValue

from orderd import readiness
from orderd.link.health import TransportState
from orderd.runtime.notify import Notifier
from tests.support.notify_socket import NotifySocket, notify_socket

UDP = "STATUS=UDP_ENABLED: orders go to the engine over UDP"
GRPC = "STATUS=GRPC_FALLBACK: orders go to the engine over gRPC"
DOWN = "STATUS=ENGINE_DOWN: the engine does not answer, orders are taken and kept"


@attrs.define
class Told:
    """A road that a test changes, and what was told of it."""

    manager: NotifySocket
    transport: AsyncValue[TransportState] = attrs.field(factory=lambda: AsyncValue(TransportState.ENGINE_DOWN))

    is_ready: bool = False

    def note(self) -> None:
        self.is_ready = True

    async def change(self, state: TransportState) -> None:
        self.transport.value = state
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def telling(directory: Path) -> AsyncIterator[Told]:
    with notify_socket(directory / "n") as manager:
        async with trio.open_nursery() as nursery:
            told = Told(manager)
            nursery.start_soon(readiness.tell, Notifier(str(manager.path)), told.transport, told.note)
            await trio.testing.wait_all_tasks_blocked()
            yield told
            nursery.cancel_scope.cancel()


async def test_ready_is_told_when_the_engine_has_answered(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    async with telling(tmp_path) as told:
        assert not told.manager.lines and not told.is_ready
        await told.change(TransportState.UDP_ENABLED)
        assert told.manager.lines == ["READY=1", UDP] and told.is_ready


async def test_an_engine_that_is_away_holds_readiness_up_for_ten_seconds_at_most(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with telling(tmp_path) as told:
        mock_clock.jump(9.9)
        await trio.testing.wait_all_tasks_blocked()
        assert not told.manager.lines
        mock_clock.jump(0.2)
        await trio.testing.wait_all_tasks_blocked()
        assert told.manager.lines == ["READY=1", DOWN]
        await told.change(TransportState.GRPC_FALLBACK)
        assert told.manager.lines == ["READY=1", DOWN, GRPC]


async def test_each_change_is_told_and_readiness_only_once(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    async with telling(tmp_path) as told:
        for state in (TransportState.UDP_ENABLED, TransportState.GRPC_FALLBACK, TransportState.ENGINE_DOWN):
            await told.change(state)
        await told.change(TransportState.UDP_ENABLED)
        assert told.manager.lines == ["READY=1", UDP, GRPC, DOWN, UDP]


def test_each_state_has_its_words() -> None:
    assert set(readiness.STATUSES) == set(TransportState)
