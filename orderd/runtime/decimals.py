"""Decimal text to whole steps (ticks or lots) and back, exactly, with integers only. Pure.

A decimal is one to many digits, then perhaps a point and more digits: no sign, no exponent, no space. The value must be
a whole number of steps from 1 to 2**63 - 1; nothing is ever rounded. Zeros in front and behind change nothing.

These functions run for every order, so a scale keeps what it has parsed and formatted lately. The memory is bounded by
throwing all of it away when it is full, which costs less per use than keeping track of what was used last.
"""

import re
from functools import lru_cache
from typing import Final

from orderd.wire.records import VALUE_MAX

DECIMALS_MAX: Final = 9
TEXT_BYTES_MAX: Final = 64
AVERAGE_DECIMALS: Final = 4
"""An average price has this many decimals more than the tick."""

_KEPT_MAX: Final = 8192
_STEP: Final = re.compile(r"(?a:(\d{1,18})(?:\.(\d{1,9}))?)")


class DecimalError(ValueError):
    """Text that is not a value of the scale it was read for."""


class BadValue(DecimalError):
    """Not a plain decimal, or not a whole number of steps."""


class ValueOutOfRange(DecimalError):
    """A decimal, but zero or beyond 63 bits of steps."""


class Scale:
    """Multiples of one step, such as the tick 0.01, under the name that errors call them by, such as ``price``."""

    __slots__ = ("_formatted", "_parsed", "_template", "_unit", "decimals", "name", "step", "units")

    def __init__(self, name: str, step: str) -> None:
        match = _STEP.fullmatch(step)
        if match is None or not step.strip("0."):
            raise BadValue(f"must be a positive decimal with at most {DECIMALS_MAX} decimals, such as 0.01 or 1")
        whole, fraction = match[1], match[2] or ""
        self.name = name
        self.step = step
        self.decimals = len(fraction)
        self.units = int(whole + fraction)
        """The step in units of its last decimal: 25 for 0.25."""
        self._unit = 10**self.decimals
        self._template = b"%%d.%%0%dd" % self.decimals
        self._parsed: dict[bytes, int] = {}
        self._formatted: dict[int, bytes] = {}

    def parse(self, text: bytes) -> int:
        """The number of steps, from 1 to ``VALUE_MAX``. Raises :class:`BadValue` or :class:`ValueOutOfRange`."""
        steps = self._parsed.get(text)
        if steps is None:
            steps = self._parse(text)
            if len(self._parsed) >= _KEPT_MAX:
                self._parsed.clear()
            self._parsed[text] = steps
        return steps

    def _parse(self, text: bytes) -> int:
        # bytes.isdigit knows ASCII digits only, and is false for nothing at all.
        whole, point, fraction = text.partition(b".")
        if len(text) > TEXT_BYTES_MAX:
            raise BadValue(f"{self.name} is longer than {TEXT_BYTES_MAX} characters")
        if not whole.isdigit() or (point and not fraction.isdigit()):
            raise BadValue(f"{self.name} {_shown(text)} is not a plain decimal such as {self.step}")
        if len(fraction) > self.decimals:
            fraction = fraction.rstrip(b"0")
            if len(fraction) > self.decimals:
                raise BadValue(f"{self.name} {_shown(text)} is not a multiple of {self.step}")
        steps, rest = divmod(int(whole + fraction.ljust(self.decimals, b"0")), self.units)
        if rest:
            raise BadValue(f"{self.name} {_shown(text)} is not a multiple of {self.step}")
        if steps == 0:
            raise ValueOutOfRange(f"{self.name} {_shown(text)} is not above zero")
        if steps > VALUE_MAX:
            raise ValueOutOfRange(f"{self.name} {_shown(text)} is beyond {VALUE_MAX} steps of {self.step}")
        return steps

    def format(self, steps: int) -> bytes:
        """``steps`` (zero or more) with as many decimals as the step."""
        text = self._formatted.get(steps)
        if text is None:
            value = steps * self.units
            text = self._template % divmod(value, self._unit) if self.decimals else b"%d" % value
            if len(self._formatted) >= _KEPT_MAX:
                self._formatted.clear()
            self._formatted[steps] = text
        return text

    def format_average(self, total: int, count: int) -> bytes:
        """``total / count`` steps, rounded half-even to four decimals more than the step; ``0`` for none."""
        if count == 0:
            return b"0"
        value, rest = divmod(total * self.units * 10**AVERAGE_DECIMALS, count)
        if 2 * rest > count or (2 * rest == count and value & 1):
            value += 1
        decimals = self.decimals + AVERAGE_DECIMALS
        whole, fraction = divmod(value, 10**decimals)
        return b"%d.%0*d" % (whole, decimals, fraction)


def _shown(text: bytes) -> str:
    return '"' + "".join(chr(c) if 32 <= c < 127 else "?" for c in text) + '"'


@lru_cache(maxsize=1024)
def scale(name: str, step: str) -> Scale:
    """The scale of that name and step; instruments with the same tick share one, and its memory."""
    return Scale(name, step)
