"""A network of datagrams that loses, repeats, delays, damages and remembers them, as its directions are told to.

An address is ``host:port`` in text; what is done to a datagram depends on the two hosts and on the way it goes
(:mod:`tests.simulation.conditions`), so that one way can be dead while the other works. Reordering comes of delays that
differ. Nobody is told what was lost, an address that a dead process had is anybody's, and what is still on its way then
reaches the next one there.

Calls over gRPC live in :mod:`tests.simulation.calls`.
"""

import errno
import os
import random
from collections import deque
from functools import partial
from typing import Any, Final
from zlib import crc32

import trio

from orderd.runtime.datagrams import DRAIN_MAX
from orderd.wire.frames import HEADER, HEADER_BYTES, FrameType
from tests.simulation.calls import Calls, host_of
from tests.simulation.conditions import Direction, NetworkFaults, Weather
from tests.simulation.kernel import Bell, Process, Timers, Trace

REPLAY_S: Final = 4.0
CROSSED: Final = 0.2
"""Of what comes again: how many bring another one along, of any direction."""
STRANGER: Final = "stranger:666"
INBOX_MIN: Final = 64
INBOX_MAX: Final = 1000

_NAMES: Final = {int(kind): kind.name for kind in FrameType}


class Network:
    """All hosts are connected with all others. Every choice comes from ``rng``."""

    def __init__(self, timers: Timers, rng: random.Random, trace: Trace) -> None:
        self.calls = Calls(timers, random.Random(rng.getrandbits(64)), trace)
        self.dark: set[str] = set()
        """Hosts that are switched off: nothing there says that nobody listens. Looked up only."""
        self._timers = timers
        self._rng = rng
        self._trace = trace
        self._directions: dict[tuple[str, str], Direction] = {}
        self._weather = Weather(timers, random.Random(rng.getrandbits(64)), trace, self._directions, self.calls.roads)
        self.calls.expose = self._weather.expose_calls
        self._bound: dict[str, VirtualSocket] = {}

    def direction(self, source: str, target: str) -> Direction:
        """The way between two hosts, to be changed at will."""
        key = host_of(source), host_of(target)
        if key not in self._directions:
            self._weather.expose(self._directions.setdefault(key, Direction()))
        return self._directions[key]

    async def run(self, faults: NetworkFaults) -> None:
        """Do to the world what ``faults`` say, until cancelled; what is there then stays until :meth:`heal`."""
        await self._weather.run(faults)

    def heal(self) -> None:
        """It is a good network from now on. What is on its way still comes."""
        self._weather.heal()

    @property
    def figures(self) -> tuple[int, int]:
        """Datagrams that were sent, and how many of them were lost."""
        ways = self._directions.values()
        return sum(way.sent for way in ways), sum(way.lost for way in ways)

    def socket(self, process: Process, address: str, peer: str | None = None) -> "VirtualSocket":
        """A socket of ``process`` there; with ``peer`` it is connected. Raises OSError if somebody else has it."""
        process.touch("bind")
        if address in self._bound:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        sock = self._bound[address] = VirtualSocket(
            self, process, address, peer, self._rng.choice((INBOX_MIN, INBOX_MAX))
        )
        process.on_death.append(partial(self.release, sock))
        return sock

    def release(self, sock: "VirtualSocket") -> None:
        """Its address is free, and what it had not read is gone."""
        if self._bound.get(sock.address) is sock:
            del self._bound[sock.address]
        sock.inbox.clear()

    def send(self, source: str, target: str, datagram: bytes) -> None:
        """Into the network."""
        way, rng = self.direction(source, target), self._rng
        way.sent += 1
        if way.is_lost(rng):
            way.lost += 1
            self._note(source, target, datagram, "cut off" if way.cut else "lost")
        else:
            arriving, fate = datagram, ""
            if way.corruption and rng.random() < way.corruption:
                arriving, fate = damaged(datagram, rng), "damaged "
                way.lost += 1
            delay = way.delay_s(rng)
            self._note(source, target, datagram, f"{fate}{delay * 1000:.3f} ms")
            self._arrive_in(delay, source, target, arriving)
            if way.duplication and rng.random() < way.duplication:
                self._arrive_in(way.delay_s(rng), source, target, datagram)
        if way.replay or way.stranger:
            self._disturb(way, source, target, datagram)

    def _disturb(self, way: Direction, source: str, target: str, datagram: bytes) -> None:
        rng = self._rng
        if way.kept and rng.random() < way.replay:
            of, to, old = rng.choice(way.kept)
            # To whoever is there now, perhaps a later life of the one it was sent to.
            to = target if rng.random() < 0.7 else to
            self._note(of, to, old, "comes again")
            self._arrive_in(rng.uniform(0.0, REPLAY_S), of, to, old)
            other = rng.choice(list(self._directions.values()))
            if other.kept and rng.random() < CROSSED:
                # What another host was sent, or what this one has sent itself.
                astray = rng.choice(other.kept)[2]
                self._note(source, target, astray, "goes astray")
                self._arrive_in(rng.uniform(0.0, REPLAY_S), source, target, astray)
        if rng.random() < way.stranger:
            self._arrive_in(rng.uniform(0.0, 0.01), STRANGER, target, strange(datagram, rng))
        way.keep(rng, source, target, datagram)

    def _arrive_in(self, delay_s: float, source: str, target: str, datagram: bytes) -> None:
        self._timers.at(delay_s, partial(self._arrive, source, target, datagram))

    def _arrive(self, source: str, target: str, datagram: bytes) -> None:
        sock = self._bound.get(target)
        if sock is not None:
            if not sock.put(datagram, source):
                self.direction(source, target).lost += 1
                self._note(source, target, datagram, "finds no room")
            return
        sender = self._bound.get(source)
        if sender is not None and sender.peer == target and host_of(target) not in self.dark:
            back = self.direction(target, source)
            if not back.is_lost(self._rng):
                self._timers.at(back.delay_s(self._rng), sender.refuse)

    def _note(self, source: str, target: str, datagram: bytes, fate: str) -> None:
        self._trace.add(f"{trio.current_time():.6f} {source} > {target} {describe(datagram)} {fate}")


