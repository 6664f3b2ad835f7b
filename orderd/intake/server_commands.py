"""Commands about the connection and the daemon, as Redis has them. Pure."""

from collections.abc import Callable, Generator
from fnmatch import fnmatchcase
from functools import cache
from typing import Final

from orderd import __version__
from orderd.intake import replies, words
from orderd.intake.access import ROLE_NAMES, Role
from orderd.intake.command_table import TABLE, Command, Reply
from orderd.intake.context import Client, Context, SettingsControl
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.intake.subscriptions import PROTOCOL
from orderd.orders.errors import BadOrder, Refused
from orderd.orders.modes import MODE_NAMES, Mode

MODE_OF: Final = {mode: name.encode() for name, mode in MODE_NAMES.items()}
REDIS_SETTINGS: Final = {"save": "", "appendonly": "yes"}
"""What redis-benchmark asks for at its start."""
NAME_BYTES_MAX: Final = 64
PATTERNS_MAX: Final = 32
"""Each takes a tenth of a millisecond."""
PATTERNS_AT_ONCE: Final = 8
LINES_AT_ONCE: Final = 64
"""Of CLIENT LIST, before others have their turn."""


class NoProtocol(Refused):
    """HELLO with a protocol that does not exist."""

    word = "NOPROTO"


@TABLE.add(
    "PING", -1, role=Role.ANY, group="connection", arguments="[message]", summary="Whether the daemon answers.",
    reply="PONG, or the message", example="PING",
)  # fmt: skip
def ping(_: Context, args: list[bytes]) -> Reply:
    return replies.bulk(args[0]) if args else replies.PONG


@TABLE.add(
    "ECHO", 2, role=Role.ANY, group="connection", arguments="message", summary="Say it again.", reply="the message",
    example="ECHO hello",
)  # fmt: skip
def echo(_: Context, args: list[bytes]) -> Reply:
    return replies.bulk(args[0])


@TABLE.add(
    "HELLO", -1, role=Role.ANY, group="connection", arguments="[2|3] [SETNAME name]",
    summary="Choose the protocol, RESP2 or RESP3.",
    reply="pairs server, version, proto, id, mode, role, modules", example="HELLO 3",
)  # fmt: skip
def hello(context: Context, args: list[bytes]) -> Reply:
    client = context.client
    protocol, name = client.protocol, client.name
    if args:
        if args[0] not in (b"2", b"3"):
            raise NoProtocol("unsupported protocol version")
        protocol = int(args[0])
        for _, value in words.options(args[1:], {b"SETNAME": 1}, frozenset({b"AUTH"})):
            name = _client_name(value)
    client.protocol, client.name = protocol, name
    if protocol != PROTOCOL:
        context.services.subscriptions.end(client)
    return replies.encode(
        {
            b"server": b"orderd",
            b"version": __version__,
            b"proto": protocol,
            b"id": client.id,
            b"mode": b"standalone",
            b"role": b"master",
            b"modules": [],
        },
        protocol,
    )


@TABLE.add(
    "SELECT", 2, role=Role.ANY, group="connection", arguments="0", summary="There is one database.", reply="OK",
    example="SELECT 0",
)  # fmt: skip
def select(_: Context, args: list[bytes]) -> Reply:
    if args[0] != b"0":
        raise Refused("DB index is out of range")
    return replies.OK


@TABLE.add(
    "RESET",
    1,
    role=Role.ANY,
    group="connection",
    summary="As if newly connected: guarded orders are cancelled, as when the connection ends.",
    reply="RESET",
    example="RESET",
    immediate=True,
)
def reset(context: Context, _: list[bytes]) -> Reply:
    client = context.client
    client.protocol, client.name, client.transaction = 2, b"", None
    context.services.subscriptions.end(client)
    context.services.guarding.end(client)
    return replies.simple("RESET")


@TABLE.add(
    "QUIT",
    1,
    role=Role.ANY,
    group="connection",
    summary="Close the connection.",
    reply="OK",
    example="QUIT",
    immediate=True,
)
def close(context: Context, _: list[bytes]) -> Reply:
    context.client.closing = True
    return replies.OK


# --- CLIENT -----------------------------------------------------------------------------------------------------------


def _client_name(name: bytes) -> bytes:
    if len(name) > NAME_BYTES_MAX or any(not 33 <= byte <= 126 for byte in name):
        raise Refused("Client names cannot contain spaces, newlines or special characters.")
    return name


@TABLE.add(
    "CLIENT SETNAME", 3, role=Role.ANY, group="connection", arguments="name", summary="Name this connection.",
    reply="OK", example="CLIENT SETNAME desk-7",
)  # fmt: skip
def client_setname(context: Context, args: list[bytes]) -> Reply:
    context.client.name = _client_name(args[0])
    return replies.OK


@TABLE.add(
    "CLIENT GETNAME", 2, role=Role.ANY, group="connection", summary="The name of this connection.",
    reply="the name, or null", example="CLIENT GETNAME",
)  # fmt: skip
def client_getname(context: Context, _: list[bytes]) -> Reply:
    return replies.encode(context.client.name or None, context.client.protocol)


