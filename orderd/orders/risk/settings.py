"""``[risk]`` of the settings file, and what it means for each account. Pure.

Money and quantities are decimal text and become exact fractions. Everything may be changed by a reload.
"""

import re
from fractions import Fraction
from typing import Any, Final

import attrs

from orderd.orders.risk.limits import AccountLimits, RiskLimits
from orderd.runtime import fields
from orderd.runtime.decimals import DecimalError
from orderd.runtime.fields import RELOADABLE, FieldError
from orderd.runtime.instruments import InstrumentTable

ACCOUNT_MAX: Final = 65_535
COUNT_MAX: Final = 100_000_000
RATE_MAX: Final = 10_000_000
REPEATS_MAX: Final = 1_000_000
WINDOW_MS_MAX: Final = 60_000

_DECIMAL: Final = re.compile(r"(?a:\d{1,18}(\.\d{1,9})?)")
_PERCENT: Final = re.compile(r"(?a:(\d{1,6}(\.\d{1,6})?)%)")

_ALLOWED_DECIMAL: Final = 'must be a plain decimal in quotes, such as "1000" or "2500.50", or "" for none'
_ALLOWED_PERCENT: Final = 'must be a percentage above 0 in quotes, such as "5%", or "" for none'


def _check_decimal(text: str) -> str | None:
    if not text or _DECIMAL.fullmatch(text):
        return None
    return _ALLOWED_DECIMAL


def _check_percent(text: str) -> str | None:
    match = _PERCENT.fullmatch(text)
    if not text or (match and Fraction(match[1])):
        return None
    return _ALLOWED_PERCENT


def _check_account(_: object, __: object, value: int) -> None:
    if not 0 <= value <= ACCOUNT_MAX:
        raise FieldError("account", value, f"must be a whole number from 0 to {ACCOUNT_MAX}")


def _decimal() -> Any:
    return fields.text("", _check_decimal, allowed=_ALLOWED_DECIMAL, reloadable=True)


def _percent() -> Any:
    return fields.text("", _check_percent, allowed=_ALLOWED_PERCENT, reloadable=True)


def _count(maximum: int) -> Any:
    return fields.integer(0, 0, maximum, reloadable=True)


@attrs.frozen
class RiskAccount:
    """``[[risk.account]]``: what is another for one account; a key that is not there is as in ``[risk]``."""

    account: int = attrs.field(validator=_check_account)
    order_quantity_max: str | None = fields.optional(_decimal())
    order_notional_max: str | None = fields.optional(_decimal())
    price_band: str | None = fields.optional(_percent())
    open_orders_max: int | None = fields.optional(_count(COUNT_MAX))
    position_max: str | None = fields.optional(_decimal())
    gross_notional_max: str | None = fields.optional(_decimal())
    orders_per_second: int | None = fields.optional(_count(RATE_MAX))
    orders_burst: int | None = fields.optional(_count(RATE_MAX))
    repeats_max: int | None = fields.optional(_count(REPEATS_MAX))
    repeats_window_ms: int | None = fields.optional(fields.integer(1000, 1, WINDOW_MS_MAX, reloadable=True))


@attrs.frozen
class RiskReference:
    """``[[risk.reference]]``: the price of an instrument as long as it was not traded."""

    symbol: str
    price: str


@attrs.frozen
class RiskSettings:
    """``[risk]``: limits of each account; 0 and "" are none."""

    order_quantity_max: str = _decimal()
    order_notional_max: str = _decimal()
    price_band: str = _percent()
    open_orders_max: int = _count(COUNT_MAX)
    position_max: str = _decimal()
    gross_notional_max: str = _decimal()
    orders_per_second: int = _count(RATE_MAX)
    orders_burst: int = _count(RATE_MAX)
    repeats_max: int = _count(REPEATS_MAX)
    repeats_window_ms: int = fields.integer(1000, 1, WINDOW_MS_MAX, reloadable=True)
    account: tuple[RiskAccount, ...] = attrs.field(default=(), metadata={RELOADABLE: True})
    reference: tuple[RiskReference, ...] = attrs.field(default=(), metadata={RELOADABLE: True})


_NAMES: Final = tuple(a.name for a in attrs.fields(RiskAccount) if a.name != "account")


def risk_limits(settings: RiskSettings, instruments: InstrumentTable) -> RiskLimits:
    """What the settings come to. Raises :class:`FieldError`, relative to ``[risk]``, for what does not fit together."""
    accounts: dict[int, AccountLimits] = {}
    for index, own in enumerate(settings.account):
        if own.account in accounts:
            raise FieldError(f"account[{index}].account", own.account, "is there twice")
        changes = {name: value for name in _NAMES if (value := getattr(own, name)) is not None}
        accounts[own.account] = _limits(attrs.evolve(settings, account=(), reference=(), **changes))
    references: dict[int, int] = {}
    for index, reference in enumerate(settings.reference):
        instrument = instruments.by_symbol.get(reference.symbol.encode("ascii", "replace"))
        if instrument is None:
            raise FieldError(f"reference[{index}].symbol", reference.symbol, "is no symbol of an [[instrument]]")
        if instrument.id in references:
            raise FieldError(f"reference[{index}].symbol", reference.symbol, "is there twice")
        try:
            references[instrument.id] = instrument.parse_price(reference.price.encode("ascii", "replace"))
        except DecimalError as error:
            raise FieldError(f"reference[{index}].price", reference.price, str(error)) from None
    return RiskLimits(_limits(settings), accounts, references)


def _limits(settings: RiskSettings) -> AccountLimits:
    def decimal(text: str) -> Fraction | None:
        # Zero is none, too.
        return Fraction(text) or None if text else None

    return AccountLimits(
        decimal(settings.order_quantity_max),
        decimal(settings.order_notional_max),
        decimal(settings.price_band.rstrip("%")) and Fraction(settings.price_band.rstrip("%")) / 100,
        settings.open_orders_max,
        decimal(settings.position_max),
        decimal(settings.gross_notional_max),
        settings.orders_per_second,
        settings.orders_burst or settings.orders_per_second,
        settings.repeats_max,
        settings.repeats_window_ms,
    )
