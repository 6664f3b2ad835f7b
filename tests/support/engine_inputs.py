"""Random but meaningful inputs of an engine's journal: every kind there is, from several sessions and accounts.

The same seed gives the same inputs. They are journal entries, so any core, and any engine's journal, can be fed them.
"""

import random
from collections.abc import Iterator

from engine.inputs import (
    AcknowledgedInput,
    Boot,
    CancelAllInput,
    DayEndInput,
    Entry,
    EpochInput,
    ExpireInput,
    InstrumentInput,
    MarketInput,
    OrdersInput,
)
from engine.markets import OPEN_MARKET, MarketRules
from orderd.runtime.instruments import Instrument
from orderd.wire import extensions
from orderd.wire.records import FLAG_POST_ONLY, RECORD, RECORD_BYTES, STP_SHIFT, TIF_SHIFT, Attribute, Kind, TimeInForce
from orderd.wire.reports import Reason

INSTRUMENTS = [Instrument("AAPL", 1, "0.01", "1"), Instrument("MSFT", 2, "0.01", "1"), Instrument("ES", 3, "0.25", "1")]
SESSIONS = (0x11, 0x22, 2**64 - 1)
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000


class EngineInputs:
    """A generator of entries; what it remembers is only what makes the next ones meaningful."""

    def __init__(self, seed: int, *, records_max: int = 12) -> None:
        self.rng = random.Random(seed)
        self.records_max = records_max
        self.time_ns = START_NS
        self._next_sequence = dict.fromkeys(SESSIONS, 1)
        self._next_number = 1
        self._epoch = 0

    def opening(self) -> list[Entry]:
        """What every journal begins with."""
        out = [InstrumentInput(i.id, i.digest, f"{i.symbol} {i.tick} {i.lot}").encode() for i in INSTRUMENTS]
        return [*out, Boot(1).encode(), *(self._start_of(session) for session in SESSIONS)]

    def entries(self, count: int) -> Iterator[Entry]:
        """``count`` more, in their order."""
        for _ in range(count):
            yield self.entry()

    def entry(self) -> Entry:
        """One more: mostly orders."""
        rng = self.rng
        self.time_ns += rng.randrange(3) * STEP_NS
        session = rng.choice(SESSIONS)
        kind = rng.random()
        if kind < 0.86:
            return self.orders(session)
        if kind < 0.91:
            return ExpireInput(self.time_ns).encode()
        if kind < 0.925:
            return DayEndInput(self.time_ns).encode()
        if kind < 0.955:
            return MarketInput(self.time_ns, rng.choice(INSTRUMENTS).id, self._rules()).encode()
        if kind < 0.975:
            return AcknowledgedInput(session, rng.randrange(1, 2 * self._next_sequence[session] + 2)).encode()
        if kind < 0.98:
            return CancelAllInput(self.time_ns, session, Reason.REPORTS_FULL).encode()
        return self._start_of(session) if kind < 0.99 else Boot(rng.randrange(2, 100)).encode()

    def orders(self, session: int) -> Entry:
        """Records of one session."""
        records = b"".join(self._records() for _ in range(self.rng.randrange(1, self.records_max + 1)))
        if self.rng.random() < 0.2:
            records = records[:-RECORD_BYTES] or records  # An extension may come with its order in the next entry.
        first = self._next_sequence[session]
        self._next_sequence[session] += len(records) // RECORD_BYTES
        acknowledged = self.rng.choice([1, max(1, first - self.rng.randrange(200))])
        return OrdersInput(self.time_ns, session, first, acknowledged, records).encode()

    def _start_of(self, session: int) -> Entry:
        self._epoch += 1
        return EpochInput(session, self.rng.randrange(2**64), self._epoch).encode()

    def _rules(self) -> MarketRules:
        rng = self.rng
        if rng.random() < 0.6:
            return OPEN_MARKET
        return MarketRules(rng.random() < 0.3, rng.choice([0, 96, 99]), rng.choice([0, 101, 104]))

    def _records(self) -> bytes:
        rng = self.rng
        kind, instrument = rng.random(), rng.choice([1, 1, 1, 2, 3])
        earlier = rng.randrange(max(1, self._next_number - 40), self._next_number + 1)
        if kind < 0.68:
            return self._new(instrument)
        if kind < 0.78:
            return RECORD.pack(earlier, 0, 0, instrument, 0, Kind.CANCEL, 0)
        if kind < 0.90:
            how = rng.choice([Kind.REPLACE, Kind.REPLACE_OPEN])
            return RECORD.pack(earlier, self._price(), rng.randrange(1, 30), instrument, 0, how, 0)
        if kind < 0.92:
            return RECORD.pack(0, 0, 0, instrument, 0, Kind.MASS_CANCEL, 0b110 if rng.random() < 0.5 else 0b111)
        if kind < 0.95:
            return RECORD.pack(earlier, 0, 0, instrument, 0, Kind.VOID, 0)
        return rng.randbytes(RECORD_BYTES)

    def _price(self) -> int:
        return self.rng.randrange(95, 106)

    def _new(self, instrument: int) -> bytes:
        rng = self.rng
        number, quantity = self._next_number, rng.randrange(1, 30)
        self._next_number += 1
        values: dict[Attribute, int] = {}
        time_in_force = rng.choice(
            [TimeInForce.DAY, TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]
        )
        if rng.random() < 0.15:
            values[Attribute.TRIGGER] = self._price()
            time_in_force = rng.choice([TimeInForce.DAY, TimeInForce.GTC])
        if rng.random() < 0.15:
            values[Attribute.DISPLAY] = rng.randrange(1, quantity + 1)
        if rng.random() < 0.05:
            values[Attribute.MINIMUM] = rng.randrange(1, quantity + 1)
        if rng.random() < 0.15:
            values[Attribute.EXPIRY] = self.time_ns + rng.randrange(60) * STEP_NS
            time_in_force = TimeInForce.GTD
        flags = rng.randrange(2) | time_in_force << TIF_SHIFT | rng.choice([0, 0, 0, 1, 2, 3]) << STP_SHIFT
        price = self._price()
        if rng.random() < 0.1:
            flags, price = flags | 2, 0
        elif rng.random() < 0.1:
            flags |= FLAG_POST_ONLY
        new = RECORD.pack(number, price, quantity, instrument, rng.choice([0, 0, 7, 8]), Kind.NEW, flags)
        return extensions.numbered(extensions.pack(instrument, values.items()), number) + new
