"""EXEC.READ: from memory and from the journal alike, of one account, and waited for."""

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.intake.execution_commands import LOOKED_HELD
from orderd.orders.executions import LOOKED_AT_ONCE
from orderd.wire.records import RECORD, Kind
from tests.support.histories import History, histories
from tests.support.scale import examples
from tests.support.site import Client, Site, pairs_of, site_settings


def buy(client: Client, name: str, account: int = 0) -> None:
    client.pairs("ORDER.NEW", name, "AAPL", "BUY", 1, "LIMIT", "1.00", "ACCOUNT", account)


def batch(first: int, count: int, account: int = 0) -> bytes:
    return b"".join(RECORD.pack(first + i, 100, 1, 1, account, Kind.NEW, 0) for i in range(count))


def ids(reply: list[tuple[bytes, object]]) -> list[int]:
    return [int(exec_id) for exec_id, _ in reply]


@settings(max_examples=examples(60))
@given(histories, st.integers(1, 5), st.integers(1, 9))
def test_a_small_memory_shows_the_same_as_a_large_one(
    history: list[tuple[object, ...]], in_memory: int, count: int
) -> None:
    small, large = History(executions_in_memory=in_memory), History()
    shown = []
    for life in (small, large):
        for step in history:
            life.do(*step)  # type: ignore[arg-type]
        life.check()
        client, after, found = life.site.connect(), 0, []
        while page := client.call("EXEC.READ", after, "COUNT", count):
            found += page
            after = int(found[-1][0])
        assert ids(found) == list(range(1, life.site.desk.executions.last + 1))
        for account in (b"0", b"3"):
            after, of_account = 0, []
            while page := client.call("EXEC.READ", after, "COUNT", count, "ACCOUNT", account):
                of_account += page
                after = int(page[-1][0])
            assert of_account == [entry for entry in found if pairs_of(entry[1])["account"].encode() == account]
        shown.append(found)
    assert shown[0] == shown[1]
    last = small.site.desk.executions.last
    assert (small.site.archive.executions_read > 0) == (last > in_memory)
    assert large.site.archive.executions_read == 0


def test_after_a_restart_ids_are_the_same_and_reading_goes_on_where_it_was() -> None:
    site = Site(site_settings(executions_in_memory=3))
    client = site.connect()
    for i in range(20):
        buy(client, f"a{i}")
    before = client.call("EXEC.READ", 0)
    site.start()
    client = site.connect()
    assert client.call("EXEC.READ", 0) == before
    assert client.call("EXEC.READ", 7) == before[7:]
    buy(client, "b")
    assert ids(client.call("EXEC.READ", 20)) == [21]


def test_what_is_kept_counts_and_not_what_is_in_memory() -> None:
    site = Site(site_settings(executions_kept=10, executions_in_memory=4))
    client = site.connect()
    for i in range(25):
        buy(client, f"a{i}")
    log = site.desk.executions
    assert (log.first, log.first_in_memory, log.last) == (16, 22, 25)
    assert client.error("EXEC.READ", 14) == "TRIMMED 16"
    assert ids(client.call("EXEC.READ", 15)) == [16, 17, 18, 19, 20, 21]
    assert ids(client.call("EXEC.READ", 0, "COUNT", 2)) == [16, 17]
    info = client.call("INFO", "executions").decode()
    for line in ("executions_first_id:16", "executions_last_id:25", "executions_in_memory:4", "exec_subscribers:0"):
        assert line in info


def test_a_segment_that_is_gone_trims() -> None:
    site = Site(site_settings(executions_in_memory=2))
    client = site.connect()
    for i in range(20):
        buy(client, f"a{i}")
    site.archive.gone_below = len(site.journal) // 2
    error = client.error("EXEC.READ", 1)
    assert error.startswith("TRIMMED ")
    first = int(error.split()[1])
    while isinstance(reply := client.call("EXEC.READ", first - 1), hiredis.ReplyError):
        assert int(str(reply).split()[1]) > first
        first = int(str(reply).split()[1])
    assert ids(reply)[0] == first
    assert ids(client.call("EXEC.READ", 0))[0] == first, "0 is the first one that is there"


@pytest.mark.parametrize("in_memory", [3, 200_000])
def test_an_account_sees_its_own_executions_alone(in_memory: int) -> None:
    site = Site(site_settings(executions_in_memory=in_memory))
    client = site.connect()
    for i in range(30):
        buy(client, f"a{i}", i % 3)
    assert ids(client.call("EXEC.READ", 0, "ACCOUNT", 1, "COUNT", 4)) == [2, 5, 8, 11]
    found, after = [], 0
    while page := client.call("EXEC.READ", after, "ACCOUNT", 1):
        found += page
        after = ids(page)[-1]
    assert ids(found) == list(range(2, 31, 3))
    assert {pairs_of(pairs)["account"] for _, pairs in found} == {"1"}
    assert client.call("EXEC.READ", 0, "ACCOUNT", 9) == []


