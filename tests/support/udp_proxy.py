"""A bad network between orderd and the engine: a process that forwards datagrams, or does something worse with them.

Faults are drawn from a seed, per direction and datagram. Commands come as JSON lines on standard input: fault values by
name, for both directions or for one, or ``counters``. Besides what it carries, it can make up datagrams: cut ones, bits
flipped, old ones again, noise.
"""

import contextlib
import heapq
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
DIRECTIONS: Final = ("to_engine", "to_orderd")
DATAGRAM_BYTES_MAX: Final = 65535
HISTORY: Final = 64
FORGED_LENGTHS: Final = (0, 1, 47, 48, 64, 65, 200, 1472)

FAULTS: Final = {
    "drop": 0.0,
    "duplicate": 0.0,
    "swap": 0.0,  # sent behind the next one
    "corrupt": 0.0,  # a bit of it is flipped
    "truncate": 0.0,
    "delay": 0.0,  # by up to delay_ms
    "delay_ms": 20.0,
    "replay": 0.0,  # an old one is sent again, besides it
    "forge": 0.0,  # one that nobody sent is sent, besides it
    "black_hole": 0.0,  # 1: nothing gets through
    "burst": 0.0,  # from here on nothing gets through for burst_ms
    "burst_ms": 50.0,
    "size_max": 0.0,  # bytes; larger ones do not get through, 0: all do
}


