"""Hostile datagrams at a steady rate: a process of its own, since a flood takes a core.

To the engine they come from a port of our own, by UDP_SEGMENT, so that sending costs next to nothing; what comes back
is counted. To orderd, whose socket hears its engine alone, they are forged from the engine's address, with headers made
here and sent through a raw socket, which only root may open.

``python -m tests.chaos.flood JSON`` prints a line when it floods, and what came of it when its standard input ends.
"""

import contextlib
import json
import random
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
SIZE: Final = 128
"""Bytes of each datagram: header, two records, tag."""
AT_ONCE: Final = 16
TICK_S: Final = 0.001
SOL_UDP, UDP_SEGMENT = 17, 103
HEADER: Final = struct.Struct("<HBBIQQQQHHI")
MAGIC, VERSION = 0x4F64, 2
HELLO, WELCOME, ORDERS, REPORTS, POLL, PROBE = 1, 2, 4, 5, 6, 10
IP: Final = struct.Struct("!BBHHHBBHII")
UDP: Final = struct.Struct("!HHHH")
LOOPBACK: Final = 0x7F000001


def forged(rng: random.Random, session: int, epoch: int, *, to_engine: bool) -> bytes:
    """A datagram that nobody who knows the key has made: noise, or well formed, of a session that exists or not."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randbytes(SIZE)
    types = (ORDERS, ORDERS, POLL, HELLO, PROBE) if to_engine else (REPORTS, REPORTS, REPORTS, WELCOME)
    type_ = rng.choice(types)
    # Whoever listens on the road knows session and epoch, and what counters look like.
    known = kind > 2
    body = b"" if type_ == POLL else rng.randbytes(64)
    header = HEADER.pack(
        MAGIC, VERSION, type_, epoch if known else rng.getrandbits(32), session if known else rng.getrandbits(64),
        rng.randrange(1 << 20), 1 + rng.randrange(1 << 20), 1, 64, 2 if type_ == ORDERS else 0, 0,
    )  # fmt: skip
    return header + body + rng.randbytes(SIZE - HEADER.size - len(body)) if body else header + rng.randbytes(16)


class Flood:
    """The process as its user sees it."""

    def __init__(self, *, port: int, source_port: int = 0, rate: int, session: int, epoch: int, seed: int) -> None:
        """``source_port``: forge it, from 127.0.0.1; 0: send from a port of our own."""
        about = {"port": port, "source_port": source_port, "rate": rate, "session": session, "epoch": epoch}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.flood", json.dumps({**about, "seed": seed})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def end(self) -> dict[str, float]:
        """``sent``, ``answered``, ``seconds``."""
        out, _ = self._process.communicate("\n", timeout=10)
        found: dict[str, float] = json.loads(out)
        return found


def _run(about: dict[str, Any]) -> None:
    rng = random.Random(about["seed"])
    is_raw = bool(about["source_port"])
    sock = _raw_socket() if is_raw else _segmenting_socket(about["port"])
    pieces = []
    for _ in range(16):
        many = [forged(rng, about["session"], about["epoch"], to_engine=not is_raw) for _ in range(AT_ONCE)]
        if is_raw:
            pieces.append([_packet(about["source_port"], about["port"], datagram) for datagram in many])
        else:
            # All segments of one send are of one size.
            pieces.append([b"".join(d.ljust(SIZE, b"\0")[:SIZE] for d in many)])
    print("floods", flush=True)
    started = time.monotonic()
    sent = turn = answered = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        due = int((time.monotonic() - started) * about["rate"])
        while sent < due:
            for piece in pieces[turn % len(pieces)]:
                with contextlib.suppress(OSError):
                    sock.sendto(piece, ("127.0.0.1", 0)) if is_raw else sock.send(piece)
            sent += AT_ONCE
            turn += 1
        answered += 0 if is_raw else _drain(sock)
        time.sleep(TICK_S)
    print(json.dumps({"sent": sent, "answered": answered, "seconds": time.monotonic() - started}), flush=True)


def _drain(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(OSError):
        while True:
            sock.recv(65_535, socket.MSG_DONTWAIT)
            count += 1
    return count


def _segmenting_socket(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(SOL_UDP, UDP_SEGMENT, SIZE)
    return sock


def _raw_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _packet(source_port: int, port: int, datagram: bytes) -> bytes:
    """An IPv4 packet from and to this host; the kernel fills in length and checksum, and UDP needs none (RFC 768)."""
    header = IP.pack(0x45, 0, 0, 0, 0, 64, socket.IPPROTO_UDP, 0, LOOPBACK, LOOPBACK)
    return header + UDP.pack(source_port, port, UDP.size + len(datagram), 0) + datagram


if __name__ == "__main__":
    _run(json.loads(sys.argv[1]))
