"""orderd and an engine in one process without a socket, a file or a thread, under a clock that a test moves.

The gateway, the UDP sender and the engine's core are the real ones. Datagrams go from list to list, journals are lists
of commits. Nothing happens but in :meth:`Site.pump` (until nothing moves any more) and :meth:`Site.advance`.
"""

from collections.abc import Sequence
from typing import Any

import attrs
import hiredis

from engine.core import EngineCore, EngineLimits
from orderd.config import BatchSettings, EngineSettings, ExecutionSettings, LimitSettings, Settings
from orderd.dispatch.book_queries import Query
from orderd.dispatch.dispatcher import Dispatcher, Owner, Roads
from orderd.gateway import Gateway
from orderd.gateway_settings import gateway_settings
from orderd.info import daemon_info
from orderd.intake.access import Peer
from orderd.intake.intake import Connection
from orderd.intake.pending import Unfinished
from orderd.link.report_intake import Delivery
from orderd.live import SettingsOwner, batching_settings, share_settings
from orderd.orders.archive import ArchiveReader
from orderd.orders.entries import Entry
from orderd.runtime.host import Host
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.runtime.settings import SettingsError
from orderd.wire.errors import WireError
from orderd.wire.paths import Path
from tests.support.archive import MemoryArchive
from tests.support.channels import no_channel

SESSION = 0x5E55
ENGINE = 0xE
EPOCH_NS = 1_700_000_000_000_000_000
INSTRUMENTS = (Instrument("AAPL", 1, "0.01", "1"), Instrument("BTC", 2, "0.5", "0.001"))
STEPS_MAX = 100_000
ROOT = Peer(1, 0, frozenset({0}))


def site_settings(
    *,
    mode: str = "sync",
    instruments: Sequence[Instrument] = INSTRUMENTS,
    executions_kept: int = 2_000_000,
    executions_in_memory: int = 200_000,
    batch: dict[str, Any] | None = None,
    other: dict[str, Any] | None = None,
    **limits: int,
) -> Settings:
    """Settings as a file would give them; ``limits`` are keys of ``[limits]``. There is no road over gRPC here."""
    return Settings(
        mode=mode,  # type: ignore[arg-type]
        instrument=tuple(instruments),
        limits=LimitSettings(**limits),
        executions=ExecutionSettings(executions_kept, executions_in_memory),
        batch=BatchSettings(**(batch or {})),
        **{"engine": EngineSettings(transport="udp-only"), **(other or {})},
    )


class MemoryEngine:
    """An engine core and its journal. While it is not :attr:`up`, what is sent to it is lost."""

    def __init__(self, instruments: Sequence[Instrument] = INSTRUMENTS, limits: EngineLimits | None = None) -> None:
        self.up = True
        self.rejected = 0
        """Datagrams that were dropped: those to the engine before it was started again."""
        self.journal: list[Entry] = []
        self._instruments = InstrumentTable(instruments)
        self._limits = limits
        self._inbox: list[tuple[bytes, object]] = []
        self.start()

    def start(self) -> None:
        """From its journal, as after a kill."""
        self._inbox.clear()
        self.core = EngineCore(engine_id=ENGINE, secret=b"", instruments=self._instruments, limits=self._limits)
        for kind, payload in self.journal:
            self.core.replay(kind, payload)
        self.journal += self.core.start()

    def send(self, datagram: bytes, address: object) -> None:
        if self.up:
            self._inbox.append((datagram, address))

    def round(self, now_ns: int) -> list[tuple[Any, bytes]]:
        """Take in, execute, commit, answer."""
        inbox, self._inbox = self._inbox, []
        if not inbox:
            return []
        for datagram, address in inbox:
            try:
                self.core.receive(datagram, address)
            except WireError:
                self.rejected += 1
        for _ in self.core.execute(now_ns):
            pass
        self.journal += self.core.take_entries()
        return self.core.answers()


