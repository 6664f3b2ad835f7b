"""The gateway: desk, link, batching and intake, joined. Pure; the daemon's tasks call it and do what it says.

The flow of an order: :meth:`Gateway.feed` stages it; the commit task makes durable what :meth:`Gateway.take_entries`
gave and says so with :meth:`Gateway.committed`; :meth:`Gateway.release` lets the link send what is due;
:meth:`Gateway.deliver` takes the reports, which are staged for the next commit. After each of these, the replies that
have become ready are collected with ``intake.wake``.
"""

from collections.abc import Callable, Iterable
from math import inf

import attrs

from orderd.dispatch.batching import BatchingPolicy, BatchingSettings
from orderd.intake.context import BookQuery, Info, LiveSettings, Services, SettingsControl
from orderd.intake.execution_feed import ExecutionFeed
from orderd.intake.guarding import Guarding
from orderd.intake.intake import Intake, IntakeLimits
from orderd.intake.subscriptions import Subscriptions
from orderd.link.handshake import Identity
from orderd.link.health import TransportState
from orderd.link.report_intake import Delivery
from orderd.link.sender import SessionSender
from orderd.link.terms import Connected, SenderSettings
from orderd.orders.archive import ArchiveRead
from orderd.orders.desk import Desk, DeskLimits
from orderd.orders.entries import Entry
from orderd.orders.journal_index import Location
from orderd.orders.shares import ShareSettings
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.paths import Path


@attrs.frozen
class GatewaySettings:
    """What the gateway needs of the settings, in its parts' own terms."""

    instruments: InstrumentTable
    desk: DeskLimits
    link: SenderSettings
    batching: BatchingSettings
    intake: IntakeLimits


