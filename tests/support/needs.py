"""What a test needs and a machine may lack: it is skipped there, and fails in CI, where nothing may be missing."""

import os
from typing import NoReturn

import pytest


def missing(text: str) -> NoReturn:
    """End the test that runs: skipped, or failed with ``CI=true``."""
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
