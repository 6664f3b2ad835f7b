"""The blocking client against a real daemon and engine: each method does what it says."""

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from orderd.client import (
    BadOrder,
    Client,
    CommandError,
    Duplicate,
    Execution,
    Halted,
    NewOrder,
    NotFound,
    Order,
    SelfTradePrevention,
    Side,
    Status,
    Unanswered,
    arrays,
    requests,
)
from orderd.client.replies import BookLevel
from orderd.client.settings import default_socket
from tests.support.processes import Site


def test_an_order_lives_from_placed_to_cancelled(client: Client) -> None:
    placed = client.limit("AAPL", "BUY", 100, Decimal("100.25"), tif="GTC", account=5)
    assert (placed.status, placed.side, placed.quantity) == (Status.NEW, Side.BUY, Decimal(100))
    assert placed.path in ("udp", "grpc"), "whichever answers first"
    assert client.status(placed.cl_ord_id).order_id == placed.order_id
    replaced = client.replace(placed.cl_ord_id, 60, "100.50")
    assert (replaced.status, replaced.quantity) == (Status.REPLACED, Decimal(60))
    assert client.book("AAPL").bids == (BookLevel(Decimal("100.50"), Decimal(60), 1),)
    assert [order.cl_ord_id for order in client.list_open(symbol="AAPL", account=5)] == [placed.cl_ord_id]
    assert client.cancel(placed.cl_ord_id).status is Status.CANCELED
    again = client.cancel(placed.cl_ord_id)
    assert (again.status, again.reason) == (Status.CANCELED, "TOO_LATE")
    assert not client.list_open()


def test_a_trade_is_told_to_both_sides(client: Client) -> None:
    with client.executions() as executions:
        maker = client.limit("MSFT", "SELL", 10, "50.01")
        taker = client.market("MSFT", "BUY", 4)
        assert (taker.status, taker.avg_px) == (Status.FILLED, Decimal("50.01"))
        found: list[Execution] = []
        while len(found) < 4:
            found += executions.read(timeout_s=30)
        trades = [one for one in found if one.exec_type == "TRADE"]
        assert {one.cl_ord_id: one.liquidity for one in trades} == {maker.cl_ord_id: "MAKER", taker.cl_ord_id: "TAKER"}
        assert trades[0].trade_id == trades[1].trade_id
        left = client.replace(maker.cl_ord_id, 2, "50.02", is_open=True)
        assert (left.quantity, left.leaves_qty) == (Decimal(6), Decimal(2))


def test_the_same_order_again_is_one_order_and_another_is_a_duplicate(client: Client) -> None:
    order = NewOrder("AAPL", "BUY", 1, "90", cl_ord_id="client-once")
    assert client.place(order).order_id == client.place(order).order_id
    with pytest.raises(Duplicate):
        client.limit("AAPL", "BUY", 2, "90", cl_ord_id="client-once")


def test_errors_are_classes_with_the_daemons_text(client: Client) -> None:
    with pytest.raises(BadOrder, match="187.255") as caught:
        client.limit("AAPL", "BUY", 1, "187.255")
    assert caught.value.word == "BADORDER"
    with pytest.raises(NotFound):
        client.status("never-seen")
    with pytest.raises(CommandError, match="unknown command"):
        client.command("GET", "key")
    with pytest.raises(ValueError, match="is not ASCII"):
        client.status("mañana")
    with pytest.raises(BadOrder):
        client.status("two words")


def test_many_orders_travel_together_and_answer_in_order(client: Client) -> None:
    orders = [NewOrder("AAPL", "BUY", 1 + i % 7, "80" if i != 500 else "80.005") for i in range(1500)]
    outcomes = client.place_many(orders)
    assert isinstance(outcomes[500], BadOrder)
    placed = [order for order in outcomes if isinstance(order, Order)]
    assert len(placed) == 1499 and all(order.status is Status.NEW for order in placed)
    assert [order.order_id for order in placed] == sorted(order.order_id for order in placed)
    # More than a page.
    assert [order.cl_ord_id for order in client.list_open()] == [order.cl_ord_id for order in placed]
    assert client.mass_cancel(symbol="AAPL", side="BUY").cancelled == 1499


def test_an_order_that_was_not_waited_for_is_resolved(client: Client) -> None:
    queued = client.limit("AAPL", "BUY", 1, "70", mode="fire-and-forget")
    assert queued.status is Status.QUEUED
    assert client.resolve(queued).status is Status.NEW
    assert client.wait(queued.cl_ord_id, 1000).status is Status.NEW


