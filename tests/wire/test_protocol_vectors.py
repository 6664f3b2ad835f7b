"""What docs/PROTOCOL.md says is what the code does: every vector, and every value of every enumeration.

Tags and keys are computed here anew, from the text of the page alone.
"""

import re
import struct
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path

import pytest

from orderd.runtime.instruments import Instrument
from orderd.wire import frames, tags
from orderd.wire.bodies import BookReply, BookRequest, Hello, Refusal, Refuse, Reports, Welcome
from orderd.wire.frames import Frame, FrameType
from orderd.wire.probes import Probe, ProbeReply
from orderd.wire.records import RECORD, RECORD_BYTES, Kind
from orderd.wire.reports import ExecType, OrderStatus, Reason, iter_reports

PAGE = (Path(__file__).parent.parent.parent / "docs" / "PROTOCOL.md").read_text()


class Vector:
    """One fenced block: lines of ``name: value``, and the datagram."""

    def __init__(self, text: str) -> None:
        head, _, datagram = text.partition("datagram:\n")
        self.datagram = bytes.fromhex("".join(datagram.split()))
        self.lines = [(name, value.strip()) for name, _, value in (line.partition(":") for line in head.splitlines())]

    def __repr__(self) -> str:
        return f"{self.text('type')}, {'keyed' if self.text('secret') else 'unkeyed'}"

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.lines if key == name]

    def text(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def number(self, name: str) -> int:
        return int(self.text(name))


VECTORS = [Vector(block) for block in re.findall(r"^```vector\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)]
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=repr)


def test_there_is_a_vector_of_each_type_with_and_without_a_secret() -> None:
    assert sorted(map(repr, VECTORS)) == sorted(f"{t.name}, {key}" for t in FrameType for key in ("keyed", "unkeyed"))


@each_vector
def test_the_key_is_derived_as_the_page_says(vector: Vector) -> None:
    names = ("session", "nonce", "boot", "epoch", "direction")
    context = [vector.number(f"key {name}") for name in names]
    secret = bytes.fromhex(vector.text("secret"))
    by_hand = blake2b(
        struct.pack("<QQQIB", *context), key=secret, digest_size=32, person=b"orderd-frame-1\0\0"
    ).digest()
    assert by_hand.hex() == vector.text("key")
    session, nonce, boot, epoch, direction = context
    assert tags.derive_key(secret, session, epoch, nonce, boot, tags.Direction(direction)) == by_hand


@each_vector
def test_the_tag_is_made_as_the_page_says(vector: Vector) -> None:
    key = bytes.fromhex(vector.text("key"))
    untagged, tag = vector.datagram[:-16], vector.datagram[-16:]
    assert blake2b(untagged, key=key, digest_size=16).digest() == tag
    tags.Sealer(key).check(vector.datagram)
    assert tags.Sealer(key).seal(untagged) == vector.datagram


@each_vector
def test_the_header_is_decoded_and_encoded_again(vector: Vector) -> None:
    frame = frames.parse(vector.datagram)
    assert frame.type.name == vector.text("type")
    for name in ("session", "epoch", "counter", "first", "ack", "credit", "count", "age_us"):
        assert getattr(frame, name) == vector.number(name), name
    assert frame.encode() == vector.datagram[:-16]
    by_hand = struct.unpack_from("<HBBIQQQQHHI", vector.datagram)
    assert by_hand[:3] == (0x4F64, 2, FrameType[vector.text("type")])


def book_levels(vector: Vector, name: str) -> tuple[tuple[int, int, int], ...]:
    return tuple(tuple(map(int, value.split())) for value in vector.all(f"body {name}"))  # type: ignore[misc]


Body = Hello | Welcome | Refuse | Reports | BookRequest | BookReply | Probe | ProbeReply


def expected_body(vector: Vector, frame: Frame) -> Body | None:
    def number(name: str) -> int:
        return vector.number(f"body {name}")

    match frame.type:
        case FrameType.HELLO:
            digests = {i: bytes.fromhex(vector.text(f"body digest {i}")) for i in (1, 2)}
            return Hello(number("nonce"), digests, number("datagram_bytes_max"))
        case FrameType.WELCOME:
            return Welcome(number("nonce"), number("engine"), number("report_next"), number("boot"))
        case FrameType.REFUSE:
            return Refuse(number("nonce"), Refusal(number("code")), number("detail"))
        case FrameType.REPORTS:
            return Reports(number("largest"), number("bitmap"), number("report_next"), frame.body[24:])
        case FrameType.BOOK_REQUEST:
            return BookRequest(number("query"), number("instrument"), number("depth"))
        case FrameType.BOOK_REPLY:
            heads = (number("query"), number("instrument"), number("part"), number("parts"))
            return BookReply(*heads, book_levels(vector, "bid"), book_levels(vector, "ask"))
        case FrameType.PROBE:
            return Probe(number("nonce"), number("echo"), number("reply_size"), number("size"))
        case FrameType.PROBE_REPLY:
            names = ("nonce", "echo", "engine", "time_ns", "boot", "received", "probes", "size")
            return ProbeReply(*map(number, names))
        case _:
            return None


@each_vector
def test_the_body_is_decoded_and_encoded_again(vector: Vector) -> None:
    frame = frames.parse(vector.datagram)
    expected = expected_body(vector, frame)
    if expected is None:
        records = [
            " ".join(map(str, RECORD.unpack_from(frame.body, at))) for at in range(0, len(frame.body), RECORD_BYTES)
        ]
        assert records == vector.all("record")
        return
    assert expected.encode() == frame.body
    parsed = Reports.parse(frame) if isinstance(expected, Reports) else type(expected).parse(frame.body)
    assert parsed == expected
    if isinstance(expected, Reports):
        reports = [
            f"{r.report} {r.exec_type.name} {r.order} {r.input} {int(r.final)}"
            for r in iter_reports(expected.items, frame.first)
        ]
        assert reports == vector.all("report")


def test_digests_of_instruments_are_those_of_their_text() -> None:
    hello = next(vector for vector in VECTORS if vector.text("type") == "HELLO")
    by_hand = blake2b(b"1 AAPL 0.01 1", digest_size=8).hexdigest()
    assert by_hand == hello.text("body digest 1") == Instrument("AAPL", 1, "0.01", "1").digest.hex()


@pytest.mark.parametrize(
    ("head", "enumeration"),
    [
        ("type | name |", FrameType),
        ("code | name |", Refusal),
        ("kind | name |", Kind),
        ("exec type | name |", ExecType),
        ("status | name |", OrderStatus),
        ("reason | name |", Reason),
    ],
)
def test_every_value_is_named_on_the_page(head: str, enumeration: type[IntEnum]) -> None:
    table = PAGE.partition(f"| {head}")[2].partition("\n\n")[0]
    named = {int(value): name for value, name in re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", table, re.MULTILINE)}
    travel = {member.value: member.name for member in enumeration if enumeration is not OrderStatus or member >= 2}
    assert named == travel


def test_limits_on_the_page_are_those_of_the_code() -> None:
    from engine.core import BOOK_DEPTH_MAX
    from orderd.link import flights, frame_maker, handshake, polling, receiver, replay_window, udp_road
    from orderd.runtime.instruments import INSTRUMENTS_MAX

    for value in (
        frames.DATAGRAM_BYTES_MAX,
        frames.DATAGRAM_BYTES_MIN,
        receiver.PARKED_RECORDS_MAX,
        receiver.CREDIT_RECORDS_MAX,
        replay_window.WINDOW,
        INSTRUMENTS_MAX,
        BOOK_DEPTH_MAX,
        frame_maker.REPORT_CREDIT_KIB,
    ):
        assert f"{value:,}" in PAGE, value
    assert f"at least {receiver.CREDIT_RECORDS_MIN}, or half" in PAGE
    assert f"at most {receiver.REPEATED_FRAMES_MAX} frames" in PAGE
    assert f"at most {receiver.POLLED_FRAMES_MAX} frames" in PAGE
    assert f"remembers {handshake.HELLOS_REMEMBERED})" in PAGE
    assert (flights.PACKET_THRESHOLD, udp_road.OVERDUE_FRAMES_MIN) == (3, 2)
    assert (polling.HOLE_PATIENCE, polling.IDLE_POLL_MAX, polling.KEEPALIVE) == (0.0005, 0.25, 1.0)
