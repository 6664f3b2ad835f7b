"""Replies in RESP2 and RESP3. Pure.

Both protocols share simple strings, errors, integers, bulk strings and arrays; null and pairs differ. ``protocol`` is 2
or 3, as the client chose with HELLO.

Rules: a reply is whole bytes, ready to be joined with others; nothing a client sent can end a line early, since errors
and simple strings are cleaned and everything else travels with its length.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

Value: TypeAlias = "bytes | str | int | Sequence[Value] | Mapping[bytes, Value] | Mapping[str, Value] | None"
"""What :func:`encode` takes. Text is sent as UTF-8; lists and tuples are arrays; mappings are pairs in their order."""

OK: Final = b"+OK\r\n"
PONG: Final = b"+PONG\r\n"
QUEUED: Final = b"+QUEUED\r\n"

ERROR_BYTES_MAX: Final = 512
"""Longest error line, its first word included."""

_UNPRINTABLE: Final = dict.fromkeys([*range(32), 127], " ")
_BULK_HEADERS: Final = tuple(b"$%d\r\n" % length for length in range(256))


def _line(text: str) -> bytes:
    """``text`` in one line of bounded length: control characters become spaces, and what is not ASCII an escape."""
    line = text.translate(_UNPRINTABLE).encode("ascii", "backslashreplace")
    return line if len(line) <= ERROR_BYTES_MAX else line[: ERROR_BYTES_MAX - 3] + b"..."


def simple(text: str) -> bytes:
    """A simple string, for a short fixed text such as ``OK``."""
    return b"+%s\r\n" % _line(text)


def error(word: str, text: str) -> bytes:
    """An error. ``word`` says what to do about it (``BADORDER``); ``text`` is for people and may quote any input."""
    return b"-%s\r\n" % _line(f"{word} {text}")


def integer(value: int) -> bytes:
    """A 64-bit signed integer."""
    return b":%d\r\n" % value


def bulk(data: bytes) -> bytes:
    """A bulk string of any bytes."""
    length = len(data)
    if length < 256:
        return b"%s%s\r\n" % (_BULK_HEADERS[length], data)
    return b"$%d\r\n%s\r\n" % (length, data)


def null(protocol: int) -> bytes:
    """No value."""
    return b"_\r\n" if protocol == 3 else b"$-1\r\n"


def array_header(count: int) -> bytes:
    """The beginning of an array; ``count`` values follow."""
    return b"*%d\r\n" % count


def pairs_header(count: int, protocol: int) -> bytes:
    """The beginning of ``count`` pairs, a key and a value each: a map in RESP3, a flat array in RESP2."""
    return b"%%%d\r\n" % count if protocol == 3 else b"*%d\r\n" % (2 * count)


def encode(value: Value, protocol: int) -> bytes:
    """Any nesting of the values above. Raises TypeError for another type (floats among them: no money in floats)."""
    parts: list[bytes] = []
    _encode(value, protocol, parts)
    return b"".join(parts)


def _encode(value: Value, protocol: int, parts: list[bytes]) -> None:
    if isinstance(value, bytes):
        parts.append(bulk(value))
    elif isinstance(value, str):
        parts.append(bulk(value.encode()))
    elif value is None:
        parts.append(null(protocol))
    elif isinstance(value, int):
        parts.append(integer(value))
    elif isinstance(value, Mapping):
        parts.append(pairs_header(len(value), protocol))
        for key, item in value.items():
            _encode(key, protocol, parts)
            _encode(item, protocol, parts)
    elif isinstance(value, (list, tuple)):
        parts.append(array_header(len(value)))
        for item in value:
            _encode(item, protocol, parts)
    else:
        raise TypeError(f"no reply for a {type(value).__name__}")
