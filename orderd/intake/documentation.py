"""docs/COMMANDS.md, made of the command table: ``python -m orderd.intake.documentation > docs/COMMANDS.md``.

What is true of all commands is text here; what each command takes and gives comes from the table, as COMMAND DOCS does.
"""

import sys
from collections.abc import Iterator
from typing import Final

from orderd.intake import options_documentation, order_commands, server_commands
from orderd.intake.access import ROLE_NAMES, Role
from orderd.intake.command_table import TABLE, Command
from orderd.intake.execution_commands import EXECUTIONS_AT_ONCE
from orderd.intake.intake import ANSWERED_BY_EXEC_MAX, COMMAND_MODULES, REPLIES_MAX, TRANSACTION_QUERIES
from orderd.orders.mass_cancels import LOOKS_MAX
from orderd.wire.reports import Reason

assert COMMAND_MODULES, "they fill the table"

REASONS: Final = {
    Reason.UNKNOWN_INSTRUMENT: "the engine does not have the instrument",
    Reason.BAD_RECORD: "the engine found an impossible value, such as a new total beyond 63 bits",
    Reason.DUPLICATE_NUMBER: "an order of this number is open at the engine",
    Reason.UNKNOWN_ORDER: "a cancel or replace (`CANCEL_REJECTED`, `REPLACE_REJECTED`) named an order that is not open",
    Reason.TOO_LATE: "the cancel or replace came when the order was done; `status` is the order's true one",
    Reason.IOC: "what an IOC order could not fill at once was cancelled",
    Reason.FOK: "a FOK order could not be filled whole and was cancelled",
    Reason.NO_LIQUIDITY: "what a MARKET order could not fill was cancelled: the other side of the book was empty",
    Reason.REPLACED_BELOW_FILLED: "a replace to no more than what was filled cancelled the rest",
    Reason.REPORTS_FULL: "the engine had to keep too many reports that orderd did not take, and cancelled its orders",
    Reason.NOT_SUPPORTED: "the engine does not support what the record asks for",
    Reason.MAXAGE: "the order was not sent to the engine within its `MAXAGE`, and never reached it",
    Reason.POST_ONLY: "a `POSTONLY` order, or a replace of one, would have traded at once; the replace changed nothing",
    Reason.SELF_TRADE: "self-trade prevention (`STP`) took the order, or what was left of it, out",
    Reason.MINIMUM_QUANTITY: "less than `MINQTY` could be traded at once, so nothing was",
    Reason.DAY_END: "the order was for the day, and the engine's day ended",
    Reason.EXPIRED: "the time of a `GTD` order has come, or had come before it reached the engine",
    Reason.HALTED: "the instrument is halted at the engine; cancels pass",
    Reason.PRICE_LIMIT: "the price is beyond the engine's price limits, or what was left could trade only beyond them",
}
OWN_REASONS: Final = {
    "NOT_SENT": "with `UNKNOWN`: no answer in time, and the order was not sent to the engine yet; it lives on",
    "SENT": "with `UNKNOWN`: no answer in time, and the order (of a batch: any of it) was sent, or may have been; it "
    "lives on",
    "JOURNAL": "with `UNKNOWN`: the journal failed before the order was surely durable; orderd stops",
    "FORGOTTEN": "with `UNKNOWN`: the order was done and forgotten before its reply could be made",
}
ERRORS: Final = (
    ("ERR", "This is not a command that exists in this form, or the bytes are not RESP.", "Correct the program."),
    ("BADORDER", "A value does not fit, or a word is not supported.", "Correct the order; the text names the word."),
    ("DUPLICATE", "The id is known and stands for something else.", "Use another id, or ask for the order's status."),
    ("NOTFOUND", "No order of that id is remembered.", "Nothing, or place the order."),
    (
        "LIMIT",
        "A bound of the connection or a limit of the account (`docs/RISK.md`); the text names it, value and bound.",
        "Send less at a time, read replies faster; order less, or ask for another limit.",
    ),
    ("FULL", "A bound of the daemon is reached; nothing was taken.", "Try again later; cancels have their own room."),
    (
        "THROTTLED",
        "This connection holds or sends too much (`docs/FAIRNESS.md`); the text names the bound. Nothing was taken.",
        "Wait for confirmations, or for as long as the text says; cancels have their own room.",
    ),
    ("NOPERM", "This connection's user may not do that; the text names the role that it needs.", "Ask for the role."),
    (
        "HALTED",
        "Trading is halted, and this could trade; or it is reducing, and this would not reduce.",
        "Wait until `TRADING` is `ACTIVE`; cancels pass.",
    ),
    ("TRIMMED", "Those executions are gone. The text is the id of the first one kept.", "Go on from there."),
    ("UNAVAILABLE", "The engine or the journal did not answer in time; no order was taken.", "Ask again."),
    ("EXECABORT", "A command after MULTI was refused, so none was done.", "Correct it and begin with MULTI."),
    ("NOPROTO", "HELLO with a protocol other than 2 and 3.", "Use one of them."),
)  # fmt: skip
GROUPS: Final = {
    "orders": "Orders",
    "executions": "Executions",
    "market": "Market",
    "transactions": "Transactions",
    "server": "Server",
    "connection": "Connection",
}
_NEEDED: Final = {role: f"`{name}`" for role, name in ROLE_NAMES.items()} | {Role.ANY: "none"}
EXAMPLES: Final = {
    "ORDER.BATCH": "ORDER.BATCH b1 RECORDS",
    "CLIENT KILL": "CLIENT KILL ID 7",
    "MULTI": "MULTI",
    "EXEC": "EXEC",
    "DISCARD": "DISCARD",
}
"""Where the table has none, since the words alone do not make it work."""