def test_batches_come_from_orders_and_from_arrays(client: Client) -> None:
    numbered = client.batch_of([NewOrder("AAPL", "BUY", 2, "60.01"), NewOrder("MSFT", "SELL", 3, "99")])
    assert (numbered.outcome.status, numbered.outcome.accepted, numbered.outcome.rejected) == ("DONE", 2, 0)
    assert client.status(numbered.cl_ord_id(1)).symbol == "MSFT"

    aapl = client.instruments()["AAPL"]
    numbers = client.reserve(100) + np.arange(100)
    records = arrays.new_records(aapl, numbers, np.zeros(100, bool), 5, 5000 + np.arange(100))
    first = client.batch(records, batch_id="client-batch")
    assert first == client.batch(records, batch_id="client-batch")
    assert first.accepted == 100
    assert client.batch(arrays.cancel_records(aapl, numbers[:40])).accepted == 40
    assert len(client.list_open(symbol="AAPL")) == 61
    with pytest.raises(Duplicate, match="record 0"):
        client.batch(records)


def test_trading_can_be_halted_and_the_mode_set(client: Client) -> None:
    client.trading("HALTED")
    try:
        with pytest.raises(Halted):
            client.limit("AAPL", "BUY", 1, "1")
    finally:
        client.trading("ACTIVE")
    assert client.mode() == "sync"
    client.mode("batch")
    assert client.mode() == "batch"
    client.mode("sync")
    client.ping()
    assert client.info("server")


def test_executions_go_on_from_a_place_that_was_kept(client: Client) -> None:
    with client.executions() as executions:
        start = executions.exec_id
        placed = [client.limit("AAPL", "BUY", 1, "1") for _ in range(5)]
        assert [next(executions).cl_ord_id for _ in range(3)] == [order.cl_ord_id for order in placed[:3]]
        kept = executions.exec_id
    with client.executions(kept) as executions:
        assert [next(executions).cl_ord_id for _ in range(2)] == [order.cl_ord_id for order in placed[3:]]
        assert executions.exec_id == start + 5
        assert executions.read() == []
        assert executions.read(timeout_s=0.01) == []
    with client.executions(0) as executions:
        assert next(executions).exec_id == 1


def test_the_stream_of_one_account_passes_over_the_others(client: Client) -> None:
    with client.executions(account=51) as executions:
        start = executions.exec_id
        client.limit("AAPL", "BUY", 1, "1", account=50)
        mine = client.limit("AAPL", "BUY", 1, "1", account=51)
        assert next(executions).cl_ord_id == mine.cl_ord_id and executions.exec_id == start + 2
        client.limit("AAPL", "BUY", 1, "1", account=50)
        assert executions.read() == executions.read() == []
        assert executions.exec_id == start + 3


def test_open_orders_are_rebuilt_from_a_list_and_what_follows_it(client: Client) -> None:
    early = [client.limit("ES", side, 5, px) for side, px in (("BUY", "100.00"), ("SELL", "101.00"), ("BUY", "99.75"))]
    client.market("ES", "BUY", 2)
    orders = client.rebuild()
    assert [one.cum_qty for one in orders.by_id.values()] == [0, 2, 0]
    client.cancel(early[0].cl_ord_id)
    client.replace(early[2].cl_ord_id, 9, "99.50")
    late = client.limit("ES", "SELL", 4, "99.50")
    client.market("ES", "BUY", 3)
    with client.executions(orders.exec_id) as executions:
        while found := executions.read(timeout_s=0.2):
            for execution in found:
                orders.take(execution)
    truth = {one.order_id: (one.cl_ord_id, one.status, one.cum_qty, one.leaves_qty) for one in client.list_open()}
    assert {
        one.order_id: (one.cl_ord_id, one.status, one.cum_qty, one.leaves_qty) for one in orders.by_id.values()
    } == truth
    assert set(truth) == {early[2].order_id} and late.status is Status.FILLED
    assert len(client.rebuild(account=77).by_id) == 0


