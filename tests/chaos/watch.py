"""A reader of the stream of executions beside the load: nothing that it was shown may ever change.

It connects again whenever the daemon is gone, and then reads again some of what it has. It also keeps the sum of
counters over all starts of orderd, which begin at 0 with each.
"""

import threading
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.chaos.load import RECONNECT_PAUSE_S
from tests.support.resp_client import EXECUTIONS_AT_ONCE, RespClient

AGAIN: Final = 200
BLOCK_MS: Final = 40
COUNTERS: Final = ("udp_retransmits_total", "udp_datagrams_rejected_total", "udp_batches_sent_total")


class Tail(threading.Thread):
    """Look at it after :meth:`finish`."""

    def __init__(self, path: Path) -> None:
        super().__init__(name="tail", daemon=True)
        self.seen: dict[int, Any] = {}
        """Executions by id, as they were shown first."""
        self.changed: list[int] = []
        """Ids of executions that were another one later."""
        self.counters: Counter[str] = Counter()
        self.states: set[str] = set()
        self._path = path
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.is_set():
            last: dict[str, int] = {}
            try:
                with RespClient(self._path) as client:
                    self._follow(client, last)
            except (OSError, EOFError):
                self._stopping.wait(RECONNECT_PAUSE_S)
            self.counters.update(last)

    def finish(self) -> None:
        """End it."""
        self._stopping.set()
        self.join(30)

    def _follow(self, client: RespClient, last: dict[str, int]) -> None:
        after = max(0, len(self.seen) - AGAIN)
        while not self._stopping.is_set():
            page = client.call("EXEC.READ", after, "COUNT", EXECUTIONS_AT_ONCE, "BLOCK", BLOCK_MS)
            for exec_id, pairs in page or ():
                self.show(int(exec_id), pairs)
                after = int(exec_id)
            info = client.info()
            self.states.add(info["transport_state"])
            last.update({name: int(info[name]) for name in COUNTERS})

    def show(self, exec_id: int, pairs: Any) -> None:
        """An execution, for the first time or again."""
        if self.seen.setdefault(exec_id, pairs) != pairs:
            self.changed.append(exec_id)
