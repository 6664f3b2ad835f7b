"""MAXAGE with a real link and a real engine: an order that was not sent in time never goes, and everybody learns it."""

from hypothesis import given
from hypothesis import strategies as st

from orderd.wire.records import Kind
from orderd.wire.reports import ExecType
from tests.support.accounts import account_of
from tests.support.site import EPOCH_NS, Client, Site, pairs_of

LIMIT = ("AAPL", "BUY", 1, "LIMIT", "1.00")


def away(site: Site) -> Client:
    """The engine is gone, and orderd knows."""
    client = site.connect()
    site.engine.up = False
    client.call("ORDER.NEW", "first", *LIMIT, "MODE", "fire-and-forget")
    site.advance(5)
    return client


def executions(client: Client) -> list[dict[str, str]]:
    return [pairs_of(pairs) for _, pairs in client.call("EXEC.READ", 0)]


def executed_kinds(site: Site) -> list[int]:
    """The kinds of all records that the engine has in its journal."""
    found = []
    for kind, payload in site.engine.journal:
        if kind == 4:
            found += [payload[at + 30] for at in range(32, len(payload), 32)]
    return found


def test_an_order_that_waited_too_long_is_expired_and_never_executed() -> None:
    site = Site()
    client = away(site)
    client.send("ORDER.NEW", "old", *LIMIT, "MAXAGE", 1000)
    client.send("ORDER.NEW", "young", *LIMIT, "MAXAGE", 60_000)
    client.send("ORDER.NEW", "ageless", *LIMIT)
    site.advance(2)
    site.engine.up = True
    site.advance(1)
    old, young, ageless = (pairs_of(reply) for reply in client.replies())
    assert (old["status"], old["reason"], old["cum_qty"], old["leaves_qty"]) == ("EXPIRED", "MAXAGE", "0", "0")
    assert old["path"] == "udp"
    assert (young["status"], ageless["status"]) == ("NEW", "NEW")
    assert client.pairs("ORDER.STATUS", "old") == old
    assert executed_kinds(site) == [Kind.NEW, Kind.VOID, Kind.NEW, Kind.NEW]
    told = [(e["cl_ord_id"], e["exec_type"], e["status"], e.get("reason")) for e in executions(client)]
    assert told == [
        ("first", "NEW", "NEW", None), ("old", "EXPIRED", "EXPIRED", "MAXAGE"), ("young", "NEW", "NEW", None),
        ("ageless", "NEW", "NEW", None),
    ]  # fmt: skip
    expired = executions(client)[1]
    assert (expired["order_id"], expired["symbol"], expired["side"]) == ("2", "AAPL", "BUY")
    assert site.desk.outcomes.counters.rejected == 0
    assert account_of((i, e) for i, e in enumerate(executions(client), 1)).refused == {2: "MAXAGE"}


def test_an_order_that_was_sent_never_expires_here() -> None:
    """It may have reached the engine, so it must stay what it was."""
    site = Site()
    client = site.connect()
    site.advance(1)
    site.engine.up = False
    client.call("ORDER.NEW", "a", *LIMIT, "MAXAGE", 10, "MODE", "fire-and-forget")
    site.advance(3)
    site.engine.up = True
    site.advance(1)
    assert client.pairs("ORDER.STATUS", "a")["status"] == "NEW"


def test_the_same_order_again_gets_the_first_outcome_whatever_its_maxage() -> None:
    site = Site()
    client = away(site)
    client.call("ORDER.NEW", "a", *LIMIT, "MAXAGE", 100, "MODE", "fire-and-forget")
    again = client.pairs("ORDER.NEW", "a", *LIMIT, "MAXAGE", 60_000, "MODE", "fire-and-forget")
    assert (again["order_id"], again["status"]) == ("2", "QUEUED")
    site.advance(1)
    site.engine.up = True
    site.advance(1)
    for words in ((), ("MAXAGE", 5)):
        assert client.pairs("ORDER.NEW", "a", *LIMIT, *words)["status"] == "EXPIRED"


def test_a_cancel_or_replace_of_it_is_too_late() -> None:
    site = Site()
    client = away(site)
    client.call("ORDER.NEW", "a", *LIMIT, "MAXAGE", 100, "MODE", "fire-and-forget")
    client.send("ORDER.CANCEL", "a")
    site.advance(1)
    site.engine.up = True
    site.advance(1)
    queued_then = pairs_of(client.replies()[0])
    assert (queued_then["status"], queued_then["reason"]) == ("EXPIRED", "TOO_LATE")
    for words in (("ORDER.CANCEL", "a"), ("ORDER.REPLACE", "a", 5, "1.00")):
        pairs = client.pairs(*words)
        assert (pairs["status"], pairs["reason"]) == ("EXPIRED", "TOO_LATE")


def test_after_a_restart_age_goes_by_the_wall_clock() -> None:
    site = Site()
    client = away(site)
    client.call("ORDER.NEW", "old", *LIMIT, "MAXAGE", 1000, "MODE", "fire-and-forget")
    client.call("ORDER.NEW", "young", *LIMIT, "MAXAGE", 60_000, "MODE", "fire-and-forget")
    site.advance(2)
    site.start()
    site.engine.up = True
    site.advance(1)
    client = site.connect()
    assert client.pairs("ORDER.STATUS", "old")["status"] == "EXPIRED"
    assert client.pairs("ORDER.STATUS", "young")["status"] == "NEW"


@given(st.booleans(), st.booleans())
def test_a_crash_between_the_void_and_its_report_changes_nothing(engine_too: bool, reports_survive: bool) -> None:
    site = Site()
    client = away(site)
    client.call("ORDER.NEW", "a", *LIMIT, "MAXAGE", 1000, "MODE", "fire-and-forget")
    client.call("ORDER.NEW", "b", *LIMIT, "MODE", "fire-and-forget")
    site.advance(2)
    site.is_slow = True
    site.engine.up = True
    site.advance(1)
    assert executed_kinds(site) == [Kind.NEW, Kind.VOID, Kind.NEW]
    assert client.pairs("ORDER.STATUS", "a")["status"] == "EXPIRED"
    assert site.desk.executions.last < 2, "its report is not in the journal"
    if engine_too:
        site.engine.start()
    site.is_slow = False
    site.start(commit_survived=reports_survive)
    site.advance(1)
    client = site.connect()
    assert client.pairs("ORDER.STATUS", "a")["status"] == "EXPIRED"
    assert [(e["cl_ord_id"], e["exec_type"]) for e in executions(client)] == [
        ("first", "NEW"), ("a", "EXPIRED"), ("b", "NEW"),
    ]  # fmt: skip
    assert executed_kinds(site) == [Kind.NEW, Kind.VOID, Kind.NEW]
    assert client.pairs("ORDER.STATUS", "b")["status"] == "NEW"


def test_a_void_is_shown_after_its_order_was_forgotten() -> None:
    site = Site()
    client = away(site)
    client.call("ORDER.NEW", "a", *LIMIT, "ACCOUNT", 7, "MAXAGE", 1, "MODE", "fire-and-forget")
    site.advance(1)
    site.engine.up = True
    site.advance(1)
    (found,) = [e for e in site.desk.executions.read(0, 9) if e.report.exec_type is ExecType.EXPIRED]
    assert (found.cl_ord_id, found.report.account, found.report.order) == (b"a", 7, 2)
    assert found.report.transact_time_ns > EPOCH_NS
