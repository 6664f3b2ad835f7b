"""Many orders, over a good path and a bad one: each confirmed once, in order."""

from collections.abc import Callable

import pytest

from tests.support.accounts import account_of
from tests.support.load import Load, check_exactly_once, records, wait_for_progress
from tests.support.processes import STEADY, Site, wait_until
from tests.support.resp_client import pack
from tests.support.scale import SCALE
from tests.support.udp_proxy import UdpProxy

MakeSite = Callable[..., Site]
SINGLE_ORDERS = 20_000 * SCALE
BATCHED_ORDERS = 200_000 * SCALE
BATCHED_ORDERS_LOSSY = 50_000 * SCALE
IN_A_BATCH = 2_000
BAD = {"drop": 0.2, "duplicate": 0.2, "swap": 0.2}


def send_single_orders(site: Site, count: int) -> None:
    with site.client() as client:
        for start in range(0, count, 20_000):
            data = b"".join(
                pack("ORDER.NEW", f"r{i}", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
                for i in range(start, min(count, start + 20_000))
            )
            replies = client.exchange(data, min(count, start + 20_000) - start)
            assert {reply["status"] for reply in replies} <= {"QUEUED"}
            assert [int(reply["order_id"]) for reply in replies] == list(range(start + 1, start + 1 + len(replies)))


def send_batches(site: Site, count: int) -> None:
    with site.client() as client:
        commands = [
            ("ORDER.BATCH", f"b{start}", records(start + 1, IN_A_BATCH), "MODE", "fire-and-forget")
            for start in range(0, count, IN_A_BATCH)
        ]
        replies = client.pipeline(commands)
        assert {reply["status"] for reply in replies} == {"QUEUED"}
        assert [int(reply["first_order_id"]) for reply in replies] == list(range(1, count + 1, IN_A_BATCH))


def check_each_once(site: Site, names: list[str]) -> None:
    site.wait_confirmed(120.0 * SCALE)
    with site.client() as client:
        account = account_of(client.executions())
        total = str(len(names))
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", total, total]]
        info = client.info()
        confirmed = (int(info["orders_confirmed_udp_total"]), int(info["orders_confirmed_grpc_total"]))
        assert sum(confirmed) == len(names)
        is_steady = STEADY.items() <= site.orderd_settings.items()
        assert confirmed[1] <= (0 if is_steady else len(names) / 10) or "GRPC_FALLBACK" in site.orderd.log
    assert account.types == {"NEW": len(names)}
    assert list(account.orders) == list(range(1, len(names) + 1)), "order ids ascend without a gap"
    assert [order.cl_ord_id for order in account.orders.values()] == names


def test_orders_through_one_pipelining_client_are_confirmed_once_each(make_site: MakeSite) -> None:
    site = make_site(orderd=STEADY).start()
    send_single_orders(site, SINGLE_ORDERS)
    check_each_once(site, [f"r{i}" for i in range(SINGLE_ORDERS)])


def test_orders_in_batches_are_confirmed_once_each(make_site: MakeSite) -> None:
    site = make_site(orderd=STEADY).start()
    send_batches(site, BATCHED_ORDERS)
    check_each_once(site, [str(i + 1) for i in range(BATCHED_ORDERS)])


@pytest.mark.parametrize(
    ("send", "names"),
    [
        (send_single_orders, [f"r{i}" for i in range(SINGLE_ORDERS)]),
        (send_batches, [str(i + 1) for i in range(BATCHED_ORDERS_LOSSY)]),
    ],
    ids=["single orders", "batches"],
)
def test_a_path_that_drops_doubles_and_swaps_loses_nothing_and_places_nothing_twice(
    make_site: MakeSite, send: Callable[[Site, int], None], names: list[str]
) -> None:
    site = make_site()
    with UdpProxy(site.engine_port, seed=7, **BAD) as proxy:
        site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
        site.start()
        send(site, len(names))
        check_each_once(site, names)
        for way in proxy.counters().values():
            assert way["drop"] and way["duplicate"] and way["swap"]
        with site.client() as client:
            assert int(client.info()["udp_retransmits_total"]) > 0


def test_mixed_flow_over_a_bad_path_with_both_ends_killed_is_placed_once(make_site: MakeSite) -> None:
    site = make_site(orderd={"reply_timeout_ms": 30_000})
    faults = {**BAD, "corrupt": 0.02, "truncate": 0.02, "delay": 0.2, "replay": 0.05}
    with UdpProxy(site.engine_port, seed=11, **faults) as proxy:
        site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
        site.start()
        loads = [Load(site.socket_path, number) for number in range(2)]
        for load in loads:
            load.start()
        for _ in range(2 * SCALE):
            wait_for_progress(loads, wait_until)
            site.engine.kill()
            site.start_engine(wait=False)
            wait_for_progress(loads, wait_until)
            site.orderd.kill()
            site.start_orderd()
        wait_for_progress(loads, wait_until)
        for load in loads:
            load.finish()
        check_exactly_once(site, loads)


def test_a_path_that_is_silent_for_a_while_is_told_as_down_and_all_is_confirmed_after(make_site: MakeSite) -> None:
    site = make_site(orderd={"engine.transport": "udp-only"})
    with UdpProxy(site.engine_port) as proxy:
        site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
        site.start()
        with site.client() as client:
            for direction in ("to_engine", "to_orderd"):
                proxy.set_one(direction, black_hole=1)
                order = client.call(
                    "ORDER.NEW", direction, "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget"
                )
                assert order["status"] == "QUEUED"
                site.orderd.wait_for_log("ENGINE_DOWN")
                wait_until(lambda: client.info()["transport_state"] == "ENGINE_DOWN", "the engine does not answer")
                proxy.heal()
                assert client.call("ORDER.WAIT", direction, 10_000)["status"] == "NEW"
                wait_until(lambda: client.info()["transport_state"] == "UDP_ENABLED", "the engine answers again")
            assert len(client.executions()) == 2
