"""Every number that travels or is on disk is in docs/PROTOCOL.md or docs/JOURNAL.md, under the name it has here."""

import re
from enum import IntEnum
from pathlib import Path
from typing import Final

import pytest

from engine.inputs import InputKind
from orderd.orders.entries import EntryKind
from orderd.wire.bodies import Refusal
from orderd.wire.frames import FrameType
from orderd.wire.records import Attribute, Kind
from orderd.wire.reports import ExecType, OrderStatus, Reason

DOCS: Final = Path(__file__).resolve().parents[1] / "docs"
ROW: Final = re.compile(r"^\| (\d+)(?: \| `| )([A-Z_]+)`? \|", re.MULTILINE)


def tables(name: str, heading: str) -> list[list[tuple[int, str]]]:
    """Numbers and names of the tables of a page whose first line begins with ``heading``."""
    parts = (DOCS / name).read_text().split(f"| {heading} |")[1:]
    return [[(int(number), word) for number, word in ROW.findall(part.split("\n\n")[0])] for part in parts]


def numbers(enum: type[IntEnum]) -> list[tuple[int, str]]:
    return [(member.value, member.name) for member in enum]


@pytest.mark.parametrize(
    ("heading", "enum"),
    [
        ("type | name", FrameType),
        ("code | name", Refusal),
        ("kind | name", Kind),
        ("attribute | FIX tag", Attribute),
        ("exec type | name", ExecType),
        ("reason | name", Reason),
    ],
)
def test_the_protocols_page_has_every_number(heading: str, enum: type[IntEnum]) -> None:
    assert tables("PROTOCOL.md", heading) == [numbers(enum)]


def test_the_protocols_page_has_every_status_that_travels() -> None:
    assert tables("PROTOCOL.md", "status | name") == [[pair for pair in numbers(OrderStatus) if pair[0] > 1]]


def test_the_journals_page_has_every_kind_of_record_of_both_daemons() -> None:
    assert tables("JOURNAL.md", "kind | name") == [numbers(EntryKind), numbers(InputKind)]
