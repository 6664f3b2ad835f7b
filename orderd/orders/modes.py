"""When a client hears of its order."""

from enum import IntEnum
from typing import Final


class Mode(IntEnum):
    """When a client hears of its order, and how long the order may wait for company."""

    SYNC = 0
    BATCH = 1
    FIRE_AND_FORGET = 2


MODE_NAMES: Final = {"sync": Mode.SYNC, "batch": Mode.BATCH, "fire-and-forget": Mode.FIRE_AND_FORGET}
