"""The part of docs/COMMANDS.md about the options of ORDER.NEW. What goes together the deciding table says."""

from collections.abc import Iterable
from typing import Final

from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT, OPTIONS, bit
from orderd.wire.records import FLAG_MARKET, FLAG_POST_ONLY, TIF_SHIFT, Attribute, TimeInForce

MEANINGS: Final = {
    "TIF DAY": "the default: it rests until the engine's `day_end`, or until cancelled if there is none",
    "TIF GTC": "it rests until cancelled",
    "TIF IOC": "what does not trade at once is cancelled, reason `IOC`",
    "TIF FOK": "it trades whole at once or not at all, reason `FOK`",
    "GTD time": "it rests until that time, then it is `EXPIRED`: RFC 3339 with a zone (`2031-11-23T17:00:00Z`, up to "
    "nine digits of a fraction), or milliseconds since 1970 UTC. Implies `TIF GTD`",
    "POSTONLY": "it never trades when it comes or is replaced: if it would, it is `REJECTED`, or the replace is, "
    "reason `POST_ONLY`",
    "STP NONE": "the default: it may trade with an order of the same daemon and account",
    "STP CANCEL_NEWEST": "when it meets an order of the same daemon and account, what is left of it is cancelled, "
    "reason `SELF_TRADE`",
    "STP CANCEL_OLDEST": "the order that it meets is cancelled, reason `SELF_TRADE`, and it goes on",
    "STP CANCEL_BOTH": "both are",
    "STOP price": "it waits, unseen, until a trade at that price or above (`BUY`), or below (`SELL`); only then is it "
    "the `LIMIT` or `MARKET` order that it says",
    "DISPLAY quantity": "an iceberg: of what rests at most so much shows in the book, and the next part goes to the "
    "back of its price",
    "MINQTY quantity": "at least so much trades at once; else it is cancelled, reason `MINIMUM_QUANTITY`",
    "ACCOUNT n": "0, the default, to 65535",
    "MAXAGE ms": "1 to 86400000; see [Orders that must not be late](#orders-that-must-not-be-late)",
    "MODE mode": "see [Modes](#modes)",
}
EXAMPLES: Final = (
    ("rests, or is rejected", "ORDER.NEW o1 AAPL BUY 100 LIMIT 187.25 POSTONLY"),
    ("an iceberg for a time", "ORDER.NEW o2 AAPL BUY 5000 LIMIT 187.20 DISPLAY 100 GTD 2031-11-23T17:00:00Z"),
    ("ends a loss at the market", "ORDER.NEW o3 AAPL SELL 100 MARKET STOP 180.00 TIF GTC"),
    ("ends it at 179.50 or better", "ORDER.NEW o4 AAPL SELL 100 LIMIT 179.50 STOP 180.00 TIF GTC"),
    ("at least 50 now, or nothing", "ORDER.NEW o5 AAPL BUY 100 LIMIT 187.30 TIF IOC MINQTY 50"),
    ("never trades with account 7", "ORDER.NEW o6 AAPL SELL 100 LIMIT 187.25 ACCOUNT 7 STP CANCEL_OLDEST"),
)
"""What it is for, and the command."""
_TYPES: Final = {
    "LIMIT": (0, 0),
    "MARKET": (FLAG_MARKET, 0),
    "LIMIT with STOP": (0, bit(Attribute.TRIGGER)),
    "MARKET with STOP": (FLAG_MARKET, bit(Attribute.TRIGGER)),
}
_SAID: Final = {
    "TIF DAY": (0, 0),
    "TIF GTC": (TimeInForce.GTC << TIF_SHIFT, 0),
    "TIF IOC": (TimeInForce.IOC << TIF_SHIFT, 0),
    "TIF FOK": (TimeInForce.FOK << TIF_SHIFT, 0),
    "GTD": (TimeInForce.GTD << TIF_SHIFT, bit(Attribute.EXPIRY)),
    "POSTONLY": (FLAG_POST_ONLY, 0),
    "DISPLAY": (0, bit(Attribute.DISPLAY)),
    "MINQTY": (0, bit(Attribute.MINIMUM)),
}
"""Flags and mask of each option that does not go with all others."""
assert {*OPTIONS.values()} <= {"STOP", *_SAID}

HEAD: Final = """\
## What an order may say

"""
TAIL: Final = """
`STP`, `ACCOUNT`, `MAXAGE` and `MODE` go with everything. `DISPLAY` and `MINQTY` are at most the order's quantity, and
`DISPLAY` is at least a hundredth of it, of what is open after a replace, too (`BAD_RECORD`).
`TIF GTD` without a time and `GTD` with another `TIF` are refused, and so is a time that is over, unless the order is
known: a repeat gets the first one's outcome however late it is.

A cancel, a mass cancel and a replace find stop orders that wait and icebergs as they find others. The replace of a
stop order keeps its trigger; that of a stop order with `MARKET` is refused by the engine, reason `NOT_SUPPORTED`. What
a stop order does once it is triggered no reply waits for: see its executions, from `TRIGGERED` on.

Each of `GTD`, `STOP`, `DISPLAY` and `MINQTY` travels as a record of its own before that of the order: it uses an
`order_id` up, and counts where records are bounded (`orders_unconfirmed_max`, `orders_remembered_max`) and waited for
(`orders_queued`, `orders_unconfirmed`), not where orders are counted or shown.
"""


def _go_together(said: Iterable[tuple[int, int]]) -> bool:
    flags = mask = 0
    for more_flags, more_mask in said:
        flags, mask = flags | more_flags, mask | more_mask
    return not CONTRADICTIONS[mask << MASK_SHIFT | flags]


def _cell(order_type: tuple[int, int], name: str) -> str:
    """Whether an order of a type may say it, and what else it cannot say then."""
    said = _SAID[name]
    if not _go_together([order_type, said]):
        return "no"
    # Two times in force never go together, nor does what the type itself does not take.
    others = [
        f"`{other}`"
        for other, more in _SAID.items()
        if _go_together([order_type, more])
        and not _go_together([order_type, said, more])
        and not (_is_time(name) and _is_time(other))
    ]
    return f"not with {', '.join(others)}" if others else "yes"


def _is_time(name: str) -> bool:
    return name == "GTD" or name.startswith("TIF ")


def section() -> str:
    """Markdown, ending with a newline."""
    lines = ["| option | meaning |", "|---|---|", *(f"| `{word}` | {meaning} |" for word, meaning in MEANINGS.items())]
    lines += ["", "What goes together; all else is `-BADORDER`, which names both:", ""]
    lines += [f"| | {' | '.join(_TYPES)} |", "|" + "---|" * (len(_TYPES) + 1)]
    for name in _SAID:
        cells = (_cell(order_type, name) for order_type in _TYPES.values())
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    examples = [f"- {what}: `{command}`" for what, command in EXAMPLES]
    return HEAD + "\n".join(lines) + "\n" + TAIL + "\n" + "\n".join(["Examples:", "", *examples]) + "\n"
