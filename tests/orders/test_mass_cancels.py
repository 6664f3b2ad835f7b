"""Mass cancels under way are bounded by the work that they make at the engine, and one alone always passes."""

import pytest

from orderd.orders import mass_cancels
from orderd.orders.errors import Full
from orderd.orders.mass_cancels import LOOKS_MAX, MassCancels
from orderd.wire.records import RECORD, Kind
from tests.support.site import Site


def test_one_alone_passes_however_many_orders_there_are() -> None:
    bound = MassCancels()
    bound.check(1, LOOKS_MAX * 10, 1)
    bound.add(2, 1)
    with pytest.raises(Full, match=f"at most {LOOKS_MAX} at a time"):
        bound.check(1, LOOKS_MAX * 10, 1)
    bound.check(0, LOOKS_MAX * 10, 1)
    bound.check(1, LOOKS_MAX * 10, 2)


def test_with_few_orders_many_may_be_under_way_and_they_do_not_count_themselves() -> None:
    bound = MassCancels()
    for row in range(1, 10_001):
        bound.check(1, 2000 + bound.count, 1)
        bound.add(row + 1, 1)
    with pytest.raises(Full, match="look through 20002000 orders"):
        bound.check(1, 2000 + bound.count, 1)
    bound.check(1, 2000 + bound.count - 1, 2)


def test_what_is_beyond_leaves_no_trace_and_passes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mass_cancels, "LOOKS_MAX", 12)
    site = Site()
    client = site.connect()
    for name in "abcd":
        client.call("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00")
    site.engine.up = False
    for _ in range(4):
        client.send("ORDER.MASSCANCEL", "ACCOUNT", 9)
    site.pump()
    rows = site.desk.table.end
    refused = client.connection.client.waiter.replies[-1]
    assert refused == b"-FULL mass cancels would look through 16 orders at the engine, at most 12 at a time\r\n"
    records = RECORD.pack(0, 0, 0, 0, 0, Kind.MASS_CANCEL, 0) * 4
    client.send("ORDER.BATCH", "B", records)
    site.pump()
    assert site.desk.table.end == rows == 8
    site.engine.up = True
    site.advance(1)
    first, *others = client.replies()
    assert first == [b"cancelled", b"0"]
    assert [str(reply)[:5] for reply in others[2:]] == ["FULL ", "FULL "]
    assert client.pairs("ORDER.MASSCANCEL") == {"cancelled": "4"}
    assert client.pairs("ORDER.BATCH", "B", records)["status"] == "DONE", "there is nothing to look through now"
