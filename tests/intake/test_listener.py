"""The listener with real Unix sockets: slow, greedy, vanishing and too many clients."""

import contextlib
import os
import pwd
import resource
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from orderd.intake import listener
from orderd.intake.pending import Unfinished
from tests.support.live_site import LiveSite, connect, serving
from tests.support.site import encode, pairs_of, site_settings

ORDER = ("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1")


async def test_clients_are_served_side_by_side(tmp_path: Path) -> None:
    site = LiveSite()
    async with serving(site, tmp_path / "s"):
        one, two = await connect(tmp_path / "s"), await connect(tmp_path / "s")
        assert pairs_of(await one.call(*ORDER))["status"] == "NEW"
        assert pairs_of(await two.call("ORDER.STATUS", "a"))["status"] == "NEW"
        line = (await two.call("CLIENT", "INFO")).decode()
        assert f" user={pwd.getpwuid(os.getuid()).pw_name} role=admin " in line
        assert f"addr=pid={os.getpid()},uid={os.getuid()}" in line


async def test_a_user_whose_name_cannot_be_found_out_is_a_number_and_nobody_waits_for_it_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = [], threading.Event()

    def user_name(uid: int) -> str:
        asked.append(uid)
        answer.wait(10)
        return "late"

    monkeypatch.setattr(listener, "user_name", user_name)
    monkeypatch.setattr(listener, "USER_NAME_S", 0.05)
    site = LiveSite()
    try:
        async with serving(site, tmp_path / "s"):
            one, two = await connect(tmp_path / "s"), await connect(tmp_path / "s")
            for client in (one, two):
                assert f" user={os.getuid()} role=admin " in (await client.call("CLIENT", "INFO")).decode()
            assert set(asked) == {os.getuid()}
            asked.clear()
            late = await connect(tmp_path / "s")
            assert f" user={os.getuid()} role=admin " in (await late.call("CLIENT", "INFO")).decode()
            assert asked == [], "once is enough"
    finally:
        answer.set()


async def test_a_client_that_does_not_read_stalls_nobody_else_and_loses_nothing(tmp_path: Path) -> None:
    site = LiveSite()
    async with serving(site, tmp_path / "s"):
        slow, other = await connect(tmp_path / "s"), await connect(tmp_path / "s")
        for _ in range(200):
            await slow.send("ECHO", b"x" * 10_000)
        for _ in range(10):
            assert await other.call("PING") in (b"PONG", "PONG")
        for _ in range(200):
            assert len(await slow.reply()) == 10_000
        assert await slow.call("PING") in (b"PONG", "PONG")


async def test_a_flood_that_is_never_read_ends_with_a_word(tmp_path: Path) -> None:
    site = LiveSite(site_settings(reply_bytes_max=300_000))
    async with serving(site, tmp_path / "s"), trio.open_nursery() as nursery:
        greedy = await connect(tmp_path / "s")
        await greedy.call("PING")
        (connection,) = site.intake._connections.values()
        other = await connect(tmp_path / "s")

        async def flood() -> None:
            # Nothing more is read from it, or it is hung up on, depending on how much fits into the kernel's buffers.
            with contextlib.suppress(trio.BrokenResourceError):
                while True:
                    await greedy.send("INFO")

        nursery.start_soon(flood)
        while not connection.overflowed:
            assert await other.call("PING") in (b"PONG", "PONG")
        assert await other.call("PING") in (b"PONG", "PONG")
        last = None
        with contextlib.suppress(EOFError, trio.BrokenResourceError):
            while True:
                last = await greedy.reply()
        assert str(last).startswith("LIMIT reply_bytes_max 300000")
        while len(site.intake) > 1:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_a_half_closed_client_still_gets_its_replies(tmp_path: Path) -> None:
    site = LiveSite()
    site.engine.up = False
    async with serving(site, tmp_path / "s"):
        client = await connect(tmp_path / "s")
        await client.send(*ORDER)
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        site.engine.up = True
        while site.desk.unconfirmed:
            await trio.sleep(0.005)  # as the UDP sender's timers would
            site.stir()
        assert pairs_of(await client.reply())["status"] == "NEW"
        assert await client.ended()


