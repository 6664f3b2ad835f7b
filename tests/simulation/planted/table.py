"""Which seeds catch which bug: ``seeds.toml``, written by the search and read by the tests."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

FILE: Final = Path(__file__).with_name("seeds.toml")
_HEAD: Final = "# Seeds whose worlds catch each planted bug: written by `make planted FIND=1`.\n"


@attrs.frozen
class Record:
    """What is known of one bug."""

    seeds: tuple[int, ...]
    """The first ones that catch it."""
    rule: str
    """Of the oracle, or the error that ended the world, with the first of these."""
    caught: int
    """So many worlds caught it ..."""
    of: int
    """... of the seeds from 1 to this."""

    @property
    def tries(self) -> int:
        """Seeds that were run until it was caught."""
        return self.seeds[0]


def load() -> dict[str, Record]:
    """By name."""
    with FILE.open("rb") as file:
        found = tomllib.load(file)
    return {name: Record(tuple(r["seeds"]), r["rule"], r["caught"], r["of"]) for name, r in found.items()}


def save(records: Mapping[str, Record]) -> None:
    """All of them, in the order of their names."""
    text = _HEAD
    for name, record in sorted(records.items()):
        text += f'\n[{name}]\nseeds = {list(record.seeds)}\nrule = "{record.rule}"\n'
        text += f"caught = {record.caught}\nof = {record.of}\n"
    FILE.write_text(text, encoding="utf-8")
