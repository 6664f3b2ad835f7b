"""What orders say: words, numbers, times, and an order as it is to be placed. Pure.

Numbers are Decimal, int or decimal text, and travel as plain decimal text; a float is a TypeError, since what it shows
is not what it holds (0.1 + 0.2). Whether a value fits its instrument's tick and lot is the daemon's to say: nothing is
rounded anywhere.

The enumerations are strings, so that ``order.status == "FILLED"`` holds, and a plain word does wherever one is wanted.
"""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from operator import index
from typing import SupportsIndex, TypedDict

import attrs

Number = Decimal | SupportsIndex | str
"""A price or quantity: Decimal, int or decimal text."""


class Side(StrEnum):
    """FIX tag 54."""

    BUY = "BUY"
    SELL = "SELL"


class TimeInForce(StrEnum):
    """FIX tag 59."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"


class SelfTradePrevention(StrEnum):
    """What an order does about a resting one of the same account that it would trade with."""

    NONE = "NONE"
    CANCEL_NEWEST = "CANCEL_NEWEST"
    CANCEL_OLDEST = "CANCEL_OLDEST"
    CANCEL_BOTH = "CANCEL_BOTH"


class Mode(StrEnum):
    """When the reply comes: confirmed, confirmed after travelling in company, or durable only."""

    SYNC = "sync"
    BATCH = "batch"
    FIRE_AND_FORGET = "fire-and-forget"


class Status(StrEnum):
    """FIX tag 39 by name, and two of orderd's own: QUEUED is durable and not confirmed, UNKNOWN not known in time."""

    QUEUED = "QUEUED"
    UNKNOWN = "UNKNOWN"
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    REPLACED = "REPLACED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def is_confirmed(self) -> bool:
        """Whether the engine has said so."""
        return self not in (Status.QUEUED, Status.UNKNOWN)

    @property
    def is_done(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self in (Status.FILLED, Status.CANCELED, Status.REJECTED, Status.EXPIRED)


class ExecType(StrEnum):
    """FIX tag 150, and the two cancel rejects told apart."""

    NEW = "NEW"
    TRADE = "TRADE"
    CANCELED = "CANCELED"
    REPLACED = "REPLACED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    CANCEL_REJECTED = "CANCEL_REJECTED"
    REPLACE_REJECTED = "REPLACE_REJECTED"
    TRIGGERED = "TRIGGERED"


class OrderOptions(TypedDict, total=False):
    """What ``limit`` and ``market`` take by name; see :class:`NewOrder` for the meaning of each."""

    cl_ord_id: str
    tif: TimeInForce | str | None
    account: int
    post_only: bool
    stp: SelfTradePrevention | str | None
    gtd: datetime | SupportsIndex | str | None
    stop: Number | None
    display: Number | None
    min_qty: Number | None
    max_age_ms: int | None
    mode: Mode | str | None


@attrs.frozen
class NewOrder:
    """An order to be placed. What does not fit, or contradicts, the daemon refuses with :class:`BadOrder`."""

    symbol: str
    side: Side | str
    quantity: Number
    price: Number | None = None
    """None: a MARKET order."""
    cl_ord_id: str = attrs.field(default="", kw_only=True)
    """1 to 64 printable ASCII characters; the same order placed again under its id is one order. Empty: the client
    gives it one that is used nowhere else."""
    tif: TimeInForce | str | None = attrs.field(default=None, kw_only=True)
    """None: DAY, or GTD with ``gtd``."""
    account: int = attrs.field(default=0, kw_only=True)
    """0 to 65535."""
    post_only: bool = attrs.field(default=False, kw_only=True)
    """Rejected if it would trade at once."""
    stp: SelfTradePrevention | str | None = attrs.field(default=None, kw_only=True)
    gtd: datetime | SupportsIndex | str | None = attrs.field(default=None, kw_only=True)
    """Good till then: a datetime with a zone, milliseconds since 1970 UTC, or RFC 3339 text."""
    stop: Number | None = attrs.field(default=None, kw_only=True)
    """Waits until a trade at this price or beyond."""
    display: Number | None = attrs.field(default=None, kw_only=True)
    """No more than this shows in the book at a time."""
    min_qty: Number | None = attrs.field(default=None, kw_only=True)
    """At least so much trades at once, or the order is cancelled."""
    max_age_ms: int | None = attrs.field(default=None, kw_only=True)
    """If the daemon cannot send it within so many milliseconds it never goes: EXPIRED, reason MAXAGE."""
    mode: Mode | str | None = attrs.field(default=None, kw_only=True)
    """None: the daemon's mode."""


def number_text(value: object, name: str) -> str:
    """A price or quantity as plain decimal text. Raises TypeError for a float, and for what is no number."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f")
    try:
        if not isinstance(value, bool):
            return str(index(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise TypeError(f"{name} {value!r} must be a Decimal, an int or decimal text: a float is not exact")


def integer_text(value: object, name: str) -> str:
    """A whole number as text. Raises TypeError for anything else."""
    try:
        if not isinstance(value, bool):
            return str(index(value))  # type: ignore[arg-type]
    except TypeError:
        pass
    raise TypeError(f"{name} {value!r} must be a whole number")


def time_text(value: object) -> str:
    """A time for GTD. Raises ValueError for a datetime without a zone, TypeError for what is no time."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"gtd {value!r} needs a time zone, such as datetime.UTC")
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    return integer_text(value, "gtd")


def order_words(order: NewOrder, cl_ord_id: str) -> list[str]:
    """The words of ORDER.NEW for ``order`` under that id. Raises TypeError and ValueError as the functions above."""
    words = ["ORDER.NEW", cl_ord_id, order.symbol, order.side, number_text(order.quantity, "quantity")]
    words += ("MARKET",) if order.price is None else ("LIMIT", number_text(order.price, "price"))
    if order.tif is not None:
        words += ("TIF", order.tif)
    if order.account:
        words += ("ACCOUNT", integer_text(order.account, "account"))
    if order.post_only:
        words.append("POSTONLY")
    if order.stp is not None:
        words += ("STP", order.stp)
    if order.gtd is not None:
        words += ("GTD", time_text(order.gtd))
    if order.stop is not None:
        words += ("STOP", number_text(order.stop, "stop"))
    if order.display is not None:
        words += ("DISPLAY", number_text(order.display, "display"))
    if order.min_qty is not None:
        words += ("MINQTY", number_text(order.min_qty, "min_qty"))
    if order.max_age_ms is not None:
        words += ("MAXAGE", integer_text(order.max_age_ms, "max_age_ms"))
    if order.mode is not None:
        words += ("MODE", order.mode)
    return words