def test_the_whole_vocabulary_is_taken(client: Client) -> None:
    resting = client.limit("AAPL", "SELL", 10, "20.00", account=31, display=2)
    assert resting.display_qty == client.book("AAPL").asks[0].quantity == 2
    assert client.limit("AAPL", "BUY", 1, "20.00", post_only=True).reason == "POST_ONLY"
    own = client.limit("AAPL", "BUY", 1, "20.00", account=31, stp=SelfTradePrevention.CANCEL_NEWEST)
    assert (own.status, own.reason) == (Status.CANCELED, "SELF_TRADE")
    assert client.limit("AAPL", "BUY", 50, "20.00", min_qty=11).reason == "MINIMUM_QUANTITY"
    until = datetime.now(UTC) + timedelta(hours=1)
    gtd = client.limit("AAPL", "BUY", 1, "10.00", gtd=until)
    assert gtd.expire_time is not None and gtd.expire_time.startswith(f"{until:%Y-%m-%dT%H:%M:%S}")
    stop = client.market("AAPL", "BUY", 3, stop="20.00", tif="GTC")
    assert (stop.status, stop.stop_px, stop.triggered) == (Status.NEW, Decimal("20.00"), False)
    client.market("AAPL", "BUY", 1)
    assert client.resolve(stop).triggered
    batch = client.batch_of([NewOrder("AAPL", "BUY", 7, "9.00", display=2, gtd=until, stp="CANCEL_OLDEST")])
    assert batch.outcome.accepted == 1 and client.status(batch.cl_ord_id(0)).display_qty == 2


def test_positions_are_told(client: Client) -> None:
    client.limit("MSFT", "SELL", 5, "30.00", account=41)
    client.limit("MSFT", "BUY", 8, "30.00", account=42)
    (position,) = client.positions(account=42, symbol="MSFT")
    assert position.net == 5 and position.open_buy == 3 and position.open_sell == 0
    assert client.trading("REDUCING", account=42) == "OK" and client.trading(account=42) == "REDUCING"
    client.trading("ACTIVE", account=42)


def test_requests_can_be_made_first_and_sent_together(client: Client) -> None:
    some = [requests.ping(), requests.command("ECHO", "hello"), requests.status("never-seen")]
    pong, hello, missing = client.call_many(some)
    assert (pong, hello) == ("PONG", "hello") and isinstance(missing, NotFound)


def test_a_daemon_that_is_not_there_is_told_with_the_request_to_make_again(tmp_path: Path) -> None:
    with Client(tmp_path / "nobody", retry_s=0.05) as client:
        with pytest.raises(Unanswered, match="cannot connect to .*nobody: No such file") as caught:
            client.limit("AAPL", "BUY", 1, "1", cl_ord_id="a1")
        assert caught.value.request.id == "a1"
        outcomes = client.place_many([NewOrder("AAPL", "BUY", 1, "1") for _ in range(1500)])
        assert len(outcomes) == 1500 and all(isinstance(outcome, Unanswered) for outcome in outcomes)
    with pytest.raises(ValueError, match="above zero"):
        Client(tmp_path / "nobody", retry_s=0)


def test_where_no_daemon_ever_was_the_wrong_path_is_told_soon(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderd.client.line.FIRST_CONNECT_S", 0.05)
    with Client(tmp_path / "later", retry_s=20) as client:
        with pytest.raises(Unanswered, match=r"within 0\.05 s: cannot connect to .*later: No such file"):
            client.ping()
        (tmp_path / "later").symlink_to(site.socket_path)
        monkeypatch.setattr("orderd.client.line.FIRST_CONNECT_S", 30)
        client.ping()
        client.close()
        monkeypatch.setattr("orderd.client.line.FIRST_CONNECT_S", 0.05)
        (tmp_path / "later").unlink()
        back = threading.Timer(0.3, (tmp_path / "later").symlink_to, (site.socket_path,))
        back.start()
        with client.executions(0) as stream:
            stream.read()
        client.ping()
        back.join()


def test_the_socket_is_found_as_the_daemon_makes_it(tmp_path: Path) -> None:
    assert default_socket({"ORDERD_SOCKET": "/some/where"}) == Path("/some/where")
    assert default_socket({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "orderd" / "orderd.sock"


def test_ids_are_used_nowhere_else(site: Site) -> None:
    ids = {Client().new_id() for _ in range(100)}
    assert len(ids) == 100 and all(len(one) <= 64 and not one.isdigit() for one in ids)
    with Client(site.socket_path, id_prefix="desk-7") as client:
        assert client.new_id() == "desk-7-1"
