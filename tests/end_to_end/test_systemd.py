"""Run by systemd: its socket is taken over, it hears how the daemons are, and its units and their places are right."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.needs import missing
from tests.support.notify_socket import NotifySocket, notify_socket
from tests.support.processes import ROOT, Process, Site, run_to_end, wait_until

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
KEY: Final = "5e" * 32
ACTIVATE: Final = "systemd-socket-activate"


def need(program: str) -> str:
    """The program, or the end of the test."""
    return shutil.which(program) or missing(f"{program} is missing")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NotifySocket]:
    """What hears the daemons."""
    with notify_socket(tmp_path / "notify") as found:
        yield found


def heard_by(manager: NotifySocket) -> dict[str, str]:
    """The environment that a unit with a watchdog of 0.3 s has."""
    return {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "300000"}


def activated(site: Site, *listen: str) -> Process:
    """orderd of ``site``, started by the first who connects to, or sends to, one of the sockets ``listen``."""
    words = [need(ACTIVATE), *listen, "-E", f"PYTHONPATH={ROOT}"]
    site.orderd = Process("orderd", site.directory, ["orderd"], prefix=words)
    site.launch_orderd()
    site.orderd.wait_for_log("Listening on")
    return site.orderd


# The socket


def test_orders_flow_through_a_socket_that_systemd_made(make_site: MakeSite, manager: NotifySocket) -> None:
    site = make_site(orderd={"engine.embedded": True, "listen.socket": "/nowhere/else"})
    asked = [word for name, value in heard_by(manager).items() for word in ("-E", f"{name}={value}")]
    orderd = activated(site, "-l", str(site.socket_path), *asked)
    with site.client() as client:  # it is this connection that starts orderd
        assert client.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
    assert f"socket={site.socket_path}" in orderd.log, "the ready line says where it listens in truth"
    wait_until(lambda: manager.count("READY=1"), "it is ready")

    child = int(re.findall(r"engine started pid=(\d+)", orderd.log)[-1])
    names = {pair.partition("=")[0] for pair in Path(f"/proc/{child}/environ").read_text().split("\0")}
    assert "PYTHONPATH" in names
    assert not {name for name in names if name.startswith(("LISTEN_", "NOTIFY_", "WATCHDOG_"))}
    inherited = [os.readlink(entry) for entry in Path(f"/proc/{child}/fd").iterdir()]
    assert os.readlink(f"/proc/{orderd.popen.pid}/fd/3") not in inherited

    assert orderd.terminate() == 0
    assert site.socket_path.is_socket(), "it is not orderd's to remove"
    assert manager.count("STOPPING=1") == 1


@pytest.mark.parametrize(
    ("listen", "kind", "problem"),
    [
        (("-d", "-l", "one"), socket.SOCK_DGRAM, "the socket that was passed is SOCK_DGRAM"),
        (("-l", "one", "-l", "two"), socket.SOCK_STREAM, "2 sockets were passed"),
    ],
)
def test_another_socket_than_one_of_streams_ends_with_exit_code_2_and_one_line(
    make_site: MakeSite, listen: tuple[str, ...], kind: socket.SocketKind, problem: str
) -> None:
    site = make_site()
    place = str(site.directory / "one")
    orderd = activated(site, *(word if word.startswith("-") else str(site.directory / word) for word in listen))
    with socket.socket(socket.AF_UNIX, kind) as client:
        client.connect(place)
        client.send(b"x")
        assert orderd.wait() == 2
    told = [line for line in orderd.log.splitlines() if line.startswith("orderd: ")]
    assert len(told) == 1 and problem in told[0], orderd.log


# What systemd hears


def test_ready_is_told_once_the_engine_answers_then_each_change_and_the_end(
    make_site: MakeSite, manager: NotifySocket
) -> None:
    site = make_site()
    site.orderd = Process("orderd", site.directory, ["orderd"], heard_by(manager))
    site.start_orderd()
    assert not manager.count("READY=1"), "orders cannot flow yet"
    site.start_engine()
    wait_until(lambda: manager.count("READY=1"), "it is ready")
    assert "ENGINE_DOWN" not in next(line for line in manager.lines if "STATUS" in line)
    wait_until(lambda: manager.count("WATCHDOG=1") > 3, "the watchdog is fed")
    site.engine.kill()
    wait_until(lambda: any(line.startswith("STATUS=ENGINE_DOWN") for line in manager.lines), "the change is told")
    site.orderd.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: manager.count("READY=1") == 2, "the reload is over")
    assert manager.lines.index("RELOADING=1") > manager.lines.index("READY=1")
    assert site.orderd.terminate() == 0
    assert manager.count("STOPPING=1") == 1


def test_the_engine_tells_too(make_site: MakeSite, manager: NotifySocket) -> None:
    site = make_site()
    site.engine = Process("engine", site.directory, ["engine"], heard_by(manager))
    site.start_engine()
    wait_until(lambda: manager.count("WATCHDOG=1") > 3, "the watchdog is fed")
    assert manager.count("READY=1") == 1
    site.engine.popen.send_signal(signal.SIGHUP)
    wait_until(lambda: manager.count("READY=1") == 2, "the reload is over")
    assert manager.lines.index("RELOADING=1") > manager.lines.index("READY=1")
    assert site.engine.terminate() == 0
    assert manager.lines[-1] == "STOPPING=1"


# The key, and the state


def test_the_key_is_the_credential_that_both_units_are_given(make_site: MakeSite) -> None:
    site = make_site()
    place = site.directory / "credentials"
    place.mkdir()
    (place / "orderd.key").write_text(KEY + "\n")
    (place / "orderd.key").chmod(0o440)
    environ = {"CREDENTIALS_DIRECTORY": str(place)}
    site.orderd = Process("orderd", site.directory, ["orderd"], environ)
    site.engine = Process("engine", site.directory, ["engine"], environ)
    site.start()
    with site.client() as client:
        assert client.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
        assert client.call("CONFIG", "GET", "engine.key_file") == {"engine.key_file": str(place / "orderd.key")}
    assert KEY[:8] not in site.orderd.log + site.engine.log
    (place / "orderd.key").chmod(0o444)
    for program, words in (("orderd", site.orderd_words("check")), ("engine", site.engine_words("check"))):
        result = run_to_end(program, *words, directory=site.directory, environ=environ)
        assert result.returncode == 2 and "mode 0444 lets others in" in result.stderr
        assert KEY[:8] not in result.stderr


def test_a_state_directory_that_cannot_be_is_one_line_with_key_and_path(make_site: MakeSite) -> None:
    site = make_site()
    (site.directory / "file").touch()
    place = str(site.directory / "file" / "journal")
    for program, words in (
        ("orderd", site.orderd_words(journal__directory=place)),
        ("engine", site.engine_words(journal__directory=place)),
    ):
        result = run_to_end(program, *words, directory=site.directory)
        assert result.returncode == 3
        expected = rf"[a-z-]+: journal\.directory {place}: the journal cannot be opened: Not a directory\n"
        assert re.fullmatch(expected, result.stderr), result.stderr


def test_a_socket_that_cannot_be_is_one_line_with_key_and_path(make_site: MakeSite) -> None:
    site = make_site()
    (site.directory / "file").touch()
    place = site.directory / "file" / "x" / "s"
    result = run_to_end("orderd", *site.orderd_words(listen__socket=str(place)), directory=site.directory)
    assert result.returncode == 1
    assert result.stderr == f"orderd: listen.socket: cannot listen on {place}: Not a directory\n"


# The units


def run_tool(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env=environ)


def test_installed_units_are_right_name_the_program_and_can_be_removed(tmp_path: Path) -> None:
    need("systemd-analyze")
    make = need("make")
    for _ in range(2):  # twice is as once
        installed = run_tool(make, "install-units", f"DESTDIR={tmp_path}", "PREFIX=/opt/x", "SYSCONFDIR=/opt/etc")
        assert installed.returncode == 0, installed.stderr
    service = (tmp_path / "usr/lib/systemd/system/orderd.service").read_text()
    assert "\nExecStart=/opt/x/bin/orderd run --config /opt/etc/orderd/orderd.toml\n" in service
    checked = run_tool(ROOT / ".ci" / "check-units", tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert run_tool(make, "uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/x").returncode == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_unit_that_leaves_more_open_is_refused(tmp_path: Path) -> None:
    need("systemd-analyze")
    assert run_tool(need("make"), "install-units", f"DESTDIR={tmp_path}").returncode == 0
    path = tmp_path / "usr/lib/systemd/system/orderd.service"
    text = path.read_text()
    path.write_text(text.replace("SystemCallFilter=", "#"))
    assert run_tool(ROOT / ".ci" / "check-units", tmp_path).returncode != 0
    path.write_text(text.replace("Restart=on-failure", "Restart=sometimes"))
    assert run_tool(ROOT / ".ci" / "check-units", tmp_path).returncode != 0
