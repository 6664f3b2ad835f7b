"""The roads between orderd and its engine. One byte in journals and keys."""

from enum import IntEnum


class Path(IntEnum):
    """What carries a frame; of an order, what carried its first confirmation."""

    NONE = 0
    UDP = 1
    GRPC = 2