@attrs.define(eq=False)
class MemorySocket:
    """A datagram socket whose other end is a :class:`MemoryEngine`."""

    engine: MemoryEngine
    inbox: list[tuple[bytes, Any]] = attrs.field(factory=list)
    last_error: str = ""

    async def wait_readable(self) -> None:
        raise AssertionError("nothing waits here")

    def receive(self, limit: int = 64) -> list[tuple[bytes, Any]]:
        received, self.inbox = self.inbox, []
        return received

    def send(self, datagram: bytes, address: Any = None) -> bool:
        self.engine.send(datagram, self)
        return True

    def close(self) -> None:
        pass


@attrs.define(eq=False)
class Client:
    """One connection and a parser of what comes back. Errors come as :class:`hiredis.ReplyError`."""

    site: "Site"
    connection: Connection
    _reader: Any = attrs.field(factory=hiredis.Reader)

    def send(self, *words: bytes | str | int) -> None:
        """One command; nothing else happens."""
        self.feed(encode(words))

    def feed(self, data: bytes) -> None:
        """Bytes of commands; nothing else happens."""
        self.site.gateway.intake.feed(self.connection, data, self.site.now, self.site.now_ns)

    def replies(self) -> list[Any]:
        """The replies that have come, and are taken."""
        while self.connection.out:
            self._reader.feed(bytes(self.connection.out))
            self.connection.out.clear()
            if self.connection.client.waiter.has_more:
                self.site.gateway.intake.collect(self.connection, self.site.now)
        found = []
        while (reply := self._reader.gets()) is not False:
            found.append(reply)
        return found

    def call(self, *words: bytes | str | int) -> Any:
        """The reply to one command, once nothing moves any more."""
        self.send(*words)
        self.site.pump()
        found = self.replies()
        assert len(found) == 1, found
        return found[0]

    def pairs(self, *words: bytes | str | int) -> dict[str, str]:
        """The reply to a command that is answered by an order's pairs."""
        return pairs_of(self.call(*words))

    def error(self, *words: bytes | str | int) -> str:
        """The text of the error that a command is answered by."""
        reply = self.call(*words)
        assert isinstance(reply, hiredis.ReplyError), reply
        return str(reply)


