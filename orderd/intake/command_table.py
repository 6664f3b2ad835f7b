"""The one table of commands: what is parsed, dispatched, told by COMMAND and written in docs/COMMANDS.md. Pure."""

from collections.abc import Callable, Generator, Iterator
from types import GeneratorType
from typing import Final, cast

import attrs

from orderd.intake import replies
from orderd.intake.access import ROLE_NAMES, Role
from orderd.intake.context import Context
from orderd.intake.pending import DuplicateReply, Pending
from orderd.orders.errors import Duplicate, Refused

Reply = bytes | Pending
Handler = Callable[[Context, list[bytes]], Reply | list[Reply] | Generator[bool | None, None, Reply | list[Reply]]]
"""Takes the words behind the command's name. A generator pauses where others may have their turn; a true value says
that from there on it is one piece: nobody else places anything.

May raise :class:`orderd.orders.errors.Refused`.
"""


@attrs.frozen
class Command:
    """``name`` may be two words. ``arity`` as Redis counts it: all words, negative for at least so many."""

    name: str
    arity: int
    role: Role
    group: str
    arguments: str
    summary: str
    reply: str
    handler: Handler
    example: str = ""
    immediate: bool = False
    """Whether it is done at once within MULTI too, instead of being queued."""
    role_with_arguments: Role | None = None
    """The role that the form with arguments needs, where asking and setting are one name."""
    asks_with: bytes = b""
    """A form whose first argument is this word only asks, too."""

    may_close: bool = attrs.field(init=False)
    """Whether a client may be closed by it."""
    takes_turns: bool = attrs.field(init=False)
    """Whether it may place something, and so waits while others have their turn."""

    @may_close.default
    def _closes(self) -> bool:
        return self.name in ("CLIENT KILL", "EXEC")

    @takes_turns.default
    def _places(self) -> bool:
        return self.role is Role.TRADE or self.name == "EXEC"

    def role_for(self, args: list[bytes]) -> Role:
        """What a connection must be allowed to do for this command with these words behind its name."""
        if not args or self.role_with_arguments is None or args[0].upper() == self.asks_with:
            return self.role
        return self.role_with_arguments

    def takes(self, words: int) -> bool:
        """Whether a request of so many words, the name's included, has the right number."""
        return words == self.arity if self.arity > 0 else words >= -self.arity


class CommandTable:
    """Commands by name; case of the words does not matter."""

    def __init__(self) -> None:
        self._commands: dict[bytes, Command] = {}
        self._containers: set[bytes] = set()

    def __iter__(self) -> Iterator[Command]:
        return iter(self._commands.values())

    def __len__(self) -> int:
        return len(self._commands)

    def add(
        self,
        name: str,
        arity: int,
        *,
        role: Role,
        group: str,
        arguments: str = "",
        summary: str,
        reply: str,
        example: str = "",
        immediate: bool = False,
        role_with_arguments: Role | None = None,
        asks_with: bytes = b"",
    ) -> Callable[[Handler], Handler]:
        """Decorator: ``handler`` is what ``name`` does."""

        def register(handler: Handler) -> Handler:
            command = Command(
                name, arity, role, group, arguments, summary, reply, handler, example, immediate, role_with_arguments,
                asks_with,
            )  # fmt: skip
            self._commands[name.encode()] = command
            if " " in name:
                self._containers.add(name.partition(" ")[0].encode())
            return handler

        return register

    def find(self, words: list[bytes]) -> tuple[Command, int] | None:
        """The command that ``words`` ask for and how many of them are its name."""
        first = words[0].upper()
        if first in self._containers and len(words) > 1:
            command = self._commands.get(first + b" " + words[1].upper())
            if command is not None:
                return command, 2
        # Two words in one are neither of them.
        command = self._commands.get(first) if b" " not in first else None
        return (command, 1) if command is not None else None

    def by_name(self, name: bytes) -> Command | None:
        """``name`` as one of the table's names, in any case; a container's with ``|`` or a space."""
        return self._commands.get(name.upper().replace(b"|", b" "))


TABLE: Final = CommandTable()
"""Filled by the modules that hold the handlers."""


Steps = Generator[bool | None, None, list[Reply]]
"""A command that is being done: others may have their turn at each yield; returns the replies."""


def run(context: Context, command: Command, args: list[bytes]) -> list[Reply] | Steps:
    """Do ``command``, or begin to; a refusal is its reply."""
    context.client.last_command = command.name.lower()
    try:
        reply = command.handler(context, args)
    except Refused as refused:
        return [_refusal(context, refused)]
    if isinstance(reply, list):
        return reply
    if isinstance(reply, GeneratorType):
        return _guarded(context, reply)
    return [cast("Reply", reply)]


def not_permitted(command: Command, args: list[bytes], role: Role) -> bytes | None:
    """The refusal of ``command`` to a connection of this ``role``, or None if it may."""
    needed = command.role if command.role_with_arguments is None else command.role_for(args)
    if role >= needed:
        return None
    return replies.error("NOPERM", f"this connection may not {command.name}: it needs the role {ROLE_NAMES[needed]}")


def finish(outcome: list[Reply] | Steps) -> list[Reply]:
    """The replies of what :func:`run` did or began, with nobody's turn in between."""
    if isinstance(outcome, list):
        return outcome
    while True:
        try:
            next(outcome)
        except StopIteration as end:
            found: list[Reply] = end.value
            return found


def _guarded(context: Context, steps: Generator[bool | None, None, Reply | list[Reply]]) -> Steps:
    try:
        reply = yield from steps
        return reply if isinstance(reply, list) else [reply]
    except Refused as refused:
        return [_refusal(context, refused)]


def _refusal(context: Context, refused: Refused) -> Reply:
    error = replies.error(refused.word, str(refused))
    if not isinstance(refused, Duplicate):
        return error
    otherwise = replies.error("UNAVAILABLE", f"{refused}, if the journal takes it; nothing of this was taken")
    return DuplicateReply(context.client.protocol, refused.row, context.deadline, error, otherwise)
