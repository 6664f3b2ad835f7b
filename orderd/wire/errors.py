"""What a decoder of bytes from outside may raise, and nothing else."""


class WireError(ValueError):
    """Bytes from the network that are not what they should be. Counted by the caller, never answered."""


class FrameError(WireError):
    """A datagram that is not a frame: wrong magic, length, type, or body."""


class VersionError(FrameError):
    """A frame of another version of the protocol."""


class TagError(WireError):
    """A frame whose tag does not fit: corrupted, forged, or made with another key."""


class ReportError(WireError):
    """Report items that are cut short or hold an impossible value."""
