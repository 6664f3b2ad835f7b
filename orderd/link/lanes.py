"""One path's frames within a connection: the tags of both directions, and packet counters of its own.

A connection has a lane for each path (compare the packet number spaces of RFC 9000, section 12.3): what is lost or
late on one path says nothing about the other, and a frame of one never fits on the other.
"""

from orderd.link.errors import ReplayedFrame
from orderd.link.replay_window import ReplayWindow
from orderd.wire import frames, tags
from orderd.wire.frames import Frame
from orderd.wire.paths import Path
from orderd.wire.tags import Direction, Sealer


class Lane:
    """Seals what goes out and lets in what is new and fits."""

    __slots__ = ("_in", "_out", "counter", "window")

    def __init__(self, path: Path, key: tuple[bytes, int, int, int, int], outgoing: Direction) -> None:
        """``key``: secret, session, epoch, nonce and boot."""
        incoming = Direction.TO_ORDERD if outgoing is Direction.TO_ENGINE else Direction.TO_ENGINE
        self._out = Sealer(tags.derive_key(*key, outgoing, path))
        self._in = Sealer(tags.derive_key(*key, incoming, path))
        self.window = ReplayWindow()
        self.counter = 0
        """Of the next frame that goes out."""

    def seal(self, frame: Frame) -> bytes:
        """The datagram; ``frame`` was made with :attr:`counter`, which is used up."""
        assert frame.counter == self.counter, "each counter is used once"
        self.counter += 1
        return self._out.seal(frame.encode())

    def open(self, datagram: bytes) -> Frame:
        """The frame in ``datagram``, which counts as seen from now on.

        Raises :class:`~orderd.wire.errors.TagError` for what the other end has not made for this lane, before anything
        of it is looked at; :class:`~orderd.wire.errors.FrameError`; or :class:`ReplayedFrame` for what came before.
        """
        self._in.check(datagram)
        frame = frames.parse(datagram)
        if not self.window.accept(frame.counter):
            raise ReplayedFrame("packet counter was seen before")
        return frame


def open_lanes(key: tuple[bytes, int, int, int, int], outgoing: Direction) -> dict[Path, Lane]:
    """The lanes of a new connection."""
    return {path: Lane(path, key, outgoing) for path in (Path.UDP, Path.GRPC)}
