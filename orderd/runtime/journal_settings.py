"""The ``[journal]`` table, the same in both daemons' files."""

from typing import Final, Literal

import attrs

from orderd.runtime import fields

SEGMENT_BYTES_MIN: Final = 4096


def check_directory(value: str) -> str | None:
    """What is wrong with the name of a directory, for :func:`orderd.runtime.fields.text`."""
    return None if value else "must be the path of a directory"


@attrs.frozen
class JournalSettings:
    """Where and how a daemon keeps its journal. ``backend = "memory"`` keeps nothing and looks at no other key."""

    backend: Literal["file", "memory"] = fields.choice("file", "file", "memory")
    directory: str = fields.text("/var/lib/orderd/journal", check_directory)
    durability: Literal["commit", "interval", "none"] = fields.choice("commit", "commit", "interval", "none")
    interval_ms: int = fields.integer(1000, 1, 60_000)
    segment_bytes: int = fields.integer(67_108_864, SEGMENT_BYTES_MIN, 2**32)
