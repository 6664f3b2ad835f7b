"""The Unix socket at work: accepts clients, reads chunks, writes replies. Decides nothing.

Reading and writing are done on the bare socket, without a task switch when the kernel is ready; a client that does not
read gets a task of its own that waits for it, and nobody else notices.
"""

import contextlib
import errno
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

import attrs
import trio

from orderd.intake.client_sockets import ClientSocket, ListeningSocket
from orderd.intake.context import Client
from orderd.intake.intake import Connection, Intake
from orderd.intake.pending import Unfinished
from orderd.intake.turns import Turn
from orderd.runtime.accounts import user_name
from orderd.runtime.clock import Clock
from orderd.runtime.host import RunSync, run_in_thread
from orderd.runtime.log import get_logger

CHUNK_BYTES: Final = 16 * 1024
# Out of descriptors or memory: accepting goes on when others have left (accept(2)).
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
EXHAUSTED_PAUSE_S: Final = 0.1
LAST_WRITE_S: Final = 5.0
PIECE_S: Final = 5.0
AHEAD_S: Final = 0.05
"""If nothing is confirmed for so long, who waits for that goes on."""
TURN_S: Final = 0.001
USER_NAME_S: Final = 1.0
"""How long the look-up of a user's name may take before the number has to do."""

log = get_logger("intake")


@attrs.define(eq=False)
class _Peer:
    """A connected client's socket and tasks."""

    connection: Connection
    socket: ClientSocket
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    reading: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    writing: bool = False
    """Whether a task waits for the client to read."""
    finished: trio.Event | None = None
    """Set, if somebody waits for it, once all replies are written."""

    @property
    def is_finished(self) -> bool:
        return not self.connection.out and not self.connection.client.waiter.replies


