"""A snapshot with any bit flipped, or cut at any offset, is not used; the start comes to the same state.

Here a part of them is tried; ``make damage`` tries all.
"""

from tests.damage import snapshots
from tests.damage.rules import Cut, Flip
from tests.support.scale import SCALE


def test_whatever_changed_in_a_snapshot_is_seen() -> None:
    whole = snapshots.subject().snapshot
    flips = snapshots.flips(whole, max(1, 997 // SCALE))
    cuts = snapshots.cuts(whole, max(1, 499 // SCALE))
    assert {snapshots.judge(damage, whole_start=False) for damage in flips} == {snapshots.REFUSED}
    assert {snapshots.judge(damage, whole_start=False) for damage in cuts} == {snapshots.REFUSED}
    assert snapshots.judge(Cut(0, len(whole), zeros=False), whole_start=True) == snapshots.UNCHANGED


def test_a_start_without_the_newest_snapshot_comes_to_the_same_state() -> None:
    whole = snapshots.subject().snapshot
    for step in range(5):
        snapshots.judge(Flip(0, step * (len(whole) * 8 - 1) // 4), whole_start=True)
        snapshots.judge(Cut(0, step * (len(whole) - 1) // 4, zeros=step % 2 == 0), whole_start=True)
