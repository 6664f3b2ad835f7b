"""Through kills of the daemon and cut connections: each order happens once, each execution is told once."""

import itertools
import os
import random
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from orderd.client import (
    Client,
    ClientError,
    CommandError,
    Execution,
    NewOrder,
    Order,
    Status,
    Trimmed,
    Unanswered,
    requests,
)
from tests.support.processes import Site, wait_until
from tests.support.scale import SCALE
from tests.support.unix_proxy import UnixProxy


def news_by_id(executions: list[Execution], prefix: str) -> Counter[str]:
    """How often each order whose id begins so was accepted."""
    return Counter(e.cl_ord_id for e in executions if e.exec_type == "NEW" and e.cl_ord_id.startswith(prefix))


def assert_each_once(client: Client, prefix: str, ids: list[str]) -> None:
    with client.executions(0) as stream:
        found: list[Execution] = []
        while page := stream.read():
            found += page
    assert [execution.exec_id for execution in found] == list(range(1, len(found) + 1))
    assert news_by_id(found, prefix) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("together", [False, True], ids=["one after the other", "pipelined"])
def test_a_daemon_killed_amid_many_orders_leaves_each_placed_once(
    make_site: Callable[..., Site], together: bool
) -> None:
    count = 1000 if together else 300
    site = make_site().start()
    placed: list[Any] = []

    def place() -> None:
        with Client(site.socket_path, id_prefix="k", retry_s=60) as client:
            orders = (NewOrder("AAPL", "BUY", 1, "1.00") for _ in range(count))
            placed.extend(client.place_many(orders) if together else map(client.place, orders))

    heard: list[Execution] = []

    def read() -> None:
        with Client(site.socket_path, retry_s=60) as client, client.executions(0) as stream:
            heard.extend(itertools.islice(stream, count))  # One by one, as they come.

    threads = [threading.Thread(target=target) for target in (place, read)]
    for thread in threads:
        thread.start()
    # Pipelined, all of them are on their way long before the first is heard of.
    wait_until(lambda: len(heard) >= (1 if together else count // 3), "some orders are heard of")
    site.orderd.kill()
    site.start_orderd()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()

    ids = [f"k-{number}" for number in range(1, count + 1)]
    assert [order.cl_ord_id for order in placed] == ids
    with Client(site.socket_path) as client:
        for order in placed:
            assert isinstance(order, Order)
            assert order.status in (Status.NEW, Status.UNKNOWN, Status.QUEUED)
        client.resolve(ids[-1])
        assert_each_once(client, "k", ids)
        assert len(client.list_open()) == count
    assert [execution.exec_id for execution in heard] == list(range(1, count + 1))


def test_an_order_whose_engine_is_away_is_unknown_and_resolved_later(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"reply_timeout_ms": 100}).start()
    site.wait_connected()
    with Client(site.socket_path) as client:
        site.engine.kill()
        order = client.limit("AAPL", "BUY", 1, "1.00")
        assert order.status is Status.UNKNOWN and order.reason in ("SENT", "NOT_SENT")
        assert client.resolve(order, timeout_s=0.05).status in (Status.UNKNOWN, Status.QUEUED)
        site.start_engine(wait=False)
        assert client.resolve(order).status is Status.NEW
        assert client.place(NewOrder("AAPL", "BUY", 1, "1.00", cl_ord_id=order.cl_ord_id)).order_id == order.order_id


def test_a_reader_whose_daemon_comes_back_with_another_journal_is_told(make_site: Callable[..., Site]) -> None:
    """Without that it would wait until the new one has come as far, and never hear of what was before."""
    site = make_site().start()
    with Client(site.socket_path) as client, client.executions(0) as stream:
        client.place_many([NewOrder("AAPL", "BUY", 1, "1.00") for _ in range(10)])
        assert len(stream.read(10)) + len(stream.read()) == 10
        stream.read()
        site.orderd.kill()
        (site.directory / "oj").rename(site.directory / "kept")
        site.start_orderd()
        client.limit("AAPL", "BUY", 1, "1.00")
        assert stream.read() == []
        with pytest.raises(Trimmed) as caught:
            stream.read()
        assert caught.value.first_id == 1
        with client.executions(client.rebuild().exec_id) as anew:
            order = client.limit("AAPL", "BUY", 1, "1.00")
            assert order.cl_ord_id in [execution.cl_ord_id for execution in anew.read(10)]


def test_a_line_cut_at_any_byte_loses_and_doubles_nothing(site: Site, client: Client, tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    choose = random.Random(seed)
    # Now and then enough for a whole page of executions.
    budgets = (choose.randint(1, 3000) if number % 9 else 100_000 for number in itertools.count(1))
    name = f"cut{seed}"
    start = client.executions().exec_id
    with UnixProxy(tmp_path / "p", site.socket_path, budgets) as proxy:
        with Client(tmp_path / "p", id_prefix=name, retry_s=60) as cut:
            orders = cut.place_many(NewOrder("AAPL", "BUY", 1, "1.00", account=9) for _ in range(100 * SCALE))
            assert all(isinstance(order, Order) for order in orders)
            for order in orders[:20]:
                assert isinstance(order, Order)
                assert cut.replace(order.cl_ord_id, 3, "1.01", is_open=True).leaves_qty == 3
                assert cut.cancel(order.cl_ord_id).status is Status.CANCELED
            numbered = cut.batch_of([NewOrder("MSFT", "SELL", 1, "9", account=9) for _ in range(20)])
            assert (numbered.outcome.accepted, numbered.outcome.rejected) == (20, 0)
            found: list[Execution] = []
            with cut.executions(start) as stream:
                while len(found) < len(orders) + 60:
                    found += stream.read(timeout_s=1)
        assert proxy.connections > 5
    assert [execution.exec_id for execution in found] == list(range(start + 1, start + 1 + len(found)))
    counts = Counter(execution.exec_type for execution in found)
    assert counts == {"NEW": len(orders) + 20, "REPLACED": 20, "CANCELED": 20}


def test_a_daemon_that_says_nothing_is_left_and_asked_again(site: Site, tmp_path: Path) -> None:
    with UnixProxy(tmp_path / "p", site.socket_path) as proxy, Client(tmp_path / "p", timeout_s=0.1) as client:
        client.ping()
        proxy.silent = True
        first = proxy.connections

        def speak() -> None:
            wait_until(lambda: proxy.connections > first + 1, "it was left twice")
            proxy.silent = False

        timer = threading.Thread(target=speak)
        timer.start()
        order = client.limit("AAPL", "BUY", 1, "1.00")
        timer.join()
        assert order.status is Status.NEW
        client.cancel(order.cl_ord_id)


def test_without_any_answer_the_request_is_handed_back_and_may_be_made_again(site: Site, tmp_path: Path) -> None:
    with UnixProxy(tmp_path / "p", site.socket_path) as proxy:
        with Client(tmp_path / "p", timeout_s=0.05, retry_s=0.2) as client:
            client.ping()
            proxy.silent = True
            with pytest.raises(Unanswered, match="no answer within 0.2 s: silent for 0.05 s") as caught:
                client.limit("AAPL", "BUY", 1, "1.00")
            with pytest.raises(Unanswered, match="CLIENT|no answer"):
                client.command("CLIENT", "ID")
            proxy.silent = False
        with Client(site.socket_path) as client:
            order: Order = client.call(caught.value.request)
            assert order.cl_ord_id == caught.value.request.id
            assert client.cancel(order.cl_ord_id).status is Status.CANCELED


def test_a_command_without_an_id_is_not_sent_twice(site: Site, tmp_path: Path) -> None:
    with UnixProxy(tmp_path / "p", site.socket_path, iter([5000, 1 << 60])) as proxy:
        with Client(tmp_path / "p") as client:
            with pytest.raises(Unanswered, match="ECHO may have been done or not") as caught:
                client.command("ECHO", "x" * 20_000)
            assert not caught.value.request.is_repeatable
            assert client.call(requests.ping()) == "PONG"
        assert proxy.connections == 2


def test_a_command_that_is_too_large_is_refused_and_not_tried_again(site: Site) -> None:
    with Client(site.socket_path) as client:
        client.ping()
        with pytest.raises(CommandError, match="too big"):
            client.batch(bytes(8 << 20))
        client.ping()
        assert client.connections == 2


def test_an_interrupted_call_leaves_no_answer_behind_for_the_next(site: Site) -> None:
    class Interrupted(Exception):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Client(site.socket_path) as client, client.executions() as stream:
            client.ping()
            kept = stream.exec_id
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                next(stream)
            order = client.limit("AAPL", "BUY", 1, "1.00")
            assert next(stream).cl_ord_id == order.cl_ord_id and stream.exec_id == kept + 1
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(Interrupted):
                client.call(requests.executions(stream.exec_id, block_ms=5000))
            assert client.cancel(order.cl_ord_id).status is Status.CANCELED
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def fork(work: Callable[[], int]) -> int:
    """A child process that does ``work``."""
    with warnings.catch_warnings():
        # Of threads in the parent; the child uses none of what they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        finally:
            os._exit(99)
    return child


def in_child(work: Callable[[], int]) -> int:
    """What ``work`` returns in a child process, 0 to 98; 99 if it fails, negative if it does not come to an end."""
    child = fork(work)
    try:
        _, status = wait_until(lambda: (done := os.waitpid(child, os.WNOHANG))[0] and done, "the child ends")
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_child_process_has_a_connection_of_its_own(site: Site) -> None:
    def work() -> int:
        client.ping()
        return client.connections

    with Client(site.socket_path) as client:
        client.ping()
        assert in_child(work) == 1
        client.ping()
        assert client.connections == 1


def test_orders_of_a_child_process_are_not_taken_for_those_of_its_parent(site: Site, client: Client) -> None:
    """They are equal in all that they say, and each is an order."""

    def work() -> int:
        return {forked.limit("AAPL", "BUY", 1, "1.00").order_id for _ in range(3)}.isdisjoint(known)

    for prefix in (None, f"named-{os.getpid()}"):
        known: set[int] = set()
        with Client(site.socket_path, id_prefix=prefix) as forked:
            forked.ping()
            before = len(client.list_open())
            assert in_child(work) == 1
            known = {forked.limit("AAPL", "BUY", 1, "1.00").order_id for _ in range(3)}
            assert in_child(work) == 1
        assert len(client.list_open()) - before == 9


def test_a_child_process_does_not_keep_its_parents_connection_open(site: Site, client: Client) -> None:
    """Else the guard of a parent that crashes would wait for the child."""
    ends, end = os.pipe()

    def work() -> int:
        os.close(end)
        return len(os.read(ends, 1))

    guarded = Client(site.socket_path)
    guarded.cancel_on_disconnect()
    order = guarded.limit("AAPL", "BUY", 1, "1.00")
    child = fork(work)
    try:
        guarded.close()
        wait_until(lambda: client.status(order.cl_ord_id).status is Status.CANCELED, "the connection is closed", 10)
    finally:
        os.close(end)
        os.close(ends)
        assert os.waitpid(child, 0) == (child, 0)


def test_a_child_that_is_forked_amid_another_threads_request_can_make_its_own(site: Site) -> None:
    def work() -> int:
        stream.read()
        return 7

    with Client(site.socket_path) as client, client.executions() as stream, ThreadPoolExecutor() as threads:
        waiting = threads.submit(stream.read, 20)
        wait_until(stream._line._lock.locked, "it waits")
        assert in_child(work) == 7
        order = client.limit("AAPL", "BUY", 1, "1.00")
        assert [execution.cl_ord_id for execution in waiting.result()] == [order.cl_ord_id]


def test_guarded_orders_are_cancelled_with_their_connection_and_the_guard_is_set_again(
    site: Site, client: Client
) -> None:
    with Client(site.socket_path, name="guarded") as guarded:
        guarded.cancel_on_disconnect()
        lost = guarded.limit("AAPL", "BUY", 1, "1.00")
        (line,) = (line for line in client.command("CLIENT", "LIST").splitlines() if " name=guarded" in line)
        number = line.split()[0].removeprefix("id=")
        assert client.command("CLIENT", "KILL", "ID", number) == 1
        wait_until(lambda: client.status(lost.cl_ord_id).status == "CANCELED", "the guarded order is cancelled")
        kept = guarded.limit("AAPL", "BUY", 1, "1.00")
        assert guarded.connections == 2
    wait_until(lambda: client.status(kept.cl_ord_id).status == "CANCELED", "the guard was set again")


def test_a_guard_that_was_taken_back_is_not_set_again(site: Site, client: Client) -> None:
    with Client(site.socket_path) as guarded:
        guarded.cancel_on_disconnect()
        guarded.cancel_on_disconnect(on=False)
        order = guarded.limit("AAPL", "BUY", 1, "1.00")
        guarded.deadman(60_000)
        guarded.deadman(0)
        guarded.close()
        guarded.ping()
    assert client.status(order.cl_ord_id).status is Status.NEW


def test_threads_that_share_a_client_hear_their_own_answers(site: Site) -> None:
    wrong: list[str] = []

    def echo(client: Client, name: int) -> None:
        for i in range(50):
            text = f"{name}-{i}"
            try:
                if client.command("ECHO", text) != text:
                    wrong.append(text)
            except ClientError as error:
                wrong.append(str(error))

    with Client(site.socket_path) as client:
        threads = [threading.Thread(target=echo, args=(client, name)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not wrong
