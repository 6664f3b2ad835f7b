"""How much is tried: more of everything for a campaign, by ``ORDERD_TEST_SCALE``."""

import os
from typing import Final

SCALE: Final = max(1, int(os.environ.get("ORDERD_TEST_SCALE", "1")))
"""How many times as much as in a run for each change."""


def examples(count: int) -> int:
    """How many examples of a property are tried where ``count`` are usual."""
    return count * SCALE
