"""Clients of the simulation against the gateway: they say what is right, and know how all of it came out."""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import hiredis
import pytest
import structlog
import trio

from orderd.intake.access import Peer
from orderd.intake.intake import Connection
from tests.simulation import kernel
from tests.simulation.clients import Clients, Unfinished
from tests.simulation.intents import Words, value_of
from tests.simulation.links import shown
from tests.simulation.shape import Shape
from tests.support.site import Site, site_settings

TICK_S = 0.004


@attrs.define(eq=False)
class SiteStream:
    """A client's end of a connection to a :class:`Site`. Each byte is processed at once."""

    site: Site
    connection: Connection
    bell: kernel.Bell = attrs.field(factory=kernel.Bell)
    ended: bool = False
    lost: bool = False
    """The daemon is gone."""

    async def send(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if self.lost or self.ended:
            raise BrokenPipeError
        if not self.connection.client.closing:
            self.site.gateway.intake.feed(self.connection, data, self.site.now, self.site.now_ns)
            self.site.pump()

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self.ended:
                raise trio.ClosedResourceError
            if self.lost:
                return b""
            waiter = self.connection.client.waiter
            out = bytes(self.connection.out)
            self.connection.out.clear()
            if waiter.has_more:
                self.site.gateway.intake.collect(self.connection, self.site.now)
            if out:
                return out
            if self.connection.client.closing and not waiter.replies:
                self.lost = True
                self.site.intake.disconnect(self.connection)
                continue
            await self.bell.wait()

    def half_close(self) -> None:
        self.site.gateway.intake.hang_up(self.connection)
        self.connection.client.closing = True

    def hang_up(self) -> None:
        if not self.ended:
            self.ended = True
            if not self.lost:
                self.site.intake.disconnect(self.connection)
            self.bell.ring()


@attrs.define(eq=False)
class SiteStreams:
    """Connects to a :class:`Site`, whose clock goes with the virtual one."""

    site: Site
    streams: list[SiteStream] = attrs.field(factory=list)
    is_up: bool = True

    async def connect(self, name: str, peer: Peer) -> SiteStream:
        await trio.lowlevel.checkpoint()
        if not self.is_up:
            raise ConnectionRefusedError
        stream = SiteStream(self.site, self.site.connect(peer).connection)
        self.streams.append(stream)
        return stream

    async def tick(self) -> None:
        while True:
            await trio.sleep(TICK_S)
            self.site.advance(TICK_S)
            for stream in self.streams:
                if stream.connection.out or stream.connection.client.closing:
                    stream.bell.ring()

    def kill(self, *, commit_survived: bool) -> None:
        self.site.start(commit_survived=commit_survived)
        for stream in self.streams:
            stream.lost = True
            stream.bell.ring()
        self.streams.clear()


class Notes:
    """What an oracle is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.said: dict[tuple[int, int], Words] = {}
        self.whole: Counter[int] = Counter()
        self.answers: Counter[tuple[str, str]] = Counter()
        self.errors: Counter[tuple[Words, str]] = Counter()
        self.pushes = 0
        self.open: dict[int, int] = {}
        self.confirmed: set[bytes] = set()

    def connected(self, site: str, connection: int, now: float) -> None:
        assert connection == len(self.open)
        self.open[connection] = 0
        self._line("connected", connection, now)

    def sent(self, site: str, connection: int, number: int, words: Words, now: float) -> None:
        assert all(type(word) is bytes for word in words)
        assert (connection, number) not in self.said
        assert number == 0 or (connection, number - 1) in self.said
        self.said[connection, number] = words
        self._line("sent", connection, number, words, now)

    def sent_whole(self, site: str, connection: int, number: int) -> None:
        assert (connection, number) in self.said
        assert self.whole[connection] == number
        self.whole[connection] += 1

    def told(self, site: str, connection: int, number: int, reply: Any, now: float) -> None:
        assert number < self.whole[connection], "answered before it was said"
        assert self.open[connection] == number, "in order"
        self.open[connection] += 1
        words = self.said[connection, number]
        name = words[0].decode("ascii", "replace").upper()
        if isinstance(reply, hiredis.ReplyError):
            self.answers[name, str(reply).split(" ", 1)[0]] += 1
            self.errors[words, str(reply)] += 1
        elif name in ("ORDER.NEW", "ORDER.BATCH", "ORDER.CANCEL", "ORDER.REPLACE"):
            status = reply if isinstance(reply, bytes) else value_of(reply, b"status")
            self.answers[name, status.decode()] += 1
            if name in ("ORDER.NEW", "ORDER.BATCH") and status not in (b"QUEUED", b"UNKNOWN"):
                self.confirmed.add(words[1])
        else:
            self.answers[name, "answered"] += 1
        self._line("told", connection, number, shown(reply), now)

    def pushed(self, site: str, connection: int, message: Any, now: float) -> None:
        self.pushes += 1
        self._line("pushed", connection, shown(message), now)

    def ended(self, site: str, connection: int, by: str, now: float) -> None:
        self._line("ended", connection, by, now)

    def _line(self, *what: object) -> None:
        self.lines.append(repr(what))


@attrs.define
class Life:
    """One run of clients against a site."""

    notes: Notes
    clients: Clients
    site: Site
    streams: SiteStreams


def live(seed: int, shape: Shape, harm: Callable[[Life], Any] | None = None, **settings: Any) -> Life:
    """Both phases; ``harm`` is a task of phase one."""
    site = Site(site_settings(**settings))
    streams, notes = SiteStreams(site), Notes()
    clients = Clients(random.Random(seed), shape, streams, notes, "a", "a", lambda: site.now_ns)
    life = Life(notes, clients, site, streams)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(streams.tick)
            until = trio.Event()
            async with trio.open_nursery() as phase:
                if harm is not None:
                    phase.start_soon(harm, life)
                with trio.move_on_after(2 * shape.duration_s) as scope:
                    await clients.run(until)
                if scope.cancelled_caught:
                    until.set()
                phase.cancel_scope.cancel()
            site.engine.up = True
            site.holds_commits = site.is_slow = False
            streams.is_up = True
            await clients.finish()
            nursery.cancel_scope.cancel()

    with structlog.testing.capture_logs():
        kernel.run(seed, main)
    return life


BUSY = Shape(clients=3, commands=150, duration_s=5.0, hang_ups=0.1, pieces=0.5, again=0.2, slow=0.5)


def assert_finished(life: Life) -> None:
    """All that was said whole and was taken in has an answer that stays, and is there."""
    assert life.clients.waiting() == []
    desk = life.site.desk
    assert desk.unconfirmed == 0
    for cl_ord_id in life.notes.confirmed:
        assert desk.find(cl_ord_id) is not None or desk.batches.find(cl_ord_id) is not None


@pytest.mark.parametrize("seed", range(3))
def test_all_that_is_said_comes_to_an_answer_that_stays(seed: int) -> None:
    life = live(seed, Shape.of(random.Random(seed), commands=100, duration_s=4.0))
    assert_finished(life)
    assert len(life.notes.said) >= 100


@pytest.mark.parametrize("mode", ["sync", "batch", "fire-and-forget"])
def test_careful_clients_know_how_all_came_out_although_daemons_are_killed(mode: str) -> None:
    rng = random.Random(mode)

    async def harm(life: Life) -> None:
        while True:
            await trio.sleep(rng.random())
            what = rng.randrange(4)
            life.site.engine.up = what != 0
            life.site.holds_commits = what == 1
            if what == 2:
                life.streams.is_up = False
                life.streams.kill(commit_survived=rng.random() < 0.5)
                await trio.sleep(0.2)
                life.streams.is_up = True
            elif what == 3:
                life.site.engine.start()

    life = live(5, BUSY, harm, mode=mode)
    assert_finished(life)
    said = Counter(words for words in life.notes.said.values() if words[0] == b"ORDER.NEW")
    assert max(said.values()) > 1, "what had no answer was said again"
    assert len(life.notes.confirmed) > 30


def test_a_seed_is_a_history() -> None:
    first, second, other = (live(seed, attrs.evolve(BUSY, commands=50, duration_s=2.0)) for seed in (8, 8, 9))
    assert first.notes.lines == second.notes.lines
    assert first.notes.lines != other.notes.lines


def test_who_gets_no_answer_says_what_he_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.clients.FINISH_MAX_S", 12.0)

    async def harm(life: Life) -> None:
        # For good: phase two does not heal this.
        life.site.engine.send = lambda datagram, address: None  # type: ignore[method-assign]
        await trio.sleep_forever()

    unfinished = pytest.RaisesExc(Unfinished, match=r"ORDER.NEW t1 AAPL .* \(said \d+ times; ")
    with pytest.RaisesGroup(unfinished, flatten_subgroups=True):
        live(3, Shape(clients=1, commands=10, duration_s=1.0, weights=(("new", 1.0),), bad=0.0), harm)


def test_swarms_leave_things_out() -> None:
    shapes = [Shape.of(random.Random(seed)) for seed in range(200)]
    for name, _ in Shape().weights:
        if name != "new":
            assert 5 <= sum(shape.weighs(name) for shape in shapes) <= 195, name
    assert all(shape.weighs("new") or shape.weighs("batch") for shape in shapes)
    assert len({str(shape) for shape in shapes}) == 200
