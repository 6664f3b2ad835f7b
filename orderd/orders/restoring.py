"""What the journal holds at a start: groups of orders, put back under their ids, and instruments. Pure."""

from collections.abc import Collection, Mapping

import attrs

from orderd.orders import entries
from orderd.orders.batches import Batch, BatchLedger
from orderd.orders.checks import check_batch
from orderd.orders.errors import BadOrder, InstrumentsChanged
from orderd.orders.ids import IdIndex
from orderd.orders.table import OrderTable
from orderd.runtime.instruments import InstrumentTable
from orderd.wire.records import RECORD, RECORD_BYTES, Kind


def new_instruments(known: Mapping[int, entries.InstrumentEntry], instruments: InstrumentTable) -> list[entries.Entry]:
    """Entries for the settings' instruments that the journal does not know.

    Raises :class:`~orderd.orders.errors.InstrumentsChanged` if one that it knows is another or gone.
    """
    for entry in known.values():
        instrument = instruments.by_id.get(entry.id)
        if instrument is None or instrument.digest != entry.digest:
            raise InstrumentsChanged(
                f"instrument {entry.id} is {entry.text} in the journal; symbol, tick and lot never change"
            )
    new = [instrument for instrument in instruments if instrument.id not in known]
    return [entries.InstrumentEntry(i.id, i.digest, f"{i.symbol} {i.tick} {i.lot}").encode() for i in new]


def restore_orders(
    group: entries.Orders, table: OrderTable, ids: IdIndex, batches: BatchLedger, instruments: Collection[int]
) -> None:
    """Raises :class:`~orderd.orders.entries.EntryError` for a group that cannot have been journaled after the rest."""
    if group.first != table.end:
        raise entries.EntryError(f"order {group.first} follows {table.end - 1}")
    table.append(group.records)
    named = set()
    for index, text in group.ids:
        table.set_id(group.first + index, text)
        ids.add(text, group.first + index)
        named.add(index)
    covered = 0
    for mark in group.batches:
        _restore_singles(group, ids, range(covered, mark.index), named)
        covered = mark.index + mark.count
        part = group.records[mark.index * RECORD_BYTES : covered * RECORD_BYTES]
        batch = Batch(mark.batch_id, mark.digest, group.first + mark.index, mark.count)
        _restore_batch(part, batch, ids, instruments)
        batches.add(batch)
    _restore_singles(group, ids, range(covered, len(group.records) // RECORD_BYTES), named)


def _restore_batch(records: bytes, batch: Batch, ids: IdIndex, instruments: Collection[int]) -> None:
    try:
        checked = check_batch(records, instruments)
    except BadOrder as error:
        raise entries.EntryError(f"batch from order {batch.first} on: {error}") from None
    if checked.numbers and ids.knows_any(checked.numbers, consecutive=checked.consecutive) is not None:
        # An id that had just been forgotten was used again; here the reports that made it so come after. Singles take
        # the place of what is known.
        checked = attrs.evolve(checked, consecutive=False)
    batch.extensions = checked.extensions
    ids.add_batch(checked, batch.first)


def _restore_singles(group: entries.Orders, ids: IdIndex, indexes: range, named: set[int]) -> None:
    for index in indexes:
        number, _, _, _, _, kind, _ = RECORD.unpack_from(group.records, index * RECORD_BYTES)
        if kind == Kind.NEW and index not in named:
            ids.add(b"%d" % number, group.first + index)