class UdpProxy:
    """The proxy as its user sees it. ``port`` is where orderd is to look for the engine."""

    def __init__(self, engine_port: int, *, seed: int = 1, **faults: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.udp_proxy", str(engine_port), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.port: int = json.loads(self._stream(self._process.stdout).readline())
        self.set(**faults)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            self._stream(stream).close()

    def set(self, **faults: float) -> None:
        """Change probabilities in both directions, from the next datagram on."""
        self._change(faults, DIRECTIONS)

    def set_one(self, direction: str, **faults: float) -> None:
        """Change them in one direction."""
        self._change(faults, (direction,))

    def heal(self) -> None:
        """No faults any more."""
        self.set(**FAULTS)

    def counters(self) -> dict[str, dict[str, int]]:
        """By direction: ``in``, ``out``, and how often each fault struck."""
        found: dict[str, dict[str, int]] = self._ask({"counters": True})
        return found

    def _change(self, faults: Mapping[str, float], directions: Sequence[str]) -> None:
        unknown = faults.keys() - FAULTS.keys()
        assert not unknown, f"no such faults: {unknown}"
        self._ask({"set": faults, "directions": directions})

    def _ask(self, command: dict[str, Any]) -> Any:
        stdin = self._stream(self._process.stdin)
        stdin.write(json.dumps(command) + "\n")
        stdin.flush()
        return json.loads(self._stream(self._process.stdout).readline())

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None, "both ends are pipes"
        return stream


class _Way:
    """One direction. ``write`` sends a datagram on."""

    def __init__(self, seed: str) -> None:
        self.faults = dict(FAULTS)
        self.counters: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._history: deque[bytes] = deque(maxlen=HISTORY)
        self._held: bytes | None = None
        self._burst_until = 0.0

    def pass_on(self, datagram: bytes) -> list[tuple[float, bytes]]:
        """What goes out because of ``datagram``, each with its delay in seconds."""
        self.counters["in"] += 1
        if self._too_large(datagram) or self._strikes("black_hole") or self._in_burst() or self._strikes("drop"):
            return self._made_up()
        out = [(self._delay(), self._spoilt(datagram))]
        if self._strikes("duplicate"):
            out.append((self._delay(), datagram))
        held, self._held = self._held, None
        if held is not None:
            out.append((0.0, held))
        elif self._strikes("swap"):
            _, self._held = out.pop(0)
        self._history.append(datagram)
        return out + self._made_up()

    def _made_up(self) -> list[tuple[float, bytes]]:
        out = []
        if self._history and self._strikes("replay"):
            out.append((0.0, self._random.choice(self._history)))
        if self._strikes("forge"):
            forged = bytearray(self._random.randbytes(self._random.choice(FORGED_LENGTHS)))
            if self._history and len(forged) >= 64 and self._random.random() < 0.75:
                # A header as it should be: session, epoch and type are known to whoever listens.
                forged[:44] = self._random.choice(self._history)[:44]
            out.append((0.0, bytes(forged)))
        return out

    def _spoilt(self, datagram: bytes) -> bytes:
        if self._strikes("truncate"):
            return datagram[: self._random.randrange(len(datagram))]
        if self._strikes("corrupt"):
            bit = self._random.randrange(len(datagram) * 8)
            spoilt = bytearray(datagram)
            spoilt[bit // 8] ^= 1 << bit % 8
            return bytes(spoilt)
        return datagram

    def _delay(self) -> float:
        return self._random.uniform(0, self.faults["delay_ms"] / 1000) if self._strikes("delay") else 0.0

    def _too_large(self, datagram: bytes) -> bool:
        if not 0 < self.faults["size_max"] < len(datagram):
            return False
        self.counters["size_max"] += 1
        return True

    def _in_burst(self) -> bool:
        now = time.monotonic()
        if now >= self._burst_until and self._strikes("burst"):
            self._burst_until = now + self.faults["burst_ms"] / 1000
        if now >= self._burst_until:
            return False
        self.counters["burst_lost"] += 1
        return True

    def _strikes(self, fault: str) -> bool:
        probability = self.faults[fault]
        if probability and self._random.random() < probability:
            self.counters[fault] += 1
            return True
        return False


class _Proxy:
    """The process itself: orderd's side is bound, the engine's is connected. The last sender is orderd."""

    def __init__(self, engine_port: int, seed: str) -> None:
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.connect(("127.0.0.1", engine_port))
        for sock in (self._front, self._back):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 2**20)
        self._orderd: Any = None
        self._ways = {name: _Way(f"{seed} {name}") for name in DIRECTIONS}
        self._later: list[tuple[float, int, str, bytes]] = []
        self._order = 0

    def run(self) -> None:
        """Until standard input ends."""
        print(self._front.getsockname()[1], flush=True)
        while True:
            wait_s = max(0.0, self._later[0][0] - time.monotonic()) if self._later else None
            readable, _, _ = select.select([self._front, self._back, sys.stdin], [], [], wait_s)
            if sys.stdin in readable:
                line = sys.stdin.readline()
                if not line:
                    return
                self._command(json.loads(line))
            self._forward(self._front, "to_engine")
            self._forward(self._back, "to_orderd")
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                _, _, name, datagram = heapq.heappop(self._later)
                self._write(name, datagram)

    def _command(self, command: dict[str, Any]) -> None:
        answer: object = True
        if "set" in command:
            for name in command["directions"]:
                self._ways[name].faults.update(command["set"])
        else:
            answer = {name: way.counters for name, way in self._ways.items()}
        print(json.dumps(answer), flush=True)

    def _forward(self, sock: socket.socket, name: str) -> None:
        for _ in range(64):
            try:
                datagram, sender = sock.recvfrom(DATAGRAM_BYTES_MAX)
            except OSError:  # Nothing there, or the other end is away.
                return
            if name == "to_engine":
                self._orderd = sender
            for delay, out in self._ways[name].pass_on(datagram):
                if delay:
                    self._order += 1
                    heapq.heappush(self._later, (time.monotonic() + delay, self._order, name, out))
                else:
                    self._write(name, out)

    def _write(self, name: str, datagram: bytes) -> None:
        self._ways[name].counters["out"] += 1
        with contextlib.suppress(OSError):
            if name == "to_engine":
                self._back.send(datagram)
            elif self._orderd is not None:
                self._front.sendto(datagram, self._orderd)


if __name__ == "__main__":
    _Proxy(int(sys.argv[1]), sys.argv[2]).run()
