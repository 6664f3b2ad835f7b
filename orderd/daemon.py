"""The daemon: opens journal and sockets, runs the gateway's tasks under supervision, and ends them in order.

Nurseries, outer to inner::

    embedded engine > journal writer, commits, UDP sender > listener, one task a client

End: stop reading, let what is in flight be confirmed, answer the rest as UNKNOWN, commit, say goodbye to the engine,
close. A kill in the middle of any of it loses nothing.
"""

import contextlib
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from typing import Final

import attrs
import trio
from trio_util import AsyncValue, wait_any

from orderd import readiness
from orderd.archive import Archive
from orderd.config import Settings
from orderd.dispatch.book_queries import Query
from orderd.dispatch.dispatcher import Dispatcher, Owner, Roads
from orderd.dispatch.grpc_fallback import channel_to
from orderd.embedded_engine import EmbeddedEngine
from orderd.gateway import Gateway
from orderd.gateway_settings import gateway_settings
from orderd.info import daemon_info
from orderd.intake.binding import listening_socket
from orderd.intake.client_sockets import ListeningSocket, UnixListeningSocket
from orderd.intake.context import BookQuery
from orderd.intake.listener import Listener
from orderd.intake.pending import Unfinished
from orderd.journal import JournalWriter, RealDisk, open_journal
from orderd.journal.disk import Disk
from orderd.journal.errors import JournalError, JournalFull
from orderd.journal.interface import Journal
from orderd.link.health import Transport, TransportState
from orderd.link.report_intake import Delivery
from orderd.link.terms import Connected
from orderd.live import SettingsOwner, Source, batching_settings, share_settings
from orderd.orders.archive import ArchiveRead, ArchiveReader
from orderd.orders.entries import Entry
from orderd.orders.journal_index import JournalIndex
from orderd.runtime.activation import take_socket
from orderd.runtime.addresses import parse_address
from orderd.runtime.datagrams import UdpSocket
from orderd.runtime.host import Host
from orderd.runtime.keys import read_key
from orderd.runtime.log import get_logger
from orderd.runtime.notify import NOBODY, Notifier
from orderd.runtime.watchdog import feed
from orderd.wire.paths import Path

APPLICATION: Final = b"orderd"
REPORTS_LINGER_S: Final = 0.005
"""How long reports that nobody waits for wait for orders to be committed with: one sync serves both."""
READERS_LINGER_S: Final = 0.001
"""The same while somebody has subscribed to executions: orders do not wait for syncs that only readers need."""
FULL_RETRY_S: Final = 0.5
DRAIN_SHARE: Final = 0.7
"""Of the time that a shutdown may take, what waiting for confirmations may use."""
JOURNAL_FAILURE_S: Final = 1.0
"""How long clients have to read that the journal failed."""

log = get_logger("orderd")


@attrs.frozen
class _Given:
    """Settings that come from nowhere: a reload finds the same again."""

    settings: Settings
    place: str = "given at the start"

    def load(self) -> Settings:
        return self.settings


