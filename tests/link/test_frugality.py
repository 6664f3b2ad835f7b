"""What a lossy road costs: hardly more ORDERS frames go again than were lost.

Counted on simulated roads, seeded, with jitter that reorders and without. Two ratios are bounded, since whoever sends
cannot see which of two things was lost:

- of retransmitted ORDERS frames to lost frames with orders or with their answers: at most 1.5, whatever the load;
- of retransmitted ORDERS frames to lost ones: at most 1.5 as long as orders come after, since each answer names what
  arrived before. Only where an order travels alone a lost answer is the same to orderd as a lost order.

Before that a connection learns how far apart the road brings things, which costs up to a window of frames once.
"""

from collections.abc import Callable

import attrs
import pytest

from orderd.link import flights, udp_road
from orderd.link.flights import FlightBoard
from orderd.link.terms import LinkState, SenderSettings
from orderd.wire.frames import FrameType
from tests.support.lossy_link import Conditions, World
from tests.support.matching import BUY, limit
from tests.support.scale import examples

RATIO_MAX = 1.5
DELAY_MIN_S, DELAY_MAX_S = 0.0002, 0.001
LEARNING_FRAMES = SenderSettings().window_datagrams
DATAGRAM_BYTES = 512
RECORDS = 14
"""That a datagram of this size holds."""


class Road(World):
    """Loses and delays; with ``keeps_order`` nothing overtakes anything that goes the same way."""

    def __init__(self, seed: int, *, keeps_order: bool) -> None:
        super().__init__(
            seed,
            Conditions(delay_min=DELAY_MIN_S, delay_max=DELAY_MAX_S),
            settings=SenderSettings(datagram_bytes_max=DATAGRAM_BYTES),
        )
        self._keeps_order = keeps_order
        self._last: dict[bool, float] = {}
        self.placed = 0
        assert self.run(1.0, lambda: self.end.link.state is LinkState.UP)

    def send(self, datagram: bytes, deliver: Callable[[bytes], None]) -> None:
        type_ = datagram[3]
        self.sent[type_] = self.sent.get(type_, 0) + 1
        if self.rng.random() < self.conditions.drop:
            self.lost[type_] = self.lost.get(type_, 0) + 1
            return
        at = self.now + self.rng.uniform(DELAY_MIN_S, DELAY_MAX_S)
        if self._keeps_order:
            to_orderd = type_ in (FrameType.REPORTS, FrameType.WELCOME)
            at = self._last[to_orderd] = max(at, self._last.get(to_orderd, 0.0))
        self.at(at - self.now, lambda: deliver(datagram))

    def place(self, count: int) -> None:
        """So many orders that rest."""
        self.end.place(*[limit(self.placed + i, BUY, 1, 100) for i in range(1, count + 1)])
        self.placed += count

    @property
    def unconfirmed(self) -> int:
        return self.placed - (self.end.confirmed_end - 1)


def saturating(road: Road, frames: int) -> None:
    """The window is never empty."""
    while road.placed < frames * RECORDS:
        road.place(64 * RECORDS)
        assert road.run(30.0, lambda: road.unconfirmed < 64 * RECORDS)


def batches(road: Road, frames: int) -> None:
    """Fifty orders each millisecond."""
    while road.placed < frames * 50 / 4:
        road.place(50)
        road.run(0.001)


def one_by_one(road: Road, frames: int) -> None:
    """An order, its outcome, the next order."""
    while road.placed < frames:
        road.place(1)
        assert road.run(30.0, lambda: road.unconfirmed == 0)


@attrs.frozen
class Cost:
    """What was counted."""

    frames: int
    again: int
    orders_lost: int
    answers_lost: int

    def per_lost(self, learning: int = 0) -> float:
        return (self.again - learning) / (self.orders_lost + self.answers_lost)

    def per_lost_orders(self, learning: int = 0) -> float:
        return (self.again - learning) / self.orders_lost


def cost_of(loss: float, load: Callable[[Road, int], None], frames: int, *, keeps_order: bool, seed: int = 1) -> Cost:
    road = Road(seed, keeps_order=keeps_order)
    road.conditions = attrs.evolve(road.conditions, drop=loss)
    load(road, frames)
    assert road.run(30.0, lambda: road.unconfirmed == 0)
    road.check()
    return Cost(
        road.sent[FrameType.ORDERS],
        road.end.link.counters.retransmits,
        road.lost[FrameType.ORDERS],
        road.lost[FrameType.REPORTS],
    )


@pytest.mark.parametrize("keeps_order", [True, False], ids=["in order", "with jitter"])
@pytest.mark.parametrize("load", [saturating, batches, one_by_one])
@pytest.mark.parametrize("loss", [0.02, 0.1, 0.3])
def test_hardly_more_goes_again_than_was_lost(
    loss: float, load: Callable[[Road, int], None], keeps_order: bool
) -> None:
    cost = cost_of(loss, load, examples(1200 if loss == 0.1 else 300), keeps_order=keeps_order)
    learning = 0 if keeps_order else LEARNING_FRAMES
    assert cost.per_lost(learning) <= RATIO_MAX, cost
    assert cost.per_lost_orders(learning) <= (2.0 if load is one_by_one else RATIO_MAX), cost


def test_the_bound_would_not_hold_if_an_overtaken_frame_counted_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "PACKET_THRESHOLD", 1)
    monkeypatch.setattr(FlightBoard, "_arrived", lambda board, flight, _: board._done(flight))
    cost = cost_of(0.1, saturating, 300, keeps_order=False)
    assert cost.per_lost(LEARNING_FRAMES) > RATIO_MAX, cost


def test_an_engine_that_stood_still_for_a_while_gets_little_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def again() -> int:
        road = Road(1, keeps_order=True)
        road.place(RECORDS)
        assert road.run(1.0, lambda: road.unconfirmed == 0)
        before = road.end.link.counters.retransmits
        road.engine.commit_delay = 0.030
        road.place(32 * RECORDS)
        assert road.run(1.0, lambda: road.unconfirmed == 0)
        return road.end.link.counters.retransmits - before

    assert 0 < again() <= 2 + 4 + 8
    monkeypatch.setattr(udp_road, "OVERDUE_FRAMES_MIN", 32)
    assert again() >= 32
