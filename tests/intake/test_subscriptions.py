"""EXEC.SUBSCRIBE: every execution once, in order, at the pace of its reader, and nobody else notices."""

from typing import Any

import attrs
import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.intake.access import AccessRules, Members, Peer
from orderd.intake.intake import OUT_BYTES
from orderd.wire.records import RECORD, Kind
from tests.support.histories import History, happenings, words
from tests.support.scale import examples
from tests.support.site import Client, Site, encode, pairs_of, site_settings


def subscriber(site: Site, *options: bytes | str | int, after: str | int = 0) -> Client:
    client = site.connect()
    client.call("HELLO", 3)
    client.send("EXEC.SUBSCRIBE", after, *options)
    return client


def pushed(client: Client) -> list[Any]:
    """The pushes that have come, and nothing else; the OK of a subscription counts as nothing."""
    found: list[Any] = []
    client.site.pump()
    while replies := client.replies():
        found += [reply for reply in replies if reply != b"OK"]
        client.site.pump()
    assert all(isinstance(reply, hiredis.PushNotification) for reply in found), found
    return found


def ids(pushes: list[Any]) -> list[int]:
    assert all(push[0] == b"exec" for push in pushes)
    return [int(push[1]) for push in pushes]


def buy(client: Client, name: str, account: int = 0) -> None:
    client.pairs("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00", "ACCOUNT", account)


def batch(first: int, count: int, account: int = 0) -> bytes:
    return b"".join(RECORD.pack(first + i, 100, 1, 1, account, Kind.NEW, 0) for i in range(count))


def test_a_subscriber_gets_what_was_and_what_comes() -> None:
    site = Site()
    trader = site.connect()
    buy(trader, "a")
    buy(trader, "b")
    all_of, later, new = subscriber(site), subscriber(site, after=1), subscriber(site, after="$")
    assert [ids(pushed(c)) for c in (all_of, later, new)] == [[1, 2], [2], []]
    buy(trader, "c")
    found = [pushed(c) for c in (all_of, later, new)]
    assert [ids(pushes) for pushes in found] == [[3], [3], [3]]
    reader = site.connect()
    reader.call("HELLO", 3)
    assert [[push[1], push[2]] for push in found[0]] == reader.call("EXEC.READ", 2)


def test_it_needs_the_protocol_that_has_pushes() -> None:
    client = Site().connect()
    assert client.error("EXEC.SUBSCRIBE", 0) == "ERR EXEC.SUBSCRIBE needs RESP3: say HELLO 3 first"
    client.call("HELLO", 3)
    assert client.error("EXEC.SUBSCRIBE", 5) == "BADORDER after_id 5 is behind the last execution, 0"
    assert client.error("EXEC.SUBSCRIBE", -1).startswith("BADORDER after_id")
    assert client.error("EXEC.SUBSCRIBE", 0, "COUNT", 5).startswith("BADORDER")
    client.call("MULTI")
    client.call("EXEC.SUBSCRIBE", 0)
    assert str(client.call("EXEC")[0]) == "ERR EXEC.SUBSCRIBE cannot be in a transaction"
    assert len(client.site.gateway.subscriptions) == 0


