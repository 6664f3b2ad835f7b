"""The newest executions, made of reports in columns at a start. Pure."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from orderd.orders.executions import Chunk
from orderd.orders.page_window import PageWindow
from orderd.orders.report_columns import Column, Items
from orderd.orders.table import OrderTable
from orderd.wire.records import RECORD_BYTES, TEXT_NUMBER
from orderd.wire.reports import FULL_BYTES, HIDDEN, RANGE_BYTES

CHUNK_REPORTS: Final = 512
"""About as many as a frame can bring: a chunk is gone through from its beginning to be read."""

_HIDDEN: Final = list(HIDDEN)


def chunks_of(items: Items, first_report: int, first_entry: int, table: OrderTable) -> Iterator[Chunk]:
    """The executions of the entries from ``first_entry`` on; ``first_report`` is the number of the first of ``items``.

    To be called when the reports are applied and nothing that they are about is forgotten.
    """
    start = int(np.searchsorted(items.entry, first_entry))
    reports = np.append(0, np.cumsum(items.count))
    first_report += int(reports[start])
    items = items.part(start, len(items))
    if not len(items):
        return
    reports = np.append(0, np.cumsum(items.count))
    is_range = items.is_range
    ranged = np.append(0, np.cumsum(np.where(is_range, items.count, 0)))
    shown = np.append(0, np.cumsum(np.where(np.isin(items.exec_type, _HIDDEN), 0, items.count)))
    rows = _expanded(items.order[is_range], items.count[is_range])
    window = PageWindow(table, rows)
    records = window.records(window.at(rows)).tobytes()
    names = _names(_rows_of_names(items, rows), table)
    # The items that a chunk begins with: the first behind each so many reports.
    cuts = np.unique(np.searchsorted(reports[:-1], np.arange(0, int(reports[-2]) + 1, CHUNK_REPORTS)))
    ends = items.offset + np.where(is_range, RANGE_BYTES, FULL_BYTES)
    for a, b in zip(cuts.tolist(), [*cuts[1:].tolist(), len(items)], strict=True):
        ids = None if names is None else names[reports[a] : reports[b]]
        yield Chunk(
            first_report + int(reports[a]),
            items.data[items.offset[a] : ends[b - 1]],
            records[ranged[a] * RECORD_BYTES : ranged[b] * RECORD_BYTES],
            ids if ids is not None and any(ids) else None,
            int(shown[b] - shown[a]),
        )


def _expanded(firsts: Column, counts: Column) -> Column:
    rows: Column = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(int(counts.sum()))
    return rows


def _rows_of_names(items: Items, ranged: Column) -> Column:
    """For each report the row that may have a text id that it goes by; 0 for none."""
    is_range = np.repeat(items.is_range, items.count)
    found = np.zeros(len(is_range), np.int64)
    found[is_range] = ranged
    named = items.number[~items.is_range]
    found[~is_range] = np.where(named >= TEXT_NUMBER, named - np.uint64(TEXT_NUMBER), 0).astype(np.int64)
    return found


def _names(rows: Column, table: OrderTable) -> list[bytes | None] | None:
    """None if none has one."""
    in_pages = (rows >= table.base) & (rows < table.end)
    window = PageWindow(table, rows[in_pages])
    ids = window.text_ids()
    others = np.flatnonzero(~in_pages & (rows != 0)).tolist()
    if ids is None and not others:
        return None
    names: list[bytes | None] = [None] * len(rows)
    if ids is not None:
        at = window.at(rows[in_pages]).tolist()
        for place, index in zip(np.flatnonzero(in_pages).tolist(), at, strict=True):
            names[place] = ids[index]
    for place in others:
        found = table.locate(int(rows[place]))
        if found is not None and found[0].ids is not None:
            names[place] = found[0].ids[found[1]]
    return names
