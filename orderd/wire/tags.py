"""Frame tags: 16 bytes of BLAKE2b (RFC 7693) over header and body, keyed for one direction of one connection.

The key of a tag is derived from the site's secret and from what names the connection, so that a frame of another
session, epoch, process, engine boot or direction never fits. With an empty secret the tags still find corruption and
strays, but anyone can make them.
"""

import hmac
import struct
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from orderd.wire.errors import TagError
from orderd.wire.paths import Path

TAG_BYTES: Final = 16
SECRET_BYTES: Final = 32

_CONTEXT: Final = struct.Struct("<QQQIB")
_PERSON: Final = b"orderd-frame-1"


class Direction(IntEnum):
    """Which way a frame goes."""

    TO_ENGINE = 0
    TO_ORDERD = 1


def derive_key(
    secret: bytes, session: int, epoch: int, nonce: int, boot: int, direction: Direction, path: Path = Path.UDP
) -> bytes:
    """The 32-byte key for one direction of a connection over ``path``, which is UDP or GRPC.

    Each path counts its packets for itself, so a frame of one never fits on the other.

    Frames of the handshake (HELLO, WELCOME, REFUSE) are tagged before both ends know nonce and boot number: both are 0
    there, and the epoch too.
    """
    over_grpc = path is Path.GRPC
    context = _CONTEXT.pack(session, nonce, boot, epoch, direction + 2 * over_grpc)
    return blake2b(context, key=secret, digest_size=32, person=_PERSON).digest()


class Sealer:
    """Makes and checks the tags of one direction."""

    __slots__ = ("_keyed",)

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=TAG_BYTES)

    def seal(self, untagged: bytes) -> bytes:
        """The datagram: ``untagged`` and its tag."""
        tag = self._keyed.copy()
        tag.update(untagged)
        return untagged + tag.digest()

    def check(self, datagram: bytes) -> None:
        """Raises :class:`TagError` unless the datagram's last 16 bytes are the tag of all before them."""
        tag = self._keyed.copy()
        tag.update(datagram[:-TAG_BYTES])
        if not hmac.compare_digest(tag.digest(), datagram[-TAG_BYTES:]):
            raise TagError("tag does not fit")


@lru_cache(maxsize=64)
def handshake_sealer(secret: bytes, session: int, direction: Direction) -> Sealer:
    """For HELLO, WELCOME, REFUSE, PROBE and PROBE_REPLY. Made once for each session, as long as there are few."""
    return Sealer(derive_key(secret, session, 0, 0, 0, direction))
