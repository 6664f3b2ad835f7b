"""``orderctl demo``: a daemon with an engine of its own and a few client programs, in a private directory, for a while.

Everything is made for this run and gone after it: directory, settings, socket, journal, processes. Runs do not share
anything, so any number may go on at once.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.live import Live

from orderd.ctl import output
from orderd.ctl.connection import Connection
from orderd.ctl.demo import view as demo_view
from orderd.ctl.demo.process import ClientProcess
from orderd.ctl.demo.view import ClientState, State
from orderd.ctl.errors import EXIT_REFUSED, CtlError, Unreachable
from orderd.ctl.options import Options, with_json

START_WAIT_S: Final = 20.0
CLIENT_STOP_WAIT_S: Final = 15.0
DRAIN_WAIT_S: Final = 10.0
DAEMON_STOP_WAIT_S: Final = 15.0
REFRESH_S: Final = 0.5
LINE_EVERY_S: Final = 2.0
LOG_LINES_SHOWN: Final = 5

INSTRUMENTS: Final = (("AAPL", "0.01"), ("MSFT", "0.01"), ("ES", "0.25"))
MODES: Final = ("sync", "batch", "fire-and-forget")
ROLES: Final = ("maker", "taker", "batch")
DAEMON: Final = (sys.executable, "-P", "-m", "orderd", "run")


def settings(directory: Path) -> str:
    """The daemon's settings file. The engine gets ports and a key of its own, being embedded."""
    # JSON strings are TOML strings.
    lines = [
        "[listen]",
        f"socket = {json.dumps(str(directory / 'orderd.sock'))}",
        'socket_mode = "0600"',
        "[journal]",
        f"directory = {json.dumps(str(directory / 'journal'))}",
        "[engine]",
        "embedded = true",
    ]
    for number, (symbol, tick) in enumerate(INSTRUMENTS, 1):
        lines += ["[[instrument]]", f'symbol = "{symbol}"', f"id = {number}", f'tick = "{tick}"', 'lot = "1"']
    return "\n".join(lines) + "\n"


def planned_clients(count: int) -> list[ClientState]:
    """Roles in turn, an instrument for each round of roles, and modes shifted so that all combinations come up."""
    clients = []
    for i in range(count):
        role = ROLES[i % len(ROLES)]
        turn = i // len(ROLES)
        symbol = INSTRUMENTS[turn % len(INSTRUMENTS)][0]
        clients.append(ClientState(f"{role}-{i + 1}", role, symbol, MODES[(i + turn) % len(MODES)]))
    return clients


