"""Completion: the scripts of the shells, and words that a running daemon knows."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

import orderd.ctl.completion
from orderd.ctl.cli import main
from orderd.ctl.completion import SHELLS, VARIABLE, script
from tests.support.processes import ROOT, Site, wait_until

Orderctl = Callable[..., Result]
FILES = {"bash": "orderctl.bash", "zsh": "_orderctl", "fish": "orderctl.fish"}


def completions(*words: str, incomplete: str = "") -> list[str]:
    return [
        item.value for item in ShellComplete(main, {}, "orderctl", VARIABLE).get_completions(list(words), incomplete)
    ]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, the daemon is waited for."""
    monkeypatch.setattr(orderd.ctl.completion, "ANSWER_S", 30.0)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed_and_asks_orderctl(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])
    assert result.exit_code == 0
    assert f"{VARIABLE}={shell}_complete" in result.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_the_files_for_packages_are_what_is_printed(shell: str) -> None:
    text = (ROOT / "completions" / FILES[shell]).read_text()
    assert text == script(shell) + "\n", f"orderctl completion {shell} > completions/{FILES[shell]}"


def test_a_real_bash_completes_by_the_file(site: Site, tmp_path: Path) -> None:
    program = tmp_path / "orderctl"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m orderd.ctl "$@"\n')
    program.chmod(0o755)
    asked = (
        f'source "{ROOT}/completions/orderctl.bash"; COMP_WORDS=(orderctl --socket "{site.socket_path}" book M) '
        'COMP_CWORD=4; _orderctl_completion orderctl; echo "${COMPREPLY[@]}"'
    )
    environ = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    def completed() -> str:
        result = subprocess.run(
            ["bash", "-c", asked], capture_output=True, text=True, timeout=60, check=False, env=environ, cwd=tmp_path
        )
        assert result.stderr == ""
        return result.stdout.strip()

    # A busy machine may be too slow for the daemon to be waited for.
    assert wait_until(completed, "bash completes a symbol") == "MSFT"


def test_commands_and_choices_complete() -> None:
    assert {"list", "journal", "paths"} <= set(completions())
    assert completions("journal", incomplete="v") == ["verify"]
    assert completions("mode", incomplete="b") == ["batch"]


@pytest.mark.usefixtures("patient")
def test_symbols_and_open_orders_complete_from_the_daemon(live: Orderctl, site: Site) -> None:
    for name in ("tab-1", "tab-2"):
        live("submit", name, "ES", "BUY", 1, "--limit", "1.00")
    live("cancel", "tab-1")
    option = ("--socket", str(site.socket_path))
    assert completions(*option, "book", incomplete="") == ["AAPL", "MSFT", "ES"]
    assert completions(*option, "submit", "x", incomplete="A") == ["AAPL"]
    assert completions(*option, "cancel", incomplete="tab") == ["tab-2"]


@pytest.mark.usefixtures("patient")
def test_the_socket_of_the_environment_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERD_SOCKET", str(site.socket_path))
    assert completions("book", incomplete="M") == ["MSFT"]


def test_no_daemon_completes_nothing(tmp_path: Path) -> None:
    assert completions("--socket", str(tmp_path / "none"), "book") == []


def test_a_daemon_that_does_not_answer_is_given_up_soon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(tmp_path / "s"))
        silent.listen()
        began = time.monotonic()
        assert completions("--socket", str(tmp_path / "s"), "book") == []
        assert time.monotonic() - began < 5.0
