"""A site to measure: orderd and its engine as real processes in a directory of their own, and Redis beside them."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from orderd.ctl.connection import Connection
from orderd.ctl.errors import CtlError

START_S: Final = 20.0


@contextlib.contextmanager
def orderd_site(*settings: str) -> Iterator[Path]:
    """The socket of a running orderd with an embedded engine and the default settings, but for ``settings``."""
    with _directory() as directory:
        socket = directory / "orderd.sock"
        overrides = [
            f"listen.socket={socket}",
            f"journal.directory={directory / 'journal'}",
            "engine.embedded=true",
            "log.level=warning",
            *settings,
        ]
        command = [sys.executable, "-m", "orderd", "run", "--config", str(_config(directory))]
        for override in overrides:
            command += ["--set", override]
        with _process(command):
            _wait_for(socket, "INFO", "transport")
            yield socket


@contextlib.contextmanager
def redis_site() -> Iterator[Path]:
    """The socket of a redis-server that syncs each write before it answers, as orderd does."""
    with _directory() as directory:
        socket = directory / "redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--dir", str(directory)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning"]
        with _process(command):
            _wait_for(socket, "PING")
            yield socket


def _config(directory: Path) -> Path:
    path = directory / "orderd.toml"
    path.write_text('[[instrument]]\nsymbol = "AAPL"\nid = 1\ntick = "0.01"\nlot = "1"\n', encoding="ascii")
    return path


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="orderd-bench-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_S)


def _wait_for(socket: Path, *words: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            connection = Connection(socket)
            with contextlib.closing(connection):
                reply = connection.call(*words)
            if words[0] != "INFO" or "UDP_ENABLED" in reply:
                return
        except CtlError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)
