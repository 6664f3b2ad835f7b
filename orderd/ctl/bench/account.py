"""What became of the orders of ``orderctl bench``: counts and latencies, of each second and of the whole run. Pure.

Cancels count as orders. An order is *sent* when its command was handed to the socket's buffer; *acknowledged* when the
daemon answered with QUEUED or an outcome; *refused* when it answered with an error, after which nothing was taken.
Latency is that of all answers but errors, so that quick refusals do not improve it.
"""

from collections import Counter
from enum import Enum
from typing import Any

import attrs

from orderd.ctl.bench.histogram import Histogram
from orderd.ctl.errors import ReplyError


class Answer(Enum):
    """What an answer says about the command's orders."""

    TAKEN = "taken"
    """They are on their way, or done."""
    REFUSED = "refused"
    """Nothing was taken; sent again they may be."""
    GONE = "gone"
    """Cancelled is what is not there any more."""


@attrs.define(eq=False)
class Tally:
    """What happened in some span of time."""

    seconds: float = 0.0
    sent: int = 0
    queued: int = 0
    """Answered with QUEUED: durable, outcome not told."""
    outcomes: int = 0
    """Answered with what the engine said, rejections included."""
    rejected: int = 0
    unknown: int = 0
    """Not known in time; they live on."""
    errors: Counter[str] = attrs.Factory(Counter)
    """Orders refused, by the first word of the error."""
    last_error: str = ""
    paths: Counter[str] = attrs.Factory(Counter)
    """New orders by the path that their replies name."""
    latency: Histogram = attrs.Factory(Histogram)
    """Nanoseconds from the time an order was due to its answer."""
    late: Histogram = attrs.Factory(Histogram)
    """Nanoseconds from the time an order was due to its send."""

    @property
    def acknowledged(self) -> int:
        """Answered with QUEUED or an outcome: from here on the daemon must not lose them."""
        return self.queued + self.outcomes

    @property
    def answered(self) -> int:
        """Answered in any way."""
        return self.acknowledged + self.unknown + self.errors.total()

    def merge(self, other: "Tally") -> None:
        """Takes in the tally of another span."""
        for name in ("seconds", "sent", "queued", "outcomes", "rejected", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        self.last_error = other.last_error or self.last_error
        self.paths.update(other.paths)
        self.latency.merge(other.latency)
        self.late.merge(other.late)


class Account:
    """The run's tally, and that of the current second."""

    def __init__(self) -> None:
        self.total = Tally()
        """All up to the last :meth:`cut`."""
        self.current = Tally()
        self.answered = 0
        """Commands answered so far."""

    def send(self, orders: int, late_ns: int) -> None:
        """A command with so many orders went off, so long after it was due."""
        self.current.sent += orders
        self.current.late.add(late_ns, orders)

    def answer(self, reply: Any, orders: int, latency_ns: int, *, is_new: bool) -> Answer:
        """The answer to such a command, so long after it was due. ``is_new``: it is one order's, and not a cancel."""
        tally = self.current
        self.answered += 1
        if isinstance(reply, ReplyError):
            tally.errors[reply.word] += orders
            tally.last_error = str(reply)
            return Answer.GONE if reply.word == "NOTFOUND" else Answer.REFUSED
        tally.latency.add(latency_ns, orders)
        status = reply["status"]
        if status == "QUEUED":
            tally.queued += orders
        elif status == "UNKNOWN":
            tally.unknown += orders
        else:
            tally.outcomes += orders
            if is_new:
                tally.paths[reply["path"]] += 1
                tally.rejected += status == "REJECTED"
            elif "rejected" in reply:
                tally.rejected += int(reply["rejected"])
        return Answer.TAKEN

    def cut(self, seconds: float) -> Tally:
        """Ends the current second, which took ``seconds``, and returns it."""
        tally, self.current = self.current, Tally()
        tally.seconds = seconds
        self.total.merge(tally)
        return tally