async def test_a_client_that_vanishes_is_forgotten_and_its_order_stands(tmp_path: Path) -> None:
    site = LiveSite()
    async with serving(site, tmp_path / "s"):
        client = await connect(tmp_path / "s")
        await client.stream.send_all(encode(ORDER) + encode(ORDER)[:-4])
        await client.stream.aclose()
        while len(site.intake) or site.desk.table.end == 1:
            await trio.lowlevel.checkpoint()
        other = await connect(tmp_path / "s")
        assert pairs_of(await other.call("ORDER.STATUS", "a"))["status"] == "NEW"
        assert site.desk.table.end == 2


async def test_killed_ended_and_broken_connections_are_closed(tmp_path: Path) -> None:
    site = LiveSite()
    async with serving(site, tmp_path / "s"):
        admin, victim, quitter, broken = [await connect(tmp_path / "s") for _ in range(4)]
        assert await admin.call("CLIENT", "KILL", "ID", await victim.call("CLIENT", "ID")) == 1
        assert await victim.ended()
        await quitter.stream.send_all(encode(["PING"]) + encode(["QUIT"]) + encode(["PING"]))
        assert [str(await quitter.reply()), str(await quitter.reply())] in (["b'PONG'", "b'OK'"], ["PONG", "OK"])
        assert await quitter.ended()
        await broken.stream.send_all(b"GET / HTTP/1.1\r\n")
        assert str(await broken.reply()).startswith("ERR Protocol error")
        assert await broken.ended()
        assert await admin.call("PING") in (b"PONG", "PONG")
        own = await admin.call("CLIENT", "ID")
        assert await admin.call("CLIENT", "KILL", "ID", own) == 1
        assert await admin.ended()


async def test_one_client_too_many_is_told_so(tmp_path: Path) -> None:
    site = LiveSite()
    site.intake._limits = type(site.intake._limits)(clients_max=1)
    async with serving(site, tmp_path / "s"):
        first, second = await connect(tmp_path / "s"), await connect(tmp_path / "s")
        assert await first.call("PING") in (b"PONG", "PONG")
        assert str(await second.reply()) == "LIMIT clients_max 1 is reached"
        assert await second.ended()


async def test_without_descriptors_accepting_goes_on_later(tmp_path: Path) -> None:
    site = LiveSite()
    async with serving(site, tmp_path / "s"):
        first = await connect(tmp_path / "s")
        assert await first.call("PING") in (b"PONG", "PONG")
        sock = trio.socket.socket(socket.AF_UNIX)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (sock.fileno(), hard))
        try:
            await sock.connect(str(tmp_path / "s"))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert await first.call("PING") in (b"PONG", "PONG")
            assert len(site.intake) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await sock.send(encode(["PING"]))
        assert await sock.recv(100) == b"+PONG\r\n"
        sock.close()


async def test_at_the_end_each_request_has_its_answer(tmp_path: Path) -> None:
    site = LiveSite()
    site.engine.up = False
    async with serving(site, tmp_path / "s") as listener:
        client = await connect(tmp_path / "s")
        await client.send(*ORDER)
        await client.send("EXEC.READ", "$", "BLOCK", 0)
        while site.desk.table.end == 1:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked(0.01)
        await listener.close(Unfinished.SHUTDOWN, 1)
        assert pairs_of(await client.reply())["status"] == "UNKNOWN"
        assert await client.reply() is None
        assert await client.ended()


async def test_orders_of_a_client_that_is_killed_halfway_are_committed(tmp_path: Path) -> None:
    """A long chunk is done in steps; whoever kills the client between two of them cuts the rest off, not the first."""
    site = LiveSite()
    site.engine.up = False
    async with serving(site, tmp_path / "s") as listener:
        client = await connect(tmp_path / "s")
        await client.call("PING")
        (peer,) = listener._peers.values()
        many = b"".join(encode(["ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "1"]) for i in range(200))
        assert len(many) < 16_000
        feed = site.intake.feed_in_steps

        def killed_after_one_step(*args: Any) -> Iterator[None]:
            for _ in feed(*args):
                peer.scope.cancel()
                yield

        site.intake.feed_in_steps = killed_after_one_step  # type: ignore[method-assign,assignment]
        await client.stream.send_all(many)
        assert await client.ended()
        taken = site.desk.table.end
        assert 1 < taken < 201
        assert site.desk.committed_end == taken
        assert site.desk.is_settled
