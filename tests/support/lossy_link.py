"""A simulated network between real orderd ends and a real engine core, under a virtual clock; all from one seed.

The network drops, doubles, reorders, delays and corrupts. Both ends keep what their journals would hold: orderd its
records (durable when placed) and the reports that a commit has covered; the engine the entries of its finished rounds.
A crash forgets the rest.
"""

import heapq
import random
from collections.abc import Callable

import attrs

from engine.core import EngineLimits
from orderd.link.handshake import Identity
from orderd.link.report_intake import Delivery
from orderd.link.report_log import ReportLog
from orderd.link.sender import SessionSender
from orderd.link.terms import Event, LinkState, SenderSettings
from orderd.wire.bodies import BookReply
from orderd.wire.errors import WireError
from orderd.wire.frames import FrameType
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import OrderStatus, Report, iter_reports
from tests.support.matching import BUY, SELL, cancel, limit, market, mass_cancel, replace
from tests.support.virtual_calls import Call, Calls
from tests.support.virtual_engine import INSTRUMENTS, EngineEnd, rerun

DONE = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
STEPS_AT_ONE_TIME_MAX = 20_000


@attrs.frozen
class Conditions:
    """Chances of each mishap for a datagram, and the range of its delay in seconds: a wide one reorders."""

    drop: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0
    delay_min: float = 0.0001
    delay_max: float = 0.0001
    late: float = 0.0
    """That another copy comes when nobody expects it any more, up to :data:`LATE_MAX` later."""


LATE_MAX = 3.0
CLEAN = Conditions()
ROUGH = Conditions(drop=0.1, duplicate=0.1, corrupt=0.05, delay_min=0.0001, delay_max=0.002, late=0.05)