def test_replies_and_pushes_come_whole_and_a_transaction_in_one_piece() -> None:
    site = Site()
    client = subscriber(site)
    pushed(client)
    for i in range(5):
        client.send("MULTI")
        client.send("ORDER.NEW", f"a{i}", "AAPL", "BUY", 1, "LIMIT", "1.00")
        client.send("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
        client.send("EXEC.READ", "$", "COUNT", 1)
        client.send("EXEC")
        client.send("PING")
    site.pump()
    found = client.replies()
    pushes = [reply for reply in found if isinstance(reply, hiredis.PushNotification)]
    others = [reply for reply in found if not isinstance(reply, hiredis.PushNotification)]
    assert ids(pushes) == list(range(1, 11))
    assert others.count(b"PONG") == 5
    together = [reply for reply in others if isinstance(reply, list)]
    assert [len(replies) for replies in together] == [3] * 5
    assert [pairs_of(replies[0])["cl_ord_id"] for replies in together] == [f"a{i}" for i in range(5)]


def test_of_one_account_and_no_other() -> None:
    site = Site(site_settings(executions_in_memory=3))
    trader = site.connect()
    for i in range(12):
        buy(trader, f"a{i}", i % 3)
    client, idle = subscriber(site, "ACCOUNT", 1), subscriber(site, "ACCOUNT", 9)
    assert ids(pushed(client)) == [2, 5, 8, 11]
    for i in range(12, 18):
        buy(trader, f"a{i}", i % 3)
    assert ids(pushed(client)) == [14, 17]
    assert pushed(idle) == []


def test_it_ends_when_it_is_told_to() -> None:
    site = Site()
    trader = site.connect()
    for ending in (("EXEC.UNSUBSCRIBE",), ("RESET",), ("HELLO", 2)):
        client = subscriber(site, after="$")
        pushed(client)
        assert len(site.gateway.subscriptions) == 1
        client.call(*ending)
        buy(trader, f"x{ending[0]}")
        assert pushed(client) == []
        assert len(site.gateway.subscriptions) == 0
    # Also if the protocol that has pushes is back before anything is pushed.
    client = subscriber(site, after="$")
    pushed(client)
    client.feed(encode(("HELLO", 2)) + encode(("HELLO", 3)))
    site.pump()
    assert len(client.replies()) == 2
    buy(trader, "between")
    assert pushed(client) == []
    # What is taken back before it began does not begin.
    client = site.connect()
    client.call("HELLO", 3)
    site.holds_commits = True
    trader.send("ORDER.NEW", "held", "AAPL", "BUY", 1, "LIMIT", "1.00")
    client.send("EXEC.SUBSCRIBE", "$")
    client.send("EXEC.UNSUBSCRIBE")
    site.holds_commits = False
    site.pump()
    assert client.replies() == [b"OK", b"OK"]
    trader.replies()
    buy(trader, "y")
    assert pushed(client) == []
    # A hang-up leaves nothing behind.
    client = subscriber(site, "ACCOUNT", 3, after="$")
    pushed(client)
    assert site.desk.executions.is_watched
    site.intake.disconnect(client.connection)
    assert len(site.gateway.subscriptions) == 0
    assert not site.desk.executions.is_watched
    client = subscriber(site, after="$")
    client.send("QUIT")
    buy(trader, "z")
    assert client.replies()[-1] == b"OK"


def test_a_second_subscription_takes_the_place_of_the_first() -> None:
    site = Site()
    trader, client = site.connect(), subscriber(site, after="$")
    for i in range(4):
        buy(trader, f"a{i}", i % 2)
    assert ids(pushed(client)) == [1, 2, 3, 4]
    client.send("EXEC.SUBSCRIBE", 1, "ACCOUNT", 1)
    assert ids(pushed(client)) == [2, 4]
    buy(trader, "b", 0)
    buy(trader, "c", 1)
    assert ids(pushed(client)) == [6]


def test_one_that_does_not_read_holds_little_and_later_gets_all() -> None:
    """Beyond what is in memory, too."""
    site = Site(site_settings(executions_in_memory=500))
    trader, client = site.connect(), subscriber(site)
    site.pump()
    held = 0
    for i in range(20):
        assert trader.pairs("ORDER.BATCH", f"B{i}", batch(1 + 1000 * i, 1000))["status"] == "DONE"
        held = max(held, len(client.connection.out))
    assert 0 < held < OUT_BYTES
    assert site.intake.next_deadline() > site.now, "nothing is done for it meanwhile"
    assert ids(pushed(client)) == list(range(1, 20_001))
    assert site.archive.executions_read > 15_000
    buy(trader, "new")
    assert ids(pushed(client)) == [20_001]


def test_one_that_began_with_the_first_and_falls_behind_misses_nothing_unsaid() -> None:
    site = Site(site_settings(executions_kept=20))
    trader, client = site.connect(), subscriber(site)
    buy(trader, "first")
    assert ids(pushed(client)) == [1]
    # All at once: more than are kept.
    trader.pairs("ORDER.BATCH", "B", batch(1, 30))
    assert pushed(client) == [[b"exec-trimmed", b"12"]]


def test_one_that_falls_behind_what_is_kept_is_told_so_last() -> None:
    site = Site(site_settings(executions_kept=1000, executions_in_memory=100))
    trader, client = site.connect(), subscriber(site)
    site.pump()
    for i in range(5):
        trader.pairs("ORDER.BATCH", f"B{i}", batch(1 + 1000 * i, 1000))
    found = pushed(client)
    assert found[-1] == [b"exec-trimmed", b"4001"]
    got = ids(found[:-1])
    assert got == list(range(1, len(got) + 1))
    assert len(site.gateway.subscriptions) == 0
    assert client.error("EXEC.SUBSCRIBE", 7) == "TRIMMED 4001"
    client.send("EXEC.SUBSCRIBE", 0)
    assert ids(pushed(client))[0] == 4001


def test_who_may_only_read_gets_all_and_places_nothing() -> None:
    site = Site()
    reader = Peer(7, 1003)
    rules = AccessRules(trade=Members(frozenset({1001})), read=Members(frozenset({1003})))
    site.gateway.live.access = rules
    site.intake.update_roles()
    trader = site.connect()
    client = site.connect(reader)
    client.call("HELLO", 3)
    assert client.call("EXEC.SUBSCRIBE", 0) == b"OK"
    buy(trader, "a")
    assert ids(pushed(client)) == [1]
    assert client.error("ORDER.NEW", "b", "AAPL", "BUY", 1, "LIMIT", "1.00").startswith("NOPERM")
    assert client.error("ORDER.CANCEL", "a").startswith("NOPERM")
    assert len(client.call("EXEC.READ", 0)) == 1
    site.gateway.live.access = attrs.evolve(rules, read=Members())
    site.intake.update_roles()
    buy(trader, "c")
    assert pushed(client) == [[b"exec-ended", b"NOPERM this connection may not read any more"]]
    assert client.error("EXEC.SUBSCRIBE", 0).startswith("NOPERM")


@pytest.mark.parametrize("subscribers", [1, 100])
def test_many_share_the_work_and_have_their_turns(subscribers: int) -> None:
    site = Site()
    clients = [subscriber(site, after="$") for _ in range(subscribers)]
    for client in clients:
        pushed(client)
    trader = site.connect()
    trader.pairs("ORDER.BATCH", "B", batch(1, 500))
    for i in range(3):
        buy(trader, f"a{i}")
    for client in clients:
        assert ids(pushed(client)) == list(range(1, 504))


steps = st.lists(st.one_of(words, words, words, happenings, st.tuples(st.just("read"), st.integers(0, 2))), max_size=30)


@settings(max_examples=examples(60))
@given(steps, st.sampled_from([2, 200_000]))
def test_whatever_happens_each_gets_everything_once_and_in_order(
    history: list[tuple[object, ...]], in_memory: int
) -> None:
    """Three subscribers that read now and then and go on where they were after each kill."""
    life = History(executions_in_memory=in_memory)
    site = life.site
    got: list[list[Any]] = [[], [], []]

    def begin() -> list[Client]:
        return [subscriber(site, after=len(found)) for found in got]

    clients = begin()
    for name, *values in history:
        if name == "read":
            at = int(str(values[0]))
            got[at] += [reply for reply in clients[at].replies() if isinstance(reply, hiredis.PushNotification)]
        else:
            life.do(str(name), *values)
            if name == "kill":
                clients = begin()
    life.check()
    for at, client in enumerate(clients):
        got[at] += pushed(client)
    reader = site.connect()
    reader.call("HELLO", 3)
    truth, after = [], 0
    while page := reader.call("EXEC.READ", after, "COUNT", 250):
        truth += page
        after = int(page[-1][0])
    for found in got:
        assert ids(found) == list(range(1, len(truth) + 1))
        assert [[push[1], push[2]] for push in found] == truth
