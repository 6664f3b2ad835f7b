"""Seeds that found something, and what it was. All of it is mended, and each is run again with the tests."""

from typing import Final

REGRESSIONS: Final[dict[int, str]] = {}
