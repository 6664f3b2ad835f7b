"""The open loop under a virtual clock, with a daemon that stalls."""

from collections import deque
from collections.abc import Callable
from typing import Any, cast

import attrs
import pytest

from orderd.ctl.bench import client as bench_client
from orderd.ctl.bench.account import Account
from orderd.ctl.bench.client import Client, Hopeless, OpenLoop
from orderd.ctl.bench.orders import Mix, TextOrders
from orderd.ctl.bench.schedule import SECOND_NS, Schedule
from orderd.ctl.connection import Connection
from orderd.ctl.errors import ReplyError
from orderd.intake.resp import CommandReader

MS = 1_000_000
NEW = {"status": "NEW", "path": "udp"}


@attrs.define(eq=False)
class Daemon:
    """Answers everything at once, but while it stalls; stands in for a connection to it."""

    clock: "Clock"
    stalls: tuple[tuple[int, int], ...] = ()
    """From and to, in nanoseconds."""
    takes: bool = True
    """Whether its socket takes anything."""
    answer: Callable[[], Any] = lambda: dict(NEW)
    commands: list[list[bytes]] = attrs.Factory(list)
    _unanswered: int = 0
    _reader: CommandReader = attrs.Factory(lambda: CommandReader(query_bytes_max=1 << 20))

    def exchange(self, out: bytearray, _: float) -> list[Any]:
        if self.takes:
            found = self._reader.feed(bytes(out))
            self.commands += [list(words) for words in found]
            self._unanswered += len(found)
            out.clear()
        if any(begin <= self.clock.now < end for begin, end in self.stalls):
            return []
        answers, self._unanswered = [self.answer() for _ in range(self._unanswered)], 0
        return answers


@attrs.define
class Clock:
    now: int = 0

    def __call__(self) -> int:
        return self.now


def clients_of(account: Account, clock: Clock, *daemons: Daemon) -> list[Client]:
    return [
        Client(
            cast("Connection", daemon), TextOrders(f"c{place}.", "AAPL", ["0.01"], "1", "", Mix(0.5)), account, clock
        )
        for place, daemon in enumerate(daemons)
    ]


def drive(loop: OpenLoop, clients: list[Client], clock: Clock, *, stall_of_client: tuple[int, int] = (0, 0)) -> None:
    """What the tasks do: turns when they are due, and a look at each socket at every millisecond."""
    begin, end = stall_of_client
    while (when := loop.turn()) is not None:
        clock.now = max(clock.now, min(when, clock.now + MS))
        if begin <= clock.now < end:
            clock.now = end
        for client in clients:
            client.flush()


def run(rate: int, seconds: float, daemon: Daemon, clock: Clock, **more: Any) -> tuple[Account, OpenLoop]:
    account = Account()
    clients = clients_of(account, clock, daemon)
    loop = OpenLoop(Schedule(rate, 1, int(seconds * SECOND_NS)), clients, clock)
    drive(loop, clients, clock, **more)
    account.cut(seconds)
    return account, loop


def test_without_a_stall_nothing_waits() -> None:
    clock = Clock()
    account, loop = run(1000, 2, Daemon(clock), clock)
    assert (loop.sent, account.total.acknowledged) == (2000, 2000)
    assert account.total.latency.greatest == 0


@pytest.mark.parametrize("rate", [1000, 20_000])
def test_a_stall_of_the_daemon_shows_in_all_orders_that_were_due_meanwhile(rate: int) -> None:
    clock = Clock()
    account, loop = run(rate, 2, Daemon(clock, stalls=((500 * MS, 1000 * MS),)), clock)
    latency = account.total.latency
    assert loop.sent == account.total.acknowledged == 2 * rate
    # A quarter of all were due in the stall, and waited from 0 to 500 ms: a tenth of all more than 300 ms.
    assert latency.percentile(74) == 0
    assert 298 * MS <= latency.percentile(90) <= 305 * MS
    assert latency.greatest == 500 * MS


def test_a_stall_of_this_program_shows_in_the_same_way() -> None:
    clock = Clock()
    account, _ = run(1000, 2, Daemon(clock), clock, stall_of_client=(500 * MS, 1000 * MS))
    assert account.total.acknowledged == 2000
    assert 298 * MS <= account.total.latency.percentile(90) <= 305 * MS
    assert 298 * MS <= account.total.late.percentile(90) <= 305 * MS


def test_what_finds_no_room_is_told_and_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_client, "WINDOW", 100)
    clock = Clock()
    account, loop = run(1000, 2, Daemon(clock, stalls=((500 * MS, 3000 * MS),)), clock)
    assert loop.due == 2000
    assert loop.sent == account.total.sent == 600


def test_a_socket_that_takes_nothing_bounds_what_is_kept() -> None:
    clock = Clock()
    account, loop = run(100_000, 2, Daemon(clock, takes=False), clock)
    assert loop.due == 200_000
    assert 1000 < account.total.sent < 10_000


def test_clients_take_turns_and_a_stuck_one_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_client, "WINDOW", 10)
    clock, account = Clock(), Account()
    stuck, other, third = Daemon(clock, stalls=((0, 9 * SECOND_NS),)), Daemon(clock), Daemon(clock)
    clients = clients_of(account, clock, stuck, other, third)
    loop = OpenLoop(Schedule(900, 1, SECOND_NS), clients, clock)
    drive(loop, clients, clock)
    assert loop.sent == 900
    assert len(stuck.commands) == 10
    assert abs(len(other.commands) - len(third.commands)) <= 10


def test_a_closed_loop_sends_one_for_each_that_is_answered() -> None:
    clock, account = Clock(), Account()
    daemon = Daemon(clock, stalls=((0, 1),))
    (client,) = clients_of(account, clock, daemon)
    client.refill = True
    for _ in range(3):
        client.send(0)
    client.flush()
    assert (len(client), len(daemon.commands)) == (3, 3)
    clock.now = 1
    client.flush()
    assert len(client) == 3
    assert len(daemon.commands) > 3
    client.refill = False
    for _ in range(3):
        client.flush()
    assert len(client) == 0


def test_an_error_that_will_not_pass_ends_it_and_one_that_may_does_not() -> None:
    clock, account = Clock(), Account()
    answers = deque([ReplyError("FULL no room"), ReplyError("NOPERM this connection may not ORDER.NEW")])
    (client,) = clients_of(account, clock, Daemon(clock, answer=answers.popleft))
    client.send(0)
    client.flush()
    client.send(0)
    with pytest.raises(Hopeless, match="NOPERM this connection"):
        client.flush()
    assert account.current.errors == {"FULL": 1, "NOPERM": 1}
    assert account.current.latency.count == 0
