"""MULTI, EXEC and DISCARD: commands that are queued and then handed over in one piece. Pure.

What EXEC hands over is staged together and so becomes one journal record: after a crash all of its orders are there, or
none. A long one is done in steps, between which others read; nobody else's order gets in between
(:mod:`orderd.intake.turns`).
"""

from typing import Final

import attrs

from orderd.intake import replies
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Command, Reply, Steps, finish, not_permitted, run
from orderd.intake.context import Context
from orderd.intake.pending import Opening
from orderd.orders.errors import Refused

COMMANDS_IN_A_TURN: Final = 64
BYTES_IN_A_TURN: Final = 16 * 1024
"""A transaction with no more of either is done in one go."""


class ExecutionAborted(Refused):
    """A queued command was wrong, so none is done."""

    word = "EXECABORT"


@TABLE.add(
    "MULTI",
    1,
    role=Role.ANY,
    group="transactions",
    immediate=True,
    summary="Queue the commands that follow until EXEC or DISCARD.",
    reply="OK, then QUEUED for each",
)
def multi(context: Context, _: list[bytes]) -> Reply:
    if context.client.transaction is not None:
        raise Refused("MULTI calls can not be nested")
    client = context.client
    client.transaction, client.transaction_failed = [], False
    client.transaction_bytes = client.transaction_answers = 0
    return replies.OK


@TABLE.add(
    "DISCARD",
    1,
    role=Role.ANY,
    group="transactions",
    immediate=True,
    summary="Forget the queued commands.",
    reply="OK",
)
def discard(context: Context, _: list[bytes]) -> Reply:
    _take(context, "DISCARD")
    return replies.OK


@TABLE.add(
    "EXEC",
    1,
    role=Role.ANY,
    group="transactions",
    immediate=True,
    summary="Do the queued commands in one piece.",
    reply="array of their replies",
)
def execute(context: Context, _: list[bytes]) -> list[Reply] | Steps:
    queued = _take(context, "EXEC")
    if context.client.transaction_failed:
        raise ExecutionAborted("Transaction discarded because of previous errors.")
    steps = _in_steps(context, queued)
    is_short = len(queued) <= COMMANDS_IN_A_TURN and context.client.transaction_bytes <= BYTES_IN_A_TURN
    return finish(steps) if is_short else steps


def _in_steps(context: Context, queued: "list[tuple[Command, list[bytes]]]") -> Steps:
    out: list[Reply] = [Opening.of(replies.array_header(len(queued)), len(queued))]
    inner = attrs.evolve(context, in_transaction=True)
    for index, (command, args) in enumerate(queued, 1):
        # Checked when it was queued; the rules may have changed since.
        refusal = not_permitted(command, args, context.client.role)
        outcome = run(inner, command, args) if refusal is None else [refusal]
        out += outcome if isinstance(outcome, list) else (yield from outcome)
        if index % COMMANDS_IN_A_TURN == 0:
            yield False
    return out


def _take(context: Context, name: str) -> "list[tuple[Command, list[bytes]]]":
    queued, context.client.transaction = context.client.transaction, None
    if queued is None:
        raise Refused(f"{name} without MULTI")
    return queued
