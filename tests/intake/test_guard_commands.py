"""CANCELONDISCONNECT and DEADMAN: the orders of a client that vanishes are cancelled, whatever happens meanwhile."""

import pytest

from orderd.orders import withdrawals
from orderd.orders.entries import EntryKind, GuardEnd, Orders, decode
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, pairs_of, site_settings

LIMIT = ("AAPL", "BUY", 1, "LIMIT", "1.00")


def guarded(site: Site, *words: str | int) -> Client:
    client = site.connect()
    assert client.call("CLIENT", *(words or ("CANCELONDISCONNECT", "ON"))) in (b"OK", "OK")
    return client


def hang_up(site: Site, client: Client) -> None:
    site.intake.disconnect(client.connection)
    site.pump()


def statuses(site: Site, *names: str) -> list[str]:
    client = site.connect()
    return [client.pairs("ORDER.STATUS", name)["status"] for name in names]


def kinds(site: Site) -> list[int]:
    """Of all records in the journal."""
    groups = [group for commit in site.journal for group in (decode(*entry) for entry in commit)]
    records = b"".join(group.records for group in groups if isinstance(group, Orders))
    return [record[5] for record in RECORD.iter_unpack(records)]


def executions(site: Site) -> list[tuple[str, str, str | None]]:
    found = [pairs_of(pairs) for _, pairs in site.connect().call("EXEC.READ", 0)]
    return [(pairs["cl_ord_id"], pairs["exec_type"], pairs.get("reason")) for pairs in found]


def test_open_orders_of_a_connection_are_cancelled_when_it_ends_and_no_others(site: Site) -> None:
    before = site.connect()
    before.call("ORDER.NEW", "other", *LIMIT)
    client = site.connect()
    client.call("ORDER.NEW", "early", *LIMIT)
    client.call("CLIENT", "CANCELONDISCONNECT", "ON")
    for name in ("a", "b", "c"):
        client.call("ORDER.NEW", name, *LIMIT)
    client.call("ORDER.REPLACE", "a", 5, "1.01")
    client.call("ORDER.CANCEL", "b")
    before.call("ORDER.NEW", "sell", "AAPL", "SELL", 2, "LIMIT", "1.01")
    hang_up(site, client)
    assert statuses(site, "other", "early", "a", "b", "c") == ["NEW", "NEW", "CANCELED", "CANCELED", "CANCELED"]
    assert executions(site)[-2:] == [("a", "CANCELED", None), ("c", "CANCELED", None)] or set(
        executions(site)[-2:]
    ) == {("a", "CANCELED", None), ("c", "CANCELED", None)}
    assert kinds(site).count(Kind.CANCEL) == 3, "one by the client, and one for each that was open"


def test_off_releases_all_of_them_and_says_so_once_it_is_durable(site: Site) -> None:
    client = guarded(site)
    client.call("ORDER.NEW", "a", *LIMIT)
    site.holds_commits = True
    client.send("CLIENT", "CANCELONDISCONNECT", "OFF")
    site.pump()
    assert client.replies() == []
    site.holds_commits = False
    site.pump()
    assert client.replies() in ([b"OK"], ["OK"])
    client.call("ORDER.NEW", "b", *LIMIT)
    hang_up(site, client)
    assert statuses(site, "a", "b") == ["NEW", "NEW"]
    site.start()
    assert statuses(site, "a", "b") == ["NEW", "NEW"]


def test_what_was_not_released_durably_is_cancelled_after_a_kill(site: Site) -> None:
    client = guarded(site)
    client.call("ORDER.NEW", "a", *LIMIT)
    site.holds_commits = True
    client.send("CLIENT", "CANCELONDISCONNECT", "OFF")
    site.pump()
    site.holds_commits = False
    site.start()
    assert statuses(site, "a") == ["CANCELED"]


