"""The engine's end of a session: takes records strictly by sequence, and tells what became of them.

Rules and invariants:

- ``next_sequence`` moves only when records are handed out for execution, by exactly their number. What comes early is
  parked, at most :data:`PARKED_RECORDS_MAX` sequences ahead; since no credit reaches further, what an honest sender
  sends always has room, and a packet counter that was acknowledged never stands for a record that was dropped.
- What comes again is answered with where this end is and with the reports that the sender does not have in its journal.
- Nothing is answered before the caller has made durable what :meth:`SessionReceiver.take_ready` handed out: ask for
  :meth:`answers` after that.
- A new epoch drops what is parked: a sequence that was not executed may have become a VOID since.
- Each path has a lane of its own, and is answered on its own: whoever asked over gRPC hears over gRPC. New reports go
  where the epoch's last authenticated frame came from.
"""

from typing import Final

import attrs

from orderd.link.errors import StrayFrame
from orderd.link.lanes import Lane, open_lanes
from orderd.link.report_log import ReportLog
from orderd.wire import bodies, frames
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.records import RECORD_BYTES
from orderd.wire.tags import Direction

PARKED_RECORDS_MAX: Final = frames.CREDIT_MAX
CREDIT_RECORDS_MAX: Final = 16384
CREDIT_RECORDS_MIN: Final = 64
READY_RECORDS_MAX: Final = 2048
REPEATED_FRAMES_MAX: Final = 4
POLLED_FRAMES_MAX: Final = 32
REPORT_BYTES_PER_FRAME_MIN: Final = 1472


@attrs.frozen
class Ready:
    """Records to execute: they follow all those handed out before."""

    first: int
    records: bytes

    @property
    def count(self) -> int:
        return len(self.records) // RECORD_BYTES


@attrs.define
class _Road:
    """One path's end here."""

    lane: Lane
    address: object | None = None
    """Whatever the caller sends to; None if nobody is known to listen."""
    answer_due: bool = False
    wanted: tuple[int, int, int] | None = None
    """Reports to send again: first, count, most frames."""


