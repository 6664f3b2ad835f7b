"""How the paths to the engine are shown, from INFO's counters and from a real daemon."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console

from orderd.ctl import paths, paths_cli
from orderd.ctl.connection import Connection
from orderd.ctl.errors import Unreachable

Orderctl = Callable[..., Result]
STATES = ("UDP_ENABLED", "GRPC_FALLBACK", "ENGINE_DOWN")

INFO = {
    "transport": "udp-first",
    "transport_state": "GRPC_FALLBACK",
    "transport_reason": "no answer to 4 retransmissions",
    "transport_changes_total": "3",
    "engine_udp": "127.0.0.1:9001",
    "engine_grpc": "127.0.0.1:50051",
    "orders_confirmed_udp_total": "300",
    "orders_confirmed_grpc_total": "100",
    "udp_batches_sent_total": "90",
    "udp_retransmits_total": "10",
    "udp_exhausted_total": "1",
    "udp_probes_sent_total": "7",
    "udp_probes_answered_total": "2",
    "udp_round_trip_us": "210",
    "grpc_batches_sent_total": "5",
    "grpc_calls_total": "5",
    "grpc_calls_failed_total": "1",
    "grpc_round_trip_us": "12400",
}


def rendered(found: dict[str, Any]) -> list[str]:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(paths.table(found))
    return capture.get().splitlines()


def row(found: dict[str, Any], label: str) -> list[str]:
    (line,) = [line for line in rendered(found) if line.startswith(label)]
    return line[len(label) :].split()


def test_each_path_has_its_orders_share_losses_and_round_trip() -> None:
    found = paths.view(INFO)
    assert (found["state"], found["changes"]) == ("GRPC_FALLBACK", 3)
    assert (found["udp"]["confirmed"], found["udp"]["share"]) == (300, 0.75)
    assert (found["grpc"]["confirmed"], found["grpc"]["share"]) == (100, 0.25)
    assert found["udp"]["loss"] == 0.1
    assert "per_second" not in found
    assert rendered(found)[0] == "udp-first: GRPC_FALLBACK  no answer to 4 retransmissions, 3 changes"
    assert row(found, "orders confirmed") == ["300", "100"]
    assert row(found, "share") == ["75.0%", "25.0%"]
    assert row(found, "round trip") == ["210", "us", "12.4", "ms"]
    assert row(found, "probes answered") == ["2", "of", "7", "-"]
    assert row(found, "calls failed") == ["-", "1"]


def test_what_a_daemon_does_not_tell_is_none_and_a_dash() -> None:
    found = paths.view({"transport_state": "UDP_ENABLED", "orders_confirmed_udp_total": "0", "udp_round_trip_us": "0"})
    assert (found["transport"], found["reason"], found["changes"]) == (None, None, None)
    assert (found["udp"]["share"], found["udp"]["loss"], found["grpc"]["calls"]) == (None, None, None)
    assert rendered(found)[0] == "transport: UDP_ENABLED"
    assert row(found, "share") == ["-", "-"]
    assert row(found, "round trip") == ["-", "-"]
    json.dumps(found)
    json.dumps(paths.view({}))
    rendered(paths.view({}))


def test_rates_are_of_the_time_between_two_looks() -> None:
    later = INFO | {
        "orders_confirmed_udp_total": "310",
        "orders_confirmed_grpc_total": "190",
        "udp_batches_sent_total": "92",
        "udp_retransmits_total": "16",
    }
    rates = paths.view(later, INFO, 2.0)["per_second"]
    assert (rates["udp"]["confirmed"], rates["grpc"]["confirmed"]) == (5.0, 45.0)
    assert (rates["udp"]["share"], rates["grpc"]["share"]) == (0.1, 0.9)
    assert rates["udp"]["loss"] == 0.75
    assert rates["grpc"]["calls_failed"] == 0.0
    found = paths.view(later, INFO, 2.0)
    assert row(found, "orders confirmed") == ["310", "5", "190", "45"]
    assert paths.line(found) == (
        "GRPC_FALLBACK  UDP 5/s 10.0% 210 us  gRPC 45/s 90.0% 12.4 ms  retransmissions 3/s  calls failed 0/s"
    )


def test_a_daemon_that_was_started_again_has_no_rates_over_its_start() -> None:
    rates = paths.view(INFO | {"orders_confirmed_udp_total": "1"}, INFO, 1.0)["per_second"]
    assert rates["udp"]["confirmed"] is None
    assert rates["grpc"]["confirmed"] == 0.0


def test_paths_of_a_real_daemon(live: Orderctl) -> None:
    assert live("submit", "path-1", "AAPL", "BUY", 1, "--limit", "1.00").exit_code == 0
    found = json.loads(live("paths", "--json").stdout)
    assert found["state"] in STATES
    assert found["udp"]["confirmed"] >= 1
    assert found["udp"]["frames"] >= 1
    assert found["udp"]["retransmits"] is not None
    assert any(state in live("paths").stdout for state in STATES)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watching_goes_on_until_the_daemon_goes(
    live: Orderctl, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr(paths_cli, "INTERVAL_S", 0.001)
    looks = 0
    look = paths_cli._look

    def look_and_go(connection: Connection) -> dict[str, str]:
        nonlocal looks
        looks += 1
        if looks > 3:
            raise Unreachable("the daemon closed the connection")
        return look(connection)

    monkeypatch.setattr(paths_cli, "_look", look_and_go)
    result = live("paths", "--watch", *options)
    assert result.exit_code == 3
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        if options:
            assert json.loads(line)["per_second"]["udp"]["confirmed"] == 0.0
        else:
            assert line.startswith(tuple(f"{state}  UDP 0/s" for state in STATES))
