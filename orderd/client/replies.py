"""What the daemon answers, as objects. Pure.

Each ``from_pairs`` takes a reply as hiredis reads it in RESP3 with text decoded: dict, list, str, int, None. It raises
:class:`ProtocolViolation` for what is no such reply, and nothing else. Keys that a class does not know are passed over,
so that a newer daemon may say more; prices and quantities are Decimals, exactly as they came.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

import attrs

from orderd.client.errors import Forgotten, ProtocolViolation
from orderd.client.values import ExecType, Side, Status

Word = TypeVar("Word", bound=StrEnum)
_DIGITS_MAX: Final = 20
_ZERO: Final = Decimal(0)
_ORDER_KEYS: Final = 10
"""Those that all orders have."""


@attrs.frozen
class Order:
    """How an order stands."""

    cl_ord_id: str
    order_id: int
    """0 with ``UNKNOWN`` for an order that is not durable yet."""
    symbol: str
    side: Side
    status: Status
    quantity: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    avg_px: Decimal
    path: str
    """What carried the first confirmation: ``udp``, ``grpc`` or ``none``."""
    reason: str | None = None
    stop_px: Decimal | None = None
    display_qty: Decimal | None = None
    min_qty: Decimal | None = None
    expire_time: str | None = None
    """RFC 3339."""
    triggered: bool | None = None
    """Of a stop order: whether its price was reached."""

    @property
    def is_done(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.status.is_done

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        """Raises :class:`Forgotten` for the reply about an order that is not remembered any more."""
        pairs = pairs_of(value, "an order")
        if "cl_ord_id" not in pairs and pairs.get("reason") == "FORGOTTEN":
            raise Forgotten(integer(pairs, "order_id"))
        return cls(
            text(pairs, "cl_ord_id"),
            integer(pairs, "order_id"),
            text(pairs, "symbol"),
            word(pairs, "side", _SIDES),
            word(pairs, "status", _STATUSES),
            decimal(pairs, "quantity"),
            decimal(pairs, "cum_qty"),
            decimal(pairs, "leaves_qty"),
            decimal(pairs, "avg_px"),
            text(pairs, "path"),
            # Most orders have no more than these.
            *(() if len(pairs) == _ORDER_KEYS else _more_of_order(pairs)),
        )


@attrs.frozen
class Execution:
    """One entry of the stream of executions. The fields that the instrument gives a meaning are empty, zero or None if
    the daemon's settings do not have it any more."""

    exec_id: int
    exec_type: ExecType
    cl_ord_id: str
    order_id: int
    symbol: str
    side: Side | None
    account: int
    last_qty: Decimal
    last_px: Decimal
    cum_qty: Decimal
    leaves_qty: Decimal
    status: Status
    transact_time_ns: int
    """Since 1970 UTC, at the engine."""
    liquidity: str | None = None
    """``MAKER`` or ``TAKER`` of a TRADE."""
    trade_id: int | None = None
    reason: str | None = None

    @classmethod
    def from_entry(cls, value: Any) -> Self:
        """From ``[exec_id, pairs]``."""
        if not isinstance(value, list) or len(value) != 2:
            raise ProtocolViolation(f"not an execution: {shown(value)}")
        pairs = pairs_of(value[1], "an execution")
        return cls(
            _whole(value[0], "exec_id"),
            word(pairs, "exec_type", _EXEC_TYPES),
            text(pairs, "cl_ord_id"),
            integer(pairs, "order_id"),
            optional(pairs, "symbol", text) or "",
            word(pairs, "side", _SIDES) if "side" in pairs else None,
            optional(pairs, "account", integer) or 0,
            optional(pairs, "last_qty", decimal) or _ZERO,
            optional(pairs, "last_px", decimal) or _ZERO,
            optional(pairs, "cum_qty", decimal) or _ZERO,
            optional(pairs, "leaves_qty", decimal) or _ZERO,
            word(pairs, "status", _STATUSES),
            integer(pairs, "transact_time_ns"),
            optional(pairs, "liquidity", text),
            optional(pairs, "trade_id", integer),
            optional(pairs, "reason", text),
        )


@attrs.frozen
class BatchOutcome:
    """What became of a batch. ``status`` is ``QUEUED``, ``DONE`` or ``UNKNOWN``, for which there is a ``reason``; the
    counts are whole with DONE."""

    batch_id: str
    orders: int
    status: str
    accepted: int
    rejected: int
    trades: int
    first_order_id: int
    """0 with ``UNKNOWN`` for a batch that is not durable yet."""
    reason: str | None = None

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        pairs = pairs_of(value, "a batch")
        return cls(
            text(pairs, "batch_id"),
            integer(pairs, "orders"),
            text(pairs, "status"),
            integer(pairs, "accepted"),
            integer(pairs, "rejected"),
            integer(pairs, "trades"),
            integer(pairs, "first_order_id"),
            optional(pairs, "reason", text),
        )


