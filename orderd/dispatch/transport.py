"""Whether orders reach the engine, and over what."""

from enum import Enum


class TransportState(Enum):
    """As INFO and the log name it. At start it is ENGINE_DOWN."""

    UDP_ENABLED = "UDP_ENABLED"
    GRPC_FALLBACK = "GRPC_FALLBACK"
    ENGINE_DOWN = "ENGINE_DOWN"