class Daemon:
    """The tasks around a gateway, on ``host``. ``journal`` is open and not read yet; ``roads`` lead to the engine.

    ``disk`` is the one below the journal.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        roads: Roads,
        secret: bytes,
        *,
        host: Host,
        disk: Disk,
        notifier: Notifier = NOBODY,
        source: Source | None = None,
    ) -> None:
        self.settings = settings
        self.notifier = notifier
        self.host = host
        self.clock = clock = host.clock
        self.started_at = clock.monotonic()
        self.owner = SettingsOwner(settings, source or _Given(settings), host.run_sync)
        self.gateway = self._make_gateway(journal)
        nonce = host.entropy.u64()
        self._read(journal, nonce)
        self.archive = self._make_archive(journal.journal_id, disk)
        self.writer = JournalWriter(journal, settings.journal, clock=host.stopwatch, run_blocking=host.run_sync)
        self.dispatcher = Dispatcher(
            self.gateway.open_link(journal.journal_id, nonce, secret),
            roads,
            clock,
            Owner(self.gateway.release, self._deliver, self._connected),
        )
        self._left: list[Entry] = []
        """Entries that were taken for a commit that was not done."""
        self._staged = trio.Event()
        """Set when the commit task has something to do at once."""
        self._reports_due = inf
        """When reports that nobody waits for are committed although no order came along."""
        self._waiting = trio.CancelScope()
        self._withdrawing = trio.Event()
        """Set when there may be room for cancels of clients that are gone."""
        self._unconfirmed = AsyncValue(self.gateway.desk.unconfirmed)
        self._is_settled = AsyncValue(True)
        self._is_ready = False
        self._listener: Listener
        self.gateway.withdraw_at_start()
        if cancelled := self.gateway.desk.withdrawals.cancelled:
            log.warning("orders of clients that are gone are cancelled", orders=cancelled)
        self.owner.on_change(self._apply)

    def _make_gateway(self, journal: Journal) -> Gateway:
        return Gateway(
            gateway_settings(self.settings),
            self.owner.in_force,
            self.owner,
            journal_room=lambda: self.writer.room,
            room_reserved=self.settings.journal.segment_bytes // 8,
            info=lambda: daemon_info(self),
            ask_book=self._ask_book,
            monotonic=self.clock.monotonic,
            time_ns=self.clock.time_ns,
            journal_location=lambda: journal.location,
            read_archive=self._read_archive if self.settings.journal.backend == "file" else None,
        )

    def _read(self, journal: Journal, nonce: int) -> None:
        """Do again what the journal holds, and commit this start."""
        journal.commit(self.gateway.restore(journal.replay(), nonce))
        desk = self.gateway.desk
        log.info(
            "journal read",
            orders=desk.table.end - 1,
            unconfirmed=desk.unconfirmed,
            executions=desk.executions.last,
            epoch=desk.epoch,
            session=f"{journal.journal_id:016x}",
            trading=desk.trading.state.name,
            accounts_restricted=len(desk.trading.accounts),
        )

    def _make_archive(self, journal_id: int, disk: Disk) -> Archive:
        desk, settings = self.gateway.desk, self.settings
        index = desk.executions.index
        reader = ArchiveReader(journal_id, index if index is not None else JournalIndex(), desk.table)
        # A client asks for one thing at a time, and may be subscribed.
        return Archive(
            settings.journal.directory,
            reader,
            4 * settings.listen.clients_max,
            self._wake_clients,
            disk=disk,
            run_blocking=self.host.run_sync,
        )

    def _read_archive(self, asked: ArchiveRead) -> None:
        self.archive.ask(asked)

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def run(self, listening: ListeningSocket) -> None:
        """Until a signal or a failure.

        Raises :class:`~orderd.journal.errors.JournalError`, :class:`~orderd.link.errors.LinkError`,
        :class:`~orderd.orders.errors.ReportMismatch`.
        """
        self._listener = Listener(self.gateway.intake, listening, self.clock, self._take_in, self.host.run_sync)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._keep_journal)
            nursery.start_soon(self._or_tell, self._commit_forever)
            nursery.start_soon(self._withdraw_forever)
            self._note_staged()
            nursery.start_soon(self.owner.run, self._wake_clients, self._around_reload)
            nursery.start_soon(self._or_tell, feed, self.notifier, self.writer.prove_alive)
            nursery.start_soon(self.dispatcher.run)
            nursery.start_soon(self.archive.run)
            await nursery.start(self._listener.run)
            nursery.start_soon(readiness.tell, self.notifier, self.dispatcher.transport, self._note_ready)
            await self._wait_for_stop(listening.name)
            self.notifier.stopping()
            await self._stop()
            nursery.cancel_scope.cancel()

    async def _wait_for_stop(self, socket_name: str) -> None:
        with self.host.signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            # Whoever hears of it may send a signal at once.
            log.info("ready", socket=socket_name, mode=self.settings.mode)
            async for number in signals:
                if number != signal.SIGHUP:
                    log.info("stopping", signal=signal.Signals(number).name)
                    return
                self.owner.ask_reload("SIGHUP")

    async def _stop(self) -> None:
        timeout = self.settings.shutdown_timeout_ms / 1000
        with trio.move_on_after(timeout):
            self._listener.stop_reading()
            while not self.gateway.intake.turns.is_free:
                # A transaction that was begun is handed over whole, and some of it may be guarded.
                await trio.lowlevel.checkpoint()
            # No connection survives this: what is guarded is cancelled; what there is no room for, at the next start.
            self.gateway.intake.hang_up_all()
            while self.gateway.withdraw():
                await trio.lowlevel.checkpoint()
            # A client that was stopped within a chunk has orders staged that it has not told of yet.
            self._note_staged()
            self.gateway.drain()
            self.dispatcher.flush(self.clock.monotonic())
            with trio.move_on_after(timeout * DRAIN_SHARE):
                # For values and not for changes: one may come before anybody waits for it.
                await wait_any(
                    partial(self._unconfirmed.wait_value, 0),
                    partial(self.dispatcher.transport.wait_value, TransportState.ENGINE_DOWN),
                )
            await self._listener.close(Unfinished.SHUTDOWN, timeout * (1 - DRAIN_SHARE) / 2)
            await self._is_settled.wait_value(True)
            self.dispatcher.flush(self.clock.monotonic())
            self.dispatcher.say_goodbye()

    async def _keep_journal(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._or_tell(partial(self.writer.run, task_status=task_status))

    async def _or_tell(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Whichever task finds that the journal failed: those who wait hear of it before all ends."""
        try:
            await task(*args)
        except JournalError:
            await self._listener.close(Unfinished.JOURNAL, JOURNAL_FAILURE_S)
            raise

    async def _commit_forever(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._reports_due) as self._waiting:
                await self._staged.wait()
            self._staged, self._reports_due = trio.Event(), inf
            entries, self._left = self._left, []
            if entries or self.gateway.desk.has_anything_staged:
                await self._commit(entries or self.gateway.take_entries())
                self._after_commit()

    async def _withdraw_forever(self) -> None:
        """Stage cancels for clients that are gone, a piece at a time, others between."""
        while True:
            await self._withdrawing.wait()
            self._withdrawing = trio.Event()
            has_more = True
            while has_more:
                has_more = self.gateway.withdraw()
                self._note_staged()
                await trio.lowlevel.checkpoint()

    def _note_withdrawals(self) -> None:
        if not self.gateway.desk.withdrawals.is_idle:
            self._withdrawing.set()

    def _take_in(self) -> None:
        """A chunk of a client's bytes was processed, or a client is gone.

        Orders that come when nothing is under way are committed on the spot: nobody would be in their group.
        """
        desk = self.gateway.desk
        self._note_withdrawals()
        if not (desk.has_orders_staged and desk.is_idle):
            self._note_staged()
            return
        entries = self.gateway.take_entries()
        with contextlib.suppress(JournalError):
            if self.writer.commit_at_once(entries):
                self._after_commit()
                return
        # The commit task does it, or finds and tells what is wrong with the journal.
        self._left = entries
        self._staged.set()
        self._note_progress()

    def _after_commit(self) -> None:
        self.gateway.committed()
        self._note_withdrawals()
        for change in self.gateway.desk.trading.take_changes():
            about = {} if change.account is None else {"account": change.account}
            log.warning(f"trading {change.state.name}", **about, by=change.by)
        self.dispatcher.flush(self.clock.monotonic())
        self._listener.wake()
        self._note_staged()

    async def _commit(self, entries: list[Entry]) -> None:
        while True:
            try:
                await self.writer.commit(entries)
            except JournalFull as error:
                # Nothing of it was written, so it may be tried again; new orders are refused meanwhile.
                log.error("journal is full", reason=str(error))
                await trio.sleep(FULL_RETRY_S)
            else:
                return

    # --- settings -----------------------------------------------------------------------------------------------------

    def _apply(self, old: Settings, new: Settings) -> None:
        """Take other settings over. The link is asked at once, as orders that wait may be due now."""
        self.settings = new
        self.gateway.apply(self.owner.in_force, batching_settings(new), share_settings(new))
        self.dispatcher.change_transport(Transport(new.engine.transport), self.clock.monotonic())

    def _note_ready(self) -> None:
        self._is_ready = True

    def _around_reload(self) -> AbstractAsyncContextManager[None]:
        # The end of a reload says READY=1, which is not to be said before it is so.
        return self.notifier.reloading() if self._is_ready else contextlib.nullcontext()

    def _wake_clients(self) -> None:
        self._listener.wake()

    # --- what the parts tell ------------------------------------------------------------------------------------------

    def _note_staged(self) -> None:
        """Something was taken in, or was just committed."""
        desk = self.gateway.desk
        if desk.has_orders_staged or (desk.has_anything_staged and self.gateway.intake.wait_list.awaits_reports):
            self._staged.set()
        elif not desk.has_anything_staged:
            self._commit_reports_by(inf)
        elif self._reports_due == inf:
            reads_along = self.gateway.intake.wait_list.reads_along()
            self._commit_reports_by(self.clock.monotonic() + (READERS_LINGER_S if reads_along else REPORTS_LINGER_S))
        self._note_progress()

    def _commit_reports_by(self, time: float) -> None:
        self._reports_due = self._waiting.deadline = time

    def _note_progress(self) -> None:
        """For :meth:`_stop`, which waits until nothing is under way."""
        desk = self.gateway.desk
        self._unconfirmed.value = desk.unconfirmed + (not desk.withdrawals.is_idle)
        self._is_settled.value = desk.is_settled

    def _deliver(self, deliveries: list[Delivery], path: Path) -> None:
        if deliveries:
            self.gateway.deliver(deliveries, path)
        # First of all those who wait are told; the journal is the next commit's business.
        self._listener.wake()
        if deliveries:
            self._note_staged()
            self.gateway.desk.trim()
            self._note_withdrawals()

    def _connected(self, event: Connected) -> None:
        self.gateway.connected(event)
        self._note_staged()

    def _ask_book(self, instrument: int, depth: int, done: Callable[[BookQuery], None]) -> None:
        now = self.clock.monotonic()
        expires_at = now + self.gateway.live.reply_timeout
        self.dispatcher.books.ask(Query(instrument, depth, expires_at, done))
        self.dispatcher.flush(now)


