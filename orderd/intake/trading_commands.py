"""The commands that restrict trading and let it go on, and that show what accounts hold. Pure."""

from collections.abc import Generator
from typing import Final

from orderd.intake import replies, words
from orderd.intake.access import Role
from orderd.intake.command_table import TABLE, Reply
from orderd.intake.context import Context
from orderd.intake.pending import Mark, Pending, Unfinished
from orderd.orders.errors import BadOrder
from orderd.orders.risk.holdings import INSTRUMENT_BITS, Position
from orderd.orders.trading import TradingState
from orderd.runtime.instruments import Instrument

ACCOUNT_MAX: Final = 65_535
COUNT_MAX: Final = 1000
STEP: Final = 4096
"""Positions that are looked through before others have their turn."""

_STATES: Final = {state.name.encode(): state for state in TradingState}


class CommittedReply(Pending):
    """``text`` once so many commits are finished."""

    __slots__ = ("_otherwise", "_text")

    def __init__(self, context: Context, text: bytes, commits: int, otherwise: str) -> None:
        super().__init__(context.client.protocol, Mark.COMMITS, commits, context.deadline)
        self._text = text
        self._otherwise = otherwise

    def render(self, unfinished: Unfinished | None) -> bytes:
        return self._text if unfinished is None else replies.error("UNAVAILABLE", self._otherwise)


@TABLE.add(
    "TRADING", -1, role=Role.READ, role_with_arguments=Role.ADMIN, asks_with=b"ACCOUNT", group="server",
    arguments="[ACTIVE|REDUCING|HALTED] [ACCOUNT n]",
    summary="Whether new orders are taken; or halt trading, let it only reduce positions, or let it go on, for all or "
    "for one account: of both states the stricter one holds. While it is HALTED, new orders, replaces and batches with "
    "any of them are -HALTED. While it is REDUCING, so is every new order but one against the net position which, with "
    "all that is open of its side, is no larger than it, and every replace that would leave more open. Cancels, mass "
    "cancels and repeats of what was taken in before always pass, and what is journaled goes on its way. A restart "
    "does not end it. With ACCOUNT alone it shows what holds for that account.",
    reply="the state's name; OK once the change is durable", example="TRADING ACTIVE ACCOUNT 7",
)  # fmt: skip
def trading(context: Context, args: list[bytes]) -> Reply:
    desk, client = context.desk, context.client
    asked = not args or args[0].upper() == b"ACCOUNT"
    account = None
    for _, value in words.options(args if asked else args[1:], {b"ACCOUNT": 1}, frozenset()):
        account = words.integer(value, "ACCOUNT", 0, ACCOUNT_MAX)
    if asked:
        state = desk.trading.state if account is None else desk.trading.of(account)
        text = replies.bulk(state.name.encode())
    else:
        found = _STATES.get(args[0].upper())
        if found is None:
            raise BadOrder(f"trading state {words.shown(args[0])} must be ACTIVE, REDUCING or HALTED")
        desk.set_trading(found, f"client {client.id} ({client.user})", context.now_ns, account)
        text = replies.OK
    otherwise = "the journal did not take the change in time; ask with TRADING"
    return CommittedReply(context, text, desk.trading.durable_at, otherwise)


@TABLE.add(
    "POSITIONS", -1, role=Role.READ, group="orders", arguments="[ACCOUNT n] [SYMBOL s] [COUNT n]",
    summary="What accounts hold by the reports that have come, and what is open: net is bought less sold, open_buy and "
    "open_sell are what the orders of each side that were taken in and are not done may still fill. Without what is "
    "neither held nor open, by account and instrument, at most COUNT (100, up to 1000). It is told once all of it is "
    "durable.",
    reply="array of pairs account, symbol, net, open_buy, open_sell, and last_px where the instrument was traded",
    example="POSITIONS ACCOUNT 7",
)  # fmt: skip
def positions(context: Context, args: list[bytes]) -> Generator[None, None, Reply]:
    desk = context.desk
    account, instrument, count = None, None, 100
    for name, value in words.options(args, {b"ACCOUNT": 1, b"SYMBOL": 1, b"COUNT": 1}, frozenset()):
        if name == b"ACCOUNT":
            account = words.integer(value, "ACCOUNT", 0, ACCOUNT_MAX)
        elif name == b"SYMBOL":
            instrument = words.instrument(value, desk.instruments)
        else:
            count = words.integer(value, "COUNT", 1, COUNT_MAX)
    while desk.positions.on_trial:
        yield
    yield from desk.positions.settle_in_steps()
    by_key = desk.positions.by_key
    if account is None:
        keys = list(by_key)
    else:
        owner = desk.positions.accounts.get(account)
        keys = [] if owner is None else [account << INSTRUMENT_BITS | number for number in owner.held]
    if instrument is not None:
        keys = [key for key in keys if key & 0xFFFF_FFFF == instrument.id]
    if len(keys) > STEP:
        yield
    keys.sort()
    found: list[bytes] = []
    for start in range(0, len(keys), STEP):
        if start:
            yield
        desk.positions.settle()
        for key in keys[start : start + STEP]:
            position = by_key.get(key)
            if position is not None and not position.is_empty:
                found.append(_pairs(context, position, desk.instruments.by_id[position.instrument]))
                if len(found) == count:
                    break
        if len(found) == count:
            break
    text = replies.array_header(len(found)) + b"".join(found)
    return CommittedReply(context, text, desk.commits_for_all, "the journal did not take in time what is told here")


def _pairs(context: Context, position: Position, instrument: Instrument) -> bytes:
    sign = b"-" if position.net < 0 else b""
    pairs = [
        (b"account", b"%d" % position.account.number),
        (b"symbol", instrument.symbol.encode()),
        (b"net", sign + instrument.format_quantity(abs(position.net))),
        (b"open_buy", instrument.format_quantity(position.open[0])),
        (b"open_sell", instrument.format_quantity(position.open[1])),
    ]
    last_px = context.desk.positions.last_px.get(position.instrument)
    if last_px is not None:
        pairs.append((b"last_px", instrument.format_price(last_px)))
    body = b"".join(replies.bulk(name) + replies.bulk(value) for name, value in pairs)
    return replies.pairs_header(len(pairs), context.client.protocol) + body
