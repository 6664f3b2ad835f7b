"""UDP and gRPC, broken and mended under real processes: each order is placed once, and all can see by which road."""

import os
import signal
from collections.abc import Callable

import attrs
import pytest

from tests.support.accounts import account_of
from tests.support.load import Load, check_exactly_once, records, wait_for_progress
from tests.support.processes import Site, wait_until
from tests.support.roads import Roads
from tests.support.scale import SCALE

ORDERS = 100_000 * SCALE
IN_A_BATCH = 1_000


def start_loads(site: Site) -> list[Load]:
    loads = [Load(site.socket_path, number) for number in range(2)]
    for load in loads:
        load.start()
    return loads


def finish(roads: Roads, loads: list[Load]) -> None:
    for load in loads:
        load.finish()
    check_exactly_once(roads.site, loads)


def test_udp_blocked_in_the_middle_of_many_orders_and_unblocked_again(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()

    def send(first: int, end: int) -> None:
        for start in range(first, end, IN_A_BATCH):
            reply = roads.client.call("ORDER.BATCH", f"b{start}", records(start, IN_A_BATCH), "MODE", "fire-and-forget")
            assert reply["status"] == "QUEUED"

    third = ORDERS // 4
    send(1, third)
    roads.block_udp()
    send(third + 1, 2 * third)
    roads.wait_state("GRPC_FALLBACK")
    roads.site.orderd.wait_for_log("GRPC_FALLBACK")
    send(2 * third + 1, 3 * third)
    roads.site.wait_confirmed()
    over_grpc = roads.confirmed_over_grpc()
    order = roads.client.call("ORDER.NEW", "seen", "AAPL", "BUY", 1, "LIMIT", "1.00")
    assert (order["status"], order["path"]) == ("NEW", "grpc")
    roads.udp.heal()
    roads.wait_state("UDP_ENABLED")
    send(3 * third + 1, ORDERS)
    roads.site.wait_confirmed()
    assert over_grpc >= third
    info = roads.client.info()
    total = int(info["orders_confirmed_udp_total"]) + int(info["orders_confirmed_grpc_total"])
    assert total == ORDERS + 1
    account = account_of(roads.client.executions())
    assert account.types == {"NEW": ORDERS + 1}
    names = [order.cl_ord_id for order in account.orders.values() if order.cl_ord_id != "seen"]
    assert names == [str(i) for i in range(1, ORDERS + 1)]


def test_the_state_is_told_once_for_each_change_with_a_reason(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()
    roads.block_udp()
    assert roads.client.call("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")["path"] == "grpc"
    roads.wait_state("GRPC_FALLBACK")
    assert "no answer to" in roads.client.info()["transport_reason"]
    roads.udp.heal()
    roads.wait_state("UDP_ENABLED")
    assert roads.client.call("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00")["path"] == "udp"
    assert roads.client.call("ORDER.STATUS", "a")["path"] == "grpc"
    lines = [line for line in roads.site.orderd.log.splitlines() if " transport: " in line]
    assert [line.split(" transport: ")[1].split()[0] for line in lines] == [
        "UDP_ENABLED",
        "GRPC_FALLBACK",
        "UDP_ENABLED",
    ]
    assert all("reason=" in line for line in lines)


@pytest.mark.parametrize("mood", ["reset", "silent", "garbage"])
def test_grpc_that_breaks_in_the_middle_of_the_fallback(make_roads: Callable[..., Roads], mood: str) -> None:
    roads = make_roads(**{"grpc.timeout_ms": 300})
    loads = start_loads(roads.site)
    wait_for_progress(loads, wait_until)
    roads.block_udp()
    wait_until(lambda: roads.confirmed_over_grpc() > 100, "orders go over gRPC")
    roads.grpc.mood = mood  # type: ignore[assignment]
    roads.wait_state("ENGINE_DOWN")
    roads.grpc.mood = "pass"
    roads.wait_state("GRPC_FALLBACK")
    wait_for_progress(loads, wait_until)
    roads.udp.heal()
    roads.wait_state("UDP_ENABLED")
    finish(roads, loads)


def test_an_engine_that_is_killed_and_started_during_the_fallback(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()
    loads = start_loads(roads.site)
    wait_for_progress(loads, wait_until)
    roads.block_udp()
    roads.wait_state("GRPC_FALLBACK")
    for _ in range(2 * SCALE):
        wait_for_progress(loads, wait_until)
        roads.site.engine.kill()
        roads.site.start_engine(wait=False)
        roads.wait_state("GRPC_FALLBACK")
    wait_for_progress(loads, wait_until)
    roads.udp.heal()
    roads.wait_state("UDP_ENABLED")
    finish(roads, loads)


def test_an_orderd_that_is_killed_during_the_fallback_goes_on_over_grpc(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()
    loads = start_loads(roads.site)
    wait_for_progress(loads, wait_until)
    roads.block_udp()
    roads.wait_state("GRPC_FALLBACK")
    wait_for_progress(loads, wait_until)
    roads.site.orderd.kill()
    roads.site.start_orderd()
    with roads.site.client() as client:
        again = attrs.evolve(roads, client=client)
        again.wait_state("GRPC_FALLBACK")
        wait_for_progress(loads, wait_until)
        roads.udp.heal()
        again.wait_state("UDP_ENABLED")
        finish(again, loads)


def test_an_engine_that_is_stopped_for_two_seconds_loses_nothing(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()
    loads = start_loads(roads.site)
    wait_for_progress(loads, wait_until)
    roads.site.engine.popen.send_signal(signal.SIGSTOP)
    roads.wait_state("ENGINE_DOWN")
    os.waitid(os.P_PID, roads.site.engine.popen.pid, os.WSTOPPED | os.WNOWAIT)
    roads.site.engine.popen.send_signal(signal.SIGCONT)
    roads.wait_state("UDP_ENABLED")
    wait_for_progress(loads, wait_until)
    finish(roads, loads)


def test_datagrams_that_arrive_after_their_twins_were_answered_over_grpc(make_roads: Callable[..., Roads]) -> None:
    roads = make_roads()
    loads = start_loads(roads.site)
    for _ in range(2 * SCALE):
        wait_for_progress(loads, wait_until)
        roads.udp.set_one("to_engine", delay=1, delay_ms=1500)
        roads.udp.set_one("to_orderd", black_hole=1)
        roads.wait_state("GRPC_FALLBACK")
        wait_for_progress(loads, wait_until)
        # The late ones go on arriving, while UDP carries again.
        roads.udp.heal()
        roads.wait_state("UDP_ENABLED")
    assert int(roads.client.info()["udp_exhausted_total"]) > 0
    finish(roads, loads)


@pytest.mark.parametrize("transport", ["udp-only", "grpc-only"])
def test_only_the_road_that_the_setting_names_is_used(make_roads: Callable[..., Roads], transport: str) -> None:
    roads = make_roads(**{"engine.transport": transport})
    path = transport.removesuffix("-only")
    assert roads.client.call("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")["path"] == path
    info = roads.client.info()
    assert info["transport"] == transport
    assert (roads.grpc.connections > 0) == (path == "grpc")
    assert (int(info["udp_datagrams_sent_total"]) > 0) == (path == "udp")
    assert roads.client.call("BOOK", "AAPL")["bids"] == [["1.00", "1", "1"]]
