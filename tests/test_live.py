"""Settings change whole or not at all, one reload after the other, and no order is lost or overtaken by it."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import structlog
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from orderd.config import AccessSettings, Settings
from orderd.intake.access import Members
from orderd.live import SettingsOwner
from orderd.orders.modes import MODE_NAMES, Mode
from orderd.runtime.settings import SettingsError
from tests.support.site import INSTRUMENTS, Site, pairs_of, site_settings

BASE = Settings(instrument=INSTRUMENTS)


class File:
    """A settings file whose reading a test can hold up."""

    place = "a.toml"

    def __init__(self, content: "Settings | SettingsError") -> None:
        self.content = content
        self.reads = 0
        self.may_end = threading.Event()
        self.may_end.set()
        self.began = threading.Semaphore(0)

    def load(self) -> Settings:
        self.reads += 1
        content = self.content
        self.began.release()
        assert self.may_end.wait(10)
        if isinstance(content, SettingsError):
            raise content
        return content


def owner_of(file: File) -> tuple[SettingsOwner, list[tuple[Settings, Settings]]]:
    owner, seen = SettingsOwner(BASE, file), []
    owner.on_change(lambda old, new: seen.append((old, new)))
    return owner, seen


def reload(owner: SettingsOwner) -> str | None:
    answers: list[str | None] = []
    owner.ask_reload("SIGHUP", answers.append)
    owner.reload_if_asked()
    (answer,) = answers
    return answer


def lines_of(act: Callable[[], object]) -> list[Any]:
    with structlog.testing.capture_logs() as lines:
        act()
    return lines


def test_what_may_change_is_put_in_force_and_told_to_every_part_in_one_line_of_the_log() -> None:
    new = attrs.evolve(BASE, mode="batch", batch=attrs.evolve(BASE.batch, linger_ms=2.5))
    owner, seen = owner_of(File(new))
    others: list[Settings] = []
    owner.on_change(lambda _, now: others.append(now))
    (line,) = lines_of(lambda: reload(owner))
    assert line == {
        "event": "settings changed", "log_level": "info", "component": "settings", "by": "SIGHUP", "source": "a.toml",
        "mode": "sync -> batch", "batch.linger_ms": "1.0 -> 2.5",
    }  # fmt: skip
    assert seen == [(BASE, new)]
    assert others == [new]
    assert owner.current == owner.settings.value == new
    assert (owner.in_force.mode, owner.in_force.shown["batch.linger_ms"]) == (Mode.BATCH, "2.5")


def test_a_reload_that_finds_nothing_new_says_so() -> None:
    owner, _ = owner_of(File(attrs.evolve(BASE)))
    (line,) = lines_of(lambda: reload(owner))
    assert (line["event"], line["by"]) == ("settings are as before", "SIGHUP")


def test_keys_that_need_a_restart_are_all_named_and_nothing_of_the_file_is_taken() -> None:
    listen = attrs.evolve(BASE.listen, clients_max=7)
    new = attrs.evolve(BASE, mode="batch", shutdown_timeout_ms=1, listen=listen, instrument=INSTRUMENTS[:1])
    owner, seen = owner_of(File(new))
    with structlog.testing.capture_logs() as lines:
        answer = reload(owner)
    assert answer is not None
    assert answer.startswith(
        "shutdown_timeout_ms is 10000 and cannot become 1, listen.clients_max is 1024 and cannot become 7, "
        'instrument is [{symbol = "AAPL", id = 1, tick'
    )
    assert answer.endswith(" without a restart")
    assert len(answer) < 500
    assert [(line["log_level"], line["reason"]) for line in lines] == [("error", answer)]
    assert (seen, owner.current) == ([], BASE)


def test_a_file_that_cannot_be_used_leaves_the_old_settings_in_force() -> None:
    file = File(SettingsError("a.toml:3: no value"))
    owner, seen = owner_of(file)
    assert reload(owner) == "a.toml:3: no value"
    assert (seen, owner.current) == ([], BASE)
    file.content = attrs.evolve(BASE, reply_timeout_ms=77)
    assert reload(owner) is None
    assert owner.in_force.reply_timeout == 0.077


def test_mode_is_in_force_at_once_and_until_the_next_reload() -> None:
    owner, seen = owner_of(File(BASE))
    (line,) = lines_of(lambda: owner.set_mode(Mode.FIRE_AND_FORGET, "MODE by client 7 (desk)"))
    assert (line["by"], line["mode"]) == ("MODE by client 7 (desk)", "sync -> fire-and-forget")
    assert owner.current.mode == "fire-and-forget"
    assert owner.in_force.shown["mode"] == "fire-and-forget"
    assert len(seen) == 1
    (line,) = lines_of(lambda: reload(owner))
    assert line["mode"] == "fire-and-forget -> sync"
    assert owner.current == BASE


def test_a_name_that_stands_for_another_user_now_is_taken_over() -> None:
    """The file is the same, the system's accounts are not."""
    access = AccessSettings()
    rules = attrs.evolve(access.rules, trade=Members(frozenset({7})))
    object.__setattr__(access, "rules", rules)
    owner, seen = owner_of(File(attrs.evolve(BASE, access=access)))
    reload(owner)
    assert len(seen) == 1
    assert owner.in_force.access == rules
    owner.set_mode(Mode.BATCH, "MODE")
    assert owner.in_force.access == rules