class Gateway:
    """Everything between the clients' socket and the engine's that decides."""

    def __init__(
        self,
        settings: GatewaySettings,
        live: LiveSettings,
        control: SettingsControl,
        *,
        journal_room: Callable[[], int],
        room_reserved: int,
        info: Callable[[], Info],
        ask_book: Callable[[int, int, Callable[[BookQuery], None]], object],
        monotonic: Callable[[], float],
        time_ns: Callable[[], int],
        journal_location: Callable[[], Location | None] = lambda: None,
        read_archive: Callable[[ArchiveRead], None] | None = None,
    ) -> None:
        """``monotonic`` is the clock that intake runs on, ``time_ns`` the wall clock; orders are sent by them.

        ``journal_location`` tells where the entry that the replay gave last is, or the last commit. ``read_archive``
        answers what executions are asked for that are in memory no more; without it all that are kept are in memory.
        """
        self.live = live
        limits = settings.desk if read_archive is not None else attrs.evolve(settings.desk, executions_in_memory=None)
        self.desk = Desk(settings.instruments, limits, journal_room, room_reserved)
        self.desk.risk.apply(live.risk)
        feed = ExecutionFeed(self.desk.executions, read_archive)
        self.subscriptions = Subscriptions(self.desk, feed)
        services = Services(
            desk=self.desk,
            live=live,
            info=info,
            control=control,
            guarding=Guarding(self.desk),
            sent_end=lambda: max(self.link.sent_end, self._restored_end),
            is_confirming=lambda: self.link.health.state is not TransportState.ENGINE_DOWN,
            commits_wanted=lambda: self.desk.commits_wanted,
            ask_book=ask_book,
            executions=feed,
            subscriptions=self.subscriptions,
        )
        self.intake = Intake(services, settings.intake)
        self._settings = settings
        self._journal_location = journal_location
        self._monotonic = monotonic
        self._time_ns = time_ns
        self._restored_end = 1
        self._engine_is_known = False
        self._draining = False
        self.link: SessionSender
        self._batching: BatchingPolicy

    # --- start --------------------------------------------------------------------------------------------------------

    def restore(self, journal: Iterable[Entry], nonce: int) -> list[Entry]:
        """Read the journal; what to commit before the link is opened.

        Raises :class:`~orderd.orders.entries.EntryError`, :class:`~orderd.orders.errors.InstrumentsChanged`,
        :class:`~orderd.orders.errors.ReportMismatch`.
        """
        self.desk.restore_all(journal, self._journal_location)
        self._restored_end = self.desk.committed_end
        return self.desk.start(nonce)

    def open_link(self, session: int, nonce: int, secret: bytes) -> SessionSender:
        """The link of this start; all that is restored and unconfirmed is due."""
        desk = self.desk
        digests = {instrument.id: instrument.digest for instrument in desk.instruments}
        self.link = SessionSender(
            Identity(session, desk.epoch, nonce, secret, digests),
            self._settings.link,
            lambda first, count: desk.outgoing(first, count, self._monotonic(), self._time_ns()),
            acknowledged=desk.outcomes.confirmed_end,
            reports_wanted=desk.reports_next,
            engine=desk.engine,
        )
        self._batching = BatchingPolicy(self._settings.batching, desk.committed_end)
        self._engine_is_known = desk.engine != 0
        if self._engine_is_known:
            self.link.release(desk.committed_end, inf)
        self.intake.update_marks()
        self._update_watch()
        return self.link

    def apply(self, live: LiveSettings, batching: BatchingSettings, shares: ShareSettings) -> None:
        """Settings changed: all at once, from the next command on. Orders that wait may be due earlier now."""
        self.live.take(live)
        self.desk.risk.apply(live.risk)
        self.desk.shares.apply(shares)
        self._batching.apply(batching)
        self.intake.update_roles()

    # --- clients that are gone ----------------------------------------------------------------------------------------

    def withdraw_at_start(self) -> None:
        """Stage cancels for those that a kill cut short, before anybody can place anything."""
        self.desk.withdrawals.run_at_start(self._monotonic(), self._time_ns())

    def withdraw(self) -> bool:
        """Stage some cancels for clients that are gone; whether there are more for which there is room."""
        return self.desk.withdrawals.step(self._monotonic(), self._time_ns())

    # --- commits ------------------------------------------------------------------------------------------------------

    def take_entries(self) -> list[Entry]:
        """What to commit now; see :meth:`orderd.orders.desk.Desk.take_entries`."""
        return self.desk.take_entries()

    def committed(self) -> None:
        """It is durable."""
        before = self.desk.executions.next, self.desk.committed_end
        group = self.desk.committed()
        self._note_location(*before)
        if group is not None:
            self._batching.add(group)
        self.link.reports_journaled = self.desk.reports_journaled
        self._engine_is_known = self.desk.engine_is_journaled
        self._update_watch()

    def _note_location(self, execution: int, order: int) -> None:
        index, location = self.desk.executions.index, self._journal_location()
        if index is not None and location is not None:
            index.note(execution, order, location)

    # --- the link -----------------------------------------------------------------------------------------------------

    def release(self, now: float) -> float:
        """Let the link send what is due; when to ask again.

        Nothing is due before the journal knows which engine it works with: a restart must find the same one.
        """
        if self._engine_is_known:
            due_end = self._batching.advance(inf if self._draining else now)
            self.link.release(due_end, self._batching.intake_time)
            return self._batching.wake_at()
        return inf

    def drain(self) -> None:
        """No more orders come: none waits for company from now on."""
        self._draining = True

    def connected(self, event: Connected) -> None:
        """The engine answered."""
        self.desk.note_engine(event.engine)

    def deliver(self, deliveries: list[Delivery], path: Path) -> None:
        """Reports that came over ``path``, in order. Raises :class:`~orderd.orders.errors.ReportMismatch`."""
        for delivery in deliveries:
            self.desk.apply(delivery, path)
        self._update_watch()

    def _update_watch(self) -> None:
        self.link.polls.watch = self.desk.table.open > 0 or self.desk.committed_end > self.desk.outcomes.confirmed_end
