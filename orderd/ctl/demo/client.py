"""A client program of ``orderctl demo``: one process, one role, one connection for orders and one for questions.

Run as ``python -m orderd.ctl.demo.client``. It prints its account as one JSON object a line, twice a second. On SIGTERM
it stops sending, waits for the outcome of all that was acknowledged, and prints the last one with ``"final": true``.
"""

import json
import random
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

import attrs
import click

from orderd.ctl.connection import Connection, Stream
from orderd.ctl.demo.roles import ROLES, Command, Market, Role
from orderd.ctl.errors import CtlError, ReplyError
from orderd.ctl.latency import percentiles_us

WINDOW: Final = 256
REPORT_INTERVAL_S: Final = 0.5
LOOK_INTERVAL_S: Final = 0.2
OUTCOME_WAIT_MS: Final = 10_000
LATENCIES_KEPT: Final = 50_000


@attrs.define
class Account:
    """What became of a client's orders; cancels and replaces count as orders."""

    sent: int = 0
    acknowledged: int = 0
    """Answered with QUEUED or an outcome: from here on the daemon must not lose them."""
    confirmed: int = 0
    rejected: int = 0
    unknown: int = 0
    errors: int = 0
    trades: int = 0
    last_error: str = ""


class Client:
    """Sends what its role decides, at a bounded rate, and keeps the account."""

    def __init__(self, connection: Connection, control: Connection, role: Role, *, rate: float) -> None:
        self.account = Account()
        self._control = control
        self._role = role
        self._rate = rate
        self._stream = Stream[Command](connection, self._on_reply, window=WINDOW)
        self._latencies: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self._queued = 0
        self._last_queued = ""
        self._unresolved: list[Command] = []
        self._stop = False

    def stop(self, *_: object) -> None:
        """Asks :meth:`run` to end; safe in a signal handler."""
        self._stop = True

    def run(self) -> None:
        """Works until :meth:`stop`, then until every outcome is known or waiting makes no more sense."""
        self.report()
        started = looked = reported = time.monotonic()
        self._role.look(self._control.call("BOOK", self._role.market.symbol, "DEPTH", 1))
        while not self._stop:
            now = time.monotonic()
            if now - looked >= LOOK_INTERVAL_S:
                looked = now
                self._role.look(self._control.call("BOOK", self._role.market.symbol, "DEPTH", 1))
                self._confirm_queued(0)
            due = int((now - started) * self._rate) - self.account.sent
            while due > 0 and not self._stop:
                command = self._role.next_command()
                self.account.sent += command.orders
                due -= command.orders
                self._stream.send(command, command.words)
            if due < -self._rate or due > self._rate:
                # After a stall it goes on at its rate rather than to make up for what was missed.
                started = now - self.account.sent / self._rate
            self._stream.poll(0.005)
            if now - reported >= REPORT_INTERVAL_S:
                reported = now
                self.report()
        self._stream.drain()
        self._resolve()

    def report(self, *, final: bool = False) -> None:
        """Prints the account."""
        latency = percentiles_us(self._latencies)
        line = {**attrs.asdict(self.account), "latency_us": latency, "final": final}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    def _on_reply(self, command: Command, reply: Any, latency_ns: int) -> None:
        account = self.account
        self._latencies.append(latency_ns)
        if isinstance(reply, ReplyError):
            # NOTFOUND and such are answers too; but an order that was refused was not acknowledged.
            account.errors += command.orders
            account.last_error = str(reply)
            self._role.on_reply(command, None)
            return
        account.acknowledged += command.orders
        status = reply["status"]
        if status == "QUEUED":
            self._queued += command.orders
            self._last_queued = command.last_id
        elif status == "UNKNOWN":
            account.unknown += command.orders
            self._unresolved.append(command)
        else:
            self._confirm(command, reply)
        self._role.on_reply(command, reply)

    def _confirm(self, command: Command, reply: dict[str, Any]) -> None:
        account = self.account
        account.confirmed += command.orders
        if "accepted" in reply:
            account.rejected += int(reply["rejected"])
            account.trades += int(reply["trades"])
        else:
            account.rejected += reply["status"] == "REJECTED"
            account.trades += command.takes and reply["cum_qty"] != "0"

    def _confirm_queued(self, wait_ms: int) -> None:
        """Outcomes come in order, so the last order's being known tells for all those before it."""
        if self._queued and self._is_known(self._last_queued, wait_ms):
            self.account.confirmed += self._queued
            self._queued = 0

    def _resolve(self) -> None:
        """Waits for what was left open."""
        self._confirm_queued(OUTCOME_WAIT_MS)
        for command in self._unresolved:
            if self._is_known(command.last_id, OUTCOME_WAIT_MS):
                self.account.unknown -= command.orders
                self.account.confirmed += command.orders

    def _is_known(self, cl_ord_id: str, wait_ms: int) -> bool:
        if wait_ms:
            order = self._control.call("ORDER.WAIT", cl_ord_id, wait_ms, wait_s=wait_ms / 1000)
        else:
            order = self._control.call("ORDER.STATUS", cl_ord_id)
        return order["status"] not in ("QUEUED", "UNKNOWN")


@click.command()
@click.option("--socket", type=click.Path(path_type=Path), required=True)
@click.option("--name", required=True)
@click.option("--role", "role_name", type=click.Choice(sorted(ROLES)), required=True)
@click.option("--symbol", required=True)
@click.option("--mode", required=True)
@click.option("--rate", type=float, required=True, help="Orders a second.")
@click.option("--seed", type=int, required=True)
def main(socket: Path, name: str, role_name: str, symbol: str, mode: str, rate: float, seed: int) -> None:
    """One client program of orderctl demo."""
    try:
        with Connection(socket) as connection, Connection(socket) as control:
            market = Market.ask(control, symbol)
            role = ROLES[role_name](name, market, mode, random.Random(seed))
            client = Client(connection, control, role, rate=rate)
            signal.signal(signal.SIGTERM, client.stop)
            client.run()
            client.report(final=True)
    except BrokenPipeError:
        # The demo is gone; so is the need for this program. Nothing must be flushed to the closed pipe at exit.
        sys.stdout = None
        sys.exit(1)
    except CtlError as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