class World:
    """One engine, some orderd ends, and the clock. ``seen`` is called with each datagram: whether to let it pass."""

    def __init__(
        self,
        seed: int = 0,
        conditions: Conditions = CLEAN,
        *,
        sessions: int = 1,
        secret: bytes = b"",
        limits: EngineLimits | None = None,
        settings: SenderSettings | None = None,
    ) -> None:
        self.now = 1234.567
        self.rng = random.Random(seed)
        self.conditions = conditions
        self.sent: dict[int, int] = {}
        self.lost: dict[int, int] = {}
        self.seen: Callable[[bytes], bool] = lambda _: True
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self.calls = Calls(self)
        self.engine = EngineEnd(self, secret, limits)
        self.ends = [OrderdEnd(self, 101 + i, secret, settings or SenderSettings()) for i in range(sessions)]

    @property
    def end(self) -> "OrderdEnd":
        return self.ends[0]

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self._serial += 1
        heapq.heappush(self._events, (self.now + delay, self._serial, action))

    def send(self, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        """Into the network; ``deliver`` takes what comes out."""
        rng, conditions, type_ = self.rng, self.conditions, datagram[3]
        self.sent[type_] = self.sent.get(type_, 0) + 1
        for _ in range(2 if rng.random() < conditions.duplicate else 1):
            bad = rng.random() < conditions.corrupt
            if not self.seen(datagram) or rng.random() < conditions.drop:
                self.lost[type_] = self.lost.get(type_, 0) + 1
                continue
            arriving = flip_bit(datagram, rng.randrange(len(datagram) * 8)) if bad else datagram
            self.lost[type_] = self.lost.get(type_, 0) + bad
            delay = rng.uniform(conditions.delay_min, conditions.delay_max)
            self.at(delay, lambda arriving=arriving: deliver(arriving))  # type: ignore[misc]
        if rng.random() < conditions.late:
            self.at(rng.uniform(0, LATE_MAX), lambda: deliver(datagram))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let that much time pass, or less if ``until`` comes true; whether it did."""
        deadline = self.now + seconds
        steps = 0
        while not until():
            wake_at = min((end.wake_at() for end in self.ends), default=deadline)
            next_at = min(wake_at, self._events[0][0] if self._events else wake_at)
            if next_at > deadline:
                self.now = deadline
                return until()
            steps = 0 if next_at > self.now else steps + 1
            assert steps < STEPS_AT_ONE_TIME_MAX, "something spins"
            self.now = max(self.now, next_at)
            if self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            else:
                for end in self.ends:
                    if end.wake_at() <= self.now:
                        end.flush()
                        assert end.wake_at() > self.now, "a timer that does not move on"
        return True

    def settle(self, seconds: float = 8.0) -> None:
        """The network is well again: all must come through in time."""
        self.conditions = CLEAN
        self.seen = lambda _: True
        assert self.run(seconds, lambda: all(end.settled for end in self.ends)), [
            (end.sender and end.sender.state, end.confirmed_end, end.records_end, end.reports_next) for end in self.ends
        ]
        self.check()

    def check(self) -> None:
        """What was executed is what was placed, and what was told is what the matcher said; all once and in order."""
        logs, executed = rerun(self.engine.durable)
        for end in self.ends:
            done = executed.get(end.session, b"")
            assert bytes(end.records[: len(done)]) == done
            log = logs.get(end.session, ReportLog())
            _, _, data = log.read(1, 2**60)
            assert list(iter_reports(data, 1))[: len(end.told)] == end.told


def flip_bit(data: bytes, bit: int) -> bytes:
    """``data`` with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


class OrderdEnd:
    """A sender with journals in memory."""

    def __init__(self, world: World, session: int, secret: bytes, settings: SenderSettings) -> None:
        self.world = world
        self.session = session
        self.secret = secret
        self.settings = settings
        self.records = bytearray()
        self.epoch = 0
        self.nonce = 0
        self.told: list[Report] = []
        self.confirmed_end = 1
        self.open: set[int] = set()
        self.engine_id = 0
        self.rejected = 0
        self.events: list[Event] = []
        self.books: list[BookReply] = []
        self.commit_delay = 0.0003
        self.sender: SessionSender | None = None
        self._staged: list[Delivery] = []
        self._started_unconfirmed_end = 1
        self.start()

    @property
    def records_end(self) -> int:
        return len(self.records) // RECORD_BYTES + 1

    @property
    def reports_next(self) -> int:
        return len(self.told) + 1

    @property
    def link(self) -> SessionSender:
        assert self.sender is not None
        return self.sender

    @property
    def settled(self) -> bool:
        """All that was placed is confirmed, and all that was told is journaled."""
        return (
            self.sender is not None
            and self.sender.state is LinkState.UP
            and self.confirmed_end == self.records_end == self.sender.acknowledged
            and self.reports_next == self.world.engine.reports_next(self.session)
        )

    def start(self) -> None:
        """From the journal, as a new process."""
        assert self.sender is None
        self.epoch += 1
        self.nonce = self.world.rng.getrandbits(64)
        digests = {instrument.id: instrument.digest for instrument in INSTRUMENTS}
        self.sender = SessionSender(
            Identity(self.session, self.epoch, self.nonce, self.secret, digests),
            self.settings,
            self._fetch,
            acknowledged=self.confirmed_end,
            reports_wanted=self.reports_next,
            engine=self.engine_id,
        )
        # When they came in nobody knows any more.
        self.sender.release(self.records_end, float("inf"))
        self._note()

    def crash(self) -> None:
        """Reports whose commit was under way are forgotten."""
        self.sender = None
        self._staged.clear()

    def place(self, *records: bytes) -> None:
        """Journal records and send them."""
        self.records += b"".join(records)
        if self.sender is not None:
            self.sender.release(self.records_end, self.world.now)
            self._note()
            self.flush()

    def ask_book(self, query: int, instrument: int, depth: int) -> None:
        for datagram in self.link.book_request(query, instrument, depth):
            self.world.send(datagram, self._to_engine)

    def goodbye(self) -> None:
        for datagram in self.link.goodbye():
            self.world.send(datagram, self._to_engine)

    def wake_at(self) -> float:
        return self.sender.wake_at() if self.sender is not None else float("inf")

    def flush(self) -> None:
        """Send what is due."""
        link = self.link
        for datagram in link.datagrams(self.world.now):
            self.world.send(datagram, self._to_engine)
        call = link.exchange(self.world.now)
        if call:
            self.world.calls.begin(self, call)
        assert link.in_flight <= link.settings.window_datagrams, "the window is exceeded"
        self._collect_events()

    def arrive(self, datagram: bytes) -> None:
        """Out of the network."""
        self._take_in(datagram, Path.UDP)
        if self.sender is not None:
            self.flush()

    def answered(self, call: Call) -> None:
        """A call is over."""
        for frame in call.replies:
            self._take_in(frame, Path.GRPC)
        self.link.exchange_ended(self.world.now)
        self.flush()

    def _take_in(self, datagram: bytes, path: Path) -> None:
        if self.sender is None:
            return
        try:
            received = self.sender.receive(datagram, self.world.now, path)
        except WireError:
            self.rejected += 1
            return
        self._collect_events()
        if isinstance(received, BookReply):
            self.books.append(received)
        elif received:
            if not self._staged:
                link = self.sender
                self.world.at(self.commit_delay, lambda: self._commit(link))
            self._staged += received

    def _collect_events(self) -> None:
        while self.link.events:
            event = self.link.events.popleft()
            self.events.append(event)
            self.engine_id = getattr(event, "engine", self.engine_id)

    def _commit(self, link: SessionSender) -> None:
        if link is not self.sender:
            return
        for delivery in self._staged:
            assert delivery.first == self.reports_next, "a report twice, or one left out"
            fresh = list(iter_reports(delivery.items, delivery.first))
            assert len(fresh) == delivery.reports
            for report in fresh:
                self._apply(report)
        self._staged.clear()
        link.reports_journaled = self.reports_next
        self._note()
        self.flush()

    def _apply(self, report: Report) -> None:
        self.told.append(report)
        if report.final:
            assert report.input == self.confirmed_end, "finals come one for each input, in order"
            self.confirmed_end = report.input + 1
        if report.status in DONE:
            self.open.discard(report.order)
        elif report.order:
            self.open.add(report.order)

    def _note(self) -> None:
        self.link.polls.watch = bool(self.open) or self.confirmed_end < self.records_end

    def _fetch(self, first: int, count: int) -> bytes:
        assert first + count <= self.records_end, "only what is journaled travels"
        return bytes(self.records[(first - 1) * RECORD_BYTES : (first - 1 + count) * RECORD_BYTES])

    def _to_engine(self, datagram: bytes) -> None:
        self.world.engine.arrive(datagram, self)


def copy_of(end: OrderdEnd) -> OrderdEnd:
    """Another orderd on a copy of the journal, as it is now."""
    copy = OrderdEnd(end.world, end.session, end.secret, end.settings)
    copy.crash()
    copy.records[:], copy.told, copy.open = end.records, list(end.told), set(end.open)
    copy.epoch, copy.confirmed_end, copy.engine_id = end.epoch, end.confirmed_end, end.engine_id
    return copy


def is_type(datagram: bytes, *types: FrameType) -> bool:
    """What a datagram claims to be."""
    return datagram[3] in types


def mixed_records(rng: random.Random, count: int, first: int) -> list[bytes]:
    """Orders from number ``first`` on that rest, trade, are cancelled or replaced; some that the engine refuses."""
    out = []
    for number in range(first, first + count):
        side = rng.choice([BUY, SELL])
        earlier = rng.randrange(max(1, number - 20), number + 1)
        kind = rng.random()
        if kind < 0.7:
            out.append(
                limit(number, side, rng.randrange(1, 5), rng.randrange(98, 103), instrument=rng.choice([1, 1, 2]))
            )
        elif kind < 0.8:
            out.append(cancel(earlier, rng.choice([1, 2])))
        elif kind < 0.87:
            out.append(replace(earlier, rng.randrange(1, 6), rng.randrange(98, 103)))
        elif kind < 0.94:
            out.append(market(number, side, rng.randrange(1, 5)))
        elif kind < 0.95:
            out.append(mass_cancel(rng.choice([None, side]), instrument=rng.choice([None, 1, 2])))
        else:
            out.append(rng.randbytes(RECORD_BYTES))
    return out
