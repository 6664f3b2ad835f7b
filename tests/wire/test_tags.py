"""A frame that was changed in any way, or made for anything else, never passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderd.wire.errors import TagError
from orderd.wire.tags import Direction, Sealer, derive_key, handshake_sealer
from tests.support.scale import examples

SECRETS = st.sampled_from([b"", bytes(range(32))])
DATA = st.binary(min_size=48, max_size=1500)


@given(SECRETS, DATA)
def test_what_was_sealed_passes(secret: bytes, data: bytes) -> None:
    sealer = Sealer(derive_key(secret, 1, 2, 3, 4, Direction.TO_ENGINE))
    datagram = sealer.seal(data)
    assert datagram[:-16] == data
    sealer.check(datagram)


@given(SECRETS, DATA, st.data())
def test_a_flipped_bit_never_passes(secret: bytes, data: bytes, draw: st.DataObject) -> None:
    sealer = Sealer(derive_key(secret, 1, 2, 3, 4, Direction.TO_ENGINE))
    datagram = bytearray(sealer.seal(data))
    bit = draw.draw(st.integers(0, len(datagram) * 8 - 1))
    datagram[bit // 8] ^= 1 << bit % 8
    with pytest.raises(TagError):
        sealer.check(bytes(datagram))


@given(SECRETS, DATA, st.integers(1, 64), st.binary(min_size=1, max_size=64))
def test_a_cut_or_extended_frame_never_passes(secret: bytes, data: bytes, cut: int, more: bytes) -> None:
    sealer = Sealer(derive_key(secret, 1, 2, 3, 4, Direction.TO_ENGINE))
    datagram = sealer.seal(data)
    for spoiled in (datagram[:-cut], datagram[cut:], datagram + more, more + datagram):
        with pytest.raises(TagError):
            sealer.check(spoiled)


def test_each_part_of_the_context_makes_another_key() -> None:
    contexts = [
        (secret, session, epoch, nonce, boot, direction)
        for secret in (b"", b"a" * 32)
        for session in (1, 2)
        for epoch in (1, 2)
        for nonce in (1, 2)
        for boot in (1, 2)
        for direction in Direction
    ]
    assert len({derive_key(*context) for context in contexts}) == len(contexts)


def test_a_handshake_is_of_its_session_and_direction_alone() -> None:
    datagram = handshake_sealer(b"", 1, Direction.TO_ENGINE).seal(bytes(48))
    for session, direction in ((2, Direction.TO_ENGINE), (1, Direction.TO_ORDERD)):
        with pytest.raises(TagError):
            handshake_sealer(b"", session, direction).check(datagram)


@settings(max_examples=examples(20))
@given(st.binary(max_size=20))
def test_less_than_a_tag_is_a_tag_error(data: bytes) -> None:
    with pytest.raises(TagError):
        Sealer(bytes(32)).check(data)