async def test_reloads_are_done_one_after_the_other_and_who_asks_meanwhile_is_served_by_the_next() -> None:
    file = File(attrs.evolve(BASE, mode="batch"))
    owner, seen = owner_of(file)
    answers: list[tuple[int, str | None, str]] = []

    def ask(number: int) -> None:
        owner.ask_reload(f"client {number}", lambda why_not: answers.append((number, why_not, owner.current.mode)))

    tellings: list[int] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(owner.run, lambda: tellings.append(len(answers)))
        file.may_end.clear()
        ask(1)
        await trio.to_thread.run_sync(file.began.acquire)
        file.content = SettingsError("a.toml is broken")
        for number in range(2, 100):
            ask(number)
        await trio.testing.wait_all_tasks_blocked()
        assert answers == [], "the loop is free while the file is read"
        file.may_end.set()
        with trio.fail_after(5):
            while len(answers) < 99:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert answers[0] == (1, None, "batch")
    assert answers[1:] == [(number, "a.toml is broken", "batch") for number in range(2, 100)]
    assert (file.reads, len(seen), tellings) == (2, 1, [1, 99])


async def test_whoever_started_the_daemon_hears_of_a_reload_before_and_after_it_even_if_it_is_refused() -> None:
    file = File(attrs.evolve(BASE, mode="batch"))
    owner, _ = owner_of(file)
    events: list[str] = []

    @asynccontextmanager
    async def around() -> AsyncIterator[None]:
        events.append(f"begin {owner.current.mode}")
        yield
        events.append(f"end {owner.current.mode}")

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.run, lambda: events.append("told"), around)
            for content in (file.content, SettingsError("broken")):
                file.content = content
                owner.ask_reload("SIGHUP")
                count = len(events)
                while len(events) < count + 3:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert events == ["begin sync", "told", "end batch", "begin batch", "told", "end batch"]


async def test_an_end_does_not_wait_for_a_file_that_cannot_be_read() -> None:
    file = File(BASE)
    owner, _ = owner_of(file)
    file.may_end.clear()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(owner.run, lambda: None)
            owner.ask_reload("SIGHUP")
            await trio.to_thread.run_sync(file.began.acquire)
            nursery.cancel_scope.cancel()
    file.may_end.set()


# --- orders while settings change -------------------------------------------------------------------------------------


def order(name: str) -> tuple[str | int, ...]:
    return ("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1")


