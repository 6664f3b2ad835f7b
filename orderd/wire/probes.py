"""Bodies of PROBE and PROBE_REPLY: a road to the engine tried out, without a session and without a trace.

Rules and invariants:

- Both are tagged with the keys of the handshake, for a session id that is drawn for the occasion: an engine with a key
  answers only who has it, and opens no session.
- A reply is never larger than its request, so that nobody's datagrams with a forged sender become more on the way
  (RFC 9000, section 8.1, has three times as many; here it is once). Hence both have the same smallest size.
- The body of a PROBE begins alike in all versions of the protocol, since one of another version is answered: by REFUSE.
"""

import struct
from typing import Final

import attrs

from orderd.wire.errors import FrameError
from orderd.wire.frames import DATAGRAM_BYTES_MAX, OVERHEAD_BYTES

_PROBE: Final = struct.Struct("<QQI")
_REPLY: Final = struct.Struct("<QQQQIIQ")
PROBE_BYTES_MIN: Final = OVERHEAD_BYTES + _REPLY.size
"""The smallest datagram of either; the largest is that of all frames."""
assert PROBE_BYTES_MIN == 112


@attrs.frozen
class Probe:
    """``<nonce u64> <echo u64> <reply size u32>``, then zeros up to ``size``.

    ``size`` is that of the whole datagram, ``reply_size`` that of the datagram wanted back; both in bytes, from
    :data:`PROBE_BYTES_MIN` to :data:`~orderd.wire.frames.DATAGRAM_BYTES_MAX`. ``echo`` comes back as it is.
    """

    nonce: int
    echo: int
    reply_size: int
    size: int = PROBE_BYTES_MIN

    def encode(self) -> bytes:
        assert PROBE_BYTES_MIN <= self.size <= DATAGRAM_BYTES_MAX
        return _PROBE.pack(self.nonce, self.echo, self.reply_size).ljust(self.size - OVERHEAD_BYTES, b"\0")

    @classmethod
    def parse(cls, body: bytes) -> "Probe":
        """Raises :class:`FrameError`. What fills the body up is not looked at."""
        size = len(body) + OVERHEAD_BYTES
        if size < PROBE_BYTES_MIN:
            raise FrameError("PROBE is cut short")
        nonce, echo, reply_size = _PROBE.unpack_from(body)
        return cls(nonce, echo, reply_size, size)

    def reply(self, engine: int, boot: int, time_ns: int, probes: int) -> "ProbeReply":
        """The answer: as large as wanted, and never larger than this."""
        size = max(PROBE_BYTES_MIN, min(self.reply_size, self.size))
        return ProbeReply(self.nonce, self.echo, engine, time_ns, boot, self.size, probes, size)


@attrs.frozen
class ProbeReply:
    """``<nonce u64> <echo u64> <engine u64> <time u64> <boot u32> <received u32> <probes u64>``, zeros up to ``size``.

    ``time_ns`` is the engine's clock, nanoseconds since 1970 UTC; ``received`` the size of the PROBE's datagram as it
    came in, ``size`` that of this one; bytes. ``probes`` is how many came over UDP since the engine's start, so that
    one over gRPC can ask whether those over UDP arrived.
    """

    nonce: int
    echo: int
    engine: int
    time_ns: int
    boot: int
    received: int
    probes: int
    size: int = PROBE_BYTES_MIN

    def encode(self) -> bytes:
        head = _REPLY.pack(self.nonce, self.echo, self.engine, self.time_ns, self.boot, self.received, self.probes)
        return head.ljust(self.size - OVERHEAD_BYTES, b"\0")

    @classmethod
    def parse(cls, body: bytes) -> "ProbeReply":
        """Raises :class:`FrameError`."""
        size = len(body) + OVERHEAD_BYTES
        if size < PROBE_BYTES_MIN:
            raise FrameError("PROBE_REPLY is cut short")
        nonce, echo, engine, time_ns, boot, received, probes = _REPLY.unpack_from(body)
        if not size <= received <= DATAGRAM_BYTES_MAX:
            raise FrameError("PROBE_REPLY with an impossible size")
        return cls(nonce, echo, engine, time_ns, boot, received, probes, size)