@TABLE.add(
    "CLIENT SETINFO", 4, role=Role.ANY, group="connection", arguments="LIB-NAME|LIB-VER value",
    summary="What library this connection uses.", reply="OK", example="CLIENT SETINFO LIB-NAME mine",
)  # fmt: skip
def client_setinfo(context: Context, args: list[bytes]) -> Reply:
    name = args[0].lower()
    if name not in (b"lib-name", b"lib-ver"):
        raise Refused(f"Unrecognized option {words.shown(args[0])}")
    context.client.library[name] = _client_name(args[1])
    return replies.OK


@TABLE.add(
    "CLIENT ID", 2, role=Role.ANY, group="connection", summary="The number of this connection.", reply="integer",
    example="CLIENT ID",
)  # fmt: skip
def client_id(context: Context, _: list[bytes]) -> Reply:
    return replies.integer(context.client.id)


@TABLE.add(
    "CLIENT INFO", 2, role=Role.ANY, group="connection", summary="This connection.", reply="a line of name=value",
    example="CLIENT INFO",
)  # fmt: skip
def client_info(context: Context, _: list[bytes]) -> Reply:
    return replies.bulk(_client_line(context, context.client))


@TABLE.add(
    "CLIENT LIST", 2, role=Role.ADMIN, group="connection", summary="All connections.", reply="lines as CLIENT INFO's",
    example="CLIENT LIST",
)  # fmt: skip
def client_list(context: Context, _: list[bytes]) -> Generator[None, None, Reply]:
    lines = []
    for index, client in enumerate(list(context.clients.values()), 1):
        lines.append(_client_line(context, client))
        if index % LINES_AT_ONCE == 0:
            yield
    return replies.bulk(b"".join(lines))


@TABLE.add(
    "CLIENT KILL", -3, role=Role.ADMIN, group="connection", arguments="ID id", summary="Close another connection.",
    reply="integer: how many were closed",
)  # fmt: skip
def client_kill(context: Context, args: list[bytes]) -> Reply:
    if len(args) != 2 or args[0].upper() != b"ID":
        raise BadOrder("CLIENT KILL takes ID and a number")
    victim = context.clients.get(words.integer(args[1], "ID", 1, 2**63 - 1))
    if victim is None:
        return replies.integer(0)
    victim.killed = victim.closing = True
    return replies.integer(1)


def _client_line(context: Context, client: Client) -> bytes:
    age = int(context.now - client.connected_at)
    fields = {
        "id": client.id, "addr": f"pid={client.peer.pid},uid={client.peer.uid}", "user": client.user,
        "role": ROLE_NAMES[client.role], "name": client.name.decode(), "age": age, "cmd": client.last_command,
        "commands": client.commands, "waiting": len(client.waiter.replies), "resp": client.protocol,
        "lib-name": client.library.get(b"lib-name", b"").decode(),
        "lib-ver": client.library.get(b"lib-ver", b"").decode(),
        "cancel-on-disconnect": "on" if client.cancel_on_disconnect else "off", "deadman-ms": client.deadman_ms,
        "unconfirmed": client.owner.unconfirmed(context.desk.outcomes.confirmed_end),
    }  # fmt: skip
    return " ".join(f"{name}={value}" for name, value in fields.items()).encode() + b"\n"


# --- COMMAND, CONFIG, INFO, MODE --------------------------------------------------------------------------------------


@TABLE.add("COMMAND", 1, role=Role.ANY, group="server", summary="All commands.", reply="array", example="COMMAND")
def command(context: Context, _: list[bytes]) -> Reply:
    return replies.array_header(len(TABLE)) + b"".join(_command_info(c, context.client.protocol) for c in TABLE)


@TABLE.add(
    "COMMAND COUNT",
    2,
    role=Role.ANY,
    group="server",
    summary="How many commands there are.",
    reply="integer",
    example="COMMAND COUNT",
)
def command_count(_: Context, __: list[bytes]) -> Reply:
    return replies.integer(len(TABLE))


@TABLE.add(
    "COMMAND DOCS", -2, role=Role.ANY, group="server", arguments="[name ...]", summary="What commands do.",
    reply="pairs of name and pairs", example="COMMAND DOCS PING",
)  # fmt: skip
def command_docs(context: Context, args: list[bytes]) -> Reply:
    chosen = [found for name in args if (found := TABLE.by_name(name))] if args else list(TABLE)
    docs = {c.name: _command_docs(c, context.client.protocol) for c in chosen}
    return replies.pairs_header(len(docs), context.client.protocol) + b"".join(docs.values())


@cache
def _command_docs(c: Command, protocol: int) -> bytes:
    """The pair of a command's name and what there is to say of it."""
    about: dict[bytes, replies.Value] = {b"summary": c.summary, b"since": __version__, b"group": c.group}
    if c.arguments:
        about[b"arguments"] = [{b"name": c.arguments, b"type": b"string", b"display_text": c.arguments}]
    return replies.encode(c.name.lower().replace(" ", "|"), protocol) + replies.encode(about, protocol)


