"""A time zone of a test's own, by whose clock a moment is a full minute: days end at one, and no test can wait for it.

The file is TZif version 1 (RFC 9636) with one type of local time and no transitions.
"""

import struct
from collections.abc import Mapping
from pathlib import Path

NAME = "Test/Own"
NOON = 12 * 3600


def noon_at(directory: Path, moment_s: int) -> Mapping[str, str]:
    """Make a zone in which it is 12:00:00 at ``moment_s`` since 1970 UTC; the environment in which it is known."""
    offset = (NOON - moment_s) % 86_400
    if offset > NOON:
        offset -= 86_400
    header = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4)
    path = directory / "zones" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + struct.pack(">lBB", offset, 0, 0) + b"OWN\0")
    return {"PYTHONTZPATH": str(directory / "zones")}
