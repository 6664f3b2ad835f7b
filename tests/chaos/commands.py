"""A command as a client sent it, what it was told, and which records of the engine's journal it stands for. Pure.

What is expected is made here from docs/PROTOCOL.md, not from the daemon's code: the check must not share its mistakes.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

import attrs

from tests.support.resp_client import RespError, Word

Fields = tuple[int, int, int, int, int, int, int]
"""Of a record: number, price, quantity, instrument, account, kind, flags."""
Pairs = Mapping[str, str]
Key = tuple[int, ...]
"""What a record is known by: no two that clients send have the same."""

TEXT_NUMBER: Final = 2**63
VOID, NEW, CANCEL, REPLACE, EXTENSION = 0, 1, 2, 3, 6
DONE: Final = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")


class Duty(Enum):
    """What a client may rely on after all it was told."""

    MUST = "it was acknowledged, so it is in the journal, once"
    MAY = "nobody knows, and nobody was told that he knows"
    MUST_NOT = "it was refused, so nothing of it was journaled"


@attrs.define(eq=False)
class Command:
    """``records`` have number 0 where orderd gives it: that of the order itself, or of ``target``, which it acts on."""

    name: str
    words: tuple[Word, ...]
    records: tuple[Fields, ...]
    target: "Command | None" = None
    is_batch: bool = False
    may_expire: bool = False
    """It has a MAXAGE: what is journaled may be a VOID."""
    replaces: int = 0
    """Replaces of this order so far."""
    reply: "Pairs | RespError | None" = None
    order_id: int = 0
    """Of an order that is known to be on disk."""
    told_unknown: bool = False
    unknown_reason: str = ""

    @property
    def kind(self) -> int:
        """Of the last record: what it is all about."""
        return self.records[-1][5]

    @property
    def places(self) -> bool:
        """Whether it is one order with a name of its own."""
        return not self.is_batch and self.kind == NEW

    @property
    def weight(self) -> int:
        """How many orders, cancels and replaces it is."""
        return len(self.records) if self.is_batch else 1

    def note(self, reply: Pairs | RespError) -> None:
        """The daemon's answer. An UNKNOWN stays in mind when it is asked for later."""
        if isinstance(reply, RespError):
            self.reply = reply
            return
        is_unknown = reply["status"] == "UNKNOWN"
        self.told_unknown |= is_unknown
        self.unknown_reason = reply["reason"] if is_unknown else ""
        self.reply = reply
        if not self.is_batch and self.kind == NEW:
            self.order_id = int(reply["order_id"])

    @property
    def duty(self) -> Duty:
        """From the reply. An UNKNOWN is honest about the outcome, and promises that an order with a number lives on."""
        if self.reply is None:
            return Duty.MAY
        if isinstance(self.reply, RespError):
            return Duty.MUST_NOT
        is_sure = "0" not in (self.reply.get("order_id"), self.reply.get("first_order_id"))
        if not is_sure or self.unknown_reason == "JOURNAL" or self.reply.get("reason") == "TOO_LATE":
            return Duty.MAY
        return Duty.MUST

    def number(self) -> int:
        """That the order travels under, once it is known; else 0."""
        return self.records[-1][0] or (self.order_id and TEXT_NUMBER + self.order_id)

    def expected(self) -> tuple[Fields, ...] | None:
        """Its records as they must be in the journal; None as long as their number is not known."""
        if self.is_batch:
            return self.records
        number = (self.target or self).number()
        return tuple((number, *fields[1:]) for fields in self.records) if number else None


def key_of(fields: Fields) -> Key:
    """The key of a record, sent or journaled."""
    number, price, quantity, _, _, kind, flags = fields
    if kind in (VOID, NEW):
        return NEW, number
    if kind == EXTENSION:
        return EXTENSION, number, flags
    return (CANCEL, number) if kind == CANCEL else (kind, number, price, quantity)
