"""Turns: nobody's commands keep others out for long, and a long transaction still goes in one piece."""

from collections.abc import Iterator

import pytest

from orderd.intake.intake import COMMANDS_AT_ONCE
from orderd.intake.transaction_commands import COMMANDS_IN_A_TURN
from orderd.intake.turns import Turn
from orderd.orders.entries import Orders, decode
from orderd.orders.shares import AHEAD_MAX
from orderd.wire.records import RECORD, Kind
from tests.support.site import Client, Site, encode, pairs_of, site_settings

LIMIT = ("AAPL", "BUY", 1, "LIMIT", "1.00")
MANY = 5 * COMMANDS_IN_A_TURN


def steps_of(client: Client, *commands: tuple[bytes | str | int, ...]) -> Iterator[Turn]:
    """The turns that ``commands`` take, in one chunk."""
    site = client.site
    chunk = b"".join(encode(words) for words in commands)
    return site.intake.feed_in_steps(client.connection, chunk, site.now, site.now_ns)


def queue(client: Client, prefix: str, count: int = MANY) -> None:
    client.call("MULTI")
    for i in range(count):
        client.send("ORDER.NEW", f"{prefix}{i}", *LIMIT)
    client.replies()


def groups(site: Site) -> list[int]:
    """How many orders each group in the journal has."""
    found = [decode(*entry) for commit in site.journal for entry in commit]
    return [len(group.records) // 32 for group in found if isinstance(group, Orders)]


def test_others_have_their_turn_after_so_many_commands(client: Client) -> None:
    commands = [("ORDER.NEW", f"a{i}", *LIMIT) for i in range(COMMANDS_AT_ONCE * 3 + 1)]
    assert list(steps_of(client, *commands)) == [Turn.OTHERS] * 3
    assert client.site.desk.table.end == len(commands) + 1


@pytest.mark.parametrize("words", [("INFO",), ("COMMAND", "DOCS"), ("COMMAND",), ("CONFIG", "GET", "*"), ("MODE",)])
def test_others_have_their_turn_after_each_command_that_tells_much(client: Client, words: tuple[str, ...]) -> None:
    assert len(list(steps_of(client, *[words] * 10))) == 10


def test_a_list_of_all_clients_and_many_patterns_have_turns_within(client: Client) -> None:
    for _ in range(200):
        client.site.connect()
    assert len(list(steps_of(client, ("CLIENT", "LIST")))) == 3
    assert len(client.replies()[0].splitlines()) == 201
    assert len(list(steps_of(client, ("CONFIG", "GET", *["*"] * 32)))) >= 4


def test_the_largest_batch_has_turns_between_its_steps(client: Client) -> None:
    records = b"".join(RECORD.pack(i, 1, 1, 1, 0, Kind.NEW, 0) for i in range(1, 32_001))
    turns = list(steps_of(client, ("ORDER.BATCH", "B", records)))
    assert len(turns) >= 2 and set(turns) == {Turn.OTHERS}


def test_a_long_transaction_has_turns_and_stays_one_piece(site: Site, client: Client) -> None:
    other = site.connect()
    queue(client, "t")
    steps = steps_of(client, ("EXEC",))
    assert next(steps) is Turn.PIECE
    assert site.desk.table.end == COMMANDS_IN_A_TURN + 1
    others = steps_of(other, ("ORDER.NEW", "o", *LIMIT))
    assert next(others) is Turn.LINE
    reader = site.connect()
    assert reader.call("PING") in (b"PONG", "PONG")
    assert reader.call("ORDER.LIST") == [], "nothing of it is durable"
    site.pump()
    assert groups(site) == [], "nothing of it may be committed alone"
    assert next(others) is Turn.LINE
    assert set(steps) == {Turn.PIECE}
    site.pump()
    assert list(others) == []
    site.pump()
    assert groups(site) == [MANY, 1]
    assert pairs_of(other.replies()[0])["order_id"] == str(MANY + 1)
    assert len(client.replies()[0]) == MANY


def test_batches_cancels_and_short_transactions_of_others_wait_in_line_too(site: Site, client: Client) -> None:
    client.call("ORDER.NEW", "first", *LIMIT)
    queue(client, "t")
    for words in (
        ("ORDER.BATCH", "B", RECORD.pack(1, 1, 1, 1, 0, Kind.NEW, 0)), ("ORDER.CANCEL", "first"), ("ORDER.MASSCANCEL",),
        ("EXEC",), ("ORDER.RESERVE", 1),
    ):  # fmt: skip
        other = site.connect()
        if words == ("EXEC",):
            queue(other, "x", 1)
        steps = steps_of(client, ("EXEC",))
        others = steps_of(other, words)
        if words[0] == "ORDER.BATCH":
            assert next(others) is Turn.OTHERS
        assert next(steps) is Turn.PIECE
        turns = [next(others) for _ in range(2)]
        assert turns[-1] is Turn.LINE
        end = site.desk.table.end
        assert set(steps) == {Turn.PIECE}
        assert site.desk.table.end == end + MANY - COMMANDS_IN_A_TURN
        assert Turn.LINE not in set(others)
        site.pump()
        client.replies()
        queue(client, f"t{end}")


def test_a_transaction_that_is_given_up_halfway_is_done_all_the_same(site: Site, client: Client) -> None:
    queue(client, "t")
    steps = steps_of(client, ("EXEC",))
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    site.intake.disconnect(client.connection)
    site.pump()
    assert groups(site) == [MANY]
    assert site.intake.turns.is_free


def test_what_a_transaction_places_while_the_daemon_ends_is_guarded_too(site: Site, client: Client) -> None:
    client.call("CLIENT", "CANCELONDISCONNECT", "ON")
    queue(client, "t")
    steps = steps_of(client, ("EXEC",))
    next(steps)
    site.intake.hang_up_all()
    assert site.desk.table.end <= MANY
    for _ in steps:
        pass
    site.intake.hang_up(client.connection)
    site.pump()
    assert site.desk.table.end > 2 * MANY and site.desk.table.open == 0


def test_a_kill_in_the_middle_of_a_transaction_leaves_nothing_of_it(site: Site, client: Client) -> None:
    queue(client, "t")
    steps = steps_of(client, ("EXEC",))
    next(steps)
    site.pump()
    site.start()
    assert site.desk.table.end == 1


def test_who_leaves_the_line_is_not_waited_for(site: Site, client: Client) -> None:
    queue(client, "t")
    other, third = site.connect(), site.connect()
    steps, others = steps_of(client, ("EXEC",)), steps_of(other, ("ORDER.NEW", "o", *LIMIT))
    next(steps)
    next(others)
    others.close()  # type: ignore[attr-defined]
    list(steps)
    queue(third, "u")
    assert set(steps_of(third, ("EXEC",))) == {Turn.PIECE}
    assert site.desk.ids.find(b"o") is None


def test_one_transaction_after_the_other_keeps_nobody_out(site: Site, client: Client) -> None:
    """Whoever waits in line comes before the next piece."""
    other, third = site.connect(), site.connect()
    queue(client, "t")
    queue(third, "u")
    steps, others = steps_of(client, ("EXEC",)), steps_of(other, ("ORDER.NEW", "o", *LIMIT))
    next(steps)
    next(others)
    thirds = steps_of(third, ("EXEC",))
    assert next(thirds) is Turn.LINE
    list(steps)
    assert next(thirds) is Turn.LINE, "others were there before"
    assert list(others) == []
    assert set(thirds) == {Turn.PIECE}
    site.pump()
    assert site.desk.ids.find(b"o") == MANY + 1


def test_cancels_for_clients_that_are_gone_do_not_get_in_between(site: Site, client: Client) -> None:
    guarded = site.connect()
    guarded.call("CLIENT", "CANCELONDISCONNECT", "ON")
    guarded.call("ORDER.NEW", "g", *LIMIT)
    queue(client, "t")
    steps = steps_of(client, ("EXEC",))
    next(steps)
    end = site.desk.table.end
    site.intake.disconnect(guarded.connection)
    site.pump()
    assert site.desk.table.end == end
    list(steps)
    site.pump()
    client.replies()
    assert client.pairs("ORDER.STATUS", "g")["status"] == "CANCELED"


def test_who_is_ahead_while_others_trade_waits_until_some_of_it_is_confirmed(site: Site, client: Client) -> None:
    other = site.connect()
    other.call("ORDER.NEW", "o", *LIMIT)
    site.holds_commits = True
    steps = steps_of(client, *[("ORDER.NEW", f"a{i}", *LIMIT) for i in range(3 * AHEAD_MAX)])
    while next(steps) is not Turn.AHEAD:
        pass
    assert site.desk.table.end == AHEAD_MAX + 2
    # What another places now does not stand behind the rest.
    other.send("ORDER.NEW", "p", *LIMIT)
    site.holds_commits = False
    site.pump()
    assert pairs_of(other.replies()[0])["order_id"] == str(AHEAD_MAX + 2)
    assert next(steps) is not Turn.AHEAD
    site.holds_commits = True
    while next(steps) is not Turn.AHEAD:
        pass
    assert site.desk.table.end == 2 * AHEAD_MAX + 3
    assert next(steps) is not Turn.AHEAD, "nothing moves, so it goes on"
    assert Turn.AHEAD not in set(steps)
    assert site.desk.ids.find(b"a%d" % (3 * AHEAD_MAX - 1)) is not None


@pytest.mark.parametrize("how", ["alone", "away", "no share"])
def test_nobody_waits_for_confirmations_in_vain(how: str) -> None:
    site = Site(site_settings(client_share_percent=100 if how == "no share" else 25))
    client = site.connect()
    if how != "alone":
        site.connect().call("ORDER.NEW", "o", *LIMIT)
    if how == "away":
        site.engine.up = False
        client.call("ORDER.NEW", "x", *LIMIT, "MODE", "fire-and-forget")
        site.advance(3)
    site.holds_commits = True
    commands = [("ORDER.NEW", f"a{i}", *LIMIT) for i in range(2 * AHEAD_MAX)]
    assert Turn.AHEAD not in set(steps_of(client, *commands))


def test_a_flood_is_throttled_and_nobody_else_is() -> None:
    site = Site(site_settings(orders_unconfirmed_max=400, orders_remembered_max=10_000))
    polite, flood = site.connect(), site.connect()
    for i in range(400):
        flood.send("ORDER.NEW", f"alone{i}", *LIMIT, "MODE", "fire-and-forget")
    site.pump()
    assert polite.pairs("ORDER.NEW", "first", *LIMIT)["status"] == "NEW"
    site.engine.up = False
    for i in range(400):
        flood.send("ORDER.NEW", f"f{i}", *LIMIT, "MODE", "fire-and-forget")
        if i % 20 == 0:
            polite.send("ORDER.NEW", f"p{i}", *LIMIT, "MODE", "fire-and-forget")
            polite.send("ORDER.CANCEL", f"p{i}", "MODE", "fire-and-forget")
    site.pump()
    assert all(isinstance(reply, list) for reply in polite.replies())
    refused = [reply for reply in flood.replies() if not isinstance(reply, list)]
    assert str(refused[0]) == (
        "THROTTLED client_share_percent 25 is reached: 100 orders of this connection are unconfirmed, at most 100 "
        "while others trade"
    )
    assert flood.pairs("ORDER.CANCEL", "f0", "MODE", "fire-and-forget")["status"] == "QUEUED"
    text = polite.call("INFO", "clients")
    assert b"throttled_total:%d\r\n" % len(refused) in text


def test_the_rate_of_a_connection_is_a_setting_that_a_reload_changes() -> None:
    site = Site(site_settings(client_orders_per_second=5))
    client = site.connect()
    for i in range(5):
        client.call("ORDER.NEW", f"a{i}", *LIMIT)
    assert client.error("ORDER.NEW", "b", *LIMIT).startswith("THROTTLED client_orders_per_second 5 is reached: ")
    assert client.pairs("ORDER.CANCEL", "a0")["status"] == "CANCELED"
    assert client.pairs("ORDER.NEW", "a1", *LIMIT)["status"] == "NEW", "the repeat of what was taken in"
    assert site.connect().pairs("ORDER.NEW", "c", *LIMIT)["status"] == "NEW", "each has its own"
    site.file = site_settings(client_orders_per_second=0)
    client.call("CONFIG", "RELOAD")
    assert client.pairs("ORDER.NEW", "b", *LIMIT)["status"] == "NEW"
