"""What a client of orderd may meet; all of it is a :class:`ClientError`. Pure.

Three kinds that call for different things: :class:`Refused` is the daemon's word that nothing of a command was taken;
:class:`Unanswered` says that nobody knows yet, and that the same request may be made again; :class:`ProtocolViolation`
is an answer that no orderd gives. What a program itself does wrong is a TypeError or ValueError, as anywhere in Python.
"""

from typing import Any, Final


class ClientError(Exception):
    """Base of the family."""


class ProtocolViolation(ClientError):
    """What came is not RESP, or not a reply of orderd. The connection it came on is closed."""


class Unanswered(ClientError):
    """No answer within the client's ``retry_s``: the request may have been taken or not.

    ``request`` is the request with its ids. Making it again, by ``client.call(error.request)`` or with the same ids in
    another process, is safe, and tells the first outcome if there was one. For a command that has no id
    (``client.command``) ``request.is_repeatable`` is false: ask how things are before making it again.
    """

    def __init__(self, message: str, request: Any) -> None:
        super().__init__(message)
        self.request = request


class Forgotten(ClientError):
    """The order was done, and forgotten by the daemon before its reply could be made. Its executions tell the rest."""

    def __init__(self, order_id: int) -> None:
        super().__init__(f"order {order_id} was done and forgotten before its reply was made")
        self.order_id = order_id


class Refused(ClientError):
    """The daemon answered with an error: nothing of the command was taken. ``word`` is the first word of its text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.word, _, self.text = message.partition(" ")


class CommandError(Refused):
    """``-ERR``, ``-EXECABORT``, ``-NOPROTO`` and words of a later release: no command that exists in this form."""


class BadOrder(Refused):
    """A value does not fit, or a word is not supported; the text names it."""


class Duplicate(Refused):
    """The id is known and stands for something else."""


class NotFound(Refused):
    """No order of that id is remembered."""


class LimitExceeded(Refused):
    """A limit is exceeded; the text has its name, the value and the bound."""


class Throttled(Refused):
    """This connection sends more than its share; the text has rate or count and bound."""


class Halted(Refused):
    """Trading is halted or reducing, and this could trade. Cancels pass."""


class Full(Refused):
    """A bound of the daemon is reached. Try again later; cancels have their own room."""


class NotPermitted(Refused):
    """The user of this process has not the role that the text names."""


class Unavailable(Refused):
    """The engine or the journal did not answer in time; no order was taken."""


class Trimmed(Refused):
    """The executions at that position are gone, or it is one that this daemon never reached, having another journal.

    ``first_id`` is the first one that is kept.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        first = self.text.partition(" ")[0]
        self.first_id = int(first) if first.isascii() and first.isdigit() and len(first) < 20 else 0


_WORDS: Final[dict[str, type[Refused]]] = {
    "BADORDER": BadOrder,
    "DUPLICATE": Duplicate,
    "NOTFOUND": NotFound,
    "LIMIT": LimitExceeded,
    "THROTTLED": Throttled,
    "HALTED": Halted,
    "FULL": Full,
    "NOPERM": NotPermitted,
    "TRIMMED": Trimmed,
    "UNAVAILABLE": Unavailable,
}


def refusal(message: str) -> Refused:
    """The error that an error reply, without its ``-``, stands for."""
    return _WORDS.get(message.partition(" ")[0], CommandError)(message)
