"""The command that halts trading and lets it go on. Pure."""

from typing import Final

from orderd.intake import replies, words
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Reply
from orderd.intake.context import Context
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.orders.errors import BadOrder
from orderd.orders.trading import TradingState

_STATES: Final = {state.name.encode(): state for state in TradingState}


class TradingReply(Pending):
    """``text`` once the state of trading is durable."""

    __slots__ = ("_text",)

    def __init__(self, context: Context, text: bytes) -> None:
        super().__init__(context.client.protocol, Mark.COMMITS, context.desk.trading.durable_at, context.deadline)
        self._text = text

    def render(self, unfinished: Unfinished | None) -> bytes:
        if unfinished is not None:
            return replies.error("UNAVAILABLE", "the journal did not take the change in time; ask with TRADING")
        return self._text


@TABLE.add(
    "TRADING", -1, role=Role.READ, role_with_arguments=Role.ADMIN, group="server",
    arguments="[ACTIVE|REDUCING|HALTED]",
    summary="Whether new orders are taken; or halt trading, or let it go on. While it is HALTED, new orders, replaces "
    "and batches with any of them are -HALTED; cancels, mass cancels and repeats of what was taken in before pass, and "
    "what is journaled goes on its way. A restart does not end it. REDUCING is not supported.",
    reply="the state's name; OK once the change is durable", example="TRADING ACTIVE",
)  # fmt: skip
def trading(context: Context, args: list[bytes]) -> Reply:
    desk, client = context.desk, context.client
    if not args:
        return TradingReply(context, replies.bulk(desk.trading.state.name.encode()))
    if len(args) > 1:
        raise BadOrder("TRADING takes one state")
    state = _STATES.get(args[0].upper())
    if state is None:
        raise BadOrder(f"trading state {words.shown(args[0])} must be ACTIVE or HALTED")
    if state is TradingState.REDUCING:
        raise BadOrder("REDUCING is not supported")
    desk.set_trading(state, f"client {client.id} ({client.user})", context.now_ns)
    return TradingReply(context, replies.OK)