class Demo:
    """One run. ``daemon`` is the command line that starts the daemon, without its settings file."""

    def __init__(self, directory: Path, *, clients: int, daemon: Sequence[str] = DAEMON) -> None:
        self.state = State(clients=planned_clients(clients))
        self.problems: list[str] = []
        self._symbols = sorted({client.symbol for client in self.state.clients})
        self._directory = directory
        self._socket = directory / "orderd.sock"
        self.state.socket = str(self._socket)
        self._log = directory / "orderd.log"
        self._command = daemon
        self._daemon: subprocess.Popen[bytes] | None = None
        self._clients: list[ClientProcess] = []
        self._control: Connection | None = None
        self._started = time.monotonic()

    def start(self) -> None:
        """Starts the daemon, waits until it answers, and starts the clients. Raises :class:`CtlError`."""
        config = self._directory / "orderd.toml"
        config.write_text(settings(self._directory))
        with self._log.open("wb") as log:
            self._daemon = subprocess.Popen(
                [*self._command, "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._control = self._connect()
        for seed, client in enumerate(self.state.clients, 1):
            self._clients.append(ClientProcess(client, self._socket, seed))
        for client_process in self._clients:
            client_process.ready.wait(START_WAIT_S)
        self._started = time.monotonic()

    def _connect(self) -> Connection:
        assert self._daemon is not None
        deadline = time.monotonic() + START_WAIT_S
        while True:
            try:
                connection = Connection(self._socket)
                connection.call("PING")
                return connection
            except Unreachable:
                if self._daemon.poll() is not None:
                    raise CtlError(
                        f"the daemon ended with code {self._daemon.returncode}: {self._log_tail()}"
                    ) from None
                if time.monotonic() >= deadline:
                    raise CtlError(f"the daemon does not answer: {self._log_tail()}") from None
            time.sleep(0.05)

    def _log_tail(self) -> str:
        return " / ".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def look(self) -> State:
        """Takes in how things are. Raises :class:`CtlError` if the daemon is gone or a client ended by itself."""
        assert self._control is not None
        for client in self._clients:
            if not client.running:
                raise CtlError(f"client {client.state.name} ended by itself")
        self.state.seconds = time.monotonic() - self._started
        self.state.info = output.info_values(self._control.call("INFO"))
        self.state.books = [self._control.call("BOOK", symbol, "DEPTH", 1) for symbol in self._symbols]
        return self.state

    def stop(self) -> None:
        """Stops the clients, waits until every order is confirmed, stops the daemon; notes what went wrong."""
        for client in self._clients:
            client.terminate()
        deadline = time.monotonic() + CLIENT_STOP_WAIT_S
        for client in self._clients:
            if not client.join(max(0.1, deadline - time.monotonic())):
                self.problems.append(f"client {client.state.name} did not end as it should")
        if self._control is not None:
            try:
                self._drain(self._control)
            except CtlError as error:
                self.problems.append(str(error))
            self._control.close()
        self._stop_daemon()
        lost = self.state.total("acknowledged") - self.state.total("confirmed")
        if lost:
            self.problems.append(f"{lost} acknowledged orders were not confirmed")

    def _drain(self, control: Connection) -> None:
        deadline = time.monotonic() + DRAIN_WAIT_S
        waiting = ("orders_queued", "orders_unconfirmed")
        while True:
            self.state.info = output.info_values(control.call("INFO"))
            if all(self.state.info.get(name) == "0" for name in waiting):
                return
            if time.monotonic() >= deadline:
                left = ", ".join(f"{name} {self.state.info.get(name, 'missing')}" for name in waiting)
                self.problems.append(f"not everything is confirmed after {DRAIN_WAIT_S:g} s: {left}")
                return
            time.sleep(0.02)

    def _stop_daemon(self) -> None:
        daemon = self._daemon
        if daemon is None:
            return
        daemon.terminate()
        try:
            daemon.wait(DAEMON_STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        if daemon.returncode != 0:
            self.problems.append(f"the daemon ended with code {daemon.returncode}: {self._log_tail()}")

    def kill(self) -> None:
        """Ends all processes at once."""
        for client in self._clients:
            client.kill()
        if self._daemon is not None:
            self._daemon.kill()

    def summary(self) -> dict[str, Any]:
        """The account of the run, for programs."""
        state = self.state
        names = ("sent", "acknowledged", "confirmed", "rejected", "unknown", "errors", "trades")
        totals: dict[str, Any] = {name: state.total(name) for name in names}
        rate = round(totals["sent"] / state.seconds) if state.seconds else 0
        clients = [
            {"name": c.name, "role": c.role, "symbol": c.symbol, "mode": c.mode}
            | {name: c.count(name) for name in names}
            | {"latency_us": c.account.get("latency_us", {})}
            for c in state.clients
        ]
        daemon = {"info": dict(state.info), "clients": clients, "problems": self.problems}
        return {
            **totals,
            "seconds": round(state.seconds, 3),
            "orders_per_second": rate,
            **daemon,
            "ok": not self.problems,
        }


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: orderly."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(demo: Demo, *, duration_s: float | None, quiet: bool) -> None:
    """Starts the demo, shows it until the time is over or somebody interrupts, and stops it."""
    console = output.console()
    live = not quiet and console.is_terminal
    shown_s = 0.0
    try:
        demo.start()
        if not live and not quiet:
            click.echo(f"socket: {demo.state.socket}")
        with Live(console=console, refresh_per_second=4, transient=True) if live else contextlib.nullcontext() as view:
            while duration_s is None or demo.state.seconds < duration_s:
                time.sleep(
                    REFRESH_S if duration_s is None else min(REFRESH_S, max(0.0, duration_s - demo.state.seconds))
                )
                state = demo.look()
                if view is not None:
                    view.update(demo_view.view(state, console.width))
                elif not quiet and state.seconds - shown_s >= LINE_EVERY_S:
                    shown_s = state.seconds
                    click.echo(demo_view.line(state))
    except KeyboardInterrupt:
        pass
    except CtlError as error:
        demo.problems.append(str(error))
    finally:
        try:
            demo.stop()
        except KeyboardInterrupt:
            demo.kill()
            raise


@click.command()
@click.option("--duration", type=click.FloatRange(min=0.1), metavar="S", help="Seconds. Default: until Ctrl-C.")
@click.option("--clients", type=click.IntRange(1, 100), default=6, show_default=True, help="Client programs.")
@with_json
@click.pass_obj
def demo(options: Options, /, duration: float | None, clients: int) -> None:
    """Start a daemon, an engine and a few client programs that trade, and watch. Leaves nothing behind.

    Ends with exit code 0 only if every acknowledged order was confirmed and everything stopped as it should.
    """
    # Paths of Unix sockets are short; a long TMPDIR would not do.
    base = None if len(os.fsencode(tempfile.gettempdir())) < 60 else "/tmp"
    with _terminated_as_interrupted(), tempfile.TemporaryDirectory(prefix="orderd-demo-", dir=base) as directory:
        show = Demo(Path(directory), clients=clients)
        run(show, duration_s=duration, quiet=options.json)
    if options.json:
        output.print_json(show.summary())
    else:
        _print_summary(show)
    if show.problems:
        sys.exit(EXIT_REFUSED)


def _print_summary(show: Demo) -> None:
    summary = show.summary()
    console = output.console()
    console.print(demo_view.clients_table(show.state, console.width))
    names = (
        "sent",
        "acknowledged",
        "confirmed",
        "rejected",
        "unknown",
        "errors",
        "trades",
        "seconds",
        "orders_per_second",
    )
    console.print(output.pairs_table({name: summary[name] for name in names}))
    for problem in show.problems:
        click.echo(f"orderctl: {problem}", err=True)
