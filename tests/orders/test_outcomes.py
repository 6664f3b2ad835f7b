"""Outcomes refuses what no engine of this journal can say; what it may say is tested with a real engine."""

import pytest

from orderd.link.report_intake import Delivery
from orderd.orders.batches import BatchLedger
from orderd.orders.errors import ReportMismatch
from orderd.orders.outcomes import Outcomes
from orderd.orders.table import ANSWERED, OrderTable
from orderd.wire.extensions import numbered, pack
from orderd.wire.paths import Path
from orderd.wire.records import RECORD, Attribute, Kind
from orderd.wire.reports import ExecType, OrderStatus, Reason, Report, encode_full, encode_range


def outcomes(rows: int = 6) -> tuple[Outcomes, OrderTable]:
    table = OrderTable(100, lambda *_: None)
    table.append(b"".join(RECORD.pack(i, 10, 5, 1, 0, Kind.NEW, 0) for i in range(1, rows + 1)))
    return Outcomes(table, BatchLedger()), table


def full(order: int, input_: int, *, final: bool = True, exec_type: ExecType = ExecType.REJECTED) -> bytes:
    return encode_full(Report(0, exec_type, order, input_, final, 1, status=OrderStatus.REJECTED))


@pytest.mark.parametrize(
    "items",
    [
        encode_range(1, 6, 1, final=True),
        encode_range(2, 1, 1, final=True),
        full(2, 2),
        full(6, 0, final=False),
        full(1, 6, final=False),
        encode_range(1, 2, 1, final=True) + full(2, 2),
        encode_range(1, 2, 1, final=True) + encode_range(2, 1, 1, final=True),
    ],
)
def test_a_report_on_what_was_not_sent_or_out_of_order_is_a_mismatch(items: bytes) -> None:
    with pytest.raises(ReportMismatch):
        outcomes()[0].apply(Delivery(1, items, 1), Path.UDP, sent_end=6)


def test_the_first_confirmation_gives_the_path_and_counts() -> None:
    told, table = outcomes()
    told.apply(Delivery(1, encode_range(1, 3, 1, final=True), 3), Path.UDP, 7)
    told.apply(Delivery(4, full(4, 4), 1), Path.GRPC, 7)
    told.apply(Delivery(5, full(2, 0, final=False, exec_type=ExecType.CANCELED), 1), Path.GRPC, 7)
    assert told.confirmed_end == 5
    assert told.counters.confirmed == {Path.NONE: 0, Path.UDP: 3, Path.GRPC: 1}
    assert told.counters.rejected == 1
    paths = [place[0].path[place[1]] for i in range(1, 6) if (place := table.locate(i)) is not None]
    assert paths == [Path.UDP, Path.UDP, Path.UDP, Path.GRPC, Path.NONE]


def test_a_void_is_an_order_that_expired_and_no_rejection() -> None:
    told, table = outcomes()
    chunk = told.apply(Delivery(1, full(1, 1, exec_type=ExecType.VOIDED), 1), Path.UDP, 7)
    page, row = table.locate(1) or pytest.fail("it is there")
    assert (page.status[row], page.reason[row]) == (OrderStatus.EXPIRED, Reason.MAXAGE)
    assert (told.confirmed_end, told.counters.rejected, table.open, table.done) == (2, 0, 0, 1)
    assert chunk.count == 1


def test_a_mass_cancel_is_answered_with_its_count_and_shown_as_its_cancels_alone() -> None:
    told, table = outcomes(rows=2)
    table.append(RECORD.pack(3, 0, 0, 0, 0, Kind.MASS_CANCEL, 0))
    told.apply(Delivery(1, encode_range(1, 2, 1, final=True), 2), Path.UDP, 4)
    each = [full(order, 3, final=False, exec_type=ExecType.CANCELED) for order in (1, 2)]
    last = encode_full(Report(0, ExecType.MASS_CANCELED, 0, 3, True, 1, cum_qty=2))
    chunk = told.apply(Delivery(3, b"".join(each) + last, 3), Path.UDP, 4)
    page, row = table.locate(3) or pytest.fail("it is there")
    assert (page.status[row], page.cancelled) == (ANSWERED, {row: 2})
    assert (chunk.count, told.confirmed_end, table.open) == (2, 4, 0)


def test_extensions_are_answered_and_are_no_executions() -> None:
    told, table = outcomes(rows=1)
    table.append(
        numbered(pack(1, [(Attribute.DISPLAY, 1), (Attribute.EXPIRY, 9)]), 7) + RECORD.pack(7, 1, 5, 1, 0, 1, 16)
    )
    taken = [encode_full(Report(0, ExecType.EXTENDED, 0, row, True, 1, number=7)) for row in (2, 3)]
    accepted = encode_range(1, 1, 1, final=True)
    chunk = told.apply(Delivery(1, accepted + b"".join(taken), 3), Path.UDP, 5)
    assert (chunk.count, told.confirmed_end, table.open, table.done) == (1, 4, 1, 2)
    chunk = told.apply(Delivery(4, encode_range(4, 1, 1, final=True), 1), Path.UDP, 5)
    assert (chunk.count, told.confirmed_end, table.open, table.done) == (1, 5, 2, 2)
    assert told.counters.confirmed[Path.UDP] == 2, "orders alone"
    assert told.counters.rejected == 0


def test_a_stop_order_is_open_before_its_trigger_and_after() -> None:
    told, table = outcomes(rows=1)
    told.apply(Delivery(1, encode_range(1, 1, 1, final=True), 1), Path.UDP, 2)
    page, row = table.locate(1) or pytest.fail("it is there")
    assert row not in page.triggered
    triggered = encode_full(Report(0, ExecType.TRIGGERED, 1, 0, False, 1, status=OrderStatus.REPLACED))
    chunk = told.apply(Delivery(2, triggered, 1), Path.UDP, 2)
    assert row in page.triggered
    assert (chunk.count, page.status[row], table.open) == (1, OrderStatus.REPLACED, 1)


def test_an_order_is_not_confirmed_before_the_last_of_what_it_caused() -> None:
    told, _ = outcomes()
    told.apply(Delivery(1, encode_range(1, 1, 1, final=False), 1), Path.UDP, 7)
    assert told.confirmed_end == 1
    told.apply(Delivery(2, full(1, 1, final=False, exec_type=ExecType.TRADE), 1), Path.UDP, 7)
    assert told.confirmed_end == 1
    told.apply(Delivery(3, full(1, 1, exec_type=ExecType.CANCELED), 1), Path.UDP, 7)
    assert told.confirmed_end == 2
