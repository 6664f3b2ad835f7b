"""The engine as a process: it answers, ends cleanly, and knows after a kill what it told before."""

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderd.link.handshake import Identity
from orderd.link.sender import SessionSender
from orderd.link.terms import LinkState, SenderSettings
from orderd.wire.errors import WireError
from tests.support.matching import BUY, limit
from tests.support.processes import Process
from tests.support.virtual_engine import INSTRUMENTS

RECORDS = b"".join(limit(number, BUY, 1, 100) for number in range(1, 201))
CONFIG = """
[listen]
udp = "127.0.0.1:0"
grpc = "127.0.0.1:0"
[journal]
directory = "journal"
segment_bytes = 4194304
[[instrument]]
symbol = "AAPL"
id = 1
tick = "0.01"
lot = "1"
"""


class Client:
    """A link over a real socket, driven to and fro."""

    def __init__(self, engine: Process) -> None:
        engine.wait_for_log("ready")
        match = re.search(r"udp=\S*?127\.0\.0\.1:(\d+)", re.sub(r"\x1b\[[0-9;]*m", "", engine.log))
        assert match is not None, engine.log
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(("127.0.0.1", int(match[1])))

    def start(self, epoch: int, *, acknowledged: int = 1, reports_wanted: int = 1, engine: int = 0) -> SessionSender:
        digests = {1: INSTRUMENTS.digest(1)}
        return SessionSender(
            Identity(9, epoch, 5, b"", digests),
            SenderSettings(timeout_initial=0.2, timeout_minimum=0.2, retransmits_max=20),
            lambda first, count: RECORDS[(first - 1) * 32 : (first - 1 + count) * 32],
            acknowledged=acknowledged,
            reports_wanted=reports_wanted,
            engine=engine,
        )

    def drive(self, link: SessionSender, reports_wanted: int) -> None:
        deadline = time.monotonic() + 20
        while link.reports.wanted < reports_wanted or link.state is LinkState.DOWN:
            now = time.monotonic()
            assert now < deadline
            for datagram in link.datagrams(now):
                self.socket.send(datagram)
            self.socket.settimeout(max(0.001, min(link.wake_at(), deadline) - now))
            try:
                link.receive(self.socket.recv(65507), time.monotonic())
            except (TimeoutError, ConnectionRefusedError, WireError):
                continue
            link.reports_journaled = link.reports.wanted

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Process]:
    (tmp_path / "engine.toml").write_text(CONFIG)
    process = Process("engine", tmp_path, ["engine", "run", "--config", "engine.toml"])
    yield process
    process.clean_up()


def test_what_was_told_before_a_kill_is_known_after_it(engine: Process) -> None:
    engine.launch()
    client = Client(engine)
    link = client.start(1)
    link.release(101, 0.0)
    client.drive(link, 101)
    client.close()
    engine.kill()
    engine.launch()
    client = Client(engine)
    again = client.start(2, acknowledged=101, reports_wanted=101, engine=link.engine)
    again.release(201, 0.0)
    client.drive(again, 201)
    client.close()
    assert again.acknowledged == 201
    assert (again.counters.retransmits, link.counters.retransmits) == (0, 0)
    assert engine.terminate() == 0
    assert "stopped" in engine.log


def test_it_ends_cleanly_when_nobody_ever_spoke_to_it(engine: Process) -> None:
    engine.launch()
    engine.wait_for_log("ready")
    assert engine.terminate() == 0


def test_a_journal_belongs_to_one_process_at_a_time(engine: Process, tmp_path: Path) -> None:
    engine.launch()
    engine.wait_for_log("ready")
    second = Process("second", tmp_path, engine.arguments)
    second.launch()
    assert second.wait() == 3
    assert "another process has this journal open" in second.log
    assert engine.terminate() == 0


def test_a_changed_instrument_refuses_the_start(engine: Process, tmp_path: Path) -> None:
    engine.launch()
    engine.wait_for_log("ready")
    assert engine.terminate() == 0
    (tmp_path / "engine.toml").write_text(CONFIG.replace('tick = "0.01"', 'tick = "0.05"'))
    engine.launch()
    assert engine.wait() == 3
    assert "instrument 1 is AAPL 0.01 1 in the journal" in engine.log


def test_a_port_that_is_taken_is_one_line_and_loses_nothing(engine: Process, tmp_path: Path) -> None:
    engine.launch()
    engine.wait_for_log("ready")
    words = [*engine.arguments, "--set", f"journal.directory={tmp_path / 'other'}"]
    for road in ("udp", "grpc"):
        address = engine.log.split(f"{road}=")[1].split()[0]
        second = Process(f"second-{road}", tmp_path, [*words, "--set", f"listen.{road}={address}"])
        second.launch()
        assert second.wait() == 1
        assert second.log.splitlines()[-1] == f"orderd-engine: listen.{road} = {address}: Address already in use"
    free = Process("free", tmp_path, words)
    free.launch()
    free.wait_for_log("ready")
    assert free.terminate() == 0
