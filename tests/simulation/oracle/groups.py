"""Groups of records in an orderd's journal, each record led back to what clients have said.

Rules: every record belongs to a command that was really said, and no id is there twice; what a connection says is
journaled in its order; a batch and a transaction are journaled whole; a cancel stands behind its order; what was
refused is not journaled, nor what the state of trading forbids.
"""

from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.records import RECORD, TEXT_NUMBER, Group, shown_record
from tests.simulation.oracle.rows import Batch, Row, target_number
from tests.simulation.oracle.said import CANCEL, EXTENSION, MASS_CANCEL, NEW, Key, request_key
from tests.simulation.oracle.site import Site
from tests.simulation.oracle.talk import Command, Origin


class Groups:
    """Those of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def take(self, group: Group, tick: int, now: float) -> None:
        site = self._site
        if group.first != len(site.rows) + 1:
            raise Contradiction(
                "numbers",
                f"{site.name} journals records from {group.first} on at {now:.6f}, behind {len(site.rows)}",
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
            row.committed_at, row.committed_tick, row.life = now, tick, site.life
            row.epoch = site.epoch
            row.guard = group.guards.get(index, 0)
            row.maxage_ms = group.ages.get(index, (0, 0))[0]
            site.rows.append(row)
            if row.guard:
                site.guards[row.guard] = None
            if row.kind == EXTENSION:
                pending.append((row.fields[6], row.fields[1] or row.fields[2]))
            elif row.kind == NEW:
                row.extensions, pending = tuple(pending), []
                self._take_new(row, group.ids.get(index), len(row.extensions), now)
            else:
                self._take_request(row, group.ids.get(index), now)

    def _take_batch(self, group: Group, index: int, count: int, batch_id: bytes, now: float) -> Batch:
        site = self._site
        records = b"".join(group.records[index : index + count])
        first = group.first + index
        what = f"{site.name}: batch {batch_id.decode('ascii', 'replace')} at {first}, journaled at {now:.6f},"
        origin = site.talk.origins.get((b"batch", batch_id, records))
        if origin is None:
            raise Contradiction("invented", f"{what} with {count} records is none that a client has said")
        known = site.batches.get(batch_id)
        if known is not None and not site.may_forget_batch(known):
            raise Contradiction("twice", f"{what} is there already, from {known.first} to {known.end - 1}")
        extensions = sum(record[30] == EXTENSION for record in group.records[index : index + count])
        batch = site.batches[batch_id] = Batch(batch_id, first, first + count, records, extensions)
        self._attribute(origin, first, what)
        return batch

    def _take_new(self, row: Row, text: bytes | None, extensions: int, now: float) -> None:
        site = self._site
        number, price, lots, instrument, account, _, flags = row.fields
        if (text is None and number >= TEXT_NUMBER) or (text is not None and number != TEXT_NUMBER + row.order_id):
            raise Contradiction("invented", f"{site.name}: record {row.order_id} is {shown_record(row.record)}, "
                                f"its id is {text!r}")  # fmt: skip
        row.name = text if text is not None else b"%d" % number
        known = site.names.get(row.name)
        what = f"{site.name}: order {row}, {shown_record(row.record)}, journaled at {now:.6f},"
        if known is not None and not site.may_forget(known.order_id):
            raise Contradiction("twice", f"{what} is there already as {known.order_id}")
        if row.name in site.requests and not site.may_forget(site.requests[row.name].order_id):
            raise Contradiction("twice", f"{what} has the id of request {site.requests[row.name].order_id}")
        site.names[row.name] = row
        site.trading.check(row, what)
        if row.batch is not None:
            return
        content = (price, lots, instrument, account, flags, row.extensions)
        origin = site.talk.origins.get((NEW, row.name, content))
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
        site = self._site
        what = f"{site.name}: record {row.order_id}, {shown_record(row.record)}, journaled at {now:.6f},"
        if row.kind == MASS_CANCEL:
            _, _, _, instrument, account, _, flags = row.fields
            keys: list[Key] = [(MASS_CANCEL, flags, instrument, account)]
        else:
            order_id = target_number(row)
            if row.batch is None or order_id:
                row.target = site.rows_at(order_id) if order_id else site.names.get(b"%d" % row.fields[0])
                if row.target is None or row.target.order_id >= row.order_id or row.target.kind != NEW:
                    raise Contradiction("overtaken", f"{what} is about an order that is not before it")
                row.request_id = request_id or b""
            keys = self._keys_of(row) if row.target is not None else []
            target = row.target or site.names.get(b"%d" % row.fields[0])
            if row.kind == CANCEL and target is not None:
                target.is_asked_back = True
        if row.batch is not None:
            return
        if request_id is not None:
            known = site.requests.get(request_id) or site.names.get(request_id)
            if known is not None and not site.may_forget(known.order_id):
                raise Contradiction("twice", f"{what} has the id of {known.order_id}")
            site.requests[request_id] = row
            assert row.target is not None, "checked above"
            site.aliases.setdefault(row.target.name, []).append(request_id)
        found = [origin for key in keys if (origin := site.talk.origins.get(key)) is not None]
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
        site = self._site
        target = row.target
        assert target is not None, "asked only of those that have one"
        _, price, lots, _, _, kind, _ = row.fields
        market, said = target.market, (row.request_id or None)
        ids = [target.name, *site.aliases.get(target.name, ())]
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
        site = self._site
        connection, transaction = command.connection, command.transaction
        if command.number < connection.last_number:
            before = connection.said[connection.last_number]
            raise Contradiction(
                "order", f"{what} is {command}, and stands behind {connection.last_order_id}, which is {before}"
            )
        connection.last_number, connection.last_order_id = command.number, order_id
        if transaction is not None:
            if transaction.commit not in (-1, site.commits):
                raise Contradiction("torn", f"{what} is {command}; what was before it in its EXEC is of another commit")
            transaction.commit = site.commits


def void_of(record: bytes) -> bytes:
    """The same as a VOID."""
    number, price, lots, instrument, account, _, flags = RECORD.unpack(record)
    return RECORD.pack(number, price, lots, instrument, account, 0, flags)
