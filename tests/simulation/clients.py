"""Random clients of one site who are careful: what has no final answer they say again, in the very same words.

In phase one (:meth:`Clients.run`) each connects, says what the :class:`~tests.simulation.workload.Workload` thinks up,
many commands ahead of their answers, cut anywhere, and hangs up at any byte. What was not answered, or not for good,
whoever is there says again later, perhaps while the first is still being answered. In phase two
(:meth:`Clients.finish`) all that has an id is said until it has an answer that stays. Every wait there is bounded:
who cannot finish has found something that does not come to life again.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import attrs
import trio

from orderd.intake.access import Peer
from tests.simulation.agenda import Agenda
from tests.simulation.intents import Intent, Kind, Said, Words
from tests.simulation.links import Link, Listener, Stream
from tests.simulation.shape import Shape
from tests.simulation.workload import Workload

FINISH_MAX_S: Final = 55.0
SILENCE_MAX_S: Final = 8.0
"""How long phase two waits on one connection: orderd itself gives up after ``reply_timeout_ms``."""
OUTSIDER_UID: Final = 4_000_000
"""A user that no machine has, and that may not administer."""
GARBAGE: Final = (b"*x\r\n", b"ORDER.NEW t1\r\n", b"*2\r\n$4\r\nPING\r\n:5\r\n", b"*1\r\n$-7\r\n", b"\x00\xff" * 20)


class Streams(Protocol):
    """How clients connect: see :class:`tests.simulation.streams.Streams`."""

    async def connect(self, name: str, peer: Peer) -> Stream:
        """Raises OSError if nobody listens."""
        ...


class Unfinished(AssertionError):
    """Clients did not get a final answer although nothing breaks any more."""


@attrs.define(eq=False)
class Person:
    """One client, over all of its connections."""

    peer: Peer
    admin: bool
    resp3: bool
    pause: Callable[[], float]
    rng: random.Random


class Clients:
    """All clients of a site. ``part`` is a :class:`Shape`, or has some of its fields.

    ``name`` is that of the daemon's socket; ``wall_ns()`` its clock, in ns since 1970 UTC.
    """

    def __init__(
        self,
        rng: random.Random,
        part: object,
        streams: Streams,
        oracle: Listener,
        site: str,
        name: str,
        wall_ns: Callable[[], int],
    ) -> None:
        own = random.Random(rng.getrandbits(64))
        self.shape = part if isinstance(part, Shape) else Shape.of(own, **_fields_of(part))
        self.workload = Workload(random.Random(rng.getrandbits(64)), self.shape, wall_ns)
        self.connections = 0
        self._rng = own
        self._streams = streams
        self._oracle = oracle
        self._site = site
        self._name = name
        self._budget = self.shape.commands
        self._agenda = Agenda(random.Random(rng.getrandbits(64)), self.shape, self.workload, site)
        self._over = False
        self._gossip: list[Intent] = []
        """What somebody has said just now."""
        self._told = trio.Event()
        """Set when there is some, for those who listen."""
        self._refused = 0
        """Attempts to connect in phase two that came to nothing."""
        self._people = [self._person(index) for index in range(self.shape.clients)]

    def _person(self, index: int) -> Person:
        shape, rng = self.shape, random.Random(self._rng.getrandbits(64))
        admin = index == 0 or rng.random() >= shape.outsiders
        uid = 0 if admin else OUTSIDER_UID
        peer = Peer(1000 + index, uid, frozenset({uid}))
        slow, deaf = rng.random() < shape.slow, rng.random() < shape.deaf

        def pause() -> float:
            """For how many seconds nothing is read."""
            if self._agenda.is_finishing or not (slow or deaf):
                return 0.0
            if deaf and rng.random() < 0.1:
                return 0.5 + 4 * rng.random()
            return rng.choice((0.0, 0.01, 0.2)) if slow else 0.0

        return Person(peer, admin, rng.random() < shape.resp3, pause, rng)

    def waiting(self) -> list[str]:
        """What has no final answer, for people."""
        return self._agenda.waiting()

    # --- phase one ----------------------------------------------------------------------------------------------------

    async def run(self, until: trio.Event) -> None:
        """Until all is said, or ``until``; then everybody hangs up, some in the middle of a word."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as lives:
                nursery.start_soon(self._end_of_phase, until, lives.cancel_scope)
                for person in self._people:
                    lives.start_soon(self._live, person)
            self._over = True
            nursery.cancel_scope.cancel()

    async def _end_of_phase(self, until: trio.Event, lives: trio.CancelScope) -> None:
        await until.wait()
        self._over = True
        await trio.sleep(self._rng.random() * 0.5)
        lives.cancel()

    async def _live(self, person: Person) -> None:
        await trio.sleep(person.rng.random() * 0.3)
        while not self._over and (self._budget > 0 or self._agenda.later):
            await self._talk(person, self._chat)
            await trio.sleep(person.rng.expovariate(1 / 0.05))

    async def _talk(self, person: Person, chat: Callable[[Person, Link], Awaitable[None]]) -> None:
        """One connection, from its beginning to its end."""
        link = await self._connect(person)
        if link is None:
            self._refused += self._agenda.is_finishing
            await trio.sleep(0.02 + person.rng.expovariate(1 / 0.1))
            return
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.hear, person.pause)
                with link.saying:
                    if not person.resp3 or await link.say([Said((b"HELLO", b"3"), None)], person.rng):
                        await chat(person, link)
                link.hang_up()
                nursery.cancel_scope.cancel()
        finally:
            link.hang_up()
            self._agenda.look_back(link)

    async def _connect(self, person: Person) -> Link | None:
        stream = None
        with trio.move_on_after(2.0):
            try:
                stream = await self._streams.connect(self._name, person.peer)
            except OSError:
                return None
        if stream is None:
            return None
        number, self.connections = self.connections, self.connections + 1
        return Link(self._site, number, stream, self._oracle, self._agenda.heard)

    async def _chat(self, person: Person, link: Link) -> None:
        rng, shape = person.rng, self.shape
        pause_s = shape.duration_s * shape.clients / shape.commands
        while not self._over:
            commands = self._think(person, link, 1 + min(shape.depth - 1, int(rng.expovariate(3 / shape.depth))))
            if not commands:
                if not self._agenda.later:
                    break
                await trio.sleep(max(0.001, self._agenda.later[0][0] - trio.current_time()))
                continue
            pieces = rng.randint(2, 5) if rng.random() < shape.pieces else 1
            if rng.random() < shape.hang_ups:
                await self._break_off(link, commands, rng, pieces)
                return
            garbage = rng.choice(GARBAGE) if rng.random() < shape.garbage else b""
            if not await link.say(commands, rng, pieces=pieces, more=garbage) or garbage:
                await link.drain(2.0)
                return
            self._tell(commands)
            heard = await self._rest(rng, rng.expovariate(1 / (pause_s * len(commands))))
            if heard and not await link.say([self._ask(rng)], rng):
                await link.drain(2.0)
                return
            while link.outstanding >= shape.depth:
                if not await link.wait(shape.patience_s):
                    return
        await self._leave(link, rng)

    def _tell(self, commands: list[Said]) -> None:
        """Who listens hears what was said, before it can have been done."""
        said = [one.intent for one in commands if one.intent is not None and one.intent.is_lasting]
        said += [part for one in commands if one.transaction for part in one.transaction.parts]
        if said:
            self._gossip = said
            self._told.set()
            self._told = trio.Event()

    async def _rest(self, rng: random.Random, seconds: float) -> bool:
        """Do nothing for so long; whether it ended before, because somebody else said something."""
        if not self.shape.nosy or rng.random() >= self.shape.nosy:
            await trio.sleep(seconds)
            return False
        with trio.move_on_after(seconds):
            await self._told.wait()
            return True
        return False

    def _ask(self, rng: random.Random) -> Said:
        """About what was said just now: how it stands, or the very same."""
        intent = rng.choice(self._gossip)
        if intent.is_lasting and rng.random() < 0.4:
            return Said(intent.words, intent)
        about = intent.about if intent.kind is Kind.ORDER else b""
        kinds = ("status", "status", "wait", "list") if about else ("list",)
        kind = rng.choice(kinds)
        if kind == "status":
            words: Words = (b"ORDER.STATUS", about)
        elif kind == "wait":
            words = (b"ORDER.WAIT", about, b"%d" % rng.choice((0, 5, 100)))
        else:
            words = (b"ORDER.LIST", rng.choice((b"ALL", b"OPEN")), b"COUNT", b"1000")
        return Said(words, Intent(Kind.QUERY, words, about))

    def _think(self, person: Person, link: Link, count: int) -> list[Said]:
        """What to say next: what is to be said again first."""
        rng, now, commands = person.rng, trio.current_time(), list[Said]()
        while len(commands) < count:
            again = self._agenda.due(now)
            if again is not None:
                commands.append(self._agenda.repeat(again, rng))
            elif self._budget > 0:
                commands += self._new(person)
            else:
                break
        if self._agenda.lasting and rng.random() < self.shape.again:
            intent = self._agenda.lasting[-1 - min(len(self._agenda.lasting) - 1, int(rng.expovariate(1 / 10)))]
            commands.append(Said(intent.words, intent))
        return commands

    def _new(self, person: Person) -> list[Said]:
        what = self.workload.next(resp3=person.resp3, admin=person.admin)
        if isinstance(what, Intent):
            self._budget -= 1
            if what.is_lasting:
                self._agenda.lasting.append(what)
            elif what.words == (b"RESET",):
                person.resp3 = False
            return [Said(what.words, what)]
        self._budget -= len(what.parts)
        steps = [Said(part.words, None) for part in what.parts]
        last = Said((b"DISCARD",), None) if what.discards else Said((b"EXEC",), None, what)
        if not what.discards:
            self._agenda.lasting += [part for part in what.parts if part.is_lasting]
        return [Said((b"MULTI",), None), *steps, last]

    async def _break_off(self, link: Link, commands: list[Said], rng: random.Random, pieces: int) -> None:
        """Hang up at any byte; now and then what still comes is read."""
        await link.say(commands, rng, pieces=pieces, share=rng.choice((1.0, rng.random(), rng.random())))
        if rng.random() < self.shape.half_closes:
            link.half_close()
            await link.drain(2.0)
        elif rng.random() < 0.5:
            await trio.sleep(rng.choice((0.0, 0.001, 0.05)))

    async def _leave(self, link: Link, rng: random.Random) -> None:
        """As a program does that has come to its end, in order or not."""
        if rng.random() < 0.3:
            return
        while link.outstanding and await link.wait(self.shape.patience_s):
            pass
        if not link.outstanding and rng.random() < 0.5 and await link.say([Said((b"QUIT",), None)], rng):
            await link.drain(1.0)

    # --- phase two ----------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Until all that was said and has an id has a final answer. Raises :class:`Unfinished`."""
        self._over = self._agenda.is_finishing = True
        self._agenda.later.clear()
        with trio.move_on_after(FINISH_MAX_S) as scope:
            for words in self.workload.restricted:
                self._agenda.put(Intent(Kind.SETTING, words), 0.0)
            while self._agenda.later:
                await self._talk(self._people[0], self._close)
            for intent in self._agenda.lasting:
                if intent.tries and not intent.done:
                    self._agenda.put(intent, 0.0)
            async with trio.open_nursery() as nursery:
                for person in self._people:
                    nursery.start_soon(self._finish_one, person)
        if scope.cancelled_caught:
            waiting = self.waiting()
            lines = "".join(f"\n  {line}" for line in waiting[:20])
            refused = f"connecting failed {self._refused} times"
            raise Unfinished(
                f"{self._site}: {len(waiting)} have no final answer {FINISH_MAX_S:g} s later, {refused}:{lines}"
            )

    async def _finish_one(self, person: Person) -> None:
        while self._agenda.later:
            await self._talk(person, self._close)

    async def _close(self, person: Person, link: Link) -> None:
        """Say what is left, wait for it, and leave in order."""
        rng, depth, heard_at = person.rng, max(4, self.shape.depth), trio.current_time()
        while True:
            commands: list[Said] = []
            while link.outstanding + len(commands) < depth:
                intent = self._agenda.due(trio.current_time())
                if intent is None:
                    break
                commands.append(self._agenda.repeat(intent, rng))
            if commands and not await link.say(commands, rng):
                await link.drain(1.0)
                return
            if link.outstanding:
                at = heard_at + SILENCE_MAX_S
                if self._agenda.later and link.outstanding < depth:
                    # What was put off is due before that, perhaps.
                    at = min(at, self._agenda.later[0][0])
                if await link.wait(max(0.001, at - trio.current_time())):
                    heard_at = trio.current_time()
                elif trio.current_time() >= heard_at + SILENCE_MAX_S:
                    return
            elif self._agenda.later:
                await trio.sleep(max(0.0, self._agenda.later[0][0] - trio.current_time()))
                heard_at = trio.current_time()
            else:
                break
        if await link.say([Said((b"QUIT",), None)], rng):
            await link.drain(1.0)


def _fields_of(part: object) -> dict[str, Any]:
    """Those of a shape that somebody else has decided."""
    names = [field.name for field in attrs.fields(Shape)]
    return {name: getattr(part, name) for name in names if hasattr(part, name)}
