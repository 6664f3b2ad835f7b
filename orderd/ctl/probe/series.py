"""Probes sent one after the other, and what became of each. Pure: times come in as nanoseconds of one clock."""

from collections import Counter

import attrs

from orderd.ctl.probe.talk import Arrival, Kind


@attrs.frozen
class Summary:
    """A series in numbers; times in microseconds."""

    sent: int
    answered: int
    size: int
    """Bytes of each datagram, there and back."""
    reordered: int = 0
    """Answers that came behind one to a later probe."""
    repeated: int = 0
    damaged: int = 0
    round_trip_us: dict[str, float] = attrs.field(factory=dict)
    """``min``, ``p50``, ``p99``, ``max``; empty without answers."""
    seconds: float = 0.0
    """From the first probe to the last answer."""

    @property
    def lost(self) -> int:
        return self.sent - self.answered

    @property
    def loss(self) -> float:
        """Share of the probes that were not answered, 0 to 1."""
        return self.lost / self.sent if self.sent else 0.0

    @property
    def datagrams_per_second(self) -> float:
        """Answered ones; of each of them there went one in either direction."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def megabits_per_second(self) -> float:
        """In each direction, headers of UDP and IP left out."""
        return self.datagrams_per_second * self.size * 8 / 1e6


class Series:
    """Takes notes. ``errors`` are what the system said about sending, by errno."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.errors: Counter[int] = Counter()
        self.kinds: Counter[Kind] = Counter()
        self.version: int | None = None
        """The engine's version of the protocol, if it refused ours."""
        self.engine = 0
        self.boot = 0
        self.clock_offset_ns: int | None = None
        """The engine's clock less ours, from the answer with the shortest round trip: right to half of that."""
        self._sent_at: dict[int, int] = {}
        self._waiting: set[int] = set()
        self._round_trips: list[int] = []
        self._shortest: int | None = None
        self._highest = 0
        self._reordered = 0
        self._repeated = 0
        self._last_at = 0

    def sent(self, number: int, now_ns: int, error: int = 0) -> None:
        """A probe left at ``now_ns``, or did not because of ``error``."""
        self._sent_at[number] = now_ns
        self._waiting.add(number)
        if error:
            self.errors[error] += 1

    def arrived(self, arrival: Arrival, now_ns: int, clock_ns: int) -> None:
        """A datagram came back; ``clock_ns`` is the wall clock. Answers to probes of another series do not count."""
        number = arrival.number
        if arrival.kind is Kind.ANSWER and number not in self._sent_at:
            return
        self.kinds[arrival.kind] += 1
        if arrival.kind is Kind.VERSION:
            self.version = arrival.version
        if arrival.reply is None:
            return
        if number not in self._waiting:
            self._repeated += 1
            return
        self._waiting.discard(number)
        round_trip = now_ns - self._sent_at[number]
        if self._shortest is None or round_trip < self._shortest:
            self._shortest = round_trip
            self.clock_offset_ns = arrival.reply.time_ns - (clock_ns - round_trip // 2)
        self._round_trips.append(round_trip)
        self._reordered += number < self._highest
        self._highest = max(self._highest, number)
        self._last_at = now_ns
        self.engine, self.boot = arrival.reply.engine, arrival.reply.boot

    @property
    def total(self) -> int:
        """Probes that left, or should have."""
        return len(self._sent_at)

    @property
    def answered(self) -> int:
        return len(self._round_trips)

    @property
    def complete(self) -> bool:
        """Whether all are answered."""
        return not self._waiting

    def summary(self) -> Summary:
        """The series so far."""
        times = sorted(self._round_trips)
        shown = {}
        if times:
            last = len(times) - 1
            ranks = {"min": 0, "p50": last // 2, "p99": min(last, len(times) * 99 // 100), "max": last}
            shown = {name: times[rank] / 1000 for name, rank in ranks.items()}
        first_at = min(self._sent_at.values(), default=0)
        return Summary(
            sent=self.total, answered=self.answered, size=self.size, reordered=self._reordered,
            repeated=self._repeated, damaged=self.kinds[Kind.DAMAGED], round_trip_us=shown,
            seconds=(self._last_at - first_at) / 1e9 if times else 0.0,
        )  # fmt: skip
