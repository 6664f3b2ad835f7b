"""What clients read: lists, executions, waits, transactions; and numbers that are never given out twice."""

import itertools
from collections.abc import Callable
from typing import Final

import pytest

from tests.support.processes import Site, wait_until
from tests.support.resp_client import RespClient, RespError, pack

NewId = Callable[[], str]
LIMIT: Final = ("AAPL", "BUY", 1, "LIMIT", "1.00")


def test_wait_comes_back_with_the_confirmation_or_when_its_time_is_over(make_site: Callable[..., Site]) -> None:
    site = make_site()
    site.start_orderd()
    with site.client() as client, site.client() as other:
        client.call("ORDER.NEW", "a", *LIMIT, "MODE", "fire-and-forget")
        assert client.call("ORDER.WAIT", "a", 0)["status"] == "QUEUED"
        assert client.call("ORDER.WAIT", "a", 20)["status"] == "QUEUED"
        other.send(pack("ORDER.WAIT", "a", 60_000))
        site.start_engine()
        assert other.reply()["status"] == "NEW"
        client.call("ORDER.CANCEL", "a", "ID", "c", "MODE", "fire-and-forget")
        order = client.call("ORDER.WAIT", "c", 5000)
        assert (order["cl_ord_id"], order["status"]) == ("a", "CANCELED"), "a request can be waited for by its id"


def test_list_pages_through_orders_by_ascending_order_id(make_site: Callable[..., Site]) -> None:
    site = make_site().start()
    with site.client() as client:
        orders = [
            ("ORDER.NEW", f"a{i}", "MSFT" if i % 3 == 0 else "AAPL", *LIMIT[1:], "ACCOUNT", i % 2) for i in range(250)
        ]
        client.pipeline(orders)
        client.pipeline([("ORDER.CANCEL", f"a{i}") for i in range(0, 250, 5)])
        assert len(client.call("ORDER.LIST")) == 100
        seen: list[str] = []
        after = "0"
        while page := client.call("ORDER.LIST", "OPEN", "AFTER", after, "COUNT", 30):
            assert len(page) <= 30
            seen += [order["cl_ord_id"] for order in page]
            after = page[-1]["order_id"]
        assert seen == [f"a{i}" for i in range(250) if i % 5]
        everything = client.call("ORDER.LIST", "ALL", "COUNT", 1000)
        assert [order["cl_ord_id"] for order in everything] == [f"a{i}" for i in range(250)], "no cancel among them"
        assert {order["status"] for order in everything} == {"NEW", "CANCELED"}
        found = client.call("ORDER.LIST", "ALL", "SYMBOL", "MSFT", "ACCOUNT", 1, "COUNT", 1000)
        assert [order["cl_ord_id"] for order in found] == [f"a{i}" for i in range(250) if i % 3 == 0 and i % 2]


def test_reserved_numbers_are_never_given_out_again(site: Site) -> None:
    blocks: list[range] = []
    for _ in range(3):
        with site.client() as client:
            for count in (1, 1000, 2**32):
                first = client.call("ORDER.RESERVE", count)
                blocks.append(range(first, first + count))
        site.orderd.kill()
        site.start_orderd()
    blocks.sort(key=lambda block: block.start)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(blocks))


def test_executions_are_read_in_pages_and_waited_for(client: RespClient, shared: Site, new_id: NewId) -> None:
    with shared.client() as reader:
        last = reader.last_execution()
        assert reader.call("EXEC.READ", last) == []
        assert reader.call("EXEC.READ", "$") == []
        assert reader.call("EXEC.READ", last, "BLOCK", 20) is None
        assert reader.call("EXEC.READ", "$", "BLOCK", 20) is None
        reader.send(pack("EXEC.READ", "$", "BLOCK", 0) + pack("PING"))
        with shared.client() as other:
            other.send(pack("EXEC.READ", last, "COUNT", 1, "BLOCK", 60_000))
            names = [new_id() for _ in range(3)]
            client.pipeline([("ORDER.NEW", name, *LIMIT) for name in names])
            found = reader.reply()
            assert found and found[0][0] == str(last + 1) and found[0][1]["cl_ord_id"] == names[0]
            assert reader.reply() == "PONG"
            assert [exec_id for exec_id, _ in other.reply()] == [str(last + 1)]
        wait_until(lambda: client.info()["executions_last_id"] == str(last + 3), "all three are journaled")
        assert [pairs["cl_ord_id"] for _, pairs in reader.executions(last)] == names
        client.pipeline([("ORDER.CANCEL", name) for name in names])


