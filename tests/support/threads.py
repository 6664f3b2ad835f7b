"""What takes the place of worker threads where there must be none."""

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


async def run_here(
    function: Callable[..., T],
    /,
    *args: object,
    abandon_on_cancel: bool = False,
    limiter: trio.CapacityLimiter | None = None,
) -> T:
    """Calls it in the loop, a task switch later: a clock that jumps when all tasks wait would not wait for a thread."""
    await trio.lowlevel.checkpoint()
    return function(*args)
