"""A journal with any bit flipped, or cut at any offset, is refused or tells a prefix of what was written.

Here a part of them is tried; ``make damage`` tries all.
"""

from pathlib import Path

import pytest

from orderd.journal import reading, recovery
from orderd.journal.record import Entry
from tests.damage import rules, tools
from tests.damage.rules import Cut, Flip, cuts, flips
from tests.damage.subjects import NAMES, subject_of
from tests.support.scale import SCALE
from tests.support.site import Site

FLIP_STEP = max(1, 509 // SCALE)
CUT_STEP = max(1, 131 // SCALE)

each_journal = pytest.mark.parametrize("name", NAMES)


@each_journal
def test_a_flipped_bit_is_refused_or_costs_nothing(name: str) -> None:
    subject = subject_of(name)
    verdicts = {rules.judge(subject, flip) for flip in flips(subject, FLIP_STEP)}
    assert verdicts == {rules.REFUSED, rules.WHOLE}
    assert rules.judge(subject, Flip(0, 8 * 9)) == rules.NEWER


@each_journal
def test_a_cut_journal_has_the_records_before_the_cut_or_is_refused(name: str) -> None:
    subject = subject_of(name)
    verdicts = {rules.judge(subject, cut) for cut in cuts(subject, CUT_STEP)}
    assert verdicts == {rules.REFUSED, rules.WHOLE, rules.CUT}


@pytest.mark.parametrize("name", NAMES[::3])
def test_who_looks_into_a_damaged_journal_gets_an_answer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = subject_of(name)
    monkeypatch.setattr(reading, "LOOK_AGAIN_S", 0.0)
    last = len(subject.files) - 1
    end = subject.end_of(last)
    for damage in (Flip(0, 70), Flip(0, 8 * 9), Flip(0, 8 * 700), Flip(last, 8 * end - 9), Cut(last, end - 5, False)):
        tools.judge(subject, damage, tmp_path)


def orders_in(entry: Entry) -> int:
    """Order records in an entry of orderd's, counted from the layout."""
    kind, payload = entry
    if kind not in (4, 7):
        return 0
    ages = 4 + 16 * int.from_bytes(payload[:4], "little") if kind == 7 else 0
    return int.from_bytes(payload[ages + 16 : ages + 20], "little")


@pytest.mark.parametrize("name", NAMES[:2])
def test_orderd_starts_with_every_prefix_that_a_cut_leaves(name: str) -> None:
    subject = subject_of(name)
    site = Site()
    site.engine.up = False
    for count in range(0, len(subject.entries) + 1, max(1, 7 // SCALE)):
        site.journal = [list(subject.entries[:count])]
        site.start()
        assert site.desk.committed_end - 1 == sum(map(orders_in, subject.entries[:count]))


def test_damage_taken_for_a_torn_tail_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_whole_though_bad", lambda *_: None)
    subject = subject_of(NAMES[0])
    place = subject.places[-1]
    with pytest.raises(AssertionError, match="entries"):
        rules.judge(subject, Flip(place.segment, 8 * (place.end - 12)))


def test_a_record_that_is_passed_over_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = recovery.entries

    def all_but_one(data: bytes, start: int, end: int) -> list[Entry]:
        return list(whole(data, start, end))[1:]

    monkeypatch.setattr(recovery, "entries", all_but_one)
    with pytest.raises(AssertionError):
        rules.judge(subject_of(NAMES[0]), Cut(0, 9000, zeros=False))
