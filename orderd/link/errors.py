"""What can end a link for good, told apart by whose fault it is."""

from orderd.wire.errors import WireError


class StrayFrame(WireError):
    """A well-formed frame of another session, epoch, process or engine boot, or of the wrong type here. Dropped."""


class ReplayedFrame(WireError):
    """A packet counter that was seen before: the network doubled the datagram, or somebody replays it. Dropped."""


class LinkError(Exception):
    """The link cannot go on; both ends must be looked at by a person."""


class EngineLostState(LinkError):
    """The engine no longer knows what it confirmed.

    It runs on an older or an empty journal, or it is another engine.
    """


class AnotherEngine(EngineLostState):
    """Not the engine that this journal works with."""


class JournalLostTail(LinkError):
    """The engine has executed more than the journal holds: the journal is an older copy or lost what it had synced."""


class SessionRefused(LinkError):
    """The engine refuses the session for a reason that a retry cannot mend.

    ``is_fencing``: because another orderd runs on this journal or a copy of it.
    """

    def __init__(self, message: str, *, is_fencing: bool = False) -> None:
        super().__init__(message)
        self.is_fencing = is_fencing
