"""How things read where the commands' tests do not get."""

import attrs
import hiredis

from orderd.intake import render
from orderd.orders.batches import Batch
from orderd.wire.reports import OrderStatus, Reason
from tests.support.site import Site, pairs_of, site_settings


def parse(data: bytes) -> object:
    reader = hiredis.Reader()
    reader.feed(data)
    return reader.gets()


def test_an_order_that_was_forgotten_before_its_reply_is_unknown() -> None:
    site = Site(site_settings(orders_remembered_max=1))
    reply = parse(render.order_pairs(site.desk, 3, 9))
    assert reply == {b"order_id": b"9", b"status": b"UNKNOWN", b"reason": b"FORGOTTEN"}
    assert parse(render.queued_pairs(site.desk, 3, 9)) == reply


def test_every_status_and_reason_has_a_name() -> None:
    assert {int(s) for s in OrderStatus} == set(render._STATUSES)
    assert {int(r) for r in Reason} == set(render._REASONS)
    assert render.request_reason(Reason.UNKNOWN_ORDER) == render.TOO_LATE
    assert render.request_reason(0) is None


def test_a_queued_order_reads_as_when_it_became_durable() -> None:
    site = Site()
    client = site.connect()
    client.pairs("ORDER.NEW", "7", "BTC", "SELL", "0.5", "LIMIT", "2.5")
    client.pairs("ORDER.NEW", "b", "BTC", "BUY", "0.2", "LIMIT", "2.5")
    queued = pairs_of(parse(render.queued_pairs(site.desk, 2, 1)))
    assert queued == {
        "cl_ord_id": "7", "order_id": "1", "symbol": "BTC", "side": "SELL", "status": "QUEUED", "quantity": "0.500",
        "cum_qty": "0.000", "leaves_qty": "0.500", "avg_px": "0", "path": "none",
    }  # fmt: skip


def test_a_batch_that_is_not_done_accepts_nothing_yet() -> None:
    batch = Batch(b"B", bytes(16), 5, 10, rejected=2, trades=1)
    assert pairs_of(parse(render.batch_pairs(3, batch, b"UNKNOWN")))["accepted"] == "0"
    assert pairs_of(parse(render.batch_pairs(3, batch, b"DONE")))["accepted"] == "8"


def test_an_execution_in_an_instrument_that_the_settings_lack_is_shown_without_it() -> None:
    site = Site()
    client = site.connect()
    client.pairs("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")
    (found,) = site.desk.executions.read(0, 1)
    elsewhere = attrs.evolve(found, report=attrs.evolve(found.report, instrument=99))
    shown = parse(render.execution(site.desk, 3, elsewhere))
    assert isinstance(shown, list)
    assert b"symbol" not in shown[1]
    assert shown[1][b"exec_type"] == b"NEW"