@TABLE.add(
    "COMMAND INFO", -2, role=Role.ANY, group="server", arguments="[name ...]", summary="Arity and flags of commands.",
    reply="array", example="COMMAND INFO PING",
)  # fmt: skip
def command_info(context: Context, args: list[bytes]) -> Reply:
    protocol = context.client.protocol
    chosen = [TABLE.by_name(name) for name in args] if args else list(TABLE)
    parts = [replies.null(protocol) if c is None else _command_info(c, protocol) for c in chosen]
    return replies.array_header(len(parts)) + b"".join(parts)


@cache
def _command_info(c: Command, protocol: int) -> bytes:
    flags: dict[Role, list[replies.Value]] = {
        Role.ANY: [b"fast"],
        Role.READ: [b"readonly"],
        Role.TRADE: [b"write"],
        Role.ADMIN: [b"admin"],
    }
    return replies.encode([c.name.lower().replace(" ", "|"), c.arity, flags[c.role], 0, 0, 0], protocol)


@TABLE.add(
    "CONFIG GET", -3, role=Role.READ, group="server", arguments="pattern [pattern ...]",
    summary="Settings whose dotted key fits a pattern with * and ?.", reply="pairs of key and value",
    example="CONFIG GET batch.*",
)  # fmt: skip
def config_get(context: Context, args: list[bytes]) -> Generator[None, None, Reply]:
    if len(args) > PATTERNS_MAX:
        raise BadOrder(f"CONFIG GET takes at most {PATTERNS_MAX} patterns")
    patterns = [pattern.decode("utf-8", "replace").lower() for pattern in args]
    settings = {**context.services.live.shown, **REDIS_SETTINGS}
    chosen: set[str] = set()
    for index, pattern in enumerate(patterns, 1):
        chosen |= {key for key in settings if fnmatchcase(key.lower(), pattern)}
        if index % PATTERNS_AT_ONCE == 0:
            yield
    return replies.encode({k: v for k, v in settings.items() if k in chosen}, context.client.protocol)


class ReloadReply(Pending):
    """OK once the settings are in force, or why the old ones stay."""

    __slots__ = ("_settle_later", "_why_not")

    def __init__(
        self, control: SettingsControl, client: Client, deadline: float, settle_later: Callable[[Pending], None]
    ) -> None:
        super().__init__(client.protocol, Mark.NEVER, 0, deadline)
        self._settle_later = settle_later
        self._why_not: str | None = None
        control.ask_reload(f"CONFIG RELOAD by client {client.id} ({client.user})", self._done)

    def _done(self, why_not: str | None) -> None:
        self._why_not = why_not
        # Any mark that is always reached will do.
        self.mark = Mark.COMMITS
        self._settle_later(self)

    def render(self, unfinished: Unfinished | None) -> bytes:
        if unfinished is not None:
            return replies.error("UNAVAILABLE", "the settings file is still being read; the log will tell")
        return replies.OK if self._why_not is None else replies.error("ERR", f"nothing changed: {self._why_not}")


@TABLE.add(
    "CONFIG RELOAD", 2, role=Role.ADMIN, group="server",
    summary="Read the settings file again, with the same --set values over it, and put it in force: all of it or, if "
    "it is wrong or changes a key that needs a restart, nothing. Ends what MODE has set.",
    reply="OK once the settings are in force; -ERR and why the old ones stay", example="CONFIG RELOAD",
)  # fmt: skip
def config_reload(context: Context, _: list[bytes]) -> Reply:
    return ReloadReply(context.services.control, context.client, context.deadline, context.settle_later)


@TABLE.add(
    "INFO", -1, role=Role.READ, group="server", arguments="[section ...]", summary="How the daemon is.",
    reply="lines of name:value below a line with # for each section", example="INFO orders",
)  # fmt: skip
def info(context: Context, args: list[bytes]) -> Generator[None, None, Reply]:
    wanted = {arg.decode("utf-8", "replace").lower() for arg in args} - {"all", "everything", "default"}
    lines = []
    if not wanted or "risk" in wanted:
        # It tells how many positions there are.
        yield from context.desk.positions.settle_in_steps()
    for section, values in context.services.info().items():
        if not wanted or section.lower() in wanted:
            lines.append(f"# {section}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in values.items()))
    return replies.bulk("\r\n".join(lines).encode())


@TABLE.add(
    "MODE", -1, role=Role.READ, role_with_arguments=Role.ADMIN, group="server",
    arguments="[sync|batch|fire-and-forget]",
    summary="The mode in force; or put another in force, for the commands behind this one, until the next reload or "
    "restart.",
    reply="the mode's name; OK", example="MODE batch",
)  # fmt: skip
def mode(context: Context, args: list[bytes]) -> Reply:
    if not args:
        return replies.bulk(MODE_OF[Mode(context.services.live.mode)])
    if len(args) > 1:
        raise BadOrder("MODE takes one mode")
    client = context.client
    context.services.control.set_mode(words.mode(args[0]), f"MODE by client {client.id} ({client.user})")
    return replies.OK
