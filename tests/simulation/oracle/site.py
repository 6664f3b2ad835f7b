"""One orderd: all that is known of it, by its journal and by the naive book."""

from typing import Final

import attrs

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.limits import SiteLimits
from tests.simulation.oracle.rows import Batch, Row
from tests.simulation.oracle.said import NEW
from tests.simulation.oracle.talk import Command, Talk
from tests.simulation.oracle.trading import TradingRules

REASONS_HIDDEN: Final = (10, 12)
"""Of these reports clients see no execution: MASS_CANCELED, EXTENDED."""


@attrs.define(eq=False)
class Site:
    """All that is known of one orderd."""

    name: str
    limits: SiteLimits
    talk: Talk
    rows: list[Row] = attrs.field(factory=list)
    names: dict[bytes, Row] = attrs.field(factory=dict)
    """Orders by id, the youngest of each."""
    requests: dict[bytes, Row] = attrs.field(factory=dict)
    """Cancels and replaces by request id."""
    aliases: dict[bytes, list[bytes]] = attrs.field(factory=dict)
    """Request ids by the id of the order that they are about."""
    batches: dict[bytes, Batch] = attrs.field(factory=dict)
    nonces: dict[int, int] = attrs.field(factory=dict)
    """Epoch of each start, by its nonce."""
    epoch: int = 0
    reserved: int = 0
    """Numbers below it were given out."""
    given: list[tuple[int, int]] = attrs.field(factory=list)
    """Blocks of numbers that clients were told."""
    guards_ended: dict[int, int] = attrs.field(factory=dict)
    guards: dict[int, None] = attrs.field(factory=dict)
    reports: list[tuple[int, ...]] = attrs.field(factory=list)
    """What the naive book says that the engine told, in order."""
    journaled: int = 0
    """How many of them are in orderd's journal."""
    shown: list[int] = attrs.field(factory=list)
    """Indexes of the reports that are executions: exec_id - 1 is the place."""
    executions: int = 0
    """How many of them are in orderd's journal, and so may be read."""
    states: list[int] = attrs.field(factory=list)
    """For each report: to which state of its order it led, or -1."""
    life: int = 0
    is_up: bool = False
    has_started: bool = False
    """Whether the start of this life is in the journal."""
    ended_well: dict[int, None] = attrs.field(factory=dict)
    """Lives that a SIGTERM has ended, in so short a time that no client was cut off."""
    sigterms: dict[int, float] = attrs.field(factory=dict)
    """When each life was asked to end, of those that were."""
    ends: dict[int, str] = attrs.field(factory=dict)
    """How each life ended."""
    excuses: dict[int, str] = attrs.field(factory=dict)
    """By life: what only its end, not in order, can explain."""
    is_loose: bool = False
    """What it lost is known; what its clients were told of that cannot be held against it."""
    commits: int = 0
    trading: TradingRules = attrs.field(factory=TradingRules)
    sure_rows: int = 0
    """Records that orderd knows to be durable, and shows."""
    sure_executions: int = 0

    def rows_at(self, order_id: int) -> Row | None:
        """If it is there."""
        return self.rows[order_id - 1] if 0 < order_id <= len(self.rows) else None

    def excuse(self, life: int, text: str) -> None:
        """Only a failure explains what was told: then that life ends by it, or by a kill before it could."""
        if life in self.sigterms or self.ends.get(life) in ("failed", "killed"):
            return
        if life in self.ends:
            raise Contradiction("unknown", text)
        self.excuses.setdefault(life, text)

    def may_forget_batch(self, batch: Batch) -> bool:
        """Whether orderd may have forgotten a batch's id: not as long as it remembers one of its orders."""
        if self.is_loose:
            return True
        orders = [row for row in self.rows[batch.first - 1 : batch.end - 1] if row.kind == NEW]
        return all(self.may_forget(row.order_id) for row in orders) and self._are_behind(batch.end - 1)

    def may_forget(self, order_id: int) -> bool:
        """Whether orderd may have forgotten that record, so that its id counts as new."""
        if self.is_loose:
            return True
        return self.rows[order_id - 1].done and self._are_behind(order_id)

    def must_be_durable(self, row: Row, command: Command) -> bool:
        """Whether orderd knew that it is when that was said."""
        return row.order_id <= command.rows or 0 < row.applied_tick < command.tick

    def _are_behind(self, order_id: int) -> bool:
        """Whether so many are behind it as orderd remembers, or were done when it was there, as far as orderd heard."""
        most = self.limits.remembered_max
        if len(self.rows) <= most:
            return False
        behind = len(self.rows) - order_id
        if behind < most:
            before = self.rows[:order_id]
            behind += sum(one.heard >= order_id or (one.done and not one.heard) for one in before)
        return behind >= most
