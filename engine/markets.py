"""What an instrument's market allows at the moment: whether it trades at all, and between which prices. Pure.

Halts and limits are FIX's security trading status (35=f, tag 326) and its low and high price limits (tags 1148 and
1149). They come from the settings, but the engine acts on what its journal says of them: see
:class:`engine.inputs.MarketInput`.
"""

from typing import Final

import attrs

from orderd.wire.records import VALUE_MAX


@attrs.frozen
class MarketRules:
    """What holds for orders in an instrument from now on; orders that rest stay as they are.

    ``low`` and ``high`` are ticks, 1 to 2**63 - 1, both still allowed; 0 is no limit on that side. If there are both,
    ``low <= high``.
    """

    halted: bool = False
    """NEW and REPLACE are refused; cancels pass."""
    low: int = attrs.field(default=0)
    high: int = attrs.field(default=0)

    def __attrs_post_init__(self) -> None:
        """Raises ValueError."""
        if not 0 <= self.low <= VALUE_MAX or not 0 <= self.high <= VALUE_MAX:
            raise ValueError(f"limits {self.low} and {self.high}: 0 to 2**63 - 1 ticks are possible")
        if self.high and self.low > self.high:
            raise ValueError(f"the low limit {self.low} is above the high limit {self.high}")

    def allows(self, price: int) -> bool:
        """Whether an order may name this price, in ticks."""
        return price >= self.low and (not self.high or price <= self.high)


OPEN_MARKET: Final = MarketRules()
"""What holds where nothing was said: trading, at any price."""