def test_an_order_that_is_not_confirmed_yet_is_cancelled_behind_itself(site: Site) -> None:
    client = guarded(site)
    site.engine.up = False
    client.send("ORDER.NEW", "a", *LIMIT)
    hang_up(site, client)
    assert statuses(site, "a") == ["QUEUED"]
    site.engine.up = True
    site.advance(2)
    assert executions(site) == [("a", "NEW", None), ("a", "CANCELED", None)]


def test_a_cancel_that_is_under_way_is_not_made_twice(site: Site) -> None:
    client = guarded(site)
    site.engine.up = False
    for name in ("a", "b"):
        client.send("ORDER.NEW", name, *LIMIT, "MODE", "fire-and-forget")
    client.send("ORDER.CANCEL", "a", "MODE", "fire-and-forget")
    hang_up(site, client)
    site.start()
    site.engine.up = True
    site.advance(2)
    assert statuses(site, "a", "b") == ["CANCELED", "CANCELED"]
    assert kinds(site) == [Kind.NEW, Kind.NEW, Kind.CANCEL, Kind.CANCEL]


def test_a_cancel_of_another_instrument_under_way_is_none(site: Site) -> None:
    client, other = guarded(site), site.connect()
    client.call("ORDER.NEW", "7", *LIMIT)
    site.engine.up = False
    other.send("ORDER.BATCH", "B", RECORD.pack(7, 0, 0, 2, 0, Kind.CANCEL, 0))
    hang_up(site, client)
    site.engine.up = True
    site.advance(3)
    assert statuses(site, "7") == ["CANCELED"]


@pytest.mark.parametrize("committed", [False, True])
def test_orders_of_a_client_that_a_kill_of_orderd_cut_short_are_cancelled_before_anybody_else_is_served(
    site: Site, committed: bool
) -> None:
    client = guarded(site)
    for name in ("a", "b"):
        client.call("ORDER.NEW", name, *LIMIT)
    client.call("ORDER.BATCH", "B", RECORD.pack(7, 1, 1, 1, 0, Kind.NEW, 0) * 1)
    site.is_slow = not committed
    client.send("ORDER.NEW", "last", *LIMIT)
    site.pump()
    site.is_slow = False
    site.start(commit_survived=not committed)
    late = site.connect()
    late.call("ORDER.NEW", "sell", "AAPL", "SELL", 1, "LIMIT", "0.01")
    assert statuses(site, "a", "b", "7", "last", "sell") == ["CANCELED"] * 4 + ["NEW"]
    ends = [e for commit in site.journal for e in (decode(*x) for x in commit) if isinstance(e, GuardEnd)]
    assert len(ends) == 1
    count = kinds(site).count(Kind.CANCEL)
    site.start()
    site.pump()
    assert kinds(site).count(Kind.CANCEL) == count, "that is over"


def test_batches_transactions_and_orders_with_an_age_are_guarded(site: Site) -> None:
    client = guarded(site)
    other = site.connect()
    batch = b"".join(RECORD.pack(100 + i, 1, 1, 1, 0, Kind.NEW, 0) for i in range(20))
    client.call("ORDER.BATCH", "B", batch + RECORD.pack(105, 0, 0, 1, 0, Kind.CANCEL, 0))
    client.call("MULTI")
    client.call("ORDER.NEW", "m1", *LIMIT)
    client.call("ORDER.NEW", "m2", *LIMIT)
    site.holds_commits = True
    client.send("EXEC")
    other.send("ORDER.NEW", "o", *LIMIT, "MAXAGE", 5000)
    client.send("ORDER.NEW", "aged", *LIMIT, "MAXAGE", 60_000)
    site.holds_commits = False
    site.pump()
    guarded_groups = [entry for commit in site.journal for entry in commit if entry[0] == EntryKind.GUARDED]
    marks = [[(m.index, m.count) for m in decode(*entry).guards] for entry in guarded_groups]  # type: ignore[union-attr]
    assert marks == [[(0, 21)], [(0, 2), (3, 1)]]
    site.start()
    assert set(statuses(site, *(str(100 + i) for i in range(20)), "m1", "m2", "aged")) == {"CANCELED"}
    assert statuses(site, "o") == ["NEW"]
    assert site.desk.table.open == 1


