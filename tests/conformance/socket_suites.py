"""Other engines' scenarios and recorded markets, from the client's socket to the engine and back, through each door."""

from collections.abc import Iterator
from typing import Any, Final

from tests.conformance.doors import Door, SocketVenue
from tests.conformance.tracebook_suite import Verdict
from tests.support.market_data import ExpectedTrade, read_expected_trades, read_scenarios
from tests.support.market_replay import Checkpoint, MarketReplay
from tests.support.processes import Site
from tests.support.scenarios import ScenarioRun

NUMBERS_APART: Final = 1_000_000
CHECKPOINT_LEVELS: Final = 5
RECORDS_AT_ONCE: Final = 5_000


class Numbers:
    """Numbers that no other part of a site's tests uses."""

    def __init__(self, first: int = 1) -> None:
        self._next = first

    def block(self) -> int:
        """The first of a block of :data:`NUMBERS_APART`."""
        self._next += NUMBERS_APART
        return self._next


def run_scenarios(site: Site, door: Door, numbers: Numbers) -> Iterator[tuple[Verdict, ScenarioRun]]:
    """Each scenario; the book is empty before and after it."""
    with site.client() as client:
        venue = SocketVenue(client, door)
        for scenario in read_scenarios():
            run = ScenarioRun(venue, numbers.block())
            problem = ""
            try:
                run.run(scenario)
            except AssertionError as error:
                problem = f"{scenario['source']}: {scenario['name']}: {error}"
            venue.clear()
            yield Verdict(str(scenario["name"]), run.checks, problem), run


def run_flow(site: Site, door: Door, numbers: Numbers, flow: str, every: int = 1) -> Verdict:
    """A recorded market: all its trades, and each ``every``-th checkpoint of the book."""
    replay = MarketReplay(numbers.block())
    checks = 0
    problem = ""
    with site.client() as client:
        venue = SocketVenue(client, door)
        waiting: list[bytes] = []
        checkpoints = 0
        for item in replay.read(flow):
            if not isinstance(item, Checkpoint):
                waiting.append(item)
                if len(waiting) == RECORDS_AT_ONCE:
                    door.send(client, waiting)
                    waiting.clear()
                continue
            checkpoints += 1
            if checkpoints % every == 0 and not problem:
                door.send(client, waiting)
                waiting.clear()
                problem = _difference(venue, item)
                checks += 1
        door.send(client, waiting)
        trades = _trades(venue.new_executions(), replay)
        checks += len(trades)
        if trades != read_expected_trades(flow):
            problem = problem or "the trades are others"
        venue.clear()
    return Verdict(flow, checks, problem)


def _difference(venue: SocketVenue, checkpoint: Checkpoint) -> str:
    bids, asks = venue.depth()
    for expected, levels in ((checkpoint.bids, bids), (checkpoint.asks, asks)):
        found = [(price, quantity) for price, quantity, _ in levels[:CHECKPOINT_LEVELS]]
        if found[: len(expected)] != expected or (found and not expected):
            return f"the book has {found} where the market had {expected}"
    return ""


def _trades(executions: list[dict[str, Any]], replay: MarketReplay) -> list[ExpectedTrade]:
    """Makers and takers put together by their trade id, in the order in which they traded."""
    makers: dict[str, dict[str, str]] = {}
    trades = []
    for pairs in executions:
        if pairs["exec_type"] != "TRADE":
            continue
        if pairs["liquidity"] == "MAKER":
            makers[pairs["trade_id"]] = pairs
            continue
        maker = makers.pop(pairs["trade_id"])
        price = int(pairs["last_px"].replace(".", ""))
        taker, lots = replay.takers[int(pairs["cl_ord_id"])], int(pairs["last_qty"])
        trades.append(ExpectedTrade(taker, replay.ids[int(maker["cl_ord_id"])], price, lots))
    assert not makers, "each trade has two sides"
    return trades
