"""orderd and the engine as real processes in a directory of a test's own: started, stopped, killed, started again.

The engine's sockets are bound here and inherited, so that their ports outlive it; what arrives in between waits in the
kernel. Everything that is waited for has a deadline, and what the processes wrote is told when it is missed.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orderd.runtime.addresses import Address
from orderd.runtime.stream_sockets import address_of, bound_stream
from tests.support.resp_client import RespClient
from tests.support.warm_start import Forked, warm_start

ROOT: Final = Path(__file__).resolve().parents[2]
START_S: Final = 30.0
STOP_S: Final = 30.0
POLL_S: Final = 0.005
LOG_CHARACTERS_SHOWN: Final = 6000
STEADY: Final[Mapping[str, object]] = {
    "udp.timeout_initial_ms": 5000,
    "udp.timeout_min_ms": 5000,
    "udp.retransmits_max": 20,
}
"""Settings of orderd under which a machine that is busy with other things does not look like a broken road."""
LATE_S: Final = 10.0
"""How much later than promised something may be seen on such a machine."""
INSTRUMENTS: Final = (("AAPL", 1, "0.01"), ("MSFT", 2, "0.01"), ("ES", 3, "0.25"))


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = START_S) -> Any:
    """The first value of ``condition`` that is true. Fails after ``timeout_s``."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(POLL_S)
    return value


class Process:
    """A program of this project that can be started again and again; all starts write one log."""

    def __init__(
        self,
        name: str,
        directory: Path,
        arguments: Sequence[str],
        environ: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """``prefix``: a program, and its words, that becomes this one in the end."""
        self.name = name
        self.prefix = list(prefix)
        self.arguments = list(arguments)
        self.log_path = directory / f"{name}.log"
        self._environ = child_environ(environ)
        self._is_plain = not environ and not prefix
        self._popen: subprocess.Popen[bytes] | Forked | None = None
        self._log_start = 0

    @property
    def popen(self) -> "subprocess.Popen[bytes] | Forked":
        """The process of the last start."""
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen

    @property
    def running(self) -> bool:
        """Whether it is there."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def log(self) -> str:
        """What it wrote since its last start."""
        if not self.log_path.exists():
            return ""
        return self.log_path.read_bytes()[self._log_start :].decode("utf-8", "replace")

    def launch(self, *more: str, pass_fds: Sequence[int] = ()) -> None:
        """Start it, and do not wait for anything."""
        assert not self.running, f"{self.name} runs"
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        warm = warm_start() if self._is_plain else None
        with self.log_path.open("ab") as log:
            if warm is not None:
                words = [*self.arguments, *more]
                self._popen = warm.start(words, log.fileno(), pass_fds, self.log_path.parent, self._environ)
                if self._popen is not None:
                    return
            self._popen = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", *self.arguments, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=pass_fds,
                cwd=self.log_path.parent,
                env=self._environ,
            )

    def wait_for_log(self, text: str, timeout_s: float = START_S) -> None:
        """Until it has written ``text`` since its last start; fails at once if it ends without."""

        def written() -> bool:
            ended = not self.running
            assert text in self.log or not ended, f"{self.name} ended with {self.popen.returncode}:\n{self.log}"
            return text in self.log

        try:
            wait_until(written, f"{self.name} writes {text!r}", timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-LOG_CHARACTERS_SHOWN:]}") from None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.popen.kill()
        self.popen.wait(STOP_S)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.popen.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Until it ends; the exit code."""
        try:
            return self.popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.log[-LOG_CHARACTERS_SHOWN:]}") from None

    def clean_up(self) -> None:
        """Whatever the test left behind."""
        if self.running:
            self.kill()