INTRODUCTION: Final = """\
# Commands

orderd speaks RESP, the protocol of Redis, over a Unix socket, so that every Redis client is a client of orderd. A
command is an array of bulk strings; names and option words may be in any case. `HELLO 3` chooses RESP3, else it is
RESP2. Replies come in the order of the commands, but a command never waits for the reply of an earlier one before it is
processed: send as many as you like and read the replies as they come.

**Pairs** are a map in RESP3 and a flat array of keys and values in RESP2. Every value of an order, execution, batch or
book is a bulk string; arrays inside pairs stay arrays in both protocols.

## Values

- **Prices and quantities** are plain decimals, a whole number of the instrument's ticks and lots: `187.25`, `100`.
  `187.253` with tick `0.01`, `1e3`, `+1`, zero, or anything beyond 63 bits of ticks or lots is `-BADORDER`, never
  rounded. In replies prices have as many decimals as the tick, quantities as many as the lot.
- **`cl_ord_id`** is yours to choose: 1 to 64 printable ASCII characters without space. It makes orders idempotent: the
  same order again (equal in all but `MODE` and `MAXAGE`) gets the first one's outcome, another order under a known id
  is `-DUPLICATE`. An order that is refused with an error does not use its id up; one that the engine rejects does.
- orderd remembers open and unconfirmed orders for ever, and of those that are done (cancels and replaces count, too)
  the last `[limits] orders_remembered_max`. An id that was forgotten counts as new: that bounds how late a repeat is
  safe. The id of a batch is remembered as long as one of its orders.
- **Request ids** (`ID` of a cancel or replace) make these idempotent likewise, and share the names of orders.
  Without `ID`, sending a cancel or a replace to a total again does no harm beyond `TOO_LATE`; sending `ORDER.REPLACE
  ... OPEN` again is **not safe**: what was filled in between is open again.
- **Client libraries may send a command again by themselves**: redis-py 8 does after 5 seconds without an answer, which
  is as long as orderd waits for the engine (`reply_timeout_ms`). Orders, batches, cancels and whatever has an `ID` bear
  that. A second `ORDER.MASSCANCEL` tells how many the first one left, and `ORDER.REPLACE ... OPEN` without `ID` is not
  safe: give the library a longer `socket_timeout`, or `retry=None`.
- **`order_id`** is orderd's own, from 1, one for each order, cancel and replace, never used again. **`exec_id`** is
  gapless from 1 and survives restarts. **`trade_id`** is one per trade and engine, the same on both sides.
- Symbols are as in the settings; their case matters.

## Modes

| mode | when the reply comes |
|---|---|
| `sync` | when the engine has confirmed; the order is sent at once |
| `batch` | the same, but orders wait up to `[batch] linger_ms`, or for `orders_max` of them, to travel together |
| `fire-and-forget` | `QUEUED` once the order is durable in orderd's journal; likewise for cancel and replace |

The setting `mode` holds for all, the option `MODE` for one command. No mode changes the order in which orders reach
the engine. A reply that is not there after `reply_timeout_ms` is `UNKNOWN`, with a reason: the order was not refused,
it lives on. Ask with `ORDER.STATUS` or `ORDER.WAIT`, or send the same order again. An `UNKNOWN` about an order that is
not durable yet has `order_id` `0` (one about a batch: `first_order_id`): if orderd crashes before it is, the order
never was, and another one gets its number.

The mode in force is that of the settings file, until `MODE x` sets another one; that lasts until the next
`CONFIG RELOAD`, SIGHUP or restart. A change holds from the next command on. Orders that wait for company keep their
place; a shorter `linger_ms` shortens their wait, too, and a longer one does not lengthen it.

## Orders that must not be late

`MAXAGE ms` bounds the time from when orderd took an order in until it is first sent. An order that is older by then
never goes: it becomes `EXPIRED` with reason `MAXAGE`, once the engine has confirmed that its place in the sequence is
used up; while the engine is away it stays `QUEUED`. An order that was sent in time and waits for its answer is left
alone, since it may have been executed: a late answer is no late order. Waiting for company in mode `batch` counts as
waiting. Over a restart of orderd age goes by the wall clock.

{options}
## Roles

The kernel tells orderd the user and the groups of each connection's process. The settings' `[access]` gives them one of
three roles, each with all that the ones before it may do: `read`, `trade`, `admin`. Each command below names the role
that it needs; without any role a connection may still do what needs none. Else it is `-NOPERM`, in `MULTI` as soon as
the command is queued. As shipped everybody who may open the socket may trade, and root and orderd's own user are
`admin`. A reload changes the roles of those who are connected, too; what they have asked before is still answered.
`CLIENT INFO` shows the user and the role.

## An order's pairs

| key | value |
|---|---|
| `cl_ord_id`, `order_id`, `symbol`, `side` | `side` is `BUY` or `SELL` |
| `status` | FIX's OrdStatus by name, or `QUEUED`, or `UNKNOWN`; below |
| `quantity`, `cum_qty`, `leaves_qty` | total, filled, and still open |
| `avg_px` | average price of what was filled, rounded half-even to four decimals more than the tick; `0` with no fill |
| `path` | what carried the first confirmation: `udp`, `grpc`, or `none` |
| `reason` | only where there is one; below |
| `stop_px`, `display_qty`, `min_qty`, `expire_time` | of an order that was given them; the time in RFC 3339, UTC |
| `triggered` | of a stop order: `1` once its trigger was reached, else `0` |

`status` is `FILLED` before `PARTIALLY_FILLED` before `REPLACED` before `NEW`; or `CANCELED`, `REJECTED`, `EXPIRED`; or
`QUEUED`, durable and not yet confirmed; or `UNKNOWN`.

## An execution's pairs

`exec_type` (`NEW`, `TRIGGERED`, `TRADE`, `CANCELED`, `REPLACED`, `REJECTED`, `EXPIRED`, `CANCEL_REJECTED`,
`REPLACE_REJECTED`),
`cl_ord_id`, `order_id`, `symbol`, `side`, `account`, `last_qty`, `last_px`, `cum_qty`, `leaves_qty`, `status`; for a
`TRADE` also `liquidity` (`MAKER`, `TAKER`) and `trade_id`; `transact_time_ns` (since 1970 UTC); `reason` where there is
one. Every accepted order has one `NEW` first, an immediate one too; one that was not sent within its `MAXAGE` was never
accepted, and has one `EXPIRED` alone. Each fill is one `TRADE` a side, at the maker's price. A mass cancel shows as the
`CANCELED` of each of its orders. A stop order has one `TRIGGERED` when its trigger is reached, behind its `NEW` and
before its first `TRADE`. An instrument that the settings do not have leaves the keys about it out.
"""

