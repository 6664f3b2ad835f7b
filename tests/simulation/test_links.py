"""A simulated client's connection: what was said is told before it can be read, and each reply finds its command."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio

from orderd.intake.resp import CommandReader
from tests.simulation import kernel
from tests.simulation.intents import Intent, Kind, Said, Transaction, Verdict, judge
from tests.simulation.links import Link, Misbehaviour

NEW = Intent(Kind.ORDER, (b"ORDER.NEW", b"t1", b"AAPL", b"BUY", b"1", b"MARKET", b"MODE", b"batch"), b"t1")
PING = (b"PING",)


@attrs.define(eq=False)
class Script:
    """A daemon that says what it is told to, and what the listener has heard."""

    read: list[list[bytes]] = attrs.field(factory=list)
    notes: list[tuple[Any, ...]] = attrs.field(factory=list)
    replies: bytes = b""
    ended: bool = False
    bell: kernel.Bell = attrs.field(factory=kernel.Bell)
    _reader: CommandReader = attrs.field(factory=lambda: CommandReader(query_bytes_max=10_000))

    async def send(self, data: bytes) -> None:
        begun = [note for note in self.notes if note[0] == "sent"]
        self.read += self._reader.feed(data)
        assert len(begun) >= len(self.read) + bool(self._reader.buffered), "told before it can be read"
        assert sum(note[0] == "sent_whole" for note in self.notes) <= len(self.read)
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        while not (self.replies or self.ended):
            await self.bell.wait()
        replies, self.replies = self.replies, b""
        return replies

    def half_close(self) -> None:
        self.notes.append(("half closed",))

    def hang_up(self) -> None:
        self.notes.append(("closed",))

    def say(self, replies: bytes, *, end: bool = False) -> None:
        self.replies += replies
        self.ended = end
        self.bell.ring()

    def noted(self, name: str) -> list[tuple[Any, ...]]:
        return [note[3:] for note in self.notes if note[0] == name]


@attrs.define
class Listener:
    """Writes down what it is told."""

    notes: list[tuple[Any, ...]]

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *what: self.notes.append((name, *what))


def play(scene: Callable[[Script, Link], Awaitable[None]]) -> tuple[Script, Link, list[tuple[Said, Any]]]:
    script, heard = Script(), list[tuple[Said, Any]]()
    links: list[Link] = []

    async def main() -> None:
        listener: Any = Listener(script.notes)
        link = Link("a", 4, script, listener, lambda said, reply: heard.append((said, reply)))
        links.append(link)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.hear, lambda: 0.0)
            await scene(script, link)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    kernel.run(1, main)
    return script, links[0], heard


@pytest.mark.parametrize("seed", range(20))
def test_commands_are_told_of_before_they_can_be_read_however_they_are_cut(seed: int) -> None:
    rng = random.Random(seed)
    said = [Said((b"ECHO", b"x" * rng.randrange(50)), None) for _ in range(9)]

    async def scene(script: Script, link: Link) -> None:
        assert await link.say(said[:5], rng, pieces=rng.randint(1, 9))
        assert await link.say(said[5:], rng, pieces=rng.randint(1, 9), share=rng.choice((1.0, rng.random())))

    script, link, _ = play(scene)
    assert script.read == [list(one.words) for one in link.said[: len(script.read)]]
    assert [number for (number,) in script.noted("sent_whole")] == list(range(len(script.read)))
    assert len(link.said) - len(script.read) <= 1, "one is cut at most"


def test_replies_find_their_commands_and_a_farewell_is_no_reply() -> None:
    transaction = Transaction([NEW])
    said = [Said(PING, None), Said(NEW.words, NEW), Said((b"EXEC",), None, transaction)]

    async def scene(script: Script, link: Link) -> None:
        await link.say(said, random.Random(1))
        script.say(
            b"+PONG\r\n>2\r\n$4\r\nexec\r\n:1\r\n-BADORDER x\r\n-LIMIT reply_bytes_max 9: about 10\r\n", end=True
        )

    script, link, heard = play(scene)
    assert [one for one, _ in heard] == said[:2]
    assert [note[0] for note in script.noted("told")] == [0, 1]
    assert [note[0] for note in script.noted("pushed")] == [[b"exec", 1]]
    assert link.unanswered == said[2:]
    assert link.farewell.startswith("LIMIT")
    assert [note[0] for note in script.noted("ended")] == ["daemon"]
    assert link.saying.cancel_called


@pytest.mark.parametrize("surplus", [b"+PONG\r\n+PONG\r\n", b"-ERR Protocol error: invalid bulk length\r\n"])
def test_what_answers_nothing_is_misbehaviour(surplus: bytes) -> None:
    async def scene(script: Script, link: Link) -> None:
        await link.say([Said(PING, None), Said(PING, None)], random.Random(1), share=0.7)
        script.say(surplus)
        await trio.testing.wait_all_tasks_blocked()

    with pytest.RaisesGroup(Misbehaviour):
        play(scene)


def test_only_an_answer_that_stays_is_final() -> None:
    def verdict(status: bytes, reason: bytes = b"", intent: Intent = NEW) -> Verdict:
        return judge(intent, intent.words, [b"cl_ord_id", b"t1", b"status", status, b"reason", reason])

    assert verdict(b"FILLED") is verdict(b"DONE") is verdict(b"UNKNOWN", b"FORGOTTEN") is Verdict.CONFIRMED
    assert verdict(b"QUEUED") is Verdict.QUEUED
    assert verdict(b"UNKNOWN", b"SENT") is Verdict.UNKNOWN
    again = Intent(Kind.REQUEST, (b"ORDER.CANCEL", b"t1", b"ID", b"r1"), b"t1", tries=2)
    assert verdict(b"NEW", intent=again) is Verdict.QUEUED, "from before the request, perhaps"
    assert NEW.in_sync == (*NEW.words[:-1], b"sync")
    assert judge(again, again.in_sync, {b"status": b"CANCELED"}) is Verdict.CONFIRMED
