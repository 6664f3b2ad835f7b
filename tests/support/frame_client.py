"""Frames of one session made by hand, without the link: what an orderd would send over gRPC."""

import attrs

from orderd.wire import bodies, frames, tags
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import Report, iter_reports
from orderd.wire.tags import Direction, Sealer


@attrs.define
class FrameClient:
    """One start of orderd. ``instruments``: digests by id."""

    instruments: dict[int, bytes]
    secret: bytes = b""
    session: int = 9
    epoch: int = 1
    nonce: int = 5
    path: Path = Path.GRPC
    boot: int = 0
    next_sequence: int = 1
    _counter: int = 0
    _hellos: int = 0

    def hello(self) -> bytes:
        self._hellos += 1
        body = bodies.Hello(self.nonce, self.instruments, 1472).encode()
        frame = Frame(FrameType.HELLO, self.session, self.epoch, self._hellos, ack=1, body=body)
        return tags.handshake_sealer(self.secret, self.session, Direction.TO_ENGINE).seal(frame.encode())

    def welcome(self, datagram: bytes) -> bodies.Welcome:
        """Reads the answer to :meth:`hello`; from now on there is a connection."""
        tags.handshake_sealer(self.secret, self.session, Direction.TO_ORDERD).check(datagram)
        frame = frames.parse(datagram)
        assert frame.type is FrameType.WELCOME
        welcome = bodies.Welcome.parse(frame.body)
        self.boot, self._counter = welcome.boot, 0
        return welcome

    def orders(self, records: bytes) -> bytes:
        """The next records of the session."""
        count = len(records) // RECORD_BYTES
        frame = self._frame(FrameType.ORDERS, first=self.next_sequence, count=count, body=records)
        self.next_sequence += count
        return frame

    def poll(self, first: int = 0, count: int = 0) -> bytes:
        return self._frame(FrameType.POLL, first=first, count=count)

    def reports(self, datagram: bytes) -> list[Report]:
        """What a REPORTS frame tells."""
        self._sealer(Direction.TO_ORDERD).check(datagram)
        frame = frames.parse(datagram)
        assert frame.type is FrameType.REPORTS
        return list(iter_reports(bodies.Reports.parse(frame).items, frame.first))

    def _frame(self, type_: FrameType, *, first: int = 0, count: int = 0, body: bytes = b"") -> bytes:
        frame = Frame(type_, self.session, self.epoch, self._counter, first, 1, 1024, count, body=body)
        self._counter += 1
        return self._sealer(Direction.TO_ENGINE).seal(frame.encode())

    def _sealer(self, direction: Direction) -> Sealer:
        key = tags.derive_key(self.secret, self.session, self.epoch, self.nonce, self.boot, direction, self.path)
        return Sealer(key)
