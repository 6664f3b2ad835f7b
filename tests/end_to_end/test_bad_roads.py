"""What is wrong with a road, or with whoever is at its end: no order is lost to it, and the log says what it is."""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from orderd.runtime.addresses import Address
from orderd.runtime.stream_sockets import address_of, bound_stream
from tests.support.accounts import account_of
from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.old_engine import OTHER_VERSION, OldEngine
from tests.support.processes import LATE_S, Site, wait_until
from tests.support.resp_client import pack
from tests.support.roads import Roads

MakeSite = Callable[..., Site]
MakeRoads = Callable[..., Roads]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
QUEUED: Final = ("MODE", "fire-and-forget")
UDP_COMES_FIRST: Final = {"udp.timeout_initial_ms": 2000}
"""However busy the machine is: gRPC is not asked before the first answer over UDP, by which time-outs are measured."""


@pytest.fixture
def deaf() -> Iterator[str]:
    """An address at which nobody listens."""
    with bound_stream(Address("127.0.0.1", 0)) as sock:
        yield str(address_of(sock))


def transport_lines(site: Site) -> list[str]:
    """What orderd's log says of changes: the state's name and all behind it."""
    return [line.split(" transport: ")[1] for line in site.orderd.log.splitlines() if " transport: " in line]


def states(site: Site) -> list[str]:
    """The states of those lines, in order."""
    return [line.split()[0] for line in transport_lines(site)]


def place_queued(site: Site, *names: str) -> None:
    with site.client() as client:
        for name in names:
            assert client.call("ORDER.NEW", name, *LIMIT, *QUEUED)["status"] == "QUEUED"


def check_placed(site: Site, *names: str) -> None:
    """These orders and no others were placed, once and in this order."""
    site.wait_confirmed()
    with site.client() as client:
        account = account_of(client.executions())
    assert account.types == {"NEW": len(names)}
    assert [order.cl_ord_id for order in account.orders.values()] == list(names)


def ends_with_one_line(site: Site, *texts: str) -> None:
    """orderd ends as it does when a person must look."""
    assert site.orderd.wait() == 3, site.orderd.log
    last = site.orderd.log.splitlines()[-1]
    assert last.startswith("orderd: ") and all(text in last for text in texts), site.orderd.log


def orders_of(site: Site) -> int:
    """How many the engine, which ends by that, has executed since its start."""
    assert site.engine.terminate() == 0
    found = re.search(r" orders=(\d+)", site.engine.log)
    assert found, site.engine.log
    return int(found[1])


# --- gRPC is gone, silent, resetting or talks nonsense ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("gone", "Connection refused"),
        ("silent", r"timed out after \d+ ms"),
        ("reset", "Connection (lost|reset)"),
        ("garbage", "(the other end does not speak HTTP/2|Protocol error|Connection lost)"),
    ],
)
def test_a_broken_grpc_shows_in_counters_while_udp_works_and_in_the_state_when_it_does_not(
    make_roads: MakeRoads, deaf: str, mood: str, reason: str
) -> None:
    is_gone = mood == "gone"
    # UDP takes longer to give the frame up once more than gRPC takes to fail, and the test to see it.
    timeout_ms = 120 if mood == "silent" else 60
    patience = {"grpc.timeout_ms": 300, "udp.timeout_initial_ms": timeout_ms, "udp.timeout_min_ms": timeout_ms}
    roads = make_roads(**patience, **({"engine.grpc": deaf} if is_gone else {}))
    client = roads.client
    roads.grpc.mood = "pass" if is_gone else mood  # type: ignore[assignment]
    # One order's frame is lost again and again. gRPC is asked, does not help, and UDP brings it after all.
    roads.block_udp()
    client.send(pack("ORDER.NEW", "a", *LIMIT))
    with roads.site.client() as other:
        wait_until(lambda: other.info()["grpc_calls_failed_total"] != "0", "gRPC was tried")
    roads.udp.heal()
    assert client.reply()["path"] == "udp"
    assert states(roads.site) == ["UDP_ENABLED"]

    roads.block_udp()
    place_queued(roads.site, "b", "c")
    roads.wait_state("ENGINE_DOWN")
    assert re.search(f"UDP: no answer to .*; gRPC: {reason}", roads.info("transport_reason"))
    assert client.call("ORDER.STATUS", "c")["status"] == "QUEUED"
    if is_gone:
        roads.udp.heal()
    roads.grpc.mood = "pass"
    assert client.call("ORDER.WAIT", "c", 20_000)["path"] == ("udp" if is_gone else "grpc")
    check_placed(roads.site, "a", "b", "c")
    assert states(roads.site)[:2] == ["UDP_ENABLED", "ENGINE_DOWN"]
    assert " error " not in roads.site.orderd.log