class SessionReceiver:
    """One session's state machine at the engine."""

    def __init__(self, session: int, secret: bytes, reports_max: int) -> None:
        self.session = session
        self.epoch = 0
        self.nonce = 0
        self.next_sequence = 1
        self.log = ReportLog()
        self._secret = secret
        self._reports_max = reports_max
        self._datagram_bytes_max = REPORT_BYTES_PER_FRAME_MIN
        self._roads: dict[Path, _Road] = {}
        self._last: _Road | None = None
        """Where pushes go: the road of the epoch's last authenticated frame."""
        self._parked: dict[int, bytes] = {}
        self._pushed = 1  # reports below it were sent at least once
        self._report_credit_bytes = 0
        self.reserved = 0
        """Reports that open orders may still cause; the caller keeps it true."""

    # --- handshake ----------------------------------------------------------------------------------------------------

    def open_epoch(self, epoch: int, nonce: int, boot: int) -> None:
        """A new start of orderd, or the same one after this engine was started again.

        The caller has checked that it may.
        """
        self.epoch = epoch
        self.nonce = nonce
        key = (self._secret, self.session, epoch, nonce, boot)
        self._roads = {path: _Road(lane) for path, lane in open_lanes(key, Direction.TO_ORDERD).items()}
        self._last = None
        self._parked.clear()
        self._pushed = self.log.acknowledged

    @property
    def is_open(self) -> bool:
        """Whether an epoch was opened since this engine was started."""
        return bool(self._roads)

    def limit_datagrams(self, datagram_bytes_max: int) -> None:
        """The largest datagram that this session's orderd wants."""
        self._datagram_bytes_max = datagram_bytes_max

    @property
    def credit(self) -> int:
        """Records beyond the executed ones that may be sent now.

        Half of the room for reports that open orders do not reserve, since an order causes two. But some as long as
        there is any room, so that orders can be cancelled however many rest.
        """
        room = max(0, self._reports_max - len(self.log))
        for_cancels = min(CREDIT_RECORDS_MIN, (room + 1) // 2)
        return max(for_cancels, min(CREDIT_RECORDS_MAX, (room - self.reserved) // 2))

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, epoch: int, datagram: bytes, address: object, path: Path = Path.UDP) -> Frame:
        """An ORDERS, POLL, BYE or BOOK_REQUEST that says it is of this session and of ``epoch``.

        It came over ``path`` from ``address``. Raises a :class:`~orderd.wire.errors.WireError` for what is to be
        dropped.
        """
        road = self._roads.get(path)
        if road is None or epoch != self.epoch:
            raise StrayFrame("another epoch")
        frame = road.lane.open(datagram)
        road.address = address
        self._last = road
        self.log.acknowledge(frame.ack)
        self._pushed = max(self._pushed, self.log.acknowledged)
        self._report_credit_bytes = frame.credit * 1024
        if frame.type is FrameType.ORDERS:
            road.answer_due = True
            self._take_records(road, frame.first, frame.body)
        elif frame.type is FrameType.POLL:
            road.answer_due = True
            if frame.count:
                road.wanted = (frame.first, frame.count, POLLED_FRAMES_MAX)
        elif frame.type is FrameType.BYE:
            self._last = None
        return frame

    def _take_records(self, road: _Road, first: int, records: bytes) -> None:
        end = first + len(records) // RECORD_BYTES
        if end <= self.next_sequence:
            # It came again, so its reports may have been lost.
            road.wanted = road.wanted or (self.log.acknowledged, frames.COUNT_MAX, REPEATED_FRAMES_MAX)
            return
        if end > self.next_sequence + PARKED_RECORDS_MAX:
            raise StrayFrame("beyond any credit")
        held = self._parked.get(first)
        if held is None or len(held) < len(records):
            self._parked[first] = records

    def take_ready(self) -> Ready | None:
        """The records that are next, without a gap; they count as executed. None if the next one is not there.

        Not all of many at once: a group has to fit in a journal's segment. Ask again until there is none.
        """
        parts, first = [], self.next_sequence
        while self._parked and self.next_sequence - first < READY_RECORDS_MAX:
            start = min(self._parked)
            if start > self.next_sequence:
                break
            records = self._parked.pop(start)[(self.next_sequence - start) * RECORD_BYTES :]
            if records:
                parts.append(records)
                self.next_sequence += len(records) // RECORD_BYTES
        return Ready(first, b"".join(parts)) if parts else None

    # --- what goes out ------------------------------------------------------------------------------------------------

    def answers(self) -> list[tuple[object, bytes]]:
        """What to send now, and to whom.

        On each road that asked: reports asked for again, else an acknowledgement. On the last one that was heard of,
        new reports within the credit.
        """
        out: list[tuple[object, bytes]] = []
        for path, road in self._roads.items():
            if road.address is None:
                continue
            frames_out = self._again(road) if road.wanted is not None else []
            if road is self._last:
                frames_out += self._new_reports(road)
            if road.answer_due and not frames_out:
                frames_out.append(self._reports_frame(road, 0, 0, b""))
            road.answer_due = False
            out += [(road.address, datagram) for datagram in frames_out]
            if path is Path.GRPC:
                # A call is answered once; who calls again says so.
                road.address = None
        return out

    def _again(self, road: _Road) -> list[bytes]:
        assert road.wanted is not None
        first, count, frames_max = road.wanted
        road.wanted = None
        first, end = max(first, self.log.acknowledged), min(first + count, self.log.next)
        out: list[bytes] = []
        while first < end and len(out) < frames_max:
            number, items, data = self.log.read(first, self._report_bytes)
            if not items:
                break
            out.append(self._reports_frame(road, number, items, data))
            first = self.log.after(number, items)
        return out

    def _new_reports(self, road: _Road) -> list[bytes]:
        out: list[bytes] = []
        limit = self._report_credit_bytes - self.log.bytes_below(self._pushed)
        while self._pushed < self.log.next and limit > 0:
            first, items, data = self.log.read(self._pushed, min(self._report_bytes, limit))
            if not items:
                break
            limit -= len(data)
            out.append(self._reports_frame(road, first, items, data))
            self._pushed = self.log.after(first, items)
        return out

    def book_reply(self, path: Path, body: bytes) -> bytes:
        """A BOOK_REPLY to what was asked over ``path``, ready to be sent."""
        return self._seal(self._roads[path], FrameType.BOOK_REPLY, body=body)

    @property
    def body_bytes_max(self) -> int:
        """Room for a body in the largest datagram that this session's orderd wants."""
        return self._datagram_bytes_max - frames.OVERHEAD_BYTES

    @property
    def _report_bytes(self) -> int:
        return self.body_bytes_max - bodies.REPORTS.size

    def _reports_frame(self, road: _Road, first: int, items: int, data: bytes) -> bytes:
        window = road.lane.window
        body = bodies.Reports(max(0, window.largest), window.bitmap(), self.log.next, data).encode()
        return self._seal(road, FrameType.REPORTS, first=first, count=items, body=body)

    def _seal(self, road: _Road, type_: FrameType, *, first: int = 0, count: int = 0, body: bytes) -> bytes:
        lane = road.lane
        frame = Frame(
            type_, self.session, self.epoch, lane.counter, first, self.next_sequence, self.credit, count, body=body
        )
        return lane.seal(frame)
