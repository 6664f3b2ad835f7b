"""README.md's first strategy works as it stands there: its commands, its program, and what becomes of them."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from orderd.client import Client
from tests.support.processes import ROOT, wait_until

README: Final = (ROOT / "README.md").read_text()
LIMIT_S: Final = 60.0
PROGRAMS: Final = {
    ".venv/bin/python": sys.executable,
    ".venv/bin/orderctl": f"{sys.executable} -m orderd.ctl",
    ".venv/bin/orderd": f"{sys.executable} -m orderd",
}


def blocks() -> list[str]:
    """The code of the section, in order."""
    section = re.split(r"^## ", README.split("## A first strategy\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```\w*\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short name, as sockets need one."""
    with tempfile.TemporaryDirectory(prefix="first-", dir="/tmp") as directory:
        yield Path(directory)


def started(block: str, scratch: Path) -> "subprocess.Popen[str]":
    """A block as a shell would run it, with its paths in ``scratch``."""
    assert "/tmp/first/" in block or "export ORDERD_SOCKET" in block
    script = block.replace("/tmp/first", str(scratch))
    for told, here in PROGRAMS.items():
        script = script.replace(told, here)
    *before, last = script.strip().splitlines()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(scratch), "XDG_STATE_HOME": str(scratch / "state")}
    command = "\n".join(["set -e", *before, f"exec {last}"])
    return subprocess.Popen(
        ["sh", "-c", command],
        cwd=scratch,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_first_strategy_trades_as_the_readme_says(scratch: Path) -> None:
    daemon_block, program, run_block, market_block = blocks()
    (scratch / "strategy.py").write_text(program)
    daemon = started(daemon_block, scratch)
    processes = [daemon]
    try:
        # A client waits for the daemon by itself, though not for as long as a busy machine may take.
        wait_until((scratch / "orderd.sock").exists, "the daemon serves")
        strategy = started(run_block, scratch)
        processes.append(strategy)
        with Client(scratch / "orderd.sock") as client:
            wait_until(lambda: len(client.list_open()) == 2, "it quotes both sides")
            market = started(market_block, scratch)
            processes.append(market)
            told, _ = market.communicate(timeout=LIMIT_S)
            assert market.returncode == 0, told
            assert told.count("FILLED") >= 2 and "187.30" in told
            text, _ = strategy.communicate(timeout=LIMIT_S)
            assert strategy.returncode == 0, text
            assert "SELL 10 traded at 187.30" in text and re.search(r"BUY 10 traded at 187\.2[01]", text)
            wait_until(lambda: not client.list_open(), "its orders went with it")
    finally:
        daemon.terminate()
        text, _ = daemon.communicate(timeout=LIMIT_S)
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    assert daemon.returncode == 0, text
