"""The check that nothing reaches past the seams finds what does."""

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent.parent / ".ci" / "check-seams"


def findings(path: str, source: str) -> list[str]:
    loader = importlib.machinery.SourceFileLoader("check_seams", str(CHECK))
    spec = importlib.util.spec_from_loader("check_seams", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    found: list[str] = module.findings(path, source)
    return found


@pytest.mark.parametrize(
    "line",
    [
        "import time", "import random", "from secrets import randbits", "import threading", "import socket",
        "from os import urandom", "x = os.urandom(8)", "with open('x') as file: pass", "os.open('x', 0)",
        "await trio.to_thread.run_sync(f)", "now = datetime.datetime.now()", "x = {id(y): 1}", "seed = hash(name)",
        "with trio.open_signal_receiver(2): pass", "await trio.lowlevel.wait_readable(sock)",
    ],
)  # fmt: skip
def test_what_goes_past_the_seams_is_found(line: str) -> None:
    source = f"async def f():\n    {line}\n"
    assert findings("orderd/gateway.py", source) == [findings("orderd/gateway.py", source)[0]]
    assert findings("orderd/gateway.py", "async def f():\n    pass\n") == []


def test_both_packages_keep_to_the_seams() -> None:
    done = subprocess.run([sys.executable, str(CHECK)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
