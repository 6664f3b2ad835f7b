"""A client program of ``orderctl demo`` as its parent sees it."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from orderd.ctl.demo.view import ClientState

RATES: Final = {"maker": 300, "taker": 150, "batch": 1000}
"""Orders a second of one client."""


class ClientProcess:
    """A client program as a child process, and a thread that reads its account."""

    def __init__(self, state: ClientState, socket: Path, seed: int) -> None:
        self.state = state
        self.final = False
        self.ready = threading.Event()
        """Set with the first account, from which on the program stops in good order, and when it ends."""
        options = {"socket": socket, "name": state.name, "role": state.role, "symbol": state.symbol}
        options |= {"mode": state.mode, "rate": RATES[state.role], "seed": seed}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        # A session of its own: Ctrl-C on the terminal is for the demo, which then stops everything in its order.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orderd.ctl.demo.client", *words],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=state.name, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        before_s, sent = time.monotonic(), 0
        for text in self._process.stdout:
            account: dict[str, Any] = json.loads(text)
            now_s = time.monotonic()
            if not account["final"] and now_s > before_s:
                self.state.orders_per_second = (account["sent"] - sent) / (now_s - before_s)
                before_s, sent = now_s, account["sent"]
            self.state.account = account
            self.final = self.final or account["final"]
            self.ready.set()
        self.ready.set()

    @property
    def running(self) -> bool:
        """Whether the program is still there."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Asks it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def join(self, wait_s: float) -> bool:
        """Waits for its end, and kills it if that takes too long; true if it ended well."""
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return self._process.returncode == 0 and self.final
