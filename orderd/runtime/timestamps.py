"""Moments as text, exact to the nanosecond: RFC 3339 with a zone, or decimal milliseconds since 1970 UTC. Pure.

A moment is an integer of nanoseconds since 1970 UTC, from 1 to 2**63 - 1 (the year 2262). Nothing is rounded: more than
nine digits of a fraction are refused, as is a time without a zone, which would mean another moment on another machine.
"""

import datetime
import re
from typing import Final

TIME_NS_MAX: Final = 2**63 - 1
NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

_MILLISECONDS: Final = re.compile(r"[0-9]{1,19}")
_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SECOND: Final = datetime.timedelta(seconds=1)


class TimestampError(ValueError):
    """A text that is no moment, or none that fits."""


def parse_time_ns(text: str) -> int:
    """Raises :class:`TimestampError`, saying what is wrong but not which text it is."""
    if _MILLISECONDS.fullmatch(text):
        time_ns = int(text) * NS_PER_MS
    else:
        match = _RFC_3339.fullmatch(text)
        if match is None:
            raise TimestampError(
                "must be a time such as 2026-11-23T17:00:00Z, with a zone, or milliseconds since 1970 UTC"
            )
        date, clock, fraction, zone = match.groups()
        try:
            moment = datetime.datetime.fromisoformat(f"{date}T{clock}{'+00:00' if zone in 'Zz' else zone}")
            seconds = (moment - _EPOCH) // _SECOND
        except (ValueError, OverflowError):
            raise TimestampError("is no day and time that exist") from None
        time_ns = seconds * NS_PER_S + int((fraction or "").ljust(9, "0"))
    if not 0 < time_ns <= TIME_NS_MAX:
        raise TimestampError("must be after 1970 and before 2262-04-11T23:47:16Z")
    return time_ns


def format_time_ns(time_ns: int) -> str:
    """RFC 3339 in UTC, with no more digits of the fraction than it takes."""
    seconds, fraction = divmod(time_ns, NS_PER_S)
    text = (_EPOCH + seconds * _SECOND).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09}".rstrip("0") + "Z" if fraction else f"{text}Z"