class Listener:
    """``staged()`` is called when something may wait for a commit. ``run_blocking`` looks users' names up."""

    def __init__(
        self,
        intake: Intake,
        listening: ListeningSocket,
        clock: Clock,
        staged: Callable[[], None],
        run_blocking: RunSync = run_in_thread,
    ) -> None:
        self._intake = intake
        self._listening = listening
        self._clock = clock
        self._staged = staged
        self._run_blocking = run_blocking
        self._peers: dict[Connection, _Peer] = {}
        self._user_names: dict[int, str] = {}
        self._look_ups = trio.CapacityLimiter(4)
        self._accepting = trio.CancelScope()
        self._serving = trio.CancelScope()
        self._timing = trio.CancelScope()
        self._woken: dict[Connection, None] = {}
        """Those whose replies may have become ready, and are not looked at yet."""
        self._confirmed = 0
        self._moved = trio.Event()
        """Set when something was confirmed."""
        self._line = trio.Event()
        """Set when those who wait in line may go on."""
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve clients until :meth:`close`."""
        with self._serving:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._keep_time)
                task_status.started()
                with self._accepting:
                    await self._accept(self._nursery)

    def wake(self) -> None:
        """Something moved: give the replies that have become ready."""
        self._woken = dict.fromkeys(self._intake.woken(self._clock.monotonic(), self._woken))
        self._write_woken()
        if self._confirmed != self._intake.confirmed:
            self._confirmed = self._intake.confirmed
            self._moved.set()
            self._moved = trio.Event()
        self._timing.deadline = -inf if self._woken else self._intake.next_deadline()

    def stop_reading(self) -> None:
        """No more clients, no more commands; replies that are waited for still go out."""
        self._accepting.cancel()
        for peer in self._peers.values():
            peer.connection.client.closing = True
            peer.reading.cancel()

    async def close(self, unfinished: Unfinished, patience: float) -> None:
        """Answer all that waits, write it within ``patience`` seconds, and end :meth:`run`."""
        self.stop_reading()
        for connection in self._intake.give_up(unfinished):
            connection.client.closing = True
            self._write(connection)
        with trio.move_on_after(patience):
            for peer in list(self._peers.values()):
                await self._finish(peer)
        self._serving.cancel()

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=-inf if self._woken else self._intake.next_deadline()) as self._timing:
                await trio.sleep_forever()
            self.wake()
            if self._intake.fire_silent(self._clock.monotonic(), self._has_unread):
                self._staged()

    def _has_unread(self, client: Client) -> bool:
        """Whether a client that seems silent has said something that is not read yet."""
        peer = next((peer for peer in self._peers.values() if peer.connection.client is client), None)
        return peer is not None and peer.socket.has_unread()

    async def _accept(self, nursery: trio.Nursery) -> None:
        while True:
            await self._listening.wait_readable()
            try:
                sock = self._listening.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("cannot accept", reason=error.strerror)
                    await trio.sleep(EXHAUSTED_PAUSE_S)
                continue
            try:
                connection = self._intake.connect(sock.peer(), self._clock.monotonic())
            except OSError as error:
                log.warning("cannot tell who connects", reason=error.strerror)
                sock.close()
                continue
            if isinstance(connection, bytes):
                with contextlib.suppress(OSError):
                    sock.send(connection)
                sock.close()
                continue
            peer = self._peers[connection] = _Peer(connection, sock)
            nursery.start_soon(self._serve, peer)

    async def _serve(self, peer: _Peer) -> None:
        try:
            with peer.scope:
                with peer.reading:
                    peer.connection.client.user = await self._user_name(peer.connection.client.peer.uid)
                    await self._read(peer)
                # It may still read, and its orders do not wait for that.
                self._intake.hang_up(peer.connection)
                self._staged()
                with trio.move_on_after(LAST_WRITE_S + self._intake.patience):
                    await self._finish(peer)
        finally:
            self._intake.disconnect(peer.connection)
            self._staged()
            del self._peers[peer.connection]
            peer.socket.close()
            if peer.finished is not None:
                peer.finished.set()

    async def _user_name(self, uid: int) -> str:
        if uid not in self._user_names:
            name = str(uid)
            with trio.move_on_after(USER_NAME_S):
                name = await self._run_blocking(user_name, uid, abandon_on_cancel=True, limiter=self._look_ups)
            self._user_names[uid] = name
        return self._user_names[uid]

    async def _read(self, peer: _Peer) -> None:
        """Until the client hangs up or is to be closed."""
        client = peer.connection.client
        while not client.closing:
            await peer.socket.wait_readable()
            try:
                chunk = peer.socket.recv(CHUNK_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                peer.scope.cancel()
                return
            if not chunk:
                return
            now, now_ns = self._clock.monotonic(), self._clock.time_ns()
            steps = self._intake.feed_in_steps(peer.connection, chunk, now, now_ns)
            try:
                await self._take_turns(steps)
            finally:
                # Even if the client was killed halfway: what was taken in is to be committed.
                steps.close()
                self._let_in_line()
                self._write(peer.connection)
                self._staged()
            self._timing.deadline = min(self._timing.deadline, self._intake.next_deadline())
            for killed in self._intake.take_killed():
                self._peers[killed].scope.cancel()

    async def _take_turns(self, steps: Iterable[Turn]) -> None:
        """Do a chunk's commands, with others' turns between.

        Nobody breaks a piece that is being handed over; if it takes too long, the rest of it is done without turns.
        """
        with trio.CancelScope() as scope:
            for turn in steps:
                self._let_in_line()
                if turn is Turn.LINE:
                    await self._line.wait()
                    continue
                if turn is Turn.AHEAD:
                    with trio.move_on_after(AHEAD_S):
                        await self._moved.wait()
                    continue
                if (turn is Turn.PIECE) != scope.shield:
                    scope.shield = turn is Turn.PIECE
                    scope.deadline = trio.current_time() + PIECE_S if scope.shield else inf
                await trio.lowlevel.checkpoint()

    def _let_in_line(self) -> None:
        if self._intake.turns.is_free:
            self._line.set()
            self._line = trio.Event()

    async def _finish(self, peer: _Peer) -> None:
        """Until all replies are written, or the client is gone."""
        while not peer.is_finished and peer.connection in self._peers:
            if peer.finished is None:
                peer.finished = trio.Event()
            await peer.finished.wait()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _write_woken(self) -> None:
        """Collect and write, for about a millisecond; the rest has its turn after others."""
        now = self._clock.monotonic()
        until = now + TURN_S
        while self._woken and now <= until:
            connection = next(iter(self._woken))
            del self._woken[connection]
            self._intake.collect(connection, now)
            self._write(connection)
            now = self._clock.monotonic()

    def _write(self, connection: Connection) -> None:
        peer = self._peers.get(connection)
        if peer is None:
            return
        if connection.overflowed:
            peer.reading.cancel()
        if peer.writing:
            return
        self._send(peer)
        if connection.out and self._nursery is not None:
            peer.writing = True
            self._nursery.start_soon(self._write_slowly, peer)

    def _send(self, peer: _Peer) -> None:
        connection = peer.connection
        out = connection.out
        try:
            while out:
                del out[: peer.socket.send(out)]
                if not out and connection.client.waiter.has_more:
                    # They are written in a turn of their own, since making them takes time that is everybody's.
                    self._intake.collect(connection, self._clock.monotonic())
                    self._timing.deadline = min(self._timing.deadline, self._intake.wait_list.next_deadline())
                    break
        except BlockingIOError:
            return
        except OSError:
            # It is gone; its reading task sees that too.
            out.clear()
            peer.scope.cancel()
        if peer.finished is not None and peer.is_finished:
            peer.finished.set()
            peer.finished = None

    async def _write_slowly(self, peer: _Peer) -> None:
        try:
            while peer.connection.out:
                await peer.socket.wait_writable()
                self._send(peer)
        except trio.ClosedResourceError:
            pass
        finally:
            peer.writing = False
