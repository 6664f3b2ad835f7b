"""Feeding the service manager's watchdog, which restarts a daemon that it has not heard of for too long.

What is told is that the daemon can do its work, not that a timer runs: the loop has come round to this task, and the
journal has taken its lock, crossed to its worker thread and had the disk answer. A loop that is stuck, a commit that
never ends and a disk that hangs all end the feeding.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from orderd.runtime.log import get_logger
from orderd.runtime.notify import Notifier

FEEDS_PER_PERIOD: Final = 3
"""One feed may be late, or lost, before the manager acts."""

log = get_logger("watchdog")


async def feed(notifier: Notifier, prove_alive: Callable[[], Awaitable[object]]) -> None:
    """Until cancelled. Returns at once if nobody wants to be fed. Raises what ``prove_alive`` raises.

    ``prove_alive`` may be cancelled while it waits for its turn. Once its disk hangs it cannot: then this task waits
    with it, silent, and what ends both is the manager.
    """
    if notifier.watchdog_s is None:
        return
    interval_s = notifier.watchdog_s / FEEDS_PER_PERIOD
    next_at = trio.current_time()
    while True:
        with trio.move_on_after(interval_s) as patience:
            await prove_alive()
        # Told at once, since the process may be about to be killed for it.
        if patience.cancelled_caught:
            log.warning("the journal does not answer", waited_s=round(interval_s, 3))
        else:
            notifier.send("WATCHDOG=1")
        next_at = max(next_at + interval_s, trio.current_time())
        await trio.sleep_until(next_at)