def test_a_shorter_linger_holds_for_orders_that_wait_and_a_longer_one_delays_none() -> None:
    slow, slower = {"linger_ms": 1000.0}, {"linger_ms": 10_000.0}
    site = Site(site_settings(mode="batch", batch=slow))
    client, admin = site.connect(), site.connect()
    client.send(*order("a"))
    site.advance(0.1)
    assert site.engine.core.counters.orders == 0
    site.file = site_settings(mode="batch", batch=slower)
    admin.call("CONFIG", "RELOAD")
    site.advance(0.95)
    assert site.engine.core.counters.orders == 1, "as it was promised"
    client.send(*order("b"))
    site.advance(0.5)
    assert site.engine.core.counters.orders == 1
    site.file = site_settings(mode="batch", batch={"linger_ms": 501.0})
    admin.call("CONFIG", "RELOAD")
    assert site.engine.core.counters.orders == 1
    site.advance(0.002)
    assert site.engine.core.counters.orders == 2
    client.send(*order("c"))
    client.send(*order("d"))
    site.pump()
    site.file = site_settings(mode="batch", batch={"linger_ms": 10_000.0, "orders_max": 2})
    admin.call("CONFIG", "RELOAD")
    site.advance(0.001)
    assert site.engine.core.counters.orders == 4, "two wait, and two are enough now"


def test_orders_that_wait_for_company_stay_before_those_of_a_new_mode() -> None:
    site = Site(site_settings(mode="batch", batch={"linger_ms": 10_000.0}))
    client = site.connect()
    client.send(*order("a"))
    client.send("MODE", "sync")
    site.advance(1)
    assert site.engine.core.counters.orders == 0, "a mode is for the orders behind it"
    client.send(*order("b"))
    site.pump()
    assert [reply for reply in client.replies() if reply != b"OK"]
    executions = client.call("EXEC.READ", 0)
    assert [pairs_of(pairs)["cl_ord_id"] for _, pairs in executions] == ["a", "b"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.integers(1, 4)),
        st.tuples(st.just("mode"), st.sampled_from(list(MODE_NAMES))),
        st.tuples(st.just("reload"), st.tuples(st.sampled_from(list(MODE_NAMES)), st.sampled_from([0.0, 1.0, 50.0]))),
        st.tuples(st.just("bad reload"), st.none()),
        st.tuples(st.just("wait"), st.floats(0, 0.03)),
        st.tuples(st.just("engine"), st.booleans()),
    ),
    max_size=25,
)


@given(ACTIONS)
def test_no_change_of_settings_loses_doubles_or_reorders_an_order_or_a_reply(actions: list[tuple[str, Any]]) -> None:
    site = Site(site_settings(other={"reply_timeout_ms": 3_600_000}))
    client, admin = site.connect(), site.connect()
    names: list[str] = []
    for action, value in actions:
        if action == "order":
            for _ in range(value):
                names.append(f"o{len(names)}")
                client.send(*order(names[-1]))
        elif action == "mode":
            admin.send("MODE", value)
        elif action == "reload":
            mode, linger = value
            site.file = site_settings(
                mode=mode, batch={"linger_ms": linger, "orders_max": 3}, other={"reply_timeout_ms": 3_600_000}
            )
            admin.send("CONFIG", "RELOAD")
        elif action == "bad reload":
            site.file = SettingsError("broken")
            admin.send("CONFIG", "RELOAD")
        elif action == "wait":
            site.advance(value)
        else:
            site.engine.up = value
    site.engine.up = True
    site.advance(5)
    replies = [pairs_of(reply) for reply in client.replies()]
    assert [reply["cl_ord_id"] for reply in replies] == names
    assert {reply["status"] for reply in replies} <= {"NEW", "QUEUED"}
    executions = site.connect().call("EXEC.READ", 0, "COUNT", 1000) or []
    assert [pairs_of(pairs)["cl_ord_id"] for _, pairs in executions] == names
    assert len(admin.replies()) == sum(action in ("mode", "reload", "bad reload") for action, _ in actions)


@pytest.mark.parametrize("mode", list(MODE_NAMES))
def test_mode_can_be_any_of_the_modes(mode: str) -> None:
    owner, _ = owner_of(File(BASE))
    owner.set_mode(MODE_NAMES[mode], "MODE")
    assert owner.current.mode == mode