def test_quit_reset_and_errors_end_a_connection_as_hanging_up_does(site: Site) -> None:
    client = guarded(site)
    client.call("ORDER.NEW", "a", *LIMIT)
    assert client.call("RESET") in (b"RESET", "RESET")
    assert statuses(site, "a") == ["CANCELED"]
    client.call("ORDER.NEW", "b", *LIMIT)
    hang_up(site, client)
    assert statuses(site, "b") == ["NEW"], "as if newly connected"


def test_a_dead_mans_orders_are_cancelled_and_it_stays_connected(site: Site) -> None:
    client = guarded(site, "DEADMAN", 500)
    client.call("ORDER.NEW", "a", *LIMIT)
    for _ in range(5):
        site.advance(0.4)
        client.call("PING")
    assert statuses(site, "a") == ["NEW"], "any command is a sign of life"
    site.advance(0.49)
    assert statuses(site, "a") == ["NEW"]
    site.advance(0.02)
    assert statuses(site, "a") == ["CANCELED"]
    site.advance(5)
    client.call("ORDER.NEW", "b", *LIMIT)
    site.advance(0.4)
    assert statuses(site, "b") == ["NEW"], "armed again"
    site.advance(0.2)
    assert statuses(site, "b") == ["CANCELED"]
    client.call("CLIENT", "DEADMAN", 0)
    client.call("ORDER.NEW", "c", *LIMIT)
    site.advance(5)
    hang_up(site, client)
    assert statuses(site, "c") == ["NEW"]


def test_half_a_command_is_no_sign_of_life(site: Site) -> None:
    client = guarded(site, "DEADMAN", 500)
    client.call("ORDER.NEW", "a", *LIMIT)
    for _ in range(5):
        site.advance(0.2)
        client.feed(b"*" if _ == 0 else b"1"[:0])
    assert statuses(site, "a") == ["CANCELED"]


def test_orders_stay_guarded_while_one_of_the_two_is_on(site: Site) -> None:
    client = guarded(site)
    client.call("CLIENT", "DEADMAN", 1000)
    client.call("ORDER.NEW", "a", *LIMIT)
    client.call("CLIENT", "CANCELONDISCONNECT", "OFF")
    client.call("ORDER.NEW", "b", *LIMIT)
    hang_up(site, client)
    assert statuses(site, "a", "b") == ["CANCELED", "CANCELED"], "who is gone says nothing more"


def test_a_restart_is_a_hang_up_of_all(site: Site) -> None:
    client = guarded(site)
    client.call("ORDER.NEW", "a", *LIMIT)
    site.intake.hang_up_all()
    site.pump()
    assert statuses(site, "a") == ["CANCELED"]


def test_while_trading_is_halted_they_are_cancelled_all_the_same(site: Site) -> None:
    client = guarded(site)
    client.call("ORDER.NEW", "a", *LIMIT)
    site.connect().call("TRADING", "HALTED")
    hang_up(site, client)
    assert statuses(site, "a") == ["CANCELED"]


def test_cancels_wait_for_room_and_go_as_soon_as_there_is_some_and_leave_some_to_others() -> None:
    site = Site(site_settings(orders_unconfirmed_max=200))
    client = guarded(site)
    for i in range(200):
        client.call("ORDER.NEW", f"a{i}", *LIMIT)
    site.advance(11)
    site.engine.up = False
    filler = site.connect()
    for i in range(200):
        filler.send("ORDER.NEW", f"f{i}", *LIMIT, "MODE", "fire-and-forget")
    site.pump()
    filler.replies()
    hang_up(site, client)
    assert site.desk.unconfirmed == 232, "half of what is reserved for cancels"
    assert filler.pairs("ORDER.CANCEL", "f0", "MODE", "fire-and-forget")["status"] == "QUEUED"
    assert not site.desk.withdrawals.is_idle
    site.engine.up = True
    site.advance(2)
    assert set(statuses(site, *(f"a{i}" for i in range(200)))) == {"CANCELED"}
    assert statuses(site, *(f"f{i}" for i in range(1, 200))) == ["NEW"] * 199
    assert kinds(site).count(Kind.CANCEL) == 201


