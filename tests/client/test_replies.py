"""What the daemon answers becomes typed values, or is said to be no such answer."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.client import replies, requests
from orderd.client.errors import ClientError, Forgotten, ProtocolViolation, Trimmed, refusal
from orderd.client.replies import BatchOutcome, Book, BookLevel, Execution, MassCancelOutcome, Order
from orderd.client.values import ExecType, Side, Status

ORDER = {
    "cl_ord_id": "a1",
    "order_id": "7",
    "symbol": "AAPL",
    "side": "BUY",
    "status": "PARTIALLY_FILLED",
    "quantity": "100",
    "cum_qty": "40",
    "leaves_qty": "60",
    "avg_px": "187.251250",
    "path": "udp",
}
EXECUTION = {
    "exec_type": "TRADE",
    "cl_ord_id": "a1",
    "order_id": "7",
    "symbol": "AAPL",
    "side": "BUY",
    "account": "3",
    "last_qty": "40",
    "last_px": "187.25",
    "cum_qty": "40",
    "leaves_qty": "60",
    "status": "PARTIALLY_FILLED",
    "liquidity": "TAKER",
    "trade_id": "12",
    "transact_time_ns": "1795377191745533020",
}


def test_an_order_is_read_with_exact_decimals() -> None:
    order = Order.from_pairs(ORDER)
    assert order.side is Side.BUY and order.status is Status.PARTIALLY_FILLED and order.status == "PARTIALLY_FILLED"
    assert (order.order_id, order.quantity, order.avg_px) == (7, Decimal(100), Decimal("187.251250"))
    assert order.reason is None and order.triggered is None and not order.is_done


def test_what_only_some_orders_have_is_read_too() -> None:
    more = {"reason": "TOO_LATE", "stop_px": "190.00", "display_qty": "10", "min_qty": "5", "triggered": "1"}
    order = Order.from_pairs({**ORDER, **more, "expire_time": "2026-11-23T17:00:00Z", "later": "unknown"})
    assert (order.reason, order.stop_px, order.display_qty) == ("TOO_LATE", Decimal("190.00"), Decimal(10))
    assert (order.min_qty, order.triggered, order.expire_time) == (Decimal(5), True, "2026-11-23T17:00:00Z")


def test_a_forgotten_order_is_said_to_be_one() -> None:
    with pytest.raises(Forgotten) as caught:
        Order.from_pairs({"order_id": "9", "status": "UNKNOWN", "reason": "FORGOTTEN"})
    assert caught.value.order_id == 9


def test_an_execution_is_read_whole() -> None:
    execution = Execution.from_entry(["31", EXECUTION])
    assert (execution.exec_id, execution.exec_type, execution.last_px) == (31, ExecType.TRADE, Decimal("187.25"))
    assert (execution.liquidity, execution.trade_id, execution.account) == ("TAKER", 12, 3)


def test_an_execution_in_an_instrument_that_is_gone_is_read_without_it() -> None:
    keys = ("exec_type", "cl_ord_id", "order_id", "status", "transact_time_ns")
    execution = Execution.from_entry(["1", {key: EXECUTION[key] for key in keys}])
    assert (execution.symbol, execution.side, execution.last_qty) == ("", None, Decimal(0))


def test_a_book_is_read_level_by_level() -> None:
    book = Book.from_pairs({"symbol": "ES", "bids": [["4500.25", "7", "2"]], "asks": []})
    assert book == Book("ES", (BookLevel(Decimal("4500.25"), Decimal(7), 2),), ())


def test_a_mass_cancel_may_not_know() -> None:
    assert MassCancelOutcome.from_pairs({"cancelled": "3"}) == MassCancelOutcome(3)
    unknown = MassCancelOutcome.from_pairs({"cancelled": None, "status": "UNKNOWN", "reason": "SENT"})
    assert (unknown.cancelled, unknown.reason) == (None, "SENT")


def test_what_may_not_be_durable_has_no_number_and_a_reason() -> None:
    order = Order.from_pairs({**ORDER, "order_id": "0", "status": "UNKNOWN", "reason": "JOURNAL"})
    assert (order.order_id, order.status, order.reason) == (0, Status.UNKNOWN, "JOURNAL")
    pairs = {"batch_id": "b", "orders": "3", "accepted": "0", "rejected": "0", "trades": "0", "first_order_id": "0"}
    batch = BatchOutcome.from_pairs({**pairs, "status": "UNKNOWN", "reason": "NOT_SENT"})
    assert (batch.first_order_id, batch.reason) == (0, "NOT_SENT")
    assert BatchOutcome.from_pairs({**pairs, "status": "QUEUED"}).reason is None


@pytest.mark.parametrize("key", sorted(ORDER))
@pytest.mark.parametrize("value", [None, "", "-1", "maybe", 1.5, [], {}, "9" * 400])
def test_no_wrong_value_is_taken_for_another(key: str, value: Any) -> None:
    takes_text = key in ("cl_ord_id", "symbol", "path") and isinstance(value, str)
    takes_number = key in ("quantity", "cum_qty", "leaves_qty", "avg_px") and value in ("-1", "9" * 400)
    try:
        Order.from_pairs({**ORDER, key: value})
    except ProtocolViolation:
        assert not takes_text and not takes_number
    else:
        assert takes_text or takes_number


def test_errors_are_classes_by_their_first_word() -> None:
    assert type(refusal("NOPERM needs trade")).__name__ == "NotPermitted"
    assert type(refusal("LATERWORD x")).__name__ == "CommandError"
    trimmed = refusal("TRIMMED 12")
    assert isinstance(trimmed, Trimmed) and trimmed.first_id == 12
    assert isinstance(refusal("TRIMMED ²"), Trimmed)


_leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_keys = st.sampled_from([*ORDER, *EXECUTION, "bids", "asks", "cancelled", "reason", "tick", "lot", "id", "orders"])
_values = st.recursive(
    _leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=12), max_leaves=20
)
READERS = [
    request.read
    for request in (
        requests.status("a"),
        requests.mass_cancel(None, None, None),
        requests.order_page(0, is_open=True, symbol=None, account=None),
        requests.open_orders_at(0, None),
        requests.batch("b", b""),
        requests.reserve(1),
        requests.executions(0),
        requests.book("A", 1),
        requests.instruments(),
        requests.positions(None, None),
        requests.info(),
        requests.ping(),
        requests.hello(""),
    )
]


@given(st.sampled_from(READERS), _values)
def test_whatever_comes_only_errors_of_the_client_are_raised(read: Any, value: Any) -> None:
    with suppress(ClientError):
        read(value)


@given(st.sampled_from(READERS), st.sampled_from([ORDER, EXECUTION]), _keys, _values)
def test_a_reply_with_one_wrong_value_raises_only_errors_of_the_client(
    read: Any, pairs: dict[str, Any], key: str, value: Any
) -> None:
    changed = {**pairs, key: value}
    for reply in (changed, [changed], [["1", changed]], {"exec_id": "1", "orders": [changed]}):
        with suppress(ClientError):
            read(reply)
    assert replies.shown("x" * 1000).endswith("...")
