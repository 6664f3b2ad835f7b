"""The child process that makes a snapshot beside its engine: started, listened to, and never left behind.

Decides nothing. What the child does is :mod:`engine.snapshot_maker`; when one is wanted is said by
:mod:`engine.snapshot_keeper`.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Final

import trio

from engine.snapshot_maker import Made
from orderd.journal.segment import Position

CHILD_TIMEOUT_S: Final = 6 * 3600.0
OUTPUT_BYTES_MAX: Final = 65_536


class ChildFailed(Exception):
    """The child ended without a snapshot."""


def child_command(directory: str, position: Position) -> list[str]:
    """Makes the snapshot at ``position``; ends when its standard input does."""
    words = ["snapshot", "--directory", directory, "--before", str(position.index), "--child"]
    return [sys.executable, "-P", "-m", "engine", *words]


async def make_in_child(
    directory: str, position: Position, command: Callable[[str, Position], Sequence[str]] = child_command
) -> Made:
    """Killed when this is cancelled. Raises :class:`ChildFailed`, OSError."""
    # Its complaints go where ours go. A session of its own: a Ctrl-C at the terminal is for the engine alone.
    process = await trio.lowlevel.open_process(
        list(command(directory, position)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    output = b""
    try:
        with trio.move_on_after(CHILD_TIMEOUT_S):
            async for piece in process.stdout:
                output += piece[: OUTPUT_BYTES_MAX - len(output)]
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()
    if process.returncode != 0:
        raise ChildFailed(f"its process ended with code {process.returncode}")
    try:
        made = Made.decode(output)
    except ValueError as error:
        raise ChildFailed(str(error)) from None
    if made.index != position.index:
        raise ChildFailed(f"it was made before segment {made.index}, not {position.index}")
    return made
