"""Roles: who has which is a table, and no command is done for a connection whose role is too low."""

import attrs
import hiredis
import pytest

from orderd.intake import documentation
from orderd.intake.access import ROLE_NAMES, AccessRules, Members, Peer, Role
from orderd.intake.command_table import TABLE, Command
from orderd.orders.shares import ShareSettings
from orderd.wire.records import RECORD, Kind
from tests.support.site import Site, pairs_of

DESK, RISK, AUDIT, STRANGER = 1001, 1002, 1003, 1004
OPERATORS, DEALERS = 500, 600
RULES = AccessRules(
    admin=Members(frozenset({0, RISK}), frozenset({OPERATORS})),
    trade=Members(frozenset({DESK}), frozenset({DEALERS})),
    read=Members(frozenset({AUDIT})),
)
ORDER = ("ORDER.NEW", "x", "AAPL", "BUY", 1, "LIMIT", "1")


def peer(uid: int, *gids: int) -> Peer:
    return Peer(9, uid, frozenset(gids))


@pytest.mark.parametrize(
    ("who", "role"),
    [
        (peer(0), Role.ADMIN),
        (peer(RISK), Role.ADMIN),
        (peer(STRANGER, 7, OPERATORS), Role.ADMIN),
        (peer(DESK), Role.TRADE),
        (peer(AUDIT, DEALERS), Role.TRADE),
        (peer(DESK, OPERATORS), Role.ADMIN),
        (peer(AUDIT), Role.READ),
        (peer(STRANGER, 7), Role.ANY),
        (peer(STRANGER), Role.ANY),
        (peer(OPERATORS, DESK), Role.ANY),
    ],
)
def test_the_highest_role_of_a_user_and_its_groups_counts(who: Peer, role: Role) -> None:
    assert RULES.role_of(who) is role


def test_as_shipped_everybody_trades_and_root_administers() -> None:
    assert AccessRules().role_of(peer(STRANGER)) is Role.TRADE
    assert AccessRules().role_of(peer(0)) is Role.ADMIN
    assert AccessRules(trade=Members()).role_of(peer(STRANGER)) is Role.READ
    assert AccessRules(admin=Members(everybody=True)).role_of(peer(STRANGER)) is Role.ADMIN


@pytest.fixture
def site() -> Site:
    site = Site()
    put_in_force(site, RULES)
    return site


def put_in_force(site: Site, rules: AccessRules) -> None:
    live = attrs.evolve(site.owner.in_force, access=rules)
    site.gateway.apply(live, site.gateway._batching.settings, ShareSettings())


WHO = {Role.ANY: peer(STRANGER), Role.READ: peer(AUDIT), Role.TRADE: peer(DESK), Role.ADMIN: peer(RISK)}


@pytest.mark.parametrize("role", Role, ids=lambda role: ROLE_NAMES[role])
@pytest.mark.parametrize("command", list(TABLE), ids=lambda command: command.name)
def test_each_command_is_refused_below_its_role_and_done_from_it_on(site: Site, command: Command, role: Role) -> None:
    admin, client = site.connect(), site.connect(WHO[role])
    admin.pairs("ORDER.NEW", "a1", "AAPL", "BUY", 90, "LIMIT", "187.00")
    if command.name in ("EXEC", "DISCARD"):
        client.call("MULTI")
    if command.name == "EXEC.SUBSCRIBE":
        client.call("HELLO", 3)
    words: list[str | bytes] = list((command.example or documentation.EXAMPLES[command.name]).split())
    if command.name == "ORDER.NEW":
        words[1] = "a2"
    words = [RECORD.pack(1, 5, 5, 1, 0, Kind.NEW, 0) if word == "RECORDS" else word for word in words]
    args = [word.encode() if isinstance(word, str) else word for word in words[command.name.count(" ") + 1 :]]
    needed, rows = command.role_for(args), site.desk.table.end
    reply = client.call(*words)
    if role >= needed:
        assert not isinstance(reply, hiredis.ReplyError), reply
    else:
        name = ROLE_NAMES[needed]
        assert str(reply) == f"NOPERM this connection may not {command.name}: it needs the role {name}"
        assert site.desk.table.end == rows


def test_the_roles_of_commands_are_what_their_words_promise() -> None:
    found = {command.name: (command.role_for([]), command.role_for([b"x"])) for command in TABLE}
    assert found["MODE"] == (Role.READ, Role.ADMIN)
    for name in ("CONFIG RELOAD", "CLIENT KILL", "CLIENT LIST"):
        assert found[name] == (Role.ADMIN, Role.ADMIN), name
    for name in ("ORDER.NEW", "ORDER.CANCEL", "ORDER.REPLACE", "ORDER.BATCH", "ORDER.RESERVE"):
        assert found[name] == (Role.TRADE, Role.TRADE), name
    for name in ("ORDER.STATUS", "ORDER.LIST", "EXEC.READ", "BOOK", "INSTRUMENTS", "INFO", "CONFIG GET"):
        assert found[name] == (Role.READ, Role.READ), name
    for name in ("PING", "HELLO", "COMMAND DOCS", "CLIENT SETINFO", "CLIENT SETNAME", "MULTI", "EXEC", "SELECT"):
        assert found[name] == (Role.ANY, Role.ANY), name


def test_a_reader_asks_for_the_mode_and_does_not_set_it(site: Site) -> None:
    reader = site.connect(WHO[Role.READ])
    assert reader.call("MODE") == b"sync"
    assert reader.error("mode", "batch") == "NOPERM this connection may not MODE: it needs the role admin"
    assert reader.call("MODE") == b"sync"


def test_in_a_transaction_a_command_is_refused_as_it_is_queued(site: Site) -> None:
    reader = site.connect(WHO[Role.READ])
    reader.call("MULTI")
    reader.call("INSTRUMENTS")
    assert reader.error(*ORDER) == "NOPERM this connection may not ORDER.NEW: it needs the role trade"
    assert reader.error("EXEC").startswith("EXECABORT")
    assert site.desk.table.end == 1


def test_other_rules_hold_for_those_who_are_connected_and_for_what_they_have_queued(site: Site) -> None:
    desk, stranger = site.connect(WHO[Role.TRADE]), site.connect(WHO[Role.ANY])
    desk.call("MULTI")
    desk.call(*ORDER)
    desk.call("PING")
    assert stranger.error("INFO").startswith("NOPERM")
    put_in_force(site, attrs.evolve(RULES, trade=Members(), read=Members(everybody=True)))
    refused, pong = desk.call("EXEC")
    assert str(refused) == "NOPERM this connection may not ORDER.NEW: it needs the role trade"
    assert pong in (b"PONG", "PONG")
    assert desk.error(*ORDER).startswith("NOPERM")
    assert site.desk.table.end == 1
    assert not isinstance(stranger.call("INFO"), hiredis.ReplyError)
    put_in_force(site, AccessRules())
    assert pairs_of(desk.call(*ORDER))["status"] == "NEW"


def test_the_list_of_clients_tells_user_and_role(site: Site) -> None:
    admin, desk = site.connect(WHO[Role.ADMIN]), site.connect(WHO[Role.TRADE])
    desk.connection.client.user = "desk"
    own, other = admin.call("CLIENT", "LIST").decode().splitlines()
    assert f" addr=pid=9,uid={RISK} user={RISK} role=admin " in own
    assert f" addr=pid=9,uid={DESK} user=desk role=trade " in other
