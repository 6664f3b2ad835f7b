"""One orderd: its journal's entries, each led back to what clients have said.

Rules: every record belongs to a command that was really said, and no id is there twice; what a connection says is
journaled in its order; a batch and a transaction are journaled whole; epochs grow; reports are the engine's, in order.
"""

from typing import Final

import attrs

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.journals import JournalHistory
from tests.simulation.oracle.limits import SiteLimits
from tests.simulation.oracle.records import (
    ACCOUNT_TRADING,
    AGED,
    GUARD_END,
    GUARDED,
    ORDERS,
    RECORD,
    REPORTS,
    RESERVE,
    START,
    TEXT_NUMBER,
    TRADING,
    Entry,
    Group,
    group_of,
    reports_of,
    shown,
    shown_record,
)
from tests.simulation.oracle.rows import Batch, Row, target_number
from tests.simulation.oracle.said import CANCEL, EXTENSION, MASS_CANCEL, NEW, Key, request_key
from tests.simulation.oracle.talk import Command, Origin, Talk

REASONS_HIDDEN: Final = (10, 12)
"""Of these reports clients see no execution: MASS_CANCELED, EXTENDED."""
HALTED: Final = 2
PATHS: Final = ("none", "udp", "grpc")


@attrs.define(eq=False)
class Site:
    """All that is known of one orderd."""

    name: str
    limits: SiteLimits
    talk: Talk
    journal: JournalHistory
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
    halted: dict[int | None, bool] = attrs.field(factory=dict)
    """By account, None for all: whether trading has been halted since a commit before the last one."""
    halts: dict[int | None, bool] = attrs.field(factory=dict)
    """The same with what the last commit said."""
    sure_rows: int = 0
    """Records that orderd knows to be durable, and shows."""
    sure_executions: int = 0

    # --- its journal --------------------------------------------------------------------------------------------------

    def take(self, entries: list[Entry], tick: int, now: float) -> None:
        """These are durable now."""
        self.commits += 1
        # One commit at a time: orderd has taken notice of the last one, and perhaps not of this one yet.
        self.sure_rows, self.sure_executions = max(self.sure_rows, len(self.rows)), self.executions
        self.halted |= self.halts
        for kind, payload in entries:
            if kind in (ORDERS, AGED, GUARDED):
                self._take_group(group_of(kind, payload), tick, now)
            elif kind == REPORTS:
                self._take_reports(payload, tick, now)
            elif kind == START:
                self._take_start(payload, now)
            elif kind in (TRADING, ACCOUNT_TRADING):
                account = int.from_bytes(payload[1:3], "little") if kind == ACCOUNT_TRADING else None
                self.halts[account] = payload[0] == HALTED
                if not self.halts[account]:
                    self.halted[account] = False
            elif kind == RESERVE:
                after = int.from_bytes(payload, "little")
                if after < self.reserved:
                    raise Contradiction("reserve", f"{self.name}: numbers up to {after} after those to {self.reserved}")
                self.reserved = after
            elif kind == GUARD_END:
                guard = int.from_bytes(payload, "little")
                if self.guards_ended.setdefault(guard, self.commits) != self.commits:
                    raise Contradiction("guards", f"{self.name}: guard {guard:#x} ends twice, at {now:.6f}")
        if not self.has_started:
            raise Contradiction("epoch", f"{self.name} commits at {now:.6f}, and has not journaled its start")
        if self.limits.unconfirmed_max and len(self.rows) > self.limits.unconfirmed_max:
            self._check_unconfirmed(now)

    def _check_unconfirmed(self, now: float) -> None:
        first = len(self.rows) - self.limits.unconfirmed_max
        if not self.rows[first - 1].applied_tick:
            raise Contradiction(
                "bounds",
                f"{self.name}: {self.limits.unconfirmed_max} records and more are not confirmed at {now:.6f}, "
                f"from {first} to {len(self.rows)}",
            )

    def _take_start(self, payload: bytes, now: float) -> None:
        epoch, nonce = int.from_bytes(payload[:4], "little"), int.from_bytes(payload[4:12], "little")
        if epoch <= self.epoch:
            raise Contradiction("epoch", f"{self.name} starts at {now:.6f} with epoch {epoch} after {self.epoch}")
        self.epoch = self.nonces[nonce] = epoch
        self.has_started = True
        self.sure_rows, self.sure_executions = len(self.rows), self.executions

    def _take_reports(self, payload: bytes, tick: int, now: float) -> None:
        first, path, found = reports_of(payload)
        where = f"{self.name} journals reports {first} to {first + len(found) - 1} at {now:.6f}"
        if first != self.journaled + 1:
            raise Contradiction("reports", f"{where}, behind {self.journaled}")
        expected = self.reports[first - 1 : first - 1 + len(found)]
        if found != expected:
            at = next((i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
            said = shown(expected[at]) if at < len(expected) else "nothing: the engine has not committed that"
            raise Contradiction("reports", f"{where}; {first + at} is {shown(found[at])}, and the model has {said}")
        for report, state in zip(found, self.states[first - 1 : first - 1 + len(found)], strict=True):
            if report[0] not in REASONS_HIDDEN:
                self.executions += 1
            if report[3] and not self.rows[report[9] - 1].states:
                self.rows[report[9] - 1].heard = len(self.rows)
            if state > 0:
                row = self.rows[report[8] - 1]
                row.note_known(tick, state)
                row.journaled = state
                if row.done:
                    row.heard = len(self.rows)
                if state == 1:
                    row.path = PATHS[path]
        self.journaled += len(found)

    def excuse(self, life: int, text: str) -> None:
        """Only a failure explains what was told: then that life ends by it, or by a kill before it could."""
        if life in self.sigterms or self.ends.get(life) in ("failed", "killed"):
            return
        if life in self.ends:
            raise Contradiction("unknown", text)
        self.excuses.setdefault(life, text)

    # --- groups of records --------------------------------------------------------------------------------------------

    def _take_group(self, group: Group, tick: int, now: float) -> None:
        if group.first != len(self.rows) + 1:
            raise Contradiction(
                "numbers", f"{self.name} journals records from {group.first} on at {now:.6f}, behind {len(self.rows)}"
            )
        batches = {index: (count, batch_id) for index, count, batch_id in group.batches}
        batch: Batch | None = None
        pending: list[tuple[int, int]] = []
        for index, record in enumerate(group.records):
            if index in batches:
                batch = self._take_batch(group, index, *batches[index], now)
            elif batch is not None and group.first + index == batch.end:
                batch = None
            row = Row(group.first + index, record, b"", batch=batch)
            row.committed_at, row.committed_tick, row.life = now, tick, self.life
            row.epoch = self.epoch
            row.guard = group.guards.get(index, 0)
            row.maxage_ms = group.ages.get(index, (0, 0))[0]
            self.rows.append(row)
            if row.guard:
                self.guards[row.guard] = None
            if row.kind == EXTENSION:
                pending.append((row.fields[6], row.fields[1] or row.fields[2]))
            elif row.kind == NEW:
                row.extensions, pending = tuple(pending), []
                self._take_new(row, group.ids.get(index), len(row.extensions), now)
            else:
                self._take_request(row, group.ids.get(index), now)

    def _take_batch(self, group: Group, index: int, count: int, batch_id: bytes, now: float) -> Batch:
        records = b"".join(group.records[index : index + count])
        first = group.first + index
        what = f"{self.name}: batch {batch_id.decode('ascii', 'replace')} at {first}, journaled at {now:.6f},"
        origin = self.talk.origins.get((b"batch", batch_id, records))
        if origin is None:
            raise Contradiction("invented", f"{what} with {count} records is none that a client has said")
        known = self.batches.get(batch_id)
        if known is not None and not self.may_forget_batch(known):
            raise Contradiction("twice", f"{what} is there already, from {known.first} to {known.end - 1}")
        extensions = sum(record[30] == EXTENSION for record in group.records[index : index + count])
        batch = self.batches[batch_id] = Batch(batch_id, first, first + count, records, extensions)
        self._attribute(origin, first, what)
        return batch

    def rows_at(self, order_id: int) -> Row | None:
        """If it is there."""
        return self.rows[order_id - 1] if 0 < order_id <= len(self.rows) else None

    def _take_new(self, row: Row, text: bytes | None, extensions: int, now: float) -> None:
        number, price, lots, instrument, account, _, flags = row.fields
        if (text is None and number >= TEXT_NUMBER) or (text is not None and number != TEXT_NUMBER + row.order_id):
            raise Contradiction("invented", f"{self.name}: record {row.order_id} is {shown_record(row.record)}, "
                                f"its id is {text!r}")  # fmt: skip
        row.name = text if text is not None else b"%d" % number
        known = self.names.get(row.name)
        what = f"{self.name}: order {row}, {shown_record(row.record)}, journaled at {now:.6f},"
        if known is not None and not self.may_forget(known.order_id):
            raise Contradiction("twice", f"{what} is there already as {known.order_id}")
        if row.name in self.requests and not self.may_forget(self.requests[row.name].order_id):
            raise Contradiction("twice", f"{what} has the id of request {self.requests[row.name].order_id}")
        self.names[row.name] = row
        if self.halted.get(None) or self.halted.get(account if row.batch is None else None):
            raise Contradiction("halted", f"{what} although trading was halted by a commit before the last one")
        if row.batch is not None:
            return
        content = (price, lots, instrument, account, flags, row.extensions)
        origin = self.talk.origins.get((NEW, row.name, content))
        if origin is None:
            raise Contradiction("invented", f"{what} is none that a client has said")
        self._attribute(origin, row.order_id - extensions, what)
        self._check_guard(row, origin, what)

    def _check_guard(self, row: Row, origin: Origin, what: str) -> None:
        if row.guard:
            if not any(one.connection.may_guard for one in origin.attempts):
                raise Contradiction("guards", f"{what} is in guard {row.guard:#x}, and nobody who said it wanted one")
        elif origin.sole is not None and origin.sole.must_guard:
            raise Contradiction("guards", f"{what} is in no guard, and was said on a connection that has one")

    def _take_request(self, row: Row, request_id: bytes | None, now: float) -> None:
        what = f"{self.name}: record {row.order_id}, {shown_record(row.record)}, journaled at {now:.6f},"
        if row.kind == MASS_CANCEL:
            _, _, _, instrument, account, _, flags = row.fields
            keys: list[Key] = [(MASS_CANCEL, flags, instrument, account)]
        else:
            order_id = target_number(row)
            if row.batch is None or order_id:
                row.target = self.rows_at(order_id) if order_id else self.names.get(b"%d" % row.fields[0])
                if row.target is None or row.target.order_id >= row.order_id or row.target.kind != NEW:
                    raise Contradiction("overtaken", f"{what} is about an order that is not before it")
                row.request_id = request_id or b""
            keys = self._keys_of(row) if row.target is not None else []
        if row.batch is not None:
            return
        if request_id is not None:
            known = self.requests.get(request_id) or self.names.get(request_id)
            if known is not None and not self.may_forget(known.order_id):
                raise Contradiction("twice", f"{what} has the id of {known.order_id}")
            self.requests[request_id] = row
            assert row.target is not None, "checked above"
            self.aliases.setdefault(row.target.name, []).append(request_id)
        found = [origin for key in keys if (origin := self.talk.origins.get(key)) is not None]
        possible = sum(origin.possible for origin in found)
        taken = sum(len(origin.rows) for origin in found)
        if taken >= possible:
            self._take_withdrawal(row, possible, what)
            return
        left = max(found, key=lambda origin: origin.possible - len(origin.rows))
        left.rows.append(row.order_id)
        is_plain = len(found) == 1 and not self._may_be_withdrawn(row)
        if is_plain and left.sole is not None and len(left.rows) == 1:
            self._in_order(left.sole, row.order_id, what)

    def _may_be_withdrawn(self, row: Row) -> bool:
        """Whether orderd may have said it for a client that is gone."""
        target = row.target
        return row.kind == CANCEL and not row.request_id and target is not None and bool(target.guard)

    def _take_withdrawal(self, row: Row, possible: int, what: str) -> None:
        """No client has said it, or not that often."""
        if not self._may_be_withdrawn(row):
            if not possible:
                raise Contradiction("invented", f"{what} is none that a client has said")
            raise Contradiction("twice", f"{what} comes once more than the {possible} times that it may have been said")
        assert row.target is not None, "asked above"
        if row.target.withdrawn:
            raise Contradiction("twice", f"{what} withdraws what was withdrawn by {row.target.withdrawn}")
        row.target.withdrawn = row.order_id

    def _keys_of(self, row: Row) -> list[Key]:
        """Under which a client may have said it: by the order's id, or by that of a request about it."""
        target = row.target
        assert target is not None, "asked only of those that have one"
        _, price, lots, _, _, kind, _ = row.fields
        market, said = target.market, (row.request_id or None)
        ids = [target.name, *self.aliases.get(target.name, ())]
        if kind == CANCEL:
            return [request_key(kind, said, one) for one in ids]
        values = market.quantity_value(lots), market.price_value(price)
        return [request_key(kind, said, one, *values) for one in ids]

    def _attribute(self, origin: Origin, first: int, what: str) -> None:
        """This was journaled of these equal commands."""
        if not origin.possible:
            said = "; ".join(f"{one} was answered {one.reply!r}" for one in origin.attempts[-3:])
            raise Contradiction("refused", f"{what} although nothing of it was taken: {said}")
        origin.rows.append(first)
        if origin.sole is not None and len(origin.rows) == 1:
            self._in_order(origin.sole, first, what)

    def _in_order(self, command: Command, order_id: int, what: str) -> None:
        connection, transaction = command.connection, command.transaction
        if command.number < connection.last_number:
            before = connection.said[connection.last_number]
            raise Contradiction(
                "order", f"{what} is {command}, and stands behind {connection.last_order_id}, which is {before}"
            )
        connection.last_number, connection.last_order_id = command.number, order_id
        if transaction is not None:
            if transaction.commit not in (-1, self.commits):
                raise Contradiction("torn", f"{what} is {command}; what was before it in its EXEC is of another commit")
            transaction.commit = self.commits

    def may_forget_batch(self, batch: Batch) -> bool:
        """The same of a batch's id, which goes although some of its orders may still be open."""
        return self.is_loose or self._are_behind(batch.end - 1)

    def may_forget(self, order_id: int) -> bool:
        """Whether orderd may have forgotten that record, so that its id counts as new."""
        if self.is_loose:
            return True
        return self.rows[order_id - 1].done and self._are_behind(order_id)

    def _are_behind(self, order_id: int) -> bool:
        """Whether so many are behind it as orderd remembers, or were done when it was there, as far as orderd heard."""
        most = self.limits.remembered_max
        if len(self.rows) <= most:
            return False
        later = [one for one in self.rows if one.order_id > order_id or one.heard >= order_id]
        return len(later) + sum(one.done and not one.heard and one.order_id <= order_id for one in self.rows) >= most


def void_of(record: bytes) -> bytes:
    """The same as a VOID."""
    number, price, lots, instrument, account, _, flags = RECORD.unpack(record)
    return RECORD.pack(number, price, lots, instrument, account, 0, flags)
