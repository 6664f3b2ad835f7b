"""The client for trio: tasks share a connection, and one that is cancelled shifts nobody's answers."""

import contextlib
import inspect
import random
from collections import Counter
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path

import pytest
import trio

from orderd.client import BadOrder, Client, CommandError, Execution, NewOrder, Order, Status, Unanswered, requests
from orderd.client.trio import TrioClient, TrioExecutions
from tests.support.processes import Site
from tests.support.unix_proxy import UnixProxy


def test_it_has_the_methods_of_the_blocking_client() -> None:
    def methods(of: type) -> dict[str, list[str]]:
        found = inspect.getmembers(of, inspect.isfunction)
        return {name: list(inspect.signature(one).parameters) for name, one in found if not name.startswith("_")}

    blocking = methods(Client)
    del blocking["close"]
    assert methods(TrioClient) == blocking


async def test_tasks_share_a_connection_and_hear_their_own_answers(site: Site) -> None:
    async with TrioClient(site.socket_path) as client:
        wrong: list[str] = []

        async def echo(text: str) -> None:
            if await client.command("ECHO", text) != text:
                wrong.append(text)

        async with trio.open_nursery() as nursery:
            for i in range(1500):
                nursery.start_soon(echo, f"text-{i}")
        assert not wrong and client.connections == 1


async def test_orders_are_placed_and_their_executions_come(site: Site) -> None:
    async with TrioClient(site.socket_path) as client:
        with await client.executions() as stream:
            placed = await client.limit("AAPL", "BUY", 2, "3.00", account=21)
            many = await client.place_many([NewOrder("AAPL", "BUY", 1, "3.00", account=21) for _ in range(50)])
            assert placed.status is Status.NEW and all(isinstance(order, Order) for order in many)
            assert (await client.replace(placed.cl_ord_id, 1, "3.01")).status is Status.REPLACED
            assert len(await client.list_open(account=21)) == 51
            numbered = await client.batch_of([NewOrder("AAPL", "SELL", 1, "3.01", tif="IOC", account=22)])
            assert numbered.outcome.trades == 1
            assert (await client.mass_cancel(account=21)).cancelled == 50
            heard: list[Execution] = []
            async for execution in stream:
                heard.append(execution)
                if execution.account == 21 and sum(one.exec_type == "CANCELED" for one in heard) == 50:
                    break
            assert [one.exec_id for one in heard] == list(range(heard[0].exec_id, heard[-1].exec_id + 1))
        with pytest.raises(BadOrder):
            await client.limit("AAPL", "BUY", 1, "0")


async def test_a_cancelled_task_leaves_the_others_their_answers(site: Site) -> None:
    async with TrioClient(site.socket_path) as client:
        last = int((await client.info())["executions_last_id"])
        with trio.move_on_after(0.05) as scope:
            await client.call(requests.executions(last, block_ms=200))
        assert scope.cancelled_caught
        assert await client.command("ECHO", "kept") == "kept"
        assert client.connections == 1


async def test_a_reader_that_is_cancelled_while_it_waits_loses_no_execution(site: Site) -> None:
    async with TrioClient(site.socket_path) as client:
        with await client.executions() as stream:
            with trio.move_on_after(0.05) as scope:
                await anext(stream)
            assert scope.cancelled_caught
            with trio.fail_after(3):  # Not held up until the abandoned one is answered.
                order = await client.limit("AAPL", "BUY", 1, "1.00")
                assert (await anext(stream)).cl_ord_id == order.cl_ord_id
                await client.cancel(order.cl_ord_id)
                assert [one.exec_type for one in await stream.read(timeout_s=1)] == ["CANCELED"]


async def test_an_error_of_the_block_comes_out_as_it_is(site: Site) -> None:
    with pytest.raises(KeyError):  # noqa: PT012
        async with TrioClient(site.socket_path) as client:
            await client.ping()
            raise KeyError("mine")


async def test_a_client_that_is_cancelled_ends(site: Site) -> None:
    with trio.move_on_after(0.05) as scope:
        async with TrioClient(site.socket_path) as client:
            await client.ping()
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_broken_line_is_made_anew_and_what_is_not_answered_is_sent_again(site: Site, tmp_path: Path) -> None:
    budgets = iter([300, 1000, 3000, *[1 << 60] * 9])
    with UnixProxy(tmp_path / "p", site.socket_path, budgets) as proxy:
        async with TrioClient(tmp_path / "p", id_prefix="broken") as client:
            stream = await client.executions()
            many = await client.place_many([NewOrder("AAPL", "BUY", 1, "1.00", account=23) for _ in range(60)])
            assert all(isinstance(order, Order) for order in many)
            assert (await client.mass_cancel(account=23)).cancelled == 60
            news = [one async for one in _first(stream, 60)]
            assert [one.cl_ord_id for one in news] == [f"broken-{number}" for number in range(1, 61)]
        assert proxy.connections >= 3