LIMITS: Final = f"""\
## Limits

| what | bound | beyond it |
|---|---|---|
| connections | `[listen] clients_max` | `-LIMIT`, and the connection is closed |
| one command | `[limits] query_bytes_max`, 1024 words | `-ERR Protocol error`, and the connection is closed |
| commands between MULTI and EXEC | {TRANSACTION_QUERIES} times `query_bytes_max` | `-LIMIT`, then `-EXECABORT` |
| those of them that are not about orders or executions | {ANSWERED_BY_EXEC_MAX} | the same |
| patterns of one `CONFIG GET` | {server_commands.PATTERNS_MAX} | `-BADORDER` |
| replies that a client does not read | `[limits] reply_bytes_max` | `-LIMIT`, and the connection is closed |
| replies that a client waits for | {REPLIES_MAX} | the same |
| orders not confirmed | `[limits] orders_unconfirmed_max`; for cancels 1/16 more, at least 64 | `-FULL` |
| those of one connection while others trade | `[limits] client_share_percent` of these | `-THROTTLED` |
| orders and replaces of one connection a second | `[limits] client_orders_per_second` | `-THROTTLED` |
| mass cancels not confirmed, times the open orders that each looks through | {LOOKS_MAX}; one alone passes | `-FULL` |
| the journal's disk | an eighth of a segment is kept for cancels | `-FULL` |
| executions kept | `[executions] kept` | `-TRIMMED` for a position before them |
| executions in one reply | {EXECUTIONS_AT_ONCE} | the reply has that many |
| pushes that a subscriber does not read | about 32 KiB | none are made until it reads on |
| orders in one `ORDER.LIST` | {order_commands.COUNT_MAX} | `-BADORDER` |
| `BOOK` commands under way | 1024 | `-FULL` |
| levels in one `BOOK` | {order_commands.DEPTH_MAX} | `-BADORDER` |

A connection that is closed after an error loses replies, not orders: what was taken in lives on.

## Not supported yet

These answer `-BADORDER ... is not supported` and are never ignored:

- `HELLO ... AUTH`.

There are no keys: `WATCH`, `GET`, `SET` and the like are `-ERR`. Databases other than 0 do not exist.
"""