@attrs.frozen
class MassCancelOutcome:
    """How many orders a mass cancel cancelled; ``cancelled`` is None if that is not known, ``reason`` says why."""

    cancelled: int | None
    status: str | None = None
    reason: str | None = None
    repeated: bool = False
    """The command was made again after a lost connection: ``cancelled`` may leave out what the first one cancelled."""

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        pairs = pairs_of(value, "a mass cancel")
        return cls(
            optional(pairs, "cancelled", integer), optional(pairs, "status", text), optional(pairs, "reason", text)
        )


@attrs.frozen
class BookLevel:
    """One price of a book."""

    price: Decimal
    quantity: Decimal
    orders: int


@attrs.frozen
class Book:
    """The engine's book, best prices first."""

    symbol: str
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        pairs = pairs_of(value, "a book")
        return cls(text(pairs, "symbol"), *(tuple(map(_level, items(pairs.get(s), s))) for s in ("bids", "asks")))


@attrs.frozen
class Instrument:
    """What can be traded. In records prices are whole ticks, quantities whole lots."""

    symbol: str
    id: int
    tick: Decimal
    lot: Decimal

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        pairs = pairs_of(value, "an instrument")
        tick, lot = decimal(pairs, "tick"), decimal(pairs, "lot")
        if not (tick.is_finite() and lot.is_finite() and tick > 0 and lot > 0):
            raise ProtocolViolation(f"not the steps of an instrument: {shown(value)}")
        return cls(text(pairs, "symbol"), integer(pairs, "id"), tick, lot)


@attrs.frozen
class Position:
    """Net position and open quantity of an account in an instrument. ``net`` is negative when short."""

    account: int
    symbol: str
    net: Decimal
    open_buy: Decimal
    open_sell: Decimal
    last_px: Decimal | None = None

    @classmethod
    def from_pairs(cls, value: Any) -> Self:
        pairs = pairs_of(value, "a position")
        return cls(
            integer(pairs, "account"),
            text(pairs, "symbol"),
            decimal(pairs, "net"),
            decimal(pairs, "open_buy"),
            decimal(pairs, "open_sell"),
            optional(pairs, "last_px", decimal),
        )


_SIDES: Final = {str(member): member for member in Side}
_STATUSES: Final = {str(member): member for member in Status}
_EXEC_TYPES: Final = {str(member): member for member in ExecType}
Read = TypeVar("Read")


def shown(value: object) -> str:
    """A value in an error text, bounded."""
    told = repr(value)
    return told if len(told) <= 120 else told[:120] + "..."


def pairs_of(value: Any, what: str) -> Mapping[str, Any]:
    """``value`` as a mapping."""
    if not isinstance(value, dict):
        raise ProtocolViolation(f"not {what}: {shown(value)}")
    return value


def items(value: Any, what: str) -> list[Any]:
    """``value`` as a list."""
    if not isinstance(value, list):
        raise ProtocolViolation(f"{what} is not a list: {shown(value)}")
    return value


def text(pairs: Mapping[str, Any], key: str) -> str:
    """A value that is text."""
    value = pairs.get(key)
    if not isinstance(value, str):
        raise ProtocolViolation(f"{key} is not text: {shown(value)}")
    return value


def integer(pairs: Mapping[str, Any], key: str) -> int:
    """A value that is a whole number from zero on."""
    return _whole(pairs.get(key), key)


def flag(pairs: Mapping[str, Any], key: str) -> bool:
    """A value that is 0 or 1."""
    return bool(_whole(pairs.get(key), key))


def decimal(pairs: Mapping[str, Any], key: str) -> Decimal:
    """A value that is a decimal."""
    value = pairs.get(key)
    try:
        if isinstance(value, str):
            return Decimal(value)
    except (InvalidOperation, ValueError):
        pass
    raise ProtocolViolation(f"{key} is not a decimal: {shown(value)}")


def word(pairs: Mapping[str, Any], key: str, words: Mapping[str, Word]) -> Word:
    """A value that is one of ``words``."""
    value = pairs.get(key)
    found = words.get(value) if isinstance(value, str) else None
    if found is None:
        raise ProtocolViolation(f"{key} is none of {', '.join(words)}: {shown(value)}")
    return found


def optional(pairs: Mapping[str, Any], key: str, read: Callable[[Mapping[str, Any], str], Read]) -> Read | None:
    """A value that may be missing or null."""
    return None if pairs.get(key) is None else read(pairs, key)


def _more_of_order(pairs: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        optional(pairs, "reason", text),
        optional(pairs, "stop_px", decimal),
        optional(pairs, "display_qty", decimal),
        optional(pairs, "min_qty", decimal),
        optional(pairs, "expire_time", text),
        optional(pairs, "triggered", flag),
    )


def _whole(value: Any, key: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX:
        return int(value)
    raise ProtocolViolation(f"{key} is not a whole number: {shown(value)}")


def _level(value: Any) -> BookLevel:
    row = items(value, "a level")
    if len(row) != 3:
        raise ProtocolViolation(f"not a level of a book: {shown(value)}")
    pairs = dict(zip(("price", "quantity", "orders"), row, strict=True))
    return BookLevel(decimal(pairs, "price"), decimal(pairs, "quantity"), integer(pairs, "orders"))
