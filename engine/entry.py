"""What a NEW may be, and what becomes of what it leaves unfilled. Pure.

Reasons for a refusal, the first that holds: UNKNOWN_INSTRUMENT and DUPLICATE_NUMBER, which the matcher finds; then
BAD_RECORD for what never fits (values out of range, options that contradict each other, bad extensions); EXPIRED; then
what only holds at the moment: HALTED, PRICE_LIMIT, and POST_ONLY, which again the matcher finds.
"""

from typing import Final

from engine.extensions import Extension
from engine.levels import ANY_PRICE
from engine.markets import OPEN_MARKET, MarketRules
from engine.orders import Fields
from orderd.wire.extensions import CONTRADICTIONS, MASK_SHIFT
from orderd.wire.records import (
    DISPLAY_SLICES_MAX,
    FLAG_MARKET,
    FLAG_SELL,
    TIF_MASK,
    TIF_SHIFT,
    VALUE_MAX,
    TimeInForce,
)
from orderd.wire.reports import Reason


def _remainder(flags: int) -> Reason:
    time_in_force = (flags & TIF_MASK) >> TIF_SHIFT
    if time_in_force == TimeInForce.FOK:
        return Reason.FOK
    if flags & FLAG_MARKET:
        return Reason.NO_LIQUIDITY
    return Reason.IOC if time_in_force == TimeInForce.IOC else Reason.NONE


REMAINDERS: Final = tuple(_remainder(flags) for flags in range(256))
"""Why what an order with these flags leaves unfilled is cancelled, or NONE: it rests."""
_CONTRADICTS: Final = tuple(bool(why) for why in CONTRADICTIONS)
_NONE: Final = Reason.NONE


def refusal(fields: Fields, extension: Extension | None, rules: MarketRules, now_ns: int) -> Reason:
    """Why the NEW with these fields is refused, or NONE; ``extension`` is about it."""
    _, price, quantity, _, _, _, flags = fields
    if not 0 < quantity <= VALUE_MAX or (price != 0 if flags & FLAG_MARKET else price <= 0):
        return Reason.BAD_RECORD
    if extension is None:
        if _CONTRADICTS[flags]:
            return Reason.BAD_RECORD
    elif _contradicts(extension, flags, quantity):
        return Reason.BAD_RECORD
    elif 0 < extension.expiry_ns <= now_ns:
        return Reason.EXPIRED
    if rules is not OPEN_MARKET:
        trigger = extension.trigger if extension is not None else 0
        return current_refusal(rules, price) or current_refusal(rules, trigger)
    return _NONE


def current_refusal(rules: MarketRules, price: int) -> Reason:
    """Why orders are refused that name this price at the moment, or NONE; 0 stands for no price."""
    if rules.halted:
        return Reason.HALTED
    return Reason.NONE if price == 0 or rules.allows(price) else Reason.PRICE_LIMIT


def _contradicts(extension: Extension, flags: int, quantity: int) -> bool:
    return (
        extension.is_bad
        or _CONTRADICTS[extension.mask << MASK_SHIFT | flags]
        or max(extension.display, extension.minimum) > quantity
        or shows_too_little(extension.display, quantity)
    )


def shows_too_little(display: int, quantity: int) -> bool:
    """Whether an iceberg of ``quantity`` open lots that shows ``display`` would have too many slices; 0 is none."""
    return 0 < display * DISPLAY_SLICES_MAX < quantity


def market_limit(rules: MarketRules, flags: int) -> int:
    """The limit of a market order with these flags: what the price limits allow."""
    if flags & FLAG_SELL:
        return rules.low or ANY_PRICE
    return -rules.high or ANY_PRICE
