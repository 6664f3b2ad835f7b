"""The commands by which a client has its orders cancelled when it vanishes. Pure."""

from typing import Final

from orderd.intake import replies, words
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Reply
from orderd.intake.context import Context
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.orders.errors import BadOrder

DEADMAN_MS_MIN: Final = 100
DEADMAN_MS_MAX: Final = 86_400_000


class ReleasedReply(Pending):
    """OK once it is durable that the orders stay: after a kill of orderd they would be cancelled else."""

    __slots__ = ()

    def __init__(self, context: Context) -> None:
        super().__init__(context.client.protocol, Mark.COMMITS, context.services.commits_wanted(), context.deadline)

    def render(self, unfinished: Unfinished | None) -> bytes:
        if unfinished is not None:
            return replies.error("UNAVAILABLE", "the journal did not take the change in time; say it again")
        return replies.OK


@TABLE.add(
    "CLIENT CANCELONDISCONNECT", 3, role=Role.TRADE, group="connection", arguments="ON|OFF",
    summary="Have the open orders that this connection places from now on cancelled when it ends, for whatever reason: "
    "hang-up, kill, QUIT, RESET, an error, the end of orderd, also by a kill. OFF releases all of them, unless DEADMAN "
    "is armed.",
    reply="OK; for OFF once it is durable", example="CLIENT CANCELONDISCONNECT ON",
)  # fmt: skip
def client_cancelondisconnect(context: Context, args: list[bytes]) -> Reply:
    word = args[0].upper()
    if word not in (b"ON", b"OFF"):
        raise BadOrder(f"CANCELONDISCONNECT {words.shown(args[0])} must be ON or OFF")
    return _change(context, cancel_on_disconnect=word == b"ON", deadman_ms=context.client.deadman_ms)


@TABLE.add(
    "CLIENT DEADMAN", 3, role=Role.TRADE, group="connection", arguments="ms",
    summary="Have the open orders that this connection places from now on cancelled when it sends no command for so "
    "many milliseconds (100 to 86400000), or ends. It stays connected, and its next command, PING too, arms this "
    "again. 0 disarms it and releases the orders, unless CANCELONDISCONNECT is ON.",
    reply="OK; for 0 once it is durable", example="CLIENT DEADMAN 5000",
)  # fmt: skip
def client_deadman(context: Context, args: list[bytes]) -> Reply:
    deadman_ms = words.integer(args[0], "DEADMAN", 0, DEADMAN_MS_MAX)
    if 0 < deadman_ms < DEADMAN_MS_MIN:
        raise BadOrder(f"DEADMAN {deadman_ms} must be 0 or {DEADMAN_MS_MIN} to {DEADMAN_MS_MAX} ms")
    return _change(context, cancel_on_disconnect=context.client.cancel_on_disconnect, deadman_ms=deadman_ms)


def _change(context: Context, *, cancel_on_disconnect: bool, deadman_ms: int) -> Reply:
    client = context.client
    has_released = context.services.guarding.change(
        client, cancel_on_disconnect=cancel_on_disconnect, deadman_ms=deadman_ms, now=context.now
    )
    return ReleasedReply(context) if has_released else replies.OK
