"""The engine's end of a simulated world: a real core with a journal in memory, killed and started at will."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from engine.core import SLICE_RECORDS, EngineCore, EngineLimits
from engine.day_end import DayEnd
from engine.inputs import CancelAllInput, DayEndInput, Entry, ExpireInput, MarketInput, OrdersInput, decode
from engine.markets import MarketRules
from engine.matcher import Matcher
from engine.snapshot import VERSION, encode_state, restore_state
from orderd.link.report_log import ReportLog
from orderd.runtime.instruments import Instrument, InstrumentTable
from orderd.wire.errors import WireError
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Reason
from tests.support.virtual_calls import Call

if TYPE_CHECKING:
    from tests.support.lossy_link import OrderdEnd, World

INSTRUMENTS = InstrumentTable([Instrument("AAPL", 1, "0.01", "1"), Instrument("MSFT", 2, "0.01", "1")])


class EngineEnd:
    """A core with a journal in memory; a round's answers leave when its commit is done."""

    def __init__(self, world: "World", secret: bytes, limits: EngineLimits | None) -> None:
        self.world = world
        self.secret = secret
        self.limits = limits
        self.engine_id = 7
        self.instruments = INSTRUMENTS
        self.commit_delay = 0.0002
        self.durable: list[Entry] = []
        self.rejected = 0
        self.starts = 0
        self.day_end: DayEnd | None = None
        self.markets: dict[int, MarketRules] | None = None
        """As the settings at the next start say."""
        self.core: EngineCore | None = None
        self._inbox: list[tuple[bytes, OrderdEnd | Call]] = []
        self._calls: list[Call] = []  # of the round that is under way
        self._round: list[Entry] | None = None
        self.start()

    def start(self) -> None:
        """From the journal; every second time from a snapshot that another process has made of a part of it."""
        assert self.core is None
        self.starts += 1
        self.core = EngineCore(
            engine_id=self.engine_id,
            secret=self.secret,
            instruments=self.instruments,
            limits=self.limits,
            day_end=self.day_end,
            markets=self.markets,
        )
        rerun_from = 0 if self.starts % 2 else len(self.durable) * 2 // 3
        if rerun_from:
            maker = EngineCore(engine_id=self.engine_id, secret=b"", instruments=InstrumentTable([]))
            for kind, payload in self.durable[:rerun_from]:
                maker.replay(kind, payload)
            restore_state(self.core, VERSION, memoryview(b"".join(encode_state(maker))))
        for kind, payload in self.durable[rerun_from:]:
            self.core.replay(kind, payload)
        self.durable += self.core.start()
        self._set_alarm(self.core)

    def crash(self, *, commit_done: bool = False) -> None:
        """Now; with ``commit_done`` the round that was under way is on disk, but nobody was told."""
        if self._round is not None and commit_done:
            self.durable += self._round
        self.core, self._round = None, None
        self._inbox.clear()
        self._calls.clear()
        self.world.calls.cut()

    def reports_next(self, session: int) -> int:
        """Number of the next report of a session; of the durable ones when no round is under way."""
        assert self.core is not None
        orders = self.core.matcher._sessions.get(session)
        return orders.reports.next if orders is not None else 1

    def arrive(self, datagram: bytes, sender: "OrderdEnd") -> None:
        """Out of the network."""
        if self.core is None:
            return
        self._inbox.append((datagram, sender))
        if self._round is None:
            self._begin(self.core)

    def arrive_call(self, call: Call) -> None:
        """Over gRPC."""
        assert self.core is not None
        self._inbox += [(frame, call) for frame in call.frames]
        if self._round is None:
            self._begin(self.core)

    def _begin(self, core: EngineCore) -> None:
        for datagram, sender in self._inbox:
            over_grpc = isinstance(sender, Call)
            try:
                core.receive(datagram, sender, Path.GRPC if over_grpc else Path.UDP)
            except WireError:
                self.rejected += 1
            if isinstance(sender, Call) and sender not in self._calls:
                self._calls.append(sender)
        self._inbox.clear()
        for _ in core.execute(int(self.world.now * 1e9)):
            pass
        self._round = core.take_entries()
        self.world.at(self.commit_delay if self._round else 0.0, lambda: self._finish(core))

    def _finish(self, core: EngineCore) -> None:
        if core is not self.core or self._round is None:
            return
        self.durable += self._round
        self._round = None
        for address, datagram in core.answers():
            if isinstance(address, Call):
                address.replies.append(datagram)
            else:
                self.world.send(datagram, address.arrive)  # type: ignore[attr-defined]
        calls, self._calls = self._calls, []
        for call in calls:
            self.world.calls.executed(call)
        if self._inbox:
            self._begin(core)
        else:
            self._set_alarm(core)

    def _set_alarm(self, core: EngineCore) -> None:
        """A round when time needs one."""
        wake_at_ns = core.wake_at_ns()
        if wake_at_ns is not None:
            # A little late, since the world's clock is a float.
            self.world.at(max(0.0, wake_at_ns / 1e9 - self.world.now) + 1e-6, lambda: self._ring(core, wake_at_ns))

    def _ring(self, core: EngineCore, wake_at_ns: int) -> None:
        if core is self.core and self._round is None and core.wake_at_ns() == wake_at_ns:
            self._begin(core)


def exhaust(steps: Iterable[None]) -> None:
    """All of them at once."""
    for _ in steps:
        pass


def rerun(durable: Sequence[Entry]) -> tuple[dict[int, ReportLog], dict[int, bytes]]:
    """What the engine's journal says on its own: all reports and all executed records of each session."""
    matcher = Matcher(INSTRUMENTS.by_id)
    logs: dict[int, ReportLog] = {}
    sessions, executed = {}, {}
    for entry in (decode(*pair) for pair in durable):
        if isinstance(entry, OrdersInput):
            if entry.session not in sessions:
                logs[entry.session] = ReportLog()
                sessions[entry.session] = matcher.open_session(entry.session, logs[entry.session])
                executed[entry.session] = b""
            assert entry.first == len(executed[entry.session]) // RECORD_BYTES + 1
            executed[entry.session] += entry.records
            for start in range(0, len(entry.records), SLICE_RECORDS * RECORD_BYTES):
                part = entry.records[start : start + SLICE_RECORDS * RECORD_BYTES]
                matcher.apply(sessions[entry.session], entry.first + start // RECORD_BYTES, part, entry.time_ns)
        elif isinstance(entry, CancelAllInput):
            exhaust(matcher.cancel_session(sessions[entry.session], Reason(entry.reason), entry.time_ns))
        elif isinstance(entry, ExpireInput):
            exhaust(matcher.expire(entry.time_ns))
        elif isinstance(entry, DayEndInput):
            exhaust(matcher.end_day(entry.time_ns))
        elif isinstance(entry, MarketInput):
            matcher.set_market(entry.instrument, entry.rules)
    return logs, executed
