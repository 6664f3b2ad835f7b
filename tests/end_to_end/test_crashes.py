"""Exactly once and in order, across SIGKILL of orderd, of the engine, or of both, while orders flow."""

from collections.abc import Callable

import pytest

from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.processes import Site, wait_until
from tests.support.scale import SCALE

MakeSite = Callable[..., Site]
KILLS = 3 * SCALE
SMALL_SEGMENTS = {"journal.segment_bytes": 262_144}


@pytest.mark.parametrize("victims", [("orderd",), ("engine",), ("orderd", "engine"), ("engine", "orderd")])
def test_every_acknowledged_order_is_placed_once_and_in_order_whoever_is_killed(
    make_site: MakeSite, victims: tuple[str, ...]
) -> None:
    orderd = {"reply_timeout_ms": 30_000, **SMALL_SEGMENTS, "limits.query_bytes_max": 65_536}
    site = make_site(orderd=orderd, engine=SMALL_SEGMENTS).start()
    loads = [Load(site.socket_path, number) for number in range(2)]
    for load in loads:
        load.start()
    for _ in range(KILLS):
        wait_for_progress(loads, wait_until)
        for victim in victims:
            getattr(site, victim).kill()
        if "engine" in victims:
            site.start_engine(wait=False)
        if "orderd" in victims:
            site.start_orderd()
    wait_for_progress(loads, wait_until)
    for load in loads:
        load.finish()
    account = check_exactly_once(site, loads)
    assert account.types["TRADE"] and account.types["CANCELED"] and account.types["REPLACED"]


def test_clean_restarts_of_both_ends_while_orders_flow_lose_nothing(make_site: MakeSite) -> None:
    site = make_site(orderd={"reply_timeout_ms": 30_000}).start()
    loads = [Load(site.socket_path, number) for number in range(2)]
    for load in loads:
        load.start()
    for _ in range(2 * SCALE):
        wait_for_progress(loads, wait_until)
        assert site.orderd.terminate() == 0
        site.start_orderd()
    wait_for_progress(loads, wait_until)
    for load in loads:
        assert "UNKNOWN" not in load.statuses, "the engine was there: all that was taken in was confirmed and told"
    assert site.engine.terminate() == 0
    site.start_engine()
    wait_for_progress(loads, wait_until)
    for load in loads:
        load.finish()
    check_exactly_once(site, loads)


def test_executions_keep_ids_and_contents_across_restarts_of_either_end(make_site: MakeSite) -> None:
    site = make_site().start()
    load = Load(site.socket_path, 1)
    load.start()
    wait_for_progress([load], wait_until)
    load.finish()
    site.wait_confirmed()
    with site.client() as client:
        before = client.executions()
        listed = client.call("ORDER.LIST", "ALL", "COUNT", 1000)
        book = client.call("BOOK", "AAPL", "DEPTH", 100)
    assert len(before) > 300
    for restart in ("kill", "terminate"):
        for process in (site.orderd, site.engine):
            getattr(process, restart)()
        site.start()
        with site.client() as client:
            # What was told before it was journaled here is told by the engine again.
            wait_until(lambda client=client: client.last_execution() >= before[-1][0], "all are here again")  # type: ignore[misc]
            assert client.executions() == before
            assert client.call("ORDER.LIST", "ALL", "COUNT", 1000) == listed
            assert client.call("BOOK", "AAPL", "DEPTH", 100) == book
    check_exactly_once(site, [load])


def test_an_outcome_is_told_again_after_a_crash(make_site: MakeSite) -> None:
    site = make_site().start()
    new = ("ORDER.NEW", "a", "AAPL", "BUY", 5, "LIMIT", "1.00")
    with site.client() as client:
        order = client.call(*new)
        batch = client.call(
            "ORDER.BATCH", "b", b"\x07" + bytes(7) + b"\x64" + bytes(7) + b"\x01" + bytes(7) + b"\x01\0\0\0\0\0\x01\0"
        )
        # A sync reply may come before its report is journaled here; the engine tells it again then.
        site.orderd.kill()
    site.start_orderd()
    site.wait_connected()
    site.wait_confirmed()
    with site.client() as client:
        received = client.info()["orders_last_id"]
        assert client.call(*new) == order
        again = client.call(
            "ORDER.BATCH", "b", b"\x07" + bytes(7) + b"\x64" + bytes(7) + b"\x01" + bytes(7) + b"\x01\0\0\0\0\0\x01\0"
        )
        assert again == batch and again["status"] == "DONE"
        assert client.info()["orders_last_id"] == received
