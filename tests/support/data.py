"""Where recordings of real markets are, which no test can do without in CI and which not every machine has."""

import os
from pathlib import Path

import pytest


def data_directory(*parts: str) -> Path:
    """``$ORDERD_TEST_DATA`` and what is below it. Skips the test where it is absent; fails it with ``CI=true``."""
    root = os.environ.get("ORDERD_TEST_DATA", "")
    path = Path(root, *parts)
    if root and path.exists():
        return path
    problem = f"{path} does not exist" if root else "ORDERD_TEST_DATA is not set"
    text = f"test data is needed: {problem}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
