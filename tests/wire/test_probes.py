"""Probes survive a round trip, arbitrary bytes are a FrameError, and an answer is never larger than what it answers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderd.wire.errors import FrameError
from orderd.wire.frames import DATAGRAM_BYTES_MAX, OVERHEAD_BYTES, Frame, FrameType
from orderd.wire.probes import PROBE_BYTES_MIN, Probe, ProbeReply

U32, U64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
SIZE = st.integers(PROBE_BYTES_MIN, 3000) | st.just(DATAGRAM_BYTES_MAX)
PROBE = st.builds(Probe, U64, U64, U32, SIZE)


@given(PROBE)
def test_a_probe_survives_a_round_trip_and_has_the_size_it_tells(probe: Probe) -> None:
    assert Probe.parse(probe.encode()) == probe
    assert len(Frame(FrameType.PROBE, 1, body=probe.encode()).encode()) + 16 == probe.size


@given(PROBE, U64, U32, U64, U64)
def test_a_reply_survives_a_round_trip_and_is_never_larger_than_its_request(
    probe: Probe, engine: int, boot: int, time_ns: int, probes: int
) -> None:
    reply = probe.reply(engine, boot, time_ns, probes)
    assert ProbeReply.parse(reply.encode()) == reply
    assert (reply.nonce, reply.echo, reply.received) == (probe.nonce, probe.echo, probe.size)
    assert len(reply.encode()) + OVERHEAD_BYTES == reply.size <= probe.size
    assert reply.size == min(probe.size, max(PROBE_BYTES_MIN, probe.reply_size))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_frame_errors(data: bytes) -> None:
    for parser in (Probe.parse, ProbeReply.parse):
        with suppress(FrameError):
            assert parser(data).size == len(data) + OVERHEAD_BYTES


@pytest.mark.parametrize("parser", [Probe.parse, ProbeReply.parse])
def test_what_is_cut_short_is_refused(parser: type) -> None:
    with pytest.raises(FrameError, match="cut short"):
        parser(Probe(1, 2, 3).encode()[:-1])


def test_a_reply_larger_than_what_was_received_is_refused() -> None:
    with pytest.raises(FrameError, match="impossible size"):
        ProbeReply.parse(ProbeReply(1, 2, 3, 4, 5, received=111, probes=6).encode())
