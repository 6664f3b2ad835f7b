"""Where recordings of real markets are, which no test can do without in CI and which not every machine has."""

import os
from pathlib import Path

from tests.support.needs import missing


def data_directory(*parts: str) -> Path:
    """``$ORDERD_TEST_DATA`` and what is below it. Skips the test where it is absent; fails it with ``CI=true``."""
    root = os.environ.get("ORDERD_TEST_DATA", "")
    path = Path(root, *parts)
    if not root or not path.exists():
        missing(f"test data is needed: {f'{path} does not exist' if root else 'ORDERD_TEST_DATA is not set'}")
    return path


def has_data() -> bool:
    """Whether :func:`data_directory` would find any."""
    return bool(os.environ.get("ORDERD_TEST_DATA")) and Path(os.environ["ORDERD_TEST_DATA"]).is_dir()