def test_looking_for_a_rare_account_lets_others_have_their_turn_and_is_not_done_again() -> None:
    site = Site()
    client, other = site.connect(), site.connect()
    count = 5 * LOOKED_AT_ONCE
    client.pairs("ORDER.BATCH", "B", batch(1, count))
    other.send("EXEC.READ", 0, "ACCOUNT", 7)
    turns = 0
    while not (replies := other.replies()):
        turns += 1
        assert site.intake.next_deadline() <= site.now, "it goes on at once, in another turn"
        site.intake.wake(site.now)
    assert replies == [[]]
    assert turns >= 3
    other.send("EXEC.READ", 0, "ACCOUNT", 7)
    site.intake.wake(site.now)
    assert other.replies() == [[]]
    buy(client, "mine", 7)
    assert ids(other.call("EXEC.READ", 0, "ACCOUNT", 7)) == [count + 1]
    assert other.call("EXEC.READ", count + 1, "ACCOUNT", 7) == []
    assert ids(other.call("EXEC.READ", 3, "ACCOUNT", 7)) == [count + 1], "what was looked through is before it"


def test_one_that_polls_for_a_rare_account_keeps_its_place_beyond_what_is_kept() -> None:
    site = Site(site_settings(executions_kept=100))
    client, poller = site.connect(), site.connect()
    buy(client, "mine", 7)
    for i in range(5):
        assert poller.call("EXEC.READ", 1, "ACCOUNT", 7) == []
        client.pairs("ORDER.BATCH", f"B{i}", batch(1 + 60 * i, 60))
    assert site.connect().error("EXEC.READ", 1, "ACCOUNT", 7) == "TRIMMED 202"
    assert poller.call("EXEC.READ", 1, "ACCOUNT", 7) == []
    buy(client, "again", 7)
    assert ids(poller.call("EXEC.READ", 1, "ACCOUNT", 7)) == [302]
    client.pairs("ORDER.BATCH", "C", batch(1001, 500))
    assert poller.error("EXEC.READ", 1, "ACCOUNT", 7) == "TRIMMED 703"
    assert poller.call("EXEC.READ", 0, "ACCOUNT", 7) == []


def test_what_a_connection_remembers_of_its_looks_is_bounded() -> None:
    site = Site()
    client = site.connect()
    for account in range(3 * LOOKED_HELD):
        assert client.call("EXEC.READ", 0, "ACCOUNT", account) == []
    assert len(client.connection.client.looked) == LOOKED_HELD


def test_only_those_whom_an_execution_concerns_are_woken() -> None:
    site = Site()
    client = site.connect()
    readers = [site.connect() for _ in range(50)]
    for account, reader in enumerate(readers):
        reader.send("EXEC.READ", "$", "BLOCK", 0, "ACCOUNT", account)
    site.pump()
    buy(client, "a", 7)
    buy(client, "b", 7)
    found = [reader.replies() for reader in readers]
    assert [len(replies) for replies in found] == [int(i == 7) for i in range(50)]
    assert ids(found[7][0]) == [1]
    readers[7].send("EXEC.READ", 1, "BLOCK", 0, "ACCOUNT", 7)
    site.pump()
    assert ids(readers[7].replies()[0]) == [2]


def test_a_reader_of_an_account_waits_as_long_as_it_said() -> None:
    site = Site()
    client, reader = site.connect(), site.connect()
    reader.send("EXEC.READ", 0, "BLOCK", 700, "ACCOUNT", 7)
    site.advance(0.6)
    buy(client, "a", 6)
    assert reader.replies() == []
    site.advance(0.2)
    assert reader.replies() == [None]
    assert not site.desk.executions.is_watched


def test_a_reader_that_is_gone_is_waited_for_no_more() -> None:
    site = Site()
    for _ in range(20):
        reader = site.connect()
        reader.send("EXEC.READ", "$", "BLOCK", 0, "ACCOUNT", 7)
        site.pump()
        assert site.desk.executions.is_watched
        site.intake.disconnect(reader.connection)
        assert not site.desk.executions.is_watched


def test_reads_of_the_journal_keep_their_place_among_the_replies() -> None:
    site = Site(site_settings(executions_in_memory=2))
    client = site.connect()
    for i in range(9):
        buy(client, f"a{i}")
    client.send("PING")
    client.send("EXEC.READ", 0, "COUNT", 2)
    client.send("EXEC.READ", 7)
    client.send("MULTI")
    client.send("EXEC.READ", 3, "COUNT", 1)
    client.send("PING")
    client.send("EXEC")
    site.pump()
    ping, old, new, _, _, _, together = client.replies()
    assert (ping, ids(old), ids(new), ids(together[0])) == (b"PONG", [1, 2], [8, 9], [4])
    assert together[1] == b"PONG"
