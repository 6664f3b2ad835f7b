"""What a command's handler has at hand. Pure: everything that is not is given as a value or a callable."""

from collections.abc import Callable, Mapping
from math import inf
from typing import TYPE_CHECKING, Protocol

import attrs

from orderd.intake.access import AccessRules, Peer, Role
from orderd.intake.execution_feed import ExecutionFeed
from orderd.intake.pending import Pending, Waiter
from orderd.intake.subscriptions import Subscriptions
from orderd.orders.desk import Desk
from orderd.orders.modes import Mode
from orderd.orders.risk.limits import RiskLimits
from orderd.orders.shares import Owner
from orderd.wire.bodies import Level

if TYPE_CHECKING:
    from orderd.intake.command_table import Command
    from orderd.intake.guarding import Guarding

Info = Mapping[str, Mapping[str, object]]
"""Values by section and name, as INFO shows them."""


class BookQuery(Protocol):
    """A question about the book that is under way."""

    answer: tuple[list[Level], list[Level]] | None
    """Bids and asks, or None when the engine does not have the instrument; set before ``done`` is called."""


@attrs.define
class LiveSettings:
    """The settings in force, in the terms of commands. Only their owner changes them, all at once."""

    mode: Mode
    reply_timeout: float
    """Seconds."""
    access: AccessRules = attrs.field(factory=AccessRules)
    shown: Mapping[str, str] = attrs.field(factory=dict)
    """Dotted key and value of each setting."""
    risk: RiskLimits = attrs.field(factory=RiskLimits)

    def take(self, new: "LiveSettings") -> None:
        """Be as ``new`` from now on."""
        self.mode, self.reply_timeout, self.access, self.shown = new.mode, new.reply_timeout, new.access, new.shown
        self.risk = new.risk


class SettingsControl(Protocol):
    """The owner of the settings, as commands see it."""

    def set_mode(self, mode: Mode, by: str) -> None:
        """Put ``mode`` in force at once; ``by`` says who, for the log."""

    def ask_reload(self, by: str, done: Callable[[str | None], None]) -> None:
        """Read the settings again; ``done`` is called with why the old ones stay, or None when the new are in force."""


@attrs.frozen
class Services:
    """The daemon's parts as the handlers see them."""

    desk: Desk
    live: LiveSettings
    info: Callable[[], Info]
    control: SettingsControl
    guarding: "Guarding"
    sent_end: Callable[[], int]
    """Order ids below it were sent, or may have been."""
    is_confirming: Callable[[], bool]
    """Whether an engine is there that confirms what is sent."""
    commits_wanted: Callable[[], int]
    """How many commits must be finished before what is staged now is durable."""
    ask_book: Callable[[int, int, Callable[[BookQuery], None]], object]
    """Ask the engine for an instrument's book to a depth; the callable is called with the answer."""
    executions: ExecutionFeed
    subscriptions: Subscriptions


@attrs.define(eq=False)
class Client:
    """One connection."""

    id: int
    waiter: Waiter
    peer: Peer
    role: Role
    connected_at: float
    user: str = ""
    """Name of the peer's user; the number until it is known."""
    protocol: int = 2
    name: bytes = b""
    library: dict[bytes, bytes] = attrs.field(factory=dict)
    owner: Owner = attrs.field(factory=Owner)
    """What it holds of the bounds that are shared, and the guard that its orders are in."""
    cancel_on_disconnect: bool = False
    deadman_ms: int = 0
    """How long it may send no command before its guarded orders are cancelled; 0 for ever."""
    deadman_at: float = inf
    """When that is looked at next."""
    heard_at: float = 0.0
    """When its last command came, in seconds of the daemon's clock."""
    is_silent: bool = False
    """Whether its orders were cancelled since then."""
    gave_up_at: int = 0
    """What was confirmed when it had let others go first in vain."""
    has_told_much: bool = False
    """Whether its last command took as long as many others."""
    is_busy: bool = False
    """Whether commands of it are being done."""
    transaction: "list[tuple[Command, list[bytes]]] | None" = None
    transaction_failed: bool = False
    transaction_bytes: int = 0
    transaction_answers: int = 0
    """Queued commands whose replies EXEC makes on the spot."""
    last_command: str = ""
    commands: int = 0
    closing: bool = False
    """Close it once its replies are written."""
    killed: bool = False
    subscriptions_ended: int = 0
    """Grows when a subscription, or the wish for one, comes to its end."""
    looked: dict[int, tuple[int, int]] = attrs.field(factory=dict)
    """By account: behind the first of these executions there is none of it up to the second."""

    def __attrs_post_init__(self) -> None:
        self.user = self.user or str(self.peer.uid)


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