def test_a_kill_between_two_parts_of_the_cancels_forgets_nothing_and_repeats_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(withdrawals, "UNDER_WAY_MAX", 50)
    site = Site()
    client = guarded(site)
    client.call("ORDER.BATCH", "B", b"".join(RECORD.pack(i, 1, 1, 1, 0, Kind.NEW, 0) for i in range(1, 301)))
    site.engine.up = False
    hang_up(site, client)
    assert kinds(site).count(Kind.CANCEL) == 50
    site.start()
    assert kinds(site).count(Kind.CANCEL) == 300, "at a start there are no others who wait"
    site.engine.up = True
    site.advance(2)
    assert site.desk.table.open == 0
    assert kinds(site).count(Kind.CANCEL) == 300


def test_a_hundred_thousand_orders_are_cancelled_in_small_steps() -> None:
    site = Site()
    client = guarded(site)
    for start in range(1, 100_001, 20_000):
        batch = b"".join(RECORD.pack(i, 1, 1, 1, 0, Kind.NEW, 0) for i in range(start, start + 20_000))
        client.call("ORDER.BATCH", f"B{start}", batch)
    assert site.desk.table.open == 100_000
    site.intake.disconnect(client.connection)
    largest, steps = 0, 0
    while not site.desk.withdrawals.is_idle:
        end = site.desk.table.end
        if site.gateway.withdraw():
            steps += 1
        else:
            site.pump()
            site.advance(0.1)
            continue
        largest = max(largest, site.desk.table.end - end)
    site.pump()
    assert largest <= 512 and steps >= 16
    assert site.desk.table.open == 0


def test_client_info_and_info_tell_of_guards(site: Site) -> None:
    client = guarded(site)
    client.call("CLIENT", "DEADMAN", 2000)
    line = client.call("CLIENT", "INFO").decode()
    assert " cancel-on-disconnect=on deadman-ms=2000 unconfirmed=0" in line
    client.call("ORDER.NEW", "a", *LIMIT)
    assert b"guards:1\r\n" in client.call("INFO", "clients")
    hang_up(site, client)
    text = site.connect().call("INFO", "clients")
    for expected in (b"guards:0\r\n", b"guards_withdrawn_total:1\r\n", b"guards_cancels_total:1\r\n"):
        assert expected in text


def test_wrong_forms_have_their_errors(client: Client) -> None:
    assert client.error("CLIENT", "CANCELONDISCONNECT", "MAYBE") == (
        "BADORDER CANCELONDISCONNECT 'MAYBE' must be ON or OFF"
    )
    assert client.error("CLIENT", "DEADMAN", 99) == "BADORDER DEADMAN 99 must be 0 or 100 to 86400000 ms"
    for wrong in (86_400_001, -1, "x", "1.5"):
        assert client.error("CLIENT", "DEADMAN", wrong).startswith("BADORDER DEADMAN ")
    for fine in (100, 86_400_000, 0):
        assert client.call("CLIENT", "DEADMAN", fine) in (b"OK", "OK")


def test_changing_the_dead_mans_time_all_the_while_takes_no_memory(site: Site) -> None:
    client = site.connect()
    for i in range(5000):
        client.send("CLIENT", "DEADMAN", 86_400_000 - i)
    site.intake.disconnect(client.connection)
    assert len(site.intake.guarding._deadlines) < 1100
