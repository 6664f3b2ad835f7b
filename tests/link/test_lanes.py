"""A frame fits on the path, the direction and the connection that it was made for, and once."""

import itertools

import pytest

from orderd.link.errors import ReplayedFrame
from orderd.link.lanes import Lane, open_lanes
from orderd.wire.errors import TagError
from orderd.wire.frames import Frame, FrameType
from orderd.wire.paths import Path
from orderd.wire.tags import Direction

KEY = (b"k" * 32, 11, 2, 33, 4)
"""Secret, session, epoch, nonce, boot."""
PATHS = (Path.UDP, Path.GRPC)


def poll(lane: Lane) -> bytes:
    return lane.seal(Frame(FrameType.POLL, KEY[1], KEY[2], lane.counter))


def admit(lane: Lane, datagram: bytes) -> None:
    lane.open(datagram)


@pytest.mark.parametrize("path", PATHS)
def test_what_one_end_seals_the_other_lets_in(path: Path) -> None:
    orderd, engine = open_lanes(KEY, Direction.TO_ENGINE)[path], open_lanes(KEY, Direction.TO_ORDERD)[path]
    for _ in range(3):
        admit(engine, poll(orderd))
        admit(orderd, poll(engine))
    assert (orderd.counter, engine.window.largest) == (3, 2)


@pytest.mark.parametrize(("path", "other"), list(itertools.permutations(PATHS)))
def test_a_frame_of_one_path_does_not_fit_on_the_other(path: Path, other: Path) -> None:
    datagram = poll(open_lanes(KEY, Direction.TO_ENGINE)[path])
    with pytest.raises(TagError):
        admit(open_lanes(KEY, Direction.TO_ORDERD)[other], datagram)


@pytest.mark.parametrize("path", PATHS)
def test_a_frame_that_comes_back_to_its_sender_does_not_fit(path: Path) -> None:
    lane = open_lanes(KEY, Direction.TO_ENGINE)[path]
    with pytest.raises(TagError):
        admit(lane, poll(lane))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("part", range(len(KEY)))
def test_a_frame_of_another_connection_does_not_fit(path: Path, part: int) -> None:
    value = KEY[part]
    other = (*KEY[:part], b"x" * 32 if isinstance(value, bytes) else value + 1, *KEY[part + 1 :])
    datagram = poll(open_lanes(KEY, Direction.TO_ENGINE)[path])
    with pytest.raises(TagError):
        admit(open_lanes(other, Direction.TO_ORDERD)[path], datagram)  # type: ignore[arg-type]


def test_a_frame_is_let_in_once_and_what_does_not_fit_is_not_noted() -> None:
    orderd, engine = open_lanes(KEY, Direction.TO_ENGINE)[Path.UDP], open_lanes(KEY, Direction.TO_ORDERD)[Path.UDP]
    datagram = poll(orderd)
    forged = datagram[:-1] + bytes([datagram[-1] ^ 1])
    with pytest.raises(TagError):
        admit(engine, forged)
    admit(engine, datagram)
    with pytest.raises(ReplayedFrame):
        admit(engine, datagram)
    # On the path's own count only: the other one is at its first frame.
    assert open_lanes(KEY, Direction.TO_ENGINE)[Path.GRPC].counter == 0


def test_counters_of_the_paths_are_independent() -> None:
    lanes = open_lanes(KEY, Direction.TO_ENGINE)
    for _ in range(5):
        poll(lanes[Path.UDP])
    assert (lanes[Path.UDP].counter, lanes[Path.GRPC].counter) == (5, 0)
    assert set(lanes) == set(PATHS)


def test_a_counter_is_used_once() -> None:
    lane = open_lanes(KEY, Direction.TO_ENGINE)[Path.UDP]
    frame = Frame(FrameType.POLL, KEY[1], KEY[2], lane.counter)
    lane.seal(frame)
    with pytest.raises(AssertionError, match="once"):
        lane.seal(frame)