def encode(words: Sequence[bytes | str | int]) -> bytes:
    """A command as RESP."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def pairs_of(reply: Any) -> dict[str, str]:
    """Pairs in either protocol, as text."""
    items = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {key.decode(): value.decode() for key, value in items}


@attrs.define
class _Writer:
    """What INFO asks of a journal writer."""

    journal_id: int = SESSION
    commits: int = 0
    commits_inline: int = 0
    bytes: int = 0
    segments: int = 1
    room: int = 2**30


class Site:
    """One orderd and its engine."""

    def __init__(self, settings: Settings | None = None, engine: MemoryEngine | None = None) -> None:
        self.settings = settings or site_settings()
        self.place = "memory"
        self.file: Settings | SettingsError = self.settings
        """What a reload finds."""
        self.reads_settings = True
        self.engine = engine or MemoryEngine(self.settings.instrument)
        self.clock = self
        self.started_at = 0.0
        self.host = Host(clock=self)
        self.now = 100.0
        self.journal: list[list[Entry]] = []
        """Commits."""
        self.holds_commits = False
        """Whether no commit is begun."""
        self.is_slow = False
        """Whether a commit that was begun takes its time: it ends with :meth:`end_commit`, or when this is over."""
        self._under_way: list[Entry] | None = None
        self.writer = _Writer()
        self.start()

    # --- the clock ----------------------------------------------------------------------------------------------------

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return self.now_ns

    @property
    def now_ns(self) -> int:
        return EPOCH_NS + int(self.now * 1_000_000) * 1000

    # --- start and end ------------------------------------------------------------------------------------------------

    def start(self, *, commit_survived: bool = False) -> None:
        """From the journal, as after a kill; clients are gone. ``commit_survived``: so did the commit under way."""
        if commit_survived and self._under_way is not None:
            self.journal.append(self._under_way)
        self._under_way = None
        settings = self.settings
        self.owner = SettingsOwner(settings, self)
        self.archive = MemoryArchive(self.journal, SESSION)
        self.gateway = Gateway(
            gateway_settings(settings),
            self.owner.in_force,
            self.owner,
            journal_room=lambda: self.writer.room,
            room_reserved=settings.journal.segment_bytes // 8,
            info=lambda: daemon_info(self),  # type: ignore[arg-type]
            ask_book=self._ask_book,
            monotonic=self.monotonic,
            time_ns=self.time_ns,
            journal_location=lambda: self.archive.location,
            read_archive=self.archive.ask,
        )
        nonce = 1000 + len(self.journal)
        self.journal.append(self.gateway.restore(self.archive.replay(), nonce))
        self.desk, self.intake = self.gateway.desk, self.gateway.intake
        assert self.desk.executions.index is not None
        self.archive.reader = ArchiveReader(SESSION, self.desk.executions.index, self.desk.table)
        self.socket = MemorySocket(self.engine)
        self.dispatcher = Dispatcher(
            self.gateway.open_link(SESSION, nonce, b""),
            Roads(self.socket, no_channel),
            self,
            Owner(self.gateway.release, self._deliver, self.gateway.connected),
        )
        self.owner.on_change(self._apply)
        self.gateway.withdraw_at_start()
        self.pump()

    def connect(self, peer: Peer = ROOT) -> Client:
        """A new client."""
        connection = self.intake.connect(peer, self.now)
        assert isinstance(connection, Connection), connection
        return Client(self, connection)

    # --- settings -----------------------------------------------------------------------------------------------------

    def load(self) -> Settings:
        """What the settings file says now."""
        if isinstance(self.file, SettingsError):
            raise self.file
        return self.file

    def _apply(self, old: Settings, new: Settings) -> None:
        self.gateway.apply(self.owner.in_force, batching_settings(new), share_settings(new))
        self.dispatcher.flush(self.now)

    # --- what happens -------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """All that can happen without time passing."""
        for _ in range(STEPS_MAX):
            if self.reads_settings:
                self.owner.reload_if_asked()
            self.intake.fire_silent(self.now)
            while self.gateway.withdraw():
                pass
            moved = self._commit() or self.archive.answer()
            self.dispatcher.flush(self.now)
            for address, datagram in self.engine.round(self.now_ns):
                if address is self.socket:
                    self.socket.inbox.append((datagram, None))
            while self.socket.inbox:
                self.dispatcher.udp.receive()
                moved = True
            self.intake.wake(self.now)
            if not moved and self.intake.next_deadline() > self.now:
                return
        raise AssertionError("something spins")

    def advance(self, seconds: float) -> None:
        """Let time pass, from one timer to the next."""
        end = self.now + seconds
        for _ in range(STEPS_MAX):
            wake_at = min(self.dispatcher._wake_at(), self.intake.next_deadline())
            if wake_at > end:
                self.now = end
                self.pump()
                return
            self.now = max(self.now, wake_at)
            self.pump()
        raise AssertionError("something spins")

    def give_up(self, unfinished: Unfinished) -> None:
        """As at the end of the daemon."""
        self.intake.give_up(unfinished)

    def _commit(self) -> bool:
        if self._under_way is None:
            if self.holds_commits or not self.desk.has_anything_staged:
                return False
            self._under_way = self.gateway.take_entries()
        elif self.is_slow:
            return False
        if not self.is_slow:
            self.end_commit()
        return True

    def end_commit(self) -> None:
        """What was begun is durable."""
        if self._under_way is not None:
            self.journal.append(self._under_way)
            self._under_way = None
            self.writer.commits += 1
            self.archive.note_commit()
            self.gateway.committed()

    def _deliver(self, deliveries: list[Delivery], path: Path) -> None:
        if deliveries:
            self.gateway.deliver(deliveries, path)
        self.intake.wake(self.now)
        self.desk.trim()

    def _ask_book(self, instrument: int, depth: int, done: Any) -> None:
        self.dispatcher.books.ask(Query(instrument, depth, self.now + self.gateway.live.reply_timeout, done))
        self.dispatcher.flush(self.now)
