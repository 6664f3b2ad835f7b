"""The records of one orderd as its journal has them, and what became of each by the naive book."""

from typing import Final

import attrs

from tests.simulation.oracle.market import BY_ID, Market
from tests.simulation.oracle.records import RECORD, TEXT_NUMBER, Fields
from tests.simulation.oracle.said import NEW

QUEUED, UNKNOWN, STATUS_NEW, PARTIALLY_FILLED, FILLED, REPLACED, CANCELED, REJECTED, EXPIRED = range(9)
STATUSES: Final = (
    "QUEUED", "UNKNOWN", "NEW", "PARTIALLY_FILLED", "FILLED", "REPLACED", "CANCELED", "REJECTED", "EXPIRED",
)  # fmt: skip
DONE: Final = (FILLED, CANCELED, REJECTED, EXPIRED)
NAMES_BY_REASON: Final = (
    "", "UNKNOWN_INSTRUMENT", "BAD_RECORD", "DUPLICATE_NUMBER", "UNKNOWN_ORDER", "TOO_LATE", "IOC", "FOK",
    "NO_LIQUIDITY", "REPLACED_BELOW_FILLED", "REPORTS_FULL", "NOT_SUPPORTED", "MAXAGE", "POST_ONLY", "SELF_TRADE",
    "MINIMUM_QUANTITY", "DAY_END", "EXPIRED", "HALTED", "PRICE_LIMIT",
)  # fmt: skip
MAXAGE: Final = NAMES_BY_REASON.index("MAXAGE")
UNKNOWN_ORDER: Final = NAMES_BY_REASON.index("UNKNOWN_ORDER")


@attrs.frozen
class State:
    """How an order stands after some report about it."""

    status: int
    total: int
    cum: int = 0
    notional: int = 0
    reason: int = 0
    triggered: bool = False

    @property
    def is_done(self) -> bool:
        return self.status in DONE


@attrs.define(eq=False)
class Row:
    """One record: an order, or what acts on one."""

    order_id: int
    record: bytes
    name: bytes
    """An order's id; empty for others."""
    request_id: bytes = b""
    extensions: tuple[tuple[int, int], ...] = ()
    maxage_ms: int = 0
    guard: int = 0
    batch: "Batch | None" = None
    target: "Row | None" = None
    """The order that a cancel or replace of a client is about."""
    committed_at: float = 0.0
    committed_tick: int = 0
    life: int = 0
    """Of its orderd, when it was committed."""
    applied_tick: int = 0
    """When the engine had committed it; 0 if it has not."""
    is_void: bool = False
    states: list[State] = attrs.field(factory=list)
    """Of an order: as it was committed, then after each report about it."""
    confirmed: int = -1
    """Of an order: its state when all was told that it did at once. Of a request: that of the order it is about."""
    done: bool = False
    heard: int = 0
    """How many records there were, at most, when orderd heard that it was done."""
    withdrawn: int = 0
    """Order id of the cancel by which orderd has withdrawn it, for a client that is gone."""
    is_asked_back: bool = False
    """Whether a cancel of it is journaled, whoever wanted that."""
    epoch: int = 0
    """Of the start of orderd that journaled it."""
    rejected: int = 0
    """Reason for which the engine refused a cancel or replace."""
    cancelled: int = 0
    """Of a mass cancel."""
    known: list[tuple[int, int]] = attrs.field(factory=list)
    """From which tick on everybody may rely on which state: it was told, or its report journaled."""
    journaled: int = 0
    """To which state its reports are in orderd's journal."""
    path: str = ""
    """What brought the first report, once that is in the journal."""
    fields: Fields = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.fields = RECORD.unpack(self.record)
        if self.kind == NEW:
            self.states.append(State(QUEUED, self.fields[2]))

    @property
    def kind(self) -> int:
        return self.fields[5]

    @property
    def market(self) -> Market:
        return BY_ID[self.fields[3]]

    @property
    def is_open(self) -> bool:
        return not self.states[-1].is_done

    def floor(self, tick: int) -> int:
        """The least state that may be shown to one who asked at that tick."""
        known = self.known
        if not known or known[-1][0] <= tick:
            return known[-1][1] if known else 0
        return max((state for at, state in known if at <= tick), default=0)

    def note_known(self, tick: int, state: int) -> None:
        """That state was shown, or is durable."""
        if not self.known or self.known[-1][1] < state:
            self.known.append((tick, state))

    def __str__(self) -> str:
        named = self.name or self.request_id
        return f"{named.decode('ascii', 'backslashreplace') or 'record'} ({self.order_id})"


@attrs.define(eq=False)
class Batch:
    """A client's batch: rows from ``first`` to before ``end``."""

    batch_id: bytes
    first: int
    end: int
    records: bytes
    extensions: int
    rejected: int = 0
    trades: int = 0
    confirmed: bool = False


def target_number(row: Row) -> int:
    """The order id that a text order's number holds, or 0."""
    number = row.fields[0]
    return number - TEXT_NUMBER if number >= TEXT_NUMBER else 0
