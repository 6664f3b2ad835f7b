"""Clients under which daemons may be killed: they go on, connect again, and send again what was not answered.

A :class:`Trader` speaks RESP and pipelines; a :class:`LibraryTrader` is a program that uses orderd.client; a
:class:`Prober` places one order at a time and notes how long each took. All keep account of what they sent and heard.
"""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from orderd.client import Client, ClientError, Refused, requests
from orderd.client.replies import BatchOutcome, Order
from tests.chaos.commands import DONE, NEW, Command
from tests.chaos.flow import Flow
from tests.support.resp_client import RespClient, RespError, pack

RECONNECT_PAUSE_S: Final = 0.02
SILENCE_S: Final = 20.0
"""After which a client takes its connection for dead, as a careful program does: beyond any reply_timeout_ms here."""
PROBE_PAUSE_S: Final = 0.01
WINDOW: Final = 24
STILL_COMING_S: Final = 60.0


class Trader(threading.Thread):
    """One client. Look at :attr:`commands` after :meth:`finish` only."""

    def __init__(
        self, path: Path, flow: Flow, *, rate_per_s: float = 150.0, window: int = WINDOW, refusals: Sequence[str] = ()
    ) -> None:
        """``refusals``: first words of errors that it puts up with."""
        super().__init__(daemon=True)
        self.commands: list[Command] = []
        """All that were sent, in that order."""
        self.problems: list[str] = []
        self.connections = 0
        self.answered = 0
        self.refused = 0
        self._path = path
        self._flow = flow
        self._rate_per_s = rate_per_s
        self._window = window
        self._refusals = {*refusals, "NOTFOUND"}
        self._client: RespClient | None = None
        self._stopping = threading.Event()
        self._give_up_at = float("inf")

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                commands = self._next()
                self.commands += commands
                self._deliver(commands)
                self._stopping.wait(max(0.0, started + len(commands) / self._rate_per_s - time.monotonic()))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told by the check
            self.problems.append(f"{self.name}: {error!r}")
        finally:
            self._hang_up()

    def stop(self) -> None:
        """Send nothing new; what was sent is answered first."""
        self._give_up_at = time.monotonic() + STILL_COMING_S
        self._stopping.set()

    def finish(self) -> None:
        """As :meth:`stop`, and wait for the end."""
        self.stop()
        self.join(STILL_COMING_S + SILENCE_S)
        if self.is_alive():
            self.problems.append(f"{self.name} does not come to an end")

    def _next(self) -> list[Command]:
        return [self._flow.next() for _ in range(self._window)]

    def _deliver(self, commands: list[Command]) -> None:
        while commands:
            if time.monotonic() > self._give_up_at:
                raise TimeoutError(f"{len(commands)} commands are not answered: {commands[0].words}")
            replies: list[Any] = []
            try:
                if self._client is None:
                    self._client = self._connect()
                data = b"".join(pack(*command.words) for command in commands)
                self._client.exchange_into(replies, data, len(commands))
            except (EOFError, OSError):
                self._hang_up()
                time.sleep(RECONNECT_PAUSE_S)
            for command, reply in zip(commands, replies, strict=False):
                self._note(command, reply)
            commands = commands[len(replies) :]

    def _note(self, command: Command, reply: Any) -> None:
        command.note(reply)
        if not isinstance(reply, RespError):
            self.answered += 1
            return
        self.refused += 1
        if reply.word not in self._refusals:
            self.problems.append(f"{command.words[:2]}: {reply.text}")

    def _connect(self) -> RespClient:
        client = RespClient(self._path, timeout_s=SILENCE_S)
        self.connections += 1
        return client

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.socket.close()
            self._client = None