def _table(head: str, rows: list[tuple[str, ...]]) -> str:
    lines = [head, "|" + "---|" * (head.count("|") - 1), *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines) + "\n"


def _command(command: Command) -> Iterator[str]:
    yield f"### {command.name}\n"
    yield f"```\n{command.name} {command.arguments}".rstrip() + "\n```\n"
    yield f"{command.summary}\n"
    yield f"Reply: {command.reply}.\n"
    yield f"Role: {_role(command)}.\n"
    example = command.example or EXAMPLES[command.name]
    if example != command.name:
        yield f"Example: `{example}`\n"


def _role(command: Command) -> str:
    if command.role_with_arguments is None:
        return _NEEDED[command.role]
    return f"{_NEEDED[command.role]} to ask, {_NEEDED[command.role_with_arguments]} to set"


def _in_order() -> list[Command]:
    """By module and within each as it stands there: the table's own order hangs on what was imported first."""
    modules = [module.__name__ for module in COMMAND_MODULES]
    return sorted(TABLE, key=lambda command: modules.index(command.handler.__module__))


def document() -> str:
    """The whole of docs/COMMANDS.md."""
    parts = [INTRODUCTION.replace("{options}", options_documentation.section()), "## Reasons\n"]
    reasons = {reason.name: text for reason, text in REASONS.items()} | OWN_REASONS
    parts.append(_table("| reason | meaning |", [(f"`{name}`", text) for name, text in reasons.items()]))
    parts.append("## Errors\n\nThe first word says what to do. After an error nothing of that command was journaled.\n")
    parts.append(_table("| error | what happened | what to do |", [(f"`-{e[0]}`", *e[1:]) for e in ERRORS]))
    parts.append(LIMITS)
    for group, title in GROUPS.items():
        parts.append(f"## {title}\n")
        for command in _in_order():
            if command.group == group:
                parts += _command(command)
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(document())
