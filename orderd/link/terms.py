"""What a link is told and tells: settings, counters and events of orderd's end."""

from enum import IntEnum

import attrs

from orderd.link.health import Transport, TransportState
from orderd.wire.paths import Path


class LinkState(IntEnum):
    """Whether the engine answers."""

    DOWN = 0
    UP = 1


@attrs.frozen
class SenderSettings:
    """Times in seconds; the meaning of each is that of the setting with its name."""

    datagram_bytes_max: int = 1472
    window_datagrams: int = 32
    timeout_initial: float = 0.020
    timeout_minimum: float = 0.005
    retransmits_max: int = 4
    probe_interval: float = 0.250
    report_poll: float = 0.020
    transport: Transport = Transport.UDP_ONLY


@attrs.define
class SenderCounters:
    """Totals since the start of the process."""

    orders_frames: int = 0
    """ORDERS frames sent over UDP, retransmissions included."""
    grpc_frames: int = 0
    """ORDERS frames sent over gRPC."""
    retransmits: int = 0
    exhausted: int = 0
    """Frames that UDP gave up."""
    polls: int = 0
    hellos: int = 0
    probes: int = 0
    """HELLOs over UDP while it was down."""
    probes_answered: int = 0


@attrs.frozen
class Connected:
    """The engine answered."""

    engine: int
    boot: int
    resend_from: int


@attrs.frozen
class TransportChanged:
    """Orders take another road, or none; ``reason`` is for people."""

    state: TransportState
    reason: str


@attrs.frozen
class RoadUnusable:
    """Whoever answers at the end of ``path`` must not get these orders; ``reason`` is for people."""

    path: Path
    reason: str


Event = Connected | TransportChanged | RoadUnusable
