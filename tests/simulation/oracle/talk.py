"""What clients of one host have said and heard, and which of it may have changed something.

Equal commands share an :class:`Origin`. Each attempt that was not answered by an error may have been taken; an error
says that nothing of that very attempt was.
"""

from typing import Any, Final

import attrs

from tests.simulation.oracle.said import Key, Said, Words, read

AT_ONCE: Final = (b"MULTI", b"EXEC", b"DISCARD", b"RESET", b"QUIT")
"""Done even between MULTI and EXEC."""


@attrs.define(eq=False)
class Origin:
    """Equal commands."""

    key: Key
    attempts: list["Command"] = attrs.field(factory=list)
    refused: int = 0
    rows: list[int] = attrs.field(factory=list)
    """Order ids of what was journaled of them, the first of each time."""

    @property
    def possible(self) -> int:
        """Attempts that may have been taken."""
        return len(self.attempts) - self.refused

    @property
    def sole(self) -> "Command | None":
        """The attempt that must be it, if there is but one."""
        if len(self.attempts) == 1:
            return self.attempts[0]
        left = [one for one in self.attempts if not one.refused]
        return left[0] if len(left) == 1 else None


@attrs.define(eq=False)
class Connection:
    """One, from its beginning to its end."""

    number: int
    life: int
    """Of its daemon."""
    said: list["Command"] = attrs.field(factory=list)
    multi: list["Command"] | None = None
    ended: bool = False
    may_guard: bool = False
    """Whether it has ever asked to be guarded."""
    is_guarded: bool = False
    """Whether it was told that it is."""
    may_release: bool = False
    """Whether it has ever asked that what is guarded be released."""
    last_number: int = -1
    """Of the command whose record was journaled last, where that is known, and its order id."""
    last_order_id: int = 0
    stream: int | None = None
    """The last execution that was pushed; None if nothing is known."""
    stream_from: int = 0
    """Those that are pushed are behind it."""
    stream_account: str | None = None
    subscribed: bool = False
    guarding: "Command | None" = None
    """The last that asked for a guard, or for none."""


@attrs.define(eq=False)
class Command:
    """One attempt."""

    connection: Connection
    number: int
    words: Words
    said: Said
    tick: int
    at: float
    origin: Origin | None = None
    parts: list["Command"] | None = None
    """Of EXEC."""
    transaction: "Command | None" = None
    """The EXEC that it is done by, if it is between MULTI and EXEC."""
    queued: bool = False
    whole: bool = False
    told: bool = False
    refused: bool = False
    must_guard: bool = False
    reply: Any = None
    told_at: float = 0.0
    executions: int = 0
    """Those that were durable, as orderd knew, when it was said."""
    rows: int = 0
    """The records likewise."""
    commit: int = -1
    """Of EXEC: the commit that holds what it did."""

    def __str__(self) -> str:
        words = b" ".join(w if len(w) <= 64 else b"<%d bytes>" % len(w) for w in self.words)
        text = words.decode("ascii", "backslashreplace")
        return f"`{text}` (connection {self.connection.number}, command {self.number}, said at {self.at:.6f})"


@attrs.define(eq=False)
class Talk:
    """All of a host."""

    site: str
    connections: dict[int, Connection] = attrs.field(factory=dict)
    origins: dict[Key, Origin] = attrs.field(factory=dict)
    modes: int = 0
    """How often somebody asked for another mode."""
    commands: int = 0

    def connected(self, number: int, life: int) -> None:
        """A connection is there."""
        self.connections[number] = Connection(number, life)

    def sent(self, number: int, index: int, words: Words, tick: int, now: float) -> Command:
        """A command has begun to be said."""
        connection = self.connections[number]
        command = Command(connection, index, words, read(words), tick, now)
        connection.said.append(command)
        self.commands += 1
        name = command.said.name
        if connection.multi is not None and name not in AT_ONCE:
            connection.multi.append(command)
            command.queued = True
        elif name in AT_ONCE and len(words) == 1:
            self._step(connection, command)
        if command.said.key is not None and not command.said.is_wrong:
            self._register(command)
        if name == b"MODE" and len(words) > 1:
            self.modes += 1
        elif name == b"CLIENT" and len(words) == 3:
            self._guard(connection, command)
        command.must_guard = connection.is_guarded
        return command

    def _step(self, connection: Connection, command: Command) -> None:
        name = command.said.name
        if name == b"MULTI":
            connection.multi = connection.multi if connection.multi is not None else []
            return
        if name == b"EXEC":
            command.parts = connection.multi
            for part in connection.multi or ():
                part.transaction, part.tick, part.at = command, command.tick, command.at
        else:
            for part in connection.multi or ():
                self.refuse(part)
        connection.multi = None
        if name == b"RESET":
            connection.is_guarded, connection.guarding = False, None

    def _register(self, command: Command) -> None:
        key = command.said.key
        assert key is not None
        origin = self.origins.get(key)
        if origin is None:
            origin = self.origins[key] = Origin(key)
        origin.attempts.append(command)
        command.origin = origin

    def _guard(self, connection: Connection, command: Command) -> None:
        option, value = command.words[1].upper(), command.words[2].upper()
        if option not in (b"CANCELONDISCONNECT", b"DEADMAN"):
            return
        # Until it is answered nobody knows whether it is on.
        connection.is_guarded, connection.guarding = False, command
        if value in (b"OFF", b"0"):
            connection.may_release = True
        else:
            connection.may_guard = True

    def refuse(self, command: Command) -> None:
        """Nothing of it was taken."""
        if not command.refused:
            command.refused = True
            if command.origin is not None:
                command.origin.refused += 1
