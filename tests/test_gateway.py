"""The gateway's own part: what is released when, and which engine a journal works with."""

import pytest

from orderd.link.errors import EngineLostState, LinkError
from orderd.orders.entries import EngineEntry, EntryKind, Start, decode
from tests.support.site import ENGINE, MemoryEngine, Site

ORDER = ("ORDER.NEW", "a", "AAPL", "BUY", 1, "LIMIT", "1.00")


def test_no_order_leaves_before_the_journal_knows_the_engine() -> None:
    """Else a restart could hand the same orders to another engine."""
    site = Site.__new__(Site)
    engine = MemoryEngine()
    engine.up = False
    Site.__init__(site, engine=engine)
    client = site.connect()
    client.send(*ORDER)
    site.pump()
    assert site.desk.committed_end == 2
    site.holds_commits, engine.up = True, True
    site.advance(0.5)
    assert site.gateway.link.engine == ENGINE
    assert site.desk.engine == ENGINE
    assert not site.desk.engine_is_journaled
    assert engine.core.counters.orders == 0
    site.holds_commits = False
    site.advance(0.1)
    assert engine.core.counters.orders == 1
    kinds = [entry[0] for commit in site.journal for entry in commit]
    assert kinds.count(EntryKind.ENGINE) == 1


def test_a_journal_works_with_no_other_engine() -> None:
    site = Site()
    site.connect().pairs(*ORDER)
    other = MemoryEngine()
    other.core.engine_id = ENGINE + 1
    site.engine = other
    with pytest.raises(EngineLostState):
        site.start()


def test_an_engine_that_forgot_is_not_fed() -> None:
    site = Site()
    site.connect().pairs(*ORDER)
    site.engine = MemoryEngine()
    with pytest.raises(LinkError):
        site.start()


def test_each_start_has_an_epoch_of_its_own_on_disk_before_the_link_opens() -> None:
    site = Site()
    for _ in range(3):
        site.start()
    starts = [e for commit in site.journal for e in (decode(*x) for x in commit) if isinstance(e, Start)]
    assert [start.epoch for start in starts] == [1, 2, 3, 4]
    assert len({start.nonce for start in starts}) == 4
    assert EngineEntry(ENGINE).encode() in [entry for commit in site.journal for entry in commit]


def test_what_was_due_before_a_restart_is_due_after_it() -> None:
    site = Site()
    site.engine.up = False
    client = site.connect()
    for i in range(100):
        client.call("ORDER.NEW", f"b{i}", "AAPL", "BUY", 1, "LIMIT", "1.00", "MODE", "fire-and-forget")
    site.start()
    site.engine.up = True
    site.advance(1)
    assert site.desk.outcomes.confirmed_end == 101
    assert [int(e[0]) for e in site.connect().call("EXEC.READ", 0)] == list(range(1, 101))


def test_an_idle_link_is_watched_only_while_something_is_open() -> None:
    site = Site()
    client = site.connect()
    site.advance(2)
    assert not site.gateway.link.polls.watch
    client.pairs(*ORDER)
    assert site.gateway.link.polls.watch
    client.pairs("ORDER.CANCEL", "a")
    assert not site.gateway.link.polls.watch
