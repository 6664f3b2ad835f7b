"""The engine's end of a session: order of records, parking, credit, what is said again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.link.errors import ReplayedFrame, StrayFrame
from orderd.link.receiver import (
    CREDIT_RECORDS_MAX,
    CREDIT_RECORDS_MIN,
    PARKED_RECORDS_MAX,
    READY_RECORDS_MAX,
    SessionReceiver,
)
from orderd.wire import bodies, frames, tags
from orderd.wire.errors import TagError
from orderd.wire.frames import Frame, FrameType
from orderd.wire.records import RECORD_BYTES
from orderd.wire.reports import FULL_BYTES, ExecType, Report, encode_full
from orderd.wire.tags import Direction, Sealer


class Peer:
    """A receiver and somebody who speaks to it."""

    def __init__(self, reports_max: int = 1_000_000) -> None:
        self.receiver = SessionReceiver(9, b"", reports_max)
        self.open(1, 5)

    def open(self, epoch: int, nonce: int) -> None:
        self.receiver.open_epoch(epoch, nonce, 1)
        self.epoch, self.counter = epoch, 0
        self.sealer = Sealer(tags.derive_key(b"", 9, epoch, nonce, 1, Direction.TO_ENGINE))

    def send(self, type_: FrameType, first: int = 0, records: bytes = b"", *, count: int = 0, ack: int = 1) -> bytes:
        frame = Frame(
            type_, 9, self.epoch, self.counter, first, ack, 1024, count or len(records) // RECORD_BYTES, body=records
        )
        datagram = self.sealer.seal(frame.encode())
        self.counter += 1
        self.deliver(datagram)
        return datagram

    def deliver(self, datagram: bytes) -> None:
        self.receiver.receive(frames.parse(datagram).epoch, datagram, "there")

    def told(self) -> list[tuple[Frame, bodies.Reports]]:
        parsed = [frames.parse(datagram) for _, datagram in self.receiver.answers()]
        return [(frame, bodies.Reports.parse(frame)) for frame in parsed]


def records(first: int, count: int) -> bytes:
    return b"".join(number.to_bytes(RECORD_BYTES, "little") for number in range(first, first + count))


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), max_size=40))
def test_records_are_handed_out_once_in_order_and_as_soon_as_they_can(frames_sent: list[tuple[int, int]]) -> None:
    peer, arrived, executed = Peer(), set[int](), b""
    for first, count in frames_sent:
        peer.send(FrameType.ORDERS, first, records(first, count))
        arrived |= set(range(first, first + count))
        while (ready := peer.receiver.take_ready()) is not None:
            assert ready.first == len(executed) // RECORD_BYTES + 1
            executed += ready.records
        whole = next(n for n in range(1, 100) if n not in arrived)
        assert peer.receiver.next_sequence == whole
        assert executed == records(1, whole - 1)


def test_much_that_is_ready_comes_in_groups_that_fit_in_a_journal() -> None:
    peer, first = Peer(), 1
    for _ in range(100):
        peer.send(FrameType.ORDERS, first, records(first, 100))
        first += 100
    groups = []
    while (ready := peer.receiver.take_ready()) is not None:
        groups.append(ready.count)
    assert sum(groups) == 10_000
    assert max(groups) < READY_RECORDS_MAX + 100


def test_what_is_beyond_any_credit_is_not_kept() -> None:
    peer = Peer()
    peer.send(FrameType.ORDERS, PARKED_RECORDS_MAX, records(1, 1))
    with pytest.raises(StrayFrame, match="beyond any credit"):
        peer.send(FrameType.ORDERS, PARKED_RECORDS_MAX + 1, records(1, 1))


def test_a_new_epoch_drops_what_is_parked() -> None:
    peer = Peer()
    peer.send(FrameType.ORDERS, 2, records(2, 1))
    peer.open(2, 6)
    peer.send(FrameType.ORDERS, 1, records(1, 1))
    ready = peer.receiver.take_ready()
    assert ready is not None
    assert ready.count == 1
    assert peer.receiver.take_ready() is None


def test_a_datagram_counts_once_and_only_in_its_own_epoch() -> None:
    peer = Peer()
    datagram = peer.send(FrameType.ORDERS, 1, records(1, 1))
    with pytest.raises(ReplayedFrame):
        peer.deliver(datagram)
    peer.open(2, 6)
    with pytest.raises(StrayFrame, match="another epoch"):
        peer.deliver(datagram)
    peer.open(1, 7)
    with pytest.raises(TagError):
        peer.deliver(datagram)


def test_each_frame_of_orders_is_acknowledged_by_counter_and_by_sequence() -> None:
    peer = Peer()
    peer.send(FrameType.ORDERS, 1, records(1, 3))
    peer.counter += 1
    peer.send(FrameType.ORDERS, 7, records(7, 1))
    while peer.receiver.take_ready():
        pass
    ((frame, body),) = peer.told()
    assert (frame.ack, frame.count, body.largest, body.bitmap) == (4, 0, 2, 0b10)
    assert peer.told() == []


def test_orders_that_come_again_are_answered_with_the_reports_that_may_have_been_lost() -> None:
    peer = Peer()
    peer.send(FrameType.ORDERS, 1, records(1, 3))
    peer.receiver.take_ready()
    peer.receiver.log.add_range(1, 3, 5, final=True)
    first = peer.told()
    peer.send(FrameType.ORDERS, 1, records(1, 3))
    assert peer.receiver.take_ready() is None
    ((frame, body),) = peer.told()
    assert (frame.first, body.items) == (1, first[0][1].items)
    peer.send(FrameType.ORDERS, 1, records(1, 3), ack=4)
    ((frame, body),) = peer.told()
    assert (frame.count, body.report_next) == (0, 4)


def test_new_reports_wait_for_credit_and_asked_ones_do_not() -> None:
    peer = Peer()
    peer.send(FrameType.POLL)
    peer.told()
    for order in range(1, 15_001):
        peer.receiver.log.add(encode_full(Report(0, ExecType.REJECTED, order, order, True, 5)))
    peer.send(FrameType.POLL)
    pushed = sum(len(body.items) for _, body in peer.told())
    assert 1024 * 1024 - FULL_BYTES < pushed <= 1024 * 1024
    assert all(not body.items for _, body in peer.told())
    peer.send(FrameType.POLL, 10, count=5)
    assert peer.told()[0][0].first == 10


def test_credit_shrinks_with_reports_kept_and_never_starves_cancels() -> None:
    peer = Peer(reports_max=1000)
    assert peer.receiver.credit == 500
    peer.receiver.reserved = 400
    assert peer.receiver.credit == 300
    peer.receiver.reserved = 1000
    assert peer.receiver.credit == CREDIT_RECORDS_MIN
    peer.receiver.log.add_range(1, 980, 5, final=True)
    assert peer.receiver.credit == 10
    peer.receiver.log.add_range(981, 20, 5, final=True)
    assert peer.receiver.credit == 0
    assert Peer(reports_max=1).receiver.credit == 1
    assert Peer(reports_max=10**9).receiver.credit == CREDIT_RECORDS_MAX


def test_nothing_is_said_before_the_other_end_has_spoken_or_after_it_left() -> None:
    peer = Peer()
    peer.receiver.log.add_range(1, 1, 5, final=True)
    assert peer.told() == []
    peer.send(FrameType.POLL)
    assert len(peer.told()) == 1
    peer.send(FrameType.BYE)
    peer.receiver.log.add_range(2, 1, 5, final=True)
    assert peer.told() == []


def test_a_new_epoch_is_told_all_that_is_not_acknowledged() -> None:
    peer = Peer()
    peer.send(FrameType.POLL)
    peer.receiver.log.add_range(1, 3, 5, final=True)
    ((frame, _),) = peer.told()
    assert (frame.first, frame.count) == (1, 1)
    peer.open(2, 6)
    peer.send(FrameType.POLL)
    ((frame, body),) = peer.told()
    assert (frame.first, frame.count, body.report_next) == (1, 1, 4)


@pytest.mark.parametrize("counts", [(1, 3), (3, 1), (3, 3)])
def test_a_parked_frame_that_comes_again_cut_another_way_loses_nothing(counts: tuple[int, int]) -> None:
    peer = Peer()
    for count in counts:
        peer.send(FrameType.ORDERS, 5, records(5, count))
    assert peer.receiver.take_ready() is None
    peer.send(FrameType.ORDERS, 1, records(1, 4))
    ready = peer.receiver.take_ready()
    assert ready is not None
    assert ready.records == records(1, 7)