def test_executions_that_are_gone_are_told_as_trimmed(make_site: Callable[..., Site]) -> None:
    site = make_site(orderd={"executions.kept": 100}).start()
    with site.client() as client:
        for start in range(0, 1000, 100):
            client.pipeline([("ORDER.NEW", f"a{i}", *LIMIT) for i in range(start, start + 100)])
        info = wait_until(lambda: (i := client.info())["executions_last_id"] == "1000" and i, "all are journaled")
        first = int(info["executions_first_id"])
        assert 1 < first <= 901
        reply = client.ask("EXEC.READ", 1)
        assert isinstance(reply, RespError) and reply.text == f"TRIMMED {first}"
        assert client.call("EXEC.READ", 0, "COUNT", 1)[0][0] == str(first), "0 is the first one kept"
        assert [i for i, _ in client.executions(first - 1)] == list(range(first, 1001))


def test_a_transaction_is_handed_over_in_one_piece(client: RespClient, shared: Site, new_id: NewId) -> None:
    names = [new_id() for _ in range(20)]
    with shared.client() as other:
        commits = int(client.info()["journal_commits_total"])
        assert client.call("MULTI") == "OK"
        for name in names:
            assert client.call("ORDER.NEW", name, *LIMIT) == "QUEUED"
        assert client.call("EXEC.READ", "$", "BLOCK", 0) == "QUEUED"
        assert isinstance(other.ask("ORDER.STATUS", names[0]), RespError), "nothing is done before EXEC"
        replies = client.call("EXEC")
        ids = [int(reply["order_id"]) for reply in replies[:20]]
        assert ids == list(range(ids[0], ids[0] + 20))
        assert not replies[20], "nothing blocks within a transaction"
        # One for the orders, one for their reports, one more if those came in two pieces.
        assert int(client.info()["journal_commits_total"]) - commits <= 3
        client.pipeline([("ORDER.CANCEL", name) for name in names])


def test_a_transaction_with_a_wrong_command_does_nothing(client: RespClient, new_id: NewId) -> None:
    name = new_id()
    client.call("MULTI")
    client.call("ORDER.NEW", name, *LIMIT)
    assert isinstance(client.ask("NONSENSE"), RespError)
    reply = client.ask("EXEC")
    assert isinstance(reply, RespError) and reply.word == "EXECABORT"
    assert isinstance(client.ask("ORDER.STATUS", name), RespError)
    client.call("MULTI")
    client.call("ORDER.NEW", name, *LIMIT)
    assert client.call("DISCARD") == "OK"
    assert isinstance(client.ask("ORDER.STATUS", name), RespError)


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_keep_the_order_of_requests_and_nothing_waits_for_them(
    shared: Site, protocol: int, new_id: NewId
) -> None:
    names = [new_id() for _ in range(100)]
    with shared.client(protocol) as client:
        commands: list[tuple[object, ...]] = []
        for name in names:
            commands += [
                ("ORDER.NEW", name, *LIMIT, "MODE", ("sync", "batch", "fire-and-forget")[len(commands) % 3]),
                ("ECHO", name),
                ("ORDER.STATUS", name),
                ("BOOK", "AAPL"),
                ("ORDER.CANCEL", name),
                ("NONSENSE",),
            ]
        replies = client.pipeline(commands)  # type: ignore[arg-type]
    for i, name in enumerate(names):
        new, echo, status, book, cancelled, error = replies[6 * i : 6 * i + 6]
        if protocol == 2:
            new, status, cancelled, book = (
                dict(zip(r[::2], r[1::2], strict=True)) for r in (new, status, cancelled, book)
            )
        assert new["cl_ord_id"] == echo == status["cl_ord_id"] == cancelled["cl_ord_id"] == name
        assert book["symbol"] == "AAPL" and isinstance(error, RespError)
        assert cancelled["status"] in ("CANCELED", "QUEUED", "NEW")