class LibraryTrader(Trader):
    """The same through orderd.client, which connects and sends again by itself."""

    def __init__(self, path: Path, flow: Flow, **how: Any) -> None:
        super().__init__(path, flow, **how)
        self._library = Client(path, timeout_s=SILENCE_S, retry_s=5.0)

    def _deliver(self, commands: list[Command]) -> None:
        while commands:
            if time.monotonic() > self._give_up_at:
                raise TimeoutError(f"{len(commands)} commands are not answered: {commands[0].words}")
            outcomes = self._library.call_many(_request(command) for command in commands)
            unanswered = []
            for command, outcome in zip(commands, outcomes, strict=True):
                if isinstance(outcome, (Order, BatchOutcome)):
                    self._note(command, _pairs(outcome))
                elif isinstance(outcome, Refused):
                    self._note(command, RespError(str(outcome)))
                else:
                    unanswered.append(command)
            commands = unanswered
        self.connections = self._library.connections

    def _hang_up(self) -> None:
        self._library.close()


def _request(command: Command) -> "requests.Request[Any]":
    """The library's request for it, with all its words, so that what is sent again is the same."""
    read = BatchOutcome.from_pairs if command.is_batch else Order.from_pairs
    return requests.request(command.words, read, named=command.name)


def _pairs(outcome: "Order | BatchOutcome | ClientError") -> dict[str, str]:
    return {key: str(value) for key, value in attrs.asdict(outcome).items() if value is not None}  # type: ignore[arg-type]


@attrs.frozen
class Sample:
    """One order of a :class:`Prober`: when it was first sent, when it was answered, in monotonic seconds."""

    sent: float
    answered: float
    is_confirmed: bool


class Prober(Trader):
    """One sync order after the other; none changes the book."""

    def __init__(self, path: Path, flow: Flow, *, pause_s: float = PROBE_PAUSE_S, refusals: Sequence[str] = ()) -> None:
        super().__init__(path, flow, window=1, refusals=refusals)
        self.samples: list[Sample] = []
        self._rate_per_s = 1 / pause_s if pause_s else 1e9

    def _next(self) -> list[Command]:
        return [self._flow.probe()]

    def _deliver(self, commands: list[Command]) -> None:
        sent = time.monotonic()
        super()._deliver(commands)
        reply = commands[0].reply
        is_confirmed = not isinstance(reply, RespError) and reply is not None and reply["status"] in DONE
        self.samples.append(Sample(sent, time.monotonic(), is_confirmed))


def recovery_s(samples: Sequence[Sample], over_at: float, until: float) -> float | None:
    """From when nothing stood in the way until a new order was confirmed; None if that was not before ``until``."""
    for sample in samples:
        if sample.sent >= over_at and sample.is_confirmed:
            return sample.answered - over_at if sample.answered <= until else None
    return None


def resolve(client: RespClient, commands: Sequence[Command]) -> int:
    """Ask for all of which a client does not know what became; how many that were UNKNOWN are known now."""
    open_ones = [command for command in commands if command.reply is None or _is_unknown(command)]
    # A batch has no status of its own; it is there as a whole or not at all, so one of its orders tells.
    names = [names_of([command])[0] if command.is_batch else command.name for command in open_ones]
    replies = client.pipeline([("ORDER.STATUS", name) for name in names])
    never_taken = 0
    for command, reply in zip(open_ones, replies, strict=True):
        if not isinstance(reply, RespError):
            command.note({"status": "DONE"} if command.is_batch else reply)
        elif command.told_unknown and reply.word == "NOTFOUND":
            never_taken += 1
    return never_taken + sum(command.told_unknown and not _is_unknown(command) for command in commands)


def _is_unknown(command: Command) -> bool:
    return (
        not isinstance(command.reply, RespError) and command.reply is not None and command.reply["status"] == "UNKNOWN"
    )


def names_of(commands: Sequence[Command]) -> list[str]:
    """The ``cl_ord_id`` of each order that was placed by them."""
    names: list[str] = []
    for command in commands:
        if command.is_batch:
            names += [str(fields[0]) for fields in command.records if fields[5] == NEW]
        elif command.places:
            names.append(command.name)
    return names
