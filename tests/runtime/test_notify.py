"""systemd is told when it listens, and nothing happens when it does not."""

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from orderd.runtime.notify import NOBODY, Notifier
from tests.support.notify_socket import NotifySocket, notify_socket


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[NotifySocket]:
    with notify_socket(tmp_path / "notify") as found:
        yield found


@pytest.fixture
def notifier(manager: NotifySocket) -> Notifier:
    return Notifier(str(manager.path))


def test_lines_arrive_as_one_datagram(manager: NotifySocket, notifier: Notifier) -> None:
    assert notifier.send("READY=1", "STATUS=trading")
    assert manager.lines == ["READY=1", "STATUS=trading"]
    assert len(manager.heard) == 1


def test_each_thing_to_tell_has_its_line(manager: NotifySocket, notifier: Notifier) -> None:
    assert notifier.send("READY=1") and notifier.status("all is well") and notifier.stopping()
    assert manager.lines == ["READY=1", "STATUS=all is well", "STOPPING=1"]


def test_a_status_never_makes_a_line_of_its_own(manager: NotifySocket, notifier: Notifier) -> None:
    notifier.status("evil\nREADY=1")
    assert manager.lines == ["STATUS=evil\\nREADY=1"]


async def test_around_a_reload_the_manager_knows_since_when_and_that_it_is_over(
    manager: NotifySocket, notifier: Notifier
) -> None:
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    async with notifier.reloading():
        reloading, since = manager.lines
        assert reloading == "RELOADING=1"
        assert before_us <= int(since.removeprefix("MONOTONIC_USEC=")) < before_us + 10_000_000
    assert manager.lines[2:] == ["READY=1"]
    with pytest.raises(ZeroDivisionError):
        async with notifier.reloading():
            raise ZeroDivisionError
    assert manager.lines[-1] == "READY=1", "refused settings are no reason to look busy for ever"


async def test_what_the_manager_waits_to_hear_is_told_again_until_there_is_room(
    manager: NotifySocket, notifier: Notifier, autojump_clock: trio.testing.MockClock
) -> None:
    while notifier.send("WATCHDOG=1"):
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.insist, "READY=1")
        await trio.sleep(3)
        assert manager.count("READY=1") == 0, "counting made room"
    assert manager.count("READY=1") == 1


async def test_a_manager_that_is_gone_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    await Notifier("/absent/socket").insist("READY=1")
    assert trio.current_time() == pytest.approx(10.0, abs=0.1)


def test_abstract_names_are_understood(tmp_path: Path) -> None:
    name = f"orderd-test-{uuid.uuid4()}"
    with notify_socket(Path(f"\0{name}")) as manager:
        assert Notifier(f"@{name}").send("WATCHDOG=1")
        assert manager.lines == ["WATCHDOG=1"]


@pytest.mark.parametrize("address", ["", "relative", "/absent/socket", "@" + "x" * 200, "/a\0b", "@absent"])
def test_an_address_that_leads_nowhere_is_no_error(address: str) -> None:
    assert not Notifier(address).send("READY=1")


def test_without_a_manager_nothing_is_sent() -> None:
    assert Notifier.take({}) == NOBODY
    assert not NOBODY.send("READY=1")


def test_a_manager_that_reads_nothing_never_blocks(notifier: Notifier) -> None:
    assert not all(notifier.send("WATCHDOG=1") for _ in range(100_000))


def test_what_the_manager_asks_is_taken_out_of_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert Notifier.take(environ) == Notifier("/run/n", 30.0)
    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("period_us", "pid"), [("0", ""), ("", ""), ("x", ""), ("-5", ""), ("²", ""), ("9", "1"), ("9" * 5000, "")]
)
def test_a_watchdog_that_is_not_ours_or_no_number_is_none(period_us: str, pid: str) -> None:
    environ = {"NOTIFY_SOCKET": "/run/n", "WATCHDOG_USEC": period_us, "WATCHDOG_PID": pid}
    assert Notifier.take(environ) == Notifier("/run/n", None)
    assert not environ


def test_a_watchdog_for_any_process_is_ours() -> None:
    assert Notifier.take({"WATCHDOG_USEC": "1500000"}).watchdog_s == 1.5


@given(st.dictionaries(st.sampled_from(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]), st.text()))
def test_whatever_the_environment_says_nothing_is_raised(environ: dict[str, str]) -> None:
    notifier = Notifier.take(environ)
    assert not environ
    assert not notifier.send("READY=1")
    assert notifier.watchdog_s is None or notifier.watchdog_s > 0