async def run(settings: Settings, source: Source | None = None) -> None:
    """The whole life of the process. A reload reads the settings from ``source`` again.

    Raises what :meth:`Daemon.run` does, and for a start that cannot be: :class:`~orderd.runtime.keys.KeyFileError`,
    :class:`~orderd.runtime.activation.ActivationError`, :class:`~orderd.intake.binding.CannotListen`,
    :class:`~orderd.embedded_engine.EmbeddedEngineFailed`, OSError, :class:`~orderd.orders.entries.EntryError`,
    :class:`~orderd.orders.errors.InstrumentsChanged`.
    """
    # First of all, so that no child has them.
    inherited, notifier = take_socket(), Notifier.take()
    host, disk = Host(), RealDisk()
    journal = open_journal(settings.journal, APPLICATION, disk, entropy_u64=host.entropy.u64())
    try:
        with listening_socket(settings.listen.socket, settings.listen.socket_mode_bits, inherited) as listening:
            make = partial(Daemon, settings, journal, host=host, disk=disk, notifier=notifier, source=source)
            await _run_with_engine(settings, make, UnixListeningSocket(listening))
    finally:
        journal.close()
    log.info("stopped")


async def _run_with_engine(
    settings: Settings, make: Callable[[Roads, bytes], Daemon], listening: ListeningSocket
) -> None:
    async with trio.open_nursery() as nursery:
        if settings.engine.embedded:
            engine = EmbeddedEngine.prepare(settings)
            address, grpc_address, secret = engine.udp_address, engine.grpc_address, engine.secret
            nursery.start_soon(engine.run)
        else:
            address, secret = parse_address(settings.engine.udp), read_key(settings.engine.key_file)
            grpc_address = parse_address(settings.engine.grpc)
        sock = UdpSocket.connected(address)
        timeout_s = settings.grpc.timeout_ms / 1000
        roads = Roads(sock, channel_to(grpc_address), str(address), str(grpc_address), timeout_s)
        try:
            await make(roads, secret).run(listening)
        finally:
            sock.close()
        nursery.cancel_scope.cancel()
