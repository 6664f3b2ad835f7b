"""systemd is told when it listens, and nothing happens when it does not."""

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderd.runtime.notify import notify


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        yield sock


def test_a_state_arrives_as_one_datagram(tmp_path: Path, listener: socket.socket) -> None:
    listener.bind(str(tmp_path / "notify"))
    assert notify("READY=1\nSTATUS=trading", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
    assert listener.recv(100) == b"READY=1\nSTATUS=trading"


def test_abstract_names_are_understood(listener: socket.socket) -> None:
    name = f"orderd-test-{uuid.uuid4()}"
    listener.bind(f"\0{name}")
    assert notify("WATCHDOG=1", {"NOTIFY_SOCKET": f"@{name}"})
    assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "relative", "/absent/socket", "@" + "x" * 200, "/a\0b", "@absent"])
def test_an_address_that_leads_nowhere_is_no_error(address: str) -> None:
    assert not notify("READY=1", {"NOTIFY_SOCKET": address})


def test_without_systemd_nothing_is_sent() -> None:
    assert not notify("READY=1", {})


def test_a_listener_that_reads_nothing_never_blocks(tmp_path: Path, listener: socket.socket) -> None:
    listener.bind(str(tmp_path / "notify"))
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    assert not all(notify("WATCHDOG=1", environ) for _ in range(100_000))
