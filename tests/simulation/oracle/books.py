"""BOOK replies: each shows the book as it was at some moment between the question and the answer."""

from typing import Any

import hiredis

from tests.simulation.oracle.applied import Depth, Engine
from tests.simulation.oracle.errors import Contradiction
from tests.simulation.oracle.final import levels_of
from tests.simulation.oracle.market import BY_SYMBOL
from tests.simulation.oracle.talk import Command, Connection

DEPTH_DEFAULT = 10


class BooksTold:
    """The questions that are open, and what the book was since each of them was asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: dict[Command, list[Depth]] = {}

    def asked(self, command: Command) -> None:
        """A command was said; of all but BOOK nothing is kept."""
        if command.said.name == b"BOOK" and not command.said.is_wrong:
            self._open[command] = [self._depth(command)]

    def _depth(self, command: Command) -> Depth:
        return self._engine.depth(BY_SYMBOL[command.said.target].id)

    def changed(self) -> None:
        """The engine has committed something."""
        for command, seen in self._open.items():
            depth = self._depth(command)
            if depth != seen[-1]:
                seen.append(depth)

    def forget(self, connection: Connection) -> None:
        """Nobody hears an answer there any more."""
        for command in [one for one in self._open if one.connection is connection]:
            del self._open[command]

    def answered(self, site: str, command: Command, reply: Any, now: float) -> None:
        """A command, perhaps an EXEC, was answered."""
        if command.parts is not None and isinstance(reply, list):
            parts = [part for part in command.parts if not part.queued or part in self._open]
            for part in parts:
                self.answered(site, part, part.reply, now)
            return
        if command not in self._open or command.queued:
            return
        seen = self._open.pop(command)
        if isinstance(reply, hiredis.ReplyError):
            return
        values = reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2], strict=True))
        market = BY_SYMBOL[command.said.target]
        most = int(command.said.options.get(b"DEPTH", b"%d" % DEPTH_DEFAULT))
        found = [values[b"bids"], values[b"asks"]]
        wanted = [[levels_of(market, side, most) for side in depth] for depth in seen]
        if found not in wanted:
            raise Contradiction("book", f"{site}: {command} was answered {found} at {now:.6f}; it was {wanted}")
