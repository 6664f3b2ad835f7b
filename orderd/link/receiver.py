"""The engine's end of a session: takes records strictly by sequence, and tells what became of them.

Rules and invariants:

- ``next_sequence`` moves only when records are handed out for execution, by exactly their number. What comes early is
  parked, at most :data:`PARKED_RECORDS_MAX` sequences ahead; since no credit reaches further, what an honest sender
  sends always has room, and a packet counter that was acknowledged never stands for a record that was dropped.
- What comes again is answered with where this end is and with the reports that the sender does not have in its journal.
- Nothing is answered before the caller has made durable what :meth:`SessionReceiver.take_ready` handed out: ask for
  :meth:`answers` after that.
- A new epoch drops what is parked: a sequence that was not executed may have become a VOID since.
"""

from typing import Final

import attrs

from orderd.link.errors import ReplayedFrame, StrayFrame
from orderd.link.replay_window import ReplayWindow
from orderd.link.report_log import ReportLog
from orderd.wire import bodies, frames, tags
from orderd.wire.frames import Frame, FrameType
from orderd.wire.records import RECORD_BYTES
from orderd.wire.tags import Direction, Sealer

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


class SessionReceiver:
    """One session's state machine at the engine. ``address`` is whatever the caller sends datagrams to."""

    def __init__(self, session: int, secret: bytes, reports_max: int) -> None:
        self.session = session
        self.epoch = 0
        self.nonce = 0
        self.next_sequence = 1
        self.log = ReportLog()
        self.address: object | None = None
        """Where pushes go: the sender of the epoch's last authenticated frame."""
        self._secret = secret
        self._reports_max = reports_max
        self._datagram_bytes_max = REPORT_BYTES_PER_FRAME_MIN
        self._in: Sealer | None = None
        self._out: Sealer | None = None
        self._window = ReplayWindow()
        self._counter = 0
        self._parked: dict[int, bytes] = {}
        self._pushed = 1  # reports below it were sent at least once
        self._report_credit_bytes = 0
        self._wanted: tuple[int, int, int] | None = None  # reports to send again: first, count, most frames
        self.reserved = 0
        """Reports that open orders may still cause; the caller keeps it true."""
        self._answer_due = False

    # --- handshake ----------------------------------------------------------------------------------------------------

    def open_epoch(self, epoch: int, nonce: int, boot: int) -> None:
        """A new start of orderd, or the same one after this engine was started again.

        The caller has checked that it may.
        """
        self.epoch = epoch
        self.nonce = nonce
        key = (self._secret, self.session, epoch, nonce, boot)
        self._in = Sealer(tags.derive_key(*key, Direction.TO_ENGINE))
        self._out = Sealer(tags.derive_key(*key, Direction.TO_ORDERD))
        self._window = ReplayWindow()
        self._counter = 0
        self._parked.clear()
        self._pushed = self.log.acknowledged
        self._wanted = None
        self._answer_due = False
        self.address = None

    @property
    def is_open(self) -> bool:
        """Whether an epoch was opened since this engine was started."""
        return self._in is not None

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

    def receive(self, frame: Frame, datagram: bytes, address: object) -> None:
        """An ORDERS, POLL, BYE or BOOK_REQUEST of this session.

        Raises a :class:`~orderd.wire.errors.WireError` for what is to be dropped.
        """
        if self._in is None or frame.epoch != self.epoch:
            raise StrayFrame("another epoch")
        self._in.check(datagram)
        if not self._window.accept(frame.counter):
            raise ReplayedFrame("packet counter was seen before")
        self.address = address
        self.log.acknowledge(frame.ack)
        self._pushed = max(self._pushed, self.log.acknowledged)
        self._report_credit_bytes = frame.credit * 1024
        if frame.type is FrameType.ORDERS:
            self._answer_due = True
            self._take_records(frame.first, frame.body)
        elif frame.type is FrameType.POLL:
            self._answer_due = True
            if frame.count:
                self._wanted = (frame.first, frame.count, POLLED_FRAMES_MAX)
        elif frame.type is FrameType.BYE:
            self.address = None

    def _take_records(self, first: int, records: bytes) -> None:
        end = first + len(records) // RECORD_BYTES
        if end <= self.next_sequence:
            # It came again, so its reports may have been lost.
            self._wanted = self._wanted or (self.log.acknowledged, frames.COUNT_MAX, REPEATED_FRAMES_MAX)
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

    def answers(self) -> list[bytes]:
        """What to send to ``address`` now.

        New reports within the credit, reports asked for again, else an acknowledgement if one is due.
        """
        if self.address is None:
            return []
        out: list[bytes] = []
        if self._wanted is not None:
            first, count, frames_max = self._wanted
            self._wanted = None
            end = min(first + count, self.log.next)
            self._send_reports(out, max(first, self.log.acknowledged), end, frames_max)
        limit = self._report_credit_bytes - self.log.bytes_below(self._pushed)
        while self._pushed < self.log.next and limit > 0:
            first, items, data = self.log.read(self._pushed, min(self._report_bytes, limit))
            if not items:
                break
            limit -= len(data)
            out.append(self._reports_frame(first, items, data))
            self._pushed = self.log.after(first, items)
        if self._answer_due and not out:
            out.append(self._reports_frame(0, 0, b""))
        self._answer_due = False
        return out

    @property
    def body_bytes_max(self) -> int:
        """Room for a body in the largest datagram that this session's orderd wants."""
        return self._datagram_bytes_max - frames.OVERHEAD_BYTES

    @property
    def _report_bytes(self) -> int:
        return self.body_bytes_max - bodies.REPORTS.size

    def _send_reports(self, out: list[bytes], first: int, end: int, frames_max: int) -> None:
        while first < end and len(out) < frames_max:
            number, items, data = self.log.read(first, self._report_bytes)
            if not items:
                return
            out.append(self._reports_frame(number, items, data))
            first = self.log.after(number, items)

    def _reports_frame(self, first: int, items: int, data: bytes) -> bytes:
        body = bodies.Reports(max(0, self._window.largest), self._window.bitmap(), self.log.next, data).encode()
        return self.seal(FrameType.REPORTS, first=first, count=items, body=body)

    def seal(self, type_: FrameType, *, first: int = 0, count: int = 0, body: bytes) -> bytes:
        """A frame of this session, ready to be sent."""
        assert self._out is not None, "an epoch is open"
        frame = Frame(
            type_, self.session, self.epoch, self._counter, first, self.next_sequence, self.credit, count, body=body
        )
        self._counter += 1
        return self._out.seal(frame.encode())