class VirtualSocket:
    """A datagram socket of one process: see :class:`orderd.runtime.datagrams.UdpSocket`, which it behaves as."""

    def __init__(self, network: Network, process: Process, address: str, peer: str | None, room: int) -> None:
        self.address = address
        self.peer = peer
        self.last_error = ""
        self.inbox: deque[tuple[bytes, Any]] = deque()
        self._network = network
        self._process = process
        self._room = room
        self._refused = False
        """Whether an ICMP message has come that nobody was told of."""
        self._closed = False
        self._bell = Bell()

    async def wait_readable(self) -> None:
        if self.inbox or self._refused:
            self._process.touch("wait for datagrams")
            await trio.lowlevel.checkpoint()
        else:
            await self._bell.wait(self._process)

    def receive(self, limit: int = DRAIN_MAX) -> list[tuple[bytes, Any]]:
        self._call("receive")
        if self._take_refusal():
            limit -= 1
        inbox = self.inbox
        return [inbox.popleft() for _ in range(min(limit, len(inbox)))]

    def send(self, datagram: bytes, address: Any = None) -> bool:
        self._call("send")
        if self._take_refusal():
            return False
        target = self.peer if address is None else address
        assert isinstance(target, str), "an address, or a socket that is connected"
        self._network.send(self.address, target, bytes(datagram))
        self.last_error = ""
        return True

    def close(self) -> None:
        self._process.touch("close a socket")
        self._closed = True
        self._network.release(self)

    # --- the network's side -------------------------------------------------------------------------------------------

    def put(self, datagram: bytes, source: str) -> bool:
        """A datagram has come; whether there was room for it. What a stranger sends to a connected one is dropped."""
        if self.peer not in (None, source):
            return True
        if len(self.inbox) >= self._room:
            return False
        self.inbox.append((datagram, source))
        self._bell.ring()
        return True

    def refuse(self) -> None:
        """Nobody is where it is connected to: port unreachable (ICMP type 3, code 3)."""
        self._refused = True
        self._bell.ring()

    def _call(self, what: str) -> None:
        self._process.touch(what)
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _take_refusal(self) -> bool:
        refused, self._refused = self._refused, False
        if refused:
            self.last_error = os.strerror(errno.ECONNREFUSED)
        return refused


def describe(datagram: bytes) -> str:
    """A datagram in a few words, and its check sum."""
    if len(datagram) < HEADER_BYTES:
        return f"{len(datagram)} bytes {crc32(datagram):08x}"
    _, _, kind, epoch, _, counter, first, ack, _, count, _ = HEADER.unpack_from(datagram)
    name = _NAMES.get(kind, "?")
    return f"{name} epoch {epoch} #{counter} {first}+{count} ack {ack}, {len(datagram)} bytes {crc32(datagram):08x}"


def damaged(datagram: bytes, rng: random.Random) -> bytes:
    """With bits flipped, cut short, or with garbage before, in or behind it."""
    kind = rng.randrange(6)
    if kind == 0 or not datagram:
        return rng.randbytes(rng.randrange(1, 40)) + datagram
    if kind == 1:
        return datagram[: rng.randrange(len(datagram))]
    if kind == 2:
        return datagram + rng.randbytes(rng.randrange(1, 40))
    changed = bytearray(datagram)
    if kind == 3:
        begin = rng.randrange(len(changed))
        changed[begin : begin + 16] = rng.randbytes(len(changed[begin : begin + 16]))
        return bytes(changed) if changed != datagram else datagram[1:]
    for bit in rng.sample(range(len(changed) * 8), 1 if kind == 4 else 5):
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def strange(datagram: bytes, rng: random.Random) -> bytes:
    """What somebody sends who has seen this one."""
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(rng.choice((0, 1, 47, 48, 64, 200, 1472)))
    if kind == 1:
        return datagram[: rng.randrange(len(datagram) + 1)]
    return damaged(datagram, rng) if kind == 2 else datagram
