"""orderd with an engine of its own: nothing to set up, started again when it dies, gone when orderd is."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.accounts import account_of
from tests.support.load import Load, check_exactly_once, wait_for_progress
from tests.support.needs import missing
from tests.support.processes import Process, Site, wait_until
from tests.support.resp_client import RespClient

MakeSite = Callable[..., Site]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")
EMBEDDED: Final = {"engine.embedded": True}


def engine_pid(site: Site) -> int:
    """The child's, as the log of the last start tells it."""
    return int(re.findall(r"engine started pid=(\d+)", site.orderd.log)[-1])


def is_gone(pid: int) -> bool:
    """Whether no process has this id; one that ended and that nobody asked about is gone too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_an_engine_that_dies_is_started_again_and_no_order_is_lost(make_site: MakeSite) -> None:
    site = make_site(orderd={**EMBEDDED, "reply_timeout_ms": 30_000})
    site.start_orderd()
    site.wait_connected()
    load = Load(site.socket_path, 1)
    load.start()
    for starts in (1, 2):
        wait_for_progress([load], wait_until)
        os.kill(engine_pid(site), signal.SIGKILL)
        wait_until(lambda n=starts: site.orderd.log.count("engine started") > n, "it is started again")  # type: ignore[misc]
    wait_for_progress([load], wait_until)
    load.finish()
    check_exactly_once(site, [load])
    child = engine_pid(site)
    assert site.orderd.terminate() == 0
    assert is_gone(child), "a clean end takes it along"


def test_a_module_of_that_name_where_orderd_was_started_is_not_taken_for_it(make_site: MakeSite) -> None:
    site = make_site(orderd=EMBEDDED)
    (site.directory / "engine.py").write_text("raise SystemExit('not the engine')\n")
    site.start_orderd()
    site.wait_connected()
    assert site.orderd.log.count("engine started") == 1


def test_its_grpc_port_outlives_it_too(make_site: MakeSite) -> None:
    site = make_site(orderd={**EMBEDDED, "engine.transport": "grpc-only", "reply_timeout_ms": 30_000})
    site.start_orderd()
    with site.client() as client:
        for start in (1, 2):
            placed = client.call("ORDER.NEW", f"a{start}", *LIMIT)
            assert (placed["status"], placed["path"]) == ("NEW", "grpc")
            os.kill(engine_pid(site), signal.SIGKILL)
            wait_until(lambda n=start: site.orderd.log.count("engine started") > n, "it is started again")  # type: ignore[misc]
    assert site.orderd.terminate() == 0


def test_the_engine_goes_when_orderd_is_killed_and_all_is_there_after_a_restart(make_site: MakeSite) -> None:
    site = make_site(orderd=EMBEDDED)
    for start in (1, 2, 3):
        site.start_orderd()
        site.wait_connected()
        with site.client() as client:
            assert client.call("ORDER.NEW", f"a{start}", *LIMIT)["status"] == "NEW"
        child = engine_pid(site)
        site.orderd.kill()
        wait_until(lambda pid=child: is_gone(pid), "the engine is gone")  # type: ignore[misc]
    site.start_orderd()
    site.wait_connected()
    with site.client() as client:
        assert [o.cl_ord_id for o in account_of(client.executions()).orders.values()] == ["a1", "a2", "a3"]
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", "3", "3"]]


def test_a_restart_does_not_wait_for_the_engine_of_the_killed_one_to_be_gone(make_site: MakeSite) -> None:
    site = make_site(orderd=EMBEDDED)
    site.start_orderd()
    site.wait_connected()
    with site.client() as client:
        client.call("ORDER.NEW", "a", *LIMIT)
    site.orderd.kill()
    site.start_orderd()
    site.wait_connected()
    with site.client() as client:
        assert client.call("ORDER.WAIT", "a", 10_000)["status"] == "NEW"
        assert client.call("BOOK", "AAPL")["bids"] == [["1.00", "1", "1"]]


def test_two_side_by_side_do_not_know_of_each_other(make_site: MakeSite) -> None:
    sites = [make_site(orderd=EMBEDDED) for _ in range(2)]
    for site in sites:
        site.launch_orderd()
    for number, site in enumerate(sites, 1):
        site.wait_ready()
        site.wait_connected()
        with site.client() as client:
            client.pipeline([("ORDER.NEW", f"a{i}", *LIMIT) for i in range(number)])
    for number, site in enumerate(sites, 1):
        with site.client() as client:
            assert client.call("BOOK", "AAPL")["bids"] == [["1.00", str(number), str(number)]]
    assert engine_pid(sites[0]) != engine_pid(sites[1])


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Process]:
    """``orderd run`` without any settings, its state below the test's directory."""
    runtime = tmp_path / "run"
    runtime.mkdir()
    places = {"XDG_STATE_HOME": str(tmp_path / "state"), "XDG_RUNTIME_DIR": str(runtime), "ORDERD_CONFIG": ""}
    process = Process("orderd", tmp_path, ["orderd", "run"], places)
    yield process
    process.clean_up()
    print(process.log)


def test_without_any_settings_it_runs_with_an_engine_of_its_own(plain: Process, tmp_path: Path) -> None:
    if Path("/etc/orderd/orderd.toml").exists():
        missing("this machine has settings for orderd, which would be taken")
    plain.launch()
    # Its journal has full size: a disk that is busy takes its time.
    plain.wait_for_log("UDP_ENABLED", 90.0)
    with RespClient(tmp_path / "run" / "orderd" / "orderd.sock") as client:
        assert client.call("ORDER.NEW", "a", *LIMIT)["status"] == "NEW"
    assert (tmp_path / "state" / "orderd" / "journal").is_dir()
    private = [path for path in (tmp_path / "state").rglob("key") if path.stat().st_mode & 0o077]
    assert not private, "the engine's key is nobody else's"
    assert plain.terminate() == 0