def test_a_start_with_neither_road_is_told_in_one_line_and_takes_orders(make_site: MakeSite) -> None:
    site = make_site()
    site.start_orderd()
    place_queued(site, "a")
    site.orderd.wait_for_log("ENGINE_DOWN")
    started = time.monotonic()
    assert site.orderd.terminate() == 0
    assert time.monotonic() - started < LATE_S, "there is nothing to wait for"
    (line,) = transport_lines(site)
    assert 'reason="UDP: not answered yet; gRPC: Connection refused"' in line
    # An engine of another version ends it, and changes nothing about that.
    udp = site.orderd_settings["engine.udp"]
    with OldEngine() as old:
        site.orderd_settings["engine.udp"] = old.udp
        site.launch_orderd()
        ends_with_one_line(site, f"VERSION: it speaks version {OTHER_VERSION}")
        assert old.others == 0
    site.orderd_settings["engine.udp"] = udp
    site.start()
    check_placed(site, "a")


# --- another version, another engine, another key ---------------------------------------------------------------------


def test_an_engine_of_another_version_behind_grpc_is_told_once_and_gets_no_orders(make_roads: MakeRoads) -> None:
    with OldEngine() as old:
        roads = make_roads(**{"engine.grpc": old.grpc}, **UDP_COMES_FIRST)
        assert roads.client.call("ORDER.NEW", "a", *LIMIT)["path"] == "udp"
        roads.block_udp()
        place_queued(roads.site, "b")
        roads.wait_state("ENGINE_DOWN")
        assert "VERSION" in roads.info("transport_reason")
        asked = old.asked
        wait_until(lambda: old.asked >= asked + 2, "it is asked again")
        assert old.others == 0
        assert roads.site.orderd.log.count("road leads astray") == 1
        roads.udp.heal()
        roads.wait_state("UDP_ENABLED")
        check_placed(roads.site, "a", "b")


def test_another_engine_behind_grpc_is_told_once_and_gets_no_orders(make_roads: MakeRoads, make_site: MakeSite) -> None:
    stranger = make_site()
    stranger.start_engine()
    roads = make_roads(**{"engine.grpc": str(stranger.grpc_address)}, **UDP_COMES_FIRST)
    assert roads.client.call("ORDER.NEW", "a", *LIMIT)["path"] == "udp"
    roads.block_udp()
    place_queued(roads.site, "b")
    roads.wait_state("ENGINE_DOWN")
    assert "this journal belongs to engine" in roads.info("transport_reason")
    failed = int(roads.info("grpc_calls_failed_total"))
    wait_until(lambda: int(roads.info("grpc_calls_failed_total")) >= failed + 2, "it is asked again")
    assert roads.site.orderd.log.count("road leads astray") == 1
    roads.udp.heal()
    roads.wait_state("UDP_ENABLED")
    check_placed(roads.site, "a", "b")
    assert orders_of(stranger) == 0


def test_another_key_is_told_at_the_start_and_orders_wait_for_the_right_one(
    make_site: MakeSite, tmp_path: Path
) -> None:
    keys = [tmp_path / name for name in ("ours", "theirs")]
    for path in keys:
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    ours, theirs = map(str, keys)
    site = make_site(engine={"key_file": theirs})
    site.start_engine(wait=False)
    for name, key in (("a", ours), ("b", "")):
        site.orderd_settings["engine.key_file"] = key
        site.start_orderd()
        place_queued(site, name)
        site.orderd.wait_for_log("ENGINE_DOWN")
        assert site.orderd.terminate() == 0
        (line,) = transport_lines(site)
        assert "UDP: not answered yet; gRPC: answered, but not to HELLO; has the engine the same key?" in line
    site.orderd_settings["engine.key_file"] = theirs
    site.start_orderd()
    check_placed(site, "a", "b")


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_stop_while_orders_go_over_grpc_loses_none(make_roads: MakeRoads) -> None:
    roads = make_roads(shutdown_timeout_ms=3000)
    loads = [Load(roads.site.socket_path, number) for number in range(2)]
    roads.block_udp()
    for load in loads:
        load.start()
    wait_until(lambda: roads.confirmed_over_grpc() > 100, "orders go over gRPC")
    started = time.monotonic()
    assert roads.site.orderd.terminate() == 0
    assert time.monotonic() - started < 3 + LATE_S
    roads.site.start_orderd()
    wait_for_progress(loads, wait_until)
    for load in loads:
        load.finish()
    check_exactly_once(roads.site, loads)


def test_a_stop_while_a_call_hangs_comes_in_time_and_its_orders_come_after_the_next_start(
    make_roads: MakeRoads,
) -> None:
    roads = make_roads(**{"shutdown_timeout_ms": 1000, "grpc.timeout_ms": 30_000})
    roads.block_udp()
    assert roads.client.call("ORDER.NEW", "a", *LIMIT)["path"] == "grpc"
    roads.grpc.mood = "silent"
    place_queued(roads.site, "b")
    roads.client.send(pack("ORDER.NEW", "c", *LIMIT))
    with roads.site.client() as other:
        wait_until(lambda: other.info()["orders_received_total"] == "3", "it is taken")
    started = time.monotonic()
    assert roads.site.orderd.terminate() == 0
    assert time.monotonic() - started < 1 + LATE_S
    (reply,) = roads.client.replies_until_closed()
    assert reply["status"] == "UNKNOWN"
    roads.grpc.mood = "pass"
    roads.site.start_orderd()
    check_placed(roads.site, "a", "b", "c")
