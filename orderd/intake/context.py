"""What a command's handler has at hand. Pure: everything that is not is given as a value or a callable."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import attrs

from orderd.intake.pending import Pending, Waiter
from orderd.orders.desk import Desk, Mode
from orderd.wire.bodies import Level

if TYPE_CHECKING:
    from orderd.intake.command_table import Command

Info = Mapping[str, Mapping[str, object]]
"""Values by section and name, as INFO shows them."""


class BookQuery(Protocol):
    """A question about the book that is under way."""

    answer: tuple[list[Level], list[Level]] | None
    """Bids and asks, or None when the engine does not have the instrument; set before ``done`` is called."""


@attrs.define
class LiveSettings:
    """The settings that may change while the daemon runs."""

    mode: Mode
    reply_timeout: float
    """Seconds."""


@attrs.frozen
class Services:
    """The daemon's parts as the handlers see them."""

    desk: Desk
    live: LiveSettings
    info: Callable[[], Info]
    settings: Mapping[str, str]
    """Dotted key and value of each setting."""
    sent_end: Callable[[], int]
    """Order ids below it were sent, or may have been."""
    commits_wanted: Callable[[], int]
    """How many commits must be finished before what is staged now is durable."""
    ask_book: Callable[[int, int, Callable[[BookQuery], None]], object]
    """Ask the engine for an instrument's book to a depth; the callable is called with the answer."""


@attrs.define(eq=False)
class Client:
    """One connection."""

    id: int
    waiter: Waiter
    address: str
    connected_at: float
    protocol: int = 2
    name: bytes = b""
    library: dict[bytes, bytes] = attrs.field(factory=dict)
    transaction: "list[tuple[Command, list[bytes]]] | None" = None
    transaction_failed: bool = False
    transaction_bytes: int = 0
    last_command: str = ""
    commands: int = 0
    closing: bool = False
    """Close it once its replies are written."""
    killed: bool = False


@attrs.frozen
class Context:
    """One command's surroundings. Times: ``now`` in seconds of the daemon's clock, ``now_ns`` since 1970 UTC."""

    services: Services
    client: Client
    clients: Mapping[int, Client]
    now: float
    now_ns: int
    settle_later: Callable[[Pending], None]
    """Settle the reply of this client outside of the marks."""
    in_transaction: bool = False

    @property
    def desk(self) -> Desk:
        return self.services.desk

    @property
    def deadline(self) -> float:
        """When a reply that has not come is UNKNOWN."""
        return self.now + self.services.live.reply_timeout
