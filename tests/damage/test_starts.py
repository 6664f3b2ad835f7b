"""Real daemons refuse a damaged journal with exit code 3 and say where, and start with one that was torn."""

from pathlib import Path

from tests.damage.rules import Cut, Damage, Flip
from tests.damage.starts import Start
from tests.damage.subjects import NAMES, subject_of


def test_a_daemon_refuses_damage_and_starts_with_a_torn_tail(tmp_path: Path) -> None:
    starts = []
    for name in (NAMES[0], NAMES[3]):  # of orderd, and of an engine
        subject = subject_of(name)
        last, place = len(subject.files) - 1, subject.places[-1]
        damages: list[Damage] = [Flip(0, 8 * 600), Cut(last, place.end - 3, zeros=True)]
        starts += [
            Start(subject, damage, tmp_path / f"{subject.application.decode()}-{at}")
            for at, damage in enumerate(damages)
        ]
    assert [start.judge() for start in starts] == ["refused with exit code 3", "started"] * 2
