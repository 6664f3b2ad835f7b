"""The client of orderd for Python programs: ``Client`` blocks, :class:`orderd.client.trio.TrioClient` is for trio.

The core is pure: ``requests`` makes commands of typed values, ``replies`` makes typed values of answers, and
``conversation`` knows what is to be sent, what an answer belongs to, and what is to be sent again after a break.
``line`` and ``trio_line`` are the shells that own a socket. Nothing of the daemon is used but how records and decimals
look, and the daemon uses nothing of this. docs/CLIENT.md shows how to use it.
"""

from orderd.client.blocking import Client, Executions
from orderd.client.errors import (
    BadOrder,
    ClientError,
    CommandError,
    Duplicate,
    Forgotten,
    Full,
    Halted,
    LimitExceeded,
    NotFound,
    NotPermitted,
    ProtocolViolation,
    Refused,
    Throttled,
    Trimmed,
    Unanswered,
    Unavailable,
)
from orderd.client.replies import (
    BatchOutcome,
    Book,
    BookLevel,
    Execution,
    Instrument,
    MassCancelOutcome,
    Order,
    Position,
)
from orderd.client.values import ExecType, Mode, NewOrder, SelfTradePrevention, Side, Status, TimeInForce

__all__ = [
    "BadOrder",
    "BatchOutcome",
    "Book",
    "BookLevel",
    "Client",
    "ClientError",
    "CommandError",
    "Duplicate",
    "ExecType",
    "Execution",
    "Executions",
    "Forgotten",
    "Full",
    "Halted",
    "Instrument",
    "LimitExceeded",
    "MassCancelOutcome",
    "Mode",
    "NewOrder",
    "NotFound",
    "NotPermitted",
    "Order",
    "Position",
    "ProtocolViolation",
    "Refused",
    "SelfTradePrevention",
    "Side",
    "Status",
    "Throttled",
    "TimeInForce",
    "Trimmed",
    "Unanswered",
    "Unavailable",
]