async def _first(stream: TrioExecutions, count: int) -> AsyncIterator[Execution]:
    for _ in range(count):
        yield await anext(stream)


async def test_cancelled_tasks_and_a_bad_line_double_nothing_and_answer_nobody_with_anothers_answer(
    site: Site, tmp_path: Path
) -> None:
    """Each order that was answered is there once; of the others each is there once or not at all."""
    answered: set[str] = set()

    async def place(client: TrioClient, task: int) -> None:
        # Of its own, so that who waits how long does not depend on whose turn it is.
        chance = random.Random(task)
        for number in range(20):
            cl_ord_id = f"cancelled-{task}-{number}"
            with trio.move_on_after(chance.choice([0.0005, 0.003, 0.02, inf])):
                order = await client.limit("AAPL", "BUY", 1, "1.00", cl_ord_id=cl_ord_id)
                assert order.cl_ord_id == cl_ord_id
                answered.add(cl_ord_id)
            # A command without an id is not sent twice.
            with trio.move_on_after(chance.choice([0.0005, inf])), contextlib.suppress(Unanswered):
                assert await client.command("ECHO", cl_ord_id) == cl_ord_id

    budgets = random.Random(17)
    with UnixProxy(tmp_path / "p", site.socket_path, iter(lambda: budgets.randrange(1000, 5000), 0)) as proxy:
        async with TrioClient(proxy.path, retry_s=60) as client, trio.open_nursery() as nursery:
            before = int((await client.info("executions"))["executions_last_id"])
            for task in range(20):
                nursery.start_soon(place, client, task)
    # The hundred orders with all the time in the world have more than 300 bytes each, request and reply.
    assert len(answered) > 80 and proxy.connections > 5
    async with TrioClient(site.socket_path) as client:
        with trio.fail_after(30):
            while (await client.info("clients"))["clients"] != "1":
                pass  # Something of them may still be on its way.
        news: Counter[str] = Counter()
        with await client.executions(before) as stream:
            while page := await stream.read():
                news.update(one.cl_ord_id for one in page if one.exec_type == "NEW")
        await client.mass_cancel()
    assert set(news.values()) == {1}
    assert answered <= news.keys()


async def test_silence_ends_in_an_error_that_hands_the_request_back(site: Site, tmp_path: Path) -> None:
    with UnixProxy(tmp_path / "p", site.socket_path) as proxy:
        async with TrioClient(tmp_path / "p", timeout_s=0.05, retry_s=0.3) as client:
            await client.ping()
            proxy.silent = True
            with pytest.raises(Unanswered, match="no answer within 0.3 s") as caught:
                await client.limit("AAPL", "BUY", 1, "1.00")
            outcomes = await client.call_many([requests.ping()] * 3)
            assert all(isinstance(outcome, Unanswered) for outcome in outcomes)
            proxy.silent = False
            again = await client.call(caught.value.request)
            assert again.cl_ord_id == caught.value.request.id
            await client.cancel(again.cl_ord_id)


async def test_a_command_that_is_too_large_is_refused_and_not_tried_again(site: Site) -> None:
    async with TrioClient(site.socket_path) as client:
        await client.ping()
        with pytest.raises(CommandError, match="too big"):
            await client.batch(bytes(8 << 20))
        await client.ping()
        assert client.connections == 2


async def test_a_daemon_that_is_not_there_is_told(tmp_path: Path) -> None:
    async with TrioClient(tmp_path / "nobody", retry_s=0.05) as client:
        with pytest.raises(Unanswered, match="cannot connect to .*nobody: No such file"):
            await client.ping()


async def test_where_no_daemon_ever_was_the_wrong_path_is_told_soon(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderd.client.trio_line.FIRST_CONNECT_S", 0.05)
    async with TrioClient(tmp_path / "later", retry_s=20) as client:
        for _ in range(2):
            with pytest.raises(Unanswered, match=r"within 0\.05 s: cannot connect to .*later: No such file"):
                await client.ping()
        (tmp_path / "later").symlink_to(site.socket_path)
        await client.ping()


async def test_outside_of_its_block_it_says_so_at_once() -> None:
    client = TrioClient("/nowhere")
    with pytest.raises(RuntimeError, match="async with"):
        await client.ping()
    async with client:
        pass
    for ask in (client.ping, client.executions, lambda: client.place_many([])):
        with pytest.raises(RuntimeError, match="async with"):
            await ask()
