"""Datagrams that are broken, old, or from nobody who may send: counted at both ends, without effect."""

import re
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.processes import Site, wait_until
from tests.support.udp_proxy import UdpProxy

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
FAULTS: Final = {"forge": 0.5, "replay": 0.3, "corrupt": 0.1, "truncate": 0.1}


def key_file(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32))
    return path


@pytest.mark.parametrize("keyed", [True, False])
def test_forged_broken_and_repeated_datagrams_have_no_effect(make_site: MakeSite, tmp_path: Path, keyed: bool) -> None:
    key = str(key_file(tmp_path / "key")) if keyed else ""
    site = make_site(orderd={"engine.key_file": key}, engine={"key_file": key})
    with UdpProxy(site.engine_port, seed=5, **FAULTS) as proxy:
        site.orderd_settings["engine.udp"] = f"127.0.0.1:{proxy.port}"
        site.start()
        loads = [Load(site.socket_path, 1)]
        loads[0].start()
        wait_for_progress(loads, wait_until, 2000)
        loads[0].finish()
        check_exactly_once(site, loads)
        with site.client() as client:
            rejected = int(client.info()["udp_datagrams_rejected_total"])
        ways = proxy.counters()
        assert all(way[fault] for way in ways.values() for fault in FAULTS), ways
        made_up = [way["forge"] + way["corrupt"] + way["truncate"] for way in ways.values()]
        # Not all have arrived when it is asked.
        assert rejected >= made_up[1] * 0.8
        assert site.engine.terminate() == 0
        stopped = re.search(r"frames_rejected=(\d+)", site.engine.log)
        assert stopped and int(stopped[1]) >= made_up[0] * 0.8, site.engine.log


def test_what_strangers_send_to_the_engine_has_no_effect(site: Site) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger, site.client() as client:
        stranger.connect(("127.0.0.1", site.engine_port))
        for i in range(200):
            for length in (0, 1, 48, 64, 300):
                stranger.send(secrets.token_bytes(length))
            stranger.send(b"\x64\x4f\x01" + bytes([i % 10]) + secrets.token_bytes(200))
            assert client.call("ORDER.NEW", f"a{i}", *LIMIT)["status"] == "NEW"
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):
            stranger.recv(2000)  # nothing is answered
        assert client.info()["udp_datagrams_rejected_total"] == "0"
    assert site.engine.terminate() == 0
    stopped = re.search(r"frames_rejected=(\d+)", site.engine.log)
    assert stopped and int(stopped[1]) == 1200


def test_ends_with_different_keys_never_connect_and_with_the_same_key_do(make_site: MakeSite, tmp_path: Path) -> None:
    ours, theirs = key_file(tmp_path / "ours"), key_file(tmp_path / "theirs")
    site = make_site(orderd={"engine.key_file": str(ours), "reply_timeout_ms": 100}, engine={"key_file": str(theirs)})
    site.start_engine()
    site.start_orderd()
    with site.client() as client:
        wait_until(lambda: int(client.info()["udp_datagrams_sent_total"]) >= 6, "it tries again and again")
        info = client.info()
        assert (info["transport_state"], info["udp_datagrams_received_total"]) == ("ENGINE_DOWN", "0")
        assert client.call("ORDER.NEW", "a", *LIMIT)["reason"] == "NOT_SENT"
        site.engine.terminate()
        for key in ("", str(ours)):
            site.engine_settings["key_file"] = key
            sent = int(client.info()["udp_datagrams_sent_total"])
            site.start_engine()
            if not key:
                wait_until(lambda s=sent: int(client.info()["udp_datagrams_sent_total"]) >= s + 4, "it tries again")  # type: ignore[misc]
                assert client.info()["transport_state"] == "ENGINE_DOWN"
                site.engine.terminate()
        assert client.call("ORDER.WAIT", "a", 10_000)["status"] == "NEW"
        wait_until(lambda: client.info()["transport_state"] == "UDP_ENABLED", "they are connected")
