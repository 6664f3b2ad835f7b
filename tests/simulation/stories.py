"""Histories told to the oracle by hand: what a world of one orderd does, one thing after the other."""

from typing import Any

import hiredis

from engine.inputs import Boot, EpochInput, InstrumentInput, OrdersInput
from orderd.orders import entries
from orderd.wire.records import RECORD, RECORD_BYTES, TEXT_NUMBER, Kind
from orderd.wire.reports import ExecType, Report, encode_full, encode_range
from tests.simulation.oracle import Contradiction, Limits, Oracle, SiteLimits
from tests.simulation.oracle.rows import STATUSES
from tests.support.site import INSTRUMENTS

SESSION, NONCE, TIME_NS = 7, 99, 10**18
BUY, SELL = b"BUY", b"SELL"
BOUNDED = Limits({"a": SiteLimits(unconfirmed_max=2, remembered_max=1000)})
Words = tuple[bytes, ...]


class Story:
    """A world of one orderd as the oracle hears of it; ``now`` is 1 s later with each thing that happens."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.oracle = Oracle(limits, ["a"])
        self.now = 0.0
        self.rows: list[bytes] = []
        self.executed = self.reported = self.numbers = self.commits = 0
        self.start()
        instruments = [InstrumentInput(i.id, i.digest, i.symbol).encode() for i in INSTRUMENTS]
        self.engine([*instruments, Boot(1).encode(), EpochInput(SESSION, NONCE, 1).encode()])
        self.oracle.connected("a", 1, self.now)

    # --- what happens -------------------------------------------------------------------------------------------------

    def start(self, epoch: int = 1, nonce: int = NONCE) -> None:
        """orderd starts."""
        self.oracle.daemon_started("a", self.now)
        self.gateway([entries.Start(epoch, nonce).encode()])

    def gateway(self, taken: list[tuple[int, bytes]]) -> None:
        """orderd's journal has taken these."""
        self.now += 1
        self.oracle.committed("a", taken, self.now)

    def engine(self, taken: list[tuple[int, bytes]]) -> None:
        """The engine's has."""
        self.now += 1
        self.oracle.committed("engine", taken, self.now)

    def say(self, *words: bytes, connection: int = 1) -> int:
        """A command; returns its number."""
        self.now += 1
        number = len(self.oracle.sites["a"].talk.connections[connection].said)
        self.oracle.sent("a", connection, number, words, self.now)
        self.oracle.sent_whole("a", connection, number)
        return number

    def hear(self, number: int, reply: Any, connection: int = 1) -> None:
        """Its answer."""
        self.now += 1
        self.oracle.told("a", connection, number, reply, self.now)

    def journal(self, *records: bytes, ids: tuple[bytes, ...] = (), **marks: Any) -> int:
        """A group of records; ``ids`` are those of the first ones. Returns the order id of the first."""
        first = len(self.rows) + 1
        self.rows += records
        named = list(enumerate(ids))
        group = entries.Orders(first, 1, b"".join(records), named, marks.pop("batches", []), **marks)
        self.gateway([group.encode()])
        return first

    def execute(self, count: int | None = None, *, records: bytes | None = None, first: int | None = None) -> None:
        """The engine has committed what comes next."""
        end = len(self.rows) if count is None else self.executed + count
        data = b"".join(self.rows[self.executed : end]) if records is None else records
        first = self.executed + 1 if first is None else first
        self.executed = first - 1 + len(data) // RECORD_BYTES
        self.engine([OrdersInput(TIME_NS, SESSION, first, self.reported + 1, data).encode()])

    def expected(self) -> list[Report]:
        """What the engine has told, and orderd has not journaled."""
        return self.oracle.engine.book.reports[SESSION][self.reported :]

    def report(self, *reports: Report) -> None:
        """orderd journals reports; without any, those that there are."""
        told = reports or tuple(self.expected())
        items = b"".join(
            encode_range(r.order, 1, r.transact_time_ns, final=r.final)
            if r.exec_type is ExecType.NEW
            else encode_full(r)
            for r in told
        )
        self.gateway([entries.ReportsEntry(self.reported + 1, 1, items).encode()])
        self.reported += len(told)

    # --- pieces -------------------------------------------------------------------------------------------------------

    def place(self, name: bytes, side: bytes, price: bytes, quantity: bytes = b"5", *options: bytes) -> int:
        """An order that is said and journaled; returns the command's number."""
        number = self.say(*order(name, side, price, quantity, *options))
        self.journal(new(len(self.rows) + 1, side, price, quantity), ids=(name,))
        return number

    def pairs(self, order_id: int, state: int = -1, **other: str) -> list[bytes]:
        """An order as a truthful orderd shows it in that state."""
        row = self.oracle.sites["a"].rows[order_id - 1]
        shown, market = row.states[state], row.market
        values = {
            "cl_ord_id": row.name.decode(), "order_id": str(order_id), "symbol": market.symbol,
            "side": ("BUY", "SELL")[row.fields[6] & 1], "status": STATUSES[shown.status],
            "quantity": market.quantity(shown.total), "cum_qty": market.quantity(shown.cum),
            "leaves_qty": market.quantity(0 if shown.is_done else shown.total - shown.cum),
            "avg_px": market.average(shown.notional, shown.cum), "path": "udp" if shown.status else "none",
        }  # fmt: skip
        return [word.encode() for item in (values | other).items() for word in item]


def order(name: bytes, side: bytes, price: bytes, quantity: bytes = b"5", *options: bytes) -> Words:
    return (b"ORDER.NEW", name, b"AAPL", side, quantity, b"LIMIT", price, *options)


def new(order_id: int, side: bytes, price: bytes, quantity: bytes = b"5") -> bytes:
    ticks = int(price.replace(b".", b""))
    return RECORD.pack(TEXT_NUMBER + order_id, ticks, int(quantity), 1, 0, Kind.NEW, int(side == SELL))


def cancel(order_id: int) -> bytes:
    return RECORD.pack(TEXT_NUMBER + order_id, 0, 0, 1, 0, Kind.CANCEL, 0)


def _item(report: Report) -> bytes:
    if report.exec_type is ExecType.NEW:
        return encode_range(report.order, 1, report.transact_time_ns, final=report.final)
    return encode_full(report)


def error(text: str) -> hiredis.ReplyError:
    return hiredis.ReplyError(text)


def broken(rule: str) -> Any:
    """What follows breaks it."""
    return _Broken(rule)


class _Broken:
    def __init__(self, rule: str) -> None:
        self._rule = rule

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, Contradiction), f"{self._rule} was not found broken: {error!r}"
        assert error.rule == self._rule, f"{error.rule}: {error}"
        assert str(error), "it says what is wrong"
        return True


def traded(story: Story) -> tuple[int, int]:
    """Two orders that traded; the numbers of their commands. Neither was answered."""
    first, second = story.place(b"t1", BUY, b"1.00"), story.place(b"t2", SELL, b"1.00", b"3")
    story.execute()
    return first, second


def flat(pairs: dict[str, str]) -> list[bytes]:
    return [word.encode() for item in pairs.items() for word in item]


def items_of(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(flat[::2], flat[1::2], strict=True))
