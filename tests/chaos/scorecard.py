"""The scorecard of a campaign: a row for each time a scenario was played, and what they are together."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.table import Table

from tests.chaos.checks import Findings

SUMS = ("kills_orderd", "kills_engine", "acknowledged", "lost", "duplicated", "reordered", "invented", "unknown")


@attrs.define
class Row:
    """What came of a scenario."""

    scenario: str
    seed: int
    seconds: float = 0.0
    sites: int = 0
    kills_orderd: int = 0
    kills_engine: int = 0
    faults: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    invented: int = 0
    unknown: int = 0
    resolved: int = 0
    retransmits: int = 0
    recoveries_s: list[float] = attrs.field(factory=list)
    """From when nothing stood in the way any more until a new order was confirmed."""
    notes: list[str] = attrs.field(factory=list)
    problems: list[str] = attrs.field(factory=list)
    skipped: str = ""
    """Why it could not be played here."""

    def add(self, findings: Findings) -> None:
        """One more site was checked."""
        self.sites += 1
        for name in ("acknowledged", "lost", "duplicated", "reordered", "invented", "unknown", "resolved"):
            setattr(self, name, getattr(self, name) + getattr(findings, name))
        self.problems += findings.problems

    @property
    def is_good(self) -> bool:
        """Whether everything held."""
        return not (self.lost or self.duplicated or self.reordered or self.invented or self.problems)

    @property
    def verdict(self) -> str:
        """In a word."""
        return "skipped" if self.skipped else "ok" if self.is_good else "FAILED"

    def cells(self) -> list[str]:
        """As :func:`table` shows it."""
        recovery = "-"
        if self.recoveries_s:
            recovery = f"{statistics.median(self.recoveries_s) * 1000:.0f} / {max(self.recoveries_s) * 1000:.0f}"
        unknown = f"{self.unknown} ({self.resolved})" if self.unknown else "0"
        counts = (self.acknowledged, self.lost, self.duplicated, self.reordered, self.invented)
        return [
            self.scenario, str(self.seed), f"{self.kills_orderd} / {self.kills_engine}", str(self.faults),
            *map(str, counts), unknown, recovery, str(self.retransmits), self.verdict,
            "; ".join(filter(None, [self.skipped, *self.notes])),
        ]  # fmt: skip


HEADINGS = (
    "scenario", "seed", "kills orderd / engine", "faults", "acknowledged", "lost", "duplicated", "reordered",
    "invented", "unknown (resolved)", "recovery ms p50 / max", "retransmits", "verdict", "notes",
)  # fmt: skip


def table(rows: Sequence[Row]) -> Table:
    """All rows and their sum."""
    found = Table(*HEADINGS)
    for row in rows:
        found.add_row(*row.cells(), style="red" if row.problems or not row.is_good else None)
    found.add_section()
    found.add_row(*total(rows).cells())
    return found


def line(row: Row) -> str:
    """A row while the campaign goes on."""
    cells = dict(zip(HEADINGS, row.cells(), strict=True))
    return ", ".join(f"{name} {text}" if name != "scenario" else text for name, text in cells.items() if text)


def total(rows: Sequence[Row]) -> Row:
    """All rows as one."""
    whole = Row("all", 0)
    for row in rows:
        for field in attrs.fields(Row):
            if isinstance(getattr(row, field.name), int) and field.name != "seed":
                setattr(whole, field.name, getattr(whole, field.name) + getattr(row, field.name))
        whole.recoveries_s += row.recoveries_s
        whole.problems += row.problems
    return whole


def write_json(rows: Sequence[Row], path: Path, **about: Any) -> None:
    """For programs: ``about`` and all rows."""
    body = {**about, "rows": [attrs.asdict(row) | {"verdict": row.verdict} for row in rows]}
    path.write_text(json.dumps(body, indent=1) + "\n")
