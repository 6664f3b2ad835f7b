"""What a client of the simulation wants, until it knows how it came out. Pure.

A careful client follows docs/COMMANDS.md: what has an id is said again, in the very same words, until the answer is one
that stays; what has none is asked about. An :class:`Intent` is one command, however often it is said; :func:`judge`
says what a reply means for it.
"""

from enum import Enum
from typing import Any, Final

import attrs
import hiredis

Words = tuple[bytes, ...]


class Kind(Enum):
    """What a command is to its client; in this order it matters less and less."""

    ORDER = "order"
    """ORDER.NEW: safe to repeat, and its outcome is wanted."""
    BATCH = "batch"
    """ORDER.BATCH: likewise."""
    REQUEST = "request"
    """A cancel or replace with ``ID``: likewise."""
    LOOSE = "loose"
    """It changes something and is not safe to repeat blindly: a cancel or replace without ``ID``, a mass cancel."""
    SETTING = "setting"
    """It restricts trading or lets it go on: the same again does no harm."""
    QUERY = "query"
    """Without an answer it may as well be forgotten."""


LASTING: Final = (Kind.ORDER, Kind.BATCH, Kind.REQUEST)
"""What has an id, and a final outcome."""


class Verdict(Enum):
    """What a reply means."""

    CONFIRMED = "confirmed"
    """Final: the engine has decided, or the question is answered."""
    QUEUED = "queued"
    """Durable, not confirmed."""
    UNKNOWN = "unknown"
    LATER = "later"
    """Nothing was taken; it may be another time."""
    REFUSED = "refused"
    """Nothing was taken, for good."""


@attrs.define(eq=False)
class Intent:
    """One command and how it stands. :attr:`done` once its answer is final, or it is given up."""

    kind: Kind
    words: Words
    about: bytes = b""
    """The id of the order that it places or acts on, if there is one."""
    must_fail: bool = False
    """It is wrong in itself: every answer but an error is wrong, too."""
    tries: int = 0
    in_flight: int = 0
    """How often it is said on connections that are there, without an answer yet."""
    unsure: bool = False
    """It may have been taken: it was heard to be, or nothing was heard."""
    done: bool = False
    verdict: Verdict | None = None
    """Of the last answer."""
    last: str = "never answered"
    """The last answer, for people."""

    @property
    def is_lasting(self) -> bool:
        """Whether its outcome is wanted, and repeats are safe."""
        return self.kind in LASTING

    @property
    def in_sync(self) -> Words:
        """The same, answered only when it is confirmed. ``MODE`` is no part of what makes orders the same."""
        words = self.words
        for at in range(2, len(words) - 1):
            if words[at].upper() == b"MODE":
                return (*words[: at + 1], b"sync", *words[at + 2 :])
        return (*words, b"MODE", b"sync")

    def shown(self) -> str:
        """For people."""
        words = b" ".join(word if len(word) <= 64 else b"%d bytes" % len(word) for word in self.words)
        return f"{words.decode('ascii', 'backslashreplace')} (said {self.tries} times; {self.last})"


@attrs.define(eq=False)
class Transaction:
    """Intents that are said between MULTI and EXEC; without an EXEC they are discarded."""

    parts: list[Intent]
    discards: bool = False


@attrs.frozen(eq=False)
class Said:
    """A command that was said on a connection, at its place in it."""

    words: Words
    intent: Intent | None
    """Whose answer the reply is; None for one that is no more than a step of a transaction."""
    transaction: Transaction | None = None
    """Of EXEC: those whose answers the reply has."""


_LATER: Final = frozenset({"FULL", "THROTTLED", "HALTED", "LIMIT", "UNAVAILABLE", "EXECABORT"})
_FAREWELLS: Final = ("LIMIT reply_bytes_max", "LIMIT clients_max", "ERR Protocol error")


def is_farewell(reply: object) -> bool:
    """Whether it answers no command: the daemon says why it hangs up."""
    return isinstance(reply, hiredis.ReplyError) and str(reply).startswith(_FAREWELLS)


def value_of(pairs: Any, key: bytes) -> Any:
    """A value of pairs in either protocol; None if it is not there."""
    if isinstance(pairs, dict):
        return pairs.get(key)
    if isinstance(pairs, list):
        for at in range(0, len(pairs) - 1, 2):
            if pairs[at] == key:
                return pairs[at + 1]
    return None


def judge(intent: Intent, words: Words, reply: Any) -> Verdict:
    """What ``reply`` to ``words``, a way to say the intent, means."""
    if isinstance(reply, hiredis.ReplyError):
        return Verdict.LATER if str(reply).split(" ", 1)[0] in _LATER else Verdict.REFUSED
    if not intent.is_lasting:
        return Verdict.CONFIRMED
    status = value_of(reply, b"status")
    if status == b"UNKNOWN":
        # It was done, and only how is forgotten: said again it would be a new order.
        return Verdict.CONFIRMED if value_of(reply, b"reason") == b"FORGOTTEN" else Verdict.UNKNOWN
    if status == b"QUEUED":
        return Verdict.QUEUED
    if intent.kind is Kind.REQUEST and intent.tries > 1 and words[-1] != b"sync":
        # In mode fire-and-forget a repeat shows the order as it is, which may be from before the request.
        return Verdict.QUEUED
    return Verdict.CONFIRMED
