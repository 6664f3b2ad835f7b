"""The end of ``orderctl bench``: cancels what it left open, and by that finds out that all it sent is confirmed.

Outcomes come in the order of the journal, and these cancels are sent when all else was answered. So once one of them
has found its order, everything that was acknowledged before is confirmed.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from orderd.ctl import output
from orderd.ctl.bench.orders import Source, Words
from orderd.ctl.connection import Connection, Stream
from orderd.ctl.errors import ReplyError

WINDOW: Final = 500
PAUSE_S: Final = 0.1
PASSING: Final = frozenset({"FULL", "THROTTLED", "LIMIT", "UNAVAILABLE"})
"""First words of errors after which the same command may do."""


@attrs.define
class Closing:
    """How it came out."""

    cancelled: int = 0
    left_open: int = 0
    """Orders whose cancel has no known outcome, or was refused."""
    confirmed: bool = False
    """Whether all that was acknowledged before is confirmed."""
    last_error: str = ""
    info: dict[str, str] = attrs.Factory(dict)
    """INFO's values at the end."""


def close(
    connection: Connection, sources: Sequence[Source], timeout_s: float, on_wait: Callable[[int], object]
) -> Closing:
    """Cancels, again where an outcome is not known, for so long. Raises ``Unreachable`` when the daemon is gone.

    ``on_wait`` is called once, with the number of cancels, if the first try was not enough.
    """
    closing = Closing(left_open=sum(len(source.mix.live) for source in sources))
    todo = [(words, count) for source in sources for words, count in source.closing()]
    deadline = time.monotonic() + timeout_s
    tries = 0
    while todo:
        todo = _cancel(connection, todo, closing)
        if todo and time.monotonic() >= deadline:
            return closing
        if todo:
            tries += 1
            if tries == 1:
                on_wait(len(todo))
            time.sleep(PAUSE_S)
    if not closing.confirmed:
        closing.confirmed = _wait_for_newest(connection, sources, max(0.1, deadline - time.monotonic()))
    # Who may not ask for it may still send orders.
    with contextlib.suppress(ReplyError):
        closing.info = output.info_values(connection.call("INFO"))
    return closing


def _cancel(connection: Connection, todo: list[tuple[Words, int]], closing: Closing) -> list[tuple[Words, int]]:
    """Sends the commands once; returns those to send again."""
    again = []

    def note(command: tuple[Words, int], reply: Any, _: int) -> None:
        if isinstance(reply, ReplyError):
            closing.last_error = str(reply)
            if reply.word in PASSING:
                again.append(command)
            elif reply.word == "NOTFOUND":
                # What is open is never forgotten, so it is not.
                closing.left_open -= command[1]
        elif reply["status"] in ("UNKNOWN", "QUEUED"):
            again.append(command)
        else:
            # Where the order is done already the answer says nothing about those after it.
            closing.confirmed = closing.confirmed or reply["status"] in ("CANCELED", "DONE")
            closing.cancelled += command[1]
            closing.left_open -= command[1]

    stream = Stream[tuple[Words, int]](connection, note, window=WINDOW)
    for command in todo:
        stream.send(command, command[0])
    stream.drain()
    return again


def _wait_for_newest(connection: Connection, sources: Sequence[Source], wait_s: float) -> bool:
    """Whether the last order that each client placed is confirmed within the time."""
    newest = [id_ for source in sources if (id_ := source.newest())]
    for id_ in newest:
        try:
            order = connection.call("ORDER.WAIT", id_, int(wait_s * 1000), wait_s=wait_s)
        except ReplyError as error:
            if error.word != "NOTFOUND":
                return False
            # It was refused.
            continue
        if order["status"] in ("QUEUED", "UNKNOWN"):
            return False
    return bool(newest)
