"""Every cut offset and every flipped bit of journals of 16 KiB and of a snapshot: ``make damage``.

``python -m tests.damage [jobs]``. Prints how many of each came to which verdict; ends with 1 if one came to a wrong
one. What people look into journals with, whole starts from snapshots and real daemons are tried on a part of them.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import attrs
from rich.console import Console
from rich.table import Table

from orderd.journal import reading
from orderd.runtime.log import configure_logging
from tests.damage import rules, snapshots, tools
from tests.damage.rules import Damage, cuts, flips
from tests.damage.starts import Start
from tests.damage.subjects import NAMES, Subject, subject_of

JOBS: Final = os.cpu_count() or 1
PARTS: Final = 32
TOOLS_STEP: Final = 2003
STARTS_STEP: Final = 30_011
WHOLE_START_STEP: Final = 499
WRONG_SHOWN: Final = 5


@attrs.frozen
class Task:
    """One part of all damage of a kind: every :data:`PARTS`-th of it, from ``part`` on."""

    row: str
    subject: str
    """Name of the journal; empty for the snapshot."""
    what: str
    part: int


@attrs.define
class Found:
    """Verdicts, and what was wrong."""

    verdicts: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)

    def try_one(self, damage: Damage, judge: Callable[[Damage], str]) -> None:
        """One more."""
        try:
            self.verdicts[judge(damage)] += 1
        except Exception as error:  # noqa: BLE001  # Whatever it is, it is a finding, and the others are tried too.
            self.verdicts["WRONG"] += 1
            self.wrong.append(f"{damage}: {type(error).__name__}: {error}")


def tasks() -> Iterator[Task]:
    """All there is to do, large parts first."""
    every = {"flips": "every bit", "cuts": "every offset, twice"}
    for name in (*NAMES, ""):
        for what, shown in every.items():
            for part in range(PARTS):
                yield Task(f"{name or 'snapshot'}: {shown}", name, what, part)
    for name in NAMES:
        yield Task(f"{name}: orderctl journal, orderd-engine", name, "tools", 0)
        yield Task(f"{name}: real starts", name, "starts", 0)


def run(task: Task) -> tuple[str, Found]:
    """In a process of its own."""
    configure_logging("console", "error")
    found = Found()
    if not task.subject:
        _snapshots(task, found)
    elif task.what in ("tools", "starts"):
        _in_files(task, found)
    else:
        subject = subject_of(task.subject)
        for damage in (flips if task.what == "flips" else cuts)(subject, PARTS, task.part):
            found.try_one(damage, partial(rules.judge, subject))
    return task.row, found


def _snapshots(task: Task, found: Found) -> None:
    whole = snapshots.subject().snapshot
    damages = (snapshots.flips if task.what == "flips" else snapshots.cuts)(whole, PARTS, task.part)
    for at, damage in enumerate(damages):
        found.try_one(damage, partial(snapshots.judge, whole_start=at % WHOLE_START_STEP == 0))


def _in_files(task: Task, found: Found) -> None:
    reading.LOOK_AGAIN_S = 0.0  # type: ignore[misc]  # Nobody writes while these are read.
    subject = subject_of(task.subject)
    step, judge = (TOOLS_STEP, _with_tools) if task.what == "tools" else (STARTS_STEP, _with_daemons)
    for damage in (*flips(subject, step), *cuts(subject, step // 4)):
        with tempfile.TemporaryDirectory() as directory:
            found.try_one(damage, partial(judge, subject, directory=Path(directory)))


def _with_tools(subject: Subject, damage: Damage, directory: Path) -> str:
    tools.judge(subject, damage, directory)
    return "answered"


def _with_daemons(subject: Subject, damage: Damage, directory: Path) -> str:
    return Start(subject, damage, directory).judge()


def main(jobs: int) -> int:
    """Prints a row for each kind of damage; how many came to a wrong verdict, at most 1."""
    begun = time.monotonic()
    rows: dict[str, Found] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for name, found in pool.map(run, tasks()):
            row = rows.setdefault(name, Found())
            row.verdicts.update(found.verdicts)
            row.wrong += found.wrong
    table = Table("what", "tried", "verdicts", box=None)
    for name, row in rows.items():
        counts = (f"{verdict}: {count:,}" for verdict, count in row.verdicts.most_common())
        table.add_row(name, f"{row.verdicts.total():,}", "\n".join(counts))
    console = Console(width=140, highlight=False)
    console.print(table)
    wrong = [f"{name}: {what}" for name, row in rows.items() for what in row.wrong]
    for line in wrong[:WRONG_SHOWN]:
        console.print(line, markup=False)
    tried = sum(row.verdicts.total() for row in rows.values())
    console.print(f"{tried:,} tried, {len(wrong):,} wrong, {time.monotonic() - begun:.0f} s with {jobs} processes")
    return min(1, len(wrong))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS))
