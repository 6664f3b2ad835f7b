"""The orders that ``orderctl bench`` sends: new ones that rest far from the market, and cancels of them. Pure.

New orders buy one lot at the lowest prices there are, so that they never trade and the book stays as small as the share
of cancels allows. A cancel goes to the oldest order that was acknowledged; one order of each client is kept to the end,
so that there is something whose cancel, being journaled after all else, tells by its outcome that all else is known.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

import hiredis

from orderd.ctl.bench.account import Answer
from orderd.wire.records import RECORD, Kind, Side, TimeInForce, new_flags

LEVELS: Final = 8
"""Price levels, from one tick up."""
CLOSING_BATCH: Final = 1000
Words: TypeAlias = tuple[str | bytes, ...]

_FLAGS: Final = new_flags(Side.BUY, market=False, time_in_force=TimeInForce.DAY)


class Sent(NamedTuple):
    """The orders of a command, by number: those that it places and those that it cancels."""

    new: Sequence[int]
    cancels: Sequence[int]


class Mix:
    """Which orders may be cancelled, and whether it is time to. ``cancel_share``: of all orders, 0 to 0.5."""

    def __init__(self, cancel_share: float) -> None:
        self._share = cancel_share
        self._credit = 0.0
        self._live: deque[int] = deque()

    def next_cancel(self) -> int | None:
        """The order to cancel next; None: it is time for a new one. Call it once for each order."""
        self._credit += self._share
        if self._credit >= 1 and len(self._live) > 1:
            self._credit -= 1
            return self._live.popleft()
        return None

    def note(self, sent: Sent, answer: Answer) -> None:
        """A command was answered."""
        if answer is Answer.TAKEN:
            self._live.extend(sent.new)
        elif answer is Answer.REFUSED:
            self._live.extendleft(sent.cancels)

    @property
    def live(self) -> tuple[int, ...]:
        """Orders that were acknowledged and not cancelled, oldest first."""
        return tuple(self._live)


class Source(Protocol):
    """Where a client's commands come from."""

    mix: Mix
    orders: int
    """In each command."""

    def next_command(self) -> tuple[bytes, Sent]:
        """The next command, encoded."""

    def closing(self) -> Iterator[tuple[Words, int]]:
        """Commands that cancel what is left, and how many orders each cancels.

        Each can be sent again safely, and answers when its outcome is known.
        """

    def newest(self) -> str:
        """The id of the last order placed, acknowledged or not; "" before the first."""


class TextOrders:
    """ORDER.NEW and ORDER.CANCEL, one order in a command. ``prefix`` makes the ids unique; mode "" is the daemon's."""

    orders = 1

    def __init__(self, prefix: str, symbol: str, prices: Sequence[str], quantity: str, mode: str, mix: Mix) -> None:
        self.mix = mix
        self._prefix = prefix
        self._next = 0
        options = ("MODE", mode) if mode else ()
        # All ids are equally long, so that a command differs from the next in the digits of its number alone.
        self._new = [
            _template(prefix, "ORDER.NEW", symbol, "BUY", quantity, "LIMIT", price, *options) for price in prices
        ]
        self._cancel = _template(prefix, "ORDER.CANCEL", *options)

    def next_command(self) -> tuple[bytes, Sent]:
        cancel = self.mix.next_cancel()
        if cancel is not None:
            return self._cancel % cancel, Sent((), (cancel,))
        number = self._next
        self._next += 1
        return self._new[number % len(self._new)] % number, Sent((number,), ())

    def closing(self) -> Iterator[tuple[Words, int]]:
        for number in self.mix.live:
            yield ("ORDER.CANCEL", self._id(number), "ID", f"{self._id(number)}x", "MODE", "sync"), 1

    def newest(self) -> str:
        return self._id(self._next - 1) if self._next else ""

    def _id(self, number: int) -> str:
        return f"{self._prefix}{number:010d}"


def _packed(*words: str | bytes) -> bytes:
    return cast("bytes", hiredis.pack_command(cast("Any", words)))


def _template(prefix: str, name: str, *rest: str) -> bytes:
    """The command with an order's id behind its name, as a format that takes the order's number."""
    first = f"{prefix}{0:010d}"
    head, tail = _packed(name, first, *rest).split(first.encode("ascii"), 1)
    return (head + prefix.encode("ascii")).replace(b"%", b"%%") + b"%010d" + tail.replace(b"%", b"%%")


class BatchOrders:
    """ORDER.BATCH with ``orders`` records. ``first``: of a block of numbers that is this client's own."""

    def __init__(self, prefix: str, orders: int, first: int, instrument: int, mode: str, mix: Mix) -> None:
        self.mix = mix
        self.orders = orders
        self._prefix = prefix
        self._first = self._next = first
        self._instrument = instrument
        self._options = ("MODE", mode) if mode else ()
        self._batches = 0

    def next_command(self) -> tuple[bytes, Sent]:
        new, cancels, records = self._next, [], []
        for _ in range(self.orders):
            cancel = self.mix.next_cancel()
            if cancel is not None:
                cancels.append(cancel)
                records.append(self._cancel_record(cancel))
            else:
                ticks = 1 + self._next % LEVELS
                records.append(RECORD.pack(self._next, ticks, 1, self._instrument, 0, Kind.NEW, _FLAGS))
                self._next += 1
        self._batches += 1
        words = ("ORDER.BATCH", f"{self._prefix}b{self._batches}", b"".join(records), *self._options)
        return _packed(*words), Sent(range(new, self._next), cancels)

    def closing(self) -> Iterator[tuple[Words, int]]:
        live = self.mix.live
        for at in range(0, len(live), CLOSING_BATCH):
            numbers = live[at : at + CLOSING_BATCH]
            records = b"".join(map(self._cancel_record, numbers))
            yield ("ORDER.BATCH", f"{self._prefix}x{at}", records, "MODE", "sync"), len(numbers)

    def newest(self) -> str:
        return str(self._next - 1) if self._next > self._first else ""

    def _cancel_record(self, number: int) -> bytes:
        return RECORD.pack(number, 0, 0, self._instrument, 0, Kind.CANCEL, 0)