class Site:
    """An engine and an orderd with a socket, journals and settings of their own below ``directory``.

    ``orderd`` and ``engine`` are settings by dotted key, in place of the defaults.
    """

    def __init__(
        self,
        directory: Path,
        *,
        orderd: Mapping[str, object] | None = None,
        engine: Mapping[str, object] | None = None,
        engine_port: int | None = None,
    ) -> None:
        """``engine_port`` is where orderd looks for the engine, if not at its own port."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.socket_path = directory / "s"
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.grpc = bound_stream(Address("127.0.0.1", 0))
        self.orderd_settings: dict[str, object] = {
            "listen.socket": str(self.socket_path),
            "journal.directory": str(directory / "oj"),
            "engine.udp": f"127.0.0.1:{engine_port or self.engine_port}",
            "engine.grpc": str(self.grpc_address),
            **(orderd or {}),
        }
        self.engine_settings: dict[str, object] = {
            "journal.directory": str(directory / "ej"),
            "listen.udp": "127.0.0.1:0",
            "listen.grpc": "127.0.0.1:0",
            **(engine or {}),
        }
        self.instruments_path = directory / "instruments.toml"
        self.instruments_path.write_text(instruments_text())
        self.orderd = Process("orderd", directory, ["orderd"])
        self.engine = Process("engine", directory, ["engine"])

    @property
    def engine_port(self) -> int:
        """Where the engine listens."""
        port: int = self.udp.getsockname()[1]
        return port

    @property
    def grpc_address(self) -> Address:
        """Where the engine listens for gRPC."""
        return address_of(self.grpc)

    def start(self) -> "Site":
        """Both, ready, and connected."""
        self.start_engine(wait=False)
        self.start_orderd()
        self.engine.wait_for_log("ready")
        self.wait_connected()
        return self

    def start_engine(self, *, wait: bool = True) -> None:
        """The engine, ready."""
        fds = (self.udp.fileno(), self.grpc.fileno())
        inherited = ("--udp-fd", str(fds[0]), "--grpc-fd", str(fds[1]))
        self.engine.launch(*self._words("run", self.engine_settings), *inherited, pass_fds=fds)
        if wait:
            self.engine.wait_for_log("ready")

    def launch_orderd(self) -> None:
        """orderd, whether it gets ready or not."""
        self.orderd.launch(*self._words("run", self.orderd_settings))

    def start_orderd(self) -> None:
        """orderd, ready: it answers PING."""
        self.launch_orderd()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Until orderd answers PING."""

        def answers() -> bool:
            assert self.orderd.running, f"orderd ended with {self.orderd.popen.returncode}:\n{self.orderd.log}"
            with contextlib.suppress(OSError, EOFError), self.client() as client:
                return bool(client.call("PING") == "PONG")
            return False

        wait_until(answers, "orderd answers PING")

    def wait_connected(self) -> None:
        """Until orderd says that the engine answers."""
        with self.client() as client:
            wait_until(lambda: client.info()["transport_state"] == "UDP_ENABLED", "the engine answers orderd")

    def wait_confirmed(self, timeout_s: float = 60.0) -> None:
        """Until nothing is queued or unconfirmed."""
        with self.client() as client:

            def settled() -> bool:
                info = client.info()
                return info["orders_queued"] == "0" and info["orders_unconfirmed"] == "0"

            wait_until(settled, "all orders are confirmed", timeout_s)

    def client(self, protocol: int = 3) -> RespClient:
        """A new connection to orderd."""
        return RespClient(self.socket_path, protocol=protocol)

    def orderd_words(self, command: str = "run", **more: object) -> list[str]:
        """The command line of another orderd with these settings; ``more``: keys with __ in place of the dot."""
        changed = {key.replace("__", "."): value for key, value in more.items()}
        return self._words(command, {**self.orderd_settings, **changed})

    def engine_words(self, command: str = "run", **more: object) -> list[str]:
        """As :meth:`orderd_words`."""
        changed = {key.replace("__", "."): value for key, value in more.items()}
        return self._words(command, {**self.engine_settings, **changed})

    def close(self) -> None:
        """End everything. What the processes wrote is printed, for pytest to show with a failure."""
        self.orderd.clean_up()
        self.engine.clean_up()
        self.udp.close()
        self.grpc.close()
        defects = []
        for process in (self.orderd, self.engine):
            text = process.log_path.read_text("utf-8", "replace") if process.log_path.exists() else ""
            print(f"--- {process.name}\n{text[-LOG_CHARACTERS_SHOWN:]}")
            if "Traceback" in text:
                defects.append(process.name)
        assert not defects, f"a traceback is a defect: {defects}"

    def _words(self, command: str, settings: Mapping[str, object]) -> list[str]:
        overrides = [
            f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()
        ]
        return [command, "--config", str(self.instruments_path), *(w for text in overrides for w in ("--set", text))]


def child_environ(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's with ``environ`` on top, for a Python that finds the project, and compiles it once for all."""
    found = {**os.environ, **(environ or {}), "PYTHONPATH": str(ROOT)}
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def instruments_text() -> str:
    """The instrument tables that both daemons' files have."""
    return "".join(
        f'[[instrument]]\nsymbol = "{symbol}"\nid = {id_}\ntick = "{tick}"\nlot = "1"\n'
        for symbol, id_, tick in INSTRUMENTS
    )


def run_to_end(
    *words: str, directory: Path, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """``python -m words``, which is to end by itself."""
    return _run(["-m", *words], directory, environ)


def orderctl(*words: str, directory: Path) -> "subprocess.CompletedProcess[str]":
    """The command ``orderctl``."""
    return _run(["-c", "from orderd.ctl.cli import main; main()", *words], directory, None)


def _run(
    words: Sequence[str], directory: Path, environ: Mapping[str, str] | None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=START_S + STOP_S,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=directory,
        env=child_environ(environ),
    )


@contextlib.contextmanager
def running_site(directory: Path, **settings: Any) -> Iterator[Site]:
    """A :class:`Site` that is started, and closed at the end."""
    site = Site(directory, **settings)
    try:
        yield site.start()
    finally:
        site.close()
