"""Real order flow through the matcher: each trade and each checkpoint must be what a price-time book gives."""

import pytest

from tests.support.market_data import FLOWS, read_expected_trades
from tests.support.market_replay import Checkpoint, MarketReplay
from tests.support.matching import INSTRUMENT

CHECKPOINT_LEVELS = 5


@pytest.mark.parametrize("flow", FLOWS)
def test_real_flow_gives_every_trade_and_every_checkpoint(flow: str) -> None:
    replay = MarketReplay()
    checkpoints = 0
    for item in replay.read(flow):
        if isinstance(item, Checkpoint):
            checkpoints += 1
            bids, asks = replay.matcher.book(INSTRUMENT).depth(CHECKPOINT_LEVELS)
            for expected, levels in ((item.bids, bids), (item.asks, asks)):
                assert [(price, quantity) for price, quantity, _ in levels][: len(expected)] == expected
                assert expected or not levels
    replay.matcher.check_invariants()
    assert replay.trades == read_expected_trades(flow)
    assert checkpoints > 0
